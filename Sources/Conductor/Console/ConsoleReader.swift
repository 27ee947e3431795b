import Synchronization

/// Where a reader of a console begins.
public enum ConsoleStart: Sendable {
  /// With the oldest output kept (up to two files).
  case oldest
  /// With the first output since the machine was last powered on.
  case powerOn
  /// With what comes from now on.
  case now
}

/// One who follows a console: a place in the log that moves on as it reads. A slow reader lags behind without cost to
/// anyone, and skips what has been rotated away.
final class ConsoleReader: Sendable {
  private let thread: ConsoleThread
  private let node: String
  private let start: ConsoleStart
  private let state = Mutex<(place: Int?, eviction: Int, isCancelled: Bool)>((nil, 0, false))
  private static let ids = Mutex(0)
  private let id = ids.withLock { ids in
    ids += 1
    return ids
  }

  init(thread: ConsoleThread, node: String, start: ConsoleStart) {
    (self.thread, self.node, self.start) = (thread, node, start)
  }

  /// The next piece, up to 64 KiB; nil when the reader was sent away, the node's console stopped, or the server stops.
  func next() async -> [UInt8]? {
    while !Task.isCancelled {
      guard let bytes = try? await thread.perform({ try self.read(&$0) }) else { return nil }
      if !bytes.isEmpty { return bytes }
      guard await waitForMore() else { return nil }
    }
    return nil
  }

  private func read(_ threadState: inout ConsoleThread.State) throws -> [UInt8] {
    try threadState.openLog(node)
    guard let log = threadState.logs[node] else { return [] }
    return try state.withLock { state in
      let eviction = threadState.evictions[node, default: 0]
      if state.place == nil { state.eviction = eviction }
      guard state.eviction == eviction else { throw CancellationError() }
      let place =
        switch start {
        case .oldest: state.place ?? log.start
        case .powerOn: state.place ?? log.powerOn
        case .now: state.place ?? log.end
        }
      let (bytes, next) = log.read(from: place, limit: 65536)
      state.place = next
      return bytes
    }
  }

  private func waitForMore() async -> Bool {
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let isTaken = thread.submit { threadState in
          let (place, eviction, isCancelled) = self.state.withLock { $0 }
          let isSentAway = eviction != threadState.evictions[self.node, default: 0]
          if isCancelled || isSentAway {
            continuation.resume(returning: false)
          } else if let log = threadState.logs[self.node], let place, log.end == place {
            threadState.waiting[self.node, default: []].append((self.id, { continuation.resume(returning: $0) }))
          } else {
            continuation.resume(returning: true)
          }
        }
        if !isTaken { continuation.resume(returning: false) }
      }
    } onCancel: {
      state.withLock { $0.isCancelled = true }
      thread.submit { threadState in
        let index = threadState.waiting[self.node]?.firstIndex { $0.id == self.id }
        if let index { threadState.waiting[self.node]?.remove(at: index).wake(false) }
      }
    }
  }
}
