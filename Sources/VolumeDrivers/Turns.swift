import Synchronization

/// Lets those that concern the same thing go one after another, in the order in which they came, and others beside them.
final class Turns: Sendable {
  private struct Waiter {
    let keys: Set<String>
    let continuation: CheckedContinuation<Void, Never>
  }
  private struct State {
    var taken: Set<String> = []
    var waiting: [Waiter] = []

    /// Those whose turn it is now. Nobody passes one who came earlier and waits for the same.
    mutating func admit() -> [CheckedContinuation<Void, Never>] {
      var admitted: [CheckedContinuation<Void, Never>] = []
      var ahead: Set<String> = []
      waiting.removeAll { waiter in
        guard taken.isDisjoint(with: waiter.keys), ahead.isDisjoint(with: waiter.keys) else {
          ahead.formUnion(waiter.keys)
          return false
        }
        taken.formUnion(waiter.keys)
        admitted.append(waiter.continuation)
        return true
      }
      return admitted
    }
  }
  private let state = Mutex(State())

  /// Runs `body` when nobody else has one of the keys. Not to be called from within `body` with a key that it has.
  func take<T>(_ keys: String..., body: () async throws -> T) async rethrows -> T {
    let keys = Set(keys)
    await withCheckedContinuation { continuation in
      let admitted = state.withLock { state in
        state.waiting.append(Waiter(keys: keys, continuation: continuation))
        return state.admit()
      }
      for continuation in admitted { continuation.resume() }
    }
    defer {
      let admitted = state.withLock { state in
        state.taken.subtract(keys)
        return state.admit()
      }
      for continuation in admitted { continuation.resume() }
    }
    return try await body()
  }
}
