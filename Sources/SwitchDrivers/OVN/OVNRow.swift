import Wire

/// A row of ours in OVN's northbound database: the key stands in its `external_ids`, so that it is found again and
/// everybody else's rows are left alone.
struct OVNKey: Sendable, Hashable, Comparable, CustomStringConvertible {
  /// The key in `external_ids`.
  static let label = "steelyard"
  let table: OVNTable
  /// "network/UUID"
  let name: String
  init(_ table: OVNTable, _ name: String) {
    self.table = table
    self.name = name
  }
  var description: String { "\(table.rawValue) \(name)" }
  static func < (a: OVNKey, b: OVNKey) -> Bool { (a.table.rawValue, a.name) < (b.table.rawValue, b.name) }
}

/// The tables in which there are rows of ours. Source: ovn-nb(5), OVN 23.03.
enum OVNTable: String, Sendable, CaseIterable {
  case chassisGroup = "HA_Chassis_Group"
  case chassis = "HA_Chassis"
  case dhcpOptions = "DHCP_Options"
  case logicalSwitch = "Logical_Switch"
  case switchPort = "Logical_Switch_Port"
  case router = "Logical_Router"
  case routerPort = "Logical_Router_Port"
  case route = "Logical_Router_Static_Route"
  case policy = "Logical_Router_Policy"
  case translation = "NAT"
  case loadBalancer = "Load_Balancer"

  /// The columns that we write; others are whoever's.
  var columns: [String] {
    switch self {
    case .chassisGroup: ["name", "ha_chassis"]
    case .chassis: ["chassis_name", "priority"]
    case .dhcpOptions: ["cidr", "options"]
    case .logicalSwitch: ["name", "ports"]
    case .switchPort:
      ["name", "type", "options", "tag", "addresses", "enabled", "dhcpv4_options", "ha_chassis_group"]
    case .router: ["name", "enabled", "options", "ports", "static_routes", "policies", "nat", "load_balancer"]
    case .routerPort: ["name", "mac", "networks", "options", "ha_chassis_group"]
    case .route: ["ip_prefix", "nexthop", "output_port"]
    case .policy: ["priority", "match", "action"]
    case .translation: ["type", "external_ip", "logical_ip"]
    case .loadBalancer: ["name", "protocol", "vips"]
    }
  }
}

/// What a column shall hold.
enum OVNValue: Sendable, Equatable {
  case text(String)
  case number(Int)
  case texts(Set<String>)
  /// A column that may be empty.
  case optionalText(String?)
  case optionalNumber(Int?)
  case optionalFlag(Bool?)
  case map([String: String])
  /// Another row of ours, or none.
  case row(OVNKey?)
  /// Rows of ours; those of others in the same column stay.
  case rows(Set<OVNKey>)

  /// Whether the column holds this already.
  /// - Parameter key: of a row's UUID, where it is one of ours.
  func matches(_ actual: JSON?, _ key: (String) -> OVNKey?) -> Bool {
    switch self {
    case .text(let text): return OVSDBValue.string(actual) == text
    case .number(let number): return OVSDBValue.int(actual) == number
    case .texts(let texts): return Set(OVSDBValue.members(actual).compactMap(\.string)) == texts
    case .optionalText(let text): return OVSDBValue.string(actual) == text
    case .optionalNumber(let number): return OVSDBValue.int(actual) == number
    case .optionalFlag(let flag): return OVSDBValue.members(actual).first?.bool == flag
    case .map(let map): return OVSDBValue.pairs(actual) == map
    case .row(let wanted):
      let ids = OVSDBValue.ids(actual)
      return wanted.map { ids.count == 1 && key(ids[0]) == $0 } ?? ids.isEmpty
    case .rows(let wanted): return Set(OVSDBValue.ids(actual).compactMap(key)) == wanted
    }
  }

  /// The value as it goes into the database.
  /// - Parameter reference: how a row of ours is called in this transaction.
  func json(_ reference: (OVNKey) -> JSON?) -> JSON {
    switch self {
    case .text(let text): .string(text)
    case .number(let number): .int(number)
    case .texts(let texts): OVSDBValue.set(texts.sorted().map { .string($0) })
    case .optionalText(let text): OVSDBValue.optional(text.map { .string($0) })
    case .optionalNumber(let number): OVSDBValue.optional(number.map { .int($0) })
    case .optionalFlag(let flag): OVSDBValue.optional(flag.map { .bool($0) })
    case .map(let map): OVSDBValue.map(map)
    case .row(let key): OVSDBValue.optional(key.flatMap(reference))
    case .rows(let keys): OVSDBValue.set(keys.sorted().compactMap(reference))
    }
  }
}

/// A row as it shall be.
struct OVNRow: Sendable, Equatable {
  let key: OVNKey
  var values: [String: OVNValue]
}
