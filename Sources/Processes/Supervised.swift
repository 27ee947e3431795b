import CLinux
import Glibc
import Synchronization

/// A program that is kept running: started again when it dies, ended when the task ends.
///
/// Its output goes to a log file of bounded size. Its number is kept in a file, so that the next run of this server
/// finds and ends what an earlier one, killed, left behind.
public final class SupervisedProcess: Sendable {
  /// What is known of it now.
  public struct State: Sendable, Equatable {
    /// Nil between two runs.
    public var process: pid_t?
    /// How many times it has been started.
    public var starts = 0
    /// How the run before this one ended.
    public var lastEnding: Ending?
  }

  private let launch: Launch
  /// What `/proc/PID/cmdline` shows of it: `nsenter` replaces itself by the program.
  private let commandLines: [[String]]
  private let log: SupervisedLog
  private let pidFile: String
  private let grace: Duration
  private let backoff: ClosedRange<Duration>
  private let beforeStart: @Sendable () throws -> Void
  private let interruption: Interruption
  private let restartRequest: Interruption
  private let shared = Mutex(State())

  /// - Parameters:
  ///   - program: as of ``run(_:_:environment:input:namespace:timeout:outputLimit:)``, like `environment` and `namespace`.
  ///   - logFile: takes standard output and error; when it is full it becomes `logFile.1` and a new one begins.
  ///   - logLimit: bytes of each of the two.
  ///   - grace: time between SIGTERM and SIGKILL.
  ///   - backoff: pause before it is started again: doubled with each death, and back to the least once it has lived
  ///     ten times the longest.
  ///   - beforeStart: called before every start, on the thread that supervises; what it throws goes to the log and
  ///     counts as a death.
  /// - Throws: ``CommandError`` `.notFound` or `.badNamespace`.
  public init(
    _ program: String, _ arguments: [String], environment: [String: String] = [:], namespace: String? = nil,
    logFile: String, logLimit: Int = 4 << 20, pidFile: String, grace: Duration = .seconds(3),
    backoff: ClosedRange<Duration> = .milliseconds(100)...(.seconds(10)),
    beforeStart: @escaping @Sendable () throws -> Void = {}
  ) throws(CommandError) {
    let launch = try Launch(program, arguments, environment: environment, namespace: namespace)
    self.launch = launch
    commandLines = namespace == nil ? [launch.arguments] : [launch.arguments, Array(launch.arguments.dropFirst(3))]
    log = SupervisedLog(path: logFile, limit: logLimit)
    self.pidFile = pidFile
    self.grace = grace
    self.backoff = backoff
    self.beforeStart = beforeStart
    do {
      interruption = try Interruption()
      restartRequest = try Interruption()
    } catch {
      throw error as? CommandError ?? CommandError(program: program, reason: .notStarted(EMFILE))
    }
  }

  public var state: State { shared.withLock { $0 } }

  /// Ends the program; it is started again at once. Does nothing between two runs.
  public func restart() { restartRequest.signal() }

  /// Keeps the program running until the task is cancelled, then ends it and returns. To be called once.
  /// - Throws: ``CommandError`` when not even a pipe can be made; a program that dies is no error.
  public func run() async throws {
    try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
        startThread("supervise") { continuation.resume(with: Result { try self.supervise() }) }
      }
    } onCancel: {
      interruption.signal()
    }
  }

  // MARK: On the supervising thread

  private func supervise() throws {
    defer { log.close() }
    endLeftover()
    var pause = backoff.lowerBound
    while !interruption.isSignalled {
      let begin = ContinuousClock.now
      var wasAsked = false
      do {
        try beforeStart()
        wasAsked = try runOnce()
      } catch {
        log.note("\(launch.program) was not started: \(error)")
      }
      if ContinuousClock.now - begin > backoff.upperBound * 10 { pause = backoff.lowerBound }
      if wasAsked { continue }
      var item = pollfd(fd: interruption.descriptor, events: Int16(POLLIN), revents: 0)
      _ = poll(&item, 1, milliseconds(until: .now + pause))
      pause = min(pause * 2, backoff.upperBound)
    }
    unlink(pidFile)
  }

  /// One life of the program.
  /// - Returns: true when it ended because ``restart()`` was called.
  private func runOnce() throws -> Bool {
    let output = try Pipe(launch)
    // What was asked while it did not run is done by this start.
    restartRequest.clear()
    // Known before it can do anything that somebody sees.
    let process = try shared.withLock { state in
      let process = try launch.spawn(output: output.writing, error: output.writing)
      state.process = process
      state.starts += 1
      return process
    }
    output.closeWriting()
    setNonBlocking(output.reading)
    let watched = clinux_pidfd_open(process)
    guard watched >= 0 else {
      stop(process, watched: watched)
      shared.withLock { $0.process = nil }
      throw CommandError(program: launch.program, reason: .notStarted(errno))
    }
    defer { close(watched) }
    writePIDFile(process)
    var ending: Ending?
    while ending == nil {
      var items = [
        pollfd(fd: watched, events: Int16(POLLIN), revents: 0),
        pollfd(fd: interruption.descriptor, events: Int16(POLLIN), revents: 0),
        pollfd(fd: restartRequest.descriptor, events: Int16(POLLIN), revents: 0),
        pollfd(fd: output.reading, events: Int16(POLLIN), revents: 0),
      ]
      guard poll(&items, nfds_t(items.count), -1) >= 0 || errno == EINTR else { break }
      if items[3].revents != 0, !log.copy(from: output.reading) { output.closeReading() }
      if items[1].revents != 0 || items[2].revents != 0 { break }
      if items[0].revents != 0 {
        // What it left running has its group; it must not hold what the next start needs.
        kill(-process, SIGKILL)
        ending = reap(process)
      }
    }
    let wasAsked = ending == nil
    let final = ending ?? stop(process, watched: watched, grace: grace)
    if output.reading >= 0 { _ = log.copy(from: output.reading) }
    shared.withLock {
      $0.process = nil
      $0.lastEnding = final
    }
    if !wasAsked { log.note("\(launch.program) ended: \(final)") }
    return wasAsked
  }

  private func writePIDFile(_ process: pid_t) {
    let file = open(pidFile, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    guard file >= 0 else { return log.note("\(pidFile): \(errorText(errno))") }
    let text = Array("\(process)\n".utf8)
    _ = write(file, text, text.count)
    close(file)
  }

  /// Ends what an earlier run of this server left, if the process with that number is it.
  private func endLeftover() {
    guard let text = contents(of: pidFile, limit: 32), let number = text.split(separator: "\n").first,
      let process = pid_t(number), process > 1
    else { return }
    // Opened before it is looked at: if the number goes to another process meanwhile, this one reads as ended.
    let watched = clinux_pidfd_open(process)
    guard watched >= 0 else { return }
    defer { close(watched) }
    guard let line = contents(of: "/proc/\(process)/cmdline", limit: 1 << 20) else { return }
    let words = line.split(separator: "\0", omittingEmptySubsequences: false).map { String($0) }
    guard commandLines.contains(where: { $0 + [""] == words }) else { return }
    log.note("ending \(launch.program), process \(process), left by an earlier run")
    for signal in [SIGTERM, SIGKILL] {
      kill(process, signal)
      var item = pollfd(fd: watched, events: Int16(POLLIN), revents: 0)
      if poll(&item, 1, milliseconds(until: .now + grace)) > 0 { return }
    }
  }

  private func contents(of path: String, limit: Int) -> String? {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return nil }
    defer { close(file) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 4096)
    while bytes.count < limit {
      let count = read(file, &chunk, chunk.count)
      if count <= 0 { break }
      bytes.append(contentsOf: chunk[..<count])
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}

extension Interruption {
  /// Makes it wait again, for one that is used more than once.
  fileprivate func clear() {
    guard isSignalled else { return }
    var count: UInt64 = 0
    _ = read(descriptor, &count, 8)
  }
}

/// A log file that never grows beyond its limit: the one before it is kept, older ones are not.
private final class SupervisedLog: Sendable {
  private struct File {
    var descriptor: Int32 = -1
    var size = 0
  }
  private let path: String
  private let limit: Int
  private let file = Mutex(File())

  init(path: String, limit: Int) {
    self.path = path
    self.limit = max(limit, 4096)
  }

  /// Copies what is there to read; false at the end of the stream.
  func copy(from descriptor: Int32) -> Bool {
    var chunk = [UInt8](repeating: 0, count: 65536)
    // Bounded: a program that never stops printing must not keep us from its supervision.
    for _ in 0..<64 {
      let count = read(descriptor, &chunk, chunk.count)
      if count <= 0 { return count < 0 && (errno == EAGAIN || errno == EINTR) }
      append(chunk[..<count])
    }
    return true
  }

  /// A line of our own.
  func note(_ text: String) { append(Array("steelyard: \(text)\n".utf8)[...]) }

  private func append(_ bytes: ArraySlice<UInt8>) {
    file.withLock { file in
      var rest = bytes.suffix(limit)
      while !rest.isEmpty {
        if file.descriptor >= 0, file.size + rest.count > limit {
          Glibc.close(file.descriptor)
          rename(path, "\(path).1")
          file.descriptor = -1
        }
        if file.descriptor < 0 {
          file.descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o640)
          guard file.descriptor >= 0 else { return }
          file.size = Int(lseek(file.descriptor, 0, SEEK_END))
          if file.size + rest.count > limit { continue }
        }
        let count = rest.withUnsafeBytes { write(file.descriptor, $0.baseAddress, $0.count) }
        guard count > 0 else { return }
        file.size += count
        rest = rest.dropFirst(count)
      }
    }
  }
  func close() {
    file.withLock { file in
      if file.descriptor >= 0 { Glibc.close(file.descriptor) }
      file.descriptor = -1
    }
  }
}
