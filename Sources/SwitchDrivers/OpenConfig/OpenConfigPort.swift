import Domain
import Wire

/// One interface of the OpenConfig models `openconfig-interfaces`, `openconfig-if-ethernet` and `openconfig-vlan`.
struct OpenConfigPort: Sendable, Equatable {
  var isEnabled = true
  var description = ""
  /// "ACCESS" or "TRUNK"; nil for an interface that is not switched.
  var mode: String?
  var accessVLAN: Int?
  var nativeVLAN: Int?
  /// Nil for what is no list of numbers.
  var trunkVLANs: [Int]? = []

  var state: SwitchPortState {
    let carried: PortConfiguration
    switch mode {
    case "ACCESS": carried = PortConfiguration(native: accessVLAN ?? 1)
    case "TRUNK":
      if let nativeVLAN, let trunkVLANs {
        carried = PortConfiguration(native: nativeVLAN, tagged: trunkVLANs.filter { $0 != nativeVLAN })
      } else {
        carried = SwitchPortState.foreign
      }
    default: carried = SwitchPortState.foreign
    }
    return SwitchPortState(
      configuration: isEnabled ? carried : .quarantine, description: description, underneath: carried)
  }

  /// One member of `trunk-vlans`: a number, or "101..103".
  static func vlans(_ text: String) -> [Int]? {
    let bounds = text.split(separator: ".", omittingEmptySubsequences: true)
    guard let first = bounds.first.flatMap({ SwitchText.vlan($0) }),
      let last = bounds.last.flatMap({ SwitchText.vlan($0) }),
      bounds.count <= 2, first <= last
    else { return nil }
    return Array(first...last)
  }
  static func vlans(_ texts: [String]) -> [Int]? {
    var all: [Int] = []
    for text in texts {
      guard let some = vlans(text) else { return nil }
      all += some
    }
    return all
  }

  /// From RESTCONF; nil for what is no port (loopbacks, VLAN interfaces, management).
  init?(_ json: JSON) {
    let config = json["config"]
    let type = config?["type"]?.string ?? ""
    guard type.isEmpty || type.hasSuffix("ethernetCsmacd") || type.hasSuffix("ieee8023adLag") else { return nil }
    isEnabled = config?["enabled"]?.bool ?? true
    description = config?["description"]?.string ?? ""
    let link = json["openconfig-if-ethernet:ethernet"] ?? json["openconfig-if-aggregate:aggregation"]
    guard let link else { return nil }
    let vlan = link["openconfig-vlan:switched-vlan"]?["config"]
    mode = vlan?["interface-mode"]?.string
    accessVLAN = vlan?["access-vlan"]?.lenientInt
    nativeVLAN = vlan?["native-vlan"]?.lenientInt
    trunkVLANs = Self.vlans((vlan?["trunk-vlans"]?.array ?? []).map { $0.string ?? $0.int.map { "\($0)" } ?? "?" })
  }
  /// From NETCONF.
  init?(_ element: XMLElement) {
    let config = element["config"]
    let type = config?["type"]?.text ?? ""
    guard type.isEmpty || type.hasSuffix("ethernetCsmacd") || type.hasSuffix("ieee8023adLag") else { return nil }
    isEnabled = config?["enabled"].map { $0.text == "true" } ?? true
    description = config?["description"]?.text ?? ""
    let vlan = (element["ethernet"] ?? element["aggregation"])?["switched-vlan"]?["config"]
    mode = vlan?["interface-mode"]?.text
    accessVLAN = vlan?["access-vlan"].flatMap { Int($0.text) }
    nativeVLAN = vlan?["native-vlan"].flatMap { Int($0.text) }
    trunkVLANs = Self.vlans((vlan?.all("trunk-vlans") ?? []).map(\.text))
  }

  /// What `switched-vlan/config` is to be; nil for a port that is to be shut.
  static func wanted(_ configuration: PortConfiguration) -> JSON? {
    guard let native = configuration.native else { return nil }
    if configuration.tagged.isEmpty { return ["interface-mode": "ACCESS", "access-vlan": .int(native)] }
    return [
      "interface-mode": "TRUNK", "native-vlan": .int(native),
      "trunk-vlans": .array(configuration.tagged.map { .int($0) }),
    ]
  }
}
