import Domain
import Store
import Testing
import Wire

/// Servers that boot from volumes, and volumes on running servers.
@Suite struct ServerVolumeTests {
  static let blank: JSONObject = ["imageRef": ""]

  private func boot(_ mapping: JSONObject) -> JSONObject {
    ["imageRef": "", "block_device_mapping_v2": [.object(mapping)]]
  }

  @Test func aServerBootsFromAVolumeMadeOfAnImageAndItGoesWithTheServer() async throws {
    try await ComputeSite.run { site in
      let node = try await site.enrol("n1")
      let id = try await site.create(
        "bfv",
        boot([
          "uuid": .string(ComputeSite.image), "source_type": "image", "destination_type": "volume", "boot_index": 0,
          "volume_size": 2, "delete_on_termination": true,
        ]))
      let server = try await site.server(id, "ACTIVE")
      #expect(server["image"] == "" && server["config_drive"] == "")
      let attached = try #require(server["os-extended-volumes:volumes_attached"]?.array?.first)
      #expect(attached["delete_on_termination"] == true)
      let volume = try #require(attached["id"]?.string)
      let shown = try await site.call(.get, "/v3/volumes/\(volume)", service: "/volume").body["volume"]
      #expect(shown?["status"] == "in-use" && shown?["size"] == 2 && shown?["bootable"] == "true")
      #expect(shown?["attachments"]?.array?.first?["server_id"] == .string(id))
      #expect(try await site.node(node).provisionState == .active)

      let list = try await site.call(.get, "/v2.1/servers/\(id)/os-volume_attachments").body["volumeAttachments"]
      #expect(list?.array?.first?["volumeId"] == .string(volume) && list?.array?.first?["device"] == "/dev/sda")
      #expect(list?.array?.first?["attachment_id"]?.string != nil && list?.array?.first?["id"] == nil)
      let root = try await site.call(.delete, "/v2.1/servers/\(id)/os-volume_attachments/\(volume)")
      #expect(root.status == 400 && root.message == "Cannot detach a root device volume")
      let rebuilt = try await site.call(
        .post, "/v2.1/servers/\(id)/action", ["rebuild": ["imageRef": .string(ComputeSite.image)]])
      #expect(rebuilt.status == 400)

      #expect(try await site.call(.delete, "/v2.1/servers/\(id)").status == 204)
      try await site.gone(id)
      try await site.volumeGone(volume)
      #expect(site.world.values(prefix: "export/").isEmpty && site.world.values(prefix: "volume/").isEmpty)
    }
  }

  @Test func aVolumeOfTheProjectIsBootedAndStaysWhenTheServerGoes() async throws {
    try await ComputeSite.run { site in
      try await site.enrol("n1")
      let (boot, data) = (try await site.volume(isBootable: true), try await site.volume())
      let id = try await site.create(
        "bfv",
        [
          "imageRef": "",
          "block_device_mapping_v2": [
            ["uuid": .string(boot), "source_type": "volume", "destination_type": "volume", "boot_index": 0],
            ["uuid": .string(data), "source_type": "volume", "destination_type": "volume", "tag": "data"],
          ],
        ])
      let server = try await site.server(id, "ACTIVE")
      #expect(
        server["os-extended-volumes:volumes_attached"]?.array?.compactMap { $0["id"]?.string } == [boot, data])
      #expect(site.world.values(prefix: "export/").count == 2)
      // What a server has is not had by another, nor deleted.
      let again = try await site.call(
        .post, "/v2.1/servers",
        site.order(
          "two",
          self.boot([
            "uuid": .string(boot), "source_type": "volume", "destination_type": "volume", "boot_index": 0,
          ])))
      #expect(again.status == 400, "\(again.shown)")
      #expect(try await site.call(.delete, "/v3/volumes/\(boot)", service: "/volume").status == 400)

      #expect(try await site.call(.delete, "/v2.1/servers/\(id)").status == 204)
      try await site.gone(id)
      try await site.volume(boot, is: "available")
      try await site.volume(data, is: "available")
      #expect(site.world.values(prefix: "export/").isEmpty)
    }
  }

  @Test func aVolumeComesToARunningServerAndGoes() async throws {
    try await ComputeSite.run { site in
      try await site.enrol("n1")
      let id = try await site.create("web")
      try await site.server(id, "ACTIVE")
      let volume = try await site.volume()
      let path = "/v2.1/servers/\(id)/os-volume_attachments"

      let foreign = try await site.call(
        .post, path, ["volumeAttachment": ["volumeId": .string(volume)]], as: "bob")
      #expect(foreign.status == 404)
      let made = try await site.call(
        .post, path,
        ["volumeAttachment": ["volumeId": .string(volume), "device": "/dev/vdb", "tag": "data"]])
      #expect(made.status == 200, "\(made.shown)")
      #expect(made.body["volumeAttachment"]?["device"] == "/dev/vdb")
      #expect(made.body["volumeAttachment"]?["tag"] == "data")
      try await site.volume(volume, is: "in-use")
      let shown = try await site.call(.get, "/v3/volumes/\(volume)", service: "/volume").body["volume"]
      #expect(shown?["attachments"]?.array?.first?["device"] == "/dev/vdb")
      #expect(site.world.values(prefix: "export/").count == 1)
      // The secret is its owner's.
      let attachment = try #require(shown?["attachments"]?.array?.first?["attachment_id"]?.string)
      let connection = try await site.call(.get, "/v3/attachments/\(attachment)", service: "/volume")
        .body["attachment"]?["connection_info"]
      #expect(connection?["auth_password"]?.string?.count == 24)
      #expect(connection?["initiator"]?.string?.hasPrefix("iqn.") == true)
      let watched = try await site.call(.get, "/v3/attachments/\(attachment)", as: "watcher", service: "/volume")
      #expect(watched.body["attachment"]?["connection_info"] == [:])
      // Nor is it cut behind the server's back (CVE-2023-2088).
      #expect(try await site.call(.delete, "/v3/attachments/\(attachment)", service: "/volume").status == 409)
      let behind = try await site.call(
        .post, "/v3/volumes/\(volume)/action", ["os-detach": [:]], service: "/volume")
      #expect(behind.status == 409)

      let twice = try await site.call(.post, path, ["volumeAttachment": ["volumeId": .string(volume)]])
      #expect(twice.status == 400)
      let kept = try await site.call(
        .put, "\(path)/\(volume)",
        ["volumeAttachment": ["volumeId": .string(volume), "delete_on_termination": true]])
      #expect(kept.status == 202)
      #expect(
        try await site.call(.get, "\(path)/\(volume)").body["volumeAttachment"]?["delete_on_termination"] == true)
      let swapped = try await site.call(
        .put, "\(path)/\(volume)", ["volumeAttachment": ["volumeId": .string(ComputeSite.image)]])
      #expect(swapped.status == 409)

      #expect(try await site.call(.delete, "\(path)/\(volume)", as: "watcher").status == 403)
      #expect(try await site.call(.delete, "\(path)/\(volume)").status == 202)
      try await site.volume(volume, is: "available")
      #expect(try await site.call(.get, path).body["volumeAttachments"] == [])
      #expect(try await site.call(.delete, "\(path)/\(volume)").status == 404)
      #expect(site.world.values(prefix: "export/").isEmpty)
    }
  }

  @Test func anImageOfAServerOnAVolumeIsASnapshotAndAnotherServerBootsFromIt() async throws {
    try await ComputeSite.run { site in
      try await site.enrol("n1")
      try await site.enrol("n2")
      let golden = try await site.volume(isBootable: true)
      let id = try await site.create(
        "one",
        boot(["uuid": .string(golden), "source_type": "volume", "destination_type": "volume", "boot_index": 0]))
      try await site.server(id, "ACTIVE")
      let action: JSON = ["createImage": ["name": "kept", "metadata": ["purpose": "golden"]]]
      #expect(try await site.call(.post, "/v2.1/servers/\(id)/action", action, as: "bob").status == 404)
      let made = try await site.call(.post, "/v2.1/servers/\(id)/action", action)
      #expect(made.status == 202, "\(made.shown)")
      let imageID = try #require(made.body["image_id"]?.string)
      let image = try #require(try await site.database.read { try ImageStore.get(imageID, in: $0) })
      #expect(image.status == .active && image.owner == "alpha" && image.properties["purpose"] == "golden")
      let snapshots = try await site.call(.get, "/v3/snapshots", service: "/volume").body["snapshots"]?.array
      #expect(snapshots?.count == 1 && snapshots?.first?["name"] == "snapshot for kept")

      let snapshot = try #require(snapshots?.first?["id"]?.string)
      let limit = ContinuousClock.now + .seconds(20)
      while try await site.call(.get, "/v3/snapshots/\(snapshot)", service: "/volume").body["snapshot"]?["status"]
        != "available", ContinuousClock.now < limit
      { try await Task.sleep(for: .milliseconds(5)) }
      let second = try await site.create("two", ["imageRef": .string(imageID)])
      let server = try await site.server(second, "ACTIVE")
      let volume = try #require(server["os-extended-volumes:volumes_attached"]?.array?.first?["id"]?.string)
      #expect(server["image"] == "" && volume != golden)
      let shown = try await site.call(.get, "/v3/volumes/\(volume)", service: "/volume").body["volume"]
      #expect(shown?["snapshot_id"] == snapshots?.first?["id"] && shown?["status"] == "in-use")
      // Who is shown the image has not the snapshot.
      try await site.database.write { session in
        var image = try #require(try ImageStore.get(imageID, in: session))
        image.visibility = .public
        try ImageStore.update(image, in: session)
      }
      let foreign = try await site.call(
        .post, "/v2.1/servers", site.order("x", ["imageRef": .string(imageID), "networks": "none"]), as: "bob")
      #expect(foreign.status == 400, "\(foreign.shown)")
    }
  }

  @Test func mappingsThatCannotBeAreRefused() async throws {
    try await ComputeSite.run { site in
      try await site.enrol("n1")
      let (plain, foreign) = (try await site.volume(), try await site.volume(as: "bob"))
      let image = JSON.string(ComputeSite.image)
      let wrong: [[JSONObject]] = [
        [],
        [["source_type": "volume", "destination_type": "volume", "boot_index": 0, "uuid": .string(foreign)]],
        [["source_type": "volume", "destination_type": "volume", "boot_index": 0, "uuid": .string(plain)]],
        [["source_type": "volume", "destination_type": "volume", "uuid": .string(plain)]],
        [["source_type": "image", "destination_type": "volume", "boot_index": 0, "uuid": image]],
        [["source_type": "blank", "destination_type": "volume", "boot_index": 0, "volume_size": 1]],
        [["source_type": "image", "destination_type": "nowhere", "boot_index": 0, "uuid": image]],
        [["source_type": "image", "destination_type": "volume", "boot_index": 0, "uuid": "x", "volume_size": 1]],
        [["source_type": "image", "destination_type": "volume", "boot_index": 0, "uuid": image, "volume_size": -1]],
        [["source_type": "image", "destination_type": "volume", "boot_index": 0, "uuid": image, "volume_size": 99999]],
        [
          ["source_type": "image", "destination_type": "volume", "boot_index": 0, "uuid": image, "volume_size": 1],
          ["source_type": "image", "destination_type": "volume", "boot_index": 0, "uuid": image, "volume_size": 1],
        ],
      ]
      for mappings in wrong {
        let answer = try await site.call(
          .post, "/v2.1/servers",
          site.order("x", ["imageRef": "", "block_device_mapping_v2": .array(mappings.map { .object($0) })]))
        #expect(answer.status == 400, "\(mappings): \(answer.shown)")
      }
      let free = try await site.node(
        try #require(try await site.database.read { try NodeStore.list(in: $0).first?.uuid }))
      #expect(free.provisionState == .available && free.instanceUUID == nil)
      #expect(site.world.values(prefix: "export/").isEmpty)
    }
  }

  @Test func deletedWhileItIsBuiltAServerTakesItsVolumeAlong() async throws {
    try await ComputeSite.run { site in
      let node = try await site.enrol("n1") { $0.driverInfo = ["fake_power_delay": 1] }
      let id = try await site.create(
        "bfv",
        boot([
          "uuid": .string(ComputeSite.image), "source_type": "image", "destination_type": "volume", "boot_index": 0,
          "volume_size": 1, "delete_on_termination": true,
        ]))
      #expect(try await site.call(.delete, "/v2.1/servers/\(id)").status == 204)
      try await site.gone(id)
      _ = try await site.settled(node, .available)
      let limit = ContinuousClock.now + .seconds(20)
      while try await site.call(.get, "/v3/volumes", service: "/volume").body["volumes"] != [],
        ContinuousClock.now < limit
      { try await Task.sleep(for: .milliseconds(10)) }
      #expect(try await site.call(.get, "/v3/volumes", service: "/volume").body["volumes"] == [])
      #expect(site.world.values(prefix: "volume/").isEmpty && site.world.values(prefix: "export/").isEmpty)
    }
  }
}

extension ComputeSite {
  /// A volume that is ready.
  func volume(isBootable: Bool = false, as person: String = "alice") async throws -> String {
    var body: JSONObject = ["size": 1]
    if isBootable { body["imageRef"] = .string(Self.image) }
    let made = try await call(.post, "/v3/volumes", ["volume": .object(body)], as: person, service: "/volume")
    #expect(made.status == 202, "\(made.shown)")
    let id = try #require(made.body["volume"]?["id"]?.string)
    try await volume(id, is: "available", as: person)
    return id
  }
  func volume(_ id: String, is status: String, as person: String = "alice") async throws {
    let limit = ContinuousClock.now + .seconds(20)
    while true {
      let shown = try await call(.get, "/v3/volumes/\(id)", as: person, service: "/volume")
      if shown.body["volume"]?["status"]?.string == status { return }
      if ContinuousClock.now > limit {
        Issue.record("the volume is not \(status): \(shown.shown)")
        return
      }
      try await Task.sleep(for: .milliseconds(5))
    }
  }
  func volumeGone(_ id: String) async throws {
    let limit = ContinuousClock.now + .seconds(20)
    while try await call(.get, "/v3/volumes/\(id)", service: "/volume").status != 404 {
      if ContinuousClock.now > limit {
        Issue.record("the volume is still there")
        return
      }
      try await Task.sleep(for: .milliseconds(5))
    }
  }
}
