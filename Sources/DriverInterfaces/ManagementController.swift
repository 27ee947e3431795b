import Domain
import Wire

/// Power of one node through its management controller (BMC).
public protocol PowerInterface: Sendable {
  /// What the controller reports now.
  /// - Throws: ``DriverError`` `.unreachable` after the driver's own timeout, `.refused` for wrong credentials,
  ///   `.badReply` when the answer cannot be read.
  func observePower() async throws -> Power

  /// Brings the node to `power` and returns once the controller reports it.
  ///
  /// Safe to call again: a node that is already there is left alone. There is no "reset": a reboot is `.off` then `.on`.
  /// - Parameters:
  ///   - graceful: with `.off`, ask the operating system first and force after half of `patience`.
  ///   - patience: how long the node may take in all.
  func ensurePower(_ power: Power, graceful: Bool, patience: Duration) async throws
}

/// Boot device, boot mode and identity of one node.
public protocol ManagementInterface: Sendable {
  /// Logs in and reads something harmless; how `manage` verifies credentials.
  /// - Returns: what the controller says it is (vendor, product, firmware), for the node's history; may be empty.
  func verify() async throws -> JSONObject

  /// What the next boot will use; nil device when the controller does not tell.
  func observeBootOverride() async throws -> BootOverride?
  /// Sets it; safe to call again.
  func ensureBootOverride(_ boot: BootOverride) async throws
  /// Boot devices that this controller can be asked for.
  func supportedBootDevices() async throws -> [BootDevice]
  /// Hardware the controller knows without booting the node (Redfish: CPUs, memory, MACs); empty when it knows none.
  func inventory() async throws -> JSONObject
}

/// The lamps of one node that its controller knows.
public protocol IndicatorInterface: Sendable {
  /// Those that there are; empty when the controller knows none.
  func indicators() async throws -> [Indicator]
  /// - Throws: ``DriverError`` `.unsupported` when there is no such lamp.
  func observeIndicator(_ name: Indicator.Name) async throws -> Indicator.State
  /// Returns once the controller shows the state; safe to repeat.
  /// - Throws: ``DriverError`` `.unsupported` when there is no such lamp, or it does not do this.
  func ensureIndicator(_ name: Indicator.Name, _ state: Indicator.State) async throws
}

/// The firmware's mode and Secure Boot of one node, as far as its controller can set them.
public protocol BootModeInterface: Sendable {
  /// What holds from the next boot on; nil when the controller does not tell.
  func observeBootMode() async throws -> BootMode?
  /// Returns once the controller shows the mode; safe to repeat.
  /// - Throws: ``DriverError`` `.unsupported` when the machine has no such mode, or only one.
  func ensureBootMode(_ mode: BootMode) async throws
  /// Whether Secure Boot is to be on from the next boot on; nil when the machine has none.
  func observeSecureBoot() async throws -> Bool?
  /// Returns once the controller shows it; safe to repeat.
  /// - Throws: ``DriverError`` `.unsupported` when the machine has none.
  func ensureSecureBoot(_ isOn: Bool) async throws
}

/// The non-maskable interrupt (NMI) of one node, which makes an operating system that hangs write down what it can.
public protocol InterruptInterface: Sendable {
  /// Sends one. It is a pulse, so nothing but a caller who waits for it may ask; it is never repeated on its own.
  /// - Throws: ``DriverError`` `.unsupported` when the controller has none.
  func sendInterrupt() async throws
}

/// The power button of one node, which asks the system that runs there to act on it.
public protocol PowerButtonInterface: Sendable {
  /// Presses it once, shortly. It is a pulse, so the caller writes down before that it asks; it is never repeated on its own, and never
  /// followed by force.
  /// - Throws: ``DriverError`` `.unsupported` when the controller has none; after `.unreachable` it may have been pressed.
  func pressPowerButton() async throws
}

/// The BIOS settings of one node that its controller knows.
public protocol BIOSInterface: Sendable {
  /// What holds now, by name; empty when the controller knows none.
  /// - Parameter isDetailed: with ``BIOSSetting/details``, which may take the controller longer.
  func biosSettings(isDetailed: Bool) async throws -> [BIOSSetting]
  /// Has the settings hold from the next boot on; others stay. Safe to repeat.
  /// - Throws: ``DriverError`` `.refused` naming the setting that there is not, or that cannot have the value; nothing is
  ///   changed then.
  func applyBIOSSettings(_ wanted: [BIOSSetting.Choice]) async throws
  /// Has the maker's settings hold from the next boot on. Safe to repeat.
  func resetBIOSSettings() async throws
}

extension BIOSInterface {
  /// Does one of ``CleanStepOffer/bios(_:)``; safe to repeat.
  public func perform(_ step: CleanStep) async throws {
    if step.step == "factory_reset" {
      try await resetBIOSSettings()
    } else if let choices = BIOSSetting.choices(step.arguments["settings"]) {
      try await applyBIOSSettings(choices)
    }
  }
}

/// The firmware of one node's parts, as far as its controller knows it.
public protocol FirmwareInterface: Sendable {
  func firmware() async throws -> [FirmwareComponent]
}

/// What the controller of one node measures.
public protocol SensorInterface: Sendable {
  /// Those that show something now; may take a minute.
  func sensors() async throws -> [Sensor]
}

/// A live serial console. One instance per node, owned by the server for as long as the node exists.
public protocol ConsoleInterface: Sendable {
  /// Opens the controller's one serial session and gives what it prints; ends when the session drops (the caller reopens
  /// it with backoff). Cancelling the consuming task closes the session.
  ///
  /// Opening twice at the same time is refused by most controllers: the server owns the only session (SOL).
  func open() -> AsyncThrowingStream<[UInt8], any Error>
  /// Whether it is read and logged from enrolment on; otherwise only while somebody has enabled the console.
  var isAlwaysRead: Bool { get }
}
extension ConsoleInterface {
  public var isAlwaysRead: Bool { true }
}

/// Everything one node's controller offers, made from its `driver` and decrypted `driver_info`.
public struct NodeDriver: Sendable {
  public var power: any PowerInterface
  public var management: any ManagementInterface
  /// Nil when the hardware type has no byte-stream console.
  public var console: (any ConsoleInterface)?
  /// Nil when the agent in the ramdisk does that work.
  public var provisioning: (any ProvisioningInterface)?
  /// These are nil when the hardware type has no such thing.
  public var indicators: (any IndicatorInterface)?
  public var interrupt: (any InterruptInterface)?
  public var powerButton: (any PowerButtonInterface)?
  public var bios: (any BIOSInterface)?
  public var firmware: (any FirmwareInterface)?
  public var bootMode: (any BootModeInterface)?
  public var sensors: (any SensorInterface)?
  public init(
    power: any PowerInterface, management: any ManagementInterface, console: (any ConsoleInterface)?,
    provisioning: (any ProvisioningInterface)? = nil, indicators: (any IndicatorInterface)? = nil,
    interrupt: (any InterruptInterface)? = nil, bios: (any BIOSInterface)? = nil,
    firmware: (any FirmwareInterface)? = nil, bootMode: (any BootModeInterface)? = nil,
    sensors: (any SensorInterface)? = nil, powerButton: (any PowerButtonInterface)? = nil
  ) {
    self.powerButton = powerButton
    self.sensors = sensors
    self.bootMode = bootMode
    self.bios = bios
    self.firmware = firmware
    self.indicators = indicators
    self.interrupt = interrupt
    self.power = power
    self.management = management
    self.console = console
    self.provisioning = provisioning
  }
}

/// A property of `driver_info` that a hardware type reads. Source: Ironic API reference v1, "List Driver Properties".
public struct DriverProperty: Sendable {
  public var name: String
  public var help: String
  public var isRequired: Bool
  /// Encrypted at rest and masked (`******`) in every answer.
  public var isSecret: Bool
  public init(_ name: String, help: String, required: Bool = false, secret: Bool = false) {
    self.name = name
    self.help = help
    self.isRequired = required
    self.isSecret = secret
  }
}

/// A hardware type ("ipmi", "redfish"): makes drivers for nodes.
public protocol HardwareType: Sendable {
  /// The value of a node's `driver`.
  var name: String { get }
  var properties: [DriverProperty] { get }
  /// The implementations of each interface that a node may be told to use, the default first. Every kind has one.
  var interfaces: [InterfaceKind: [String]] { get }
  /// Implementations of the network interface with which no switch port of the node is ever touched.
  var unwiredNetworks: Set<String> { get }
  /// Whether machines must boot the agent to be inspected, cleaned and deployed. When false, the drivers have a
  /// ``NodeDriver/provisioning`` of their own.
  var needsAgent: Bool { get }
  /// What a manual cleaning may ask for.
  var cleanSteps: [CleanStepOffer] { get }
  /// Checks `driver_info` without touching hardware.
  /// - Returns: the reasons why it cannot work, each a sentence naming the key; empty when it can.
  func problems(in driverInfo: JSONObject) -> [String]
  /// - Parameter driverInfo: with its secrets in the clear.
  /// - Throws: ``DriverError`` `.misconfigured` with the first problem.
  func driver(node: String, driverInfo: JSONObject) throws -> NodeDriver
}
