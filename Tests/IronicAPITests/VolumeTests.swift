import Domain
import HTTPTypes
import Store
import Testing
import Wire

@Suite struct VolumeTests {
  private func connector(_ site: Site, _ node: String, _ id: String, as token: String? = nil) async throws
    -> Site.Answer
  {
    try await site.call(
      .post, "/v1/volume/connectors",
      ["node_uuid": .string(node), "type": "iqn", "connector_id": .string(id), "extra": ["a": 1]], as: token)
  }
  private func target(
    _ site: Site, _ node: String, _ index: JSON, _ properties: JSON = nil, as token: String? = nil
  ) async throws -> Site.Answer {
    try await site.call(
      .post, "/v1/volume/targets",
      [
        "node_uuid": .string(node), "volume_type": "iscsi", "volume_id": "v1", "boot_index": index,
        "properties": properties,
      ], as: token)
  }
  private func setPower(_ site: Site, _ node: String, _ power: Power?, _ state: ProvisionState = .available)
    async throws
  {
    _ = try await site.database.write { session in
      guard var node = try NodeStore.get(node, in: session) else { return }
      node.powerState = power
      node.provisionState = state
      try NodeStore.update(node, in: session)
    }
  }

  @Test func aConnectorIsMadeShownChangedAndRemoved() async throws {
    try await withSite { site in
      let node = try await site.node("n1")
      let made = try await connector(site, node, "iqn.1")
      #expect(made.status == 201 && made.json["type"]?.string == "iqn" && made.json["node_uuid"]?.string == node)
      let uuid = made.json["uuid"]?.string ?? ""
      #expect(made.headers[.location]?.hasSuffix("/v1/volume/connectors/\(uuid)") == true)
      let twice = try await connector(site, node, "iqn.1")
      #expect(twice.status == 409 && twice.fault.contains("already exists"))
      for path in ["/v1/volume/connectors", "/v1/volume/connectors?node=n1", "/v1/nodes/n1/volume/connectors"] {
        let list = try await site.call(.get, path).json["connectors"]?.array ?? []
        #expect(list.map { $0["uuid"]?.string } == [uuid], "\(path)")
        #expect(list.first?.object?.keys.sorted() == ["connector_id", "links", "node_uuid", "type", "uuid"])
      }
      let detail = try await site.call(.get, "/v1/volume/connectors?detail=True", version: "1.32").json
      #expect(detail["connectors"]?.array?.first?["extra"] == ["a": 1])
      let changed = try await site.call(
        .patch, "/v1/volume/connectors/\(uuid)",
        [["op": "replace", "path": "/connector_id", "value": "iqn.2"], ["op": "remove", "path": "/extra"]])
      #expect(changed.json["connector_id"]?.string == "iqn.2" && changed.json["extra"] == [:])
      #expect(try await site.call(.delete, "/v1/volume/connectors/\(uuid)").status == 204)
      let gone = try await site.call(.get, "/v1/volume/connectors/\(uuid)")
      #expect(gone.status == 404 && gone.fault == "Volume connector \(uuid) could not be found.")
    }
  }

  @Test func aTargetIsMadeShownChangedAndRemoved() async throws {
    try await withSite { site in
      let node = try await site.node("n1"), other = try await site.node("n2")
      let made = try await target(site, node, "0", ["target_portal": "10.0.0.1:3260", "auth_password": "hush"])
      #expect(made.status == 201 && made.json["boot_index"] == 0)
      #expect(made.json["properties"] == ["target_portal": "10.0.0.1:3260", "auth_password": .string(Node.mask)])
      let uuid = made.json["uuid"]?.string ?? ""
      let twice = try await target(site, node, 0)
      #expect(
        twice.status == 409 && twice.fault.hasPrefix("A volume target ") && twice.fault.contains("already exists"))
      #expect(try await target(site, other, 0).status == 201)
      // A mask written back keeps the secret; the file holds nothing in the clear.
      let changed = try await site.call(
        .patch, "/v1/volume/targets/\(uuid)",
        [
          ["op": "replace", "path": "/volume_id", "value": "v2"],
          [
            "op": "replace", "path": "/properties",
            "value": ["auth_password": .string(Node.mask), "target_portal": "10.0.0.2:3260"],
          ],
        ])
      #expect(changed.status == 200 && changed.json["volume_id"]?.string == "v2")
      let box = site.database.secrets
      let kept = try await site.database.read { try VolumeTargetStore.get(uuid, box: box, in: $0) }
      #expect(kept?.properties == ["auth_password": "hush", "target_portal": "10.0.0.2:3260"])
      let stored = try await site.database.read {
        try $0.query("SELECT properties FROM volume_targets WHERE properties IS NOT NULL", []) { $0.text(0) }
      }
      #expect(stored.count == 1 && !stored[0].contains("hush") && !stored[0].contains("10.0.0.2"))
      let list = try await site.call(.get, "/v1/nodes/n1/volume/targets").json["targets"]?.array ?? []
      #expect(
        list.first?.object?.keys.sorted() == ["boot_index", "links", "node_uuid", "uuid", "volume_id", "volume_type"])
      #expect(list.count == 1)
      let sorted = try await site.call(.get, "/v1/volume/targets?sort_key=volume_id&sort_dir=desc&limit=1").json
      #expect(
        sorted["targets"]?.array?.first?["uuid"]?.string == uuid && sorted["next"]?.string?.contains(uuid) == true)
      #expect(
        try await site.call(.get, "/v1/volume/targets?node=n1&fields=volume_id").json["targets"]?.array?.count == 1)
      #expect(try await site.call(.delete, "/v1/volume/targets/\(uuid)").status == 204)
      #expect(try await site.call(.get, "/v1/volume/targets/\(uuid)").status == 404)
    }
  }

  @Test func whatARunningMachineBootsFromStaysAsItIs() async throws {
    try await withSite { site in
      let node = try await site.node("n1")
      let wwn = try await connector(site, node, "iqn.1").json["uuid"]?.string ?? ""
      let volume = try await target(site, node, 0).json["uuid"]?.string ?? ""
      try await setPower(site, node, .on)
      for (path, words) in [
        ("/v1/volume/connectors/\(wwn)", "volume connector"), ("/v1/volume/targets/\(volume)", "volume target"),
      ] {
        let note: JSON = [["op": "add", "path": "/extra/x", "value": 1]]
        let update = try await site.call(.patch, path, note)
        #expect(update.status == 400)
        #expect(
          update.fault
            == "The requested action \"\(words) update\" can not be performed on node \"\(node)\" while it is in state \"power on\"."
        )
        let removal = try await site.call(.delete, path)
        #expect(removal.status == 400 && removal.fault.hasPrefix("The requested action \"\(words) deletion\""))
        #expect(try await site.call(.get, path).status == 200)
      }
      // A node that is not in use yet may lose them, whatever its power.
      try await setPower(site, node, .on, .enroll)
      #expect(try await site.call(.delete, "/v1/volume/connectors/\(wwn)").status == 204)
      try await setPower(site, node, .off)
      _ = try await site.database.write { session in
        guard var node = try NodeStore.get(node, in: session) else { return }
        node.reservation = Identifier.uuid()
        try NodeStore.update(node, in: session)
      }
      #expect(try await site.call(.delete, "/v1/volume/targets/\(volume)").status == 409)
    }
  }

  @Test func wrongInputIsRefusedAndChangesNothing() async throws {
    try await withSite { site in
      let node = try await site.node("n1")
      let known = try await target(site, node, 0).json["uuid"]?.string ?? ""
      let good: JSONObject = [
        "node_uuid": .string(node), "volume_type": "iscsi", "volume_id": "v", "boot_index": 1,
      ]
      let wrong: [(String, JSON)] = [
        ("boot_index", -1), ("boot_index", "first"), ("boot_index", nil), ("boot_index", 1.5), ("boot_index", 70_000),
        ("volume_id", nil), ("volume_id", ""), ("volume_id", "a\nb"), ("volume_type", ["x"]), ("properties", "x"),
        ("extra", 5), ("uuid", "x"), ("node_uuid", nil), ("node_uuid", "n1"), ("colour", "red"),
        ("node_uuid", .string(Identifier.uuid())),
      ]
      for (member, value) in wrong {
        var body = good
        body[member] = value
        let answer = try await site.call(.post, "/v1/volume/targets", .object(body))
        #expect(answer.status == 400 && !answer.fault.isEmpty, "\(member) \(value): \(answer.text)")
      }
      for (member, value) in [("type", JSON.null), ("connector_id", ""), ("extra", "x"), ("uuid", 5), ("x", 1)] {
        var body: JSONObject = ["node_uuid": .string(node), "type": "wwpn", "connector_id": "w"]
        body[member] = value
        #expect(try await site.call(.post, "/v1/volume/connectors", .object(body)).status == 400, "\(member)")
      }
      for patch: JSON in [
        [["op": "replace", "path": "/uuid", "value": "x"]], [["op": "remove", "path": "/volume_id"]],
        [["op": "remove", "path": "/boot_index"]], [["op": "replace", "path": "/boot_index", "value": -1]],
        [["op": "remove", "path": "/extra/none"]], [["op": "replace", "path": "/node_uuid", "value": "n1"]], "x",
      ] {
        #expect(try await site.call(.patch, "/v1/volume/targets/\(known)", patch).status == 400, "\(patch)")
      }
      #expect(try await site.call(.get, "/v1/volume/targets").json["targets"]?.array?.count == 1)
      #expect(try await site.call(.get, "/v1/volume/connectors").json["connectors"] == [])
      for path in ["/v1/volume", "/v1/volume/connectors", "/v1/volume/targets", "/v1/nodes/n1/volume/targets"] {
        #expect(try await site.call(.get, path, version: "1.31").status == 404, "\(path)")
      }
    }
  }

  @Test func whoUsesTheMachineSaysWhatItBootsFrom() async throws {
    try await withSite { site in
      let node = try await site.node("n1", owner: Site.owner, lessee: Site.lessee)
      let foreign = try await site.node("n2", owner: Site.other)
      let lessee = site.token(Site.lessee), stranger = site.token(Site.other)
      let made = try await target(site, node, 0, ["auth_password": "hush"], as: lessee)
      #expect(made.status == 201)
      let uuid = made.json["uuid"]?.string ?? ""
      #expect(try await connector(site, node, "iqn.1", as: site.token(Site.owner)).status == 201)
      #expect(try await target(site, node, 1, as: site.token(Site.lessee, ["reader"])).status == 403)
      let far = try await target(site, foreign, 0, as: lessee)
      #expect(far.status == 400 && far.fault == "Node \(foreign) could not be found.")
      for (method, path) in [
        (HTTPRequest.Method.get, "/v1/volume/targets/\(uuid)"), (.delete, "/v1/volume/targets/\(uuid)"),
        (.get, "/v1/volume/targets?marker=\(uuid)"), (.get, "/v1/volume/targets?node=n1"),
      ] {
        #expect(try await site.call(method, path, as: stranger).status == 404, "\(method) \(path)")
      }
      #expect(try await site.call(.get, "/v1/volume/targets", as: stranger).json["targets"] == [])
      #expect(try await site.call(.get, "/v1/volume/connectors", as: stranger).json["connectors"] == [])
    }
  }

  @Test func whatALesseeSaidOfStorageGoesWithTheLease() async throws {
    try await withSite { site in
      let node = try await site.node("n1", owner: Site.owner, lessee: Site.lessee, state: .active)
      _ = try await target(site, node, 0, ["auth_password": "hush"], as: site.token(Site.lessee))
      _ = try await connector(site, node, "iqn.lessee", as: site.token(Site.lessee))
      let owned = try await connector(site, node, "iqn.owner", as: site.token(Site.owner)).json["uuid"]?.string
      let conductor = site.conductor, database = site.database
      let lease = try await site.lease(node)
      try await database.write { try conductor.endLease(lease, reason: .deleted, in: $0) }

      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await conductor.runner.run() }
        let limit = ContinuousClock.now + .seconds(30)
        while try await site.call(.get, "/v1/volume/targets").json["targets"] != [] {
          try #require(ContinuousClock.now < limit, "the target is still there")
          try await Task.sleep(for: .milliseconds(5))
        }
        group.cancelAll()
      }
      let left = try await site.call(.get, "/v1/volume/connectors").json["connectors"]?.array ?? []
      #expect(left.map { $0["uuid"]?.string } == [owned])
    }
  }
}
