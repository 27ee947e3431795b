import Domain

extension SwitchCapabilities {
  /// A link aggregate is a port like others, by the name that the switch has for it ("Port-Channel5").
  public static let bond = SwitchCapabilities(rawValue: 64)
  /// A change that is not confirmed is taken back by the switch itself.
  public static let confirmedCommit = SwitchCapabilities(rawValue: 128)
}

/// What a switch heard by LLDP (IEEE 802.1AB) on one port.
public struct SwitchNeighbour: Sendable, Equatable {
  /// The switch's own port.
  public var port: String
  /// As the switch writes it: most often a MAC address.
  public var chassisID: String
  public var portID: String
  public var systemName: String?
  public init(port: String, chassisID: String, portID: String, systemName: String? = nil) {
    self.port = port
    self.chassisID = chassisID
    self.portID = portID
    self.systemName = systemName
  }
}

extension SwitchInterface {
  /// Nothing to make: the switch takes every VLAN.
  public func ensureNetwork(vlan: Int, name: String?) async throws {}
  public func neighbours() async throws -> [SwitchNeighbour] { [] }
  /// Nothing to write: what is running is what it starts from.
  public func save() async throws {}
  public var caution: String? { nil }
}
