import Domain
import Store
import TestSupport
import Testing
import Wire

@testable import Conductor

/// What trunks, and several changes of one machine's NICs at once, do to the switch and to the ports' status.
@Suite struct TrunkWiringTests {
  private static let tagged = "44444444-4444-4444-8444-444444444444"

  /// A trunk on the scenario's network port, with one subport on a network with VLAN 206.
  @discardableResult
  private func addSubport(_ site: CrashSite, segmentationID: Int = 206) async throws -> Trunk {
    let (conductor, now) = (site.conductor, CrashSite.now())
    return try await site.database.write { session in
      if try NetworkPortStore.get(Self.tagged, in: session) == nil {
        let network = Network(projectID: "p", name: "second", physicalNetwork: "datacentre", vlan: 206, createdAt: now)
        try NetworkStore.insert(network, in: session)
        try NetworkPortStore.insert(
          NetworkPort(id: Self.tagged, networkID: network.id, projectID: "p", name: "tagged", createdAt: now),
          in: session)
      }
      var trunk = try TrunkStore.ofParent(CrashSite.vif, in: session)
      if trunk == nil {
        try TrunkStore.insert(Trunk(projectID: "p", portID: CrashSite.vif, createdAt: now), in: session)
        trunk = try TrunkStore.ofParent(CrashSite.vif, in: session)
      }
      let found = try #require(trunk)
      let subport = Trunk.Subport(portID: Self.tagged, segmentationID: segmentationID)
      try TrunkStore.add(subport, to: found.id, at: now, in: session)
      try conductor.subportsChanged(of: found, added: [Self.tagged], in: session)
      return try #require(try TrunkStore.get(found.id, in: session))
    }
  }
  private func removeSubport(_ trunk: Trunk, _ site: CrashSite) async throws {
    let conductor = site.conductor
    try await site.database.write { session in
      try TrunkStore.remove(Self.tagged, at: CrashSite.now(), in: session)
      try conductor.subportsChanged(of: trunk, added: [], in: session)
    }
  }
  private func port(_ id: String, _ site: CrashSite) async throws -> NetworkPort {
    try #require(try await site.database.read { try NetworkPortStore.get(id, in: $0) })
  }
  private func status(_ trunk: Trunk, _ site: CrashSite) async throws -> Trunk.Status? {
    try await site.database.read { try TrunkStore.get(trunk.id, in: $0)?.status }
  }

  @Test func subportsComeAndGoOnARunningMachine() async throws {
    try await withFolder("trunk") { folder in
      let site = try CrashSite(folder: folder, options: [:])
      _ = try await site.play(.attach)
      let trunk = try await addSubport(site)

      // Until the switch was told, nothing claims that it was.
      #expect(try await status(trunk, site) == .build)
      #expect(site.world.value("switch/n1") == "205")
      try await site.conductor.rewire()
      #expect(site.world.value("switch/n1") == "205+206")
      #expect(try await status(trunk, site) == .active)
      let carried = try await port(Self.tagged, site)
      #expect(carried.status == .active && carried.isBound && carried.macAddress == CrashSite.mac)
      #expect(carried.deviceOwner == "trunk:subport" && carried.deviceID == trunk.id)

      try await removeSubport(trunk, site)
      // Its VLAN is not free before the switch was read back without it.
      #expect(try await port(Self.tagged, site).isBound)
      try await site.conductor.rewire()
      #expect(site.world.value("switch/n1") == "205")
      let free = try await port(Self.tagged, site)
      #expect(!free.isBound && free.status == .down && free.bindingHostID.isEmpty && free.deviceOwner.isEmpty)
      site.database.close()
    }
  }

  @Test func aServerThatIsKilledBetweenTheSwitchAndTheDatabaseGoesOn() async throws {
    try await withFolder("trunk") { folder in
      let first = try CrashSite(folder: folder, options: [:])
      _ = try await first.play(.attach)
      let trunk = try await addSubport(first)
      try await first.conductor.rewire()
      // The switch obeys and does not answer; then there is no server any more.
      try first.world.ensure("fault/heard-switch", "unreachable: the connection broke")
      try await removeSubport(trunk, first)
      try await first.conductor.rewire()
      #expect(first.world.value("switch/n1") == "205")
      #expect(try await port(Self.tagged, first).isBound)
      first.database.close()

      let second = try CrashSite(folder: folder, options: [:])
      try second.world.ensure("fault/heard-switch", nil)
      try await second.conductor.rewire()
      #expect(try await !port(Self.tagged, second).isBound)
      #expect(try await second.conductor.leftovers().isEmpty)
      second.database.close()
    }
  }

  @Test func detachingTheParentFreesWhatWasTagged() async throws {
    try await withFolder("trunk") { folder in
      let site = try CrashSite(folder: folder, options: [:])
      _ = try await site.play(.attach)
      let trunk = try await addSubport(site)
      try await site.conductor.rewire()
      let conductor = site.conductor
      try await site.database.write { session in
        var node = try #require(try NodeStore.get(CrashSite.node, in: session))
        try conductor.detachVIF(networkPortID: CrashSite.vif, node: &node, by: .system, in: session)
      }
      let report = try await site.play(nil)
      #expect(report["last_error"] == .null)
      #expect(site.world.value("switch/n1") == nil)
      #expect(try await !port(CrashSite.vif, site).isBound)
      #expect(try await !port(Self.tagged, site).isBound)
      #expect(try await status(trunk, site) == .down)

      // And the trunk comes back as a whole.
      try await site.database.write { session in
        var node = try #require(try NodeStore.get(CrashSite.node, in: session))
        try conductor.attachVIF(networkPortID: CrashSite.vif, node: &node, by: .system, in: session)
      }
      _ = try await site.play(nil)
      #expect(site.world.value("switch/n1") == "205+206")
      #expect(try await status(trunk, site) == .active)
      site.database.close()
    }
  }

  @Test func aTagThatIsNotTheNetworksIsRefusedAndChangesNothing() async throws {
    try await withFolder("trunk") { folder in
      let site = try CrashSite(folder: folder, options: [:])
      _ = try await site.play(.attach)
      let refusal = await #expect(throws: ConductorError.self) { try await addSubport(site, segmentationID: 55) }
      #expect(refusal?.description.contains("set segmentation_id to 206") == true)
      #expect(try await site.database.read { try TrunkStore.ofParent(CrashSite.vif, in: $0) } == nil)
      site.database.close()
    }
  }

  /// Two NICs' networks are asked for while the first is being put in force: the second is written down and follows, and so
  /// is a detachment; nobody is told to come back.
  @Test func whatIsAskedWhileTheNetworksChangeIsQueued() async throws {
    try await withFolder("trunk") { folder in
      let site = try CrashSite(folder: folder, options: [:])
      _ = try await site.play(.detach)
      let (conductor, now) = (site.conductor, CrashSite.now())
      let second = "55555555-5555-4555-8555-555555555555"
      try await site.database.write { session in
        var nic = Port(uuid: Identifier.uuid(), nodeUUID: CrashSite.node, address: "52:54:00:00:00:02", createdAt: now)
        nic.localLinkConnection = ["switch_info": "sw0", "port_id": "n2", "switch_id": "00:00:00:00:00:01"]
        try PortStore.insert(nic, in: session)
        let network = Network(projectID: "p", name: "third", physicalNetwork: "datacentre", vlan: 207, createdAt: now)
        try NetworkStore.insert(network, in: session)
        try NetworkPortStore.insert(
          NetworkPort(id: second, networkID: network.id, projectID: "p", name: "second", createdAt: now), in: session)
        var node = try #require(try NodeStore.get(CrashSite.node, in: session))
        for vif in [CrashSite.vif, second] {
          try conductor.attachVIF(networkPortID: vif, node: &node, by: .system, in: session)
        }
      }
      #expect(try await port(second, site).status == .build)
      _ = try await site.play(nil)
      try await site.conductor.rewire()
      #expect([site.world.value("switch/n1"), site.world.value("switch/n2")] == ["205", "207"])
      for vif in [CrashSite.vif, second] { #expect(try await port(vif, site).status == .active) }

      try await site.database.write { session in
        var node = try #require(try NodeStore.get(CrashSite.node, in: session))
        for vif in [CrashSite.vif, second] {
          try conductor.detachVIF(networkPortID: vif, node: &node, by: .system, in: session)
        }
      }
      _ = try await site.play(nil)
      try await site.conductor.rewire()
      #expect(site.world.values(prefix: "switch/").isEmpty)
      for vif in [CrashSite.vif, second] { #expect(try await !port(vif, site).isBound) }
      site.database.close()
    }
  }
}
