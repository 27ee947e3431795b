import Domain
import Store
import TestSupport
import Testing
import Wire

/// Ramdisks of another program than the server's.
@Suite struct AgentVersionTests {
  private static let mac = "52:54:00:aa:00:01"

  @Test(arguments: [nil, 0, 2, AgentProtocol.version + 1, 1 << 40] as [Int?])
  func anAgentOfAnotherVersionEndsTheDeploymentInWords(version: Int?) async throws {
    try await withSite { site in
      let node = try await site.node("n1")
      let image = Identifier.uuid()
      _ = try await site.database.write { session in
        try PortStore.insert(
          Port(uuid: Identifier.uuid(), nodeUUID: node, address: Self.mac, createdAt: Site.now()), in: session)
        var stored = Image(id: image, owner: Site.admin, createdAt: Site.now())
        try ImageStore.insert(stored, in: session)
        stored.status = .active
        try ImageStore.update(stored, in: session)
      }
      let runner = Task { try await site.conductor.runner.run() }
      defer { runner.cancel() }
      _ = try await site.call(
        .patch, "/v1/nodes/\(node)", [["op": "add", "path": "/instance_info/image_source", "value": .string(image)]])
      #expect(try await site.call(.put, "/v1/nodes/\(node)/states/provision", ["target": "active"]).status == 202)
      var token = ""
      try await until("the machine is booted") {
        let words = try await site.agent(.get, "/boot/ipxe?mac=\(Self.mac)").text.split(separator: " ")
        if words.count == 3 { token = String(words[1]) }
        return words.count == 3
      }
      func claim(_ token: String) async throws -> Site.Answer {
        var body: JSONObject = [
          "token": .string(token), "mac": .string(Self.mac), "secret": .string(String(repeating: "s", count: 43)),
          "inventory": [:],
        ]
        body["version"] = version.map { .int($0) }
        return try await site.agent(.post, "/agent/v1/claim", .object(body))
      }
      // Who does not know the token stops nothing.
      #expect(try await claim(String(repeating: "x", count: 43)).status == 403)
      #expect(try await site.agent(.get, "/boot/ipxe?mac=\(Self.mac)").text.contains(token))

      let answer = try await claim(token)

      #expect(answer.status == 403 && answer.json["error"]?.string?.contains("ramdisk/build") == true)
      try await until("the deployment has failed") {
        try await site.call(.get, "/v1/nodes/\(node)").json["provision_state"] == "deploy failed"
      }
      let shown = try await site.call(.get, "/v1/nodes/\(node)").json
      #expect(shown["last_error"]?.string?.contains("version \(version ?? 0) of the protocol") == true, "\(shown)")
      #expect(shown["reservation"] == .null && site.world.value("power/n1") == "power off")
    }
  }
}
