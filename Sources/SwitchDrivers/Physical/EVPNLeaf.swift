/// A switch's place in an EVPN fabric, whose switches tell each other by BGP which VNIs they carry (RFC 8365).
///
/// BGP and the tunnel endpoint are the administrator's; drivers join VLANs to VNIs, and no more.
public struct EVPNLeaf: Sendable, Equatable {
  /// What the administrator calls the fabric: switches of the same name reach each other.
  public var fabric: String
  /// The tunnel endpoint's own address, where the kind has to be told.
  public var address: String?
  /// The fabric's AS number, 1 to 65535, where the kind has to be told: of the switch's BGP and in its route targets, which are
  /// "AS:VNI" everywhere.
  public var autonomousSystem: Int?
  public init(fabric: String, address: String? = nil, autonomousSystem: Int? = nil) {
    self.fabric = fabric
    self.address = address
    self.autonomousSystem = autonomousSystem
  }
}

extension Switches {
  /// What a leaf's configuration must say besides the fabric's name.
  public enum FabricNeed: Sendable { case nothing, address, autonomousSystem }
  /// The kinds that join VLANs to VNIs of a fabric.
  public static let fabricNeeds: [String: FabricNeed] = [
    "arista-eapi": .autonomousSystem, "cisco-nxos": .nothing, "cumulus-nvue": .nothing, "linux-frr": .address,
  ]
  /// Their names, for people.
  public static var fabricKinds: String { fabricNeeds.keys.sorted().joined(separator: ", ") }
}

/// One VNI as a switch with a configuration of its own shows it.
struct VNIState: Sendable, Equatable {
  var vni: Int
  /// The VLAN that it is joined to; nil where none is named.
  var vlan: Int?
  /// Whether all that belongs to it is there, and the switch says that it is in force.
  var isWhole: Bool
}

extension [VNIState] {
  /// As ``SwitchInterface/boundVNIs()`` has it: what is not whole, or there twice, has a negative key.
  var bound: [Int: Int] {
    var bound: [Int: Int] = [:]
    for state in self {
      let isAlone = allSatisfy { $0 == state || ($0.vni != state.vni && $0.vlan != state.vlan) }
      bound[state.isWhole && isAlone ? state.vlan ?? -state.vni : -state.vni] = state.vni
    }
    return bound
  }
}
