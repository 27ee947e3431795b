import Synchronization

/// Keeps commands for one controller from meeting, and bounds how many run over all controllers.
///
/// Controllers have few sessions, and many lose commands that come two at a time.
final class Turns: Sendable {
  private let places: Queue
  private let queues = Mutex<[String: (queue: Queue, users: Int)]>([:])

  init(atOnce: Int) { places = Queue(places: max(1, atOnce)) }

  /// Runs `body` when it is this controller's turn; first come, first served.
  func turn<Result: Sendable>(for key: String, _ body: () async throws -> Result) async throws -> Result {
    let queue = queues.withLock { queues in
      let queue = queues[key]?.queue ?? Queue(places: 1)
      queues[key] = (queue, (queues[key]?.users ?? 0) + 1)
      return queue
    }
    defer {
      queues.withLock { queues in
        guard let entry = queues[key] else { return }
        queues[key] = entry.users > 1 ? (entry.queue, entry.users - 1) : nil
      }
    }
    // The controller's own queue first: waiting for a slow one takes no place from the others.
    return try await queue.place { try await places.place(body) }
  }
}

/// A number of places and those who wait for one, in order.
private final class Queue: Sendable {
  private struct State {
    var free: Int
    var next = 0
    var waiting: [(ticket: Int, continuation: CheckedContinuation<Bool, Never>)] = []
    var abandoned: Set<Int> = []
  }
  private let state: Mutex<State>

  init(places: Int) { state = Mutex(State(free: places)) }

  func place<Result: Sendable>(_ body: () async throws -> Result) async throws -> Result {
    try await enter()
    defer { leave() }
    return try await body()
  }

  private func enter() async throws {
    let ticket = state.withLock { state in
      state.next += 1
      return state.next
    }
    let hasPlace = await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let now: Bool? = state.withLock { state in
          if state.abandoned.remove(ticket) != nil { return false }
          if state.free > 0 {
            state.free -= 1
            return true
          }
          state.waiting.append((ticket, continuation))
          return nil
        }
        if let now { continuation.resume(returning: now) }
      }
    } onCancel: {
      let waiter = state.withLock { state -> CheckedContinuation<Bool, Never>? in
        guard let index = state.waiting.firstIndex(where: { $0.ticket == ticket }) else {
          // Not in the line yet, or already served: only the first will look for its number here.
          state.abandoned.insert(ticket)
          return nil
        }
        return state.waiting.remove(at: index).continuation
      }
      waiter?.resume(returning: false)
    }
    state.withLock { _ = $0.abandoned.remove(ticket) }
    if !hasPlace { throw CancellationError() }
  }

  private func leave() {
    let next = state.withLock { state -> CheckedContinuation<Bool, Never>? in
      if state.waiting.isEmpty {
        state.free += 1
        return nil
      }
      return state.waiting.removeFirst().continuation
    }
    next?.resume(returning: true)
  }
}
