import Domain
import DriverInterfaces
import Store
import Synchronization
import TestSupport
import Testing
import Wire

@testable import Conductor

/// What `admin_state_up` of an attached network port, and of its network, does to the switch and to the port's status.
@Suite struct NetworkStateTests {
  private struct Shown: Equatable {
    var status: String?
    /// What the switch carries on the machine's port; nil in quarantine.
    var vlan: String?
  }
  private func shown(_ site: CrashSite) async throws -> Shown {
    let port = try await site.database.read { try NetworkPortStore.get(CrashSite.vif, in: $0) }
    return Shown(status: port?.status.rawValue, vlan: site.world.value("switch/n1"))
  }
  /// As the network service does it: the change and the request to follow are one transaction.
  private func setPort(_ isUp: Bool, _ site: CrashSite) async throws {
    let conductor = site.conductor
    try await site.database.write { session in
      guard var port = try NetworkPortStore.get(CrashSite.vif, in: session) else { return }
      port.isAdminStateUp = isUp
      try NetworkPortStore.update(&port, at: port.createdAt, in: session)
      try conductor.networksChanged([port.id], in: session)
    }
  }
  private func setNetwork(_ isUp: Bool, _ site: CrashSite) async throws {
    let conductor = site.conductor
    try await site.database.write { session in
      guard let port = try NetworkPortStore.get(CrashSite.vif, in: session),
        var network = try NetworkStore.get(port.networkID, in: session)
      else { return }
      network.isAdminStateUp = isUp
      try NetworkStore.update(&network, at: port.createdAt, in: session)
      try conductor.networksChanged([port.id], in: session)
    }
  }
  private func reserve(_ holder: String?, _ site: CrashSite) async throws {
    try await site.database.write { session in
      guard var node = try NodeStore.get(CrashSite.node, in: session) else { return }
      node.reservation = holder
      try NodeStore.update(node, in: session)
    }
  }

  @Test func aPortOrNetworkThatIsSwitchedOffTakesTheMachineOffTheVLAN() async throws {
    try await withFolder("network-state") { folder in
      let site = try CrashSite(folder: folder, options: [:])
      _ = try await site.play(.attach)
      #expect(try await shown(site) == Shown(status: "ACTIVE", vlan: "205"))

      for set in [setPort, setNetwork] {
        try await set(false, site)
        // Until the switch was told it is neither.
        #expect(try await shown(site) == Shown(status: "BUILD", vlan: "205"))
        try await site.conductor.rewire()
        #expect(try await shown(site) == Shown(status: "DOWN", vlan: nil))
        try await set(true, site)
        try await site.conductor.rewire()
        #expect(try await shown(site) == Shown(status: "ACTIVE", vlan: "205"))
      }
      // With one of the two off it is off.
      try await setPort(false, site)
      try await setNetwork(false, site)
      try await setPort(true, site)
      try await site.conductor.rewire()
      #expect(try await shown(site) == Shown(status: "DOWN", vlan: nil))
      site.database.close()
    }
  }

  @Test func aServerThatIsKilledAfterTheChangeGoesOnWithIt() async throws {
    try await withFolder("network-state") { folder in
      let first = try CrashSite(folder: folder, options: [:])
      _ = try await first.play(.attach)
      // A switch that obeys and does not answer, then no server any more.
      try first.world.ensure("fault/heard-switch", "unreachable: the connection broke")
      try await setPort(false, first)
      try await first.conductor.rewire()
      #expect(try await shown(first).status == "BUILD")
      first.database.close()

      let second = try CrashSite(folder: folder, options: [:])
      #expect(try await shown(second).status == "BUILD")
      try second.world.ensure("fault/heard-switch", nil)
      try await second.conductor.rewire()
      #expect(try await shown(second) == Shown(status: "DOWN", vlan: nil))
      #expect(try await second.conductor.leftovers().isEmpty)
      second.database.close()
    }
  }

  @Test func aSwitchThatDoesNotAnswerIsToldLater() async throws {
    try await withFolder("network-state") { folder in
      let site = try CrashSite(folder: folder, options: [:])
      _ = try await site.play(.attach)
      try site.world.ensure("fault/switch", "unreachable: no answer")
      try await setPort(false, site)
      try await site.conductor.rewire()
      #expect(try await shown(site) == Shown(status: "BUILD", vlan: "205"))
      try site.world.ensure("fault/switch", nil)
      try await site.conductor.rewire()
      #expect(try await shown(site) == Shown(status: "DOWN", vlan: nil))
      site.database.close()
    }
  }

  @Test func aMachineThatAWorkflowHoldsIsLeftAloneUntilItIsOver() async throws {
    try await withFolder("network-state") { folder in
      let site = try CrashSite(folder: folder, options: [:])
      _ = try await site.play(.attach)
      try await reserve("a-workflow", site)
      try await setPort(false, site)
      try await site.conductor.rewire()
      #expect(try await shown(site) == Shown(status: "BUILD", vlan: "205"))
      try await reserve(nil, site)
      try await site.conductor.rewire()
      #expect(try await shown(site) == Shown(status: "DOWN", vlan: nil))
      site.database.close()
    }
  }

  @Test func aPortThatIsDownIsAttachedAndStaysDown() async throws {
    try await withFolder("network-state") { folder in
      let before = try CrashSite(folder: folder, options: [:])
      _ = try await before.play(.detach)
      try await setPort(false, before)
      before.database.close()

      let site = try CrashSite(folder: folder, options: [:])
      let conductor = site.conductor
      try await site.database.write { session in
        guard var node = try NodeStore.get(CrashSite.node, in: session) else { return }
        try conductor.attachVIF(networkPortID: CrashSite.vif, node: &node, by: .system, in: session)
      }
      let report = try await site.play(nil)
      #expect(report["last_error"] == .null)
      #expect(try await shown(site) == Shown(status: "DOWN", vlan: nil))
      try await setPort(true, site)
      try await site.conductor.rewire()
      #expect(try await shown(site) == Shown(status: "ACTIVE", vlan: "205"))
      site.database.close()
    }
  }

  @Test func aDeploymentBringsUpWhatIsUp() async throws {
    try await withFolder("network-state") { folder in
      let site = try CrashSite(folder: folder, options: [:])
      _ = try await site.play(.deploy)
      #expect(try await shown(site) == Shown(status: "ACTIVE", vlan: "205"))
      try await setNetwork(false, site)
      try await site.conductor.rewire()
      site.database.close()

      let next = try CrashSite(folder: folder, options: [:])
      let report = try await next.ask(.rebuild)
      #expect(report["state"]?.string == "active")
      #expect(try await shown(next) == Shown(status: "DOWN", vlan: nil))
      next.database.close()
    }
  }

  /// Takes its time over the first change, in which the intent changes.
  private final class SlowSwitch: SwitchInterface, SwitchRegistry {
    let world: WorldSwitch
    let meanwhile: Mutex<(@Sendable () async throws -> Void)?>
    init(_ world: WorldSwitch) {
      self.world = world
      meanwhile = Mutex(nil)
    }
    var name: String { world.name }
    var capabilities: SwitchCapabilities { world.capabilities }
    var all: [any SwitchInterface] { [self] }
    func switchNamed(_ name: String) throws -> any SwitchInterface { self }
    func probe() async throws {}
    func listPorts() async throws -> [String: PortConfiguration] { try await world.listPorts() }
    func readPort(_ port: String) async throws -> PortConfiguration { try await world.readPort(port) }
    func apply(_ ports: [String: PortConfiguration], label: String?) async throws {
      let body = meanwhile.withLock { body in
        defer { body = nil }
        return body
      }
      try await body?()
      try await world.apply(ports, label: label)
    }
    func macTable() async throws -> [(port: String, vlan: Int, mac: MACAddress)] { [] }
    func watch() -> AsyncThrowingStream<Set<String>, any Error> { world.watch() }
  }

  @Test func whoComesToTheSwitchLastTellsItWhatIsWantedThen() async throws {
    try await withFolder("network-state") { folder in
      let made = Mutex<SlowSwitch?>(nil)
      var parts = SiteParts()
      parts.switches = { world in
        let slow = SlowSwitch(world)
        made.withLock { $0 = slow }
        return slow
      }
      let site = try CrashSite(folder: folder, options: [:], parts: parts)
      let slow = try #require(made.withLock { $0 })
      // While the switch is being told to carry the network, the lease ends and the port is cut off, and that is done first.
      slow.meanwhile.withLock {
        $0 = { [site] in try await site.conductor.parts.applyNetworks(.quarantine, node: CrashSite.node, label: nil) }
      }
      _ = try await site.play(.attach)

      #expect(try await shown(site) == Shown(status: "DOWN", vlan: nil))
      #expect(site.world.ledger().contains("switch/n1=205"), "the network was never on the switch: nothing was raced")
      site.database.close()
    }
  }
}
