import Synchronization

/// Wakes tasks that wait for something to be so, by name. A signal that nobody waits for is counted and not kept: take the
/// ``count(of:)``, look, then wait for more.
public final class Signals: Sendable {
  private struct Waiter {
    let id: Int
    let continuation: CheckedContinuation<Void, Never>
  }
  private struct State {
    var waiters: [String: [Waiter]] = [:]
    var nextID = 0
    var ended: Set<Int> = []
    /// Only of names that somebody counts.
    var counts: [String: Int] = [:]
  }
  private let state = Mutex(State())

  public init() {}

  public func signal(_ name: String) {
    let waiters = state.withLock { state in
      if let count = state.counts[name] { state.counts[name] = count + 1 }
      return state.waiters.removeValue(forKey: name) ?? []
    }
    for waiter in waiters { waiter.continuation.resume() }
  }

  /// How often a name was signalled, from the first time on that this is asked.
  public func count(of name: String) -> Int {
    state.withLock { state in
      let count = state.counts[name] ?? 0
      state.counts[name] = count
      return count
    }
  }

  /// Returns at the next signal of this name, after `limit`, or when the task is cancelled.
  /// - Parameter count: of ``count(of:)`` before the caller looked; returns at once when there were signals since.
  public func wait(for name: String, limit: Duration, since count: Int? = nil) async {
    let id = state.withLock { state in
      state.nextID += 1
      return state.nextID
    }
    await withTaskGroup(of: Void.self) { group in
      group.addTask { await self.park(id, name, since: count) }
      group.addTask { try? await Task.sleep(for: limit) }
      await group.next()
      group.cancelAll()
      self.end(id, name)
      await group.waitForAll()
    }
    state.withLock { _ = $0.ended.remove(id) }
  }
  private func park(_ id: Int, _ name: String, since count: Int?) async {
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let isOver = state.withLock { state in
          if state.ended.contains(id) { return true }
          if let count, state.counts[name] != count { return true }
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
