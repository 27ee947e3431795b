/// What a hardware type is made of, in the words of the Bare Metal API: a node's field is `power_interface`, a driver's
/// `enabled_power_interfaces`. Source: Ironic, "Hardware types and interfaces".
public enum InterfaceKind: String, Sendable, CaseIterable {
  case bios, boot, console, deploy, firmware, inspect, management, network, power, raid, rescue, storage, vendor

  /// The node's field: "power_interface".
  public var field: String { "\(rawValue)_interface" }

  /// Reads "power_interface".
  public init?(field: String) {
    let suffix = "_interface"
    guard field.hasSuffix(suffix), let kind = InterfaceKind(rawValue: String(field.dropLast(suffix.count))) else {
      return nil
    }
    self = kind
  }
}
