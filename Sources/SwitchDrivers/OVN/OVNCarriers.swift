import Wire

/// The chassis that carry routers and DHCP now, as OVN's southbound database tells (ovn-sb(5)).
///
/// A chassis that has failed stays in the database and takes no change, so that "every chassis" would never come to be while
/// the others carry everything.
struct OVNCarriers: Sendable {
  private let client: OVSDBClient
  init(_ client: OVSDBClient) { self.client = client }

  /// Whether all that is wanted has a chassis, and each of those has taken configuration number `target`.
  func haveTaken(_ target: Int, of rows: [OVNKey: OVNRow]) async throws(OVSDBError) -> Bool {
    func select(_ table: JSON, _ columns: [String], type: JSON? = nil) -> JSON {
      [
        "op": "select", "table": table, "where": type.map { [["type", "==", $0]] } ?? [], "columns": JSON(columns),
      ]
    }
    let results = try await client.transact(
      "OVN_Southbound",
      [
        select("Port_Binding", ["logical_port", "chassis"], type: "chassisredirect"),
        select("Port_Binding", ["logical_port", "chassis"], type: "external"),
        select("Chassis", ["_uuid", "name"]), select("Chassis_Private", ["name", "nb_cfg"]),
      ])
    let found = results.map { $0["rows"]?.array ?? [] }
    guard found.count == 4 else { return false }
    var chassisOf: [String: String] = [:]
    for row in found[0] + found[1] {
      if let name = OVSDBValue.string(row["logical_port"]), let id = OVSDBValue.ids(row["chassis"]).first {
        chassisOf[name] = id
      }
    }
    var carrying: Set<String> = []
    for name in Self.carried(rows) {
      guard let id = chassisOf[name] else { return false }
      carrying.insert(id)
    }
    let names = found[2].filter { OVSDBValue.id($0["_uuid"]).map { carrying.contains($0) } ?? false }
      .compactMap { OVSDBValue.string($0["name"]) }
    let taken = found[3].filter { ($0["nb_cfg"]?.int ?? 0) >= target }.compactMap { OVSDBValue.string($0["name"]) }
    return Set(names).isSubset(of: taken)
  }

  /// The logical ports that a chassis must have claimed.
  private static func carried(_ rows: [OVNKey: OVNRow]) -> [String] {
    rows.values.compactMap { row in
      guard case .text(let name)? = row.values["name"] else { return nil }
      switch row.key.table {
      case .routerPort where row.values["ha_chassis_group"] == .row(OVNPlan.group): return "cr-\(name)"
      case .switchPort where row.values["type"] == .text("external"): return name
      default: return nil
      }
    }
  }
}
