import Domain
import Store
import TestSupport
import Testing
import Wire

/// Servers that give their machine back and keep the rest.
@Suite struct ServerShelvingTests {
  @Test func aServerOnVolumesIsShelvedAndComesBackOnAnotherMachineAsItWas() async throws {
    try await ComputeSite.run { site in
      let first = try await site.enrol("n1")
      let (boot, data) = (try await site.volume(isBootable: true), try await site.volume())
      var order = Self.onVolumes(boot, data)
      order["metadata"] = ["role": "front"]
      order["tags"] = ["blue"]
      let id = try await site.create("web", order)
      let before = try await site.server(id, "ACTIVE")
      let port = try #require(try await site.ports(of: id).first)
      let action = "/v2.1/servers/\(id)/action"

      #expect(try await site.call(.post, action, ["shelve": nil]).status == 202)
      let shelved = try await site.server(id, "SHELVED_OFFLOADED")
      let freed = try await site.settled(first, .available)

      #expect(shelved["OS-EXT-STS:vm_state"] == "shelved_offloaded" && shelved["OS-EXT-STS:power_state"] == 4)
      #expect(shelved["metadata"] == before["metadata"] && shelved["tags"] == before["tags"])
      #expect(
        shelved["os-extended-volumes:volumes_attached"] == before["os-extended-volumes:volumes_attached"])
      #expect(Self.addresses(shelved) == Self.addresses(before))
      let seen = try await site.call(.get, "/v2.1/servers/\(id)", as: "admin").server
      #expect(seen["OS-EXT-SRV-ATTR:host"]?.isNull == true)
      #expect(seen["OS-EXT-SRV-ATTR:hypervisor_hostname"]?.isNull == true)
      #expect(freed.instanceUUID == nil && freed.instanceInfo.isEmpty)
      let kept = try #require(try await site.ports(of: id).first)
      #expect(kept.id == port.id && kept.fixedIPs == port.fixedIPs && !kept.isBound && kept.status == .down)
      #expect(site.world.values(prefix: "export/").isEmpty)
      try await site.volume(boot, is: "reserved")
      try await site.volume(data, is: "reserved")
      let list = try await site.call(.get, "/v2.1/servers?status=SHELVED_OFFLOADED").body["servers"]?.array
      #expect(list?.compactMap { $0["id"]?.string } == [id])
      let limits = try await site.call(.get, "/v2.1/limits").body["limits"]?["absolute"]
      #expect(limits?["totalInstancesUsed"] == 1 && limits?["totalCoresUsed"] == 2)

      // The machine is the project's to use meanwhile.
      let other = try await site.create("other", ["networks": "none"])
      try await site.server(other, "ACTIVE")
      let none = try await site.call(.post, action, ["unshelve": nil])
      #expect(none.status == 409 && none.message.contains("n1 is in use"), "\(none.shown)")
      try await site.server(id, "SHELVED_OFFLOADED")

      let second = try await site.enrol("n2")
      #expect(try await site.call(.post, action, ["unshelve": nil]).status == 202)
      let after = try await site.server(id, "ACTIVE")
      #expect(try await site.node(second).instanceUUID == id)
      #expect(Self.addresses(after) == Self.addresses(before))
      #expect(
        after["os-extended-volumes:volumes_attached"] == before["os-extended-volumes:volumes_attached"])
      #expect(try await site.ports(of: id).first?.bindingHostID == second)
      try await site.volume(boot, is: "in-use")
      try await site.volume(data, is: "in-use")
      #expect(site.world.values(prefix: "export/").count == 2)

      let actions = try await site.call(.get, "/v2.1/servers/\(id)/os-instance-actions").body["instanceActions"]?.array
      #expect(actions?.compactMap { $0["action"]?.string } == ["unshelve", "shelve", "create"])
      let request = try #require(actions?[1]["request_id"]?.string)
      let events = try await site.call(.get, "/v2.1/servers/\(id)/os-instance-actions/\(request)")
        .body["instanceAction"]?["events"]?.array
      #expect(events?.contains { $0["event"] == "release" && $0["finish_time"]?.string != nil } == true)
    }
  }

  @Test func whatAShelvedServerKeepsIsNobodyElses() async throws {
    try await ComputeSite.run { site in
      try await site.enrol("n1")
      let (boot, data) = (try await site.volume(isBootable: true), try await site.volume())
      let id = try await site.create("web", Self.onVolumes(boot, data))
      try await site.server(id, "ACTIVE")
      let action = "/v2.1/servers/\(id)/action"
      #expect(try await site.call(.post, action, ["unshelve": nil]).status == 409)
      #expect(try await site.call(.post, action, ["shelve": nil], as: "bob").status == 404)
      #expect(try await site.call(.post, action, ["shelve": nil], as: "watcher").status == 403)
      #expect(try await site.call(.post, action, ["shelve": nil]).status == 202)
      try await site.server(id, "SHELVED_OFFLOADED")

      let verbs: JSONObject = [
        "os-start": nil, "os-stop": nil, "reboot": ["type": "HARD"], "shelve": nil, "shelveOffload": nil, "rescue": nil,
        "unrescue": nil, "createImage": ["name": "x"], "rebuild": ["imageRef": .string(ComputeSite.image)],
      ]
      for verb in verbs {
        let answer = try await site.call(.post, action, .object([verb.key: verb.value]))
        #expect(answer.status == 409, "\(verb.key): \(answer.shown)")
        #expect(answer.message.contains("vm_state shelved_offloaded"), "\(verb.key): \(answer.message)")
      }
      let port = try #require(try await site.ports(of: id).first).id
      let taken = try await site.call(
        .post, "/v2.1/servers", site.order("x", ["networks": [["port": .string(port)]]]))
      #expect(taken.status == 409, "\(taken.shown)")
      for (path, body) in [
        ("/v3/volumes/\(boot)/action", ["os-unreserve": [:]]),
        ("/v3/volumes/\(boot)/action", ["os-attach": ["instance_uuid": .string(id), "mountpoint": "/dev/vdb"]]),
        ("/v3/attachments", ["attachment": ["volume_uuid": .string(boot), "instance_uuid": .string(id)]]),
      ] as [(String, JSON)] {
        let answer = try await site.call(.post, path, body, service: "/volume")
        #expect(answer.status == 409, "\(body): \(answer.shown)")
      }
      #expect(try await site.call(.delete, "/v3/volumes/\(boot)", service: "/volume").status == 400)
      try await site.volume(boot, is: "reserved")

      // A volume may leave it all the same.
      let gone = try await site.call(.delete, "/v2.1/servers/\(id)/os-volume_attachments/\(data)")
      #expect(gone.status == 202, "\(gone.shown)")
      try await site.volume(data, is: "available")
    }
  }

  @Test func whereToIsCheckedBeforeAnythingIsDone() async throws {
    try await ComputeSite.run { site in
      try await site.enrol("n1")
      let (boot, data) = (try await site.volume(isBootable: true), try await site.volume())
      let id = try await site.create("web", Self.onVolumes(boot, data))
      try await site.server(id, "ACTIVE")
      let action = "/v2.1/servers/\(id)/action"
      try await site.call(.post, action, ["shelve": nil])
      try await site.server(id, "SHELVED_OFFLOADED")

      let long = JSON.string(String(repeating: "z", count: 300))
      let wrong: [(String, JSON, Int)] = [
        ("2.100", [:], 400), ("2.100", "n1", 400), ("2.100", [1], 400), ("2.100", ["zone": "nova"], 400),
        ("2.100", ["availability_zone": "mars"], 400), ("2.100", ["availability_zone": 7], 400),
        ("2.100", ["availability_zone": long], 400), ("2.77", ["availability_zone": nil], 400),
        ("2.77", ["host": "n1"], 400), ("2.100", ["host": "n1"], 403), ("2.100", ["host": long], 400),
      ]
      for (version, value, status) in wrong {
        let answer = try await site.call(.post, action, ["unshelve": value], version: version)
        #expect(answer.status == status, "\(version) \(value): \(answer.shown)")
      }
      let unknown = try await site.call(.post, action, ["unshelve": ["host": "nowhere"]], as: "admin")
      #expect(unknown.status == 400, "\(unknown.shown)")
      #expect(try await site.call(.post, action, ["unshelve": nil], as: "bob").status == 404)
      try await site.server(id, "SHELVED_OFFLOADED")

      let named = try await site.enrol("n2")
      let there = try await site.call(
        .post, action, ["unshelve": ["host": "n2", "availability_zone": "nova"]], as: "admin")
      #expect(there.status == 202, "\(there.shown)")
      let after = try await site.server(id, "ACTIVE")
      #expect(try await site.node(named).instanceUUID == id)
      #expect(after["pinned_availability_zone"] == "nova")
    }
  }

  @Test func aShelvedServerThatIsDeletedTakesAlongWhatIsItsOwn() async throws {
    try await ComputeSite.run { site in
      try await site.enrol("n1")
      let data = try await site.volume()
      let id = try await site.create(
        "web",
        [
          "imageRef": "",
          "block_device_mapping_v2": [
            [
              "uuid": .string(ComputeSite.image), "source_type": "image", "destination_type": "volume", "boot_index": 0,
              "volume_size": 1, "delete_on_termination": true,
            ],
            ["uuid": .string(data), "source_type": "volume", "destination_type": "volume"],
          ],
        ])
      let server = try await site.server(id, "ACTIVE")
      let own = try #require(server["os-extended-volumes:volumes_attached"]?.array?.first?["id"]?.string)
      try await site.call(.post, "/v2.1/servers/\(id)/action", ["shelve": nil])
      try await site.server(id, "SHELVED_OFFLOADED")

      #expect(try await site.call(.delete, "/v2.1/servers/\(id)").status == 204)
      try await site.gone(id)
      try await site.volumeGone(own)
      try await site.volume(data, is: "available")
      #expect(try await site.ports(of: id).isEmpty)
    }
  }

  @Test func aMachineThatDoesNotComeUpIsGivenBackAndTheServerStaysShelved() async throws {
    try await ComputeSite.run { site in
      let node = try await site.enrol("n1")
      let (boot, data) = (try await site.volume(isBootable: true), try await site.volume())
      let id = try await site.create("web", Self.onVolumes(boot, data))
      let before = try await site.server(id, "ACTIVE")
      let action = "/v2.1/servers/\(id)/action"
      try await site.call(.post, action, ["shelve": nil])
      try await site.server(id, "SHELVED_OFFLOADED")
      _ = try await site.settled(node, .available)

      try site.world.ensure("fault/export", "refused: no room")
      #expect(try await site.call(.post, action, ["unshelve": nil]).status == 202)
      let limit = ContinuousClock.now + .seconds(20)
      while try await site.call(.get, "/v2.1/servers/\(id)/os-instance-actions").body["instanceActions"]?.array?.first?[
        "action"] != "shelveOffload", ContinuousClock.now < limit
      { try await Task.sleep(for: .milliseconds(5)) }
      let shelved = try await site.server(id, "SHELVED_OFFLOADED")
      #expect(try await site.settled(node, .available).instanceUUID == nil)
      #expect(Self.addresses(shelved) == Self.addresses(before))
      try await site.volume(boot, is: "reserved")
      try await site.volume(data, is: "reserved")

      try site.world.ensure("fault/export", nil)
      #expect(try await site.call(.post, action, ["unshelve": nil]).status == 202)
      try await site.server(id, "ACTIVE")
      try await site.volume(boot, is: "in-use")
    }
  }

  @Test func aServerOnItsDiskComesBackFromItsImageWhichGoes() async throws {
    try await ComputeSite.run { site in
      let node = try await site.enrol("n1")
      let id = try await site.create("web")
      let before = try await site.server(id, "ACTIVE")
      let action = "/v2.1/servers/\(id)/action"
      #expect(try await site.call(.post, action, ["shelve": nil]).status == 202)
      let shelved = try await site.server(id, "SHELVED_OFFLOADED")
      #expect(Self.addresses(shelved) == Self.addresses(before))
      #expect(try await site.settled(node, .available).instanceUUID == nil)
      let image = try #require(
        try await site.database.read { try ServerStore.get(id, in: $0)?.server.shelvedImageID })
      #expect(site.world.value("content/\(image)") == "/nowhere/\(ComputeSite.image)")
      // The world's images have no content; this one is said to have.
      try await site.database.write { session in
        var made = try #require(try ImageStore.get(image, in: session))
        made.status = .active
        try ImageStore.update(made, in: session)
      }

      #expect(try await site.call(.post, action, ["unshelve": nil]).status == 202)
      let after = try await site.server(id, "ACTIVE")
      #expect(Self.addresses(after) == Self.addresses(before) && after["image"]?["id"] == before["image"]?["id"])
      #expect(try await site.node(node).instanceInfo["image_source"] == .string(ComputeSite.image))
      try await site.imageGone(image)
    }
  }

  @Test func aServerWhoseMachineCouldNotBeGivenBackIsLetGoOf() async throws {
    try await ComputeSite.run { site in
      let node = try await site.enrol("n1")
      let id = try await site.create("web")
      let before = try await site.server(id, "ACTIVE")
      let action = "/v2.1/servers/\(id)/action"
      // An administrator has mended it.
      let image = try await site.leaveShelved(id, on: node)
      #expect(try await site.call(.get, "/v2.1/servers/\(id)").server["status"] == "ERROR")
      #expect(try await site.call(.post, action, ["unshelve": nil]).status == 409)
      #expect(try await site.call(.post, action, ["shelveOffload": nil]).status == 202)
      try await site.server(id, "SHELVED_OFFLOADED")
      _ = try await site.settled(node, .available)

      #expect(try await site.call(.post, action, ["unshelve": nil]).status == 202)
      let after = try await site.server(id, "ACTIVE")
      #expect(Self.addresses(after) == Self.addresses(before) && after["image"]?["id"] == before["image"]?["id"])
      #expect(try await site.node(node).instanceInfo["image_source"] == .string(ComputeSite.image))
      try await site.imageGone(image)
    }
  }

  @Test func withoutItsImageAServerStaysShelvedAndTheImageGoesWithIt() async throws {
    try await ComputeSite.run { site in
      let node = try await site.enrol("n1")
      let id = try await site.create("web")
      try await site.server(id, "ACTIVE")
      let image = try await site.leaveShelved(id, on: node)
      let action = "/v2.1/servers/\(id)/action"
      #expect(try await site.call(.post, action, ["shelveOffload": nil]).status == 202)
      try await site.server(id, "SHELVED_OFFLOADED")
      try await site.database.write { session in
        var image = try #require(try ImageStore.get(image, in: session))
        image.status = .deactivated
        try ImageStore.update(image, in: session)
      }
      let without = try await site.call(.post, action, ["unshelve": nil])
      #expect(without.status == 409 && without.message.contains("cannot be found"), "\(without.shown)")

      #expect(try await site.call(.delete, "/v2.1/servers/\(id)").status == 204)
      try await site.gone(id)
      try await site.imageGone(image)
      #expect(try await site.ports(of: id).isEmpty)
    }
  }

  static func onVolumes(_ boot: String, _ data: String) -> JSONObject {
    [
      "imageRef": "",
      "block_device_mapping_v2": [
        ["uuid": .string(boot), "source_type": "volume", "destination_type": "volume", "boot_index": 0],
        ["uuid": .string(data), "source_type": "volume", "destination_type": "volume"],
      ],
    ]
  }
  /// A NIC's hardware address is the machine's.
  private static func addresses(_ server: JSON) -> [String] {
    (server["addresses"]?.object ?? [:]).flatMap { network in
      (network.value.array ?? []).compactMap { $0["addr"]?.string.map { "\(network.key) \($0)" } }
    }.sorted()
  }
}

extension ComputeSite {
  /// A server whose disk is an image, and whose machine is in error.
  /// - Returns: the image.
  fileprivate func leaveShelved(_ id: String, on node: String) async throws -> String {
    let now = CrashSite.now()
    return try await database.write { session in
      var image = Image(name: "web-shelved", owner: "alpha", visibility: .private, createdAt: now)
      image.status = .active
      try ImageStore.insert(image, in: session)
      var server = try #require(try ServerStore.get(id, in: session)).server
      server.shelvedAt = now
      server.shelvedImageID = image.id
      try ServerStore.update(server, in: session)
      var machine = try #require(try NodeStore.get(node, in: session))
      machine.provisionState = .error
      try NodeStore.update(machine, in: session)
      return image.id
    }
  }
  fileprivate func imageGone(_ id: String) async throws {
    let limit = ContinuousClock.now + .seconds(20)
    while try await database.read({ try ImageStore.get(id, in: $0) }) != nil {
      if ContinuousClock.now > limit {
        Issue.record("the image is still there")
        return
      }
      try await Task.sleep(for: .milliseconds(5))
    }
  }
}
