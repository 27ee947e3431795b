import Domain
import DriverInterfaces
import Simulators
import Testing

@testable import SwitchDrivers

/// VLANs joined to VNIs of an EVPN fabric by the kinds that can, each against a stand-in that keeps and shows them.
@Suite struct VNIContractTests {
  private static let kinds = ["arista-eapi", "cumulus-nvue", "cisco-nxos"].filter { ContractBench.kinds.contains($0) }

  private static func device(_ bench: ContractBench, _ leaf: EVPNLeaf?) throws -> any SwitchInterface {
    var site = bench.configuration
    site.leaf = leaf
    return try bench.device(site)
  }

  @Test(arguments: kinds)
  func aNetworkIsJoinedReadBackMovedAndParted(kind: String) async throws {
    try await ContractBench.with(kind) { bench in
      let device = try Self.device(bench, EVPNLeaf(fabric: "pod-1", autonomousSystem: 65001))
      #expect(device.capabilities.contains(.vni))
      #expect(device.controlPlane == .evpn(fabric: "pod-1"))
      // The VNIs of routing are none of a VLAN's.
      #expect(try await device.boundVNIs() == [:])
      try await device.apply([bench.ports[0]: PortConfiguration(native: 101)], label: nil)
      let ports = try await device.listPorts()

      try await device.bindVNI(5001, vlan: 101)
      #expect(try await device.boundVNIs() == [101: 5001])
      try await device.bindVNI(16_777_215, vlan: 102)
      #expect(try await device.boundVNIs() == [101: 5001, 102: 16_777_215])
      #expect(try await bench.isSaved())
      // Repeated, nothing happens.
      let effects = try await bench.effects()
      try await device.bindVNI(5001, vlan: 101)
      try await device.unbindVNI(7777)
      #expect(try await bench.effects() == effects)

      // Another VLAN for the same identifier takes its place, and another identifier for the same VLAN.
      try await device.bindVNI(5001, vlan: 103)
      #expect(try await device.boundVNIs() == [103: 5001, 102: 16_777_215])
      try await device.bindVNI(5002, vlan: 103)
      #expect(try await device.boundVNIs() == [103: 5002, 102: 16_777_215])

      try await device.unbindVNI(5002)
      try await device.unbindVNI(5002)
      #expect(try await device.boundVNIs() == [102: 16_777_215])
      #expect(try await bench.isSaved())
      // Ports have not noticed.
      #expect(try await device.listPorts() == ports)
      for (vni, vlan) in [(0, 101), (16_777_216, 101), (5001, 0), (5001, 4095)] {
        let refusal = await driverError("VNI \(vni), VLAN \(vlan)") { try await device.bindVNI(vni, vlan: vlan) }
        #expect(refusal.code == .refused, "\(refusal)")
      }
    }
  }

  @Test(arguments: kinds)
  func whatIsAcceptedAndNotInForceIsAnError(kind: String) async throws {
    try await ContractBench.with(kind) { bench in
      let device = try Self.device(bench, EVPNLeaf(fabric: "pod-1", autonomousSystem: 65001))
      // It says yes and does not do it.
      try await bench.fault { $0.lies = true }
      let lie = await driverError("a lie") { try await device.bindVNI(5001, vlan: 101) }
      #expect(lie.code == .notInForce && lie.detail.contains("VNI 5001"), "\(lie)")
      // It writes it down, and its tunnel or BGP does not have it.
      try await bench.fault { $0.keepsVNIsDown = true }
      let down = await driverError("a VNI that is down") { try await device.bindVNI(5001, vlan: 101) }
      #expect(down.code == .notInForce, "\(down)")
      #expect(try await [[:], [-5001: 5001]].contains(device.boundVNIs()))
      try await bench.fault { _ in }
      try await device.bindVNI(5001, vlan: 101)
      #expect(try await device.boundVNIs() == [101: 5001])
      // What does not go is told of.
      try await bench.fault { $0.lies = true }
      let stays = await driverError("a lie") { try await device.unbindVNI(5001) }
      #expect(stays.code == .notInForce, "\(stays)")
      try await bench.fault { _ in }
      #expect(try await device.boundVNIs() == [101: 5001])
    }
  }

  /// The driver of a kind, for a switch that nobody visits.
  private static func unseen(_ kind: String, _ leaf: EVPNLeaf?) throws -> any SwitchInterface {
    var site = SwitchConfiguration(name: "tor-1", kind: kind, endpoint: "")
    site.username = "admin"
    site.passwordFile = "/none"
    site.hostKey = "ssh-ed25519 AAAA"
    site.leaf = leaf
    let device = ["ssh", "netconf", "https"].lazy.compactMap { scheme -> (any SwitchInterface)? in
      site.endpoint = "\(scheme)://192.0.2.1"
      return try? ContractBench.registry(site).switchNamed("tor-1")
    }.first
    return try #require(device, "\(kind)")
  }

  @Test func everyKindSaysWhetherItJoins() async throws {
    for kind in Switches.kinds where kind != "openvswitch" {
      let leaf = EVPNLeaf(fabric: "pod-1", address: "192.0.2.1", autonomousSystem: 65001)
      let joins = try Self.unseen(kind, leaf).capabilities.contains(.vni)
      #expect(joins == (Switches.fabricNeeds[kind] != nil), "\(kind)")

      // Outside of a fabric nothing is joined, and nobody is asked.
      let alone = try Self.unseen(kind, nil)
      #expect(!alone.capabilities.contains(.vni) && alone.controlPlane == nil, "\(kind)")
      #expect(try await alone.boundVNIs() == [:], "\(kind)")
      let refusal = await driverError("no fabric") { try await alone.bindVNI(5001, vlan: 101) }
      #expect(refusal.code == .unsupported, "\(refusal)")
      try await alone.unbindVNI(5001)
    }
  }

  @Test func whatIsBoundInPartOrTwiceIsBoundToNobodysVLAN() {
    let whole = VNIState(vni: 1, vlan: 101, isWhole: true)
    #expect([whole].bound == [101: 1])
    #expect([VNIState(vni: 1, vlan: 101, isWhole: false)].bound == [-1: 1])
    #expect([VNIState(vni: 1, vlan: nil, isWhole: true)].bound == [-1: 1])
    #expect([whole, VNIState(vni: 1, vlan: 102, isWhole: true)].bound == [-1: 1])
    #expect([whole, VNIState(vni: 2, vlan: 101, isWhole: true)].bound == [-1: 1, -2: 2])
    #expect([whole, VNIState(vni: 2, vlan: 102, isWhole: true)].bound == [101: 1, 102: 2])
  }

  @Test func anUnfinishedVNIOfANexusIsOneInPart() throws {
    let vnis = try #require(CommandTemplate.ciscoNXOS.vnis)
    let configuration = """
      vlan 1,101-104
      vlan 101
        name one
        vn-segment 5001
      vlan 102
        vn-segment 5002
      vlan 103
        vn-segment 5003
      interface nve1
        member vni 5001
          ingress-replication protocol bgp
        member vni 5002
        member vni 5004
        member vni 50001 associate-vrf
      evpn
        vni 5001 l2
          rd auto
        vni 5002 l2
      """
    let table = """
      Interface VNI      Multicast-group   State Mode Type [BD/VRF]      Flags
      --------- -------- ----------------- ----- ---- ------------------ -----
      nve1      5001     UnicastBGP        Up    CP   L2 [101]
      nve1      5002     UnicastBGP        Down  CP   L2 [102]
      nve1      5004     UnicastBGP        Down  CP   L2 [-]
      nve1      50001    n/a               Up    CP   L3 [tenants]
      """
    let bound = vnis.read([configuration, table], EVPNLeaf(fabric: "f")).bound
    #expect(bound == [101: 5001, -5002: 5002, -5003: 5003, -5004: 5004])
  }
}
