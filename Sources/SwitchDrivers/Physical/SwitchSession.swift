import Domain
import DriverInterfaces

/// One port as a switch with a configuration of its own shows it.
struct SwitchPortState: Sendable, Equatable {
  var configuration: PortConfiguration
  /// The text that people give a port; ours begins with ``PortDescription/prefix``.
  var description = ""
  /// What a port that is shut would carry, where it must be taken out of each network by name.
  var underneath: PortConfiguration?

  /// A state that this program never makes (a routed port, all VLANs, a tunnel): it differs from every wish.
  static let foreign = PortConfiguration(native: 0)
}

/// What is to become of one port.
struct PortChange: Sendable, Equatable {
  var port: String
  var before: SwitchPortState
  var wanted: PortConfiguration
  /// Nil leaves the text that is there, which is somebody's; empty removes ours.
  var description: String?

  /// The VLANs that the port is in now, up or not.
  var old: (native: Int?, tagged: [Int]) {
    let state = before.underneath ?? before.configuration
    return (state.native.flatMap { $0 > 0 ? $0 : nil }, state.tagged)
  }
}

/// A conversation with one switch, for one visit.
///
/// What differs between vendors is here and nowhere else; ``PhysicalSwitch`` decides what is done, and reads it back.
/// The VLANs of a change are made by it, too.
protocol SwitchSession: Sendable {
  /// True when `change` is done whole or not at all, by the switch itself.
  var isTransactional: Bool { get }
  /// Whether a port has a text of people's.
  var keepsDescriptions: Bool { get }
  /// Every port that could carry a machine, link aggregates included, as the switch itself shows it now.
  func ports() async throws -> [String: SwitchPortState]
  func change(_ changes: [PortChange]) async throws
  /// Makes the change last when the switch would else take it back by itself.
  func confirm() async throws
  /// Undoes the change that has not been confirmed; false when this switch cannot.
  func takeBack() async throws -> Bool
  func ensureNetwork(vlan: Int, name: String?) async throws
  /// The VNIs of VLANs, those of routing left out.
  func vnis() async throws -> [VNIState]
  /// Takes away what VNIs have, and then joins one to a VLAN, in one change.
  func changeVNIs(removing: [VNIState], joining: (vni: Int, vlan: Int)?) async throws
  func neighbours() async throws -> [SwitchNeighbour]
  func macTable() async throws -> [(port: String, vlan: Int, mac: MACAddress)]
  func save() async throws
  /// Ends the conversation; never fails.
  func close() async
}

extension SwitchSession {
  var keepsDescriptions: Bool { true }
  func confirm() async throws {}
  func takeBack() async throws -> Bool { false }
  func vnis() async throws -> [VNIState] { [] }
  func changeVNIs(removing: [VNIState], joining: (vni: Int, vlan: Int)?) async throws {}
  func neighbours() async throws -> [SwitchNeighbour] { [] }
  func macTable() async throws -> [(port: String, vlan: Int, mac: MACAddress)] { [] }
  func close() async {}
}

/// The way to one switch.
protocol SwitchAccess: Sendable {
  /// With `vni` where the switch is a leaf of a fabric and the kind can join VLANs to VNIs.
  var capabilities: SwitchCapabilities { get }
  var caution: String? { get }
  /// - Throws: ``DriverError``.
  func open() async throws -> any SwitchSession
}

/// The effect key in a port's description.
enum PortDescription {
  static let prefix = "steelyard:"
  /// Bytes that every switch keeps.
  static let limit = 60

  /// What to write for a label, given what is there: nil leaves it, for what people wrote stays theirs.
  static func change(from before: String, label: String?) -> String? {
    guard before.isEmpty || before.hasPrefix(prefix) else { return nil }
    let text = label.map { prefix + $0 } ?? ""
    return text == before || text.utf8.count > limit ? nil : text
  }
}
