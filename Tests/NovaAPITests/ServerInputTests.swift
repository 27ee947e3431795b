import APISupport
import Domain
import HTTPTypes
import Store
import TestSupport
import Testing
import Wire

@Suite struct ServerInputTests {
  @Test func nonsenseIsRefusedAndLeavesNothing() async throws {
    try await ComputeSite.run(isRunning: false) { site in
      try await site.enrol("n1")
      for (more, status) in [
        (["name": ""], 400), (["name": .string(String(repeating: "a", count: 256))], 400), (["name": 12345], 400),
        (["flavorRef": "none"], 400), (["imageRef": "8b05de5e-0000-4000-8000-000000000000"], 400),
        (["imageRef": "no uuid"], 400), (["networks": [["uuid": "a-b-c"]]], 400),
        (["networks": [["uuid": "8b05de5e-0000-4000-8000-000000000000"]]], 400), (["networks": "all"], 400),
        (["networks": [["fixed_ip": "10.0.1.20"]]], 400), (["key_name": "none"], 400),
        (["accessIPv4": "1.1.1.1.1.1"], 400), (["accessIPv6": "notipv6"], 400),
        (["min_count": 3, "max_count": 2], 400),
        (["min_count": 0], 400), (["max_count": "x"], 400), (["metadata": [:], "surprise": 1], 400),
        (["metadata": ["": "x"]], 400), (["metadata": ["k": .string(String(repeating: "v", count: 256))]], 400),
        (["metadata": ["k": 1]], 400), (["tags": ["a/b"]], 400), (["tags": [""]], 400), (["user_data": "%%%"], 400),
        (["availability_zone": "elsewhere"], 400), (["hypervisor_hostname": "n1"], 403), (["hostname": "-x-"], 400),
        (["status": "ACTIVE"], 400), (["tenant_id": "beta"], 400), (["id": "x"], 400), (["node_uuid": "x"], 400),
        (["block_device_mapping_v2": [["source_type": "volume", "destination_type": "volume", "boot_index": 0]]], 400),
        (["personality": []], 400), (["os:scheduler_hints": []], 400),
      ] as [(JSONObject, Int)] {
        let answer = try await site.call(.post, "/v2.1/servers", site.order("web", more))
        #expect(answer.status == status, "\(JSON.object(more)): \(answer.shown)")
      }
      let bodies: [JSON] = [[:], ["server": []], ["server": [:]], [], ["server": ["name": "x"]]]
      for body in bodies {
        #expect(try await site.call(.post, "/v2.1/servers", body).status == 400, "\(body)")
      }
      #expect(try await site.call(.post, "/v2.1/servers", site.order("x"), as: "watcher").status == 403)
      let left = try await site.database.read { session in
        (
          try ServerStore.list(in: session) { $0.append("WHERE 1 = 1") }.count,
          try NetworkPortStore.list(in: session).count
        )
      }
      #expect(left == (0, 0))
    }
  }

  @Test func aForeignNetworkIsNotThere() async throws {
    try await ComputeSite.run(isRunning: false) { site in
      try await site.enrol("n1", owner: "beta")
      let answer = try await site.call(.post, "/v2.1/servers", site.order("x"), as: "bob")
      #expect(answer.status == 400, "\(answer.shown)")
      #expect(answer.message.contains("could not be found"))
    }
  }

  @Test func whatIsAskedOfAMachineDecides() async throws {
    try await ComputeSite.run(isRunning: false) { site in
      try await site.enrol("n1")
      let second = try await site.enrol("n2")
      let id = try await site.create("web", ["availability_zone": "nova::n2"])
      #expect(try await site.database.read { try ServerStore.get(id, in: $0)?.machine?.uuid } == second)
      // Somebody else's machine is named in vain, and so is one that is taken.
      let foreign = try await site.enrol("n3", owner: "beta")
      let lost = try await site.create("lost", ["availability_zone": .string("nova::\(foreign)")])
      let shown = try await site.call(.get, "/v2.1/servers/\(lost)").server
      #expect(shown["status"] == "ERROR" && shown["fault"]?["message"]?.string?.contains("n3") == false)
      let named = try await site.call(
        .post, "/v2.1/servers",
        site.order("mine", ["availability_zone": .string("nova::\(foreign)"), "networks": "none"]),
        as: "admin")
      #expect(try await site.database.read { try ServerStore.get(named.id, in: $0)?.machine?.uuid } == foreign)

      // For as long as asked.
      let leased = try await site.enrol("n4", owner: "beta") { $0.lessee = "alpha" }
      let now = CrashSite.now()
      let lease = Lease(
        uuid: Identifier.uuid(), projectID: "alpha", ownerID: "beta", resourceUUID: leased,
        time: TimeRange(now - .seconds(60), now + .seconds(3600)),
        status: .active, createdAt: now)
      try await site.database.write { session in
        try LeaseStore.insert(lease, in: session)
        var node = try #require(try NodeStore.get(leased, in: session))
        node.leaseUUID = lease.uuid
        try NodeStore.update(node, in: session)
      }
      func until(_ seconds: Int) -> JSONObject {
        ["availability_zone": "nova::n4", "metadata": ["lease_until": .string((now + .seconds(seconds)).iso8601Zulu)]]
      }
      let long = try await site.create("long", until(7200))
      #expect(try await site.call(.get, "/v2.1/servers/\(long)").server["status"] == "ERROR")
      let short = try await site.create("short", until(1800))
      #expect(try await site.database.read { try ServerStore.get(short, in: $0)?.machine?.uuid } == leased)
    }
  }

  @Test func quotasHold() async throws {
    try await ComputeSite.run(isRunning: false) { site in
      for index in 0..<3 { try await site.enrol("n\(index)") }
      let path = "/v2.1/os-quota-sets/alpha"
      #expect(try await site.call(.put, path, ["quota_set": ["instances": 1]]).status == 403)
      #expect(try await site.call(.put, path, ["quota_set": ["instances": 1]], as: "admin").status == 200)
      #expect(try await site.call(.get, path, as: "bob").status == 403)
      _ = try await site.create("one")
      let second = try await site.call(.post, "/v2.1/servers", site.order("two"))
      #expect(second.status == 403 && second.message.contains("Quota exceeded for instances"))
      #expect(try await site.call(.put, path, ["quota_set": ["instances": 0]], as: "admin").status == 400)
      #expect(try await site.call(.delete, path, as: "admin").status == 202)
      _ = try await site.create("two")
      let used = try await site.call(.get, "/v2.1/limits").body["limits"]?["absolute"]
      #expect(used?["totalInstancesUsed"] == 2 && used?["maxTotalInstances"] == -1)
    }
  }

  @Test func severalAreMadeAsFarAsThereAreMachines() async throws {
    try await ComputeSite.run(isRunning: false) { site in
      for index in 0..<3 { try await site.enrol("n\(index)") }
      let answer = try await site.call(
        .post, "/v2.1/servers", site.order("web", ["min_count": 2, "max_count": 5, "return_reservation_id": true]))
      #expect(answer.body["reservation_id"]?.string?.hasPrefix("r-") == true)
      let rows = try await site.database.read { try ServerStore.list(in: $0) { $0.append("ORDER BY s.launch_index") } }
      #expect(rows.map(\.server.name) == ["web-1", "web-2", "web-3"])
      #expect(Set(rows.map(\.server.reservationID)).count == 1)
      #expect(try await site.database.read { try NetworkPortStore.list(in: $0).count } == 3)
    }
  }

  @Test func oldVersionsHaveOldShapes() async throws {
    try await ComputeSite.run(isRunning: false) { site in
      try await site.enrol("n1")
      let id = try await site.create("web")
      let first = try await site.call(.get, "/v2.1/servers/\(id)", version: "2.1").server
      #expect(first["flavor"]?["id"] == "metal" && first["flavor"]?["original_name"] == nil)
      for key in ["locked", "description", "tags", "locked_reason", "scheduler_hints", "pinned_availability_zone"] {
        #expect(first[key] == nil, "\(key)")
      }
      let last = try await site.call(.get, "/v2.1/servers/\(id)", version: "latest")
      #expect(last.server["scheduler_hints"] == [:] && last.server["flavor"]?["extra_specs"] != nil)
      #expect(last.headers[HTTPField.Name(known: "OpenStack-API-Version")] == "compute 2.100")
      #expect(try await site.call(.get, "/v2.1/servers", version: "2.101").status == 406)
      #expect(try await site.call(.get, "/v2.1/servers", version: "3.1").status == 406)
      #expect(try await site.call(.get, "/v2.1/servers", version: "x").status == 400)
      // Answers to changes were shorter before 2.75.
      let renamed = try await site.call(.put, "/v2.1/servers/\(id)", ["server": ["name": "w2"]], version: "2.74").server
      #expect(renamed["name"] == "w2" && renamed["OS-EXT-STS:vm_state"] == nil && renamed["locked"] == false)
      let later = try await site.call(.put, "/v2.1/servers/\(id)", ["server": ["name": "w3"]], version: "2.75").server
      #expect(later["OS-EXT-STS:vm_state"] != nil)
      let quotas = "/v2.1/os-quota-sets/alpha"
      #expect(try await site.call(.get, quotas, version: "2.35").body["quota_set"]?["fixed_ips"] == -1)
      #expect(try await site.call(.get, quotas, version: "2.36").body["quota_set"]?["fixed_ips"] == nil)
      let forAll = "/v2.1/os-quota-class-sets/default"
      #expect(try await site.call(.put, forAll, ["quota_class_set": ["instances": 7]]).status == 403)
      #expect(try await site.call(.put, forAll, ["quota_class_set": ["instances": 7]], as: "admin").status == 200)
      #expect(try await site.call(.get, quotas).body["quota_set"]?["instances"] == 7)
      let root = try await site.call(.get, "/v2.1", version: "9.9")
      #expect(root.status == 200 && root.body["version"]?["version"] == "2.100")
      #expect(try await site.call(.get, "/v2.1/images", version: "2.36").status == 404)
      #expect(try await site.call(.get, "/v2.1/images", version: "2.1").status == 200)
    }
  }
}
