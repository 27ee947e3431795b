import Domain

/// What a switch driver can do; an API refuses (409) what the switch bound to a port cannot.
public struct SwitchCapabilities: OptionSet, Sendable {
  public let rawValue: Int
  public init(rawValue: Int) { self.rawValue = rawValue }
  public static let trunk = SwitchCapabilities(rawValue: 1)
  public static let lldp = SwitchCapabilities(rawValue: 2)
  public static let macTable = SwitchCapabilities(rawValue: 4)
  public static let watch = SwitchCapabilities(rawValue: 8)
  /// Takes ``PortConfiguration/accessLists``.
  public static let acl = SwitchCapabilities(rawValue: 16)
  /// Joins VLANs of sites that share no switch, by VXLAN (RFC 7348); who learns of whom: ``SwitchInterface/controlPlane``.
  public static let vni = SwitchCapabilities(rawValue: 32)
}

/// One switch. Verbs take whole desired state and may be repeated.
///
/// Every change is read back: a verb returns only when the switch itself reports the new state
/// (``DriverError`` `.notInForce` otherwise).
public protocol SwitchInterface: Sendable {
  var name: String { get }
  var capabilities: SwitchCapabilities { get }
  /// The set of switches on which a VLAN means one thing; nil for the site's first.
  var physicalNetwork: String? { get }
  /// How it learns of the other ends of a VNI; nil without the capability `vni`.
  var controlPlane: TunnelControlPlane? { get }

  /// Logs in and reads something harmless.
  func probe() async throws
  /// Every port that may carry a machine, with what it carries now. Ports of the switch's own use are left out.
  func listPorts() async throws -> [String: PortConfiguration]
  /// What one port carries now.
  /// - Throws: ``DriverError`` `.misconfigured` for a port that the switch does not have.
  func readPort(_ port: String) async throws -> PortConfiguration
  /// Brings all the ports to the given state in one visit, and reads them back.
  /// - Parameter label: the effect key of the workflow step, written where the switch can keep it (description,
  ///   external id) so that the sweeper can tell whose it is; nil removes it.
  func apply(_ ports: [String: PortConfiguration], label: String?) async throws
  /// The VNIs that are bound here, by the VLAN that each is joined to; one that is bound in part has a negative key.
  func boundVNIs() async throws -> [Int: Int]
  /// Joins a VLAN of this switch to the network with this identifier on the other sites, instead of what either was bound to.
  /// - Throws: ``DriverError`` `.unsupported` without the capability `vni`.
  func bindVNI(_ vni: Int, vlan: Int) async throws
  /// The VLAN is this site's alone. Nothing happens when the identifier is not bound.
  func unbindVNI(_ vni: Int) async throws
  /// MAC addresses seen per port, with their VLAN. Empty when the switch cannot tell.
  func macTable() async throws -> [(port: String, vlan: Int, mac: MACAddress)]
  /// Ports that changed without us, as they change; the caller reconciles. Ends when the connection drops.
  func watch() -> AsyncThrowingStream<Set<String>, any Error>

  // What only switches with a configuration of their own need; `PhysicalSwitch.swift` has the defaults.

  /// Makes a VLAN known to the switch, with a name for people. `apply` makes those that its ports need by itself.
  func ensureNetwork(vlan: Int, name: String?) async throws
  /// What the switch hears by LLDP on its ports. Empty when it cannot tell.
  func neighbours() async throws -> [SwitchNeighbour]
  /// Writes the running configuration to where the switch starts from.
  func save() async throws
  /// What an administrator should know of how this driver was tested, a sentence; nil for one that met what it drives.
  var caution: String? { get }
}

extension SwitchInterface {
  public var physicalNetwork: String? { nil }
  public var controlPlane: TunnelControlPlane? { capabilities.contains(.vni) ? .fixedPeers : nil }
  public func boundVNIs() async throws -> [Int: Int] { [:] }
  public func bindVNI(_ vni: Int, vlan: Int) async throws {
    throw DriverError(.unsupported, device: .networkSwitch(name), detail: "it joins no VLANs of other sites")
  }
  public func unbindVNI(_ vni: Int) async throws {}
}

/// The switches of the site by name.
public protocol SwitchRegistry: Sendable {
  /// - Throws: ``DriverError`` `.misconfigured` naming the switches that exist.
  func switchNamed(_ name: String) throws -> any SwitchInterface
  var all: [any SwitchInterface] { get }
}
