import Domain
import DriverInterfaces
import Store
import TestSupport
import Testing
import Wire

@testable import Conductor

/// Cables that end elsewhere than is recorded: whatever boots the agent looks, and nobody gets such a machine.
@Suite struct WiringTests {
  private func port(_ site: CrashSite) async throws -> Port {
    try #require(try await site.database.read { try PortStore.byAddress(CrashSite.mac, in: $0) })
  }
  private func lease(_ site: CrashSite) -> Lease {
    Lease(
      uuid: Identifier.uuid(), projectID: "next", ownerID: "p", resourceUUID: CrashSite.node,
      time: TimeRange(CrashSite.now() - .seconds(1), CrashSite.now() + .seconds(3600)), status: .waitFulfill,
      createdAt: CrashSite.now())
  }
  private func obstacle(_ site: CrashSite) async throws -> String? {
    let lease = lease(site)
    return try await site.database.read { try Conductor.obstacle(to: lease, in: $0) }
  }
  private func told(_ site: CrashSite) async throws -> [String?] {
    var filter = EventStore.Filter()
    filter.type = "steelyard.switch_port.miswired"
    return try await site.database.read { [filter] in try EventStore.list(filter, in: $0).map(\.detail) }
  }
  private func history(_ site: CrashSite) async throws -> [NodeStore.Event] {
    try await site.database.read { try NodeStore.events(NodeEventFilter(node: CrashSite.node), in: $0) }
      .filter { $0.type == "wiring" }
  }
  /// `manage` and `provide`, each in another life of the server.
  private func cleanAgain(_ site: inout CrashSite, _ folder: String) async throws {
    for verb in [ProvisionVerb.manage, .provide] {
      site.database.close()
      site = try CrashSite(folder: folder, options: [:])
      let report = try await site.ask(verb)
      #expect(report["last_error"] == .null, "\(verb): \(report)")
    }
  }
  private static let problem =
    "NIC 52:54:00:00:00:01 is recorded on switch sw0 port n1 and hears switch sw0 port n7 by LLDP"

  @Test func cleaningAfterALeaseNamesItAndTheNextLeaseWaits() async throws {
    try await withFolder("wiring") { folder in
      var site = try CrashSite(folder: folder, options: [:])
      try site.world.ensure("lldp/n1", "n7")
      let report = try await site.play(.endLease)
      // The disks are empty; the machine is nobody's fault but the cable's.
      #expect(report["state"] == "available" && report["lease"] == "deleted", "\(report)")
      #expect(try await port(site).wiringProblem == Self.problem)
      #expect(try await told(site) == [Self.problem])
      let events = try await history(site)
      #expect(events.count == 1 && events.first?.severity == "ERROR")
      #expect(events.first?.event.contains(Self.problem) == true)
      #expect(try await obstacle(site)?.contains(Self.problem) == true)
      let findings = try await site.conductor.examine()
      #expect(findings.contains { $0.contains("wrong cabling: \(Self.problem)") }, "\(findings)")

      // A look that hears the same tells it no second time; one that hears nothing changes nothing.
      try await cleanAgain(&site, folder)
      #expect(try await told(site).count == 1)
      let parts = site.conductor.parts
      try await site.database.write { session in
        try parts.compareWiring(
          [["mac": .string(CrashSite.mac), "lldp": nil]], of: CrashSite.node, at: CrashSite.now(), in: session)
      }
      #expect(try await port(site).wiringProblem == Self.problem)

      // act: the cable is put right, and the machine cleaned again
      try site.world.ensure("lldp/n1", "n1")
      try await cleanAgain(&site, folder)
      #expect(try await port(site).wiringProblem == nil)
      #expect(try await obstacle(site) == nil)
      #expect(try await history(site).map(\.severity).sorted() == ["ERROR", "INFO"])
      #expect(try await !site.conductor.examine().contains { $0.contains("wrong cabling") })
      site.database.close()
    }
  }

  @Test func aDeploymentThatHearsItFailsBeforeTheTenantsNetworkIsOnTheWrongPort() async throws {
    try await withFolder("wiring") { folder in
      var site = try CrashSite(folder: folder, options: [:])
      try site.world.ensure("lldp/n1", "n7")
      let report = try await site.play(.deploy)
      #expect(report["state"] == "deploy failed", "\(report)")
      #expect(report["last_error"]?.string?.contains("wrong cabling: \(Self.problem)") == true)
      #expect(report["leftovers"] == [])
      #expect(site.world.value("switch/n1") == nil)
      #expect(
        report["ledger"]?.array?.contains { $0.string?.contains("205") == true } != true, "\(report["ledger"] ?? .null)"
      )

      try site.world.ensure("lldp/n1", "n1")
      site.database.close()
      site = try CrashSite(folder: folder, options: [:])
      let mended = try await site.ask(.active)
      #expect(mended["state"] == "active" && site.world.value("switch/n1") == "205", "\(mended)")
      site.database.close()
    }
  }

  @Test func inspectionNamesItAndAttachingIsRefused() async throws {
    try await withFolder("wiring") { folder in
      let site = try CrashSite(folder: folder, options: [:])
      try site.world.ensure("lldp/n1", "n7")
      let report = try await site.play(.inspect)
      #expect(report["state"] == "manageable")
      #expect(try await told(site) == [Self.problem])
      let conductor = site.conductor
      let refused = await #expect(throws: ConductorError.self) {
        try await site.database.write { session in
          var node = try #require(try NodeStore.get(CrashSite.node, in: session))
          try conductor.attachVIF(networkPortID: CrashSite.vif, node: &node, by: .system, in: session)
        }
      }
      #expect(refused?.code == .conflict && refused?.description.contains(Self.problem) == true)
      site.database.close()
    }
  }

  @Test func aPortThatIsRecordedAsAnotherNICsIsNotLearnt() async throws {
    try await withFolder("wiring") { folder in
      let site = try CrashSite(folder: folder, options: [:])
      _ = try await site.play(.inspect)
      let parts = site.conductor.parts
      let lldp: JSON = ["chassis_id": "sw0", "port_id": "n1", "system_name": "sw0"]
      let inventory: JSON = ["interfaces": [["mac": "52:54:00:00:00:77", "lldp": lldp]]]
      for _ in 0..<2 {
        try await site.database.write { session in
          try parts.recordInventory(inventory, of: CrashSite.node, at: CrashSite.now(), in: session)
        }
      }
      let found = try await site.database.read { try PortStore.byAddress("52:54:00:00:00:77", in: $0) }
      let learnt = try #require(found)
      #expect(learnt.localLinkConnection.isEmpty)
      #expect(learnt.wiringProblem?.contains("recorded as that of NIC \(CrashSite.mac)") == true)
      #expect(try await history(site).count == 1)
      #expect(try await port(site).wiringProblem == nil)
      site.database.close()
    }
  }
}
