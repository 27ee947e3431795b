import Domain
import DriverInterfaces
import Glibc
import Processes
import Testing

@testable import SwitchDrivers

/// What goes wrong with OVN's parts, by packets.
@Suite struct OVNFailoverTests {
  private static let isSlow = getenv("STEELYARD_SLOW") != nil

  @Test func aChangeThatWasWrittenAndNotTakenIsInForceWhenTheNextServerSaysSo() async throws {
    try await TenantSite.with { site, _, ovn, driver, machines, room in
      var site = site
      let outside = try #require(machines["outside"]), m1 = try #require(machines["m1"])
      m1.configure("10.1.0.11/24", gateway: "10.1.0.1")
      try await driver.apply(site.topology)

      // A server writes a floating IP and ends before anybody has taken it.
      try await ovn.end("northd")
      try site.float("203.0.113.50", to: "10.1.0.11")
      await #expect(throws: DriverError.self) {
        try await ovn.driver(limit: .milliseconds(1500)).apply(site.topology)
      }
      #expect(try await room.asks(outside, "203.0.113.50", tries: 1) == nil)

      // The next one finds nothing to write, and still says nothing before packets go that way.
      try await ovn.startNorthd()
      #expect(try await driver.apply(site.topology).isEmpty)
      #expect(try await room.asks(outside, "203.0.113.50", tries: 1) == "m1 hears \(TenantSite.outside)")
    }
  }

  /// One of three chassis, each with a way of its own to the machines' switch.
  private struct Chassis {
    let number: Int
    let home: VirtualSwitch
    var name: String { "c\(number)" }

    /// A cable between two switches' bridges.
    private func cable(_ here: String, in bridge: String, to leaf: VirtualSwitch, _ there: String, in other: String)
      async throws
    {
      try await runChecked(
        "ip",
        [
          "link", "add", here, "mtu", "1600", "netns", home.namespace, "type", "veth", "peer", "name", there, "mtu",
          "1600",
          "netns", leaf.namespace,
        ])
      try await runChecked("ip", ["-n", home.namespace, "link", "set", here, "up"])
      try await runChecked("ip", ["-n", leaf.namespace, "link", "set", there, "up"])
      try await home.vsctl(["add-port", bridge, here])
      try await leaf.vsctl(["add-port", other, there])
    }
    func start(_ leaf: VirtualSwitch, _ ovn: VirtualOVN) async throws {
      try await home.vsctl(["add-br", "under", "--", "set", "bridge", "under", "datapath_type=netdev"])
      try await cable("dc", in: home.bridge, to: leaf, "dc\(number)", in: leaf.bridge)
      try await cable("und", in: "under", to: leaf, "und\(number)", in: "under")
      try await runChecked("ip", ["-n", home.namespace, "address", "add", "172.31.1.\(number)/24", "dev", "under"])
      try await runChecked("ip", ["-n", home.namespace, "link", "set", "under", "mtu", "1600", "up"])
      try await ovn.addChassis(name, on: home, encapsulation: "172.31.1.\(number)")
    }
    /// Without a warning.
    func kill(_ ovn: VirtualOVN) async throws {
      Glibc.kill(try processID(inFile: "\(ovn.folder)/\(name).pid"), SIGKILL)
      try await home.killDaemon()
    }
    func unplug(_ leaf: VirtualSwitch) async throws {
      for cable in ["dc", "und"] {
        try await runChecked("ip", ["-n", leaf.namespace, "link", "set", "\(cable)\(number)", "down"])
      }
    }
  }

  private static func withThreeChassis(
    _ body: (VirtualSwitch, VirtualOVN, [Chassis], [String: Machine], MachineRoom) async throws -> Void
  ) async throws {
    let vlans = ["m1": 201, "m2": 202, "outside": 299]
    try await VirtualSwitch.with(taps: vlans.keys.sorted()) { leaf, taps in
      try await leaf.vsctl(["add-br", "under", "--", "set", "bridge", "under", "datapath_type=netdev"])
      try await VirtualOVN.with { ovn in
        try await VirtualSwitch.with { first, _ in
          try await VirtualSwitch.with { second, _ in
            try await VirtualSwitch.with { third, _ in
              let chassis = [first, second, third].enumerated().map { Chassis(number: $0 + 1, home: $1) }
              for one in chassis { try await one.start(leaf, ovn) }
              try await leaf.driver(uplinks: Set(chassis.map { "dc\($0.number)" })).apply(
                vlans.mapValues { PortConfiguration(native: $0) }, label: nil)
              var machines: [String: Machine] = [:]
              for (name, tap) in taps {
                let number = Int(name.dropFirst())
                machines[name] = Machine(
                  name, mac: try number.map { try TenantSite.mac(1, $0) } ?? TenantSite.mac(9, 1), tap: tap)
              }
              machines["m1"]?.configure("10.1.0.11/24", gateway: "10.1.0.1")
              machines["m2"]?.configure("10.2.0.11/24", gateway: "10.2.0.1")
              machines["outside"]?.configure("\(TenantSite.outside)/24")
              try await body(leaf, ovn, chassis, machines, MachineRoom(machines: Array(machines.values)))
            }
          }
        }
      }
    }
  }

  @Test(.enabled(if: isSlow), arguments: [true, false])
  func anotherChassisTakesOverInFiveSeconds(isKilled: Bool) async throws {
    try await Self.withThreeChassis { leaf, ovn, chassis, machines, room in
      var site = try TenantSite()
      let m1 = try #require(machines["m1"]), m2 = try #require(machines["m2"])
      let outside = try #require(machines["outside"])
      try site.float("203.0.113.50", to: "10.1.0.11")
      let driver = try ovn.driver(chassis: chassis.map(\.name), seesSouth: true)
      try await driver.apply(site.topology)
      // (tunnels and their supervision come up after the configuration was taken)
      var isUp = false
      for _ in 0..<40 where !isUp { isUp = try await room.asks(outside, "203.0.113.50", tries: 1) != nil }
      try #require(isUp)

      // Whoever it is routed for, the router's frames come from one chassis: its switch learns its place once.
      for _ in 0..<20 {
        #expect(try await room.asks(m1, "10.2.0.11", tries: 1) == "m2 hears 10.1.0.11")
        #expect(try await room.asks(m2, TenantSite.outside, tries: 1) == "outside hears 203.0.113.11")
        let table = try await runChecked("ovs-appctl", ["-t", leaf.controlSocket, "fdb/show", leaf.bridge]).text
        let routers = table.split(separator: "\n").filter {
          $0.contains("fa:16:3e:00:02:") || $0.contains("fa:16:3e:00:03:01")
        }
        #expect(Set(routers.compactMap { $0.split(separator: " ").first }).count == 1)
      }

      // The chassis that carries everything goes.
      if isKilled { try await chassis[0].kill(ovn) } else { try await chassis[0].unplug(leaf) }
      var last = ContinuousClock.now
      var longest = Duration.zero
      let end = last + .seconds(12)
      while ContinuousClock.now < end {
        if try await room.asks(outside, "203.0.113.50", tries: 1) != nil {
          longest = max(longest, ContinuousClock.now - last)
          last = .now
        }
      }
      print("taken over (\(isKilled ? "killed" : "unplugged")): longest gap \(longest)")
      #expect(longest < .seconds(5) && ContinuousClock.now - last < .seconds(1))
      #expect(try await room.asks(m2, TenantSite.outside) == "outside hears 203.0.113.11")

      // A change is in force although one chassis will never take it.
      try site.float("203.0.113.50", to: "10.2.0.11")
      let start = ContinuousClock.now
      try await driver.apply(site.topology)
      #expect(ContinuousClock.now - start < .seconds(3))
      #expect(try await room.asks(outside, "203.0.113.50") == "m2 hears \(TenantSite.outside)")
      // Who does not see the southbound database waits for all of them.
      if isKilled {
        try site.float("203.0.113.50", to: "10.1.0.11")
        await #expect(throws: DriverError.self) {
          try await ovn.driver(chassis: chassis.map(\.name), limit: .seconds(1)).apply(site.topology)
        }
      }
    }
  }
}
