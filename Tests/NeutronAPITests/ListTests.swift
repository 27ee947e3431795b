import Domain
import Store
import Testing
import Wire

/// Lists that are longer than what is read at a time.
@Suite struct ListTests {
  /// Two of thousands of random ones may be the same.
  private static func mac(_ index: Int) -> String {
    let digits = String(0x10000 + index, radix: 16).dropFirst()
    return "fa:16:3e:00:\(digits.prefix(2)):\(digits.suffix(2))"
  }

  @Test func aLongListOfPortsIsWholeInItsOrderAndFiltered() async throws {
    try await Site.run { site in
      let network = try await site.network("long")
      _ = try await site.subnet(network, "10.0.0.0/16")
      _ = try await site.subnet(network, "2001:db8::/64", ["ip_version": 6])
      let count = 2003
      try await site.database.write { session in
        let subnets = try SubnetStore.list(network: network.id, in: session)
        for index in 0..<count {
          var port = NetworkPort(
            networkID: network.id, projectID: Site.alpha, name: "p\(index % 7)", macAddress: Self.mac(index),
            tags: index % 500 == 0 ? ["red"] : [],
            createdAt: Site.now + .seconds(index))
          // Some have an address of each family, some none.
          let some = index % 5 == 0 ? [] : subnets.filter { $0.version == 4 || index % 3 == 0 }
          port.fixedIPs = try some.compactMap { subnet in
            try SubnetStore.freeAddress(of: subnet, in: session).map { .init(subnetID: subnet.id, address: $0) }
          }
          try NetworkPortStore.insert(port, in: session)
        }
      }
      let whole = try await site.call(.get, "/v2.0/ports").json["ports"]?.array ?? []
      let sorted = try await site.call(.get, "/v2.0/ports?sort_key=created_at").json["ports"]?.array ?? []
      #expect(whole.count == count)
      // Written from rows, and from ports: the same, whatever the order of the members.
      #expect(whole.map(\.byName) == sorted.map(\.byName))
      #expect(whole.first?.object?.count == sorted.first?.object?.count)
      #expect(whole.last?["fixed_ips"]?.array?.first?["ip_address"]?.string == "10.0.6.67")
      #expect(Set(whole.map { $0["fixed_ips"]?.array?.count }) == [0, 1, 2])
      #expect(try await site.call(.get, "/v2.0/ports?tags=red").json.ids("ports").count == 5)
      let last = try #require(whole.last)
      #expect(
        try await site.call(.get, "/v2.0/ports?mac_address=\(last["mac_address"]?.string ?? "")&fields=id").json
          == ["ports": [["id": .string(last.id)]]])
      #expect(try await site.call(.get, "/v2.0/ports?description=none").json == ["ports": []])
      #expect(try await site.call(.get, "/v2.0/ports?nonsense=1").status == 400)
      #expect(try await site.call(.get, "/v2.0/ports", as: "bob").json == ["ports": []])
    }
  }

  @Test func anAddressInAGapIsGivenAgain() async throws {
    try await Site.run { site in
      let network = try await site.network("gap")
      _ = try await site.subnet(network, "10.0.0.0/29")
      var ports: [JSON] = []
      for _ in 0..<5 { ports.append(try await site.port(network).json["port"] ?? .null) }
      #expect(try await site.port(network).error == "IpAddressGenerationFailure")
      #expect(try await site.call(.delete, "/v2.0/ports/\(ports[2].id)").status == 204)
      let again = try await site.port(network).json["port"]
      #expect(again?["fixed_ips"] == ports[2]["fixed_ips"])
    }
  }

  @Test func theLastFullPageHasANextOneThatIsEmpty() async throws {
    try await Site.run { site in
      for name in ["a", "b"] { _ = try await site.network(name) }
      var page = try await site.call(.get, "/v2.0/networks?sort_key=name&limit=2").json
      func link(_ relation: String) -> String? {
        page["networks_links"]?.array?.first { $0["rel"]?.string == relation }?["href"]?.string
      }
      let next = try #require(link("next")?.split(separator: "/network", maxSplits: 1).last)
      page = try await site.call(.get, String(next)).json
      #expect(page["networks"] == [])
      #expect(link("next") == nil)
      let previous = try #require(link("previous")?.split(separator: "/network", maxSplits: 1).last)
      let back = try await site.call(.get, String(previous)).json["networks"]?.array ?? []
      #expect(back.map { $0["name"]?.string } == ["a", "b"])
    }
  }

  @Test func anMTUThatASubnetCannotLiveWithIsRefused() async throws {
    try await Site.run { site in
      let small = try await site.network("small", ["mtu": 67])
      let body: JSON = ["subnet": ["network_id": .string(small.id), "cidr": "10.0.0.0/24", "ip_version": 4]]
      #expect(try await site.call(.post, "/v2.0/subnets", body).error == "NetworkMTUSubnetConflict")
      let network = try await site.network("large")
      _ = try await site.subnet(network, "10.0.0.0/24")
      let shrunk = try await site.call(.put, "/v2.0/networks/\(network.id)", ["network": ["mtu": 67]])
      #expect(shrunk.status == 409)
      #expect(shrunk.message == "MTU of \(network.id) is not valid, subnet requires a minimum of 68")
    }
  }
}

extension JSON {
  /// The members by their names.
  fileprivate var byName: [String: JSON] {
    Dictionary((object?.members ?? []).map { ($0.key, $0.value) }) { first, _ in first }
  }
}
