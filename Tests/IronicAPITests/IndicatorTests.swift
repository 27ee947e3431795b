import Domain
import HTTPTypes
import Store
import Testing
import Wire

/// The lamps of a machine and its non-maskable interrupt, as the API shows them.
@Suite struct IndicatorTests {
  private func path(_ uuid: String, _ name: String = "") -> String {
    "/v1/nodes/\(uuid)/management/indicators" + (name.isEmpty ? "" : "/\(name)")
  }

  @Test func lampsAreListedSetAndReadBack() async throws {
    try await withSite { site in
      let uuid = try await site.node("f1", driver: "fake-hardware")
      let listed = try await site.call(.get, path(uuid)).json["indicators"]?.array ?? []
      #expect(listed.map { $0["name"] } == ["led-0@chassis", "led@system"])
      #expect(listed.first?["readonly"] == true && listed.last?["readonly"] == false)
      #expect(listed.last?["component"] == "system" && listed.last?["states"] == ["BLINKING", "OFF", "ON"])
      #expect(listed.last?["links"]?.array?[0]["href"]?.string?.hasSuffix("/indicators/led%40system") == true)

      #expect(try await site.call(.get, path(uuid, "led@system")).json == ["state": "OFF"])
      #expect(try await site.call(.put, path(uuid, "led@system"), ["state": "blinking"]).status == 200)
      #expect(try await site.call(.get, path(uuid, "led%40system")).json == ["state": "BLINKING"])
      #expect(try await site.call(.get, path(uuid, "led-0@chassis")).json == ["state": "OFF"])
    }
  }

  @Test func whatMakesNoSenseIsRefusedAndChangesNothing() async throws {
    try await withSite { site in
      let uuid = try await site.node("f1", driver: "fake-hardware")
      for (name, body) in [
        ("led", ["state": "ON"]), ("@system", ["state": "ON"]), ("led@moon", ["state": "ON"]),
        ("led@system", ["state": "UNKNOWN"]), ("led@system", ["state": 1]), ("led@system", [:]),
        ("led@system", ["state": "ON", "owner": "me"]), ("led-0@chassis", ["state": "ON"]), ("x@disk", ["state": "ON"]),
      ] as [(String, JSON)] {
        let refused = try await site.call(.put, path(uuid, name), body)
        #expect(refused.status == 400 && !refused.fault.isEmpty, "\(name) \(body)")
      }
      #expect(try await site.call(.get, path(uuid, "led@system")).json == ["state": "OFF"])
      #expect(try await site.call(.get, path(uuid), version: "1.62").status == 404)

      // Hardware without lamps has none, and says so.
      let plain = try await site.node("w1")
      #expect(try await site.call(.get, path(plain)).json == ["indicators": []])
      let refused = try await site.call(.put, path(plain, "led@system"), ["state": "ON"])
      #expect(
        refused.status == 400
          && refused.fault
            == "Driver world does not support set_indicator_state (disabled or not implemented)."
      )
    }
  }

  @Test func onlyWhoUsesTheMachineChangesIt() async throws {
    try await withSite { site in
      let uuid = try await site.node("f1", owner: Site.owner, lessee: Site.lessee, driver: "fake-hardware")
      let reader = site.token(Site.lessee, ["reader"])
      #expect(try await site.call(.get, path(uuid, "led@system"), as: reader).status == 200)
      #expect(try await site.call(.put, path(uuid, "led@system"), ["state": "ON"], as: reader).status == 403)
      #expect(
        try await site.call(.put, path(uuid, "led@system"), ["state": "ON"], as: site.token(Site.lessee)).status == 200)
      for token in [site.token(Site.other), site.token(Site.other, ["reader"])] {
        #expect(try await site.call(.get, path(uuid), as: token).status == 404)
      }
      #expect(
        try await site.call(.put, path(uuid, "led@system"), ["state": "ON"], as: site.token(Site.other)).status == 404)
    }
  }

  @Test func anInterruptIsSentToAMachineThatRunsAndToldInItsHistory() async throws {
    try await withSite { site in
      let uuid = try await site.node("f1", driver: "fake-hardware")
      let nmi = "/v1/nodes/\(uuid)/management/inject_nmi"
      let off = try await site.call(.put, nmi, [:])
      #expect(off.status == 502 && off.fault.contains("off"))
      let node = try #require(try await site.database.read { try NodeStore.get(uuid, in: $0) })
      try await site.conductor.driver(of: node).power.ensurePower(.on, graceful: false, patience: .seconds(5))
      let sent = try await site.call(.put, nmi, [:])
      #expect(sent.status == 204 && sent.bytes.isEmpty)
      let history = try await site.call(.get, "/v1/nodes/\(uuid)/history").json["history"]?.array ?? []
      #expect(history.first?["event"] == "A non-maskable interrupt was sent.")

      try await site.database.write { session in
        guard var node = try NodeStore.get(uuid, in: session) else { return }
        node.reservation = Identifier.uuid()
        try NodeStore.update(node, in: session)
      }
      #expect(try await site.call(.put, nmi, [:]).status == 409)
      let plain = try await site.node("w1")
      let refused = try await site.call(.put, "/v1/nodes/\(plain)/management/inject_nmi", [:])
      #expect(refused.status == 400 && refused.fault.contains("does not support inject_nmi"))
    }
  }
}
