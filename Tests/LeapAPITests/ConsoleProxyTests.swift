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
import TestSupport
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

@Suite struct ConsoleProxyTests {
  private func token(_ site: LeaseSite, _ node: String, _ life: JSON = "600", as token: String) async throws
    -> LeaseSite.Answer
  {
    try await site.call(
      .post, "/v1/console_auth_tokens", ["node_uuid_or_name": .string(node), "token_ttl": life], as: token)
  }

  /// Whether it ends with the status code 1008, "policy violation", and nothing of a console before it.
  private func isRefused(_ client: WebSocketClient) -> Bool {
    let answer = client.receive()
    return answer.hasPrefix("HTTP/1.1 101") && !answer.contains("booted")
      && client.bytes.suffix(4) == [0x88, 2, 0x03, 0xf0]
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
    let reader = try WebSocketClient(port: socket.port)
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
      let other = try WebSocketClient(port: socket.port)
      other.handshake(query)
      #expect(isRefused(other), "\(query)")
    }
    let plain = try WebSocketClient(port: socket.port)
    plain.send("GET / HTTP/1.1\r\nHost: c\r\n\r\n")
    #expect(plain.receive().hasPrefix("HTTP/1.1 403"))

    // Too late, or another lease's by now.
    try await give("late", .seconds(1))
    site.clock.advance(by: .seconds(2))
    let late = try WebSocketClient(port: socket.port)
    late.handshake("?token=late")
    #expect(isRefused(late))
    try await give("before")
    try await site.change(node) { $0.leaseUUID = "another" }
    let before = try WebSocketClient(port: socket.port)
    before.handshake("?token=before")
    #expect(isRefused(before))

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
      let peer = try WebSocketClient(port: socket.port)
      peer.handshake("?token=\(name)")
      _ = peer.receive(until: "booted")
      peer.send(bytes)
      #expect(peer.receive().hasSuffix("<end>"), "\(bytes)")
    }
    try await give("last")
    let last = try WebSocketClient(port: socket.port)
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
