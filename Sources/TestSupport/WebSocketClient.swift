import Glibc
import Processes

/// A client of a WebSocket that writes what it likes, and reads frames as they come. Blocks, at most ten seconds.
public final class WebSocketClient {
  private let descriptor: Int32
  /// All that has come.
  public private(set) var bytes: [UInt8] = []
  public init(port: Int) throws {
    descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = UInt16(port).bigEndian
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    let code = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    guard code == 0 else { throw CommandError(program: "connect", reason: .notStarted(errno)) }
    var patience = timeval(tv_sec: 10, tv_usec: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
  }
  deinit { close(descriptor) }
  public func send(_ text: String) { send(Array(text.utf8)) }
  public func send(_ bytes: [UInt8]) {
    _ = bytes.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
  }
  /// What comes until `text` is in it, or the end.
  public func receive(until text: String = "\u{0}never") -> String {
    var all = ""
    var buffer = [UInt8](repeating: 0, count: 4096)
    while !all.contains(text) {
      let count = recv(descriptor, &buffer, buffer.count, 0)
      if count <= 0 { return all + "<end>" }
      bytes += buffer[..<count]
      all += String(decoding: buffer[..<count], as: UTF8.self)
    }
    return all
  }
  /// - Parameter query: "?token=…".
  public func handshake(_ query: String) {
    send(
      "GET /\(query) HTTP/1.1\r\nHost: c\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        + "Sec-WebSocket-Protocol: binary\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
  }
}
