import Domain
import Store
import TestSupport
import Testing
import Wire
import Workflows

@Suite struct ServerPartsTests {
  @Test func keyMetadataAndUserDataReachTheConfigDrive() async throws {
    try await ComputeSite.run(isRunning: false) { site in
      try await site.enrol("n1")
      let line =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f alice@example"
      try await site.call(.post, "/v2.1/os-keypairs", ["keypair": ["name": "k", "public_key": .string(line)]])
      let id = try await site.create(
        "My Web",
        [
          "key_name": "k", "metadata": ["role": "test"], "user_data": "H4sIAP8=",
          "networks": [["uuid": .string(ComputeSite.network), "tag": "lan"]],
        ])
      let workflow = try #require(
        try await site.database.read { try WorkflowStore.list(in: $0) }.first { $0.kind == "deploy-node" })
      let drive = workflow.params["config_drive"]
      let meta = drive?["meta_data"]
      #expect(meta?["uuid"] == .string(id))
      #expect(meta?["hostname"] == "my-web" && meta?["name"] == "My Web")
      #expect(meta?["public_keys"] == ["k": .string(line)])
      #expect(meta?["meta"] == ["role": "test"] && meta?["project_id"] == "alpha")
      #expect(meta?["devices"]?.array?.first?["tags"] == ["lan"])
      // User data may be no text: it stays as it was given.
      #expect(drive?["user_data_base64"] == "H4sIAP8=")
      #expect(workflow.params["image"] == .string(ComputeSite.image))
      // It is gone with the server.
      try await site.call(.delete, "/v2.1/servers/\(id)")
    }
  }

  @Test func metadataAndTagsAreChanged() async throws {
    try await ComputeSite.run(isRunning: false) { site in
      try await site.enrol("n1")
      let id = try await site.create("web", ["metadata": ["a": "1"], "tags": ["blue"]])
      let metadata = "/v2.1/servers/\(id)/metadata"
      #expect(try await site.call(.post, metadata, ["metadata": ["b": "2"]]).body["metadata"] == ["a": "1", "b": "2"])
      #expect(try await site.call(.put, metadata, ["metadata": ["c": "3"]]).body["metadata"] == ["c": "3"])
      #expect(try await site.call(.put, metadata + "/d", ["meta": ["d": "4"]]).status == 200)
      #expect(try await site.call(.put, metadata + "/d", ["meta": ["e": "4"]]).status == 400)
      #expect(try await site.call(.get, metadata + "/d").body == ["meta": ["d": "4"]])
      #expect(try await site.call(.delete, metadata + "/d").status == 204)
      #expect(try await site.call(.delete, metadata + "/d").status == 404)
      var many: JSONObject = [:]
      for index in 0..<129 { many["k\(index)"] = "v" }
      #expect(try await site.call(.post, metadata, ["metadata": .object(many)]).status == 403)
      #expect(try await site.call(.post, metadata, ["metadata": ["b": "2"]], as: "watcher").status == 403)
      #expect(try await site.call(.get, metadata, as: "bob").status == 404)

      let tags = "/v2.1/servers/\(id)/tags"
      #expect(try await site.call(.put, tags + "/red").status == 201)
      #expect(try await site.call(.put, tags + "/red").status == 204)
      #expect(try await site.call(.get, tags).body == ["tags": ["blue", "red"]])
      #expect(try await site.call(.delete, tags + "/green").status == 404)
      #expect(try await site.call(.get, "/v2.1/servers?tags=blue,red").body["servers"]?.array?.count == 1)
      #expect(try await site.call(.get, "/v2.1/servers?not-tags-any=blue").body["servers"] == [])
      #expect(try await site.call(.delete, tags).status == 204)
      #expect(try await site.call(.get, tags, version: "2.25").status == 404)
    }
  }

  @Test func aGroupsServersStandApart() async throws {
    try await ComputeSite.run(isRunning: false) { site in
      let now = CrashSite.now()
      let racks = [Identifier.uuid(), Identifier.uuid()]
      try await site.database.write { session in
        for rack in racks { try ChassisStore.insert(Chassis(uuid: rack, createdAt: now), in: session) }
      }
      for index in 0..<3 {
        try await site.enrol("n\(index)") { $0.chassisUUID = racks[index / 2] }
      }
      let affinity = try await site.call(
        .post, "/v2.1/os-server-groups", ["server_group": ["name": "g", "policy": "affinity"]])
      #expect(affinity.status == 400 && affinity.message.contains("one server"))
      let made = try await site.call(
        .post, "/v2.1/os-server-groups", ["server_group": ["name": "g", "policy": "anti-affinity"]])
      let group = try #require(made.body["server_group"]?["id"]?.string)
      #expect(try await site.call(.get, "/v2.1/os-server-groups/\(group)", as: "bob").status == 404)
      func create(_ name: String, as token: String = "alice") async throws -> ComputeSite.Answer {
        guard case .object(var order) = site.order(name) else { throw CancellationError() }
        order["os:scheduler_hints"] = ["group": .string(group)]
        return try await site.call(.post, "/v2.1/servers", .object(order), as: token)
      }
      #expect(try await create("x", as: "bob").status == 400)
      var nodes: [String] = []
      for name in ["a", "b"] {
        let id = try await create(name).id
        nodes.append(try #require(try await site.database.read { try ServerStore.get(id, in: $0)?.machine?.uuid }))
      }
      let chassis = try await site.database.read { [nodes] session in
        try nodes.compactMap { try NodeStore.get($0, in: session)?.chassisUUID }
      }
      #expect(Set(chassis).count == 2)
      let third = try await create("c").id
      let shown = try await site.call(.get, "/v2.1/servers/\(third)").server
      #expect(shown["fault"]?["message"]?.string?.contains("stands on a chassis") == true)
      #expect(shown["server_groups"] == [.string(group)])
    }
  }

  @Test func theSiteIsShownToThoseWhoRunIt() async throws {
    try await ComputeSite.run { site in
      let node = try await site.enrol("n1")
      let id = try await site.create("web")
      try await site.server(id, "ACTIVE")
      let hypervisors = try await site.call(.get, "/v2.1/os-hypervisors/detail", as: "admin")
      #expect(hypervisors.body["hypervisors"]?.array?.first?["hypervisor_hostname"] == .string(node))
      #expect(try await site.call(.get, "/v2.1/os-hypervisors/detail").status == 403)
      #expect(try await site.call(.get, "/v2.1/os-hypervisors/1.1", as: "admin").status == 404)
      let zones = try await site.call(.get, "/v2.1/os-availability-zone/detail").body["availabilityZoneInfo"]?.array
      #expect(zones?.first?["zoneState"]?["available"] == true && zones?.first?["hosts"]?.isNull == true)
      let usage = try await site.call(.get, "/v2.1/os-simple-tenant-usage/alpha").body["tenant_usage"]
      #expect(usage?["server_usages"]?.array?.first?["instance_id"] == .string(id))
      #expect(try await site.call(.get, "/v2.1/os-simple-tenant-usage/alpha", as: "bob").status == 403)
      let volumes = "/v2.1/servers/\(id)/os-volume_attachments"
      #expect(try await site.call(.get, volumes).body["volumeAttachments"] == [])
      #expect(try await site.call(.get, volumes, as: "bob").status == 404)
      let vnc = try await site.call(
        .post, "/v2.1/servers/\(id)/remote-consoles", ["remote_console": ["protocol": "vnc", "type": "novnc"]])
      #expect(vnc.status == 400 && vnc.message.contains("serial"))
    }
  }
}
