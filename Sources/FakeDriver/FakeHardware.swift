import Domain
import DriverInterfaces
import Wire

/// Hardware type `fake-hardware`: machines that are nothing but what is remembered of them. Whatever is asked succeeds at
/// once, unless delays and faults were asked for; for tests and rehearsals.
///
/// No ramdisk is booted and no image read; the workflows are otherwise those of real machines. Power state and boot device
/// outlive the server in a file of their own (``FakeMachines``), as a real machine's do. With the network interface `noop`,
/// the default, no switch is touched; with `neutron` the ports that the node is wired to follow its networks.
/// Source of names and interfaces: Ironic, `ironic/drivers/fake_hardware.py`.
public struct FakeHardware: HardwareType {
  public let name = "fake-hardware"
  private let machines: FakeMachines
  /// Holds where a node's `driver_info` is silent.
  private let defaults: JSONObject

  /// - Parameters:
  ///   - defaults: `driver_info` for every fake, which a node's own overrides.
  ///   - file: where power states and boot devices are kept; nil forgets them with the process.
  /// - Throws: ``DriverError`` `.misconfigured` when `defaults` or the file cannot be used.
  public init(defaults: JSONObject = [:], file: String?) throws {
    self.defaults = defaults
    if case .failure(let problems) = FakeSettings.read(defaults) {
      throw DriverError(
        .misconfigured, device: .controller("of fake-hardware"), detail: problems.sentences.joined(separator: " "))
    }
    machines = try FakeMachines(file: file)
  }

  public let properties: [DriverProperty] =
    FakePart.allCases.flatMap { part in
      [
        DriverProperty(
          "fake_\(part.rawValue)_delay",
          help: "Seconds that \(part.words) takes, or two numbers \"from,to\" to choose between; 0 by default."),
        DriverProperty(
          "fake_\(part.rawValue)_fault",
          help: "Makes \(part.words) fail: \(FakeFault.Kind.list); words of the device may follow after a colon."),
        DriverProperty(
          "fake_\(part.rawValue)_fault_share", help: "How many of the calls fail, 0 to 1; 1, which is all, by default."),
      ]
    } + [
      DriverProperty(
        "fake_inventory",
        help:
          "What an inspection finds, an object as in docs/agent-protocol.md; what the node's properties say by default."
      ),
      DriverProperty(
        "fake_firmware", help: "The machine's firmware, an object of versions by component: {\"bios\": \"1.0\"}."),
    ]

  public let interfaces: [InterfaceKind: [String]] = [
    .bios: ["fake", "no-bios"], .boot: ["fake"], .console: ["fake", "no-console"], .deploy: ["fake"],
    .firmware: ["fake", "no-firmware"], .inspect: ["fake", "no-inspect"], .management: ["fake"],
    .network: ["noop", "neutron", "flat"],
    .power: ["fake"], .raid: ["fake", "no-raid"], .rescue: ["fake", "no-rescue"],
    .storage: ["noop", "cinder", "external"],
    .vendor: ["fake", "no-vendor"],
  ]
  public let unwiredNetworks: Set<String> = ["noop"]
  public let needsAgent = false
  public let cleanSteps =
    CleanStepOffer.bios("fake") + [
      CleanStepOffer(.raid, "fake", "delete_configuration"),
      CleanStepOffer(.deploy, "fake", "erase_devices"), CleanStepOffer(.deploy, "fake", "erase_devices_metadata"),
    ]

  public func problems(in driverInfo: JSONObject) -> [String] {
    switch FakeSettings.read(whole(driverInfo)) {
    case .success: []
    case .failure(let problems): problems.sentences
    }
  }

  public func driver(node: String, driverInfo: JSONObject) throws -> NodeDriver {
    switch FakeSettings.read(whole(driverInfo)) {
    case .failure(let problems):
      throw DriverError(
        .misconfigured, device: .controller("of node \(node)"),
        detail: problems.sentences.first ?? "driver_info cannot be used")
    case .success(let settings):
      let conduct = FakeConduct(node: node, settings: settings)
      let controller = FakeController(node: node, machines: machines, conduct: conduct)
      return NodeDriver(
        power: controller, management: controller,
        console: FakeConsole(node: node, machines: machines, conduct: conduct),
        provisioning: FakeProvisioning(conduct: conduct, inventory: settings.inventory, bios: controller),
        indicators: controller, interrupt: controller, bios: controller, firmware: controller,
        bootMode: controller, sensors: controller)
    }
  }

  private func whole(_ driverInfo: JSONObject) -> JSONObject {
    var whole = defaults
    for member in driverInfo { whole[member.key] = member.value }
    return whole
  }
}
