import BlockMaps
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
      [
        "token": .string(token), "mac": .string(mac), "secret": .string(secret), "version": .int(AgentProtocol.version),
        "inventory": inventory,
      ])
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
        (.get, "/agent/v1/image/x/map"), (.post, "/agent/v1/image/x/blocks"), (.get, "/agent/v1/config-drive/x"),
        (.get, "/agent/v1/rescue/x"),
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
      let image = Identifier.uuid(), workflow = Identifier.uuid()
      let node = try await admitted(site, workflow: workflow)
      let packed = try Packed(blocks: 5)
      try write(packed.file, to: "\(site.folder)/blocks")
      try write(packed.map.bytes, to: "\(site.folder)/map")
      try await seedImage(site, image: image, workflow: workflow, node: node, map: packed.map)
      _ = try await claim(site, token: try await token(site))
      _ = try await admitted(site, mac: "52:54:00:aa:00:02")
      let otherSecret = String(repeating: "o", count: 43)
      _ = try await claim(
        site, token: try await token(site, "52:54:00:aa:00:02"), mac: "52:54:00:aa:00:02", secret: otherSecret)

      let path = "/agent/v1/image/\(image)"
      let all = BlockRanges.bytes([0..<5])
      #expect(try await site.agent(.get, "\(path)/map", session: otherSecret).status == 404)
      #expect(try await site.agent(.post, "\(path)/blocks", session: otherSecret, body: all).status == 404)
      let other = "/agent/v1/image/\(Identifier.uuid())"
      #expect(try await site.agent(.get, "\(other)/map", session: Self.secret).status == 404)
      #expect(try await site.agent(.post, "\(other)/blocks", session: Self.secret, body: all).status == 404)
      #expect(
        try await site.agent(.get, "/agent/v1/image/..%2f..%2fetc%2fpasswd/map", session: Self.secret).status == 404)

      let map = try await site.agent(.get, "\(path)/map", session: Self.secret)
      #expect(map.bytes == packed.map.bytes)
      let whole = try await site.agent(.post, "\(path)/blocks", session: Self.secret, body: all)
      #expect(whole.status == 200)
      let frames: [UInt8] = Array(packed.frames.joined())
      #expect(whole.bytes == frames)
      #expect(whole.headers[.contentLength] == "\(whole.bytes.count)")
      let some = try await site.agent(
        .post, "\(path)/blocks", session: Self.secret, body: BlockRanges.bytes([0..<1, 3..<5]))
      let chosen: [UInt8] = [0, 3, 4].reduce(into: []) { $0.append(contentsOf: packed.frames[$1]) }
      #expect(some.bytes == chosen)
      let zeros = try await site.agent(.post, "\(path)/blocks", session: Self.secret, body: BlockRanges.bytes([1..<2]))
      #expect(zeros.status == 200 && zeros.bytes.isEmpty)

      let wrong: [String: [Range<Int>]] = [
        "none": [], "an empty range": [2..<2], "beyond the end": [0..<6], "going back": [2..<3, 1..<2],
        "twice": [2..<4, 3..<5],
      ]
      var bodies: [String: [UInt8]] = wrong.mapValues { BlockRanges.bytes($0) }
      bodies["half a range"] = Array(all.dropLast())
      bodies["the last there could be"] = [UInt8](repeating: 0xff, count: 8)
      for (what, body) in bodies {
        #expect(
          try await site.agent(.post, "\(path)/blocks", session: Self.secret, body: body).status == 400, "\(what)")
      }
      let many = [UInt8](repeating: 0, count: BlockRanges.most * 8 + 8)
      #expect(try await site.agent(.post, "\(path)/blocks", session: Self.secret, body: many).status == 413)
      // A file that was cut is not read beyond its end.
      try write(Array(packed.file.dropLast()), to: "\(site.folder)/blocks")
      #expect(try await site.agent(.post, "\(path)/blocks", session: Self.secret, body: all).status == 500)
    }
  }

  /// A disk of 64 KiB blocks: noise, but for one block of zeros.
  private struct Packed {
    let map: BlockMap
    let frames: [[UInt8]]
    let file: [UInt8]
    init(blocks: Int) throws {
      let coder = BlockCoder()
      var builder = try BlockMap.Builder(size: blocks << 16, blockSize: 1 << 16)
      var frames: [[UInt8]] = []
      for index in 0..<blocks {
        guard index != 1 else {
          builder.addZeros()
          frames.append([])
          continue
        }
        let block = (0..<(1 << 16)).map { _ in UInt8.random(in: 0...255) }
        var frame = [UInt8](repeating: 0, count: BlockCoder.room(forBlockOf: block.count))
        let length = block.withUnsafeBytes { block in
          frame.withUnsafeMutableBytes { coder.encode(block, index: index, into: $0) }
        }
        frames.append(Array(frame[..<length]))
        builder.add(digest: Digest.sha256(block))
      }
      let body: [UInt8] = Array(frames.joined())
      let disk = try PackedDisk(size: blocks << 16, blockSize: 1 << 16, table: PackedDisk.headerLength + body.count)
      var file = disk.header + body
      var at = PackedDisk.headerLength
      for length in frames.map(\.count) + [0] {
        withUnsafeBytes(of: UInt64(at).littleEndian) { file.append(contentsOf: $0) }
        at += length
      }
      (map, self.frames, self.file) = (builder.map, frames, file)
    }
  }

  private func seedImage(_ site: Site, image: String, workflow: String, node: String, map: BlockMap) async throws {
    let output: JSON = [
      "image_id": .string(image), "config_drive": nil,
      "image": [
        "map": .string("\(site.folder)/map"), "blocks": .string("\(site.folder)/blocks"),
        "size_bytes": .int(map.size), "map_bytes": .int(map.bytes.count), "map_sha256": "",
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
  private func write(_ bytes: [UInt8], to path: String) throws {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    guard descriptor >= 0 else { throw Broken() }
    defer { close(descriptor) }
    guard bytes.withUnsafeBytes({ Glibc.write(descriptor, $0.baseAddress, $0.count) }) == bytes.count else {
      throw Broken()
    }
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
