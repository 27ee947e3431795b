import Domain

/// Which baremetal ports a list shows, and where it begins. The scope is that of their nodes.
public struct PortFilter: Sendable {
  public enum SortKey: String, Sendable, CaseIterable {
    case uuid, address
    case createdAt = "created_at"
    case updatedAt = "updated_at"
    case nodeUUID = "node_uuid"
    case physicalNetwork = "physical_network"

    var sql: StaticString {
      switch self {
      case .uuid: "uuid"
      case .address: "address"
      case .createdAt: "created_at"
      case .updatedAt: "COALESCE(updated_at, 0)"
      case .nodeUUID: "node_uuid"
      case .physicalNetwork: "COALESCE(physical_network, '')"
      }
    }
  }
  public var scope: NodePolicy.Scope
  public var uuid: String?
  public var name: String?
  public var node: String?
  public var address: String?
  public var physicalNetwork: String?
  public var matchesNothing = false
  public var sortKey: SortKey = .createdAt
  public var isDescending = false
  public var marker: String?
  public var limit: Int?

  public init(scope: NodePolicy.Scope) { self.scope = scope }

  func apply(to query: inout Query) {
    query.append("WHERE p.uuid IN (SELECT q.uuid FROM ports q WHERE 1 = 1")
    if let uuid { query.append("AND q.uuid = ?", .text(uuid)) }
    if let name { query.append("AND q.name = ?", .text(name)) }
    if let node { query.append("AND q.node_uuid = ?", .text(node)) }
    if let address { query.append("AND q.address = ?", .text(address)) }
    if let physicalNetwork { query.append("AND q.physical_network = ?", .text(physicalNetwork)) }
    if matchesNothing { query.append("AND 1 = 0") }
    if let marker {
      query.append("AND (")
      query.append(sortKey.sql)
      if isDescending { query.append("< (SELECT") } else { query.append("> (SELECT") }
      query.append(sortKey.sql)
      query.append("FROM ports WHERE uuid = ?) OR (", .text(marker))
      query.append(sortKey.sql)
      query.append("= (SELECT")
      query.append(sortKey.sql)
      query.append("FROM ports WHERE uuid = ?) AND uuid", .text(marker))
      if isDescending { query.append("< ?))", .text(marker)) } else { query.append("> ?))", .text(marker)) }
    }
    query.append(")")
    switch scope {
    case .everything: break
    case .project(let id): query.append("AND (n.owner = ? OR n.lessee = ?)", .text(id), .text(id))
    case .nothing: query.append("AND 1 = 0")
    }
    // The join's columns are ambiguous by their bare names: every sort key is spelled with its table here.
    switch sortKey {
    case .uuid: query.append("ORDER BY p.uuid")
    case .address: query.append("ORDER BY p.address")
    case .createdAt: query.append("ORDER BY p.created_at")
    case .updatedAt: query.append("ORDER BY COALESCE(p.updated_at, 0)")
    case .nodeUUID: query.append("ORDER BY p.node_uuid")
    case .physicalNetwork: query.append("ORDER BY COALESCE(p.physical_network, '')")
    }
    if isDescending { query.append("DESC, p.uuid DESC") } else { query.append(", p.uuid") }
    if let limit { query.append("LIMIT ?", .int(limit)) }
  }
}

extension PortStore {
  public static func list(_ filter: PortFilter, in session: any Session) throws -> [Port] {
    try list(in: session) { filter.apply(to: &$0) }
  }
}

/// Which allocations a list shows, and where it begins.
public struct AllocationFilter: Sendable {
  /// Nil shows every project's.
  public var owner: String?
  public var node: String?
  public var resourceClass: String?
  public var state: String?
  public var matchesNothing = false
  public var isDescending = false
  public var marker: String?
  public var limit: Int?

  public init(owner: String?) { self.owner = owner }
}

extension AllocationStore {
  /// In the order they were made.
  public static func list(_ filter: AllocationFilter, in session: any Session) throws -> [Allocation] {
    try list(in: session) { query in
      query.append("WHERE 1 = 1")
      if let owner = filter.owner { query.append("AND owner = ?", .text(owner)) }
      if let node = filter.node { query.append("AND node_uuid = ?", .text(node)) }
      if let resourceClass = filter.resourceClass { query.append("AND resource_class = ?", .text(resourceClass)) }
      if let state = filter.state { query.append("AND state = ?", .text(state)) }
      if filter.matchesNothing { query.append("AND 1 = 0") }
      if let marker = filter.marker {
        if filter.isDescending {
          query.append("AND (created_at < (SELECT")
        } else {
          query.append("AND (created_at > (SELECT")
        }
        query.append(
          """
          created_at FROM allocations WHERE uuid = ?) OR (created_at = (SELECT created_at FROM allocations WHERE uuid = ?) AND uuid
          """, .text(marker), .text(marker))
        if filter.isDescending { query.append("< ?))", .text(marker)) } else { query.append("> ?))", .text(marker)) }
      }
      if filter.isDescending {
        query.append("ORDER BY created_at DESC, uuid DESC")
      } else {
        query.append("ORDER BY created_at, uuid")
      }
      if let limit = filter.limit { query.append("LIMIT ?", .int(limit)) }
    }
  }
  /// The allocation that holds a node.
  public static func holding(node uuid: String, in session: any Session) throws -> Allocation? {
    try list(in: session) { $0.append("WHERE node_uuid = ?", .text(uuid)) }.first
  }
}
