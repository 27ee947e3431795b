/// A port of a physical switch as a baremetal port's `local_link_connection` names it.
public struct SwitchPort: Sendable, Hashable, CustomStringConvertible {
  /// The switch as the administrator calls it: `switch_info`, else `switch_id`.
  public var switchName: String
  /// The port as the switch calls it: `port_id`.
  public var port: String
  public init(switchName: String, port: String) {
    self.switchName = switchName
    self.port = port
  }
  public var description: String { "switch \(switchName) port \(port)" }
}

/// What a switch port should carry, whole: `apply` replaces all that was there.
public struct PortConfiguration: Sendable, Equatable {
  /// The native (untagged) VLAN, 1 to 4094; nil is quarantine: the port reaches nobody.
  public var native: Int?
  /// VLANs carried tagged, each 1 to 4094, in ascending order.
  public var tagged: [Int]
  /// What passes on which of these VLANs, for those that are filtered; a switch without ``SwitchCapabilities/acl`` takes none.
  public var accessLists: [Int: AccessList]
  public init(native: Int?, tagged: [Int] = [], accessLists: [Int: AccessList] = [:]) {
    self.native = native
    self.tagged = tagged.sorted()
    self.accessLists = accessLists
  }
  /// The resting state: reaches nobody, in both directions.
  public static let quarantine = PortConfiguration(native: nil)
}
