import Cryptography
import Domain
import Wire

/// Which connectors or targets a list shows. The scope is that of their nodes.
public struct VolumePartFilter<Key: SortKey>: Sendable {
  public var scope: NodePolicy.Scope
  public var uuid: String?
  public var node: String?
  public var paging: Paging<Key>

  public init(scope: NodePolicy.Scope, paging: Paging<Key>) {
    self.scope = scope
    self.paging = paging
  }

  func apply(to query: inout Query, of table: StaticString) {
    query.append("WHERE 1 = 1")
    query.append(partsOfNodesIn: scope)
    if let uuid { query.append("AND uuid = ?", .text(uuid)) }
    if let node { query.append("AND node_uuid = ?", .text(node)) }
    query.append(paging, of: table)
  }
}

/// How storage networks know the nodes.
public enum VolumeConnectorStore {
  public enum Key: String, SortKey {
    case uuid, type
    case connectorID = "connector_id"
    case nodeUUID = "node_uuid"
    case createdAt = "created_at"
    case updatedAt = "updated_at"

    public var sql: StaticString {
      switch self {
      case .uuid: "uuid"
      case .type: "type"
      case .connectorID: "connector_id"
      case .nodeUUID: "node_uuid"
      case .createdAt: "created_at"
      case .updatedAt: "COALESCE(updated_at, 0)"
      }
    }
  }
  private static func connector(_ row: borrowing Row) -> VolumeConnector {
    var connector = VolumeConnector(uuid: row.text(0), nodeUUID: row.text(1), createdAt: row.time(6))
    connector.type = row.text(2)
    connector.connectorID = row.text(3)
    connector.extra = row.object(4)
    connector.projectID = row.optionalText(5)
    connector.updatedAt = row.optionalTime(7)
    return connector
  }
  public static func list(_ filter: VolumePartFilter<Key>, in session: any Session) throws -> [VolumeConnector] {
    var query = Query(
      "SELECT uuid, node_uuid, type, connector_id, extra, project_id, created_at, updated_at FROM volume_connectors")
    filter.apply(to: &query, of: "volume_connectors")
    return try session.query(query) { connector($0) }
  }
  public static func get(_ uuid: String, in session: any Session) throws -> VolumeConnector? {
    var filter = VolumePartFilter(scope: .everything, paging: Paging(by: Key.uuid))
    filter.uuid = uuid
    return try list(filter, in: session).first
  }
  /// - Throws: ``StoreError`` `.conflict` when the UUID is taken, or the type and id are another connector's.
  public static func insert(_ connector: VolumeConnector, in session: any Session) throws {
    try session.execute(
      """
      INSERT INTO volume_connectors (uuid, node_uuid, type, connector_id, extra, project_id, created_at) \
      VALUES ($1, $2, $3, $4, $5, $6, $7)
      """,
      [
        .text(connector.uuid), .text(connector.nodeUUID), .text(connector.type), .text(connector.connectorID),
        Value(connector.extra), Value(connector.projectID), Value(connector.createdAt),
      ])
  }
  /// - Throws: ``StoreError`` `.conflict` when the type and id are another connector's.
  public static func update(_ connector: VolumeConnector, in session: any Session) throws {
    try session.execute(
      """
      UPDATE volume_connectors SET node_uuid = $1, type = $2, connector_id = $3, extra = $4, updated_at = $5 WHERE uuid = $6
      """,
      [
        .text(connector.nodeUUID), .text(connector.type), .text(connector.connectorID), Value(connector.extra),
        Value(connector.updatedAt), .text(connector.uuid),
      ])
  }
  public static func delete(_ uuid: String, in session: any Session) throws {
    try session.execute("DELETE FROM volume_connectors WHERE uuid = $1", [.text(uuid)])
  }
  /// Forgets what a project made on a node.
  public static func delete(madeBy project: String, node: String, in session: any Session) throws {
    try session.execute(
      "DELETE FROM volume_connectors WHERE project_id = $1 AND node_uuid = $2", [.text(project), .text(node)])
  }
}

/// The volumes that nodes are to boot from. Their `properties` may hold the storage's password, so they are sealed whole.
public enum VolumeTargetStore {
  public enum Key: String, SortKey {
    case uuid
    case volumeType = "volume_type"
    case volumeID = "volume_id"
    case bootIndex = "boot_index"
    case nodeUUID = "node_uuid"
    case createdAt = "created_at"
    case updatedAt = "updated_at"

    public var sql: StaticString {
      switch self {
      case .uuid: "uuid"
      case .volumeType: "volume_type"
      case .volumeID: "volume_id"
      case .bootIndex: "boot_index"
      case .nodeUUID: "node_uuid"
      case .createdAt: "created_at"
      case .updatedAt: "COALESCE(updated_at, 0)"
      }
    }
  }
  private static func context(_ uuid: String) -> String { "volume-target/\(uuid)" }

  private static func target(_ row: borrowing Row, _ box: SecretBox) -> VolumeTarget {
    var target = VolumeTarget(uuid: row.text(0), nodeUUID: row.text(1), createdAt: row.time(8))
    target.volumeType = row.text(2)
    if let sealed = row.optionalText(3), let text = box.openText(sealed, context: context(target.uuid)) {
      target.properties = (try? JSON(parsing: text))?.object ?? [:]
    }
    target.bootIndex = row.int(4)
    target.volumeID = row.text(5)
    target.extra = row.object(6)
    target.projectID = row.optionalText(7)
    target.updatedAt = row.optionalTime(9)
    return target
  }
  private static func sealed(_ target: VolumeTarget, _ box: SecretBox) -> Value {
    target.properties.isEmpty
      ? .null : .text(box.sealText(JSON.object(target.properties).description, context: context(target.uuid)))
  }
  public static func list(_ filter: VolumePartFilter<Key>, box: SecretBox, in session: any Session) throws
    -> [VolumeTarget]
  {
    var query = Query(
      """
      SELECT uuid, node_uuid, volume_type, properties, boot_index, volume_id, extra, project_id, created_at, updated_at \
      FROM volume_targets
      """)
    filter.apply(to: &query, of: "volume_targets")
    return try session.query(query) { target($0, box) }
  }
  public static func get(_ uuid: String, box: SecretBox, in session: any Session) throws -> VolumeTarget? {
    var filter = VolumePartFilter(scope: .everything, paging: Paging(by: Key.uuid))
    filter.uuid = uuid
    return try list(filter, box: box, in: session).first
  }
  /// - Throws: ``StoreError`` `.conflict` when the UUID is taken, or the boot index on the node.
  public static func insert(_ target: VolumeTarget, box: SecretBox, in session: any Session) throws {
    try session.execute(
      """
      INSERT INTO volume_targets (uuid, node_uuid, volume_type, properties, boot_index, volume_id, extra, project_id, created_at) \
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
      """,
      [
        .text(target.uuid), .text(target.nodeUUID), .text(target.volumeType), sealed(target, box),
        .int(target.bootIndex), .text(target.volumeID), Value(target.extra), Value(target.projectID),
        Value(target.createdAt),
      ])
  }
  /// - Throws: ``StoreError`` `.conflict` when the boot index is taken on the node.
  public static func update(_ target: VolumeTarget, box: SecretBox, in session: any Session) throws {
    try session.execute(
      """
      UPDATE volume_targets SET node_uuid = $1, volume_type = $2, properties = $3, boot_index = $4, volume_id = $5, extra = $6, \
      updated_at = $7 WHERE uuid = $8
      """,
      [
        .text(target.nodeUUID), .text(target.volumeType), sealed(target, box), .int(target.bootIndex),
        .text(target.volumeID), Value(target.extra), Value(target.updatedAt), .text(target.uuid),
      ])
  }
  public static func delete(_ uuid: String, in session: any Session) throws {
    try session.execute("DELETE FROM volume_targets WHERE uuid = $1", [.text(uuid)])
  }
  /// Forgets what a project made on a node.
  public static func delete(madeBy project: String, node: String, in session: any Session) throws {
    try session.execute(
      "DELETE FROM volume_targets WHERE project_id = $1 AND node_uuid = $2", [.text(project), .text(node)])
  }
}
