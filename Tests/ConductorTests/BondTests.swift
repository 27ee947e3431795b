import Domain
import Store
import TestSupport
import Testing
import Wire

@testable import Conductor

/// A network port on a port group: every member's switch port carries it, and it is shown as what all of them carry.
@Suite struct BondTests {
  private static let second = SwitchPort(switchName: "sw0", port: "n2")

  private func port(_ site: CrashSite) async throws -> NetworkPort {
    try #require(try await site.database.read { try NetworkPortStore.get(CrashSite.vif, in: $0) })
  }
  private func carried(_ site: CrashSite) -> [String?] { ["n1", "n2"].map { site.world.value("switch/\($0)") } }

  @Test func everyMemberCarriesTheNetworkAndItIsActiveThen() async throws {
    try await withFolder("bond") { folder in
      let site = try CrashSite(folder: folder, options: [:])
      let report = try await site.play(.attachBond)
      #expect(report["last_error"] == .null && report["leftovers"] == [])
      #expect(carried(site) == ["205", "205"])
      let attached = try await port(site)
      #expect(attached.status == .active && attached.isBound && attached.bindingHostID == CrashSite.node)
      #expect(attached.macAddress == CrashSite.bondMAC)
      let links = attached.bindingProfile["local_link_information"]?.array ?? []
      #expect(links.map { $0["port_id"]?.string } == ["n1", "n2"])
      #expect(links.allSatisfy { $0["switch_info"] == "sw0" })
      let group = attached.bindingProfile["local_group_information"]
      #expect(group?["id"]?.string == CrashSite.bond && group?["bond_mode"] == "active-backup")

      // One member that is changed by hand, or that its switch refuses: not ACTIVE as a whole.
      let conductor = site.conductor
      try await site.database.write { session in
        try SwitchPortStore.record(.error, Self.second, detail: "it refuses", at: CrashSite.now(), in: session)
        try conductor.parts.showVIFs(node: CrashSite.node, at: CrashSite.now(), in: session)
      }
      #expect(try await port(site).status == .down)
      try await site.conductor.repairSwitches()
      try await site.database.write { session in
        try conductor.parts.showVIFs(node: CrashSite.node, at: CrashSite.now(), in: session)
      }
      #expect(try await port(site).status == .active)
      try site.world.ensure("switch/n2", "999")
      try await site.conductor.repairSwitches()
      #expect(carried(site) == ["205", "205"])

      // act: off
      try await site.database.write { session in
        var node = try #require(try NodeStore.get(CrashSite.node, in: session))
        try conductor.detachVIF(networkPortID: CrashSite.vif, node: &node, by: .system, in: session)
      }
      _ = try await site.play(nil)
      #expect(carried(site) == [nil, nil])
      let free = try await port(site)
      #expect(free.status == .down && !free.isBound && free.macAddress != CrashSite.bondMAC)
      #expect(free.bindingProfile.isEmpty, "\(free.bindingProfile)")
      site.database.close()
    }
  }

  @Test func anEndingLeaseTakesTheNetworkOffEveryMember() async throws {
    try await withFolder("bond") { folder in
      var site = try CrashSite(folder: folder, options: [:])
      _ = try await site.play(.attachBond)
      let conductor = site.conductor
      try await site.database.write { session in
        let now = CrashSite.now()
        let lease = Lease(
          uuid: Identifier.uuid(), projectID: "tenant", ownerID: "p", resourceUUID: CrashSite.node,
          time: TimeRange(now - .seconds(60), now + .seconds(3600)), createdAt: now)
        try LeaseStore.insert(lease, in: session)
        try LeaseStore.setActive(lease.uuid, at: now, in: session)
        try change(CrashSite.node, session) {
          $0.lessee = "tenant"
          $0.leaseUUID = lease.uuid
        }
        let active = try #require(try LeaseStore.get(lease.uuid, in: session))
        try conductor.endLease(active, reason: .deleted, in: session)
        // Another one cannot have the machine while its bond has a network.
        let next = Lease(
          uuid: Identifier.uuid(), projectID: "next", ownerID: "p", resourceUUID: CrashSite.node,
          time: TimeRange(now, now + .seconds(60)), status: .waitFulfill, createdAt: now)
        #expect(try Conductor.obstacle(to: next, in: session) != nil)
      }
      site.database.close()

      // The next life of the server takes it back.
      site = try CrashSite(folder: folder, options: [:])
      let report = try await site.play(nil)
      #expect(report["state"] == "available" && report["leftovers"] == [], "\(report)")
      #expect(carried(site) == [nil, nil])
      #expect(try await port(site).isBound == false)
      #expect(try await site.database.read { try VIFStore.holder(of: CrashSite.vif, in: $0) } == nil)
      site.database.close()
    }
  }

  @Test func theConfigDriveDescribesTheBond() async throws {
    try await withFolder("bond") { folder in
      let site = try CrashSite(folder: folder, options: [:])
      _ = try await site.play(.attachBond)
      let parts = site.conductor.parts
      let data = try await site.database.write { session -> JSON in
        var group = try #require(try PortGroupStore.get(CrashSite.bond, in: session))
        group.mode = "802.3ad"
        group.properties = ["miimon": "100", "bond_xmit_hash_policy": "layer3+4", "bond_links": "x"]
        try PortGroupStore.update(group, in: session)
        return try parts.networkData(of: CrashSite.node, in: session)
      }
      let members = try await site.database.read { try PortStore.list(group: CrashSite.bond, in: $0) }
      let links = data["links"]?.array ?? []
      #expect(
        Array(links.prefix(2))
          == members.map {
            ["id": .string($0.uuid), "type": "phy", "ethernet_mac_address": .string($0.address)] as JSON
          })
      let bond = try #require(links.last)
      #expect(links.count == 3 && bond["type"] == "bond" && bond["bond_mode"] == "802.3ad")
      #expect(bond["bond_links"] == JSON(members.map(\.uuid)))
      #expect(bond["bond_miimon"] == "100" && bond["bond_xmit_hash_policy"] == "layer3+4")
      #expect(bond["ethernet_mac_address"]?.string == CrashSite.bondMAC && bond["vif_id"]?.string == CrashSite.vif)
      site.database.close()
    }
  }
}
