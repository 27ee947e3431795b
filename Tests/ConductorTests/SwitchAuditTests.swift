import Domain
import DriverInterfaces
import Store
import TestSupport
import Testing
import Wire

@testable import Conductor

/// What the audit of the switches finds, sets right, tells and writes down.
@Suite struct SwitchAuditTests {
  private static let tenant = PortConfiguration(native: 205)
  private static let place = SwitchPort(switchName: "sw0", port: "n1")
  static let lease = "44444444-4444-4444-8444-444444444444"

  /// A machine on its tenant's network, leased, wired to port n1 of a switch; no workflow runs.
  private func withSite(
    _ others: [PlainSwitch] = [], _ body: @escaping @Sendable (CrashSite, PlainSwitch) async throws -> Void
  ) async throws {
    try await withFolder("switch-audit") { folder in
      let device = PlainSwitch("sw0", ["n1": .quarantine, "n2": .quarantine])
      var parts = SiteParts()
      parts.switches = { _ in PlainSwitches(all: [device] + others) }
      let site = try CrashSite(folder: folder, options: [:], parts: parts)
      _ = try await site.play(.attach)
      #expect(device["n1"] == Self.tenant)
      let now = CrashSite.now()
      let lease = Lease(
        uuid: Self.lease, projectID: "tenant", ownerID: "p", resourceUUID: CrashSite.node,
        time: TimeRange(now - .seconds(1), now + .seconds(3600)), createdAt: now)
      try await site.database.write { session in
        try LeaseStore.insert(lease, in: session)
        try LeaseStore.setActive(lease.uuid, at: now, in: session)
        try change(CrashSite.node, session) { node in
          node.leaseUUID = lease.uuid
          node.lessee = "tenant"
          node.owner = "p"
        }
      }
      try await body(site, device)
      site.database.close()
    }
  }
  private func intent(_ site: CrashSite) async throws -> SwitchPortStore.Intent {
    try #require(try await site.database.read { try SwitchPortStore.get(Self.place, in: $0) })
  }
  private func records(_ site: CrashSite) async throws -> [IsolationRecord] {
    try await site.database.read { try IsolationStore.list(lease: Self.lease, in: $0) }
  }
  private func events(_ site: CrashSite) async throws -> [LeaseEvent] {
    try await site.database.read { try EventStore.list(EventStore.Filter(), in: $0) }.filter {
      $0.type.hasPrefix("steelyard.")
    }
  }
  private func runs(_ site: CrashSite, _ name: String = "sw0") async throws -> [SwitchAuditRun] {
    try await site.database.read {
      try SwitchAuditStore.runs(name, during: TimeRange(Timestamp(seconds: 0), .distantFuture), in: $0)
    }
  }

  @Test(arguments: [
    PortConfiguration(native: 666), PortConfiguration(native: 205, tagged: [206]), .quarantine,
    PortConfiguration(native: 0, tagged: Array(1...4094)),
  ])
  func abuse36_whatSomebodyElseSetsIsSetRightAndAlarmed(stray: PortConfiguration) async throws {
    try await withSite { site, device in
      device.set("n1", stray)
      try await site.conductor.repairSwitches()

      #expect(device["n1"] == Self.tenant)
      #expect(try await intent(site).state == .inForce)
      let told = try await events(site)
      #expect(told.map(\.type) == ["steelyard.switch_port.drift"])
      #expect(
        told.first?.resourceUUID == CrashSite.node && told.first?.lesseeID == "tenant" && told.first?.ownerID == "p")
      #expect(told.first?.detail == "switch sw0 port n1 carried \(stray.words) instead of VLAN 205")
      let history = try await site.database.read { try NodeStore.events(NodeEventFilter(node: CrashSite.node), in: $0) }
      #expect(history.first?.event.contains("changed without us") == true && history.first?.severity == "ERROR")
      let noted = try await records(site)
      #expect(noted.map(\.kind) == [.drift, .readBack])
      #expect(noted.first?.data["found"] == stray.shown && noted.first?.data["wanted"] == Self.tenant.shown)
      #expect(noted.last?.data["found"] == Self.tenant.shown)
      let findings = try await site.conductor.examineSwitches()
      #expect(findings.contains { $0.hasPrefix("switch sw0 port n1 carried \(stray.words) instead of VLAN 205 at ") })

      // Once is enough.
      try await site.conductor.repairSwitches()
      #expect(try await events(site).count == 1)
      #expect(try await records(site).count == 2)
    }
  }

  @Test func anAuditThatFindsNothingWritesOneRowForTheWholeSwitch() async throws {
    try await withSite { site, device in
      let before = try await intent(site)
      for _ in 0..<3 { try await site.conductor.repairSwitches() }
      #expect(try await intent(site) == before)
      #expect(try await records(site).isEmpty)
      let runs = try await runs(site)
      #expect(runs.map(\.count) == [3] && device.with { $0.reads } == 3, "one read for each audit: \(runs)")
    }
  }

  @Test func aLongPauseBeginsAnotherRun() async throws {
    try await withSite { site, _ in
      let begin = CrashSite.now()
      let times = [0, 60, 125, 400, 460].map { begin + .seconds($0) }
      for time in times {
        try await site.database.write {
          try SwitchAuditStore.record("sw9", at: time, pause: .seconds(120), in: $0)
        }
      }
      let runs = try await runs(site, "sw9")
      #expect(runs.map(\.count) == [3, 2])
      #expect(runs.map(\.longestPause) == [.seconds(65), .seconds(60)])
      #expect(runs.map(\.time) == [TimeRange(times[0], times[2]), TimeRange(times[3], times[4])])
    }
  }

  @Test func aPortThatChangesHandsDuringAnAuditIsNotTakenForWhatItWas() async throws {
    try await withSite { site, device in
      // The audit has read the old network; then the port is wanted in quarantine, and the switch is told later.
      try await site.database.write { session in
        try SwitchPortStore.record(.error, Self.place, detail: "a failure before", at: CrashSite.now(), in: session)
      }
      device.with {
        $0.meanwhile = { [site] in
          try await site.database.write {
            try SwitchPortStore.want(.quarantine, on: Self.place, label: "w/s", at: CrashSite.now(), in: $0)
          }
        }
      }
      try await site.conductor.repairSwitches()
      #expect(try await intent(site).state == .pending, "quarantine is called in force, and the port has the network")
      #expect(try await events(site).isEmpty)
      // Nobody brought it about: the next audit does, without an alarm.
      try await site.conductor.repairSwitches()
      #expect(device["n1"] == .quarantine)
      #expect(try await intent(site).state == .inForce)
      #expect(try await events(site).isEmpty)
    }
  }

  @Test func abuse38_aMachinesPortThatNobodyAskedAnythingOfIsQuarantined() async throws {
    try await withSite { site, device in
      device.set("n2", PortConfiguration(native: 0, tagged: Array(1...4094)))
      try await site.database.write { session in
        var port = Port(
          uuid: Identifier.uuid(), nodeUUID: CrashSite.node, address: "52:54:00:00:00:02", createdAt: CrashSite.now())
        port.localLinkConnection = ["switch_info": "sw0", "port_id": "n2"]
        try PortStore.insert(port, in: session)
      }
      try await site.conductor.repairSwitches()
      #expect(device["n2"] == .quarantine)
      #expect(try await events(site).isEmpty, "a new port is no drift")
    }
  }

  @Test func aStrangersPortOnANetworkOfThisSiteIsTheDoctorsToTell() async throws {
    try await withSite { site, device in
      #expect(try await site.conductor.examineSwitches().isEmpty)
      device.set("x7", Self.tenant)
      device.set("x8", PortConfiguration(native: 999))
      device.set("x9", PortConfiguration(native: 0, tagged: Array(1...4094)))
      try await site.conductor.repairSwitches()
      #expect(device["x7"] == Self.tenant, "what is not ours is not touched")
      let findings = try await site.conductor.examineSwitches()
      #expect(findings.count == 2)
      #expect(
        findings.first?.hasPrefix("switch sw0 port x7 is no machine's and carries VLAN 205 of network net (") == true)
      #expect(
        findings.last?.hasPrefix(
          "switch sw0 port x9 is no machine's and carries 2 VLANs of this site, such as VLAN 100") == true)
    }
  }

  @Test func aSwitchThatDoesNotAnswerIsToldOnceAndWhenItIsBack() async throws {
    try await withSite { site, device in
      device.with { $0.fault = .unreachable }
      for _ in 0..<5 { try await site.conductor.repairSwitches() }
      let told = try await events(site)
      #expect(told.map(\.type) == ["steelyard.switch.unreachable"])
      #expect(told.first?.objectUUID == "sw0" && told.first?.lesseeID == nil && told.first?.ownerID == nil)
      #expect(told.first?.detail?.contains("10.9.8.7") == true)
      #expect(try await site.conductor.examineSwitches().contains { $0.hasPrefix("switch sw0 cannot be read: ") })
      // What was done to it meanwhile is found at once.
      device.set("n1", PortConfiguration(native: 666))
      device.with { $0.fault = nil }
      try await site.conductor.repairSwitches()
      #expect(device["n1"] == Self.tenant)
      #expect(
        try await events(site).map(\.type)
          == ["steelyard.switch.unreachable", "steelyard.switch.reachable", "steelyard.switch_port.drift"])
    }
  }

  @Test func aSlowSwitchHoldsUpNoOther() async throws {
    // More of them than any pool has places.
    let slow = (1...40).map { PlainSwitch("slow\($0)", ["p": .quarantine]) }
    for device in slow { device.with { $0.delay = .seconds(3600) } }
    try await withSite(slow) { site, device in
      try await site.database.write { session in
        for device in slow {
          try SwitchPortStore.want(
            .quarantine, on: SwitchPort(switchName: device.name, port: "p"), label: nil, at: CrashSite.now(),
            in: session)
        }
      }
      let service = Task { try await SwitchAudit(conductor: site.conductor).run() }
      for round in 0..<3 {
        device.set("n1", PortConfiguration(native: 600 + round))
        site.conductor.wakeups.signal(Conductor.auditName("sw0"))
        #expect(try await eventually { device["n1"] == Self.tenant ? true : nil } == true, "round \(round)")
      }
      service.cancel()
      _ = try? await service.value
    }
  }
}
