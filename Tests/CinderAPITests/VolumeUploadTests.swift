import Domain
import Store
import Testing
import Wire

/// Images made of volumes.
@Suite struct VolumeUploadTests {
  private func upload(_ more: JSONObject = [:]) -> JSON {
    var action: JSONObject = ["image_name": "golden", "disk_format": "raw", "container_format": "bare"]
    for member in more { action[member.key] = member.value }
    return ["os-volume_upload_image": .object(action)]
  }

  @Test func aVolumeBecomesAnImageOfItsProject() async throws {
    try await Site.run { site in
      let volume = try await site.volume(["name": "v"])
      let path = "/v3/volumes/\(volume)/action"
      let answer = try await site.call(.post, path, upload(["visibility": "private", "protected": false]))
      #expect(answer.status == 202, "\(answer.json)")
      let said = try #require(answer.json["os-volume_upload_image"])
      #expect(said["status"] == "uploading" && said["size"] == 1 && said["image_name"] == "golden")
      let id = try #require(said["image_id"]?.string)
      try await site.become("available", "/v3/volumes/\(volume)", "volume")
      let image = try #require(try await site.database.read { try ImageStore.get(id, in: $0) })
      #expect(image.owner == "alpha" && image.name == "golden" && image.minDisk == 1 && image.visibility == .private)
      #expect(site.world.value("content/\(id)") != nil)
      #expect(site.world.values(prefix: "reading/").isEmpty, "nothing reads the volume any more")
    }
  }

  /// It would count as the schedule's own, and be deleted with it.
  @Test func anImageOfAVolumeIsNoSchedulesImage() async throws {
    try await Site.run { site in
      let volume = try await site.volume(["name": "v"])
      try await site.database.write { session in
        var made = try #require(try VolumeStore.get(volume, in: session))
        made.imageMetadata = ["os_distro": "debian", DiskBackupSchedule.imageProperty: .string(Identifier.uuid())]
        try VolumeStore.update(made, in: session)
      }
      let answer = try await site.call(.post, "/v3/volumes/\(volume)/action", upload())
      let id = try #require(answer.json["os-volume_upload_image"]?["image_id"]?.string, "\(answer.json)")
      let image = try #require(try await site.database.read { try ImageStore.get(id, in: $0) })
      #expect(image.properties["os_distro"] == "debian")
      #expect(image.properties[DiskBackupSchedule.imageProperty] == nil)
    }
  }

  @Test func anUploadThatFailsLeavesTheVolumeAsItWasAndNoImage() async throws {
    try await Site.run { site in
      let volume = try await site.volume()
      try site.world.ensure("fault/take-image", "refused")
      let answer = try await site.call(.post, "/v3/volumes/\(volume)/action", upload())
      let id = try #require(answer.json["os-volume_upload_image"]?["image_id"]?.string)
      try await site.become("available", "/v3/volumes/\(volume)", "volume")
      #expect(try await site.database.read { try ImageStore.get(id, in: $0) } == nil)
      #expect(site.world.values(prefix: "reading/").isEmpty)
    }
  }

  @Test func whatCannotBeUploadedIsRefused() async throws {
    try await Site.run { site in
      let volume = try await site.volume()
      let path = "/v3/volumes/\(volume)/action"
      #expect(try await site.call(.post, path, upload(["disk_format": "qcow2"])).status == 400)
      #expect(try await site.call(.post, path, ["os-volume_upload_image": [:]]).status == 400)
      #expect(try await site.call(.post, path, upload(["visibility": "public"])).status == 403)
      #expect(try await site.call(.post, path, upload(), as: "bob").status == 404)
      #expect(try await site.call(.post, path, upload(), as: "watcher").status == 403)
      let attached = try await site.call(
        .post, path, ["os-attach": ["instance_uuid": .string(Identifier.uuid()), "mountpoint": "/dev/vdb"]])
      #expect(attached.status == 202)
      for force in [false, true] {
        #expect(try await site.call(.post, path, upload(["force": .bool(force)])).status == 400)
      }
      #expect(try await site.database.read { try ImageStore.list(in: $0).isEmpty })
    }
  }
}
