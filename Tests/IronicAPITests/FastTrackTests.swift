import Domain
import HTTPTypes
import Store
import Testing
import Wire

/// A machine that stands by, as its agent and its administrators meet it.
@Suite struct FastTrackTests {
  private static let mac = "52:54:00:aa:00:01"
  private static let secret = String(repeating: "s", count: 43)
  private static let bootToken = String(repeating: "b", count: 43)

  /// An available node `n1` whose agent stands by.
  private func standing(_ site: Site, lessee: String? = nil) async throws -> String {
    let uuid = try await site.node("n1", lessee: lessee)
    try site.world.ensure("power/n1", "power on")
    try await site.database.write { session in
      try PortStore.insert(
        Port(uuid: Identifier.uuid(), nodeUUID: uuid, address: Self.mac, createdAt: Site.now()), in: session)
      try AgentStore.admit(node: uuid, workflow: "w", token: Self.bootToken, at: Site.now(), in: session)
      _ = try AgentStore.claim(
        token: Self.bootToken, mac: Self.mac, secret: Self.secret, at: Site.now(), in: session)
      try StandByStore.begin(node: uuid, workflow: "w", until: Site.now() + .seconds(600), in: session)
    }
    return uuid
  }
  private func poll(_ site: Site) async throws -> Site.Answer {
    try await site.agent(.get, "/agent/v1/command?wait=0", session: Self.secret)
  }
  /// Runs `body` while workflows are run.
  private func whileItRuns<T>(_ site: Site, _ body: () async throws -> T) async throws -> T {
    let running = Task { try await site.conductor.runner.run() }
    let result = try await body()
    running.cancel()
    _ = try? await running.value
    return result
  }

  @Test func itsAgentHasNothingToDoUntilADeploymentTakesIt() async throws {
    try await withSite { site in
      let node = try await standing(site)
      #expect(try await poll(site).status == 204)
      for path in ["/agent/v1/image/x/map", "/agent/v1/config-drive/x", "/agent/v1/rescue/x"] {
        #expect(try await site.agent(.get, path, session: Self.secret).status == 404, "\(path)")
      }
      // Its next boot is not the agent's.
      #expect(try await site.agent(.get, "/boot/ipxe?mac=\(Self.mac)").text == "local disk")

      let isTaken = try await site.database.write { session in
        try AgentStore.give(
          "write-image", [:], id: "d/write-image", node: node, workflow: "d", at: Site.now(), in: session)
        return try StandByStore.take(node: node, workflow: "d", at: Site.now(), in: session)
      }
      #expect(isTaken)
      let before = try await site.database.read { try StandByStore.get(node: node, in: $0) }
      #expect(before?.hasCalled == false)
      #expect(try await poll(site).json["id"] == "d/write-image")
      let after = try await site.database.read { try StandByStore.get(node: node, in: $0) }
      #expect(after?.hasCalled == true && after?.workflow == "d")
    }
  }

  @Test func whoRunsItSeesUntilWhen() async throws {
    try await withSite { site in
      let node = try await standing(site, lessee: Site.lessee)
      func shown(as token: String? = nil) async throws -> JSON {
        try await site.call(.get, "/v1/nodes/\(node)", as: token).json["driver_internal_info"] ?? .null
      }
      let until = try await shown()["fast_track_until"]?.string
      #expect(until.flatMap { Timestamp(parsing: $0) }.map { $0 > Site.now() } == true, "\(until ?? "")")
      let list = try await site.call(.get, "/v1/nodes?fields=driver_internal_info").json["nodes"]?.array
      #expect(list?.first?["driver_internal_info"]?["fast_track_until"]?.string == until)
      #expect(try await shown(as: site.token(Site.lessee, ["lessee", "member"])) == [:])
      // What is not trusted, and what is at work, does not wait.
      try await site.database.write { _ = try StandByStore.distrust(node: node, in: $0) }
      #expect(try await shown()["fast_track_until"] == nil)
    }
  }

  @Test func anotherSecretOrTheUsedBootTokenGiveNothing() async throws {
    try await withSite { site in
      _ = try await standing(site)
      #expect(
        try await site.agent(.get, "/agent/v1/command?wait=0", session: String(repeating: "x", count: 43)).status == 401
      )
      for secret in [String(repeating: "x", count: 43), String(repeating: "y", count: 43)] {
        let claim = try await site.agent(
          .post, "/agent/v1/claim",
          [
            "token": .string(Self.bootToken), "mac": .string(Self.mac), "secret": .string(secret),
            "version": .int(AgentProtocol.version), "inventory": [:],
          ])
        #expect(claim.status == 403)
      }
      #expect(try await poll(site).status == 204)
    }
  }

  @Test func itIsSwitchedOffByTheDriverThatKnowsItBeforeThatIsChanged() async throws {
    try await withSite { site in
      let node = try await standing(site)
      let patch: JSON = [["op": "add", "path": "/driver_info/address", "value": "another"]]
      let answer = try await whileItRuns(site) { try await site.call(.patch, "/v1/nodes/\(node)", patch) }
      #expect(answer.status == 200, "\(answer.text)")
      #expect(site.world.value("power/n1") == "power off" && site.world.value("power/another") == nil)
      #expect(try await poll(site).status == 401)
    }
  }

  @Test func itIsSwitchedOffBeforeItIsForgotten() async throws {
    try await withSite { site in
      let node = try await standing(site)
      let answer = try await whileItRuns(site) { try await site.call(.delete, "/v1/nodes/\(node)") }
      #expect(answer.status == 204, "\(answer.text)")
      #expect(site.world.value("power/n1") == "power off")
    }
  }

  @Test func oneThatCannotBeSwitchedOffIsNotForgotten() async throws {
    try await withSite { site in
      let node = try await standing(site)
      try site.world.ensure("fault/power-off", "refused: not now")
      let answer = try await whileItRuns(site) { try await site.call(.delete, "/v1/nodes/\(node)") }
      #expect(answer.status == 409)
      #expect(answer.fault.contains("could not be switched off"))
      #expect(try await site.call(.get, "/v1/nodes/\(node)").json["last_error"]?.string?.contains("not now") == true)
    }
  }

  @Test func whoMayNotChangeItDoesNotSwitchItOff() async throws {
    try await withSite { site in
      let node = try await standing(site, lessee: Site.lessee)
      let patch: JSON = [["op": "add", "path": "/driver_info/address", "value": "another"]]
      let lessee = site.token(Site.lessee, ["lessee", "member"]), other = site.token(Site.other)
      try await whileItRuns(site) {
        for token in [lessee, other] {
          let status = token == lessee ? 403 : 404
          #expect(try await site.call(.patch, "/v1/nodes/\(node)", patch, as: token).status == status)
          #expect(try await site.call(.delete, "/v1/nodes/\(node)", as: token).status == status)
        }
        let nonsense = try await site.call(.patch, "/v1/nodes/\(node)", [["op": "add", "path": 7, "value": 1]])
        #expect(nonsense.status == 400)
      }
      #expect(site.world.value("power/n1") == "power on")
      #expect(try await poll(site).status == 204)
    }
  }
}
