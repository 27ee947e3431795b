import Glibc
import Synchronization
import Wire

@testable import Agent

/// Stands in for the server's provisioning listener, on loopback, with a script of what to answer. It can cut a body
/// short, and stop listening and come back on the same port, as a server that was killed does.
final class FakeServer: Sendable {
  struct Request: Sendable {
    var method = ""
    var path = ""
    var headers: [String: String] = [:]
    var body: [UInt8] = []
    var json: JSON { (try? JSON.parse(body)) ?? .null }
  }
  struct Reply: Sendable {
    var status = 200
    var headers: [(String, String)] = []
    var body: [UInt8] = []
    /// Sends only so many bytes of the body and closes the connection.
    var cutAfter: Int?
    var isChunked = false
    init(_ status: Int = 200, _ body: [UInt8] = [], headers: [(String, String)] = []) {
      self.status = status
      self.body = body
      self.headers = headers
    }
    init(_ json: JSON) { body = Array(json.description.utf8) }
  }

  let port: UInt16
  private let listener: Mutex<Int32>
  private let seen = Mutex<[Request]>([])
  private let answer: @Sendable (Request) -> Reply

  var requests: [Request] { seen.withLock { $0 } }
  func requests(_ path: String) -> [Request] { requests.filter { $0.path.hasPrefix(path) } }

  init(_ answer: @escaping @Sendable (Request) -> Reply) {
    self.answer = answer
    let (descriptor, port) = Self.listen(port: 0)
    self.port = port
    listener = Mutex(descriptor)
    accept(descriptor)
  }
  deinit { stop() }

  var address: String { "http://127.0.0.1:\(port)" }

  /// Closes the port: the next connection is refused.
  func stop() {
    listener.withLock { descriptor in
      if descriptor >= 0 {
        shutdown(descriptor, Int32(SHUT_RDWR))
        close(descriptor)
      }
      descriptor = -1
    }
  }
  func start() {
    let (descriptor, _) = Self.listen(port: port)
    listener.withLock { $0 = descriptor }
    accept(descriptor)
  }

  private static func listen(port: UInt16) -> (Int32, UInt16) {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var yes: Int32 = 1
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, 4)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        _ = bind(descriptor, $0, size)
        _ = Glibc.listen(descriptor, 16)
        getsockname(descriptor, $0, &size)
      }
    }
    return (descriptor, UInt16(bigEndian: address.sin_port))
  }

  private func accept(_ descriptor: Int32) {
    startThread { [weak self] in
      while true {
        let connection = Glibc.accept(descriptor, nil, nil)
        guard connection >= 0 else { return }
        startThread { [weak self] in
          while let self, let request = Self.read(connection) {
            self.seen.withLock { $0.append(request) }
            guard Self.write(self.answer(request), to: connection) else { break }
          }
          close(connection)
        }
      }
    }
  }

  private static func read(_ connection: Int32) -> Request? {
    var head: [UInt8] = []
    var byte: UInt8 = 0
    while !head.suffix(4).elementsEqual([13, 10, 13, 10]) {
      guard recv(connection, &byte, 1, 0) == 1 else { return nil }
      head.append(byte)
    }
    let lines = String(decoding: head, as: UTF8.self).split(separator: "\r\n")
    let first = lines[0].split(separator: " ")
    var request = Request(method: String(first[0]), path: String(first[1]))
    for line in lines.dropFirst() {
      guard let colon = line.firstIndex(of: ":") else { continue }
      request.headers[line[..<colon].lowercased()] = trimmed(line[line.index(after: colon)...])
    }
    let length = Int(request.headers["content-length"] ?? "0") ?? 0
    request.body = [UInt8](repeating: 0, count: length)
    var done = 0
    while done < length {
      let count = request.body.withUnsafeMutableBytes { raw in
        recv(connection, raw.baseAddress?.advanced(by: done), length - done, 0)
      }
      guard count > 0 else { return nil }
      done += count
    }
    return request
  }

  /// False when the connection must be closed.
  private static func write(_ reply: Reply, to connection: Int32) -> Bool {
    var head = "HTTP/1.1 \(reply.status) x\r\n"
    for (name, value) in reply.headers { head += "\(name): \(value)\r\n" }
    var body = reply.body
    if reply.isChunked {
      head += "Transfer-Encoding: chunked\r\n"
      body = stride(from: 0, to: body.count, by: 1000).flatMap { at -> [UInt8] in
        let piece = reply.body[at..<min(at + 1000, reply.body.count)]
        return Array("\(String(piece.count, radix: 16))\r\n".utf8) + piece + Array("\r\n".utf8)
      }
      body += Array("0\r\n\r\n".utf8)
    } else if reply.status != 204 {
      head += "Content-Length: \(body.count)\r\n"
    }
    let bytes = Array((head + "\r\n").utf8) + body.prefix(reply.cutAfter ?? body.count)
    var done = 0
    while done < bytes.count {
      let count = bytes.withUnsafeBytes { raw in
        send(connection, raw.baseAddress?.advanced(by: done), bytes.count - done, Int32(MSG_NOSIGNAL))
      }
      guard count > 0 else { return false }
      done += count
    }
    return reply.cutAfter == nil
  }
}
