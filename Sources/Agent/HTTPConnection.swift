import CLinux
import Glibc

/// One request to the server.
struct HTTPRequest {
  var method: String
  /// From the first slash on; only letters that need no escaping (see ``HTTPConnection/isSafePath(_:)``).
  var path: String
  var headers: [(String, String)] = []
  var body: [UInt8]?
}

/// The status and the headers of an answer; names in lower case.
struct HTTPResponse {
  var status: Int
  var headers: [(name: String, value: String)]
  func header(_ name: String) -> String? { headers.first { $0.name == name }?.value }
}

/// HTTP/1.1 over one blocking socket, kept open between requests (RFC 9112, the parts the agent's protocol uses).
///
/// A connection belongs to one thread. Every failure is ``AgentError`` `.unreachable`: with a server that may be
/// killed at any moment, a cut answer is the same as none.
final class HTTPConnection {
  private enum Body { case none, length(Int), chunked(Int), untilClose }

  let server: ServerAddress
  private var socket: Int32 = -1
  private var body = Body.none
  private var keepAlive = false
  /// Bytes received and not yet taken.
  private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 65536, alignment: 16)
  private var start = 0
  private var end = 0

  init(server: ServerAddress) { self.server = server }
  deinit {
    close()
    buffer.deallocate()
  }

  /// True for a path that can be put on a request line as it is: no space, control character or fragment.
  static func isSafePath(_ path: String) -> Bool {
    path.hasPrefix("/") && path.utf8.count <= 512
      && path.utf8.allSatisfy { isBase64URL($0) || "/.?=&%~+,:".utf8.contains($0) }
  }

  func close() {
    if socket >= 0 { _ = Glibc.close(socket) }
    socket = -1
    start = 0
    end = 0
    body = .none
    keepAlive = false
  }

  /// Sends `request` and reads the answer's head; the body is read with ``readBody(into:)``.
  /// - Parameter timeout: seconds without a byte after which the server counts as gone.
  func send(_ request: HTTPRequest, timeout: Int) throws -> HTTPResponse {
    // What is left of an answer that nobody read would be taken for the next one.
    if case .none = body, keepAlive {} else { close() }
    let reused = socket >= 0
    do {
      return try exchange(request, timeout: timeout)
    } catch {
      close()
      // A kept connection may have been closed by the server in the meantime: no reason to complain.
      guard reused else { throw error }
      do { return try exchange(request, timeout: timeout) } catch {
        close()
        throw error
      }
    }
  }

  /// Reads the next bytes of the body into `target`; 0 at the end of the body.
  func readBody(into target: UnsafeMutableRawBufferPointer) throws -> Int {
    do {
      switch body {
      case .none: return 0
      case .length(let rest):
        let count = try take(into: target, limit: rest)
        guard count > 0 else { throw cut() }
        body = rest == count ? .none : .length(rest - count)
        return count
      case .chunked(let rest):
        var rest = rest
        if rest == 0 {
          rest = try readChunkSize()
          if rest == 0 {
            while try !readLine().isEmpty {}
            body = .none
            return 0
          }
        }
        let count = try take(into: target, limit: rest)
        guard count > 0 else { throw cut() }
        if rest == count {
          guard try readLine().isEmpty else { throw AgentError(.unreachable, "The server's chunks are malformed.") }
        }
        body = .chunked(rest - count)
        return count
      case .untilClose:
        let count = try take(into: target, limit: target.count)
        if count == 0 { close() }
        return count
      }
    } catch {
      close()
      throw error
    }
  }

  /// The whole rest of the body.
  /// - Throws: ``AgentError`` `.refused` when it is longer than `limit` bytes.
  func readWholeBody(limit: Int) throws -> [UInt8] {
    var all: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 16384)
    while true {
      let count = try piece.withUnsafeMutableBytes { try readBody(into: $0) }
      if count == 0 { return all }
      guard all.count + count <= limit else {
        close()
        throw AgentError(.refused, "The server's answer is longer than \(limit) bytes.")
      }
      all.append(contentsOf: piece[..<count])
    }
  }

  // MARK: - One exchange

  private func exchange(_ request: HTTPRequest, timeout: Int) throws -> HTTPResponse {
    if socket < 0 { try connect(timeout: min(timeout, 10)) }
    set(timeout: timeout)
    var head = "\(request.method) \(request.path) HTTP/1.1\r\nHost: \(server.description.dropFirst(7))\r\n"
    for (name, value) in request.headers { head += "\(name): \(value)\r\n" }
    if let body = request.body { head += "Content-Length: \(body.count)\r\n" }
    try sendAll(Array((head + "\r\n").utf8) + (request.body ?? []))
    var response = try readHead()
    // 1xx are not answers yet.
    while (100..<200).contains(response.status) { response = try readHead() }
    keepAlive = response.header("connection")?.lowercased() != "close"
    if request.method == "HEAD" || response.status == 204 || response.status == 304 {
      body = .none
    } else if let coding = response.header("transfer-encoding") {
      guard coding.lowercased() == "chunked" else {
        throw AgentError(.unreachable, "The server answered with an unknown transfer coding.")
      }
      body = .chunked(0)
    } else if let text = response.header("content-length") {
      guard let length = Int(text), length >= 0 else {
        throw AgentError(.unreachable, "The server answered with a malformed length.")
      }
      body = length == 0 ? .none : .length(length)
    } else {
      body = .untilClose
      keepAlive = false
    }
    return response
  }

  private func connect(timeout: Int) throws {
    socket = Glibc.socket(server.isIPv6 ? AF_INET6 : AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    guard socket >= 0 else { throw failure("open a socket") }
    set(timeout: timeout)
    let result = server.withSocketAddress { Glibc.connect(socket, $0, $1) }
    guard result == 0 else { throw failure("connect") }
    var yes: Int32 = 1
    setsockopt(socket, Int32(IPPROTO_TCP), TCP_NODELAY, &yes, socklen_t(MemoryLayout<Int32>.size))
  }

  private func set(timeout seconds: Int) {
    var time = timeval(tv_sec: seconds, tv_usec: 0)
    let size = socklen_t(MemoryLayout<timeval>.size)
    setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &time, size)
    setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &time, size)
  }

  private func sendAll(_ bytes: [UInt8]) throws {
    try bytes.withUnsafeBytes { raw in
      var sent = 0
      while sent < raw.count {
        let count = Glibc.send(
          socket, raw.baseAddress?.advanced(by: sent), raw.count - sent, Int32(MSG_NOSIGNAL))
        if count < 0, errno == EINTR { continue }
        guard count > 0 else { throw failure("send") }
        sent += count
      }
    }
  }

  // MARK: - Reading

  private func readHead() throws -> HTTPResponse {
    let status = try readLine().split(separator: " ", maxSplits: 2)
    guard status.count >= 2, status[0].hasPrefix("HTTP/1."), let code = Int(status[1]), (100..<600).contains(code)
    else {
      throw AgentError(.unreachable, "What answers at \(server) does not speak HTTP.")
    }
    var headers: [(name: String, value: String)] = []
    while true {
      let line = try readLine()
      if line.isEmpty { break }
      guard headers.count < 100 else { throw AgentError(.unreachable, "The server sent more than 100 headers.") }
      guard let colon = line.firstIndex(of: ":") else { continue }
      let value = line[line.index(after: colon)...]
      headers.append((line[..<colon].lowercased(), trimmed(value)))
    }
    return HTTPResponse(status: code, headers: headers)
  }

  private func readChunkSize() throws -> Int {
    let line = try readLine()
    let digits = line.prefix { $0 != ";" }
    guard digits.utf8.count <= 15, let size = Int(trimmed(digits), radix: 16), size >= 0 else {
      throw AgentError(.unreachable, "The server's chunks are malformed.")
    }
    return size
  }

  /// One line without its end, at most 8 KiB.
  private func readLine() throws -> String {
    var line: [UInt8] = []
    while true {
      if start == end {
        guard try fill() > 0 else { throw cut() }
      }
      let byte = buffer[start]
      start += 1
      if byte == UInt8(ascii: "\n") {
        if line.last == UInt8(ascii: "\r") { line.removeLast() }
        return String(decoding: line, as: UTF8.self)
      }
      guard line.count < 8192 else { throw AgentError(.unreachable, "The server sent a line longer than 8 KiB.") }
      line.append(byte)
    }
  }

  /// Bytes from the buffer, or straight from the socket when it is empty.
  private func take(into target: UnsafeMutableRawBufferPointer, limit: Int) throws -> Int {
    let wanted = min(target.count, limit)
    guard wanted > 0 else { return 0 }
    if start == end {
      if wanted >= 4096 { return try receive(UnsafeMutableRawBufferPointer(rebasing: target[..<wanted])) }
      if try fill() == 0 { return 0 }
    }
    let count = min(wanted, end - start)
    target.copyMemory(from: UnsafeRawBufferPointer(rebasing: buffer[start..<(start + count)]))
    start += count
    return count
  }

  private func fill() throws -> Int {
    start = 0
    end = 0
    end = try receive(buffer)
    return end
  }

  private func receive(_ target: UnsafeMutableRawBufferPointer) throws -> Int {
    while true {
      let count = recv(socket, target.baseAddress, target.count, 0)
      if count >= 0 { return count }
      if errno != EINTR { throw failure("receive") }
    }
  }

  private func cut() -> AgentError { AgentError(.unreachable, "The server closed the connection in the middle.") }

  private func failure(_ what: String) -> AgentError {
    let reason = errno == EAGAIN || errno == EINPROGRESS ? "it did not answer in time" : errorText(errno)
    return AgentError(.unreachable, "Cannot \(what) (\(server)): \(reason).")
  }
}

/// What the system says about an error number.
func errorText(_ number: Int32) -> String {
  var text = [CChar](repeating: 0, count: 256)
  guard strerror_r(number, &text, text.count) == 0 else { return "error \(number)" }
  return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
}

func trimmed(_ text: some StringProtocol) -> String {
  var bytes = Array(text.utf8)[...]
  while let first = bytes.first, first <= 0x20 { bytes = bytes.dropFirst() }
  while let last = bytes.last, last <= 0x20 { bytes = bytes.dropLast() }
  return String(decoding: bytes, as: UTF8.self)
}
