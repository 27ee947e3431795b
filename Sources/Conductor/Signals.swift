import Synchronization

/// Wakes tasks that wait for something to be so, by name. A signal that nobody waits for is not kept: look first, then wait.
public final class Signals: Sendable {
  private struct Waiter {
    let id: Int
    let continuation: CheckedContinuation<Void, Never>
  }
  private struct State {
    var waiters: [String: [Waiter]] = [:]
    var nextID = 0
    var ended: Set<Int> = []
  }
  private let state = Mutex(State())

  public init() {}

  public func signal(_ name: String) {
    let waiters = state.withLock { $0.waiters.removeValue(forKey: name) ?? [] }
    for waiter in waiters { waiter.continuation.resume() }
  }

  /// Returns at the next signal of this name, after `limit`, or when the task is cancelled.
  public func wait(for name: String, limit: Duration) async {
    let id = state.withLock { state in
      state.nextID += 1
      return state.nextID
    }
    await withTaskGroup(of: Void.self) { group in
      group.addTask { await self.park(id, name) }
      group.addTask { try? await Task.sleep(for: limit) }
      await group.next()
      group.cancelAll()
      self.end(id, name)
      await group.waitForAll()
    }
    state.withLock { _ = $0.ended.remove(id) }
  }
  private func park(_ id: Int, _ name: String) async {
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let isOver = state.withLock { state in
          if state.ended.contains(id) { return true }
          state.waiters[name, default: []].append(Waiter(id: id, continuation: continuation))
          return false
        }
        if isOver { continuation.resume() }
      }
    } onCancel: {
      end(id, name)
    }
  }
  private func end(_ id: Int, _ name: String) {
    let waiter = state.withLock { state -> Waiter? in
      state.ended.insert(id)
      guard let index = state.waiters[name]?.firstIndex(where: { $0.id == id }) else { return nil }
      return state.waiters[name]?.remove(at: index)
    }
    waiter?.continuation.resume()
  }
}
