import Domain
import HTTPTypes
import NeutronAPI
import Store
import Testing
import Wire

@Suite struct SegmentTests {
  private func segment(_ site: Site, _ network: JSON, _ more: JSONObject, as user: String = "admin") async throws
    -> Site.Answer
  {
    var object: JSONObject = ["network_id": network["id"] ?? .null]
    for member in more { object[member.key] = member.value }
    return try await site.call(.post, "/v2.0/segments", as: user, ["segment": .object(object)])
  }
  private func makePool(_ site: Site) async throws {
    try await site.database.write { session in
      try SegmentRangeStore.ensureConfigured(
        "second", physicalNetwork: "physnet2", vlans: 300...301, at: Site.now + .seconds(1), in: session)
    }
  }

  @Test func aNetworkIsCarriedElsewhereByTheAdministrator() async throws {
    try await Site.run { site in
      try await makePool(site)
      let network = try await site.network("mine")
      let first = try await site.call(.get, "/v2.0/segments?network_id=\(network.id)", as: "admin").json["segments"]
      #expect(first?.array?.map { $0["segmentation_id"] } == [200])
      #expect(first?.array?.first?["physical_network"] == "physnet1")

      let there = try await segment(site, network, ["network_type": "vlan", "physical_network": "physnet2"])
      #expect(there.status == 201)
      #expect(there.json["segment"]?["segmentation_id"] == 300)
      let joined = try await segment(site, network, ["network_type": "vxlan", "segmentation_id": 5001, "name": "join"])
      #expect(joined.status == 201)
      #expect(joined.json["segment"]?["physical_network"] == .null)
      #expect(try await site.database.read { try NetworkSegmentStore.bindings(on: "physnet2", in: $0) } == [300: 5001])
      #expect(try await site.database.read { try NetworkSegmentStore.bindings(on: "physnet1", in: $0) } == [200: 5001])

      // What another network has is taken, whoever has it by what.
      let other = try await site.network(
        "other", as: "admin", ["provider:physical_network": "physnet2", "provider:network_type": "vlan"])
      #expect(other["provider:segmentation_id"] == 301)
      #expect(try await segment(site, other, ["network_type": "vxlan", "segmentation_id": 5001]).status == 409)
      #expect(try await segment(site, network, ["network_type": "vxlan", "segmentation_id": 5002]).status == 409)
      let third = try await site.network("third")
      let full = try await segment(site, third, ["network_type": "vlan", "physical_network": "physnet2"])
      #expect(full.status == 409 && full.error == "NoNetworkAvailable")
      for wrong: JSONObject in [
        ["network_type": "vlan"], ["network_type": "vlan", "physical_network": "nowhere"],
        ["network_type": "gre", "segmentation_id": 1],
        ["network_type": "vlan", "physical_network": "physnet1"], ["network_type": "vxlan"],
        ["network_type": "vxlan", "segmentation_id": 16_777_216],
        ["network_type": "vxlan", "segmentation_id": 1, "physical_network": "physnet1"],
      ] { #expect(try await segment(site, third, wrong).status == 400, "\(wrong)") }

      // It goes in its order, and its number is free only when the switches have parted from it.
      #expect(try await site.call(.delete, "/v2.0/networks/\(network.id)").error == "NetworkInUse")
      for made in [there, joined] {
        #expect(
          try await site.call(.delete, "/v2.0/segments/\(made.json["segment"]?.id ?? "")", as: "admin").status == 204)
      }
      #expect(
        try await site.call(.get, "/v2.0/segments?network_id=\(network.id)", as: "admin").json.ids("segments") == [
          network.id
        ])
      #expect(try await site.database.read { try NetworkSegmentStore.bindings(on: "physnet2", in: $0) } == [:])
      #expect(try await segment(site, third, ["network_type": "vxlan", "segmentation_id": 5001]).status == 409)
      #expect(try await site.call(.delete, "/v2.0/networks/\(network.id)").error == "NetworkInUse")
      #expect(try await site.call(.delete, "/v2.0/segments/\(network.id)", as: "admin").error == "SegmentInUse")
    }
  }

  @Test func aVNIJoinsOnlySwitchesThatLearnOfEachOther() async throws {
    var settings = NeutronAPI.Settings()
    settings.controlPlanes = ["physnet1": [.fixedPeers], "physnet2": [.evpn(fabric: "pod-1")]]
    try await Site.run(settings: settings) { site in
      try await makePool(site)
      // The VNI first, or the VLAN first: the second of them is refused, and nothing of it is kept.
      let orders: [[JSONObject]] = [
        [
          ["network_type": "vxlan", "segmentation_id": 5001], ["network_type": "vlan", "physical_network": "physnet2"],
        ],
        [
          ["network_type": "vlan", "physical_network": "physnet2"], ["network_type": "vxlan", "segmentation_id": 5002],
        ],
      ]
      for (index, order) in orders.enumerated() {
        let network = try await site.network("n\(index)")
        #expect(try await segment(site, network, order[0]).status == 201)
        let refused = try await segment(site, network, order[1])
        #expect(refused.status == 400)
        let words = refused.json["NeutronError"]?["message"]?.string ?? ""
        #expect(words.contains("EVPN fabric pod-1 with switches whose tunnels have fixed peers"), "\(words)")
        let kept = try await site.database.read { try NetworkSegmentStore.list(network: network.id, in: $0) }
        #expect(kept.count == 1)
      }
    }
    // One fabric, or one that has no switch with VNIs beside it, is fine; two fabrics are not.
    settings.controlPlanes = ["physnet1": [.evpn(fabric: "pod-2")], "physnet2": [.evpn(fabric: "pod-1")]]
    #expect(TunnelControlPlane.problem([.evpn(fabric: "pod-1")]) == nil && TunnelControlPlane.problem([]) == nil)
    try await Site.run(settings: settings) { site in
      try await makePool(site)
      let network = try await site.network("mine")
      #expect(try await segment(site, network, ["network_type": "vxlan", "segmentation_id": 5001]).status == 201)
      let refused = try await segment(site, network, ["network_type": "vlan", "physical_network": "physnet2"])
      #expect(refused.status == 400 && refused.json.description.contains("the EVPN fabrics pod-1 and pod-2"))
    }
  }

  @Test func segmentsAreNoneOfATenantsBusiness() async throws {
    try await Site.run { site in
      let network = try await site.network("mine")
      #expect(
        try await segment(site, network, ["network_type": "vxlan", "segmentation_id": 5], as: "alice").status == 403)
      for path in ["/v2.0/segments", "/v2.0/segments/\(network.id)"] {
        #expect(try await site.call(.get, path).status == 403)
      }
    }
  }
}
