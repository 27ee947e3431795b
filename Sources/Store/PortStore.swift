import Domain
import Wire

/// The NICs of the nodes (baremetal ports).
public enum PortStore {
  private static func port(_ row: borrowing Row) -> Port {
    var port = Port(uuid: row.text(0), nodeUUID: row.text(1), address: row.text(2), createdAt: row.time(9))
    port.name = row.optionalText(3)
    port.localLinkConnection = row.object(4)
    port.isPXEEnabled = row.bool(5)
    port.physicalNetwork = row.optionalText(6)
    port.extra = row.object(7)
    port.vifPortID = row.optionalText(8)
    port.updatedAt = row.optionalTime(10)
    port.portGroupUUID = row.optionalText(11)
    port.groupVIFPortID = row.optionalText(12)
    port.wiringProblem = row.optionalText(13)
    return port
  }

  /// The ports that `narrow` leaves: it appends `WHERE …`, `ORDER BY …`.
  public static func list(in session: any Session, _ narrow: (inout Query) -> Void = { _ in }) throws -> [Port] {
    var query = Query(
      """
      SELECT uuid, node_uuid, address, name, local_link_connection, is_pxe_enabled, physical_network, extra, vif_port_id, \
      created_at, updated_at, port_group_uuid, \
      (SELECT g.vif_port_id FROM port_groups g WHERE g.uuid = ports.port_group_uuid), wiring_problem FROM ports
      """)
    narrow(&query)
    return try session.query(query) { port($0) }
  }
  public static func get(_ uuid: String, in session: any Session) throws -> Port? {
    try list(in: session) { $0.append("WHERE uuid = ?", .text(uuid)) }.first
  }
  public static func find(_ uuidOrName: String, in session: any Session) throws -> Port? {
    try list(in: session) { query in
      if Identifier.isUUID(uuidOrName) {
        query.append("WHERE uuid = ?", .text(uuidOrName.lowercased()))
      } else {
        query.append("WHERE name = ?", .text(uuidOrName))
      }
    }.first
  }
  /// In the order they were made.
  public static func list(node uuid: String, in session: any Session) throws -> [Port] {
    try list(in: session) { $0.append("WHERE node_uuid = ? ORDER BY created_at, address", .text(uuid)) }
  }
  /// How many NICs without a network port each of these nodes has: one statement.
  public static func freeCounts(nodes: [String], in session: any Session) throws -> [String: Int] {
    if nodes.isEmpty { return [:] }
    let rows = try session.queryMany("SELECT node_uuid, vif_port_id FROM ports", "node_uuid", nodes) {
      ($0.text(0), $0.isNull(1))
    }
    return rows.reduce(into: [:]) { if $1.1 { $0[$1.0, default: 0] += 1 } }
  }
  /// The members of a port group, in the order they were made.
  public static func list(group uuid: String, in session: any Session) throws -> [Port] {
    try list(in: session) { $0.append("WHERE port_group_uuid = ? ORDER BY created_at, address", .text(uuid)) }
  }
  public static func byAddress(_ mac: String, in session: any Session) throws -> Port? {
    try list(in: session) { $0.append("WHERE address = ?", .text(mac)) }.first
  }
  /// The NIC that is wired to a switch port.
  public static func port(at place: SwitchPort, in session: any Session) throws -> Port? {
    try list(in: session) {
      $0.append("WHERE switch_name = ? AND switch_port = ?", .text(place.switchName), .text(place.port))
    }.first
  }
  /// The node whose NIC is wired to a switch port.
  public static func node(at place: SwitchPort, in session: any Session) throws -> String? {
    try session.first(
      "SELECT node_uuid FROM ports WHERE switch_name = $1 AND switch_port = $2",
      [.text(place.switchName), .text(place.port)]
    ) { $0.text(0) }
  }
  /// - Throws: ``StoreError`` `.conflict` when the MAC, the name or the switch port is taken.
  public static func insert(_ port: Port, in session: any Session) throws {
    try session.execute(
      "INSERT INTO ports (uuid, node_uuid, address, local_link_connection, extra, created_at) VALUES ($1, $2, $3, '{}', '{}', $4)",
      [.text(port.uuid), .text(port.nodeUUID), .text(port.address), Value(port.createdAt)])
    try update(port, in: session)
  }
  public static func update(_ port: Port, in session: any Session) throws {
    try session.execute(
      """
      UPDATE ports SET node_uuid = $1, address = $2, name = $3, local_link_connection = $4, switch_name = $5, switch_port = $6, \
      is_pxe_enabled = $7, physical_network = $8, extra = $9, vif_port_id = $10, updated_at = $11, port_group_uuid = $12, \
      wiring_problem = $13 WHERE uuid = $14
      """,
      [
        .text(port.nodeUUID), .text(port.address), Value(port.name), Value(port.localLinkConnection),
        Value(port.switchPort?.switchName), Value(port.switchPort?.port), .bool(port.isPXEEnabled),
        Value(port.physicalNetwork),
        Value(port.extra), Value(port.vifPortID), Value(port.updatedAt), Value(port.portGroupUUID),
        Value(port.wiringProblem), .text(port.uuid),
      ])
  }
  public static func delete(_ uuid: String, in session: any Session) throws {
    try session.execute("DELETE FROM ports WHERE uuid = $1", [.text(uuid)])
  }
}
