import Domain
import DriverInterfaces
import Processes
import Store
import TestSupport
import Testing
import Wire

@testable import Conductor
@testable import SwitchDrivers

/// A machine whose two NICs are a port group, on a real switch: either member reaches its network, and nobody once it is taken off.
@Suite struct BondPacketTests {
  private static let names = ["n1", "n2", "a", "b", "witness-a", "witness-b"]

  @Test(.timeLimit(.minutes(1))) func packetsPassOnEitherMemberUntilTheNetworkIsTakenOff() async throws {
    try await VirtualSwitch.with(taps: Self.names) { home, taps in
      try await withFolder("bond") { folder in
        let wired = try WiredSite(home, folder: folder)
        let driver = try home.driver()
        try await driver.apply(
          [
            "a": PortConfiguration(native: 205), "b": PortConfiguration(native: 206),
            "witness-a": PortConfiguration(native: 999), "witness-b": PortConfiguration(native: 999),
          ], label: nil)
        let bench = PacketBench(taps, witness: ("witness-a", "witness-b"))

        let report = try await wired.site.play(.attachBond)
        #expect(report["last_error"] == .null && report["vif"]?.string?.hasPrefix("ACTIVE") == true, "\(report)")
        for member in ["n1", "n2"] {
          #expect(try await driver.readPort(member) == PortConfiguration(native: 205))
          let sent = try await bench.reach(from: member, vlans: [205, 206])
          #expect(sent["a"]?.map(\.name).contains("broadcast") == true && sent["b"] == nil, "\(member): \(sent)")
        }
        let received = try await bench.reach(from: "a", vlans: [205, 206])
        #expect(received["n1"] != nil && received["n2"] != nil && received["b"] == nil, "\(received)")

        // One member that is changed by hand is set right with the audit.
        try await home.vsctl(["set", "port", "n2", "vlan_mode=access", "tag=206", "trunks=[]"])
        try await wired.conductor.repairSwitches()
        #expect(try await driver.readPort("n2") == PortConfiguration(native: 205))

        // act: detach
        let conductor = wired.conductor
        try await wired.database.write { session in
          var node = try #require(try NodeStore.get(CrashSite.node, in: session))
          try conductor.detachVIF(networkPortID: CrashSite.vif, node: &node, by: .system, in: session)
        }
        let detached = try await wired.site.play(nil)
        #expect(detached["last_error"] == .null && detached["vif"] == "DOWN ")
        for sender in ["n1", "n2", "a", "b"] {
          let seen = try await bench.reach(from: sender, vlans: [205, 206])
          if sender.hasPrefix("n") {
            #expect(seen.isEmpty, "\(sender): \(seen)")
          } else {
            #expect(seen["n1"] == nil && seen["n2"] == nil, "\(sender): \(seen)")
          }
        }
        wired.database.close()
      }
    }
  }

  /// The switch has no port n2.
  @Test(.timeLimit(.minutes(1))) func aMemberThatCannotCarryItKeepsTheWholeBondOff() async throws {
    try await VirtualSwitch.with { home, _ in
      try await home.addPorts(["n1"], type: "dummy")
      try await withFolder("bond") { folder in
        let wired = try WiredSite(home, folder: folder)
        let failed = try await wired.site.play(.attachBond)
        #expect(failed["last_error"]?.string?.contains("port n2") == true, "\(failed["last_error"] ?? .null)")
        #expect(failed["workflows"] == ["attach-network undone"] && failed["vif"] == "DOWN ")
        #expect(failed["leftovers"] == [])
        #expect(try await home.driver().readPort("n1") == .quarantine)
        #expect(try await wired.database.read { try VIFStore.holder(of: CrashSite.vif, in: $0) } == nil)
        wired.database.close()
      }
    }
  }
}
