import Domain
import DriverInterfaces
import Wire

/// The rows of an Open vSwitch database that say which ports a bridge has and what they carry.
///
/// Filled from a transaction's selects or from a monitor's updates; decides, and asks nobody.
struct BridgeReplica: Sendable {
  struct Port: Sendable, Equatable {
    /// UUID of its row.
    var id: String
    var settings: PortSettings
    /// The effect key kept with it.
    var label: String?
    /// False for ports of the switch's own: internal, tunnels, uplinks, the bridge itself.
    var isForMachines: Bool
    /// The port is behind the filter bridge; its VLANs are those of the patch to it.
    var filtered: FilteredPort?

    /// What it carries, in the driver interface's words.
    var configuration: PortConfiguration {
      var configuration = settings.configuration
      configuration.accessLists = filtered?.inForce ?? [:]
      return configuration
    }
  }
  /// The key in `external_ids` under which a port's label is kept.
  static let labelKey = "steelyard"
  /// Types of interface that a machine can be plugged into; "" is the system's own devices.
  private static let machineTypes: Set<String> = [
    "", "system", "tap", "netdev", "afxdp", "afxdp-nonpmd", "dpdk", "dpdkvhostuser", "dpdkvhostuserclient", "dummy",
  ]
  /// The columns to ask for, table by table.
  static let columns: [(table: String, columns: [String])] = [
    ("Bridge", ["name", "ports", "datapath_type", "fail_mode"]),
    ("Port", ["name", "interfaces", "vlan_mode", "tag", "trunks", "protected", "external_ids"]),
    ("Interface", ["name", "type", "ofport", "options"]),
  ]

  struct BridgeRow { var name: String, ports: [String], datapath: String, failMode: String? }
  struct PortRow {
    var name: String, interfaces: [String], settings: PortSettings, externalIDs: [String: String]
    var label: String? { externalIDs[BridgeReplica.labelKey] }
  }
  struct InterfaceRow { var name: String, type: String, number: Int?, peer: String? }
  private(set) var bridges: [String: BridgeRow] = [:]
  private(set) var ports: [String: PortRow] = [:]
  private(set) var interfaces: [String: InterfaceRow] = [:]
  let bridge: String
  let uplinks: Set<String>

  init(bridge: String, uplinks: Set<String>) {
    self.bridge = bridge
    self.uplinks = uplinks
  }

  /// Takes a row's new content; nil removes the row.
  mutating func set(_ table: String, _ id: String, _ row: JSON?) {
    switch table {
    case "Bridge":
      bridges[id] = row.map {
        BridgeRow(
          name: OVSDBValue.string($0["name"]) ?? "", ports: OVSDBValue.ids($0["ports"]),
          datapath: OVSDBValue.string($0["datapath_type"]) ?? "", failMode: OVSDBValue.string($0["fail_mode"]))
      }
    case "Port":
      ports[id] = row.map {
        PortRow(
          name: OVSDBValue.string($0["name"]) ?? "", interfaces: OVSDBValue.ids($0["interfaces"]),
          settings: PortSettings(row: $0), externalIDs: OVSDBValue.pairs($0["external_ids"]))
      }
    case "Interface":
      interfaces[id] = row.map {
        InterfaceRow(
          name: OVSDBValue.string($0["name"]) ?? "", type: OVSDBValue.string($0["type"]) ?? "",
          number: OVSDBValue.int($0["ofport"]), peer: OVSDBValue.pairs($0["options"])["peer"])
      }
    default: break
    }
  }
  /// Takes `<table-updates>` (RFC 7047 section 4.1.6), also those of a monitor's first answer.
  mutating func update(_ tables: JSON) {
    for table in tables.object ?? [:] {
      for row in table.value.object ?? [:] { set(table.key, row.key, row.value["new"]) }
    }
  }

  var bridgeNames: [String] { bridges.values.map(\.name).sorted() }
  var hasBridge: Bool { bridges.values.contains { $0.name == bridge } }

  /// The ports of the bridge by name.
  var portsByName: [String: Port] {
    var result: [String: Port] = [:]
    for id in bridges.values.first(where: { $0.name == bridge })?.ports ?? [] {
      guard let row = ports[id], row.externalIDs[FilterBridge.portKey] == nil else { continue }
      result[row.name] = Port(
        id: id, settings: row.settings, label: row.label, isForMachines: isForMachines(row))
    }
    // A port that is in the bridge itself is not filtered, whatever was left of its filter.
    for filtered in filteredPorts where result[filtered.name] == nil {
      guard let patch = ports[filtered.patchID], let row = ports[filtered.machineID] else { continue }
      result[filtered.name] = Port(
        id: filtered.patchID, settings: patch.settings, label: patch.label, isForMachines: isForMachines(row),
        filtered: filtered)
    }
    return result
  }
  private func isForMachines(_ row: PortRow) -> Bool {
    row.name != bridge && !uplinks.contains(row.name)
      && row.interfaces.allSatisfy { Self.machineTypes.contains(interfaces[$0]?.type ?? "unknown") }
  }
  var machinePorts: [String: Port] { portsByName.filter(\.value.isForMachines) }

  /// Names of ports by the number or the name that `fdb/show` prints.
  var portsByNumber: [String: String] {
    var result: [String: String] = [:]
    for id in bridges.values.first(where: { $0.name == bridge })?.ports ?? [] {
      guard let row = ports[id], row.name != bridge else { continue }
      for interface in row.interfaces.compactMap({ interfaces[$0] }) {
        let name = row.externalIDs[FilterBridge.portKey] ?? row.name
        result[interface.name] = name
        if let number = interface.number { result["\(number)"] = name }
      }
    }
    return result
  }

  /// Why this switch can do less than it promises, each a sentence for the administrator.
  var hazards: [String] {
    portsByName.filter { uplinks.contains($0.key) && $0.value.settings.carries(PortSettings.quarantineVLAN) }.keys
      .sorted()
      .map {
        "uplink \($0) carries every VLAN, also 4095: a quarantined machine that tags its own frames could reach "
          + "quarantined machines of another switch; list the uplink's VLANs (ovs-vsctl set port \($0) trunks=…)"
      }
      + uplinks.subtracting(portsByName.keys).sorted().map { "uplink \($0) is no port of bridge \(bridge)" }
  }
}
