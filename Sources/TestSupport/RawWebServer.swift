import Glibc
import Processes
import Synchronization

/// A web server on a loopback address that says what a test tells it, byte for byte, however wrong it is.
public final class RawWebServer: Sendable {
  public enum Act: Sendable {
    case send([UInt8])
    /// Says nothing more until the client leaves or the server is closed.
    case stand
    /// Sends the same until the client leaves.
    case sendForEver([UInt8])
    public static func text(_ text: String) -> Act { .send(Array(text.utf8)) }
  }
  public let port: Int
  private let socket: Int32
  private let asked = Mutex<[String]>([])
  private let open = Mutex<Set<Int32>>([])
  private let isOpen = Atomic<Bool>(true)
  /// The paths that were asked for, in order.
  public var requests: [String] { asked.withLock { $0 } }

  /// - Parameters:
  ///   - port: 0 for a free one.
  ///   - answer: what is said to a request for a path; the connection is closed at its end.
  public init(
    address: String = "127.0.0.1", port: Int = 0, _ answer: @escaping @Sendable (_ path: String) -> [Act]
  ) throws {
    socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    var name = sockaddr_in()
    name.sin_family = sa_family_t(AF_INET)
    name.sin_port = in_port_t(port).bigEndian
    inet_pton(AF_INET, address, &name.sin_addr)
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let socket = socket
    let isListening = withUnsafeMutablePointer(to: &name) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(socket, $0, length) == 0 && listen(socket, 16) == 0 && getsockname(socket, $0, &length) == 0
      }
    }
    guard isListening else {
      Glibc.close(socket)
      throw CommandError(program: "listen", reason: .notStarted(errno))
    }
    self.port = Int(in_port_t(bigEndian: name.sin_port))
    startThread("raw web") { [self] in
      while true {
        let connection = accept(socket, nil, nil)
        guard connection >= 0 else {
          Glibc.close(socket)
          return
        }
        open.withLock { _ = $0.insert(connection) }
        startThread("raw web") { [self] in serve(connection, answer) }
      }
    }
  }

  private func serve(_ connection: Int32, _ answer: (String) -> [Act]) {
    defer {
      open.withLock {
        _ = $0.remove(connection)
        Glibc.close(connection)
      }
    }
    var head: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 4096)
    while !head.suffix(4).elementsEqual([13, 10, 13, 10]) {
      let count = recv(connection, &buffer, buffer.count, 0)
      guard count > 0 else { return }
      head += buffer.prefix(count)
    }
    let words = String(decoding: head, as: UTF8.self).split(separator: " ")
    let path = words.count > 1 ? String(words[1]) : ""
    asked.withLock { $0.append(path) }
    for act in answer(path) {
      switch act {
      case .send(let bytes): guard send(bytes, connection) else { return }
      case .stand: while recv(connection, &buffer, buffer.count, 0) > 0 {}
      case .sendForEver(let bytes): while send(bytes, connection) {}
      }
    }
  }
  private func send(_ bytes: [UInt8], _ connection: Int32) -> Bool {
    var sent = 0
    while sent < bytes.count {
      let count = bytes[sent...].withUnsafeBytes {
        Glibc.send(connection, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
      }
      guard count > 0 else { return false }
      sent += count
    }
    return true
  }

  /// Ends it and all its connections.
  public func close() {
    guard isOpen.exchange(false, ordering: .relaxed) else { return }
    shutdown(socket, Int32(SHUT_RDWR))
    open.withLock { for connection in $0 { shutdown(connection, Int32(SHUT_RDWR)) } }
  }
}
