import Domain
import Wire

/// Which port groups a list shows. The scope is that of their nodes.
public struct PortGroupFilter: Sendable {
  public enum Key: String, SortKey {
    case uuid, address, name, mode
    case createdAt = "created_at"
    case updatedAt = "updated_at"
    case nodeUUID = "node_uuid"
    case standalone = "standalone_ports_supported"

    public var sql: StaticString {
      switch self {
      case .uuid: "uuid"
      case .address: "COALESCE(address, '')"
      case .name: "COALESCE(name, '')"
      case .mode: "mode"
      case .createdAt: "created_at"
      case .updatedAt: "COALESCE(updated_at, 0)"
      case .nodeUUID: "node_uuid"
      case .standalone: "supports_standalone_ports"
      }
    }
  }
  public var scope: NodePolicy.Scope
  public var uuid: String?
  public var node: String?
  public var address: String?
  public var paging = Paging(by: Key.createdAt)

  public init(scope: NodePolicy.Scope) { self.scope = scope }
}

public enum PortGroupStore {
  private static func group(_ row: borrowing Row) -> PortGroup {
    var group = PortGroup(uuid: row.text(0), nodeUUID: row.text(1), createdAt: row.time(8))
    group.name = row.optionalText(2)
    group.address = row.optionalText(3)
    group.mode = row.text(4)
    group.properties = row.object(5)
    group.supportsStandalonePorts = row.bool(6)
    group.extra = row.object(7)
    group.updatedAt = row.optionalTime(9)
    group.vifPortID = row.optionalText(10)
    return group
  }
  private static func list(in session: any Session, _ narrow: (inout Query) -> Void) throws -> [PortGroup] {
    var query = Query(
      """
      SELECT uuid, node_uuid, name, address, mode, properties, supports_standalone_ports, extra, created_at, updated_at, \
      vif_port_id FROM port_groups
      """)
    narrow(&query)
    return try session.query(query) { group($0) }
  }
  public static func list(_ filter: PortGroupFilter, in session: any Session) throws -> [PortGroup] {
    try list(in: session) { query in
      query.append("WHERE 1 = 1")
      query.append(partsOfNodesIn: filter.scope)
      if let uuid = filter.uuid { query.append("AND uuid = ?", .text(uuid)) }
      if let node = filter.node { query.append("AND node_uuid = ?", .text(node)) }
      if let address = filter.address { query.append("AND address = ?", .text(address)) }
      query.append(filter.paging, of: "port_groups")
    }
  }
  /// In the order they were made.
  public static func list(node uuid: String, in session: any Session) throws -> [PortGroup] {
    try list(in: session) { $0.append("WHERE node_uuid = ? ORDER BY created_at, uuid", .text(uuid)) }
  }
  public static func get(_ uuid: String, in session: any Session) throws -> PortGroup? {
    try list(in: session) { $0.append("WHERE uuid = ?", .text(uuid)) }.first
  }
  static func holding(vif id: String, in session: any Session) throws -> PortGroup? {
    try list(in: session) { $0.append("WHERE vif_port_id = ?", .text(id)) }.first
  }
  public static func find(_ uuidOrName: String, in session: any Session) throws -> PortGroup? {
    if Identifier.isUUID(uuidOrName) { return try get(uuidOrName.lowercased(), in: session) }
    return try list(in: session) { $0.append("WHERE name = ?", .text(uuidOrName)) }.first
  }

  /// - Throws: ``StoreError`` `.conflict` when the UUID, the name or the MAC is taken.
  public static func insert(_ group: PortGroup, in session: any Session) throws {
    try session.execute(
      """
      INSERT INTO port_groups (uuid, node_uuid, name, address, mode, properties, supports_standalone_ports, extra, created_at) \
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
      """,
      [
        .text(group.uuid), .text(group.nodeUUID), Value(group.name), Value(group.address), .text(group.mode),
        Value(group.properties), .bool(group.supportsStandalonePorts), Value(group.extra), Value(group.createdAt),
      ])
  }
  /// Writes what may change but the network port (``VIFStore/set(_:on:at:in:)``).
  /// - Throws: ``StoreError`` `.conflict` when the name or the MAC is taken.
  public static func update(_ group: PortGroup, in session: any Session) throws {
    try session.execute(
      """
      UPDATE port_groups SET node_uuid = $1, name = $2, address = $3, mode = $4, properties = $5, supports_standalone_ports = $6, \
      extra = $7, updated_at = $8 WHERE uuid = $9
      """,
      [
        .text(group.nodeUUID), Value(group.name), Value(group.address), .text(group.mode), Value(group.properties),
        .bool(group.supportsStandalonePorts), Value(group.extra), Value(group.updatedAt), .text(group.uuid),
      ])
  }
  public static func delete(_ uuid: String, in session: any Session) throws {
    try session.execute("DELETE FROM port_groups WHERE uuid = $1", [.text(uuid)])
  }
}
