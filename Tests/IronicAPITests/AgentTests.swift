import Cryptography
import Domain
import Glibc
import HTTPTypes
import Store
import Testing
import Wire

@Suite struct AgentTests {
  private static let mac = "52:54:00:aa:00:01"
  private static let secret = String(repeating: "s", count: 43)

  /// A node with one port whose workflow waits for an agent.
  private func admitted(_ site: Site, workflow: String = Identifier.uuid(), mac: String = mac) async throws -> String {
    let uuid = try await site.node("n-\(mac.suffix(2))")
    try await site.database.write { session in
      if try PortStore.byAddress(mac, in: session) == nil {
        try PortStore.insert(
          Port(uuid: Identifier.uuid(), nodeUUID: uuid, address: mac, createdAt: Site.now()), in: session)
      }
      try AgentStore.admit(node: uuid, workflow: workflow, at: Site.now(), in: session)
    }
    return uuid
  }
  private func token(_ site: Site, _ mac: String = mac) async throws -> String {
    let words = try await site.agent(.get, "/boot/ipxe?mac=\(mac)").text.split(separator: " ")
    return words.count == 3 ? String(words[1]) : ""
  }
  private func claim(_ site: Site, token: String, mac: String = mac, secret: String = secret, inventory: JSON = [:])
    async throws -> Site.Answer
  {
    try await site.agent(
      .post, "/agent/v1/claim",
      ["token": .string(token), "mac": .string(mac), "secret": .string(secret), "version": 1, "inventory": inventory])
  }

  @Test func onlyAMachineThatIsWaitedForBootsTheAgent() async throws {
    try await withSite { site in
      _ = try await admitted(site)
      #expect(try await site.agent(.get, "/boot/ipxe?mac=\(Self.mac)").text.hasPrefix("agent "))
      #expect(try await site.agent(.get, "/boot/ipxe?mac=52-54-00-AA-00-01").text.hasPrefix("agent "))
      for query in ["", "?mac=", "?mac=52:54:00:aa:00:99", "?mac=%0a%23!ipxe", "?mac='%20OR%201=1"] {
        #expect(try await site.agent(.get, "/boot/ipxe\(query)").text == "local disk")
      }
      let kernel = try await site.agent(.get, "/boot/kernel")
      #expect(kernel.status == 404)
      #expect(kernel.json["error"]?.string?.contains("build it") == true)
    }
  }

  @Test func abuse18_aGuessedTokenOrMACGivesNothing() async throws {
    try await withSite { site in
      _ = try await admitted(site)
      _ = try await site.node("other")
      let good = try await token(site)
      for (token, mac) in [(String(repeating: "x", count: 43), Self.mac), (good, "52:54:00:aa:00:99"), ("", Self.mac)] {
        let answer = try await claim(site, token: token, mac: mac)
        #expect(answer.status == 403)
        #expect(answer.json == ["error": "No machine waits for this claim."])
      }
      #expect(try await claim(site, token: good, secret: "short").status == 403)
    }
  }

  @Test func abuse19_aBootTokenWorksOnce() async throws {
    try await withSite { site in
      let node = try await admitted(site)
      let token = try await token(site)
      let first = try await claim(site, token: token)
      #expect(first.status == 200)
      #expect(first.json["node"]?.string == node)
      // The machine's next boot is its disk, and the token is in no answer any more.
      #expect(try await site.agent(.get, "/boot/ipxe?mac=\(Self.mac)").text == "local disk")
      #expect(try await claim(site, token: token, secret: String(repeating: "t", count: 43)).status == 403)
      // The same agent whose answer was lost may ask again.
      #expect(try await claim(site, token: token).json["session"]?.string == Self.secret)
    }
  }

  @Test func commandsAreGivenUntilTheirResultIsIn() async throws {
    try await withSite { site in
      let workflow = Identifier.uuid()
      let node = try await admitted(site, workflow: workflow)
      _ = try await claim(site, token: try await token(site))
      #expect(try await site.agent(.get, "/agent/v1/command?wait=0", session: Self.secret).status == 204)
      try await site.database.write { session in
        try AgentStore.give(
          "erase", ["mode": "full"], id: "\(workflow)/erase", node: node, workflow: workflow, at: Site.now(),
          in: session)
      }
      for _ in 0..<2 {
        let command = try await site.agent(.get, "/agent/v1/command?wait=5", session: Self.secret)
        #expect(command.json == ["id": .string("\(workflow)/erase"), "kind": "erase", "parameters": ["mode": "full"]])
      }
      let progress = try await site.agent(
        .post, "/agent/v1/progress",
        ["id": .string("\(workflow)/erase"), "percent": 250, "message": "a\nb\u{1b}[31m", "remaining_seconds": 9],
        session: Self.secret)
      #expect(progress.status == 204)
      let step = try await site.call(.get, "/v1/nodes/\(node)").json["clean_step"]
      #expect(step?["percent"] == 100)
      #expect(step?["message"] == "a b [31m")
      #expect(
        try await site.agent(
          .post, "/agent/v1/result", ["id": "another", "ok": true, "output": [:]], session: Self.secret
        ).status == 404)
      let result = try await site.agent(
        .post, "/agent/v1/result",
        ["id": .string("\(workflow)/erase"), "ok": false, "error": "the disk is on fire", "log": "smoke"],
        session: Self.secret)
      #expect(result.status == 204)
      #expect(try await site.agent(.get, "/agent/v1/command?wait=0", session: Self.secret).status == 204)
      let log = try String(decoding: readFile("\(site.folder)/logs/agent/\(node).log"), as: UTF8.self)
      #expect(log == "smoke")
    }
  }

  @Test func abuse20_aSessionEndsWithItsWorkflow() async throws {
    try await withSite { site in
      let node = try await admitted(site)
      _ = try await claim(site, token: try await token(site))
      try await site.database.write { try AgentStore.dismiss(node: node, in: $0) }
      for (method, path) in [
        (HTTPRequest.Method.get, "/agent/v1/command?wait=0"), (.post, "/agent/v1/progress"),
        (.post, "/agent/v1/result"),
        (.get, "/agent/v1/image/x"), (.get, "/agent/v1/config-drive/x"), (.get, "/agent/v1/rescue/x"),
        (.post, "/agent/v1/log"),
      ] {
        #expect(
          try await site.agent(method, path, method == .post ? ["id": "x"] : nil, session: Self.secret).status == 401,
          "\(path)")
        #expect(try await site.agent(method, path, method == .post ? ["id": "x"] : nil).status == 401, "\(path)")
      }
      // An OpenStack token is worth nothing here.
      #expect(try await site.agent(.get, "/agent/v1/command", session: site.adminToken).status == 401)
    }
  }

  @Test func abuse22_anInventoryIsCountedCutAndCleaned() async throws {
    try await withSite { site in
      let node = try await admitted(site)
      let token = try await token(site)
      let nics = (0..<10_000).map { JSON.object(["name": .string("eth\($0)"), "mac": "52:54:00:00:00:01"]) }
      #expect(try await claim(site, token: token, inventory: ["interfaces": .array(nics)]).status == 400)
      let deep = String(repeating: "[", count: 10_000) + String(repeating: "]", count: 10_000)
      #expect(
        try await site.send(site.agents, .post, "/agent/v1/claim", Array("{\"inventory\": \(deep)}".utf8), [:]).status
          == 400)
      let huge = [UInt8](repeating: 0x20, count: 2 << 20)
      #expect(try await site.send(site.agents, .post, "/agent/v1/claim", huge, [:]).status == 413)

      let odd: JSON = [
        "cpus": 4, "memory_mb": 512, "evil": "kept?", "bmc_address": "10.0.0.9",
        "interfaces": [
          [
            "name": "eth0", "mac": "52:54:00:aa:00:01", "link": true,
            "lldp": [
              "chassis_id": .string(String(repeating: "A", count: 600)), "port_id": "Eth1\n#!ipxe", "system_name": "sw",
            ],
          ]
        ],
      ]
      #expect(try await claim(site, token: token, inventory: odd).status == 200)
      let shown = try await site.call(.get, "/v1/nodes/\(node)/inventory").json["inventory"]
      #expect(shown?["cpu"]?["count"] == 4)
      #expect(shown?["bmc_address"] == "10.0.0.9")
      let lldp = shown?["interfaces"]?.array?.first?["lldp"]
      #expect(lldp?["chassis_id"]?.string?.utf8.count == 255)
      #expect(lldp?["port_id"] == "Eth1 #!ipxe")
      #expect(shown?.description.contains("evil") == false)
    }
  }

  @Test func abuse20_anImageIsSentOnlyToTheMachineThatIsToHaveIt() async throws {
    try await withSite { site in
      // A file with a hole, data, zeros that are written, and data.
      let megabyte = 1 << 20
      var content = [UInt8](repeating: 0, count: 5 * megabyte + 1234)
      for index in 0..<megabyte { content[2 * megabyte + index] = UInt8(truncatingIfNeeded: index % 251 + 1) }
      for index in (content.count - 100)..<content.count { content[index] = 7 }
      try writeSparse(content, dataFrom: 2 * megabyte, to: "\(site.folder)/image")
      let image = Identifier.uuid(), workflow = Identifier.uuid()
      let node = try await admitted(site, workflow: workflow)
      try await seedImage(site, image: image, workflow: workflow, node: node, size: content.count)
      _ = try await claim(site, token: try await token(site))
      _ = try await admitted(site, mac: "52:54:00:aa:00:02")
      let otherSecret = String(repeating: "o", count: 43)
      _ = try await claim(
        site, token: try await token(site, "52:54:00:aa:00:02"), mac: "52:54:00:aa:00:02", secret: otherSecret)

      #expect(try await site.agent(.get, "/agent/v1/image/\(image)", session: otherSecret).status == 404)
      #expect(try await site.agent(.get, "/agent/v1/image/\(Identifier.uuid())", session: Self.secret).status == 404)
      #expect(try await site.agent(.get, "/agent/v1/image/..%2f..%2fetc%2fpasswd", session: Self.secret).status == 404)

      let whole = try await site.agent(.get, "/agent/v1/image/\(image)", session: Self.secret)
      #expect(whole.bytes == content)
      #expect(whole.headers[.contentLength] == "\(content.count)")
      let part = try await site.agent(
        .get, "/agent/v1/image/\(image)", session: Self.secret,
        headers: [.range: "bytes=\(2 * megabyte)-\(2 * megabyte + 9)"])
      #expect(part.status == 206)
      #expect(part.bytes == Array(content[2 * megabyte..<2 * megabyte + 10]))
      #expect(
        try await site.agent(
          .get, "/agent/v1/image/\(image)", session: Self.secret, headers: [.range: "bytes=99999999-"]
        ).status == 416)

      let field = HTTPField.Name("X-Steelyard-Extents") ?? .accept
      let extents = try await site.agent(.get, "/agent/v1/image/\(image)", session: Self.secret, headers: [field: "1"])
      #expect(try rebuilt(extents.bytes, size: content.count) == content)
      #expect(extents.bytes.count < megabyte + (256 << 10))
      let tag = extents.headers[.eTag] ?? ""
      let resumed = try await site.agent(
        .get, "/agent/v1/image/\(image)", session: Self.secret,
        headers: [field: "1", .range: "bytes=700000-", .ifRange: tag])
      #expect(resumed.status == 206)
      #expect(resumed.bytes == Array(extents.bytes.dropFirst(700_000)))
    }
  }

  private func seedImage(_ site: Site, image: String, workflow: String, node: String, size: Int) async throws {
    let output: JSON = [
      "image_id": .string(image), "config_drive": nil,
      "image": [
        "path": .string("\(site.folder)/image"), "size_bytes": .int(size),
        "sha256": .string(String(repeating: "a", count: 64)),
      ],
    ]
    _ = try await site.database.write { session in
      try session.execute(
        """
        INSERT INTO workflows (id, kind, version, subject, params, state, created_at, updated_at) \
        VALUES ($1, 'deploy-node', 1, $2, '{}', 'waiting', 1, 1)
        """, [.text(workflow), .text(node)])
      return try session.execute(
        "INSERT INTO workflow_events (workflow, seq, step, kind, data, epoch, at) VALUES ($1, 1, 'prepare-image', 'succeeded', $2, 0, 1)",
        [.text(workflow), .text(output.description)])
    }
  }

  struct Broken: Error {}
  private func rebuilt(_ stream: [UInt8], size: Int) throws -> [UInt8] {
    var out = [UInt8](repeating: 0, count: size)
    var at = 0
    func number(_ at: Int) -> Int { (0..<8).reduce(0) { $0 | Int(stream[at + $1]) << (8 * $1) } }
    while at + 16 <= stream.count {
      let offset = number(at), length = number(at + 8)
      at += 16
      if length == 0 {
        guard offset == size, at == stream.count else { throw Broken() }
        return out
      }
      guard offset + length <= size, at + length <= stream.count else { throw Broken() }
      out.replaceSubrange(offset..<offset + length, with: stream[at..<at + length])
      at += length
    }
    throw Broken()
  }

  private func writeSparse(_ bytes: [UInt8], dataFrom start: Int, to path: String) throws {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    guard descriptor >= 0 else { throw Broken() }
    defer { close(descriptor) }
    let written = bytes[start...].withUnsafeBytes { pwrite(descriptor, $0.baseAddress, $0.count, start) }
    guard written == bytes.count - start else { throw Broken() }
  }
  private func readFile(_ path: String) throws -> [UInt8] {
    let descriptor = open(path, O_RDONLY)
    guard descriptor >= 0 else { throw Broken() }
    defer { close(descriptor) }
    var buffer = [UInt8](repeating: 0, count: 4096)
    let count = read(descriptor, &buffer, buffer.count)
    return Array(buffer.prefix(max(count, 0)))
  }
}
