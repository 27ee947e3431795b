import Testing
import Wire

@Suite struct BackupTests {
  @Test func aVolumeIsBackedUpAndRestored() async throws {
    try await Site.run { site in
      let id = try await site.volume(["name": "data"])
      let made = try await site.call(.post, "/v3/backups", ["backup": ["volume_id": .string(id), "name": "b"]])
      #expect(made.status == 202 && made.json["backup"]?["name"] == "b", "\(made.json)")
      let backup = try #require(made.json["backup"]?["id"]?.string)
      try await site.become("available", "/v3/backups/\(backup)", "backup")
      let shown = try await site.call(.get, "/v3/backups/\(backup)").json["backup"]
      #expect(shown?["object_count"] == 3 && shown?["is_incremental"] == false && shown?["size"] == 1)
      #expect(try await site.call(.get, "/v3/volumes/\(id)").json["volume"]?["status"] == "available")
      #expect(site.world.values(prefix: "snapshot/").isEmpty && site.world.values(prefix: "reading/").isEmpty)

      let second = try await site.call(
        .post, "/v3/backups", ["backup": ["volume_id": .string(id), "incremental": true]])
      let child = try #require(second.json["backup"]?["id"]?.string)
      try await site.become("available", "/v3/backups/\(child)", "backup")
      #expect(try await site.call(.get, "/v3/backups/\(backup)").json["backup"]?["has_dependent_backups"] == true)
      #expect(try await site.call(.delete, "/v3/backups/\(backup)").status == 400, "another came after it")

      let restored = try await site.call(.post, "/v3/backups/\(backup)/restore", ["restore": ["name": "again"]])
      #expect(restored.status == 202)
      let volume = try #require(restored.json["restore"]?["volume_id"]?.string)
      try await site.become("available", "/v3/volumes/\(volume)", "volume")
      #expect(site.world.value("volume/\(volume)")?.hasSuffix("file \(volume).raw") == true)
      _ = try await site.snapshot(of: id)
      let onto = try await site.call(
        .post, "/v3/backups/\(backup)/restore", ["restore": ["volume_id": .string(id)]])
      #expect(onto.status == 400, "it has a snapshot")

      for each in [child, backup] {
        #expect(try await site.call(.delete, "/v3/backups/\(each)").status == 202)
        try await site.gone("/v3/backups/\(each)")
      }
      #expect(site.world.values(prefix: "backup/").isEmpty)
      #expect(
        try await site.call(.post, "/v3/backups", ["backup": ["volume_id": .string(id), "incremental": true]]).status
          == 400)
    }
  }

  @Test func aCopyThatFailsLeavesTheVolumeAsItWas() async throws {
    try await Site.run { site in
      let id = try await site.volume()
      try site.world.ensure("fault/back-up", "the store is gone")
      let made = try await site.call(.post, "/v3/backups", ["backup": ["volume_id": .string(id)]])
      let backup = try #require(made.json["backup"]?["id"]?.string)
      try await site.become("error", "/v3/backups/\(backup)", "backup")
      #expect(
        try await site.call(.get, "/v3/backups/\(backup)").json["backup"]?["fail_reason"]?.string?.isEmpty == false)
      #expect(try await site.call(.get, "/v3/volumes/\(id)").json["volume"]?["status"] == "available")
      #expect(site.world.values(prefix: "snapshot/").isEmpty && site.world.values(prefix: "backup/").isEmpty)
    }
  }
}
