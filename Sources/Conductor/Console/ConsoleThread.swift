import Glibc
import Logging
import Synchronization

/// The one thread that writes the logs of all consoles and serves their ports: nothing here needs a lock, and no file or
/// socket is touched on the cooperative pool.
final class ConsoleThread: Sendable {
  /// Everything the thread owns.
  struct State {
    let settings: ConsoleSettings
    var logs: [String: ConsoleLog] = [:]
    var ports: ConsolePorts
    /// Those who wait for a node to print, by node; called with false when there will be no more for them.
    var waiting: [String: [(id: Int, wake: @Sendable (Bool) -> Void)]] = [:]
    /// How often the readers of a node have been sent away: who began earlier is sent away too.
    var evictions: [String: Int] = [:]

    /// Opens the log on first use.
    mutating func openLog(_ node: String) throws {
      if logs[node] != nil { return }
      guard !node.isEmpty, node.utf8.allSatisfy({ isPlain($0) }) else {
        throw ConductorError(.badRequest, "Not a node's UUID.")
      }
      logs[node] = try ConsoleLog(path: "\(settings.folder)/\(node).log", limit: settings.fileLimit)
    }
    mutating func wake(_ node: String, with isMore: Bool) {
      for waiter in waiting.removeValue(forKey: node) ?? [] { waiter.wake(isMore) }
    }
    mutating func evictReaders(_ node: String) {
      evictions[node, default: 0] += 1
      ports.close(node: node)
      wake(node, with: false)
    }
    private func isPlain(_ byte: UInt8) -> Bool {
      (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte) || byte == 0x2d
    }
  }
  typealias Job = @Sendable (inout State) -> Void

  private let jobs = Mutex<(waiting: [Job], isStopped: Bool)>(([], false))
  private let wakeRead: Int32
  private let wakeWrite: Int32

  /// - Throws: ``ConsoleFileError`` when the folder cannot be made.
  init(settings: ConsoleSettings) throws {
    guard mkdir(settings.folder, 0o700) == 0 || errno == EEXIST else {
      throw ConsoleFileError(path: settings.folder, number: errno)
    }
    var ends: [Int32] = [-1, -1]
    guard pipe(&ends) == 0 else { throw ConsoleFileError(path: "pipe", number: errno) }
    for end in ends {
      _ = fcntl(end, F_SETFD, FD_CLOEXEC)
      _ = fcntl(end, F_SETFL, O_NONBLOCK)
    }
    (wakeRead, wakeWrite) = (ends[0], ends[1])
    // The thread keeps this object until it is stopped.
    let box = Unmanaged.passRetained(Start(thread: self, settings: settings))
    var thread = pthread_t()
    let failure = pthread_create(
      &thread, nil,
      { context in
        guard let context else { return nil }
        let start = Unmanaged<Start>.fromOpaque(context).takeRetainedValue()
        var all = sigset_t()
        sigfillset(&all)
        pthread_sigmask(SIG_BLOCK, &all, nil)
        start.thread.loop(State(settings: start.settings, ports: ConsolePorts(settings: start.settings)))
        return nil
      }, box.toOpaque())
    guard failure == 0 else {
      box.release()
      throw ConsoleFileError(path: "thread", number: failure)
    }
    pthread_detach(thread)
  }
  deinit {
    close(wakeRead)
    close(wakeWrite)
  }
  private final class Start {
    let thread: ConsoleThread
    let settings: ConsoleSettings
    init(thread: ConsoleThread, settings: ConsoleSettings) { (self.thread, self.settings) = (thread, settings) }
  }

  /// Has a job done by the thread, in order; false when it has stopped.
  @discardableResult
  func submit(_ job: @escaping Job) -> Bool {
    let isTaken = jobs.withLock { jobs in
      if !jobs.isStopped { jobs.waiting.append(job) }
      return !jobs.isStopped
    }
    if isTaken { _ = write(wakeWrite, [1], 1) }
    return isTaken
  }

  /// As ``submit(_:)``, and waits for the result.
  func perform<Result: Sendable>(_ body: @escaping @Sendable (inout State) throws -> Result) async throws -> Result {
    try await withCheckedThrowingContinuation { continuation in
      let isTaken = submit { state in
        continuation.resume(with: Swift.Result { try body(&state) })
      }
      if !isTaken { continuation.resume(throwing: CancellationError()) }
    }
  }

  /// Ends the thread after what has been asked; readers are cut.
  func stop() {
    jobs.withLock { $0.isStopped = true }
    _ = write(wakeWrite, [1], 1)
  }

  private func loop(_ initial: State) {
    var state = initial
    while true {
      var items = [pollfd(fd: wakeRead, events: Int16(POLLIN), revents: 0)] + state.ports.items(state.logs)
      if poll(&items, nfds_t(items.count), -1) < 0 { continue }
      if items[0].revents != 0 {
        var buffer = [UInt8](repeating: 0, count: 512)
        while read(wakeRead, &buffer, buffer.count) == buffer.count {}
        let (todo, isStopped) = jobs.withLock { jobs in
          defer { jobs.waiting = [] }
          return (jobs.waiting, jobs.isStopped)
        }
        for job in todo { job(&state) }
        if isStopped { break }
        // Ports and clients may have changed under the other items: look again.
        continue
      }
      state.ports.serve(items[1...], state.logs)
    }
    state.ports.closeAll()
    for node in Array(state.waiting.keys) { state.wake(node, with: false) }
  }
}
