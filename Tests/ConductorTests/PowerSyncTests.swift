import Domain
import FakeDriver
import Store
import TestSupport
import Testing
import Wire

@testable import Conductor

/// What the database says of a machine's power follows the machine, whoever switched it.
@Suite struct PowerSyncTests {
  /// A node that is `active` and on, with a lease; no workflow runs.
  private func withSite(_ parts: SiteParts = SiteParts(), _ body: @escaping @Sendable (CrashSite) async throws -> Void)
    async throws
  {
    try await withFolder("power-sync") { folder in
      let site = try CrashSite(folder: folder, options: [:], parts: parts)
      _ = try await site.play(.reboot)
      try await body(site)
      site.database.close()
    }
  }
  private func node(_ site: CrashSite) async throws -> Node {
    try #require(try await site.database.read { try NodeStore.get(CrashSite.node, in: $0) })
  }
  private func history(_ site: CrashSite) async throws -> [String] {
    try await site.database.read { try NodeStore.events(NodeEventFilter(node: CrashSite.node), in: $0) }.map(\.event)
  }

  @Test func whatIsAsItWasIsNotWritten() async throws {
    try await withSite { site in
      let before = try await node(site)
      #expect(before.powerState == .on)
      try await site.conductor.syncPower(.answering)
      #expect(try await node(site) == before)
    }
  }

  @Test func aMachineThatSomebodySwitchedOffIsShownOff() async throws {
    try await withSite { site in
      try site.world.ensure("power/n1", "power off")
      try await site.conductor.syncPower(.answering)
      let after = try await node(site)
      #expect(after.powerState == .off && after.fault == nil)
      #expect(try await history(site).first == "Power was power on and is power off, without us.")
      #expect(site.world.value("power/n1") == "power off", "it was switched on again")
    }
  }

  @Test func aControllerThatDoesNotAnswerThreeTimesIsAFaultAndEndsWithTheAnswer() async throws {
    try await withSite { site in
      let lease = Lease(
        uuid: Identifier.uuid(), projectID: "tenant", ownerID: "p", resourceUUID: CrashSite.node,
        time: TimeRange(CrashSite.now() - .seconds(1), CrashSite.now() + .seconds(3600)), createdAt: CrashSite.now())
      try await site.database.write { session in
        try LeaseStore.insert(lease, in: session)
        try LeaseStore.setActive(lease.uuid, at: CrashSite.now(), in: session)
        try change(CrashSite.node, session) { $0.leaseUUID = lease.uuid }
      }
      try site.world.ensure("fault/observe-power", "unreachable: no answer from 192.0.2.7")
      try await site.conductor.syncPower(.answering)
      for _ in 0..<2 {
        let still = try await node(site)
        #expect(still.fault == nil && still.powerState == .on)
        // It is the other round's now.
        try await site.conductor.syncPower(.answering)
        try await site.conductor.syncPower(.silent)
      }
      let broken = try await node(site)
      #expect(broken.fault == "power failure" && broken.maintenance && broken.powerState == nil)
      #expect(broken.maintenanceReason?.whole.contains("192.0.2.7") == true)
      #expect(broken.maintenanceReason?.sentence.contains("192.0.2.7") == false)
      _ = try await site.conductor.runLeases()
      var told = try #require(try await site.database.read { try LeaseStore.get(lease.uuid, in: $0) })
      #expect(told.status == .error && told.statusReason?.contains("could not be read 3 times") == true)

      try site.world.ensure("fault/observe-power", nil)
      try await site.conductor.syncPower(.silent)
      let whole = try await node(site)
      #expect(whole.fault == nil && !whole.maintenance && whole.maintenanceReason == nil && whole.powerState == .on)
      _ = try await site.conductor.runLeases()
      told = try #require(try await site.database.read { try LeaseStore.get(lease.uuid, in: $0) })
      #expect(told.status == .active && told.statusReason == nil)
      #expect(try await history(site).contains("The controller answers again."))
    }
  }

  @Test func anAdministratorsMaintenanceIsLeftAsItIs() async throws {
    try await withSite { site in
      try await site.database.write { session in
        try change(CrashSite.node, session) { node in
          node.maintenance = true
          node.maintenanceReason = "New memory."
        }
      }
      let before = try await node(site)
      try site.world.ensure("fault/observe-power", "unreachable: no answer")
      try await site.conductor.syncPower(.answering)
      for _ in 0..<4 { try await site.conductor.syncPower(.silent) }
      #expect(try await node(site) == before)
      try site.world.ensure("fault/observe-power", nil)
      try await site.conductor.syncPower(.silent)
      #expect(try await node(site) == before)
    }
  }

  @Test func aMaintenanceThatAnAdministratorTakesOverStays() async throws {
    try await withSite { site in
      try site.world.ensure("fault/observe-power", "unreachable: no answer")
      try await site.conductor.syncPower(.answering)
      for _ in 0..<2 { try await site.conductor.syncPower(.silent) }
      #expect(try await node(site).fault == "power failure")
      try await site.database.write { session in
        try change(CrashSite.node, session) { $0.maintenanceReason = "Waiting for a new board." }
      }
      try site.world.ensure("fault/observe-power", nil)
      try await site.conductor.syncPower(.silent)
      let after = try await node(site)
      #expect(
        after.fault == nil && after.maintenance && after.maintenanceReason?.sentence == "Waiting for a new board.")
    }
  }

  @Test func whatTheSiteItselfLacksIsNoSilence() async throws {
    try await withSite { site in
      try site.world.ensure("fault/observe-power", "misconfigured: there is no ipmitool")
      for _ in 0..<4 {
        try await site.conductor.syncPower(.answering)
        try await site.conductor.syncPower(.silent)
      }
      let after = try await node(site)
      #expect(after.fault == nil && !after.maintenance && after.powerState == .on)
    }
  }

  @Test func aSilentControllerHoldsUpNobody() async throws {
    try await withFolder("power-sync") { folder in
      var parts = SiteParts()
      parts.hardware = try FakeHardware(file: "\(folder)/fake-hardware")
      parts.secrets = []
      parts.node = { node in
        node.driver = "fake-hardware"
        node.driverInfo = ["fake_power_fault": "unreachable: no answer"]
        node.provisionState = .available
      }
      let site = try CrashSite(folder: folder, options: [:], parts: parts)
      _ = try await site.play(.startLease)
      try await site.conductor.syncPower(.answering)
      // From now on it takes its time, too.
      let box = site.database.secrets
      try await site.database.write { session in
        try NodeStore.setDriverInfo(
          ["fake_power_fault": "unreachable: no answer", "fake_power_delay": 3600], of: CrashSite.node, secrets: [],
          box: box, in: session)
      }
      let silent = Task { try await site.conductor.syncPower(.silent) }
      let began = ContinuousClock.now
      try await site.conductor.syncPower(.answering)
      #expect(ContinuousClock.now - began < .seconds(60))
      silent.cancel()
      _ = try? await silent.value
      site.database.close()
    }
  }
}
