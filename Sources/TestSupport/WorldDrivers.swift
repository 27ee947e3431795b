import Conductor
import Domain
import DriverInterfaces
import Glibc
import Wire

/// Hardware that lives in a ``World``. A thing named "fault/<verb>" makes that verb fail with its value.
public struct WorldHardware: HardwareType {
  public let name: String
  public let needsAgent: Bool
  public let properties: [DriverProperty] = [
    DriverProperty("address", help: "name in the world", required: true),
    DriverProperty("password", help: "what the controller wants", secret: true),
  ]
  let world: World
  /// - Parameter needsAgent: when false, its name is "world-own" and its driver does what the agent does elsewhere.
  public init(_ world: World, needsAgent: Bool = true) {
    self.world = world
    self.needsAgent = needsAgent
    name = needsAgent ? "world" : "world-own"
  }

  public var interfaces: [InterfaceKind: [String]] {
    usualInterfaces.merging([.bios: ["no-bios", "world"], .rescue: ["no-rescue", needsAgent ? "agent" : "world"]]) {
      $1
    }
  }
  public var cleanSteps: [CleanStepOffer] { agentSteps + CleanStepOffer.bios("world") }

  public func problems(in driverInfo: JSONObject) -> [String] {
    driverInfo["address"]?.string == nil ? ["driver_info/address is missing"] : []
  }
  public func driver(node: String, driverInfo: JSONObject) throws -> NodeDriver {
    let controller = Controller(world: world, machine: driverInfo["address"]?.string ?? "", node: node)
    return NodeDriver(
      power: controller, management: controller, console: nil,
      provisioning: needsAgent ? nil : Provisioning(controller),
      bios: controller, bootMode: driverInfo["secure_boot"] == nil ? nil : controller, powerButton: controller)
  }

  /// Work that is not done at once: it is begun, and done when somebody looks again.
  struct Provisioning: ProvisioningInterface {
    let world: World
    let machine: String
    init(_ controller: Controller) { (world, machine) = (controller.world, controller.machine) }

    func advance(_ work: ProvisioningWork, key: String, elapsed: Duration) async throws -> WorkProgress {
      // Of the key only the step is the same in each life of a test.
      let begun = "work/\(key.split(separator: "/").last ?? "")"
      guard world.value(begun) != nil else {
        try world.ensure(begun, "begun")
        return .going(percent: 0, remaining: .milliseconds(1))
      }
      switch work {
      case .inspect: return .done(["inventory": ["cpus": 4]])
      case .erase:
        try world.fail("erase", .controller(machine))
        try world.ensure("disk/\(machine)", "zeros")
      case .clean(let steps): try world.ensure("disk/\(machine)", steps.map(\.step).joined(separator: " "))
      case .rescue: try world.ensure("rescue/\(machine)", "on")
      case .unrescue: try world.ensure("rescue/\(machine)", nil)
      case .deploy(let image): try world.ensure("disk/\(machine)", image)
      case .capture: try world.fail("capture", .controller(machine))
      }
      return .done([:])
    }
  }

  struct Controller: PowerInterface, ManagementInterface, BIOSInterface, BootModeInterface, PowerButtonInterface {
    let world: World
    let machine: String
    let node: String

    func observePower() async throws -> Power {
      try world.fail("observe-power", .controller(machine))
      try world.endWaiting(machine)
      return Power(rawValue: world.value("power/\(machine)") ?? "") ?? .off
    }
    func ensurePower(_ power: Power, graceful: Bool, patience: Duration) async throws {
      try world.fail("power-\(power == .on ? "on" : "off")", .controller(machine))
      try world.endWaiting(machine)
      let was = Power(rawValue: world.value("power/\(machine)") ?? "") ?? .off
      try world.ensure("power/\(machine)", power.rawValue)
      if power == .off {
        try world.ensure("waits/\(machine)", nil)
        try world.ensure("runs/\(machine)", nil)
        try world.ensure("agent/\(machine)", nil)
        try world.ensure("stands-by/\(machine)", nil)
      } else if was == .off {
        for (name, value) in world.values(prefix: "bios-next/\(machine)/") {
          try world.ensure("bios/\(machine)/\(name)", value)
          try world.ensure("bios-next/\(machine)/\(name)", nil)
        }
        // What the firmware boots: the network once, if DHCP answers there, else the disk.
        let boot = world.value("boot/\(machine)") ?? "disk"
        if boot == "pxe once" { try world.ensure("boot/\(machine)", "disk") }
        let isNetwork =
          boot.hasPrefix("pxe") && world.value("switch/\(machine)") == "100" && world.value("dhcp/\(machine)") != nil
          && world.value("secure/\(machine)") == nil
        try world.ensure(
          "runs/\(machine)", isNetwork ? "agent" : "disk: \(world.value("disk/\(machine)") ?? "old data")")
      }
      try world.fail("heard-power-\(power == .on ? "on" : "off")", .controller(machine))
    }
    /// What runs decides what a press means: an agent that waits starts what it has loaded, a system ends itself.
    func pressPowerButton() async throws {
      try world.fail("power-button", .controller(machine))
      try world.endWaiting(machine)
      if world.value("waits/\(machine)") != nil {
        guard world.value("fault/deaf") == nil else { return }
        let isExposed = world.value("switch/\(machine)") == "100"
        try world.ensure([
          ("waits/\(machine)", nil), ("agent/\(machine)", nil),
          ("runs/\(machine)", (isExposed ? "exposed " : "") + "disk: \(world.value("disk/\(machine)") ?? "old data")"),
        ])
      } else if world.value("power/\(machine)") == Power.on.rawValue {
        try world.ensure([("power/\(machine)", Power.off.rawValue), ("runs/\(machine)", nil)])
      }
      try world.fail("heard-power-button", .controller(machine))
    }
    func verify() async throws -> JSONObject {
      try world.fail("verify", .controller(machine))
      return ["vendor": "world"]
    }
    func observeBootOverride() async throws -> BootOverride? {
      BootOverride(world.value("boot/\(machine)")?.hasPrefix("pxe") == true ? .pxe : .disk, persistent: true)
    }
    func ensureBootOverride(_ boot: BootOverride) async throws {
      try world.fail("boot-\(boot.device.rawValue)", .controller(machine))
      try world.ensure("boot/\(machine)", boot.device.rawValue + (boot.persistent ? "" : " once"))
    }
    func supportedBootDevices() async throws -> [BootDevice] { [.pxe, .disk] }
    func inventory() async throws -> JSONObject { [:] }

    func observeBootMode() async throws -> BootMode? {
      world.value("mode/\(machine)").flatMap { BootMode(rawValue: $0) } ?? .uefi
    }
    func ensureBootMode(_ mode: BootMode) async throws {
      try world.fail("boot-mode", .controller(machine))
      try world.ensure("mode/\(machine)", mode == .uefi ? nil : mode.rawValue)
    }
    func observeSecureBoot() async throws -> Bool? { world.value("secure/\(machine)") != nil }
    func ensureSecureBoot(_ isOn: Bool) async throws {
      try world.fail("secure-boot", .controller(machine))
      try world.ensure("secure/\(machine)", isOn ? "on" : nil)
    }

    func biosSettings(isDetailed: Bool) async throws -> [BIOSSetting] {
      world.values(prefix: "bios/\(machine)/").map { BIOSSetting($0.key, $0.value) }
    }
    func applyBIOSSettings(_ wanted: [BIOSSetting.Choice]) async throws {
      try world.fail("bios", .controller(machine))
      for choice in wanted { try world.ensure("bios-next/\(machine)/\(choice.name)", choice.value) }
    }
    func resetBIOSSettings() async throws {
      try await applyBIOSSettings(
        try await biosSettings(isDetailed: false).map { BIOSSetting.Choice($0.name, "maker's") })
    }
  }
}

extension World {
  /// An agent that waits for its power button ("waits/<machine>", until when in microseconds) switches the machine off in the end.
  func endWaiting(_ machine: String) throws {
    guard let end = value("waits/\(machine)").flatMap({ Int($0) }), CrashSite.now().microseconds > end else { return }
    try ensure([
      ("waits/\(machine)", nil), ("agent/\(machine)", nil), ("runs/\(machine)", nil), ("power/\(machine)", "power off"),
    ])
  }

  /// - Throws: ``DriverError`` when "fault/<verb>" says so: "refused: words", "unreachable: words" or
  ///   "misconfigured: words".
  func fail(_ verb: String, _ device: DriverError.Device) throws {
    guard let fault = value("fault/\(verb)") else { return }
    let code: DriverError.Code =
      fault.hasPrefix("unreachable") ? .unreachable : fault.hasPrefix("misconfigured") ? .misconfigured : .refused
    throw DriverError(code, device: device, detail: fault)
  }
}

/// One switch whose ports are named like the machines wired to them; "100" is a VLAN, "100+101+102" one with two tagged beside
/// it, no thing is quarantine. With the thing "switch-filters" it can filter: "acl/<machine>" is what it filters its untagged
/// network by.
public struct WorldSwitch: SwitchInterface, SwitchRegistry {
  public let name = "sw0"
  public var capabilities: SwitchCapabilities { world.value("switch-filters") == nil ? [.trunk] : [.trunk, .acl] }
  let world: World
  public init(_ world: World) { self.world = world }

  public func switchNamed(_ name: String) throws -> any SwitchInterface {
    guard name == self.name else {
      throw DriverError(.misconfigured, device: .networkSwitch(name), detail: "there is only sw0")
    }
    return self
  }
  public var all: [any SwitchInterface] { [self] }
  public func probe() async throws {}
  public func listPorts() async throws -> [String: PortConfiguration] {
    let names = world.values(prefix: "switch/").keys
    return Dictionary(uniqueKeysWithValues: names.map { ($0, configuration(of: $0)) })
  }
  public func readPort(_ port: String) async throws -> PortConfiguration { configuration(of: port) }
  private func configuration(of port: String) -> PortConfiguration {
    let vlans = (world.value("switch/\(port)") ?? "").split(separator: "+").compactMap { Int($0) }
    let plain = PortConfiguration(native: vlans.first, tagged: Array(vlans.dropFirst()))
    let list = world.value("acl/\(port)").flatMap { try? JSON.parse(Array($0.utf8)) }.flatMap { AccessList(json: $0) }
    guard let native = plain.native, let list else { return plain }
    return PortConfiguration(native: native, tagged: plain.tagged, accessLists: [native: list])
  }
  public func apply(_ ports: [String: PortConfiguration], label: String?) async throws {
    try world.fail("switch", .networkSwitch(name))
    for (port, configuration) in ports.sorted(by: { $0.key < $1.key }) {
      let vlans = (configuration.native.map { [$0] } ?? []) + configuration.tagged
      try world.ensure("switch/\(port)", vlans.isEmpty ? nil : vlans.map { String($0) }.joined(separator: "+"))
      let list = configuration.native.flatMap { configuration.accessLists[$0] }
      if capabilities.contains(.acl) { try world.ensure("acl/\(port)", list?.json.description) }
    }
    try world.fail("heard-switch", .networkSwitch(name))
  }
  public func macTable() async throws -> [(port: String, vlan: Int, mac: MACAddress)] { [] }
  public func watch() -> AsyncThrowingStream<Set<String>, any Error> { AsyncThrowingStream { $0.finish() } }
}

/// Addresses on the provisioning network: "dhcp/<machine>" is the label. Machines' MACs are looked up in `machines`.
public struct WorldBoot: BootInterface {
  let world: World
  let machines: [MACAddress: String]
  public init(_ world: World, machines: [MACAddress: String]) {
    self.world = world
    self.machines = machines
  }
  public func ensureAdmitted(_ macs: [MACAddress], label: String) async throws {
    try world.fail("admit", .bootServices)
    for mac in macs { try world.ensure("dhcp/\(machines[mac] ?? mac.description)", label) }
  }
  public func ensureVolumeBoot(_ mac: MACAddress, address: String, label: String) async throws {
    try await ensureAdmitted([mac], label: label)
  }
  public func ensureDenied(_ macs: [MACAddress]) async throws {
    try world.fail("deny", .bootServices)
    for mac in macs { try world.ensure("dhcp/\(machines[mac] ?? mac.description)", nil) }
  }
  public func admitted() async throws -> [MACAddress: String] {
    let held = world.values(prefix: "dhcp/")
    return Dictionary(machines.compactMap { mac, machine in held[machine].map { (mac, $0) } }) { $1 }
  }
}

/// Images and config drives that need no disk.
public struct WorldImages: ImageStoreInterface, ConfigDriveInterface {
  let world: World
  public init(_ world: World) { self.world = world }
  public func ensureRaw(imageID: String, progress: @escaping @Sendable (ImageProgress) -> Void) async throws -> RawImage
  {
    try world.fail("image", .image(imageID))
    return RawImage(path: "/nowhere/\(imageID)", size: 1 << 20, digest: String(repeating: "0", count: 64))
  }
  public func take(file path: String, as imageID: String, clock: @escaping @Sendable () -> Timestamp) async throws {
    try world.fail("take-image", .image(imageID))
    try world.ensure("content/\(imageID)", path)
  }
  public func ensurePacked(imageID: String, progress: @escaping @Sendable (ImageProgress) -> Void) async throws
    -> PackedImage
  {
    try world.fail("image", .image(imageID))
    return PackedImage(
      map: "/nowhere/\(imageID).map", mapSize: 64, mapSHA256: String(repeating: "0", count: 64),
      blocks: "/nowhere/\(imageID).blocks", size: 1 << 20)
  }
  public func requireSHA256(_ wanted: String, imageID: String) async throws {}
  public func share(imageID: String, as path: String) async throws {
    try world.fail("image", .image(imageID))
    guard let file = fopen(path, "w") else { throw DriverError(.refused, device: .image(imageID), detail: path) }
    fputs("image \(imageID)", file)
    fclose(file)
  }
  public func makeArchive(_ content: JSON, at path: String) async throws {
    try await ConfigDrive().makeArchive(content, at: path)
  }
  public func orphans() async throws -> [String] { [] }
  public func forgetUploads() async throws {}
  public func make(_ content: JSON, at path: String) async throws -> RawImage {
    RawImage(path: path, size: 1 << 20, digest: String(repeating: "0", count: 64))
  }
}
