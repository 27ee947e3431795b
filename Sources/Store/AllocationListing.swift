import Domain

/// Which allocations a list shows, and where it begins.
public struct AllocationFilter: Sendable {
  public enum Key: String, SortKey {
    case uuid, name, state, owner
    case nodeUUID = "node_uuid"
    case resourceClass = "resource_class"
    case lastError = "last_error"
    case createdAt = "created_at"
    case updatedAt = "updated_at"

    public var sql: StaticString {
      switch self {
      case .uuid: "uuid"
      case .name: "COALESCE(name, '')"
      case .state: "state"
      case .owner: "COALESCE(owner, '')"
      case .nodeUUID: "COALESCE(node_uuid, '')"
      case .resourceClass: "COALESCE(resource_class, '')"
      case .lastError: "COALESCE(last_error, '')"
      case .createdAt: "created_at"
      case .updatedAt: "COALESCE(updated_at, 0)"
      }
    }
  }
  /// Nil shows every project's.
  public var owner: String?
  public var node: String?
  public var resourceClass: String?
  public var state: String?
  public var matchesNothing = false
  public var paging = Paging(by: Key.createdAt)

  public init(owner: String?) { self.owner = owner }
}

extension AllocationStore {
  public static func list(_ filter: AllocationFilter, in session: any Session) throws -> [Allocation] {
    try list(in: session) { query in
      query.append("WHERE 1 = 1")
      if let owner = filter.owner { query.append("AND owner = ?", .text(owner)) }
      if let node = filter.node { query.append("AND node_uuid = ?", .text(node)) }
      if let resourceClass = filter.resourceClass { query.append("AND resource_class = ?", .text(resourceClass)) }
      if let state = filter.state { query.append("AND state = ?", .text(state)) }
      if filter.matchesNothing { query.append("AND 1 = 0") }
      query.append(filter.paging, of: "allocations")
    }
  }
  /// The allocation that holds a node.
  public static func holding(node uuid: String, in session: any Session) throws -> Allocation? {
    try list(in: session) { $0.append("WHERE node_uuid = ?", .text(uuid)) }.first
  }
}
