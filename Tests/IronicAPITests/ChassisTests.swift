import HTTPTypes
import Testing
import Wire

@Suite struct ChassisTests {
  private func chassis(_ site: Site, _ description: String) async throws -> String {
    let made = try await site.call(.post, "/v1/chassis", ["description": .string(description)])
    #expect(made.status == 201, "\(made.text)")
    return made.json["uuid"]?.string ?? ""
  }

  @Test func aChassisIsMadeShownChangedAndRemoved() async throws {
    try await withSite { site in
      let uuid = Identifier.uuid()
      let made = try await site.call(
        .post, "/v1/chassis", ["uuid": .string(uuid), "description": "В ряду ♡", "extra": ["row": 3]])
      #expect(made.status == 201 && made.json["description"]?.string == "В ряду ♡")
      #expect(made.json["nodes"]?.array?.first?["href"]?.string?.hasSuffix("/v1/chassis/\(uuid)/nodes") == true)
      #expect(try await site.call(.post, "/v1/chassis", ["uuid": .string(uuid)]).status == 409)
      let changed = try await site.call(
        .patch, "/v1/chassis/\(uuid)",
        [["op": "replace", "path": "/description", "value": "row 4"], ["op": "remove", "path": "/extra/row"]])
      #expect(changed.status == 200 && changed.json["extra"] == [:])
      #expect(try await site.call(.get, "/v1/chassis/\(uuid)").json["description"]?.string == "row 4")
      #expect(try await site.call(.delete, "/v1/chassis/\(uuid)").status == 204)
      let gone = try await site.call(.get, "/v1/chassis/\(uuid)")
      #expect(gone.status == 404 && gone.fault == "Chassis \(uuid) could not be found.")
    }
  }

  @Test func nodesStandInIt() async throws {
    try await withSite { site in
      let row = try await chassis(site, "row 1"), other = try await chassis(site, "row 2")
      let made = try await site.call(
        .post, "/v1/nodes", ["driver": "world", "name": "n1", "chassis_uuid": .string(row)])
      #expect(made.status == 201 && made.json["chassis_uuid"]?.string == row)
      let node = made.json["uuid"]?.string ?? ""
      try await site.node("n2")
      for path in [
        "/v1/chassis/\(row)/nodes", "/v1/nodes?chassis_uuid=\(row)", "/v1/chassis/\(row)/nodes/detail",
        "/v1/nodes?sort_key=chassis_uuid&sort_dir=desc&limit=1",
      ] {
        let nodes = try await site.call(.get, path).json["nodes"]?.array ?? []
        #expect(nodes.map { $0["uuid"]?.string } == [node], "\(path)")
      }
      #expect(try await site.call(.get, "/v1/chassis/\(other)/nodes").json["nodes"] == [])
      #expect(try await site.call(.get, "/v1/chassis/\(other)/nodes?chassis_uuid=\(row)").json["nodes"] == [])

      let full = try await site.call(.delete, "/v1/chassis/\(row)")
      #expect(full.status == 400 && full.fault.hasSuffix("contains nodes."))
      let remove: JSON = [["op": "remove", "path": "/chassis_uuid"]]
      #expect(try await site.call(.patch, "/v1/nodes/n1", remove, version: "1.24").status == 406)
      #expect(try await site.call(.get, "/v1/nodes/n1").json["chassis_uuid"]?.string == row)
      #expect(try await site.call(.patch, "/v1/nodes/n1", remove).json["chassis_uuid"] == .null)
      #expect(try await site.call(.delete, "/v1/chassis/\(row)").status == 204)
      let add: JSON = [["op": "add", "path": "/chassis_uuid", "value": .string(row)]]
      #expect(try await site.call(.patch, "/v1/nodes/n1", add).status == 400)
      #expect(try await site.call(.get, "/v1/nodes?chassis_uuid=\(row)").status == 404)
      #expect(try await site.call(.get, "/v1/nodes?chassis_uuid=row").status == 400)
      #expect(
        try await site.call(.post, "/v1/nodes", ["driver": "world", "chassis_uuid": .string(row)]).status == 400)
    }
  }

  @Test func listsPageAndSort() async throws {
    try await withSite { site in
      for name in ["b", "c", "a"] { _ = try await chassis(site, name) }
      let list = try await site.call(.get, "/v1/chassis").json["chassis"]?.array ?? []
      #expect(list.first?.object?.keys.sorted() == ["description", "links", "uuid"])
      let first = try await site.call(.get, "/v1/chassis?sort_key=description&limit=2").json
      #expect(first["chassis"]?.array?.map { $0["description"]?.string } == ["a", "b"])
      let marker = first["chassis"]?.array?.last?["uuid"]?.string ?? ""
      #expect(first["next"]?.string?.contains(marker) == true)
      let rest = try await site.call(.get, "/v1/chassis/detail?sort_key=description&marker=\(marker)").json
      #expect(rest["chassis"]?.array?.map { $0["description"]?.string } == ["c"] && rest["next"] == nil)
      #expect(rest["chassis"]?.array?.first?["extra"] == [:])
      #expect(try await site.call(.get, "/v1/chassis?marker=\(Identifier.uuid())").status == 404)
      #expect(try await site.call(.get, "/v1/chassis?limit=-1").status == 400)
      #expect(try await site.call(.get, "/v1/chassis?sort_key=extra").status == 400)
    }
  }

  @Test func wrongInputIsRefusedAndTenantsHaveNoBusinessHere() async throws {
    try await withSite { site in
      let uuid = try await chassis(site, "row")
      for body: JSON in [
        ["colour": "red"], ["description": 5], ["description": .string(String(repeating: "x", count: 256))],
        ["extra": []], ["uuid": "x"], [], "x",
      ] {
        #expect(try await site.call(.post, "/v1/chassis", body).status == 400, "\(body)")
      }
      for patch: JSON in [
        [["op": "replace", "path": "/uuid", "value": "x"]], [["op": "replace", "path": "/description", "value": 5]],
        [["op": "remove", "path": "/extra/x"]], [["op": "add", "path": "/nodes", "value": []]], "x",
      ] {
        #expect(try await site.call(.patch, "/v1/chassis/\(uuid)", patch).status == 400, "\(patch)")
      }
      #expect(try await site.call(.get, "/v1/chassis").json["chassis"]?.array?.count == 1)
      try await site.node("n1", owner: Site.owner)
      let owner = site.token(Site.owner)
      for path in ["/v1/chassis", "/v1/chassis/\(uuid)", "/v1/chassis/\(Identifier.uuid())/nodes"] {
        #expect(try await site.call(.get, path, as: owner).status == 403, "\(path)")
      }
      // To an owner a chassis is a word that they cannot try out.
      for chassis in [uuid, Identifier.uuid()] {
        #expect(try await site.call(.get, "/v1/nodes?chassis_uuid=\(chassis)", as: owner).json["nodes"] == [])
      }
      let move: JSON = [["op": "add", "path": "/chassis_uuid", "value": .string(uuid)]]
      #expect(try await site.call(.patch, "/v1/nodes/n1", move, as: owner).status == 403)
    }
  }
}
