import CLinux
import Glibc
import Synchronization

/// A program in a pseudo terminal of its own, for those that refuse to talk to a pipe (`ipmitool sol activate`).
///
/// It leads a session with the terminal as its controlling one: should this process die, the kernel hangs the terminal
/// up and the program ends.
public final class Terminal: Sendable {
  /// What the program prints, as it comes; ends when the program has ended. For one reader.
  ///
  /// At most `buffered` pieces wait for a slow reader; then the oldest go, and ``hasDropped`` says so.
  /// A reader that stops (its task is cancelled) ends the program.
  public let output: AsyncStream<[UInt8]>
  /// The program's process, leader of its group.
  public let process: pid_t

  private let interruption: Interruption
  private let master: Int32
  private let watched: Int32
  private let state: Mutex<State>

  private struct State {
    var ending: Ending?
    var waiting: [CheckedContinuation<Ending, Never>] = []
    var isOpen = true
    var hasDropped = false
  }

  /// Starts a program in a new terminal, on a thread of its own.
  /// - Parameters: as of ``run(_:_:environment:input:namespace:timeout:outputLimit:)``.
  ///   - buffered: pieces of output (each up to 4 KiB) kept for a reader that is slow.
  ///   - grace: time between the signal to end and SIGKILL.
  /// - Throws: ``CommandError``.
  public static func start(
    _ program: String, _ arguments: [String], environment: [String: String] = [:], namespace: String? = nil,
    buffered: Int = 1024, grace: Duration = .seconds(1)
  ) async throws -> Terminal {
    let launch = try Launch(program, arguments, environment: environment, namespace: namespace)
    return try await withCheckedThrowingContinuation { continuation in
      startThread("terminal") {
        let terminal: Terminal
        let output: AsyncStream<[UInt8]>.Continuation
        do {
          (terminal, output) = try Terminal.make(launch, buffered: buffered)
        } catch {
          continuation.resume(throwing: error)
          return
        }
        continuation.resume(returning: terminal)
        terminal.wait(grace: grace, into: output)
      }
    }
  }

  private static func make(_ launch: Launch, buffered: Int) throws -> (Terminal, AsyncStream<[UInt8]>.Continuation) {
    let (stream, continuation) = AsyncStream.makeStream(of: [UInt8].self, bufferingPolicy: .bufferingNewest(buffered))
    let terminal = try Terminal(launch, output: stream)
    continuation.onTermination = { [interruption = terminal.interruption] _ in interruption.signal() }
    return (terminal, continuation)
  }

  private init(_ launch: Launch, output: AsyncStream<[UInt8]>) throws {
    interruption = try Interruption()
    var path = [CChar](repeating: 0, count: 128)
    var slave: Int32 = -1
    let master = clinux_open_pty(&path, path.count, &slave)
    guard master >= 0 else { throw CommandError(program: launch.program, reason: .notStarted(errno)) }
    defer { close(slave) }
    let name = String(decoding: path.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    let process: pid_t
    do {
      process = try launch.spawn(terminal: name)
    } catch {
      close(master)
      throw error
    }
    watched = clinux_pidfd_open(process)
    self.master = master
    self.process = process
    self.output = output
    state = Mutex(State())
  }

  /// Asks the program to end: SIGTERM, SIGKILL after the grace. Returns at once; may be called twice.
  public func end() { interruption.signal() }

  /// Waits for the program to have ended and been reaped.
  public func ending() async -> Ending {
    await withCheckedContinuation { continuation in
      let ending = state.withLock { state in
        if state.ending == nil { state.waiting.append(continuation) }
        return state.ending
      }
      if let ending { continuation.resume(returning: ending) }
    }
  }

  /// True when output was lost because nobody read it in time.
  public var hasDropped: Bool { state.withLock { $0.hasDropped } }

  /// Types into the terminal; a terminal that takes no more at once refuses the rest.
  /// - Throws: ``CommandError`` when the program has ended or does not read.
  public func write(_ bytes: [UInt8]) throws {
    try state.withLock { state in
      guard state.isOpen else { throw CommandError(program: "terminal", reason: .notStarted(EPIPE)) }
      guard Glibc.write(master, bytes, bytes.count) == bytes.count else {
        throw CommandError(program: "terminal", reason: .notStarted(EAGAIN))
      }
    }
  }

  private func wait(grace: Duration, into continuation: AsyncStream<[UInt8]>.Continuation) {
    var chunk = [UInt8](repeating: 0, count: 4096)
    var isRunning = watched >= 0
    var isReadable = true
    while isRunning {
      var items = [
        pollfd(fd: watched, events: Int16(POLLIN), revents: 0),
        pollfd(fd: interruption.descriptor, events: Int16(POLLIN), revents: 0),
        pollfd(fd: isReadable ? master : -1, events: Int16(POLLIN), revents: 0),
      ]
      guard poll(&items, nfds_t(items.count), -1) >= 0 || errno == EINTR else { break }
      if items[1].revents != 0 { break }
      if items[0].revents != 0 { isRunning = false }
      if items[2].revents != 0 || !isRunning {
        while true {
          let count = read(master, &chunk, chunk.count)
          guard count > 0 else {
            // EIO: nobody has the terminal open any more.
            if count == 0 || (errno != EAGAIN && errno != EINTR) { isReadable = false }
            break
          }
          if case .dropped = continuation.yield(Array(chunk[..<count])) { state.withLock { $0.hasDropped = true } }
          if interruption.isSignalled { break }
        }
      }
    }
    let ending: Ending
    if isRunning {
      ending = stop(process, watched: watched, grace: grace)
    } else {
      kill(-process, SIGKILL)
      ending = reap(process)
    }
    if watched >= 0 { close(watched) }
    let waiting = state.withLock { state in
      state.ending = ending
      state.isOpen = false
      close(master)
      defer { state.waiting = [] }
      return state.waiting
    }
    continuation.finish()
    for continuation in waiting { continuation.resume(returning: ending) }
  }
}
