import Domain
import HTTPTypes
import Store
import Testing
import Wire

/// Paths that upstream's router takes too, and what waits a moment where upstream waits for its lock.
@Suite struct UnversionedTests {
  @Test func aPathWithoutAVersionIsTheFirstVersions() async throws {
    try await withSite { site in
      let uuid = try await site.node("f1", owner: Site.owner, driver: "fake-hardware")
      #expect(try await site.call(.get, "/nodes/\(uuid)").json["uuid"]?.string == uuid)
      #expect(try await site.call(.get, "/nodes/detail?limit=1").json["nodes"]?.array?.count == 1)
      #expect(try await site.call(.get, "/nodes/\(uuid)", as: site.token(Site.other)).status == 404)
      #expect(try await site.call(.delete, "/nodes").status == 405)
      for path in ["/nothing", "/v2/nodes", "/v1/v1/nodes"] {
        #expect(try await site.call(.get, path).status == 404, "\(path)")
      }
      let console = try await site.call(.get, "/v1/nodes/states/console/\(uuid)")
      #expect(console.status == 200 && console.json["console_enabled"] == false)
      #expect(try await site.call(.get, "/v1/nodes/states/console/\(uuid)", as: site.token(Site.other)).status == 404)
    }
  }

  @Test func aChangeOfPowerUnderWayIsWaitedFor() async throws {
    try await withSite { site in
      let uuid = try await site.node("f1", driver: "fake-hardware")
      @Sendable func change(_ body: @escaping @Sendable (inout Node) -> Void) async throws {
        try await site.database.write { session in
          guard var node = try NodeStore.get(uuid, in: session) else { return }
          body(&node)
          try NodeStore.update(node, in: session)
        }
      }
      try await change { node in
        node.reservation = Identifier.uuid()
        node.targetPowerState = .on
      }
      async let asked = site.call(.put, "/v1/nodes/\(uuid)/states/power", ["target": "power off"])
      try await Task.sleep(for: .milliseconds(100))
      try await change { node in
        node.reservation = nil
        node.targetPowerState = nil
      }
      #expect(try await asked.status == 202)

      // What holds the node for long is told at once.
      try await change { node in
        node.reservation = Identifier.uuid()
        node.targetPowerState = nil
      }
      let begun = ContinuousClock.now
      #expect(try await site.call(.put, "/v1/nodes/\(uuid)/states/power", ["target": "power off"]).status == 409)
      #expect(ContinuousClock.now - begun < .seconds(2))
    }
  }

  @Test func aNodeWhosePowerChangesCanBeAllocated() async throws {
    try await withSite { site in
      let uuid = try await site.node("f1", driver: "fake-hardware")
      for (target, state) in [(nil, "error"), (Power.off, "active")] as [(Power?, JSON)] {
        try await site.database.write { session in
          guard var node = try NodeStore.get(uuid, in: session) else { return }
          node.reservation = Identifier.uuid()
          node.targetPowerState = target
          try NodeStore.update(node, in: session)
        }
        let made = try await site.call(.post, "/v1/allocations", ["resource_class": "metal"])
        let shown = try await site.call(.get, "/v1/allocations/\(made.json["uuid"]?.string ?? "")").json
        #expect(shown["state"] == state)
      }
    }
  }

  @Test func aVolumeHasNoName() async throws {
    try await withSite { site in
      for path in ["connectors", "targets"] {
        let refused = try await site.call(.get, "/v1/volume/\(path)/mine")
        #expect(refused.status == 400 && refused.fault == "Expected a UUID but received mine.")
        #expect(try await site.call(.get, "/v1/volume/\(path)/\(Identifier.uuid())").status == 404)
      }
    }
  }
}
