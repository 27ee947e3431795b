import Domain
import Wire

/// Nodes as the lease API sees them.
public enum LeaseResourceStore {
  /// What lists of leases and offers show of a node: without reading the rest of its row.
  /// - Parameter body: name, class, and `properties` as JSON text.
  /// - Returns: whether there is such a node.
  public static func shown<T>(
    _ uuid: String, in session: any Session, _ body: (_ name: String?, _ class: String?, _ properties: String) -> T
  ) throws -> T? {
    try session.first("SELECT name, resource_class, properties FROM nodes WHERE uuid = $1", [.text(uuid)]) {
      body($0.optionalText(0), $0.optionalText(1), $0.text(2))
    }
  }

  /// Whose nodes a list shows.
  public enum Scope: Sendable {
    case everything
    /// Those that the project owns or has, and those that it leases and has sub-leased.
    case project(String)
    case nothing
  }
  public struct Filter: Sendable {
    public var scope: Scope
    public var uuid: String?
    public var owner: String?
    public var lessee: String?
    public var resourceClass: String?
    public init(scope: Scope) { self.scope = scope }
  }
  /// In the order in which they were made.
  public static func nodes(_ filter: Filter, in session: any Session) throws -> [Node] {
    try NodeStore.list(in: session) { query in
      query.append("WHERE 1 = 1")
      switch filter.scope {
      case .everything: break
      case .project(let id):
        query.append(
          """
          AND (owner = ? OR lessee = ? OR uuid IN (SELECT l.resource_uuid FROM leases l WHERE l.project_id = ? \
          AND l.resource_type = 'ironic_node' AND l.status IN ('active','error')))
          """, .text(id), .text(id), .text(id))
      case .nothing: query.append("AND 1 = 0")
      }
      if let value = filter.uuid { query.append("AND uuid = ?", .text(value)) }
      if let value = filter.owner { query.append("AND owner = ?", .text(value)) }
      if let value = filter.lessee { query.append("AND lessee = ?", .text(value)) }
      if let value = filter.resourceClass { query.append("AND resource_class = ?", .text(value)) }
      query.append("ORDER BY created_at, uuid")
    }
  }
}
