import Domain
import Wire

/// A machine's port that is filtered: it stands in the filter bridge, and a patch leads from there to the bridge with the VLANs.
///
/// ```
///  machine ── P ──[ filter bridge: OpenFlow, fail_mode=secure ]── net-P ══ acl-P ──[ bridge: VLANs, NORMAL ]── …
/// ```
/// So every frame to and from the machine passes the rules, broadcasts too, whatever the bridge has learnt; and the bridge with
/// the VLANs goes on as it is for all others. What filters P is kept with `acl-P` in the switch's database: rules are always
/// written anew from there. A switch that starts again has none and passes nothing for these ports until it has them again.
struct FilteredPort: Sendable, Equatable {
  /// The machine's port.
  var name: String
  /// Row of the machine's port, in the filter bridge.
  var machineID: String
  /// Row of `acl-P`, in the bridge with the VLANs.
  var patchID: String
  /// OpenFlow's numbers in the filter bridge; nil while the switch has not given them.
  var machineNumber: Int?
  var networkNumber: Int?
  var native: Int?
  var tagged: [Int]
  /// By VLAN; what was last asked for.
  var accessLists: [Int: AccessList]
  /// Conntrack's zone of each VLAN that has a list, 32768 to 65535.
  var zones: [Int: Int]
  /// The filter bridge passes nothing without rules, and the patch leads where it should.
  var isSound: Bool
  /// Its rules were looked at and are not those that they should be.
  var hasOtherRules = false

  /// The lists that the port has; a list of VLAN 0, which nobody can want, when they are not in force.
  var inForce: [Int: AccessList] {
    isSound && !hasOtherRules ? accessLists : [0: AccessList(sources: [], rules: [])]
  }
  /// Marks the port's rules.
  var cookie: UInt64 { Self.cookie(name) }
  /// FNV-1a of the name; the highest byte is ours.
  static func cookie(_ name: String) -> UInt64 {
    let hash = name.utf8.reduce(UInt64(0xcbf2_9ce4_8422_2325)) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
    return hash & 0x00ff_ffff_ffff_ffff | 0x5a << 56
  }
}

/// Names of what belongs to filtered ports in the switch's database.
enum FilterBridge {
  /// In `external_ids` of `acl-P`: the machine's port.
  static let portKey = "steelyard-port"
  /// In `external_ids` of `acl-P`: its access lists and zones.
  static let listsKey = "steelyard-acl"
  static let zones = 32768...65535

  /// At most 15 bytes: in the userspace datapath the bridge is a device.
  static func name(of bridge: String) -> String {
    let plain = "\(bridge)-acl"
    if plain.utf8.count <= 15 { return plain }
    return "acl-" + String(FilteredPort.cookie(bridge) & 0xffff_ffff | 1 << 35, radix: 16)
  }
  /// The patch in the bridge with the VLANs.
  static func patch(_ port: String) -> String { "acl-\(port)" }
  /// Its other end, in the filter bridge.
  static func network(_ port: String) -> String { "net-\(port)" }

  /// What is kept with `acl-P`.
  static func text(_ lists: [Int: AccessList], zones: [Int: Int]) -> String {
    var object = JSONObject()
    for (vlan, list) in lists.sorted(by: { $0.key < $1.key }) {
      object["\(vlan)"] = ["zone": .int(zones[vlan] ?? 0), "list": list.json]
    }
    return JSON.object(object).description
  }
  /// Nil for what ``text(_:zones:)`` has not written.
  static func read(_ text: String) -> (lists: [Int: AccessList], zones: [Int: Int])? {
    guard let object = try? JSON.parse(Array(text.utf8)).object else { return nil }
    var lists: [Int: AccessList] = [:]
    var zones: [Int: Int] = [:]
    for member in object {
      guard let vlan = Int(member.key), let zone = member.value["zone"]?.int, Self.zones.contains(zone),
        let list = member.value["list"].flatMap({ AccessList(json: $0) })
      else { return nil }
      lists[vlan] = list
      zones[vlan] = zone
    }
    return (lists, zones)
  }
}

extension BridgeReplica {
  var mainBridge: (id: String, row: BridgeRow)? { bridgeRow(bridge) }
  var filterBridge: (id: String, row: BridgeRow)? { bridgeRow(FilterBridge.name(of: bridge)) }
  private func bridgeRow(_ name: String) -> (id: String, row: BridgeRow)? {
    bridges.first { $0.value.name == name }.map { ($0.key, $0.value) }
  }

  /// The patches of the bridge that lead to a filter, by the machine's port.
  var filterPatches: [String: String] {
    var found: [String: String] = [:]
    for id in mainBridge?.row.ports ?? [] {
      if let port = ports[id]?.externalIDs[FilterBridge.portKey] { found[port] = id }
    }
    return found
  }
  /// A port of the filter bridge by its name.
  func filterBridgePort(_ name: String) -> String? { filterBridge?.row.ports.first { ports[$0]?.name == name } }

  /// The zones that ports of this switch have, whatever their bridge.
  var zonesTaken: Set<Int> {
    Set(
      ports.values.compactMap { $0.externalIDs[FilterBridge.listsKey] }
        .flatMap { FilterBridge.read($0).map { Array($0.zones.values) } ?? [] })
  }

  /// In the order of their names.
  var filteredPorts: [FilteredPort] {
    filterPatches.sorted { $0.key < $1.key }.compactMap { name, patchID in
      guard let patch = ports[patchID], let machineID = filterBridgePort(name), let machine = ports[machineID] else {
        return nil
      }
      let network = filterBridgePort(FilterBridge.network(name)).flatMap { ports[$0] }
      func only(_ row: PortRow?) -> InterfaceRow? {
        guard let row, row.interfaces.count == 1 else { return nil }
        return interfaces[row.interfaces[0]]
      }
      let kept = patch.externalIDs[FilterBridge.listsKey].flatMap { FilterBridge.read($0) }
      let configuration = patch.settings.configuration
      let isJoined =
        only(patch)?.peer == FilterBridge.network(name) && only(network)?.peer == FilterBridge.patch(name)
      let number = only(machine)?.number, other = only(network)?.number
      return FilteredPort(
        name: name, machineID: machineID, patchID: patchID, machineNumber: number, networkNumber: other,
        native: configuration.native, tagged: configuration.tagged, accessLists: kept?.lists ?? [:],
        zones: kept?.zones ?? [:],
        isSound: kept != nil && isJoined && (number ?? -1) > 0 && (other ?? -1) > 0
          && filterBridge?.row.failMode == "secure")
    }
  }
}
