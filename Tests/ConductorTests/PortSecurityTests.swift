import Domain
import DriverInterfaces
import Store
import TestSupport
import Testing
import Wire

@testable import Conductor

/// Port security and security groups of attached network ports: what the switch is told, and what is refused where it cannot.
@Suite struct PortSecurityTests {
  /// The machine's network port with port security and one group, in the transaction that has the switch follow.
  private func secure(_ site: CrashSite, rules: [SecurityGroupRule] = []) async throws {
    let conductor = site.conductor
    try await site.database.write { session in
      guard var port = try NetworkPortStore.get(CrashSite.vif, in: session) else { return }
      if try SecurityGroupStore.get("group", in: session) == nil {
        try SecurityGroupStore.insert(
          SecurityGroup(id: "group", projectID: "p", name: "web", createdAt: port.createdAt), in: session)
      }
      for rule in rules { try SecurityGroupRuleStore.insert(rule, in: session) }
      port.isPortSecurityEnabled = true
      port.securityGroupIDs = ["group"]
      try SecurityGroupStore.setGroups(of: port, in: session)
      try NetworkPortStore.update(&port, at: port.createdAt, in: session)
      try conductor.networksChanged([port.id], in: session)
    }
  }
  private func status(_ site: CrashSite) async throws -> NetworkPort.Status? {
    try await site.database.read { try NetworkPortStore.get(CrashSite.vif, in: $0)?.status }
  }
  /// What the switch filters the machine by.
  private func filter(_ site: CrashSite) async throws -> AccessList? {
    try await WorldSwitch(site.world).readPort("n1").accessLists[CrashSite.tenantVLAN]
  }
  private static let own = MACAddress(CrashSite.mac.description).map { AccessList.Source(mac: $0, block: nil) }
  private static func web(_ port: Int) -> SecurityGroupRule {
    SecurityGroupRule(
      groupID: "group", projectID: "p", direction: .ingress, version: 4, protocolName: "tcp", portMinimum: port,
      portMaximum: port, createdAt: CrashSite.now())
  }
  private static func list(_ ports: Int...) -> AccessList {
    AccessList(
      sources: [own].compactMap { $0 },
      rules: ports.map {
        AccessList.Rule(direction: .ingress, version: 4, protocolNumber: 6, minimum: $0, maximum: $0)
      })
  }

  @Test func aSwitchThatCannotFilterIsNotGivenWhatIsFiltered() async throws {
    try await withFolder("port-security") { folder in
      let site = try CrashSite(folder: folder, options: [:])
      _ = try await site.play(.attach)

      // A port that is attached gets none, and nothing of the change stays.
      let late = await #expect(throws: ConductorError.self) { try await secure(site) }
      #expect(late?.code == .conflict && late?.description.contains("cannot filter") == true)
      #expect(try await status(site) == .active)
      #expect(try await site.database.read { try SecurityGroupStore.get("group", in: $0) } == nil)

      // One that has it is not attached.
      let conductor = site.conductor
      let early = await #expect(throws: ConductorError.self) {
        try await site.database.write { session in
          guard var nic = try PortStore.byAddress(CrashSite.mac, in: session),
            var node = try NodeStore.get(CrashSite.node, in: session),
            var port = try NetworkPortStore.get(CrashSite.vif, in: session)
          else { return }
          nic.vifPortID = nil
          try PortStore.update(nic, in: session)
          port.isPortSecurityEnabled = true
          try NetworkPortStore.update(&port, at: port.createdAt, in: session)
          try conductor.attachVIF(
            networkPortID: port.id, node: &node, by: .system, in: session)
        }
      }
      #expect(early?.code == .conflict && early?.description.contains("--disable-port-security") == true)

      // A switch that could and cannot any more is not told to connect the machine without its filter.
      try site.world.ensure("switch-filters", "on")
      try await secure(site)
      try site.world.ensure("switch-filters", nil)
      try site.world.ensure("switch/n1", nil)
      try await site.conductor.rewire()
      #expect(site.world.value("switch/n1") == nil)
      #expect(try await status(site) == .build)
      let intent = try await site.database.read {
        try SwitchPortStore.get(SwitchPort(switchName: "sw0", port: "n1"), in: $0)
      }
      #expect(intent?.state == .error && intent?.detail?.contains("no access lists") == true)
      site.database.close()
    }
  }

  @Test func theSwitchFiltersByTheGroupsAndADriftIsRepaired() async throws {
    try await withFolder("port-security") { folder in
      let site = try CrashSite(folder: folder, options: [:])
      try site.world.ensure("switch-filters", "on")
      _ = try await site.play(.attach)
      #expect(try await filter(site) == nil)

      try await secure(site, rules: [Self.web(80)])
      #expect(try await status(site) == .build)
      try await site.conductor.rewire()
      #expect(try await status(site) == .active)
      #expect(try await filter(site) == Self.list(80))
      let kept = try await site.database.read {
        try SwitchPortStore.get(SwitchPort(switchName: "sw0", port: "n1"), in: $0)
      }
      #expect(kept?.configuration.accessLists == [CrashSite.tenantVLAN: Self.list(80)] && kept?.state == .inForce)

      // A hand takes it off, or changes it.
      for drift in [nil, AccessList(sources: [], rules: []).json.description] {
        try site.world.ensure("acl/n1", drift)
        try await site.conductor.repairSwitches()
        #expect(try await filter(site) == Self.list(80))
      }
      // The lease ends: quarantine, and nothing of the filter.
      try await site.conductor.parts.applyNetworks(.quarantine, node: CrashSite.node, label: nil)
      #expect(site.world.value("switch/n1") == nil && site.world.value("acl/n1") == nil)
      site.database.close()
    }
  }

  @Test func aServerThatIsKilledAfterAChangeOfRulesGoesOnWithIt() async throws {
    try await withFolder("port-security") { folder in
      let first = try CrashSite(folder: folder, options: [:])
      try first.world.ensure("switch-filters", "on")
      _ = try await first.play(.attach)
      try await secure(first, rules: [Self.web(80)])
      try await first.conductor.rewire()
      try first.world.ensure("fault/switch", "unreachable: no answer")
      try await secure(first, rules: [Self.web(443)])
      try await first.conductor.rewire()
      #expect(try await filter(first) == Self.list(80))
      first.database.close()

      let second = try CrashSite(folder: folder, options: [:])
      #expect(try await status(second) == .build)
      try second.world.ensure("fault/switch", nil)
      try await second.conductor.rewire()
      #expect(try await status(second) == .active)
      #expect(try await filter(second) == Self.list(80, 443))
      second.database.close()
    }
  }
}
