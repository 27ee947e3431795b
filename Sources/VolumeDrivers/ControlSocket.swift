import CLinux
import Glibc
import Processes

/// Why a daemon did not do what it was asked through its control socket.
enum ControlError: Error, Sendable, Equatable, CustomStringConvertible {
  /// Nobody listens there.
  case notRunning
  /// The socket cannot be used at all (an errno).
  case system(Int32)
  /// No answer in the time limit.
  case late(Duration)
  /// The connection ended before the answer.
  case lost
  case badReply(String)
  /// The daemon's own words, and its number for them where it has one.
  case refused(String, code: Int = 0)

  var description: String {
    switch self {
    case .notRunning: "it does not run"
    case .system(let number): errorText(number)
    case .late(let limit): "no answer after \(limit)"
    case .lost: "the connection was lost before the answer"
    case .badReply(let what): "an answer that cannot be read: \(what)"
    case .refused(let words, _): words
    }
  }
}

/// A connection to a daemon's socket, used by a thread that may block; closed with the object.
final class ControlSocket {
  private let descriptor: Int32
  private let deadline: ContinuousClock.Instant
  private let limit: Duration

  /// - Parameter limit: for everything that is done with the connection.
  init(_ path: String, limit: Duration) throws(ControlError) {
    self.limit = limit
    deadline = .now + limit
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let fits = withUnsafeMutableBytes(of: &address.sun_path) { field in
      guard path.utf8.count < field.count else { return false }
      field.copyBytes(from: path.utf8)
      return true
    }
    guard fits else { throw .system(ENAMETOOLONG) }
    descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
    guard descriptor >= 0 else { throw .system(errno) }
    while true {
      let result = withUnsafePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
        }
      }
      if result == 0 { return }
      switch errno {
      case ENOENT, ECONNREFUSED: throw .notRunning
      // Others are being served.
      case EAGAIN where ContinuousClock.now < deadline: usleep(5000)
      case EAGAIN: throw .late(limit)
      case let number: throw .system(number)
      }
    }
  }
  deinit { close(descriptor) }

  /// The process that listens.
  var peer: pid_t { clinux_peer_process(descriptor) }

  func send(_ bytes: [UInt8]) throws(ControlError) {
    var sent = 0
    while sent < bytes.count {
      let count = bytes.withUnsafeBytes {
        Glibc.send(descriptor, $0.baseAddress?.advanced(by: sent), bytes.count - sent, Int32(MSG_NOSIGNAL))
      }
      if count > 0 {
        sent += count
      } else if errno == EAGAIN {
        try wait(for: POLLOUT)
      } else if errno != EINTR {
        throw .lost
      }
    }
  }

  /// What has come, at least a byte; nothing at the end of the stream.
  func receive() throws(ControlError) -> [UInt8] {
    var chunk = [UInt8](repeating: 0, count: 65536)
    while true {
      let count = recv(descriptor, &chunk, chunk.count, 0)
      if count >= 0 { return Array(chunk[..<count]) }
      guard errno == EAGAIN || errno == EINTR else { throw .lost }
      try wait(for: POLLIN)
    }
  }

  private func wait(for event: Int32) throws(ControlError) {
    var item = pollfd(fd: descriptor, events: Int16(event), revents: 0)
    let (seconds, attoseconds) = (deadline - .now).components
    let left = seconds * 1000 + attoseconds / 1_000_000_000_000_000 + 1
    guard left > 0 else { throw .late(limit) }
    let count = poll(&item, 1, Int32(clamping: left))
    if count == 0 { throw .late(limit) }
    guard count > 0 || errno == EINTR else { throw .system(errno) }
  }
}

/// Runs `body`, which blocks, on a thread of its own.
func onThread<T: Sendable>(_ name: String, _ body: @escaping @Sendable () throws -> T) async throws -> T {
  try await withCheckedThrowingContinuation { continuation in
    startThread(name) { continuation.resume(with: Result { try body() }) }
  }
}
