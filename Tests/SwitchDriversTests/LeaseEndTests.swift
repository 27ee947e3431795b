import Domain
import DriverInterfaces
import Glibc
import Processes
import Store
import TestSupport
import Testing
import Wire
import Workflows

@testable import Conductor
@testable import SwitchDrivers

/// A lease that ends on a real switch: when the switch is away, when it comes back with another past, and what the machine reaches meanwhile.
@Suite struct LeaseEndTests {
  private static let tenant = PortConfiguration(native: 205)

  private func withSite(
    taps: [String] = [], limit: Duration = .seconds(5),
    _ body: (VirtualSwitch, [String: Tap], WiredSite) async throws -> Void
  ) async throws {
    try await VirtualSwitch.with(taps: taps) { home, taps in
      if taps.isEmpty { try await home.addPorts(["n1"], type: "dummy") }
      try await withFolder("lease-end") { folder in
        let wired = try WiredSite(home, folder: folder, limit: limit)
        try await body(home, taps, wired)
        wired.database.close()
      }
    }
  }

  @Test(.timeLimit(.minutes(1))) func aSwitchThatIsAwayKeepsTheLeaseFromEndingUntilItIsBack() async throws {
    try await withSite(limit: .milliseconds(400)) { home, _, wired in
      try await home.driver().apply(["n1": Self.tenant], label: nil)
      // The switch is away before the lease ends.
      try await home.stopDatabase()
      let play = Task { try await wired.site.play(.endLease) }
      try await until("the switch was tried in vain") { try await wired.intent()?.state == .error }
      try await Task.sleep(for: .seconds(1))

      // The lessee has no access any more, and the end is not called done.
      let (node, lease) = (try #require(try await wired.node()), try #require(try await wired.lease()))
      #expect(node.lessee == nil && node.leaseUUID == nil)
      #expect(lease.status == .waitCancel)
      #expect(node.provisionState != .available)
      #expect(wired.site.world.value("disk/n1") != "zeros", "it goes on as if it were cut off")
      let open = try await wired.database.read { try WorkflowStore.open(in: $0) }
      #expect(open.map(\.kind) == ["end-lease"] && open.first?.state != .stuck)
      // And nobody gets the machine: the next lease waits, and says why.
      let next = Lease(
        uuid: Identifier.uuid(), projectID: "next", ownerID: "p", resourceUUID: CrashSite.node,
        time: TimeRange(CrashSite.now() - .seconds(1), CrashSite.now() + .seconds(3600)), status: .waitFulfill,
        createdAt: CrashSite.now())
      let obstacle = try await wired.database.read { try Conductor.obstacle(to: next, in: $0) }
      #expect(obstacle == "the node is being taken back and cleaned")
      await #expect(throws: StoreError.self, "two leases have the machine") {
        try await wired.database.write { session in
          try LeaseStore.insert(next, in: session)
        }
      }

      // It heals by itself.
      try await home.startDatabase()
      let report = try await play.value
      #expect(report["state"] == "available" && report["lease"] == "deleted", "\(report)")
      #expect(report["leftovers"] == [])
      #expect(try await home.driver().readPort("n1") == .quarantine)
      #expect(try await wired.intent()?.state == .inForce)
      let kinds = try await wired.database.read {
        try IsolationStore.list(lease: lease.uuid, in: $0).map(\.kind)
      }
      #expect(kinds.contains(.failure) && kinds.last == .end, "\(kinds)")
      #expect(kinds.firstIndex(of: .failure) ?? 0 < kinds.firstIndex(of: .readBack) ?? 0)
    }
  }

  @Test(.timeLimit(.minutes(1))) func abuse36_aSwitchThatComesBackWithItsOldConfigurationIsSetRightInOneAudit()
    async throws
  {
    try await withSite { home, _, wired in
      // What the switch keeps: the tenant's network on the machine's port. Then the lease ends.
      try await home.driver().apply(["n1": Self.tenant], label: nil)
      _ = try await runChecked("cp", ["\(home.folder)/conf.db", "\(home.folder)/old.db"])
      _ = try await wired.site.play(.endLease)
      #expect(try await home.driver().readPort("n1") == .quarantine)

      // act: it boots from that
      try await home.killDaemon()
      try await home.stopDatabase()
      _ = try await runChecked("mv", ["\(home.folder)/old.db", "\(home.folder)/conf.db"])
      try await home.startDatabase()
      try await home.startDaemon()
      #expect(try await home.driver().readPort("n1") == Self.tenant, "the scene: the old network is back")
      try await wired.conductor.repairSwitches()

      #expect(try await home.driver().readPort("n1") == .quarantine)
      var filter = EventStore.Filter()
      filter.type = "steelyard.switch_port.drift"
      let told = try await wired.database.read { [filter] in try EventStore.list(filter, in: $0) }
      #expect(told.map(\.detail) == ["switch tor-1 port n1 carried VLAN 205 instead of quarantine"])
    }
  }

  @Test(.timeLimit(.minutes(1))) func aSwitchThatIsRestartedOrChangedByHandIsSetRightWithoutWaitingForThePeriod()
    async throws
  {
    try await withSite { home, _, wired in
      _ = try await wired.site.play(.endLease)
      #expect(try await home.driver().readPort("n1") == .quarantine)
      // The period is a minute: what happens sooner is the watch's doing.
      let service = Task { try await SwitchAudit(conductor: wired.conductor).run() }
      let reader = try home.driver()
      try await until("the first audit") {
        try await wired.database.read { try SwitchAuditStore.lastReads(in: $0)["tor-1"] != nil }
      }
      for tag in [205, 206] {
        try await until("the watch is there and VLAN \(tag) is taken off") {
          try await home.vsctl(["set", "port", "n1", "vlan_mode=access", "tag=\(tag)", "trunks=[]", "protected=false"])
          try await Task.sleep(for: .milliseconds(300))
          return try await reader.readPort("n1") == .quarantine
        }
      }
      // Changed while nobody could watch.
      try await home.stopDatabase()
      try await home.startDatabase()
      try await home.vsctl(["set", "port", "n1", "vlan_mode=access", "tag=207", "trunks=[]", "protected=false"])
      try await until("the connection is back, and with it quarantine") {
        try await reader.readPort("n1") == .quarantine
      }
      service.cancel()
      _ = try? await service.value
    }
  }

  @Test(.timeLimit(.minutes(1))) func abuse38_betweenTwoTenantsAMachineReachesNobody() async throws {
    let names = ["n1", "a", "b", "prov", "witness-a", "witness-b"]
    try await withSite(taps: names) { home, taps, wired in
      let driver = try home.driver()
      try await driver.apply(
        [
          "n1": Self.tenant, "a": Self.tenant, "b": PortConfiguration(native: 206),
          "prov": PortConfiguration(native: 100), "witness-a": PortConfiguration(native: 999),
          "witness-b": PortConfiguration(native: 999),
        ], label: nil)
      let bench = PacketBench(taps, witness: ("witness-a", "witness-b"))
      #expect(try await bench.reach(from: "n1", vlans: [205, 206, 100]).keys.sorted() == ["a"], "the scene")
      // The machine cannot be erased, so it stays between its tenants.
      try wired.site.world.ensure("fault/agent-erase", "/dev/vda: input/output error")
      let report = try await wired.site.play(.endLease)
      #expect(report["state"] == "clean failed" && report["lease"] == "wait cancel")

      for sender in ["n1", "a", "b", "prov"] {
        let seen = try await bench.reach(from: sender, vlans: [205, 206, 100, 4095])
        #expect(sender == "n1" ? seen.isEmpty : seen["n1"] == nil, "\(sender): \(seen)")
      }
    }
  }
}
