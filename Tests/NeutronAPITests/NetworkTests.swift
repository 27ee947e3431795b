import HTTPTypes
import NeutronAPI
import Store
import Testing
import Wire

@Suite struct NetworkTests {
  @Test func aNetworkTakesTheLowestFreeVLANOfThePool() async throws {
    try await Site.run { site in
      let first = try await site.network("one")
      let second = try await site.network("two")

      #expect(first["provider:segmentation_id"] == 200)
      #expect(second["provider:segmentation_id"] == 201)
      #expect(first["provider:network_type"] == "vlan")
      #expect(first["provider:physical_network"] == "physnet1")
      #expect(first["status"] == "ACTIVE")
      #expect(first["project_id"] == .string(Site.alpha))
      #expect(first["subnets"] == [])
    }
  }

  @Test func aDeletedNetworkGivesItsVLANBack() async throws {
    try await Site.run(vlans: 200...200) { site in
      let network = try await site.network("one")
      #expect(try await site.call(.delete, "/v2.0/networks/\(network.id)").status == 204)

      #expect(try await site.network("two")["provider:segmentation_id"] == 200)
    }
  }

  @Test func anEmptyPoolIsAConflictThatTellsWhatToDo() async throws {
    try await Site.run(vlans: 200...200) { site in
      _ = try await site.network("one")
      let refused = try await site.call(.post, "/v2.0/networks", ["network": ["name": "two"]])

      #expect(refused.status == 409)
      #expect(refused.error == "NoNetworkAvailable")
      #expect(refused.message.contains("No tenant network is available for allocation."))
      #expect(refused.message.contains("tenants (physnet1, VLANs 200 to 200)"))
      #expect(
        refused.message.contains(
          "Delete a network that is not needed, or ask the administrator for another pool (`openstack network segment range create`)."
        ))

      // Nothing of it is kept, and either of the two ways leads out.
      let names = try await site.call(.get, "/v2.0/networks").json["networks"]?.array?.map { $0["name"]?.string }
      #expect(names == ["one"])
      let pool = try await site.call(
        .post, "/v2.0/network_segment_ranges", as: "admin",
        [
          "network_segment_range": [
            "name": "more", "shared": true, "network_type": "vlan", "physical_network": "physnet1", "minimum": 300,
            "maximum": 300,
          ]
        ])
      #expect(pool.status == 201)
      #expect(try await site.network("two")["provider:segmentation_id"] == 300)
      #expect(try await site.call(.post, "/v2.0/networks", ["network": ["name": "three"]]).status == 409)
      let one = try await site.call(.get, "/v2.0/networks?name=one").json.ids("networks").first ?? ""
      #expect(try await site.call(.delete, "/v2.0/networks/\(one)").status == 204)
      #expect(try await site.network("three")["provider:segmentation_id"] == 200)
    }
    try await Site.run(vlans: nil) { site in
      let refused = try await site.call(.post, "/v2.0/networks", ["network": ["name": "two"]])
      #expect(refused.status == 409)
      #expect(refused.message.contains("network segment range create"))
    }
  }

  @Test func parallelCreationsNeverShareAVLAN() async throws {
    try await Site.run(vlans: 200...209) { site in
      let statuses = try await withThrowingTaskGroup(of: Int.self) { group in
        for number in 0..<16 {
          group.addTask {
            try await site.call(.post, "/v2.0/networks", ["network": ["name": .string("n\(number)")]]).status
          }
        }
        return try await group.reduce(into: [Int: Int]()) { $0[$1, default: 0] += 1 }
      }
      let list =
        try await site.call(.get, "/v2.0/networks?fields=provider:segmentation_id").json["networks"]?.array ?? []

      #expect(statuses == [201: 10, 409: 6])
      #expect(Set(list.compactMap { $0["provider:segmentation_id"]?.int }) == Set(200...209))
    }
  }

  @Test func onlyTheAdministratorChoosesVLANsAndSharesNetworks() async throws {
    try await Site.run { site in
      for (key, value) in [("provider:segmentation_id", JSON.int(300)), ("shared", true), ("router:external", true)] {
        let body: JSON = ["network": .object(["name": "x", "provider:physical_network": "physnet1", key: value])]
        let refused = try await site.call(.post, "/v2.0/networks", body)
        #expect(refused.status == 403, "\(key)")
        #expect(refused.error == "PolicyNotAuthorized")
        #expect(
          try await site.call(.post, "/v2.0/networks", as: "boss", body).status == 403,
          "admin of a tenant project: \(key)")
      }
      let chosen = try await site.network(
        "prov", as: "admin",
        ["provider:network_type": "vlan", "provider:physical_network": "physnet1", "provider:segmentation_id": "300"])
      #expect(chosen["provider:segmentation_id"] == 300)
      let again = try await site.call(
        .post, "/v2.0/networks", as: "admin",
        ["network": ["provider:physical_network": "physnet1", "provider:segmentation_id": 300]])
      #expect(again.status == 409)
      #expect(again.error == "VlanIdInUse")
      let unknown = try await site.call(
        .post, "/v2.0/networks", ["network": ["provider:physical_network": "elsewhere"]])
      #expect(unknown.status == 400)
      #expect(unknown.message.contains("physnet1"))
    }
  }

  @Test func theSitesOwnVLANIsNeverGivenAway() async throws {
    var settings = NeutronAPI.Settings()
    settings.reservedVLANs = [200]
    try await Site.run(vlans: 200...201, settings: settings) { site in
      #expect(try await site.network("one")["provider:segmentation_id"] == 201)
      #expect(try await site.call(.post, "/v2.0/networks", ["network": ["name": "two"]]).status == 409)
      let chosen = try await site.call(
        .post, "/v2.0/networks", as: "admin",
        ["network": ["provider:physical_network": "physnet1", "provider:segmentation_id": 200]])
      #expect(chosen.status == 400)
    }
  }

  @Test func anotherProjectsNetworkDoesNotExist() async throws {
    try await Site.run { site in
      let network = try await site.network("mine")
      let path = "/v2.0/networks/\(network.id)"
      let nothing = "/v2.0/networks/00000000-0000-4000-8000-000000000000"
      for (method, body) in [(.get, nil), (.put, ["network": ["name": "stolen"]]), (.delete, nil)]
        as [(HTTPRequest.Method, JSON?)]
      {
        let foreign = try await site.call(method, path, as: "bob", body)
        let absent = try await site.call(method, nothing, as: "bob", body)
        #expect(foreign.status == 404)
        #expect(absent.status == 404)
        #expect(foreign.error == "NetworkNotFound")
      }
      #expect(try await site.call(.get, "/v2.0/networks", as: "bob").json.ids("networks") == [])
      #expect(try await site.call(.get, "/v2.0/networks?name=mine", as: "bob").json.ids("networks") == [])
      #expect(
        try await site.call(.get, "/v2.0/networks?project_id=\(Site.alpha)", as: "bob").json.ids("networks") == [])
      #expect(try await site.call(.get, "/v2.0/networks", as: "admin").json.ids("networks") == [network.id])
      #expect(try await site.call(.get, path).json["network"]?["name"] == "mine")
    }
  }

  @Test func sharedAndExternalNetworksAreSeenByAllAndChangedByTheirOwner() async throws {
    try await Site.run { site in
      let shared = try await site.network("public", as: "admin", ["shared": true])
      let external = try await site.network("ext", as: "admin", ["router:external": true])
      let listed = try await site.call(.get, "/v2.0/networks", as: "bob").json.ids("networks")

      #expect(Set(listed) == [shared.id, external.id])
      #expect(
        try await site.call(.get, "/v2.0/networks?router:external=True", as: "bob").json.ids("networks") == [
          external.id
        ])
      #expect(try await site.call(.get, "/v2.0/networks?shared=true", as: "bob").json.ids("networks") == [shared.id])
      let refused = try await site.call(.put, "/v2.0/networks/\(shared.id)", as: "bob", ["network": ["name": "x"]])
      #expect(refused.status == 403)
      #expect(try await site.call(.delete, "/v2.0/networks/\(shared.id)", as: "bob").status == 403)
      #expect(try await site.port(shared, as: "bob").status == 201)
      #expect(try await site.port(external, as: "bob").status == 403)
      let unshare = try await site.call(
        .put, "/v2.0/networks/\(shared.id)", as: "admin", ["network": ["shared": false]])
      #expect(unshare.status == 409)
      #expect(unshare.error == "InvalidSharedSetting")
    }
  }

  @Test func aReaderReadsAndChangesNothing() async throws {
    try await Site.run { site in
      let network = try await site.network("mine")
      #expect(try await site.call(.get, "/v2.0/networks/\(network.id)", as: "watcher").status == 200)
      #expect(try await site.call(.post, "/v2.0/networks", as: "watcher", ["network": ["name": "x"]]).status == 403)
      #expect(try await site.call(.delete, "/v2.0/networks/\(network.id)", as: "watcher").status == 403)
      #expect(try await site.call(.get, "/v2.0/networks", as: nil).status == 401)
    }
  }

  @Test func aNetworkWithPortsIsNotDeleted() async throws {
    try await Site.run { site in
      let network = try await site.network("mine")
      let port = try await site.port(network).json["port"] ?? .null
      let refused = try await site.call(.delete, "/v2.0/networks/\(network.id)")

      #expect(refused.status == 409)
      #expect(refused.error == "NetworkInUse")
      #expect(refused.message.contains(port.id))
    }
  }

  @Test func namesWithSlashesAreLookedUp() async throws {
    try await Site.run { site in
      let network = try await site.network("a/b c")
      #expect(try await site.call(.get, "/v2.0/networks/a/b%20c").status == 404)
      #expect(try await site.call(.get, "/v2.0/networks/a%2Fb%20c").status == 404)
      #expect(try await site.call(.get, "/v2.0/networks?name=a%2Fb%20c").json.ids("networks") == [network.id])
      #expect(try await site.call(.get, "/v2.0/networks?name=a").json.ids("networks") == [])
    }
  }

  @Test func listsAreFilteredSortedAndPaged() async throws {
    try await Site.run { site in
      var made: [String] = []
      for name in ["c", "a", "b"] { made.append(try await site.network(name).id) }

      let sorted = try await site.call(.get, "/v2.0/networks?sort_key=name&sort_dir=desc&fields=name").json
      #expect(sorted == ["networks": [["name": "c"], ["name": "b"], ["name": "a"]]])
      let page = try await site.call(.get, "/v2.0/networks?limit=2&sort_key=name&sort_dir=asc").json
      #expect(page.ids("networks") == [made[1], made[2]])
      let next = page["networks_links"]?.array?.first?["href"]?.string ?? ""
      #expect(page["networks_links"]?.array?.first?["rel"] == "next")
      let rest = try await site.call(
        .get, String(next[(next.firstRange(of: "/network")?.upperBound ?? next.startIndex)...])
      ).json
      #expect(rest.ids("networks") == [made[0]])
      #expect(rest["networks_links"]?.array?.map { $0["rel"]?.string } == ["previous"])
      #expect(
        try await site.call(.get, "/v2.0/networks?id=\(made[0])&id=\(made[2])&sort_key=name").json.ids("networks")
          == [made[2], made[0]])
      #expect(
        try await site.call(.get, "/v2.0/networks?provider:segmentation_id=201").json.ids("networks") == [made[1]])
      for bad in [
        "nonsense=1", "sort_key=nonsense", "limit=-1", "limit=x", "marker=nobody", "mtu=abc", "sort_key=id&sort_dir=up",
      ] {
        #expect(try await site.call(.get, "/v2.0/networks?\(bad)").status == 400, "\(bad)")
      }
    }
  }

  @Test func mistakesInABodyAreNamed() async throws {
    try await Site.run { site in
      let bad: [(JSON, String)] = [
        ([:], "network"), (["network": ["name": 5]], "name"), (["network": ["nonsense": 1]], "nonsense"),
        (["network": ["id": "x"]], "'id' not allowed"), (["network": ["status": "DOWN"]], "'status' not allowed"),
        (["network": ["name": .string(String(repeating: "x", count: 256))]], "255"),
        (["network": ["mtu": 9217]], "mtu"),
        (["network": ["provider:network_type": "vxlan"]], "vxlan"), (["networks": []], "networks"),
        (["network": ["name": "a\u{0}b"]], "control"),
      ]
      for (body, word) in bad {
        let refused = try await site.call(.post, "/v2.0/networks", body)
        #expect(refused.status == 400, "\(body)")
        #expect(refused.message.contains(word), "\(refused.message)")
      }
      let other = try await site.call(
        .post, "/v2.0/networks", ["network": ["name": "x", "project_id": .string(Site.beta)]])
      #expect(other.status == 400)
      #expect(try await site.call(.get, "/v2.0/networks").json.ids("networks") == [])
    }
  }

  @Test func tagsAndRevisionsFollowChanges() async throws {
    try await Site.run { site in
      let network = try await site.network("mine")
      let path = "/v2.0/networks/\(network.id)"
      #expect(network["revision_number"] == 1)
      let changed = try await site.call(.put, path, ["network": ["description": "tenant network"]])
      #expect(changed.json["network"]?["revision_number"] == 2)
      #expect(try await site.call(.put, path + "/tags", ["tags": ["t1", "t0", "t1"]]).json == ["tags": ["t0", "t1"]])
      #expect(try await site.call(.put, path + "/tags/t2").status == 201)
      #expect(try await site.call(.delete, path + "/tags/t0").status == 204)
      #expect(try await site.call(.delete, path + "/tags/t0").status == 404)
      #expect(try await site.call(.get, path).json["network"]?["tags"] == ["t1", "t2"])
      #expect(try await site.call(.get, "/v2.0/networks?tags=t1,t2").json.ids("networks") == [network.id])
      #expect(try await site.call(.get, "/v2.0/networks?tags=t1,t9").json.ids("networks") == [])
      #expect(try await site.call(.get, "/v2.0/networks?tags-any=t9,t2").json.ids("networks") == [network.id])
      #expect(try await site.call(.get, "/v2.0/networks?not-tags-any=t2").json.ids("networks") == [])
      #expect(try await site.call(.put, path + "/tags", as: "bob", ["tags": ["x"]]).status == 404)
    }
  }

  @Test func quotasAreShownAndKept() async throws {
    try await Site.run { site in
      #expect(try await site.call(.get, "/v2.0/quotas/\(Site.alpha)").json["quota"]?["network"] == 100)
      #expect(try await site.call(.put, "/v2.0/quotas/\(Site.alpha)", ["quota": ["network": 50]]).status == 403)
      let set = try await site.call(.put, "/v2.0/quotas/\(Site.alpha)", as: "admin", ["quota": ["network": 1]])
      #expect(set.json["quota"]?["network"] == 1)
      _ = try await site.network("one")
      let refused = try await site.call(.post, "/v2.0/networks", ["network": ["name": "two"]])
      #expect(refused.status == 409)
      #expect(refused.error == "OverQuota")
      let details = try await site.call(.get, "/v2.0/quotas/\(Site.alpha)/details").json
      #expect(details["quota"]?["network"] == ["limit": 1, "used": 1, "reserved": 0])
      #expect(try await site.call(.get, "/v2.0/quotas/\(Site.alpha)", as: "bob").status == 404)
      #expect(try await site.call(.delete, "/v2.0/quotas/\(Site.alpha)", as: "admin").status == 204)
      #expect(try await site.call(.post, "/v2.0/networks", ["network": ["name": "two"]]).status == 201)
    }
  }

  @Test func whatIsNotOfferedIsEmptyOrSaysSo() async throws {
    try await Site.run { site in
      for plural in ["agents", "availability_zones"] {
        let list = try await site.call(.get, "/v2.0/\(plural)?project_id=\(Site.alpha)")
        #expect(list.status == 200)
        #expect(list.json == .object([plural: []]))
      }
      let agent = try await site.call(.post, "/v2.0/agents", ["agent": [:]])
      #expect(agent.status == 404)
      #expect(agent.message.contains("not offered"))
      let aliases = try await site.call(.get, "/v2.0/extensions").json["extensions"]?.array?.compactMap {
        $0["alias"]?.string
      }
      #expect(aliases?.contains("provider") == true)
      #expect(aliases?.contains("dvr") == false)
      #expect(try await site.call(.get, "/v2.0/extensions/dvr").status == 404)
      #expect(try await site.call(.get, "/", as: nil).json["versions"]?.array?.first?["id"] == "v2.0")
    }
  }

  @Test func poolsAreTheAdministrators() async throws {
    try await Site.run { site in
      let path = "/v2.0/network_segment_ranges"
      let body: JSON = [
        "network_segment_range": [
          "name": "beta's", "shared": false, "project_id": .string(Site.beta), "network_type": "vlan",
          "physical_network": "physnet2", "minimum": 500, "maximum": 501,
        ]
      ]
      #expect(try await site.call(.get, path).status == 403)
      #expect(try await site.call(.post, path, body).status == 403)
      let made = try await site.call(.post, path, as: "admin", body)
      #expect(made.status == 201)
      let range = made.json["network_segment_range"] ?? .null
      #expect(range["available"] == [500, 501])

      #expect(try await site.network("b", as: "bob")["provider:segmentation_id"] == 500)
      #expect(try await site.network("a")["provider:segmentation_id"] == 200)
      let shown = try await site.call(.get, "\(path)/\(range.id)", as: "admin").json["network_segment_range"]
      #expect(shown?["used"] == ["500": .string(Site.beta)])
      let overlap = try await site.call(.post, path, as: "admin", body)
      #expect(overlap.error == "NetworkSegmentRangeOverlaps")
      let inUse = try await site.call(.delete, "\(path)/\(range.id)", as: "admin")
      #expect(inUse.status == 409)
      let wider = try await site.call(
        .put, "\(path)/\(range.id)", as: "admin", ["network_segment_range": ["maximum": 510]])
      #expect(wider.json["network_segment_range"]?["maximum"] == 510)
      let tooNarrow = try await site.call(
        .put, "\(path)/\(range.id)", as: "admin", ["network_segment_range": ["minimum": 501]])
      #expect(tooNarrow.status == 409)
      let configured = try await site.call(.get, "\(path)?default=true", as: "admin").json.ids("network_segment_ranges")
      #expect(configured.count == 1)
      #expect(try await site.call(.delete, "\(path)/\(configured[0])", as: "admin").status == 400)
    }
  }
}
