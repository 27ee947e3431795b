import DriverInterfaces
import Logging
import ServiceLifecycle
import Synchronization

/// Where consoles are kept and how they are reached.
public struct ConsoleSettings: Sendable {
  /// Holds `<node uuid>.log` and the file before it; made with mode 0700.
  public var folder: String
  /// Bytes of one file; there are two for each node.
  public var fileLimit = 8 << 20
  /// IP address that console ports listen on. Whoever reaches it reads consoles without a password: loopback, or an
  /// address of a network of its own behind a proxy.
  public var host = "127.0.0.1"
  /// Host in the URLs that clients are told; nil is ``host``.
  public var publicHost: String?
  /// TCP ports, one for each node whose console is enabled.
  public var ports = 8700...8999
  /// TCP readers of one node at once; more are turned away.
  public var readersPerNode = 8
  /// Pause before a lost session is opened again: doubled each time up to the last.
  public var firstPause: Duration = .seconds(1)
  public var lastPause: Duration = .seconds(60)

  public init(folder: String) { self.folder = folder }
}

/// The serial consoles of all nodes: one session for each, kept open by the server and logged from enrolment on, so that
/// what a machine said before anybody looked can be read. Readers are as many as there are, and only read.
///
/// Nothing is taken from what a machine prints: it may hold escape sequences and markup, and pages must escape it.
public final class Consoles: NodeConsoles, Service {
  private struct Session {
    var task: Task<Void, Never>
    /// The newest; used when the session is opened the next time.
    var driver: NodeDriver
    /// Why there is no session now.
    var problem: String?
    /// Why the log could not be written the last time.
    var fault: String?
  }
  private struct State {
    var sessions: [String: Session] = [:]
    var isStopped = false
  }
  private let settings: ConsoleSettings
  private let logger: Logger
  private let thread: ConsoleThread
  private let state = Mutex(State())

  /// - Throws: when the folder cannot be made.
  public init(settings: ConsoleSettings, logger: Logger) throws {
    self.settings = settings
    self.logger = logger
    thread = try ConsoleThread(settings: settings)
  }
  deinit { thread.stop() }

  /// Waits for the server's shutdown, then cuts all readers and ends all sessions.
  public func run() async throws {
    try? await gracefulShutdown()
    await stopAll()
  }

  public func start(node uuid: String, driver: NodeDriver) async {
    guard driver.console != nil else { return }
    state.withLock { state in
      if state.isStopped { return }
      if state.sessions[uuid] != nil {
        state.sessions[uuid]?.driver = driver
      } else {
        state.sessions[uuid] = Session(task: Task { await self.keep(uuid) }, driver: driver)
      }
    }
  }

  public func stop(node uuid: String) async {
    let session = state.withLock { $0.sessions.removeValue(forKey: uuid) }
    session?.task.cancel()
    try? await thread.perform { state in
      state.evictReaders(uuid)
      state.logs[uuid] = nil
    }
    await session?.task.value
  }

  public func markPowerOn(node uuid: String) async {
    await attempt(uuid) { state in
      try state.openLog(uuid)
      state.logs[uuid]?.markPowerOn()
    }
  }

  public func openPort(node uuid: String) async throws -> String {
    let port = try await thread.perform { state in
      try state.openLog(uuid)
      return try state.ports.open(node: uuid)
    }
    return url(port)
  }

  /// Cuts TCP readers and those who ``follow(node:since:)``, within milliseconds. Who may still read comes back.
  public func closePort(node uuid: String) async { try? await thread.perform { $0.evictReaders(uuid) } }

  public func url(node uuid: String) async -> String? {
    let port = try? await thread.perform { $0.ports.port(of: uuid) }
    return port.flatMap { $0 }.map { url($0) }
  }

  /// What a machine has printed, the last `limit` bytes of it at most.
  public func text(node uuid: String, since start: ConsoleStart = .powerOn, limit: Int = 1 << 20) async -> [UInt8] {
    let bytes = try? await thread.perform { state -> [UInt8] in
      try state.openLog(uuid)
      guard let log = state.logs[uuid] else { return [] }
      let first =
        switch start {
        case .oldest: log.start
        case .powerOn: log.powerOn
        case .now: log.end
        }
      var place = max(first, log.end - limit)
      var result: [UInt8] = []
      while place < log.end {
        let (bytes, next) = log.read(from: place, limit: log.end - place)
        if bytes.isEmpty { break }
        result += bytes
        place = next
      }
      return result
    }
    return bytes ?? []
  }

  /// What a machine prints, as it comes, with what it has printed before as far as `since` says; nothing is missing or
  /// doubled between the two. Ends when the node's console is closed to readers or the server stops.
  public func follow(node uuid: String, since start: ConsoleStart = .now) -> AsyncStream<[UInt8]> {
    let reader = ConsoleReader(thread: thread, node: uuid, start: start)
    return AsyncStream { await reader.next() }
  }

  /// Why a node's console is not connected, in words; nil while it is, or when it is not kept.
  public func problem(node uuid: String) -> String? { state.withLock { $0.sessions[uuid]?.problem } }

  // MARK: - Sessions

  /// Keeps one node's session open until the task is cancelled.
  private func keep(_ uuid: String) async {
    var pause = settings.firstPause
    while !Task.isCancelled {
      guard let console = state.withLock({ $0.sessions[uuid]?.driver.console }) else { return }
      let opened = ContinuousClock.now
      var problem = "the session ended"
      do {
        for try await bytes in console.open() {
          set(problem: nil, of: uuid)
          pause = settings.firstPause
          // What could not be logged is gone; readers are told where.
          let gap = isGapped(uuid) ? Self.gap : []
          await attempt(uuid) { state in
            try state.openLog(uuid)
            try state.logs[uuid]?.append(gap + bytes)
            state.wake(uuid, with: true)
          }
        }
      } catch {
        problem = "\(error)"
      }
      if Task.isCancelled { return }
      // A silent machine's session is a good one too.
      if ContinuousClock.now - opened > settings.lastPause { pause = settings.firstPause }
      set(problem: problem, of: uuid)
      try? await Task.sleep(for: pause)
      pause = min(pause * 2, settings.lastPause)
    }
  }

  private static let gap = Array(
    "\r\n[steelyard: output is missing here; the server could not write it (see its log)]\r\n".utf8)
  private func isGapped(_ uuid: String) -> Bool { state.withLock { $0.sessions[uuid]?.fault != nil } }

  private func set(problem: String?, of uuid: String) {
    let isNew = state.withLock { state in
      defer { state.sessions[uuid]?.problem = problem }
      return state.sessions[uuid]?.problem != problem
    }
    if isNew, let problem { logger.info("console of node \(uuid): \(problem)") }
  }

  /// Has the thread do something; what fails (a full disk) is logged once, and the console goes on.
  private func attempt(_ uuid: String, _ body: @escaping @Sendable (inout ConsoleThread.State) throws -> Void) async {
    var fault: String?
    do {
      try await thread.perform(body)
    } catch is CancellationError {
      return
    } catch {
      fault = "\(error)"
    }
    let isNew = state.withLock { state in
      defer { state.sessions[uuid]?.fault = fault }
      return fault != nil && state.sessions[uuid]?.fault != fault
    }
    if isNew, let fault {
      logger.error("console of node \(uuid) is not logged, and what it prints is lost: \(fault)")
    }
  }

  private func stopAll() async {
    let sessions = state.withLock { state in
      state.isStopped = true
      defer { state.sessions = [:] }
      return Array(state.sessions.values)
    }
    for session in sessions { session.task.cancel() }
    try? await thread.perform { state in
      for node in Set(state.logs.keys).union(state.waiting.keys) { state.evictReaders(node) }
      state.ports.closeAll()
    }
    for session in sessions { await session.task.value }
    thread.stop()
  }

  private func url(_ port: Int) -> String {
    let host = settings.publicHost ?? settings.host
    return "tcp://\(host.contains(":") ? "[\(host)]" : host):\(port)"
  }
}
