import Domain
import Wire

/// How a port of an Open vSwitch treats VLANs: the columns of its `Port` row that this driver owns.
///
/// Source: ovs-vswitchd.conf.db(5), "Port TABLE", VLAN Configuration.
struct PortSettings: Sendable, Equatable {
  enum Mode: String, Sendable {
    case access, trunk
    case nativeTagged = "native-tagged"
    case nativeUntagged = "native-untagged"
    case tunnel = "dot1q-tunnel"
  }
  var mode: Mode
  /// The access or native VLAN, 0 to 4095.
  var tag: Int?
  /// Ascending. In every mode but access, none means all of them.
  var trunks: [Int]
  /// Exchanges nothing with other protected ports of the bridge.
  var protected: Bool

  /// The one VLAN of quarantined ports: a number that no network has (IEEE 802.1Q reserves it) and no switch carries.
  static let quarantineVLAN = 4095

  /// Reaches nobody. A trunk of VLAN 4095 alone takes no untagged frame and none of any real VLAN, in or out, and
  /// `protected` parts it from the other quarantined ports, should it send frames tagged 4095. (An access VLAN for
  /// quarantine would not do: its broadcasts leave through every trunk that carries all VLANs, to other switches'
  /// quarantined ports.) What is left is a frame that a machine tags 4095 itself, towards an uplink that carries
  /// all VLANs; ``BridgeReplica/hazards`` tells of those.
  static let quarantine = PortSettings(mode: .trunk, tag: nil, trunks: [quarantineVLAN], protected: true)

  init(mode: Mode, tag: Int?, trunks: [Int], protected: Bool) {
    self.mode = mode
    self.tag = tag
    self.trunks = trunks
    self.protected = protected
  }

  /// What brings a port to `configuration`, which must be one without a ``PortConfiguration/problem``.
  ///
  /// On a native-untagged port a frame with two tags could come out as one of a tagged VLAN: ``DoubleTagGuard``.
  init(_ configuration: PortConfiguration) {
    guard let native = configuration.native else {
      self = .quarantine
      return
    }
    self.init(
      mode: configuration.tagged.isEmpty ? .access : .nativeUntagged, tag: native, trunks: configuration.tagged,
      protected: false)
  }

  /// From the columns `vlan_mode`, `tag`, `trunks` and `protected` of a row.
  init(row: JSON) {
    let tag = OVSDBValue.int(row["tag"])
    let trunks = OVSDBValue.ints(row["trunks"])
    // Without a mode a port with a tag is an access port, whatever its trunks, and any other a trunk.
    let mode = OVSDBValue.string(row["vlan_mode"]).flatMap { Mode(rawValue: $0) } ?? (tag == nil ? .trunk : .access)
    self.init(
      mode: mode, tag: mode == .trunk ? nil : tag, trunks: mode == .access ? [] : trunks,
      protected: row["protected"]?.bool ?? false)
  }

  /// The columns to write. All of them: a stray `trunks` left from before must not come back with another mode.
  var row: JSONObject {
    [
      "vlan_mode": .string(mode.rawValue),
      "tag": OVSDBValue.optional(tag.map { .int($0) }),
      "trunks": OVSDBValue.set(trunks),
      "cvlans": OVSDBValue.set([Int]()),
      "protected": .bool(protected),
    ]
  }

  /// What the port carries, in the driver interface's words.
  ///
  /// Settings that this driver does not make (a trunk of everything, as a port is when it is new; native-tagged; a
  /// protected access port) come out with native VLAN 0, so that they differ from anything that can be wanted.
  var configuration: PortConfiguration {
    if self == .quarantine { return .quarantine }
    if !protected, let tag, (1...4094).contains(tag) {
      if mode == .access { return PortConfiguration(native: tag) }
      if mode == .nativeUntagged {
        return PortConfiguration(
          native: tag, tagged: trunks.isEmpty ? (1...4094).filter { $0 != tag } : trunks.filter { $0 != tag })
      }
    }
    return PortConfiguration(native: 0, tagged: mode == .access ? [] : trunks.isEmpty ? Array(1...4094) : trunks)
  }

  /// True when frames of `vlan` pass through the port.
  func carries(_ vlan: Int) -> Bool {
    switch mode {
    case .access, .tunnel: tag == vlan
    case .trunk: trunks.isEmpty || trunks.contains(vlan)
    case .nativeTagged, .nativeUntagged: trunks.isEmpty || trunks.contains(vlan) || tag == vlan
    }
  }
}
