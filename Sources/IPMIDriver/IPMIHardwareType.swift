import Domain
import DriverInterfaces
import Wire

/// Hardware type `ipmi`: any machine with an IPMI 2.0 management controller, driven through `ipmitool`.
///
/// Keep one for the whole server: it holds the turns that keep two commands from meeting at one controller, and the limit
/// of commands at work over all controllers.
public struct IPMIHardwareType: HardwareType {
  public let name = "ipmi"
  private let limits: IPMILimits
  private let turns: Turns
  private let sensorReaders = Turns(atOnce: 2)
  private let home: String?

  /// - Parameter folder: one of the driver's own, whose parent is there; without it each command takes four times as long.
  public init(limits: IPMILimits = IPMILimits(), folder: String? = nil) {
    self.limits = limits
    turns = Turns(atOnce: limits.commandsAtOnce)
    home = folder.flatMap { ManufacturerRegistry.makeShort(in: $0) }
  }

  /// Source: Ironic, `ironic/drivers/modules/ipmitool.py`, REQUIRED_PROPERTIES and OPTIONAL_PROPERTIES.
  public let properties: [DriverProperty] = [
    DriverProperty("ipmi_address", help: "IP address or host name of the controller.", required: true),
    DriverProperty("ipmi_port", help: "UDP port of the controller; 623 by default."),
    DriverProperty("ipmi_username", help: "User name, up to 16 characters; the anonymous user by default."),
    DriverProperty("ipmi_password", help: "Password, up to 20 characters.", secret: true),
    DriverProperty(
      "ipmi_priv_level", help: "Privilege level: ADMINISTRATOR (default), OPERATOR, USER or CALLBACK."),
    DriverProperty("ipmi_cipher_suite", help: "Cipher suite of IPMI 2.0, 1 to 17; 3 by default."),
    DriverProperty("ipmi_protocol_version", help: "\"2.0\" (default) or \"1.5\", which has no console."),
    DriverProperty("ipmi_terminal_port", help: "Accepted and not used: the server chooses the console's port."),
  ]

  public func problems(in driverInfo: JSONObject) -> [String] {
    switch IPMISettings.read(driverInfo) {
    case .success: []
    case .failure(let problems): problems.sentences
    }
  }

  public func driver(node: String, driverInfo: JSONObject) throws -> NodeDriver {
    switch IPMISettings.read(driverInfo) {
    case .failure(let problems):
      let address = driverInfo["ipmi_address"]?.string.flatMap { IPMISettings.isAddress($0) ? $0 : nil }
      throw DriverError(
        .misconfigured, device: .controller(address ?? "of node \(node)"),
        detail: problems.sentences.first ?? "driver_info cannot be used")
    case .success(let settings):
      let tool = Ipmitool(settings: settings, limits: limits, turns: turns, home: home)
      return NodeDriver(
        power: IPMIPower(tool: tool), management: IPMIManagement(tool: tool),
        console: settings.protocolVersion == .v2 ? SerialOverLAN(tool: tool) : nil,
        interrupt: IPMIInterrupt(tool: tool),
        sensors: IPMISensors(tool: tool, readers: sensorReaders), powerButton: IPMIPowerButton(tool: tool))
    }
  }
}

/// How long the driver waits and how much it does at once.
public struct IPMILimits: Sendable {
  /// One command, its session included.
  public var command: Duration = .seconds(10)
  /// Reading all sensors, each of which is asked.
  public var sensors: Duration = .seconds(60)
  /// Seconds that `ipmitool` waits for one answer (`-N`), and how often it asks again (`-R`).
  public var answerSeconds = 2
  public var retries = 2
  /// Longest pause between two looks at a machine that is changing its power.
  public var poll: Duration = .seconds(1)
  /// Until a serial session is up.
  public var consoleStart: Duration = .seconds(30)
  /// Commands at work over all controllers.
  public var commandsAtOnce = 16

  public init() {}
}
