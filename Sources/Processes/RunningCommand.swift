import CLinux
import Glibc

/// One program from start to end, seen from the thread that waits for it.
struct RunningCommand {
  let launch: Launch
  let input: [UInt8]
  let timeout: Duration
  let outputLimit: Int
  let interruption: Interruption

  /// Starts the program and waits. Blocks.
  func finish() throws -> CommandResult {
    let (toInput, ofOutput, ofError) = (try Pipe(launch), try Pipe(launch), try Pipe(launch))
    let process = try launch.spawn(input: toInput.reading, output: ofOutput.writing, error: ofError.writing)
    toInput.closeReading()
    ofOutput.closeWriting()
    ofError.closeWriting()
    let watched = clinux_pidfd_open(process)
    defer { close(watched) }
    guard watched >= 0 else {
      stop(process, watched: watched)
      throw CommandError(program: launch.program, reason: .notStarted(errno))
    }
    for descriptor in [toInput.writing, ofOutput.reading, ofError.reading] { setNonBlocking(descriptor) }

    var result = CommandResult(status: 0, output: [], errorOutput: [])
    var written = 0
    let deadline = ContinuousClock.now + timeout
    if input.isEmpty { toInput.closeWriting() }
    var hasEnded = false
    while !hasEnded {
      var items = [
        pollfd(fd: watched, events: Int16(POLLIN), revents: 0),
        pollfd(fd: interruption.descriptor, events: Int16(POLLIN), revents: 0),
        pollfd(fd: ofOutput.reading, events: Int16(POLLIN), revents: 0),
        pollfd(fd: ofError.reading, events: Int16(POLLIN), revents: 0),
        pollfd(fd: toInput.writing, events: Int16(POLLOUT), revents: 0),
      ]
      if poll(&items, nfds_t(items.count), milliseconds(until: deadline)) < 0, errno != EINTR {
        stop(process, watched: watched)
        throw CommandError(program: launch.program, reason: .notStarted(errno))
      }
      if items[1].revents != 0 {
        stop(process, watched: watched)
        throw CancellationError()
      }
      hasEnded = items[0].revents != 0
      if items[4].revents != 0 {
        written = writeSome(to: toInput.writing, from: written)
        // A program that does not want its input is no error: its status tells.
        if written >= input.count { toInput.closeWriting() }
      }
      // Once more after the end: what it printed last is in the pipe.
      if items[2].revents != 0 || hasEnded, !drain(ofOutput.reading, into: &result.output) { ofOutput.closeReading() }
      if items[3].revents != 0 || hasEnded, !drain(ofError.reading, into: &result.errorOutput) {
        ofError.closeReading()
      }
      if max(result.output.count, result.errorOutput.count) > outputLimit {
        stop(process, watched: watched)
        throw CommandError(program: launch.program, reason: .outputLimit(outputLimit))
      }
      if !hasEnded, ContinuousClock.now >= deadline {
        stop(process, watched: watched)
        throw CommandError(program: launch.program, reason: .timeout(timeout))
      }
    }
    switch reap(process) {
    case .exited(let status): result.status = status
    case .signalled(let number): throw CommandError(program: launch.program, reason: .signal(number))
    }
    return result
  }

  private func writeSome(to descriptor: Int32, from offset: Int) -> Int {
    let count = input.withUnsafeBytes { bytes in
      write(descriptor, bytes.baseAddress?.advanced(by: offset), bytes.count - offset)
    }
    if count < 0 { return errno == EAGAIN || errno == EINTR ? offset : input.count }
    return offset + count
  }

  /// Reads what is there; false at the end of the stream.
  private func drain(_ descriptor: Int32, into bytes: inout [UInt8]) -> Bool {
    guard descriptor >= 0 else { return false }
    var chunk = [UInt8](repeating: 0, count: 65536)
    while bytes.count <= outputLimit {
      let count = read(descriptor, &chunk, chunk.count)
      if count > 0 {
        bytes.append(contentsOf: chunk[..<count])
      } else {
        return count < 0 && (errno == EAGAIN || errno == EINTR)
      }
    }
    return true
  }
}

/// How a process ended.
public enum Ending: Sendable, Equatable {
  /// By itself, with this status.
  case exited(Int)
  /// By a signal, ours included.
  case signalled(Int32)
}

/// Takes the ending of a process that has ended or is about to.
func reap(_ process: pid_t) -> Ending {
  var status: Int32 = 0
  while waitpid(process, &status, 0) < 0, errno == EINTR {}
  let signal = status & 0x7f
  return signal == 0 ? .exited(Int(status >> 8) & 0xff) : .signalled(signal)
}

/// Ends a whole process group and reaps its leader: SIGTERM, a second's grace for the leader, SIGKILL for what is left.
///
/// The leader is reaped last: until then its number cannot become another group's.
@discardableResult
func stop(_ process: pid_t, watched: Int32, grace: Duration = .seconds(1)) -> Ending {
  kill(-process, SIGTERM)
  var item = pollfd(fd: watched, events: Int16(POLLIN), revents: 0)
  let deadline = ContinuousClock.now + grace
  while poll(&item, 1, milliseconds(until: deadline)) < 0, errno == EINTR {}
  kill(-process, SIGKILL)
  return reap(process)
}

/// For poll(2): rounded up, so that it does not spin through the last millisecond.
func milliseconds(until deadline: ContinuousClock.Instant) -> Int32 {
  let left = deadline - ContinuousClock.now
  if left <= .zero { return 0 }
  let (seconds, attoseconds) = left.components
  if seconds > 1_000_000 { return Int32.max }
  return Int32(seconds * 1000 + attoseconds / 1_000_000_000_000_000) + 1
}

func setNonBlocking(_ descriptor: Int32) {
  _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK)
}

/// Both ends of a pipe; an end that was closed is -1, which poll(2) passes over. Closed with the object.
final class Pipe {
  private(set) var reading: Int32
  private(set) var writing: Int32

  init(_ launch: Launch) throws {
    var ends: [Int32] = [-1, -1]
    guard clinux_pipe(&ends) == 0 else {
      throw CommandError(program: launch.program, reason: .notStarted(errno))
    }
    (reading, writing) = (ends[0], ends[1])
  }
  deinit {
    closeReading()
    closeWriting()
  }
  func closeReading() {
    if reading >= 0 { close(reading) }
    reading = -1
  }
  func closeWriting() {
    if writing >= 0 { close(writing) }
    writing = -1
  }
}
