/// A device outside the controller did not do what was asked.
public struct DriverError: Error, Sendable, Equatable, CustomStringConvertible {
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
  public let code: Code
  /// Which device, as an operator knows it: "bmc 10.0.3.7", "switch tor-2 port Eth1/4".
  public let device: String
  /// The device's own words, with no secret in them, and what to do.
  public let detail: String

  /// True when the same call may work later with nothing changed.
  public var isTransient: Bool { code == .unreachable || code == .busy }

  public init(_ code: Code, device: String, detail: String) {
    self.code = code
    self.device = device
    self.detail = detail
  }
  public var description: String { "\(device): \(detail)" }
}
