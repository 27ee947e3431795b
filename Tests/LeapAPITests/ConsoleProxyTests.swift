import APISupport
import Conductor
import Cryptography
import Domain
import DriverInterfaces
import Glibc
import LeapAPI
import Logging
import Store
import Synchronization
import Testing
import Wire

/// Consoles that say what the test says.
private final class Voices: NodeConsoles {
  private let readers = Mutex<[String: [AsyncStream<[UInt8]>.Continuation]]>([:])
  func start(node uuid: String, driver: NodeDriver) async {}
  func stop(node uuid: String) async {}
  func markPowerOn(node uuid: String) async {}
  func openPort(node uuid: String) async throws -> String { "" }
  func closePort(node uuid: String) async {
    for reader in readers.withLock({ $0.removeValue(forKey: uuid) ?? [] }) { reader.finish() }
  }
  func url(node uuid: String) async -> String? { nil }
  func text(node uuid: String, since start: ConsoleStart, limit: Int) async -> [UInt8] { [] }
  func follow(node uuid: String, since start: ConsoleStart) -> AsyncStream<[UInt8]> {
    AsyncStream { reader in
      reader.yield(Array("booted \(uuid) ".utf8))
      readers.withLock { $0[uuid, default: []].append(reader) }
    }
  }
  func say(_ text: String, _ uuid: String) {
    for reader in readers.withLock({ $0[uuid] ?? [] }) { reader.yield(Array(text.utf8)) }
  }
}

/// A client that writes what it likes.
private final class Client {
  private let descriptor: Int32
  private var bytes: [UInt8] = []
  init(port: Int) throws {
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
    guard code == 0 else { throw FileFailure() }
    var patience = timeval(tv_sec: 10, tv_usec: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
  }
  deinit { close(descriptor) }
  func send(_ text: String) { send(Array(text.utf8)) }
  func send(_ bytes: [UInt8]) {
    _ = bytes.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
  }
  /// What comes until `text` is in it, or the end.
  func receive(until text: String = "\u{0}never") -> String {
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
  /// Whether it ends with the status code 1008, "policy violation", and nothing of a console before it.
  func isRefused() -> Bool {
    let answer = receive()
    return answer.hasPrefix("HTTP/1.1 101") && !answer.contains("booted") && bytes.suffix(4) == [0x88, 2, 0x03, 0xf0]
  }
  func handshake(_ query: String) {
    send(
      "GET /\(query) HTTP/1.1\r\nHost: c\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        + "Sec-WebSocket-Protocol: binary\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
  }
}

@Suite struct ConsoleProxyTests {
  private func token(_ site: LeaseSite, _ node: String, _ life: JSON = "600", as token: String) async throws
    -> LeaseSite.Answer
  {
    try await site.call(
      .post, "/v1/console_auth_tokens", ["node_uuid_or_name": .string(node), "token_ttl": life], as: token)
  }

  @Test func abuse44_aTokenOpensOneConsoleOnceAndDiesWithTheLease() async throws {
    let site = try await LeaseSite()
    let voices = Voices()
    let socket = try ListeningSocket.open(host: "127.0.0.1", port: 0)
    var logger = Logger(label: "proxy")
    logger.logLevel = .critical
    let proxy = try ConsoleProxy(
      socket: socket, database: site.database, consoles: voices, logger: logger,
      clock: { [clock = site.clock] in clock.now })
    let serving = Task { try await proxy.run() }
    let node = try await site.enrol("n1")
    func give(_ token: String, _ life: Duration = .seconds(600)) async throws {
      let lease = try await site.node(node).leaseUUID, end = site.clock.now + life, digest = Digest.sha256Hex(token)
      try await site.database.write {
        try ConsoleTokenStore.insert(digest: digest, node: node, lease: lease, until: end, in: $0)
      }
    }

    // Shown once, it opens; the protocol is what websockify's clients know.
    try await give("good")
    let reader = try Client(port: socket.port)
    reader.handshake("?token=good")
    let start = reader.receive(until: "booted \(node) ")
    #expect(start.hasPrefix("HTTP/1.1 101") && start.contains("Sec-WebSocket-Protocol: binary"))
    #expect(start.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "RFC 6455 §1.3")
    voices.say("and on", node)
    #expect(reader.receive(until: "and on").contains("and on"))
    // A ping is answered, what it writes goes nowhere.
    reader.send([0x89, 0x81, 1, 2, 3, 4, 0x70 ^ 1])
    reader.send([0x82, 0x81, 1, 2, 3, 4, 0x21 ^ 1])
    #expect(reader.receive(until: "\u{1}p").contains("p"))

    for query in ["?token=good", "?token=guess", "?token=", "", "?token=\(String(repeating: "x", count: 300))"] {
      let other = try Client(port: socket.port)
      other.handshake(query)
      #expect(other.isRefused(), "\(query)")
    }
    let plain = try Client(port: socket.port)
    plain.send("GET / HTTP/1.1\r\nHost: c\r\n\r\n")
    #expect(plain.receive().hasPrefix("HTTP/1.1 403"))

    // Too late, or another lease's by now.
    try await give("late", .seconds(1))
    site.clock.advance(by: .seconds(2))
    let late = try Client(port: socket.port)
    late.handshake("?token=late")
    #expect(late.isRefused())
    try await give("before")
    try await site.change(node) { $0.leaseUUID = "another" }
    let before = try Client(port: socket.port)
    before.handshake("?token=before")
    #expect(before.isRefused())

    // The end of the lease closes the node's console, and with it who reads.
    await voices.closePort(node: node)
    #expect(reader.receive().hasSuffix("<end>"))

    // Hostile peers: no frame of theirs is too long, too broken or too slow for the proxy.
    for bytes: [UInt8] in [
      [0x82, 0xff] + [UInt8](repeating: 0xff, count: 8) + [1, 2, 3, 4], [0x82, 0x05, 1, 2, 3, 4, 5],
      [0xff, 0xff, 0xff],
      [0x88, 0x81, 0, 0, 0, 0, 1],
    ] {
      try await site.change(node) { $0.leaseUUID = nil }
      let name = "hostile-\(bytes.count)-\(bytes[0])-\(bytes[1])"
      try await give(name)
      let peer = try Client(port: socket.port)
      peer.handshake("?token=\(name)")
      _ = peer.receive(until: "booted")
      peer.send(bytes)
      #expect(peer.receive().hasSuffix("<end>"), "\(bytes)")
    }
    try await give("last")
    let last = try Client(port: socket.port)
    last.handshake("?token=last")
    #expect(last.receive(until: "booted").hasPrefix("HTTP/1.1 101"))
    serving.cancel()
    _ = await serving.result
  }

  @Test func tokensAreForThoseWhoMayUseTheNode() async throws {
    let site = try await LeaseSite()
    let node = try await site.enrol("n1")
    let owner = site.token("owners")
    for stranger in [site.token("beta"), site.token("alpha")] {
      let foreign = try await token(site, "n1", as: stranger)
      #expect(foreign.status == 404 && foreign.fault == "Node n1 could not be found. (HTTP 404)")
      #expect(try await site.call(.delete, "/v1/console_auth_tokens/n1", as: stranger).status == 404)
    }
    for wrong: JSON in [0, -1, "0", "soon", 100_000, [:]] {
      #expect(try await token(site, "n1", wrong, as: owner).status == 400, "\(wrong)")
    }
    #expect(try await token(site, "n1", as: site.token("owners", roles: ["reader"])).status == 403)
    #expect(try await token(site, node, as: owner).status == 404, "this server keeps no consoles")
  }
}
