import Domain
import DriverInterfaces
import FakeDriver
import Store
import TestSupport
import Testing
import Wire
import Workflows

@testable import Conductor

/// The real verbs and workflows on hardware that needs no agent: nothing is booted, wired or written, everything else is as ever.
@Suite struct FakeLifeTests {
  static let image: JSONObject = ["image_source": "http://192.0.2.1/image.raw", "image_checksum": "d41d8cd98f00b204"]
  static let reset: JSONObject = ["clean_steps": [["interface": "bios", "step": "factory_reset"]]]

  private func withLife(
    _ folder: String, network: String? = nil, _ body: @escaping @Sendable (Life) async throws -> Void
  ) async throws {
    var parts = SiteParts()
    parts.hardware = try FakeHardware(file: "\(folder)/fake-hardware")
    parts.secrets = []
    parts.node = { node in
      node.driver = "fake-hardware"
      node.driverInfo = [:]
      node.instanceInfo = [:]
      node.properties = ["cpus": 8, "local_gb": 100]
      node.interfaces[.network] = network
    }
    // The node and its port, left in `manageable` by the first server.
    let first = try CrashSite(folder: folder, options: [:], parts: parts)
    _ = try await first.play(.verify)
    first.database.close()
    let site = try CrashSite(folder: folder, options: [:], parts: parts)
    let runner = Task { try await site.conductor.runner.run() }
    defer { runner.cancel() }
    try await body(Life(site: site))
    runner.cancel()
    _ = try? await runner.value
    site.database.close()
  }

  @Test func aWholeLifeTakesNoAgentNoSwitchAndNoImage() async throws {
    try await withFolder("fake-life") { folder in
      try await withLife(folder) { life in
        let ledger = life.site.world.ledger()
        var node = try await life.node()
        #expect(node.provisionState == .manageable && node.powerState == .off)

        node = try await life.does(.inspect)
        #expect(node.provisionState == .manageable && node.inspectionFinishedAt != nil)
        #expect(node.properties["cpus"] == 8 && node.properties["local_gb"] == 100)
        let inventory = try await life.database.read { try NodeStore.inventory(of: CrashSite.node, in: $0) }
        #expect(inventory?["cpus"] == 8)

        node = try await life.does(.clean, Self.reset)
        #expect(node.provisionState == .manageable && node.driverInternalInfo["last_erase"] == nil)
        node = try await life.does(.provide)
        #expect(node.provisionState == .available && node.driverInternalInfo["last_erase"] != nil)

        try await life.set { $0.instanceInfo = Self.image }
        node = try await life.does(.active)
        #expect(node.provisionState == .active && node.powerState == .on && node.instanceUUID != nil)
        let boot = try await life.conductor.bootDevice(node)
        #expect(boot == BootOverride(.disk, persistent: true))

        node = try await life.power(.off)
        #expect(node.powerState == .off && node.targetPowerState == nil)
        node = try await life.power(.reboot)
        #expect(node.powerState == .on)

        node = try await life.does(.rebuild)
        #expect(node.provisionState == .active && node.powerState == .on)

        node = try await life.does(.deleted)
        #expect(node.provisionState == .available && node.powerState == .off)
        #expect(node.instanceInfo.isEmpty && node.instanceUUID == nil)
        #expect(node.lastError == nil && node.deployStep.isEmpty && node.cleanStep.isEmpty)

        // Nothing outside was touched, and nothing is left.
        #expect(life.site.world.ledger() == ledger)
        #expect(try await life.conductor.leftovers().isEmpty)
        #expect(try await life.database.read { try SwitchPortStore.list(in: $0) }.isEmpty)
      }
    }
  }

  @Test func aLeaseIsHandedOverAndTakenBack() async throws {
    try await withFolder("fake-life") { folder in
      try await withLife(folder) { life in
        _ = try await life.does(.provide)
        let lease = try await life.lease()
        var node = try await life.settled()
        #expect(node.lessee == "tenant" && node.leaseUUID == lease.uuid)

        try await life.set { $0.instanceInfo = Self.image }
        #expect(try await life.does(.active).provisionState == .active)
        try await life.end(lease)
        node = try await life.settled()
        #expect(node.provisionState == .available && node.powerState == .off && node.lessee == nil)
        #expect(try await life.database.read { try LeaseStore.get(lease.uuid, in: $0)?.status } == .deleted)
      }
    }
  }

  @Test func aCleaningHoldsUntilItIsToldToGoOn() async throws {
    try await withFolder("fake-life") { folder in
      try await withLife(folder) { life in
        let hold: JSON = ["interface": "deploy", "step": "hold"]
        let set: JSON = [
          "interface": "bios", "step": "apply_configuration", "args": ["settings": [["name": "turbo", "value": "on"]]],
        ]
        func held() async throws {
          #expect(
            try await eventually { try await life.node().provisionState == .cleanHold ? true : nil } == true)
        }
        func settings() async throws -> Int {
          try await life.conductor.biosSettings(try await life.node(), isDetailed: false).count
        }
        try await life.ask(.clean, ["clean_steps": [hold, set, hold]])
        try await held()
        #expect(try await settings() == 0)
        #expect(try await life.node().cleanStep["step"] == "hold")
        // Whoever asks for anything else is told to wait.
        await #expect(throws: ConductorError.self) { try await life.ask(.manage) }
        try await life.ask(.unhold)
        try await held()
        #expect(try await settings() == 1)
        try await life.ask(.unhold)
        let node = try await life.settled()
        #expect(node.provisionState == .manageable && node.cleanStep.isEmpty && node.lastError == nil)
        await #expect(throws: ConductorError.self) { try await life.ask(.unhold) }

        // What an earlier cleaning was told does not count for the next.
        try await life.ask(.clean, ["clean_steps": [hold]])
        try await held()
        try await life.ask(.abort)
        #expect(try await life.settled().provisionState == .cleanFailed)
        #expect(try await life.does(.manage).provisionState == .manageable)
        await #expect(throws: ConductorError.self) {
          try await life.ask(.clean, ["clean_steps": .array(Array(repeating: hold, count: 5))])
        }
      }
    }
  }

  @Test func aMachineIsRescuedAndRunsItsOwnSystemAgain() async throws {
    try await withFolder("fake-life") { folder in
      try await withLife(folder) { life in
        _ = try await life.does(.provide)
        try await life.set { $0.instanceInfo = Self.image }
        await #expect(throws: ConductorError.self) { try await life.ask(.rescue) }
        _ = try await life.does(.active)
        await #expect(throws: ConductorError.self) { try await life.ask(.unrescue) }
        var node = try await life.does(.rescue)
        #expect(node.provisionState == .rescue && node.powerState == .on && node.instanceUUID != nil)
        #expect(try await life.does(.rescue).provisionState == .rescue)
        node = try await life.does(.unrescue)
        #expect(node.provisionState == .active && node.powerState == .on && node.targetProvisionState == nil)

        // From a rescue that failed both ways lead on, and out.
        try await life.set { $0.driverInfo = ["fake_rescue_fault": "refused: no rescue disk"] }
        node = try await life.does(.rescue)
        #expect(node.provisionState == .rescueFailed && node.lastError?.whole.contains("no rescue disk") == true)
        #expect(try await life.does(.unrescue).provisionState == .unrescueFailed)
        try await life.set { $0.driverInfo = [:] }
        #expect(try await life.does(.unrescue).provisionState == .active)
        #expect(try await life.does(.rescue).provisionState == .rescue)
        node = try await life.does(.deleted)
        #expect(node.provisionState == .available && node.instanceUUID == nil)
        #expect(try await life.conductor.leftovers().isEmpty)
      }
    }
  }

  @Test func biosSettingsAreMadeAndResetByCleaning() async throws {
    try await withFolder("fake-life") { folder in
      try await withLife(folder) { life in
        func settings() async throws -> [BIOSSetting] {
          try await life.conductor.biosSettings(try await life.node(), isDetailed: false)
        }
        let chosen: JSON = [["name": "turbo", "value": "on"], ["name": "delay", "value": 5]]
        let apply: JSON = ["interface": "bios", "step": "apply_configuration", "args": ["settings": chosen]]
        #expect(try await life.does(.clean, ["clean_steps": [apply]]).provisionState == .manageable)
        #expect(try await settings() == [BIOSSetting("delay", "5"), BIOSSetting("turbo", "on")])

        // They are the machine's, and outlive the server.
        let again = try FakeHardware(file: "\(folder)/fake-hardware").driver(node: CrashSite.node, driverInfo: [:])
        #expect(try await again.bios?.biosSettings(isDetailed: false).count == 2)
        #expect(try await life.does(.clean, Self.reset).lastError == nil)
        #expect(try await settings().isEmpty)
      }
    }
  }

  @Test func aRetiredMachineIsErasedAndOfferedToNobody() async throws {
    try await withFolder("fake-life") { folder in
      try await withLife(folder) { life in
        _ = try await life.does(.provide)
        try await life.set { $0.instanceInfo = Self.image }
        _ = try await life.does(.active)
        try await life.set { $0.isRetired = true }
        try await life.ask(.deleted)
        #expect(try await life.node().targetProvisionState ?? "manageable" == "manageable")
        var node = try await life.settled()
        #expect(node.provisionState == .manageable && node.driverInternalInfo["last_erase"] != nil)
        #expect(node.instanceInfo.isEmpty && node.lastError == nil)

        // The same at the end of a lease.
        try await life.set { $0.isRetired = false }
        _ = try await life.does(.provide)
        let lease = try await life.lease()
        _ = try await life.settled()
        try await life.set { $0.isRetired = true }
        try await life.end(lease)
        node = try await life.settled()
        #expect(node.provisionState == .manageable && node.lessee == nil)
        #expect(try await life.database.read { try LeaseStore.get(lease.uuid, in: $0)?.status } == .deleted)
      }
    }
  }

  @Test func aNetworkIsAttachedAndNoSwitchIsAsked() async throws {
    try await withFolder("fake-life") { folder in
      try await withLife(folder) { life in
        _ = try await life.does(.provide)
        func vif() async throws -> NetworkPort? {
          try await life.database.read { try NetworkPortStore.get(CrashSite.vif, in: $0) }
        }
        let conductor = life.conductor
        try await life.database.write { session in
          guard var node = try NodeStore.get(CrashSite.node, in: session) else { return }
          try conductor.attachVIF(networkPortID: CrashSite.vif, node: &node, by: .system, in: session)
        }
        try await life.settled()
        #expect(try await vif()?.status == .active)
        #expect(life.site.world.value("switch/n1") == nil)
        // The drift reconciler does not take the port for one that it must quarantine.
        try await conductor.repairSwitches()
        #expect(try await life.database.read { try SwitchPortStore.list(in: $0) }.isEmpty)

        try await life.database.write { session in
          guard var node = try NodeStore.get(CrashSite.node, in: session) else { return }
          try conductor.detachVIF(networkPortID: CrashSite.vif, node: &node, by: .system, in: session)
        }
        try await life.settled()
        #expect(try await vif()?.status == .down)
      }
    }
  }

  @Test func withSwitchesTheyFollow() async throws {
    try await withFolder("fake-life") { folder in
      try await withLife(folder, network: "neutron") { life in
        _ = try await life.does(.provide)
        #expect(life.site.world.value("switch/n1") == nil)
        try await life.set { $0.instanceInfo = Self.image }
        let conductor = life.conductor
        try await life.database.write { session in
          guard var node = try NodeStore.get(CrashSite.node, in: session) else { return }
          try conductor.attachVIF(networkPortID: CrashSite.vif, node: &node, by: .system, in: session)
        }
        try await life.settled()
        #expect(try await life.does(.active).provisionState == .active)
        #expect(life.site.world.value("switch/n1") == "205")
        #expect(try await life.does(.deleted).provisionState == .available)
        #expect(life.site.world.value("switch/n1") == nil)
        // Never on the provisioning network: there is nothing to provision over it.
        #expect(!life.site.world.ledger().contains("switch/n1=100"))
      }
    }
  }

  // MARK: Delays and faults

  @Test func longWorkShowsHowFarItIs() async throws {
    try await withFolder("fake-life") { folder in
      try await withLife(folder) { life in
        try await life.set { $0.driverInfo = ["fake_clean_delay": 0.4] }
        try await life.ask(.provide)
        let working = try await eventually { () -> Node? in
          let node = try await life.node()
          return node.cleanStep.isEmpty ? nil : node
        }
        #expect(working?.provisionState == .cleaning)
        #expect(working?.cleanStep["step"] == "erase" && working?.cleanStep["remaining_seconds"] == 1)
        #expect(try await life.settled().provisionState == .available)
      }
    }
  }

  @Test func workThatTakesTooLongCanBeAborted() async throws {
    try await withFolder("fake-life") { folder in
      try await withLife(folder) { life in
        try await life.set { $0.driverInfo = ["fake_inspect_delay": 3600] }
        try await life.ask(.inspect)
        _ = try await eventually { try await life.node().cleanStep.isEmpty ? nil : true }
        try await life.ask(.abort)
        #expect(try await life.settled().provisionState == .inspectFailed)
      }
    }
  }

  struct Fault: Sendable, CustomTestStringConvertible {
    var key: String
    var verb: ProvisionVerb
    /// From which state, and to which one the fault leads.
    var from: ProvisionState
    var to: ProvisionState
    var testDescription: String { "\(key): \(verb.rawValue)" }
  }
  static let faults = [
    Fault(key: "fake_management_fault", verb: .manage, from: .enroll, to: .enroll),
    Fault(key: "fake_power_fault", verb: .manage, from: .enroll, to: .enroll),
    Fault(key: "fake_inspect_fault", verb: .inspect, from: .manageable, to: .inspectFailed),
    Fault(key: "fake_clean_fault", verb: .clean, from: .manageable, to: .cleanFailed),
    Fault(key: "fake_clean_fault", verb: .provide, from: .manageable, to: .cleanFailed),
    Fault(key: "fake_deploy_fault", verb: .active, from: .available, to: .deployFailed),
    Fault(key: "fake_management_fault", verb: .active, from: .available, to: .deployFailed),
    Fault(key: "fake_clean_fault", verb: .deleted, from: .active, to: .cleanFailed),
    Fault(key: "fake_power_fault", verb: .deleted, from: .active, to: .error),
  ]

  @Test(arguments: faults) func aFaultIsToldAndTheNormalVerbsLeadOut(fault: Fault) async throws {
    try await withFolder("fake-life") { folder in
      try await withLife(folder) { life in
        try await life.set { node in
          node.provisionState = fault.from
          node.instanceInfo = Self.image
          node.driverInfo = [fault.key: "refused: out of order"]
        }
        let parameters = fault.verb == .clean ? Self.reset : [:]
        var node = try await life.does(fault.verb, parameters)
        #expect(node.provisionState == fault.to)
        #expect(node.lastError?.whole.contains("out of order") == true)
        // A lessee reads no device's words.
        #expect(node.lastError?.sentence.contains("out of order") == false)
        #expect(try await life.conductor.leftovers().isEmpty)

        // Mended, it goes on as ever.
        try await life.set { node in
          node.driverInfo = [:]
          node.maintenance = false
          node.fault = nil
        }
        if fault.to == .cleanFailed { #expect(try await life.does(.manage).provisionState == .manageable) }
        switch fault.verb {
        case .manage, .inspect, .clean: node = try await life.does(fault.verb, parameters)
        case .active: node = try await life.does(.active)
        default: node = try await life.does(fault.to == .error ? .deleted : .provide)
        }
        #expect(node.lastError == nil)
        #expect(
          node.provisionState
            == (fault.verb == .active
              ? .active : [.manage, .inspect, .clean].contains(fault.verb) ? .manageable : .available))
      }
    }
  }

  @Test func aConsoleThatCannotBeOpenedIsNoObstacle() async throws {
    try await withFolder("fake-life") { folder in
      try await withLife(folder) { life in
        try await life.set { $0.driverInfo = ["fake_console_fault": "busy"] }
        #expect(try await life.does(.provide).provisionState == .available)
      }
    }
  }

  @Test func anAnswerThatIsLostIsAskedForAgain() async throws {
    try await withFolder("fake-life") { folder in
      try await withLife(folder) { life in
        // Half of all calls obey and lose their answer: what is asked again is already so.
        try await life.set {
          $0.driverInfo = ["fake_power_fault": "lost", "fake_power_fault_share": 0.5]
          $0.provisionState = .enroll
        }
        var failures = 0
        for round in 0..<20 {
          let node = try await life.power(round % 2 == 0 ? .on : .off)
          if node.lastError == nil { #expect(node.powerState == (round % 2 == 0 ? .on : .off)) } else { failures += 1 }
        }
        // Tried three times each: one in eight is lost for good.
        #expect(failures < 12)
      }
    }
  }

  @Test func powerAndBootDeviceOutliveTheServer() async throws {
    try await withFolder("fake-life") { folder in
      try await withLife(folder) { life in
        try await life.conductor.setBootDevice(try await life.node(), .cdrom, persistent: true, by: .system)
        #expect(try await life.power(.on).powerState == .on)
      }
      let again = try FakeHardware(file: "\(folder)/fake-hardware").driver(node: CrashSite.node, driverInfo: [:])
      #expect(try await again.power.observePower() == .on)
      #expect(try await again.management.observeBootOverride() == BootOverride(.cdrom, persistent: true))
    }
  }
}
