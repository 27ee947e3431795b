import Domain
import DriverInterfaces
import Testing

@testable import SwitchDrivers

/// One network on sites that share no switch, by frames: VXLAN between Open vSwitches, each in a namespace of its own.
@Suite struct VXLANTests {
  /// What arrives at the other taps of frames that `sender` broadcasts, by the name of the tap.
  private func heard(from sender: String, _ taps: [String: Tap], _ mark: UInt32, awaiting: Set<String> = [])
    async throws -> [String: [Frame]]
  {
    try await Frame(from: Frame.mac(9), mark: mark).heard(from: sender, taps, awaiting: awaiting)
  }

  @Test func oneNetworkReachesThreeSitesOnceAndNoOther() async throws {
    try await VirtualSwitch.with(taps: ["a1", "a2"]) { a, tapsA in
      try await VirtualSwitch.with(taps: ["b1", "b2"]) { b, tapsB in
        try await VirtualSwitch.with(taps: ["c1", "c2"]) { c, tapsC in
          try await VirtualSwitch.lay([a, b, c])
          let all = ["172.31.0.1", "172.31.0.2", "172.31.0.3"]
          let drivers = try [a, b, c].enumerated().map { index, site in
            try site.driver(
              tunnels: TunnelEndpoint(address: all[index], peers: all.filter { $0 != all[index] }))
          }
          // Other VLANs at each site; "2" is another network, with a number that the first has elsewhere.
          for (driver, (site, vlans)) in zip(drivers, [("a", (101, 301)), ("b", (301, 101)), ("c", (501, 502))]) {
            try await driver.apply(
              ["\(site)1": PortConfiguration(native: vlans.0), "\(site)2": PortConfiguration(native: vlans.1)],
              label: nil)
          }
          let taps = tapsA.merging(tapsB) { $1 }.merging(tapsC) { $1 }

          // Nothing joins them before, whatever their numbers.
          #expect(try await heard(from: "a1", taps, 1).isEmpty)
          for (driver, vlan) in zip(drivers, [101, 301, 501]) { try await driver.bindVNI(5001, vlan: vlan) }
          let joined = try await heard(from: "a1", taps, 2, awaiting: ["b1", "c1"])
          #expect(Set(joined.keys) == ["b1", "c1"])
          #expect(joined.values.joined().allSatisfy { $0.tags.isEmpty })
          #expect(Set(try await heard(from: "c1", taps, 3, awaiting: ["a1", "b1"]).keys) == ["a1", "b1"])
          #expect(try await heard(from: "a2", taps, 4).isEmpty)
          #expect(try await heard(from: "c2", taps, 5).isEmpty)

          // A mesh of three is no loop: of one frame every site gets one.
          for tap in taps.values { _ = tap.received() }
          taps["b1"]?.send(Frame(from: Frame.mac(9), mark: 6))
          try await Task.sleep(for: .milliseconds(400))
          for name in ["a1", "c1"] { #expect(taps[name]?.received().filter { $0.mark == 6 }.count == 1, "\(name)") }

          // The second network has its own identifier, and a repeat changes nothing.
          for (driver, vlan) in zip(drivers, [301, 101, 502]) {
            try await driver.bindVNI(5002, vlan: vlan)
            try await driver.bindVNI(5002, vlan: vlan)
          }
          #expect(try await drivers[0].boundVNIs() == [101: 5001, 301: 5002])
          #expect(Set(try await heard(from: "a2", taps, 7, awaiting: ["b2", "c2"]).keys) == ["b2", "c2"])
          #expect(Set(try await heard(from: "a1", taps, 8, awaiting: ["b1", "c1"]).keys) == ["b1", "c1"])

          // One site leaves; the others stay joined.
          try await drivers[2].unbindVNI(5001)
          try await drivers[2].unbindVNI(5001)
          #expect(Set(try await heard(from: "a1", taps, 9, awaiting: ["b1"]).keys) == ["b1"])
          #expect(try await heard(from: "c1", taps, 10).isEmpty)
          #expect(Set(try await drivers[2].listPorts().keys) == ["c1", "c2"])
        }
      }
    }
  }

  @Test func aHandOnATunnelIsSeenAndPutRight() async throws {
    try await VirtualSwitch.with(taps: ["a1"]) { a, _ in
      let driver = try a.driver(tunnels: TunnelEndpoint(address: "172.31.0.1", peers: ["172.31.0.2", "172.31.0.3"]))
      try await driver.bindVNI(5001, vlan: 101)
      for hand in [
        ["set", "port", "vx1389-0", "tag=102"], ["set", "interface", "vx1389-1", "options:key=7"],
        ["del-port", "vx1389-0"], ["set", "port", "vx1389-1", "protected=false"],
      ] {
        try await a.vsctl(hand)
        #expect(try await driver.boundVNIs() == [-5001: 5001], "\(hand)")
        try await driver.bindVNI(5001, vlan: 101)
        #expect(try await driver.boundVNIs() == [101: 5001])
      }
      // Another VLAN for the same identifier takes its place, and another identifier for the same VLAN.
      try await driver.bindVNI(5001, vlan: 103)
      #expect(try await driver.boundVNIs() == [103: 5001])
      try await driver.bindVNI(5002, vlan: 103)
      #expect(try await driver.boundVNIs() == [103: 5002])
    }
  }

  @Test func withoutAnEndpointNothingIsJoined() async throws {
    try await VirtualSwitch.with(taps: ["a1"]) { a, _ in
      let driver = try a.driver()
      #expect(!driver.capabilities.contains(.vni))
      let refusal = await #expect(throws: DriverError.self) { try await driver.bindVNI(5001, vlan: 101) }
      #expect(refusal?.code == .unsupported)
    }
  }
}
