import Domain
import DriverInterfaces
import Store
import TestSupport
import Testing
import Wire

@testable import Conductor

/// Machines that a cleaning leaves with the agent up, in quarantine: a deployment takes them as they are, and everything else
/// switches them off first.
@Suite struct FastTrackTests {
  /// A leased machine that stands by; no workflow runs.
  private func withStandingMachine(
    until end: Timestamp = CrashSite.now() + .seconds(3600),
    _ body: @escaping @Sendable (CrashSite) async throws -> Void
  ) async throws {
    try await withFolder("fast-track") { folder in
      let site = try CrashSite(folder: folder, options: [:])
      _ = try await site.play(.startLease)
      try await site.standBy(until: end)
      let life = try again(site)
      site.database.close()
      try await body(life)
      life.database.close()
    }
  }
  /// The next life of a server: each runs its workflows once.
  private func again(_ site: CrashSite) throws -> CrashSite {
    try CrashSite(folder: site.conductor.settings.dataFolder, options: [:])
  }
  private func history(_ site: CrashSite) async throws -> [String] {
    try await site.database.read { try NodeStore.events(NodeEventFilter(node: CrashSite.node), in: $0) }.map(\.event)
  }
  private func standBy(_ site: CrashSite) async throws -> StandByStore.StandBy? {
    try await site.database.read { try StandByStore.get(node: CrashSite.node, in: $0) }
  }
  private func node(_ site: CrashSite) async throws -> Node {
    try #require(try await site.database.read { try NodeStore.get(CrashSite.node, in: $0) })
  }
  private func offs(_ site: CrashSite) -> Int { site.world.ledger().count { $0 == "power/n1=power off" } }
  private func isSecretGood(_ site: CrashSite) async throws -> Bool {
    try await site.conductor.agentHolder(session: CrashSite.standingSecret) != nil
  }

  // MARK: The quiet way

  @Test func aMachineThatStandsByIsDeployedWithoutABoot() async throws {
    try await withStandingMachine { site in
      let before = offs(site)
      let life = try await site.ask(.active)
      #expect(life["state"] == "active" && life["world"]?["disk/n1"] == "/agent/v1/image/new")
      #expect(offs(site) == before + 1, "only before it boots its image")
      #expect(site.world.ledger().contains("boot/n1=pxe once") == false)
      #expect(try await history(site).contains("The agent that stood by goes on: the machine is not booted."))
      #expect(try await standBy(site) == nil)
      #expect(try await !isSecretGood(site), "the session ends with the deployment")
      #expect(life["leftovers"] == [])
    }
  }

  @Test func aCleaningLeavesTheAgentUpWhereTheSiteSaysSo() async throws {
    try await withFolder("fast-track") { folder in
      let site = try CrashSite(folder: folder, options: ["fast-track": "1"])
      let life = try await site.play(.provide)
      #expect(life["state"] == "available" && life["power"] == "power on" && life["leftovers"] == [])
      #expect(site.world.value("runs/n1") == "agent" && site.world.value("switch/n1") == nil)
      let stands = try #require(try await standBy(site))
      #expect(stands.isTrusted && stands.workflow == nil && stands.until - CrashSite.now() > .seconds(7 * 3600))
      #expect(try await history(site).contains { $0.hasPrefix("The agent stays up for the next deployment") })
      // Nothing to do, for nobody.
      try await site.conductor.sweep()
      try await site.conductor.endFastTracks()
      #expect(try await standBy(site) == stands)
      let next = try again(site)
      let deployed = try await next.ask(.active)
      #expect(deployed["state"] == "active" && offs(next) == 2, "before the scene, and before the image boots")
      next.database.close()
    }
  }

  @Test(arguments: [
    "default", "the node says no", "retired", "no switch port", "the agent refuses", "without an answer",
  ])
  func aMachineThatCannotStandByIsSwitchedOff(reason: String) async throws {
    try await withFolder("fast-track") { folder in
      var parts = SiteParts()
      parts.node = { node in
        if reason == "the node says no" { node.driverInfo["fast_track"] = "false" }
        if reason == "retired" { node.isRetired = true }
      }
      parts.port = { if reason == "no switch port" { $0.localLinkConnection = [:] } }
      var options = reason == "default" ? [:] : ["fast-track": "1"]
      if reason == "without an answer" { options["silence"] = "1500" }
      let site = try CrashSite(folder: folder, options: options, parts: parts)
      if reason == "the agent refuses" { try site.world.ensure("fault/agent-stand-by", "not today") }
      if reason == "without an answer" { try site.world.ensure("fault/agent-stand-by", "silent") }
      // Without a switch port it boots all the same, as in a site that does its wiring by hand.
      if reason == "no switch port" { try site.world.ensure("switch/n1", "100") }
      let life = try await site.play(.provide)
      #expect(life["state"]?.string == (reason == "retired" ? "manageable" : "available"))
      #expect(life["power"] == "power off" && life["world"]?["runs/n1"] == nil && life["leftovers"] == [])
      #expect(life["last_error"] == .null)
      #expect(try await standBy(site) == nil)
      site.database.close()
    }
  }

  // MARK: When the agent is not there any more

  @Test func aMachineThatWasResetIsBooted() async throws {
    try await withStandingMachine { site in
      // It came back by itself, and has nothing to boot.
      try site.world.ensure([("runs/n1", "disk: zeros"), ("agent/n1", nil), ("stands-by/n1", nil)])
      let before = offs(site)
      let life = try await site.ask(.active)
      #expect(life["state"] == "active" && life["last_error"] == .null && life["leftovers"] == [])
      #expect(offs(site) == before + 2)
      #expect(try await history(site).contains("The agent that stood by did not call: the machine is booted."))
      #expect(try await !isSecretGood(site))
    }
  }

  @Test func aMachineThatLostItsPowerIsBootedAtOnce() async throws {
    try await withStandingMachine { site in
      try site.world.ensure([("power/n1", "power off"), ("runs/n1", nil), ("agent/n1", nil), ("stands-by/n1", nil)])
      let life = try await site.ask(.active)
      #expect(life["state"] == "active" && life["last_error"] == .null)
      let ledger = site.world.ledger()
      let joined = try #require(ledger.lastIndex(of: "switch/n1=100"))
      #expect(ledger[joined...].contains("power/n1=power on"), "the network was joined by a machine that was off")
    }
  }

  @Test func powerThatWasSeenOffEndsIt() async throws {
    try await withStandingMachine { site in
      try site.world.ensure("power/n1", "power off")
      try await site.conductor.syncPower(.answering)
      #expect(try await standBy(site) == nil)
      #expect(try await !isSecretGood(site))
    }
  }

  @Test func oneThatNobodyDeploysIsSwitchedOff() async throws {
    try await withStandingMachine(until: CrashSite.now() - .seconds(1)) { site in
      let life = try await site.play(nil)
      #expect(
        life["power"] == "power off" && site.world.value("power/n1") == "power off" && life["state"] == "available")
      #expect(try await standBy(site) == nil)
      #expect(try await node(site).reservation == nil)
    }
  }

  // MARK: Everything else ends it

  /// What is done in one transaction: the secret is void with its commit.
  enum Change: String, CaseIterable, Sendable {
    case reboot, powerOn, manage, maintenance, retirement, driverInfo, driver, interfaces, macAddress, wiring,
      networkBoot, newPort, oldPort, wrongCable
  }
  @Test(arguments: Change.allCases) func whateverElseBecomesOfTheMachineEndsIt(change what: Change) async throws {
    try await withStandingMachine { site in
      let conductor = site.conductor, box = site.database.secrets, before = offs(site)
      #expect(try await isSecretGood(site))
      try await site.database.write { session in
        var node = try #require(try NodeStore.get(CrashSite.node, in: session))
        var port = try #require(try PortStore.byAddress(CrashSite.mac, in: session))
        switch what {
        case .reboot: try conductor.setPower(.reboot, node: &node, timeout: nil, by: .system, in: session)
        case .powerOn: try conductor.setPower(.on, node: &node, timeout: nil, by: .system, in: session)
        case .manage: try conductor.provision(.manage, node: &node, parameters: [:], by: .system, in: session)
        case .maintenance: try change(node.uuid, session) { $0.maintenance = true }
        case .retirement: try change(node.uuid, session) { $0.provisionState = .manageable }
        case .driverInfo:
          try NodeStore.setDriverInfo(
            ["address": "n1", "password": "secret", "other": 1], of: node.uuid, secrets: ["password"], box: box,
            in: session)
        case .driver: try change(node.uuid, session) { $0.driver = "world-own" }
        case .interfaces: try change(node.uuid, session) { $0.interfaces[.bios] = "world" }
        case .macAddress: port.address = "52:54:00:00:00:99"
        case .wiring: port.localLinkConnection["port_id"] = "n7"
        case .networkBoot: port.isPXEEnabled = false
        case .newPort:
          try PortStore.insert(
            Port(
              uuid: Identifier.uuid(), nodeUUID: node.uuid, address: "52:54:00:00:00:98", createdAt: CrashSite.now()),
            in: session)
        case .oldPort: try PortStore.delete(port.uuid, in: session)
        case .wrongCable: port.wiringProblem = "it is somewhere else"
        }
        if [.macAddress, .wiring, .networkBoot, .wrongCable].contains(what) { try PortStore.update(port, in: session) }
      }
      #expect(try await !isSecretGood(site), "its secret is good after \(what)")
      // The other driver cannot do it; whoever changes it through the API has it switched off before.
      guard what != .driver else { return }

      _ = try await site.play(nil)

      #expect(offs(site) == before + 1)
      #expect(try await standBy(site) == nil)
      #expect(site.world.value("runs/n1") != "agent")
      #expect(try await history(site).contains("The machine stands by no more: it was switched off."))
      #expect(try await node(site).reservation == nil)
    }
  }

  /// What is done while the caller waits begins when the machine is off.
  @Test func aBootDeviceIsSetWhenTheMachineIsOff() async throws {
    try await withStandingMachine { site in
      let running = Task { try await site.conductor.runner.run() }
      let node = try await node(site)
      try await site.conductor.setBootDevice(node, .pxe, persistent: true, by: .system)
      let ledger = site.world.ledger()
      let off = try #require(ledger.lastIndex(of: "power/n1=power off"))
      let set = try #require(ledger.lastIndex(of: "boot/n1=pxe"))
      #expect(off < set)
      #expect(try await standBy(site) == nil)
      running.cancel()
      _ = try? await running.value
    }
  }

  @Test func aMachineWhoseControllerDoesNotObeyIsLeftAlone() async throws {
    try await withStandingMachine { site in
      try site.world.ensure("fault/power-off", "refused: not now")
      let running = Task { try await site.conductor.runner.run() }
      let node = try await node(site)
      await #expect(throws: ConductorError.self) {
        try await site.conductor.setBootDevice(node, .pxe, persistent: true, by: .system)
      }
      #expect(site.world.value("boot/n1") == nil)
      #expect(try await !isSecretGood(site))
      // It is deployed only by a boot, and nothing comes onto its port before it was off.
      #expect(try await standBy(site)?.isTrusted == false)
      // Nor is it asked again and again.
      try await site.conductor.endFastTracks()
      #expect(try await self.node(site).reservation == nil)
      running.cancel()
      _ = try? await running.value
      try site.world.ensure("fault/power-off", nil)
      let next = try again(site)
      let life = try await next.ask(.active)
      #expect(life["state"] == "active")
      #expect(try await history(next).contains("The agent that stood by goes on: the machine is not booted.") == false)
      next.database.close()
    }
  }

  @Test func aNodeThatStandsByIsNotForgotten() async throws {
    try await withFolder("fast-track") { folder in
      let site = try CrashSite(folder: folder, options: ["fast-track": "1"])
      _ = try await site.play(.provide)
      let conductor = site.conductor, node = try await node(site)
      await #expect(throws: ConductorError.self) {
        try await site.database.write { try conductor.nodeDeleted(node, in: $0) }
      }
      site.database.close()
    }
  }

  @Test func aPortThatSomebodyElseChangedEndsIt() async throws {
    try await withStandingMachine { site in
      let port = SwitchPort(switchName: "sw0", port: "n1")
      try await site.database.write { session in
        try SwitchPortStore.want(.quarantine, on: port, label: nil, at: CrashSite.now(), in: session)
        try SwitchPortStore.record(.inForce, port, detail: nil, at: CrashSite.now(), in: session)
      }
      try site.world.ensure("switch/n1", "666")
      try await site.conductor.repairSwitches()
      #expect(site.world.value("switch/n1") == nil)
      #expect(try await !isSecretGood(site), "its agent may have talked to anybody")
      _ = try await site.play(nil)
      #expect(site.world.value("power/n1") == "power off")
    }
  }

  @Test func aVoidSecretIsNotTakenAgain() async throws {
    try await withStandingMachine { site in
      try await site.database.write { _ = try StandByStore.distrust(node: CrashSite.node, in: $0) }
      let mac = try #require(MACAddress(CrashSite.mac))
      let claimed = try await site.conductor.agentClaim(
        token: String(repeating: "t", count: 43), mac: mac, secret: CrashSite.standingSecret, inventory: [:])
      #expect(claimed == nil, "the boot token is used up")
      #expect(try await site.conductor.bootRequest(mac: mac) == nil)
    }
  }

  // MARK: Networks

  @Test func aNetworkThatIsAttachedMeanwhileComesIntoForceWithTheDeployment() async throws {
    try await withStandingMachine { site in
      try await attach(site)
      let attached = try await site.play(nil)
      #expect(attached["vif"]?.string?.hasPrefix("DOWN ") == true)
      #expect(site.world.value("switch/n1") == nil && site.world.value("runs/n1") == "agent")
      let next = try again(site)
      let life = try await next.ask(.active)
      #expect(life["vif"]?.string?.hasPrefix("ACTIVE ") == true && life["world"]?["switch/n1"] == "205")
      #expect(try await history(next).contains("The agent that stood by goes on: the machine is not booted."))
      next.database.close()
    }
  }

  @Test func aNetworkThatIsAttachedMeanwhileComesIntoForceWhenTheMachineIsUsedOtherwise() async throws {
    try await withStandingMachine { site in
      try await attach(site)
      _ = try await site.play(nil)
      try await site.conductor.rewire()
      #expect(site.world.value("switch/n1") == nil)
      let next = try again(site)
      let conductor = next.conductor
      try await next.database.write { session in
        var node = try #require(try NodeStore.get(CrashSite.node, in: session))
        try conductor.setPower(.on, node: &node, timeout: nil, by: .system, in: session)
      }
      _ = try await next.play(nil)
      try await next.conductor.rewire()
      #expect(next.world.value("switch/n1") == "205" && next.world.value("runs/n1") == "disk: zeros")
      let ledger = next.world.ledger()
      let off = try #require(ledger.lastIndex(of: "power/n1=power off"))
      let joined = try #require(ledger.lastIndex(of: "switch/n1=205"))
      #expect(off < joined)
      next.database.close()
    }
  }
  private func attach(_ site: CrashSite) async throws {
    let conductor = site.conductor
    try await site.database.write { session in
      var node = try #require(try NodeStore.get(CrashSite.node, in: session))
      try conductor.attachVIF(networkPortID: CrashSite.vif, node: &node, by: .system, in: session)
    }
  }
}
