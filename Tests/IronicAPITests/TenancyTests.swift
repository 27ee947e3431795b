import Domain
import HTTPTypes
import Store
import Testing
import Wire

extension Site {
  func clearDriverInfo(_ uuid: String) async throws -> JSONObject {
    let box = database.secrets
    return try await database.read { try NodeStore.driverInfoWithSecrets(of: uuid, box: box, in: $0) }
  }
}

@Suite struct TenancyTests {
  @Test func abuse24_aForeignNodeIsOneThatDoesNotExist() async throws {
    try await withSite { site in
      let uuid = try await site.node("n1", owner: Site.owner, lessee: Site.lessee)
      let stranger = site.token(Site.other, ["member", "admin"])
      let calls: [(String, JSON?)] = [
        ("GET ", nil), ("PATCH ", [["op": "add", "path": "/extra/x", "value": 1]]), ("DELETE ", nil),
        ("GET /states", nil),
        ("PUT /states/power", ["target": "power off"]), ("PUT /states/provision", ["target": "active"]),
        ("GET /states/console", nil),
        ("PUT /maintenance", [:]), ("GET /vifs", nil), ("POST /vifs", ["id": "x"]), ("GET /ports", nil),
        ("GET /history", nil),
        ("GET /inventory", nil), ("GET /validate", nil), ("GET /traits", nil), ("GET /management/boot_device", nil),
        ("GET /allocation", nil),
      ]
      for (call, body) in calls {
        let parts = call.split(separator: " ", omittingEmptySubsequences: false)
        guard let method = HTTPRequest.Method(rawValue: String(parts[0])) else { continue }
        let foreign = try await site.call(method, "/v1/nodes/\(uuid)\(parts[1])", body, as: stranger)
        let none = try await site.call(method, "/v1/nodes/\(Identifier.uuid())\(parts[1])", body, as: stranger)
        #expect(foreign.status == 404 && none.status == 404, "\(call)")
        #expect(
          foreign.fault.hasSuffix("could not be found.") && none.fault.hasSuffix("could not be found."), "\(call)")
      }
      #expect(try await site.call(.get, "/v1/nodes?owner=\(Site.owner)", as: stranger).json["nodes"] == [])
      #expect(try await site.call(.get, "/v1/nodes?sort_key=name&marker=\(uuid)", as: stranger).status == 404)
      #expect(try await site.call(.get, "/v1/nodes").json["nodes"]?.array?.count == 1)
    }
  }

  @Test func aLesseeUsesTheMachineAndTakesNothing() async throws {
    try await withSite { site in
      let uuid = try await site.node("n1", owner: Site.owner, lessee: Site.lessee)
      let lessee = site.token(Site.lessee)
      let shown = try await site.call(.get, "/v1/nodes/n1", as: lessee).json
      #expect(shown["driver_info"] == [:])
      #expect(shown["driver_internal_info"] == [:])
      #expect(shown["lessee"]?.string == Site.lessee)
      func patch(_ path: String, _ value: JSON) async throws -> Int {
        try await site.call(
          .patch, "/v1/nodes/\(uuid)", [["op": "add", "path": .string(path), "value": value]], as: lessee
        ).status
      }
      #expect(try await patch("/extra/esi_cluster_uuid", "x") == 200)
      #expect(try await patch("/instance_info/image_source", "x") == 200)
      for (path, value) in [
        ("/owner", Site.lessee as String), ("/lessee", Site.other), ("/name", "mine"), ("/driver_info/address", "evil"),
        ("/description", "x"),
        ("/resource_class", "x"), ("/properties/x", "x"), ("/driver", "world"),
      ] {
        #expect(try await patch(path, .string(value)) == 403, "\(path)")
      }
      #expect(try await site.call(.delete, "/v1/nodes/n1", as: lessee).status == 403)
      #expect(
        try await site.call(.put, "/v1/nodes/n1/states/provision", ["target": "manage"], as: lessee).status == 403)
      #expect(try await site.call(.put, "/v1/nodes/n1/traits/CUSTOM_X", as: lessee).status == 403)
      #expect(try await site.call(.get, "/v1/nodes/n1/history", as: lessee).status == 403)
      #expect(try await site.call(.post, "/v1/nodes", ["driver": "world"], as: lessee).status == 403)
      #expect(try await site.call(.put, "/v1/nodes/n1/states/power", ["target": "power on"], as: lessee).status == 202)
    }
  }

  @Test func aReaderLooksAndDoesNotTouch() async throws {
    try await withSite { site in
      let uuid = try await site.node("n1", owner: Site.owner, lessee: Site.lessee)
      for project in [Site.owner, Site.lessee] {
        let reader = site.token(project, ["reader"])
        #expect(try await site.call(.get, "/v1/nodes/\(uuid)", as: reader).status == 200)
        #expect(
          try await site.call(.put, "/v1/nodes/\(uuid)/states/power", ["target": "power on"], as: reader).status == 403)
        #expect(
          try await site.call(.patch, "/v1/nodes/\(uuid)", [["op": "add", "path": "/extra/x", "value": 1]], as: reader)
            .status == 403)
      }
    }
  }

  @Test func anOwnerChangesTheMachineButNotWhereItsPasswordGoes() async throws {
    try await withSite { site in
      let uuid = try await site.node("n1", owner: Site.owner)
      let owner = site.token(Site.owner, ["member", "owner"])
      func patch(_ path: String, _ value: JSON) async throws -> Int {
        try await site.call(
          .patch, "/v1/nodes/\(uuid)", [["op": "add", "path": .string(path), "value": value]], as: owner
        ).status
      }
      #expect(try await patch("/name", "renamed") == 200)
      #expect(try await patch("/lessee", .string(Site.lessee)) == 200)
      #expect(try await patch("/driver_info/address", "evil") == 403)
      #expect(try await patch("/owner", .string(Site.other)) == 403)
      #expect(try await site.call(.get, "/v1/nodes/renamed", as: owner).json["driver_info"]?["address"] == "n1")
      #expect(try await site.call(.put, "/v1/nodes/renamed/traits/CUSTOM_X", as: owner).status == 204)
    }
  }

  @Test func aLeasedNodeIsNotTakenAwayByPatch() async throws {
    try await withSite { site in
      let uuid = try await site.node("n1", owner: Site.owner, lessee: Site.lessee)
      try await site.database.write { session in
        guard var node = try NodeStore.get(uuid, in: session) else { return }
        node.leaseUUID = Identifier.uuid()
        try NodeStore.update(node, in: session)
      }
      let answer = try await site.call(.patch, "/v1/nodes/\(uuid)", [["op": "remove", "path": "/lessee"]])
      #expect(answer.status == 409)
      #expect(try await site.call(.delete, "/v1/nodes/\(uuid)").status == 409)
    }
  }

  @Test func portsFollowTheirNode() async throws {
    try await withSite { site in
      let uuid = try await site.node("n1", owner: Site.owner, lessee: Site.lessee)
      let hidden = try await site.node("n2")
      func make(_ node: String, _ mac: String, _ port: String) async throws -> Site.Answer {
        try await site.call(
          .post, "/v1/ports",
          [
            "node_uuid": .string(node), "address": .string(mac), "physical_network": "datacentre",
            "local_link_connection": [
              "switch_id": "00:11:22:33:44:55", "port_id": .string(port), "switch_info": "sw0",
            ],
          ])
      }
      let port = try await make(uuid, "52:54:00:AA:00:01", "n1")
      #expect(port.status == 201)
      #expect(port.json["address"] == "52:54:00:aa:00:01")
      #expect(port.json["internal_info"] == [:])
      let foreign = try await make(hidden, "52:54:00:aa:00:02", "n2").json["uuid"]?.string ?? ""
      #expect(try await make(uuid, "52:54:00:aa:00:01", "n9").status == 409)
      #expect(try await make(uuid, "52:54:00:aa:00:03", "n2").status == 409)
      #expect(try await make(uuid, "nonsense", "n3").status == 400)

      let id = port.json["uuid"]?.string ?? ""
      let lessee = site.token(Site.lessee)
      #expect(try await site.call(.get, "/v1/ports/detail?node=n1", as: lessee).json["ports"]?.array?.count == 1)
      #expect(try await site.call(.get, "/v1/ports", as: lessee).json["ports"]?.array?.count == 1)
      #expect(try await site.call(.get, "/v1/ports/detail?address=52:54:00:aa:00:02", as: lessee).json["ports"] == [])
      #expect(try await site.call(.get, "/v1/ports?node=\(hidden)", as: lessee).status == 404)
      #expect(try await site.call(.get, "/v1/ports/\(foreign)", as: lessee).status == 404)
      let wire: JSON = [["op": "add", "path": "/local_link_connection/port_id", "value": "n2"]]
      #expect(try await site.call(.patch, "/v1/ports/\(id)", wire, as: lessee).status == 403)
      #expect(try await site.call(.patch, "/v1/ports/\(foreign)", wire, as: lessee).status == 404)
      #expect(
        try await site.call(.patch, "/v1/ports/\(id)", [["op": "add", "path": "/extra/rack", "value": 7]], as: lessee)
          .status == 200)
      #expect(
        try await site.call(
          .patch, "/v1/ports/\(id)", [["op": "replace", "path": "/node_uuid", "value": .string(hidden)]]
        ).status == 400)
      #expect(try await site.call(.delete, "/v1/ports/\(id)", as: lessee).status == 403)
      #expect(try await site.call(.delete, "/v1/ports/\(id)").status == 204)
    }
  }

  @Test func anAllocationTakesOnlyWhatItsProjectMayHave() async throws {
    try await withSite { site in
      let mine = try await site.node("mine", owner: Site.owner, lessee: Site.lessee)
      let foreign = try await site.node("foreign", owner: Site.owner, lessee: Site.other)
      let lessee = site.token(Site.lessee)
      let refused = try await site.call(
        .post, "/v1/allocations", ["resource_class": "metal", "candidate_nodes": [.string(foreign)]], as: lessee)
      #expect(refused.status == 400)
      #expect(refused.fault == "Node \(foreign) could not be found.")
      func allocate(_ body: JSON) async throws -> JSON {
        let made = try await site.call(.post, "/v1/allocations", body, as: lessee, version: "1.60")
        #expect(made.status == 201)
        return try await site.call(.get, "/v1/allocations/\(made.json["uuid"]?.string ?? "")", as: lessee).json
      }
      let failed = try await allocate(["resource_class": "none"])
      #expect(failed["state"] == "error")
      #expect(failed["last_error"]?.string?.contains("no available nodes match the resource class none") == true)

      let made = try await allocate([
        "resource_class": "metal", "candidate_nodes": [.string(mine)], "traits": [], "name": nil,
      ])
      #expect(made["state"] == "active")
      #expect(made["node_uuid"]?.string == mine)
      let id = made["uuid"]?.string ?? ""
      let node = try await site.call(.get, "/v1/nodes/\(mine)", as: lessee).json
      #expect(node["instance_uuid"]?.string == id && node["allocation_uuid"]?.string == id)
      let named = try await site.call(
        .patch, "/v1/allocations/\(id)", [["op": "replace", "path": "/name", "value": "host-1"]], as: lessee)
      #expect(named.json["name"] == "host-1")
      #expect(try await site.call(.get, "/v1/allocations/host-1", as: lessee).json["uuid"]?.string == id)
      #expect(try await site.call(.get, "/v1/allocations/host-1", as: site.token(Site.other)).status == 404)
      #expect(try await site.call(.get, "/v1/allocations", as: site.token(Site.other)).json["allocations"] == [])
      #expect(try await allocate(["resource_class": "metal"])["state"] == "error")
      #expect(try await site.call(.delete, "/v1/allocations/\(id)", as: lessee).status == 204)
      #expect(try await site.call(.get, "/v1/nodes/\(mine)", as: lessee).json["instance_uuid"] == .null)
    }
  }
}
