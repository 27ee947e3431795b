import Domain
import HTTPTypes
import Store
import Testing
import Wire

@Suite struct NodeListTests {
  /// Six nodes that differ in everything that a list filters and sorts by.
  private func fill(_ site: Site) async throws -> [String] {
    let chassis = try await site.call(.post, "/v1/chassis", ["description": "row"]).json["uuid"]?.string ?? ""
    var nodes: [String] = []
    for index in 0..<6 {
      nodes.append(
        try await site.node(
          "n\(index)", owner: index % 2 == 0 ? Site.owner : Site.other, lessee: index == 2 ? Site.lessee : nil,
          state: index < 3 ? .available : .manageable, resourceClass: index < 2 ? "big" : "small"))
    }
    _ = try await site.database.write { [nodes] session in
      for (index, uuid) in nodes.enumerated() {
        guard var node = try NodeStore.get(uuid, in: session) else { continue }
        node.description = index == 1 ? "50% of row_A" : "plain \(5 - index)"
        node.maintenance = index == 3
        node.isRetired = index == 4
        node.fault = index == 5 ? "clean failure" : nil
        node.instanceUUID = index == 0 ? Identifier.uuid() : nil
        node.shard = index < 2 ? "a" : index == 2 ? "b" : nil
        node.chassisUUID = index == 1 ? chassis : nil
        node.parentNode = index == 5 ? nodes[0] : nil
        node.powerState = index == 4 ? nil : index % 2 == 0 ? .on : .off
        try NodeStore.update(node, in: session)
      }
    }
    return nodes
  }

  @Test func everyFilterLeavesWhatItSays() async throws {
    try await withSite { site in
      let nodes = try await fill(site)
      let instance = try await site.call(.get, "/v1/nodes/n0").json["instance_uuid"]?.string ?? ""
      let chassis = try await site.call(.get, "/v1/chassis").json["chassis"]?.array?.first?["uuid"]?.string ?? ""
      let expected: [(String, [Int])] = [
        ("", [0, 1, 2, 3, 4]), ("include_children=true", [0, 1, 2, 3, 4, 5]), ("parent_node=\(nodes[0])", [5]),
        ("owner=\(Site.other)", [1, 3]), ("lessee=\(Site.lessee)", [2]), ("project=\(Site.lessee)", [2]),
        ("project=\(Site.owner)", [0, 2, 4]), ("provision_state=manageable", [3, 4]),
        ("provision_state=rescue", []), ("resource_class=big", [0, 1]), ("driver=world", [0, 1, 2, 3, 4]),
        ("driver=ipmi", []), ("fault=clean%20failure", []), ("fault=clean%20failure&include_children=1", [5]),
        ("retired=true", [4]), ("retired=False", [0, 1, 2, 3]), ("maintenance=true", [3]), ("associated=true", [0]),
        ("associated=false", [1, 2, 3, 4]), ("instance_uuid=\(instance)", [0]), ("conductor_group=", [0, 1, 2, 3, 4]),
        ("conductor_group=far", []), ("conductor=steelyard", [0, 1, 2, 3, 4]), ("conductor=other", []),
        ("description_contains=50%25", [1]), ("description_contains=row_", [1]), ("description_contains=rowXA", []),
        ("chassis_uuid=\(chassis)", [1]), ("shard=a", [0, 1]), ("shard=a,b", [0, 1, 2]), ("shard=none", []),
        ("sharded=true", [0, 1, 2]), ("sharded=false", [3, 4]),
        ("owner=\(Site.owner)&provision_state=available&maintenance=false", [0, 2]),
      ]
      for (query, indices) in expected {
        for path in ["/v1/nodes", "/v1/nodes/detail"] {
          let answer = try await site.call(.get, "\(path)?\(query)")
          let found = (answer.json["nodes"]?.array ?? []).map { $0["uuid"]?.string ?? "" }
          #expect(found == indices.map { nodes[$0] }, "\(path)?\(query): \(answer.status)")
        }
      }
      for query in [
        "provision_state=odd", "fault=odd", "retired=perhaps", "instance_uuid=x", "chassis_uuid=x", "limit=x",
        "limit=-1", "sort_key=extra", "sort_key=traits", "sort_dir=up", "marker=n0", "colour=red",
        "detail=true&fields=uuid", "fields=nonsense", "maintenance=",
      ] {
        #expect(try await site.call(.get, "/v1/nodes?\(query)").status == 400, "\(query)")
      }
      #expect(try await site.call(.get, "/v1/nodes?marker=\(Identifier.uuid())").status == 404)
      #expect(
        try await site.call(.get, "/v1/shards").json["shards"] == [
          ["name": "a", "count": 2], ["name": "b", "count": 1],
        ])
      let children = try await site.call(.get, "/v1/nodes/n0/children").json
      #expect(children["children"] == .array([.string(nodes[5])]))
    }
  }

  @Test func pagesOfEveryOrderAddUpToTheWhole() async throws {
    try await withSite { site in
      _ = try await fill(site)
      for key in NodeSortKey.allCases {
        for direction in ["asc", "desc"] {
          let order = "sort_key=\(key.rawValue)&sort_dir=\(direction)&include_children=true"
          let whole = try await site.call(.get, "/v1/nodes?\(order)").json["nodes"]?.array ?? []
          var paged: [JSON] = []
          var path: String? = "/v1/nodes?\(order)&limit=4"
          while let next = path, paged.count <= whole.count {
            let page = try await site.call(.get, next).json
            paged += page["nodes"]?.array ?? []
            path = page["next"]?.string.flatMap { text in
              text.range(of: "/v1/nodes?").map { String(text[$0.lowerBound...]) }
            }
          }
          #expect(whole.count == 6 && paged == whole, "\(order)")
        }
      }
      let byName = try await site.call(.get, "/v1/nodes?sort_key=name&sort_dir=desc&limit=2").json["nodes"]?.array
      #expect(byName?.map { $0["name"]?.string } == ["n4", "n3"])
      let byText = try await site.call(.get, "/v1/nodes?sort_key=description&fields=name").json["nodes"]?.array
      #expect(byText?.map { $0["name"]?.string } == ["n1", "n4", "n3", "n2", "n0"])
    }
  }

  @Test func aTenantsListsKnowNothingOfOthers() async throws {
    try await withSite { site in
      let nodes = try await fill(site)
      let lessee = site.token(Site.lessee), owner = site.token(Site.owner)
      func names(_ query: String, _ token: String) async throws -> [String?] {
        (try await site.call(.get, "/v1/nodes?\(query)", as: token).json["nodes"]?.array ?? []).map {
          $0["name"]?.string
        }
      }
      #expect(try await names("", lessee) == ["n2"])
      #expect(try await names("owner=\(Site.other)", lessee).isEmpty)
      #expect(try await names("shard=a", lessee).isEmpty)
      #expect(try await names("sort_key=uuid&sort_dir=desc", owner).count == 3)
      #expect(try await site.call(.get, "/v1/nodes?marker=\(nodes[1])", as: owner).status == 404)
      #expect(try await site.call(.get, "/v1/shards", as: owner).status == 403)
      // The part belongs to another.
      #expect(try await site.call(.get, "/v1/nodes/n0/children", as: owner).json["children"] == [])
      #expect(try await names("parent_node=\(nodes[0])", owner).isEmpty)
      #expect(try await site.call(.get, "/v1/nodes/n1/children", as: owner).status == 404)
    }
  }

  @Test func aPartBelongsToANodeThatIsWhole() async throws {
    try await withSite { site in
      let whole = try await site.node("n1"), part = try await site.node("n2"), other = try await site.node("n3")
      func set(_ node: String, _ parent: JSON) async throws -> Site.Answer {
        try await site.call(.patch, "/v1/nodes/\(node)", [["op": "add", "path": "/parent_node", "value": parent]])
      }
      let made = try await set("n2", "n1")
      #expect(made.status == 200 && made.json["parent_node"]?.string == whole)
      for (node, parent) in [("n3", part), ("n1", other), ("n1", whole), ("n3", Identifier.uuid()), ("n3", "none")] {
        let answer = try await set(node, .string(parent))
        #expect(answer.status == 400 && answer.fault.contains("parent_node"), "\(node) \(parent): \(answer.text)")
      }
      #expect(try await site.call(.delete, "/v1/nodes/n1").status == 409)
      #expect(try await site.call(.get, "/v1/nodes").json["nodes"]?.array?.count == 2)
      #expect(try await set("n2", nil).json["parent_node"] == .null)
      #expect(try await site.call(.delete, "/v1/nodes/n1").status == 204)
    }
  }
}
