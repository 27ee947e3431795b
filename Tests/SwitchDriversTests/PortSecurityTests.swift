import Domain
import Processes
import Store
import TestSupport
import Testing
import Wire

@testable import Conductor
@testable import SwitchDrivers

/// The conductor and a real switch: from a security group in the database to packets, and back to order after a hand on the
/// switch.
@Suite struct PortSecurityTests {
  @Test func whatAHandTakesOffTheSwitchIsPutBack() async throws {
    try await VirtualSwitch.with(taps: ["n1", "b", "w1", "w2"]) { home, taps in
      let folder = try makeTemporaryFolder("port-security")
      let driver = try home.driver()
      try await driver.apply(
        [
          "b": PortConfiguration(native: CrashSite.tenantVLAN), "w1": PortConfiguration(native: 999),
          "w2": PortConfiguration(native: 999),
        ], label: nil)
      let switches = try Switches(
        [
          SwitchConfiguration(
            name: "sw0", endpoint: "unix:\(home.databaseSocket)", bridge: home.bridge, control: home.controlSocket)
        ], logger: .init(label: "test"))
      var parts = SiteParts()
      parts.switches = { _ in switches }
      let site = try CrashSite(folder: folder, options: [:], parts: parts)
      _ = try await site.play(.attach)
      let conductor = site.conductor
      let machine = TapMachine(try #require(taps["n1"]), 1, mac: [0x52, 0x54, 0, 0, 0, 1])
      let other = TapMachine(try #require(taps["b"]), 2)
      let room = Room(
        home: home, driver: driver, a: machine, b: other,
        witnesses: (try #require(taps["w1"]), try #require(taps["w2"])))
      func isAsItShouldBe() async throws -> Bool {
        let ssh = try await room.passes(MachinePacket.tcp(other, to: machine, (1001, 22), .syn), other, machine)
        let web = try await room.passes(MachinePacket.tcp(other, to: machine, (1001, 80), .syn), other, machine)
        let forged = try await room.passes(
          MachinePacket.arp(machine, mac: Frame.mac(9)), machine, other)
        return ssh && !web && !forged
      }
      #expect(try await !isAsItShouldBe(), "everything passes at first")

      // act: a group for SSH alone
      try await site.database.write { session in
        guard var port = try NetworkPortStore.get(CrashSite.vif, in: session) else { return }
        try SecurityGroupStore.insert(
          SecurityGroup(
            id: "g", projectID: "p", name: "ssh",
            rules: [
              SecurityGroupRule(
                groupID: "g", projectID: "p", direction: .ingress, version: 4, protocolName: "tcp", portMinimum: 22,
                portMaximum: 22, createdAt: port.createdAt)
            ], createdAt: port.createdAt), in: session)
        port.isPortSecurityEnabled = true
        port.securityGroupIDs = ["g"]
        try SecurityGroupStore.setGroups(of: port, in: session)
        try NetworkPortStore.update(&port, at: port.createdAt, in: session)
        try conductor.networksChanged([port.id], in: session)
      }
      try await conductor.rewire()
      #expect(try await isAsItShouldBe())
      #expect(try await site.database.read { try NetworkPortStore.get(CrashSite.vif, in: $0)?.status } == .active)

      // act: hands, and a daemon that starts again
      let hands: [() async throws -> Void] = [
        { try await home.ofctl(["del-flows", "table=6"], on: "br0-acl") },
        { try await home.ofctl(["add-flow", "priority=65000,actions=all"], on: "br0-acl") },
        {
          try await home.killDaemon()
          try await home.startDaemon()
        },
      ]
      for (number, hand) in hands.enumerated() {
        try await hand()
        // What passed a moment ago may go on in the datapath for another.
        try await until("hand \(number) shows") { try await !isAsItShouldBe() }
        try await conductor.repairSwitches()
        #expect(try await isAsItShouldBe(), "after hand \(number)")
      }
      site.database.close()
      _ = try await run("rm", ["-rf", folder])
    }
  }
}
