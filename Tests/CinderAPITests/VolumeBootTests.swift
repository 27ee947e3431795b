import Conductor
import Domain
import Store
import TestSupport
import Testing
import Wire

/// Machines that boot from volumes, and who else gets at them.
@Suite struct VolumeBootTests {
  private static let mac = "52:54:00:00:00:01"
  private static let node = "11111111-1111-4111-8111-111111111111"

  private func machine(with volume: String, on site: Site) async throws {
    try await site.database.write { session in
      let now = CrashSite.now()
      var node = Node(uuid: Self.node, name: "n1", driver: "world", createdAt: now)
      node.driverInfo = ["address": "n1", "password": "secret"]
      node.provisionState = .available
      try NodeStore.insert(node, secrets: ["password"], box: site.database.secrets, in: session)
      var port = Port(uuid: Identifier.uuid(), nodeUUID: node.uuid, address: Self.mac, createdAt: now)
      port.localLinkConnection = ["switch_info": "sw0", "port_id": "n1", "switch_id": "00:00:00:00:00:01"]
      try PortStore.insert(port, in: session)
      var target = VolumeTarget(uuid: Identifier.uuid(), nodeUUID: node.uuid, createdAt: now)
      target.volumeType = "iscsi"
      target.volumeID = volume
      try VolumeTargetStore.insert(target, box: site.database.secrets, in: session)
    }
    try site.world.ensure("switch-filters", "yes")
  }
  private func ask(_ verb: ProvisionVerb, of project: String, on site: Site) async throws {
    let conductor = site.conductor
    try await site.database.write { session in
      var node = try #require(try NodeStore.get(Self.node, in: session))
      try conductor.provision(
        verb, node: &node, parameters: [:], by: Requester(projectID: project, userID: nil, requestID: nil), in: session)
    }
  }

  @Test func aMachineBootsFromItsVolumeAndOnlyItLearnsTheSecret() async throws {
    try await Site.run { site in
      let volume = try await site.volume()
      try await machine(with: volume, on: site)
      try await ask(.active, of: "alpha", on: site)
      try await until("the machine is active") {
        try await site.database.read { try NodeStore.get(Self.node, in: $0)?.provisionState } == .active
      }
      #expect(try await site.call(.get, "/v3/volumes/\(volume)").json["volume"]?["status"] == "in-use")
      #expect(site.world.value("dhcp/\(Self.mac)") == "volume-boot/\(Self.node)")
      let boot = try #require(try await site.database.read { try VolumeBootStore.get(node: Self.node, in: $0) })
      #expect(site.world.value("acl/n1")?.contains(boot.address) == true, "its port is filtered by its address")
      #expect(site.world.value("boot/n1") == "pxe" && site.world.value("power/n1") == "power on")

      let mac = try #require(MACAddress(Self.mac))
      let own = try await site.conductor.volumeBootRequest(mac: mac, address: boot.address)
      #expect(own?.initiator == "iqn.2026-11.org.steelyard:node-\(Self.node)" && own?.password.count == 24)
      #expect(try await site.conductor.volumeBootRequest(mac: mac, address: "10.77.0.9") == nil)
      #expect(try await site.call(.delete, "/v3/volumes/\(volume)").status == 400)

      try await ask(.deleted, of: "alpha", on: site)
      try await site.become("available", "/v3/volumes/\(volume)", "volume")
      #expect(
        site.world.values(prefix: "export/").isEmpty
          && site.world.value("dhcp/\(Self.mac)")?.hasPrefix("volume-boot") != true)
      #expect(try await site.conductor.volumeBootRequest(mac: mac, address: boot.address) == nil)
    }
  }

  @Test func abuse25_anothersVolumeIsNotBooted() async throws {
    try await Site.run { site in
      let volume = try await site.volume()
      try await machine(with: volume, on: site)
      await #expect(throws: ConductorError.self) { try await ask(.active, of: "beta", on: site) }
      #expect(try await site.call(.get, "/v3/volumes/\(volume)").json["volume"]?["status"] == "available")
      #expect(site.world.values(prefix: "export/").isEmpty)
      let state = try await site.database.read { try NodeStore.get(Self.node, in: $0)?.provisionState }
      #expect(state == .available)
    }
  }

  @Test func aSwitchThatCannotFilterIsNoPlaceForIt() async throws {
    try await Site.run { site in
      let volume = try await site.volume()
      try await machine(with: volume, on: site)
      try site.world.ensure("switch-filters", nil)
      try await ask(.active, of: "alpha", on: site)
      try await until("the deployment fails") {
        try await site.database.read { try NodeStore.get(Self.node, in: $0)?.provisionState } == .deployFailed
      }
      try await site.become("available", "/v3/volumes/\(volume)", "volume")
      #expect(site.world.values(prefix: "export/").isEmpty && site.world.value("switch/n1") == nil)
    }
  }
}
