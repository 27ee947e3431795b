import Domain
import DriverInterfaces
import Testing

@testable import SwitchDrivers

/// Two tenants and a machine that nobody has, on one switch: whatever one of them sends, the others do not see it.
@Suite struct TenantPacketTests {
  private static let networks: [(vlan: Int, machines: [String])] = [(205, ["a1", "a2"]), (206, ["b1", "b2"])]
  private static let names = ["a1", "a2", "b1", "b2", "q1", "q2", "up", "witness-a", "witness-b"]

  private func with(_ body: (VirtualSwitch, OpenVSwitch, PacketBench) async throws -> Void) async throws {
    try await VirtualSwitch.with(taps: Self.names) { home, taps in
      let driver = try home.driver(uplinks: ["up"])
      try await home.vsctl(["set", "port", "up", "vlan_mode=trunk", "trunks=205,206"])
      var wanted: [String: PortConfiguration] = [
        "q1": .quarantine, "q2": .quarantine, "witness-a": PortConfiguration(native: 999),
        "witness-b": PortConfiguration(native: 999),
      ]
      for network in Self.networks {
        for machine in network.machines { wanted[machine] = PortConfiguration(native: network.vlan) }
      }
      try await driver.apply(wanted, label: nil)
      try await body(home, driver, PacketBench(taps, witness: ("witness-a", "witness-b")))
    }
  }

  @Test(.timeLimit(.minutes(1))) func abuse35_nothingCrossesBetweenTwoTenants() async throws {
    try await with { _, _, bench in
      for (network, machines) in Self.networks {
        for sender in machines {
          let seen = try await bench.reach(from: sender, vlans: [205, 206, 4094])
          let peer = machines.filter { $0 != sender }
          #expect(Set(seen.keys) == Set(peer + ["up"]), "VLAN \(network), \(sender): \(seen)")
          // What is sent does arrive where it may: else the test would not see a leak either.
          let arrived = Set(seen[peer[0]]?.map(\.name) ?? [])
          for kind in [
            "broadcast", "multicast", "unicast", "spoofed broadcast", "spoofed unicast", "spoofed ARP", "DHCP discover",
            "DHCP offer", "ARP request", "ARP reply", "router advertisement", "neighbour solicitation",
          ] { #expect(arrived.contains(kind), "\(sender): \(kind) did not arrive at \(peer[0]): \(arrived)") }
          #expect(seen.values.allSatisfy { $0.allSatisfy { !$0.isLinkLocal } }, "\(seen)")
        }
      }
    }
  }

  @Test(.timeLimit(.minutes(1))) func abuse35_aSpoofedAddressTakesNoTrafficOfAnotherTenant() async throws {
    try await with { _, driver, bench in
      // a1 sends as b1 and b2, and in their VLAN too; then they speak with each other.
      _ = try await bench.reach(from: "a1", vlans: [205, 206])
      let seen = try await bench.reach(from: "b1", vlans: [206])
      #expect(
        seen["b2"]?.contains { $0.name == "unicast" } == true && seen["a1"] == nil && seen["a2"] == nil, "\(seen)")
      let table = try await driver.macTable()
      let own = bench.taps.keys.sorted().firstIndex(of: "b1").map { "52:54:00:77:00:0\($0 + 1)" }
      #expect(table.contains { $0.port == "b1" && $0.vlan == 206 && $0.mac.description == own }, "\(table)")
    }
  }

  @Test(.timeLimit(.minutes(1))) func quarantineReachesNobodyAndIsReachedByNobody() async throws {
    try await with { _, _, bench in
      for sender in Self.names where !sender.hasPrefix("witness") {
        let seen = try await bench.reach(from: sender, vlans: [205, 206, 4095])
        if sender.hasPrefix("q") {
          #expect(seen.isEmpty, "\(sender): \(seen)")
        } else {
          #expect(seen["q1"] == nil && seen["q2"] == nil, "\(sender): \(seen)")
        }
      }
    }
  }

  @Test(.timeLimit(.minutes(1))) func aTrunkCarriesItsNetworksAndNoOthers() async throws {
    try await with { _, driver, bench in
      // a2 has both networks, and nothing but them.
      try await driver.apply(["a2": PortConfiguration(native: 205, tagged: [206])], label: nil)
      let fromA = try await bench.reach(from: "a1", vlans: [205, 206, 207])
      #expect(Set(fromA.keys) == ["a2", "up"], "\(fromA)")
      let fromB = try await bench.reach(from: "b1", vlans: [205, 206, 207])
      #expect(Set(fromB.keys) == ["b2", "a2", "up"], "\(fromB)")
      let fromTrunk = try await bench.reach(from: "a2", vlans: [205, 206, 207])
      #expect(Set(fromTrunk.keys) == ["a1", "b1", "b2", "up"], "\(fromTrunk)")
      // One network is not the way to the other: what a1 sends with two tags does not come out in the second.
      #expect(fromA["b1"] == nil && fromA["b2"] == nil)
      #expect(fromTrunk["b1"]?.contains { $0.name == "double-tagged" } != true, "\(fromTrunk)")
    }
  }
}
