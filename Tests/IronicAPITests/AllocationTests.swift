import Domain
import HTTPTypes
import Store
import Testing
import Wire

@Suite struct AllocationTests {
  private func allocate(_ site: Site, _ body: JSONObject, as token: String? = nil, version: String = "1.88")
    async throws -> Site.Answer
  {
    try await site.call(.post, "/v1/allocations", .object(body), as: token, version: version)
  }
  private func change(_ site: Site, _ node: String, _ body: @escaping @Sendable (inout Node) -> Void) async throws {
    _ = try await site.database.write { session in
      guard var found = try NodeStore.find(node, in: session) else { return }
      body(&found)
      try NodeStore.update(found, in: session)
    }
  }

  @Test func anAllocationBeginsAllocatingAndIsDecidedWithItsAnswer() async throws {
    try await withSite { site in
      let first = try await site.node("n1"), second = try await site.node("n2")
      try await change(site, "n2") { $0.traits = ["CUSTOM_GPU", "CUSTOM_BIG"] }
      let made = try await allocate(
        site,
        [
          "resource_class": "metal", "traits": ["CUSTOM_GPU"], "candidate_nodes": ["n1", .string(second)],
          "extra": ["a": 1],
        ])
      #expect(made.status == 201 && made.json["state"] == "allocating" && made.json["node_uuid"] == .null)
      #expect(made.json["candidate_nodes"] == .array([.string(first), .string(second)]))
      let uuid = made.json["uuid"]?.string ?? ""
      let decided = try await site.call(.get, "/v1/allocations/\(uuid)").json
      #expect(decided["state"] == "active" && decided["node_uuid"]?.string == second)
      #expect(decided["last_error"] == .null)
      #expect(try await site.call(.get, "/v1/nodes/n2/allocation").json == decided)
      let node = try await site.call(.get, "/v1/nodes/n2").json
      #expect(node["allocation_uuid"]?.string == uuid && node["instance_uuid"]?.string == uuid)

      let none = try await allocate(site, ["resource_class": "metal", "traits": ["CUSTOM_GPU"]])
      let failed = try await site.call(.get, "/v1/allocations/\(none.json["uuid"]?.string ?? "")").json
      #expect(
        failed["state"] == "error" && failed["last_error"]?.string?.contains("requested traits CUSTOM_GPU") == true)
      for state in ["active", "error", "allocating"] {
        let list = try await site.call(.get, "/v1/allocations?state=\(state)").json["allocations"]?.array ?? []
        #expect(list.count == (state == "allocating" ? 0 : 1), "\(state)")
      }
      #expect(try await site.call(.get, "/v1/allocations?node=n2&fields=uuid").json["allocations"]?.array?.count == 1)
      // Taking the instance away takes the allocation along.
      let patch: JSON = [["op": "remove", "path": "/instance_uuid"]]
      #expect(try await site.call(.patch, "/v1/nodes/n2", patch).json["allocation_uuid"] == .null)
      #expect(try await site.call(.get, "/v1/allocations/\(uuid)").status == 404)
    }
  }

  @Test func ofEqualMachinesTheOneWhoseAgentWaitsIsTaken() async throws {
    try await withSite { site in
      _ = try await site.node("n1")
      let waiting = try await site.node("n2")
      _ = try await site.node("n3")
      let mac = "52:54:00:00:00:02"
      let port = try await site.call(
        .post, "/v1/ports", ["node_uuid": .string(waiting), "address": .string(mac)])
      #expect(port.status == 201)
      try await site.database.write { session in
        let now = Site.now()
        try AgentStore.admit(node: waiting, workflow: "cleaning", token: "token", at: now, in: session)
        _ = try AgentStore.claim(token: "token", mac: mac, secret: "secret", at: now, in: session)
        try StandByStore.begin(node: waiting, workflow: "cleaning", until: now + .seconds(600), in: session)
        #expect(try StandByStore.ready(at: now, in: session) == [waiting])
        #expect(try StandByStore.ready(at: now + .seconds(601), in: session).isEmpty)
      }
      let made = try await allocate(site, ["resource_class": "metal"])
      let decided = try await site.call(.get, "/v1/allocations/\(made.json["uuid"]?.string ?? "")").json
      #expect(decided["node_uuid"]?.string == waiting)
      // Whose secret is void must be switched off first.
      _ = try await site.database.write { try StandByStore.distrust(node: waiting, in: $0) }
      #expect(try await site.database.read { try StandByStore.ready(at: Site.now(), in: $0) }.isEmpty)
    }
  }

  @Test func aNodeThatIsActiveIsAllocatedAfterwards() async throws {
    try await withSite { site in
      let uuid = try await site.node("n1", state: .active), instance = Identifier.uuid()
      try await change(site, "n1") { $0.instanceUUID = instance }
      for (body, status, words): (JSONObject, Int, String) in [
        (["node": "n1", "resource_class": "other"], 400, "does not match the requested resource class"),
        (["node": "n1", "traits": ["CUSTOM_X"]], 400, "requested traits"),
        (["node": "none"], 400, "could not be found"), (["node": 5], 400, "string"),
        (["node": "n1", "uuid": .string(Identifier.uuid())], 409, "associated with instance"),
      ] {
        let answer = try await allocate(site, body)
        #expect(answer.status == status && answer.fault.contains(words), "\(body): \(answer.text)")
      }
      #expect(try await allocate(site, ["node": "n1"], version: "1.57").status == 400)
      #expect(try await site.call(.get, "/v1/allocations").json["allocations"] == [])
      let made = try await allocate(site, ["node": "n1", "name": "late"])
      #expect(made.status == 201 && made.json["state"] == "active" && made.json["uuid"]?.string == instance)
      #expect(made.json["resource_class"] == "metal" && made.json["node_uuid"]?.string == uuid)
      #expect(try await site.call(.get, "/v1/nodes/n1").json["allocation_uuid"]?.string == instance)
      #expect(try await allocate(site, ["node": "n1"]).status == 409)
      let kept = try await site.call(.delete, "/v1/allocations/late")
      #expect(kept.status == 409 && kept.fault.contains("in state active"))
      _ = try await site.node("n2")
      let early = try await allocate(site, ["node": "n2"])
      #expect(early.status == 409 && early.fault.contains("must be in the \"active\" state"))
    }
  }

  @Test func aTenantAllocatesAndBackfillsOnlyTheirs() async throws {
    try await withSite { site in
      try await site.node("mine", lessee: Site.lessee, state: .active)
      try await site.node("theirs", lessee: Site.other, state: .active)
      let lessee = site.token(Site.lessee)
      #expect(try await allocate(site, ["node": "mine"], as: lessee).status == 201)
      for ident in ["theirs", "nowhere"] {
        let answer = try await allocate(site, ["node": .string(ident)], as: lessee)
        #expect(answer.status == 400 && answer.fault == "Node \(ident) could not be found.")
      }
      #expect(try await allocate(site, ["node": "mine", "owner": .string(Site.other)], as: lessee).status == 403)
      #expect(
        try await allocate(site, ["resource_class": "metal"], as: site.token(Site.lessee, ["reader"])).status == 403)
    }
  }

  @Test func anAdministratorTakesNoLeasedMachineByClassAlone() async throws {
    try await withSite { site in
      try await site.node("leased", owner: Site.owner, lessee: Site.lessee)
      func state(_ body: JSONObject) async throws -> JSON? {
        let uuid = try await allocate(site, body).json["uuid"]?.string ?? ""
        let found = try await site.call(.get, "/v1/allocations/\(uuid)").json
        _ = try await site.call(.delete, "/v1/allocations/\(uuid)")
        return found["state"]
      }
      #expect(try await state(["resource_class": "metal"]) == "error")
      #expect(try await state(["resource_class": "metal", "owner": .string(Site.owner)]) == "error")
      #expect(try await state(["resource_class": "metal", "owner": .string(Site.lessee)]) == "active")
      #expect(try await state(["resource_class": "metal", "candidate_nodes": ["leased"]]) == "active")
    }
  }

  @Test func namesAndExtraChangeAndNothingElse() async throws {
    try await withSite { site in
      try await site.node("n1")
      let uuid = try await allocate(site, ["resource_class": "metal", "name": "a"]).json["uuid"]?.string ?? ""
      _ = try await allocate(site, ["resource_class": "metal", "name": "b"])
      let changed = try await site.call(
        .patch, "/v1/allocations/a",
        [["op": "replace", "path": "/name", "value": "c"], ["op": "add", "path": "/extra/k", "value": "v"]])
      #expect(changed.status == 200 && changed.json["name"] == "c" && changed.json["extra"] == ["k": "v"])
      #expect(try await site.call(.get, "/v1/allocations/c").json["uuid"]?.string == uuid)
      for (path, value, status): (String, JSON, Int) in [
        ("/name", "b", 409), ("/name", "a b", 400), ("/owner", "x", 400), ("/state", "active", 400),
        ("/extra", "x", 400), ("/node_uuid", "x", 400),
      ] {
        let answer = try await site.call(
          .patch, "/v1/allocations/c", [["op": "replace", "path": .string(path), "value": value]])
        #expect(answer.status == status, "\(path) \(value)")
      }
      for body: JSONObject in [
        [:], ["resource_class": 5], ["resource_class": "metal", "traits": ["gpu"]],
        ["resource_class": "metal", "candidate_nodes": "n1"], ["resource_class": "metal", "colour": "red"],
        ["resource_class": "metal", "uuid": "x"], ["resource_class": "metal", "candidate_nodes": ["none"]],
      ] {
        #expect(try await allocate(site, body).status == 400, "\(body)")
      }
      #expect(try await allocate(site, ["resource_class": "metal", "name": "c"]).status == 409)
      let names = try await site.call(.get, "/v1/allocations?sort_key=name&sort_dir=desc").json["allocations"]?.array
      #expect(names?.map { $0["name"]?.string } == ["c", "b"])
    }
  }
}
