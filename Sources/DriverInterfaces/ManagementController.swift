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
  public init(
    power: any PowerInterface, management: any ManagementInterface, console: (any ConsoleInterface)?,
    provisioning: (any ProvisioningInterface)? = nil
  ) {
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
