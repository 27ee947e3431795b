import Wire

/// A device outside the controller did not do what was asked.
public struct DriverError: ReasonedError, Sendable, Equatable, CustomStringConvertible {
  public enum Code: String, Sendable {
    /// No answer in the driver's own time limit.
    case unreachable
    /// The device answered and said no: wrong credentials, a value it does not take.
    case refused
    /// The device cannot do this at all.
    case unsupported
    /// The device asks to come back later.
    case busy
    /// The answer could not be read.
    case badReply
    /// The device obeyed, and read back it shows something else.
    case notInForce
    /// The administrator's configuration does not say what is needed (a missing `driver_info` key, an unknown switch).
    case misconfigured
  }

  /// What did not do what was asked.
  public struct Device: Sendable, Equatable, CustomStringConvertible {
    /// As an operator knows it: "bmc 10.0.3.7", "switch tor-2 port Eth1/4".
    public let name: String
    /// As the machine's lessee may know it: "The machine's management controller". Nil when there is nothing in the name or
    /// in what is said of the device that a lessee may not read.
    public let publicName: String?
    public var description: String { name }

    private init(_ name: String, publicName: String? = nil) {
      self.name = name
      self.publicName = publicName
    }
    /// - Parameter place: where it answers: "10.0.3.7", "of node X".
    public static func controller(_ place: String) -> Device {
      Device("bmc \(place)", publicName: "The machine's management controller")
    }
    public static func networkSwitch(_ name: String, port: String? = nil) -> Device {
      Device(
        "switch \(name)" + (port.map { " port \($0)" } ?? ""), publicName: "The switch that the machine is connected to"
      )
    }
    /// DHCP and TFTP on the provisioning network.
    public static let bootServices = Device("boot services", publicName: "The site's network boot service")

    /// What carries tenants' DHCP and routers; `place` is its database: "unix:/run/ovn/ovnnb_db.sock".
    public static func routing(_ place: String) -> Device {
      Device("OVN at \(place)", publicName: "What carries the site's DHCP and routers")
    }

    /// - Parameter backend: where volumes are kept: "local", "rbd".
    public static func volumes(_ backend: String) -> Device {
      Device("volumes \(backend)", publicName: "The site's volume storage")
    }

    // What the lessee knows or has brought.
    public static func node(_ uuid: String) -> Device { Device("node \(uuid)") }
    public static func agent(ofNode uuid: String) -> Device { Device("agent of node \(uuid)") }
    public static func image(_ id: String) -> Device { Device("image \(id)") }
    public static let configDrive = Device("config drive")
  }

  public let code: Code
  public let device: Device
  /// The device's own words, with no secret in them, and what to do.
  public let detail: String

  /// True when the same call may work later with nothing changed.
  public var isTransient: Bool { code == .unreachable || code == .busy }

  public init(_ code: Code, device: Device, detail: String) {
    self.code = code
    self.device = device
    self.detail = detail
  }
  /// For whoever runs the machine.
  public var description: String { "\(device): \(detail)" }

  public var reason: Reason {
    guard let who = device.publicName else { return Reason(description) }
    let what =
      switch code {
      case .unreachable: "does not answer"
      case .refused: "refused what it was asked"
      case .unsupported: "cannot do what it was asked"
      case .busy: "is busy"
      case .badReply: "gave an answer that cannot be read"
      case .notInForce: "did not do what it was told"
      case .misconfigured: "is not set up right"
      }
    let advice =
      isTransient
      ? "Try again later; if it stays so, ask the machine's owner or the administrator, who see why."
      : "Ask the machine's owner or the administrator, who see why."
    return Reason("\(who) \(what). \(advice)", detail: description)
  }
}
