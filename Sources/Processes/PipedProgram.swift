import CLinux
import Glibc
import Synchronization

/// A program that is talked to through pipes while it runs, such as `ssh`.
///
/// It leads a process group of its own, which is ended as a whole by ``end()``, by the program's own end, or with this
/// object's last use. One reader at a time.
public final class PipedProgram: Sendable {
  private struct Reader {
    let deadline: ContinuousClock.Instant
    let continuation: CheckedContinuation<Result<[UInt8]?, CommandError>, Never>
    let limit: Duration
  }
  private struct State {
    var unread: [UInt8] = []
    var unwritten: [UInt8] = []
    var errorOutput: [UInt8] = []
    var isOver = false
    var reader: Reader?
    var ending: Ending?
    var waiting: [CheckedContinuation<Ending, Never>] = []
  }
  /// Bytes that wait to be read before the program has to wait.
  private static let buffered = 1 << 20
  /// Bytes of standard error that are kept, the last ones.
  private static let errorLimit = 8 << 10

  private let launch: Launch
  private let state = Mutex(State())
  private let wake: Interruption
  private let stopping: Interruption

  /// Starts a program, on a thread of its own.
  /// - Parameters: as of ``run(_:_:environment:input:namespace:timeout:outputLimit:)``.
  /// - Throws: ``CommandError``.
  public static func start(
    _ program: String, _ arguments: [String], environment: [String: String] = [:], namespace: String? = nil
  ) async throws -> PipedProgram {
    let launch = try Launch(program, arguments, environment: environment, namespace: namespace)
    let piped = try PipedProgram(launch)
    try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
      startThread("piped") { piped.run(continuation) }
    }
    return piped
  }

  private init(_ launch: Launch) throws {
    self.launch = launch
    wake = try Interruption()
    stopping = try Interruption()
  }

  /// Gives bytes to the program's standard input, in order; returns at once. After its end they are dropped.
  public func write(_ bytes: [UInt8]) {
    state.withLock { if !$0.isOver { $0.unwritten += bytes } }
    wake.signal()
  }

  /// What it has printed since the last call; waits for the first byte. Nil when it has closed its output.
  /// - Throws: ``CommandError`` `.timeout` when nothing comes within the limit; `CancellationError`.
  public func read(within limit: Duration) async throws -> [UInt8]? {
    let result: Result<[UInt8]?, CommandError> = await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let now: Result<[UInt8]?, CommandError>? = state.withLock { state in
          if !state.unread.isEmpty {
            defer { state.unread = [] }
            return .success(state.unread)
          }
          if state.isOver { return .success(nil) }
          state.reader = Reader(deadline: .now + limit, continuation: continuation, limit: limit)
          return nil
        }
        if let now { continuation.resume(returning: now) }
        wake.signal()
      }
    } onCancel: {
      end()
    }
    try Task.checkCancellation()
    return try result.get()
  }

  /// The last of what it printed on standard error.
  public var errorText: String { state.withLock { String(decoding: $0.errorOutput, as: UTF8.self) } }

  /// Asks it to end: SIGTERM, and a second later SIGKILL, to its whole group. Returns at once.
  public func end() { stopping.signal() }

  /// Waits for it to have ended and been reaped.
  public func ending() async -> Ending {
    await withCheckedContinuation { continuation in
      let ending = state.withLock { state in
        if state.ending == nil { state.waiting.append(continuation) }
        return state.ending
      }
      if let ending { continuation.resume(returning: ending) }
    }
  }

  // MARK: The thread

  private func run(_ started: CheckedContinuation<Void, any Error>) {
    let toInput: Pipe, ofOutput: Pipe, ofError: Pipe
    let process: pid_t
    do {
      (toInput, ofOutput, ofError) = (try Pipe(launch), try Pipe(launch), try Pipe(launch))
      process = try launch.spawn(input: toInput.reading, output: ofOutput.writing, error: ofError.writing)
    } catch {
      started.resume(throwing: error)
      return
    }
    toInput.closeReading()
    ofOutput.closeWriting()
    ofError.closeWriting()
    let watched = clinux_pidfd_open(process)
    for descriptor in [toInput.writing, ofOutput.reading, ofError.reading] { setNonBlocking(descriptor) }
    started.resume()

    var hasEnded = watched < 0
    while !hasEnded {
      let (pending, deadline, isFull) = state.withLock {
        (!$0.unwritten.isEmpty, $0.reader?.deadline, $0.unread.count >= Self.buffered)
      }
      var items = [
        pollfd(fd: watched, events: Int16(POLLIN), revents: 0),
        pollfd(fd: stopping.descriptor, events: Int16(POLLIN), revents: 0),
        pollfd(fd: wake.descriptor, events: Int16(POLLIN), revents: 0),
        pollfd(fd: isFull ? -1 : ofOutput.reading, events: Int16(POLLIN), revents: 0),
        pollfd(fd: ofError.reading, events: Int16(POLLIN), revents: 0),
        pollfd(fd: pending ? toInput.writing : -1, events: Int16(POLLOUT), revents: 0),
      ]
      let patience = deadline.map { milliseconds(until: $0) } ?? -1
      guard poll(&items, nfds_t(items.count), patience) >= 0 || errno == EINTR else { break }
      if items[1].revents != 0 { break }
      if items[2].revents != 0 {
        var count: UInt64 = 0
        _ = Glibc.read(wake.descriptor, &count, 8)
      }
      hasEnded = items[0].revents != 0
      if items[5].revents != 0, !writeSome(to: toInput.writing) { toInput.closeWriting() }
      if items[3].revents != 0 || hasEnded, !readSome(from: ofOutput.reading, isError: false) {
        ofOutput.closeReading()
      }
      if items[4].revents != 0 || hasEnded, !readSome(from: ofError.reading, isError: true) { ofError.closeReading() }
      serve(isOver: hasEnded || ofOutput.reading < 0)
    }
    let ending: Ending
    if hasEnded {
      kill(-process, SIGKILL)
      ending = reap(process)
    } else {
      ending = stop(process, watched: watched)
    }
    if watched >= 0 { close(watched) }
    serve(isOver: true)
    let waiting = state.withLock { state in
      state.ending = ending
      defer { state.waiting = [] }
      return state.waiting
    }
    for continuation in waiting { continuation.resume(returning: ending) }
  }

  /// Gives the reader what there is, or tells it that its time is up.
  private func serve(isOver: Bool) {
    let due: (Reader, Result<[UInt8]?, CommandError>)? = state.withLock { state in
      if isOver { state.isOver = true }
      guard let reader = state.reader else { return nil }
      let result: Result<[UInt8]?, CommandError>
      if !state.unread.isEmpty {
        result = .success(state.unread)
        state.unread = []
      } else if state.isOver {
        result = .success(nil)
      } else if reader.deadline <= .now {
        result = .failure(CommandError(program: launch.program, reason: .timeout(reader.limit)))
      } else {
        return nil
      }
      state.reader = nil
      return (reader, result)
    }
    if let (reader, result) = due { reader.continuation.resume(returning: result) }
  }

  /// False when nobody reads any more.
  private func writeSome(to descriptor: Int32) -> Bool {
    state.withLock { state in
      let count = state.unwritten.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
      if count < 0 {
        if errno == EAGAIN || errno == EINTR { return true }
        state.unwritten = []
        return false
      }
      state.unwritten.removeFirst(count)
      return true
    }
  }

  /// False at the end of the stream.
  private func readSome(from descriptor: Int32, isError: Bool) -> Bool {
    guard descriptor >= 0 else { return false }
    var chunk = [UInt8](repeating: 0, count: 65536)
    // Bounded, so that a program that never stops printing does not keep us from writing.
    for _ in 0..<16 {
      let count = Glibc.read(descriptor, &chunk, chunk.count)
      guard count > 0 else { return count < 0 && (errno == EAGAIN || errno == EINTR) }
      state.withLock { state in
        if isError {
          state.errorOutput += chunk[..<count]
          if state.errorOutput.count > Self.errorLimit {
            state.errorOutput.removeFirst(state.errorOutput.count - Self.errorLimit)
          }
        } else {
          state.unread += chunk[..<count]
        }
      }
    }
    return true
  }
}
