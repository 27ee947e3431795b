import Domain
import Wire

/// The database operations that put ports behind the filter bridge, change what filters them, and take them back: part of the
/// one transaction of a visit. Decides; asks nobody.
struct FilterChange: Sendable {
  private let replica: BridgeReplica
  private var operations: [JSON] = []
  private var joiningFilter: [JSON] = []
  private var leavingFilter: [JSON] = []
  private var joiningBridge: [JSON] = []
  private var leavingBridge: [JSON] = []
  private var zonesTaken: Set<Int>
  /// The visit touches a port that is, was or will be filtered: the rules have to be looked at.
  private(set) var touchesFilters = false

  init(_ replica: BridgeReplica) {
    self.replica = replica
    zonesTaken = replica.zonesTaken
  }

  /// Brings one port to a configuration.
  ///
  /// - Returns: the row that carries its VLANs and label from now on is another one than before, and is seen to; false when
  ///   that is left to who asks.
  mutating func take(
    _ name: String, _ port: BridgeReplica.Port, to configuration: PortConfiguration, label: String?
  ) -> Bool {
    let patch = replica.filterPatches[name]
    if configuration.accessLists.isEmpty {
      guard patch != nil else { return false }
      touchesFilters = true
      removePatch(name)
      guard let filtered = port.filtered else { return false }
      leavingFilter.append(OVSDBValue.uuid(filtered.machineID))
      joiningBridge.append(OVSDBValue.uuid(filtered.machineID))
      set(filtered.machineID, PortSettings(configuration), label)
      return true
    }
    touchesFilters = true
    let lists = configuration.accessLists
    if let filtered = port.filtered, filtered.isSound {
      let ids = [FilterBridge.listsKey: FilterBridge.text(lists, zones: zones(for: lists, keeping: filtered.zones))]
      set(filtered.patchID, PortSettings(configuration), label, and: ids)
      return true
    }
    // Anew, whatever is left of an old one.
    removePatch(name)
    let machineID = port.filtered?.machineID ?? port.id
    if port.filtered == nil {
      leavingBridge.append(OVSDBValue.uuid(machineID))
      joiningFilter.append(OVSDBValue.uuid(machineID))
    }
    // Put back into the bridge by hand it would reach nobody.
    set(machineID, .quarantine, nil)
    let number = operations.count
    joiningFilter.append(
      insertPatch(
        FilterBridge.network(name), to: FilterBridge.patch(name), "net\(number)",
        PortSettings(mode: .trunk, tag: nil, trunks: [], protected: false).row, [:]))
    var ids = [
      FilterBridge.portKey: name,
      FilterBridge.listsKey: FilterBridge.text(lists, zones: zones(for: lists, keeping: [:])),
    ]
    ids[BridgeReplica.labelKey] = label
    joiningBridge.append(
      insertPatch(
        FilterBridge.patch(name), to: FilterBridge.network(name), "acl\(number)", PortSettings(configuration).row, ids))
    return true
  }

  /// Every operation, the bridges' own last.
  var all: [JSON] {
    var all = operations
    if let main = replica.mainBridge { all += Self.members(of: main.id, joiningBridge, leavingBridge) }
    guard touchesFilters, !joiningFilter.isEmpty || !leavingFilter.isEmpty || replica.filterBridge != nil else {
      return all
    }
    guard let filter = replica.filterBridge else { return all + makeBridge() }
    if filter.row.failMode != "secure" {
      all.append(
        ["op": "update", "table": "Bridge", "where": Self.row(filter.id), "row": ["fail_mode": "secure"]])
    }
    return all + Self.members(of: filter.id, joiningFilter, leavingFilter)
  }

  // MARK: Operations

  private static func row(_ id: String) -> JSON { [["_uuid", "==", OVSDBValue.uuid(id)]] }
  private static func members(of bridge: String, _ joining: [JSON], _ leaving: [JSON]) -> [JSON] {
    var mutations: [JSON] = []
    if !leaving.isEmpty { mutations.append(["ports", "delete", OVSDBValue.set(leaving)]) }
    if !joining.isEmpty { mutations.append(["ports", "insert", OVSDBValue.set(joining)]) }
    if mutations.isEmpty { return [] }
    return [["op": "mutate", "table": "Bridge", "where": row(bridge), "mutations": .array(mutations)]]
  }

  private mutating func set(
    _ id: String, _ settings: PortSettings, _ label: String?, and ids: [String: String] = [:]
  ) {
    operations.append(
      ["op": "update", "table": "Port", "where": Self.row(id), "row": .object(settings.row)])
    var written = ids
    written[BridgeReplica.labelKey] = label
    let keys = Set(written.keys).union([BridgeReplica.labelKey]).sorted()
    var mutations: [JSON] = [["external_ids", "delete", OVSDBValue.set(keys.map { .string($0) })]]
    if !written.isEmpty { mutations.append(["external_ids", "insert", OVSDBValue.map(written)]) }
    operations.append(["op": "mutate", "table": "Port", "where": Self.row(id), "mutations": .array(mutations)])
  }

  private mutating func insertPatch(
    _ name: String, to peer: String, _ key: String, _ settings: JSONObject, _ ids: [String: String]
  ) -> JSON {
    operations.append(
      [
        "op": "insert", "table": "Interface", "uuid-name": .string("i\(key)"),
        "row": ["name": .string(name), "type": "patch", "options": OVSDBValue.map(["peer": peer])],
      ])
    var row = settings
    row["name"] = .string(name)
    row["interfaces"] = ["named-uuid", .string("i\(key)")]
    row["external_ids"] = OVSDBValue.map(ids)
    operations.append(
      ["op": "insert", "table": "Port", "uuid-name": .string("p\(key)"), "row": .object(row)])
    return ["named-uuid", .string("p\(key)")]
  }

  private mutating func removePatch(_ name: String) {
    if let patch = replica.filterPatches[name] { leavingBridge.append(OVSDBValue.uuid(patch)) }
    if let network = replica.filterBridgePort(FilterBridge.network(name)) {
      leavingFilter.append(OVSDBValue.uuid(network))
    }
  }

  private func makeBridge() -> [JSON] {
    let name = FilterBridge.name(of: replica.bridge)
    let own: JSON = ["named-uuid", "pfilter"]
    var ports = joiningFilter
    ports.append(own)
    return [
      [
        "op": "insert", "table": "Interface", "uuid-name": "ifilter",
        "row": ["name": .string(name), "type": "internal"],
      ],
      [
        "op": "insert", "table": "Port", "uuid-name": "pfilter",
        "row": ["name": .string(name), "interfaces": ["named-uuid", "ifilter"]],
      ],
      [
        "op": "insert", "table": "Bridge", "uuid-name": "bfilter",
        "row": [
          "name": .string(name), "fail_mode": "secure",
          "datapath_type": .string(replica.mainBridge?.row.datapath ?? ""),
          "ports": OVSDBValue.set(ports),
        ],
      ],
      [
        "op": "mutate", "table": "Open_vSwitch", "where": [],
        "mutations": [["bridges", "insert", OVSDBValue.set([["named-uuid", "bfilter"]])]],
      ],
    ]
  }

  /// A zone for every list; those that there are stay.
  private mutating func zones(for lists: [Int: AccessList], keeping kept: [Int: Int]) -> [Int: Int] {
    var zones: [Int: Int] = [:]
    for vlan in lists.keys.sorted() {
      let zone = kept[vlan] ?? FilterBridge.zones.first { !zonesTaken.contains($0) } ?? FilterBridge.zones.upperBound
      zonesTaken.insert(zone)
      zones[vlan] = zone
    }
    return zones
  }
}
