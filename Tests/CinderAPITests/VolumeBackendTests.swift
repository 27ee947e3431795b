import Testing
import Wire

/// Two backends: "local", which has what names none, and "ceph".
@Suite struct VolumeBackendTests {
  private func type(_ name: String, leadingTo backend: String, _ site: Site) async throws -> String {
    let made = try await site.call(
      .post, "/v3/types",
      ["volume_type": ["name": .string(name), "extra_specs": ["volume_backend_name": .string(backend)]]], as: "admin")
    #expect(made.status == 200, "\(made.json)")
    return try #require(made.json["volume_type"]?["id"]?.string)
  }

  @Test func aTypeLeadsToItsBackendAndCopiesStayThere() async throws {
    try await Site.run(hasTwoBackends: true) { site in
      _ = try await type("big", leadingTo: "ceph", site)
      let usual = try await site.volume()
      let big = try await site.volume(["volume_type": "big"])
      #expect(site.world.values(prefix: "volume/").keys.sorted() == [usual])
      #expect(site.second.values(prefix: "volume/").keys.sorted() == [big])

      let snapshot = try await site.snapshot(of: big)
      // Also when the type that it is asked for is another.
      let copy = try await site.volume(["snapshot_id": .string(snapshot), "volume_type": "__DEFAULT__", "size": nil])
      #expect(Set(site.second.values(prefix: "volume/").keys) == [big, copy])
      let pools = try await site.call(.get, "/v3/scheduler-stats/get_pools?detail=True", as: "admin")
      #expect(
        pools.json["pools"]?.array?.compactMap { $0["capabilities"]?["volume_backend_name"]?.string } == [
          "local", "ceph",
        ])

      _ = try await type("lost", leadingTo: "nowhere", site)
      let refused = try await site.call(.post, "/v3/volumes", ["volume": ["size": 1, "volume_type": "lost"]])
      #expect(refused.status == 400 && refused.message.contains("backend"), "\(refused.json)")
      let findings = try await site.conductor.examine()
      #expect(findings.contains { $0.hasPrefix("the volume type lost names the backend nowhere") }, "\(findings)")
    }
  }

  @Test func aBackendThatDoesNotAnswerKeepsNoOtherFromBeingSwept() async throws {
    try await Site.run(hasTwoBackends: true) { site in
      let orphan = Identifier.uuid()
      for world in [site.world, site.second] { try world.ensure("volume/\(orphan)", "512 zeros") }
      for verb in ["inventory", "capacity"] { try site.second.ensure("fault/\(verb)", "refused") }

      try await site.conductor.sweep()
      #expect(site.world.values(prefix: "volume/").isEmpty)
      #expect(site.second.value("volume/\(orphan)") != nil)
      let findings = try await site.conductor.examine()
      #expect(findings.contains { $0.hasPrefix("volume backend ceph:") }, "\(findings)")

      for verb in ["inventory", "capacity"] { try site.second.ensure("fault/\(verb)", nil) }
      try await site.conductor.sweep()
      #expect(site.second.values(prefix: "volume/").isEmpty)
      #expect(try await site.conductor.examine().isEmpty)
    }
  }
}
