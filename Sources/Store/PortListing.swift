import Domain

/// Which baremetal ports a list shows, and where it begins. The scope is that of their nodes.
public struct PortFilter: Sendable {
  public enum Key: String, SortKey {
    case uuid, address, name
    case createdAt = "created_at"
    case updatedAt = "updated_at"
    case nodeUUID = "node_uuid"
    case portGroupUUID = "portgroup_uuid"
    case physicalNetwork = "physical_network"
    case isPXEEnabled = "pxe_enabled"

    public var sql: StaticString {
      switch self {
      case .uuid: "uuid"
      case .address: "address"
      case .name: "COALESCE(name, '')"
      case .createdAt: "created_at"
      case .updatedAt: "COALESCE(updated_at, 0)"
      case .nodeUUID: "node_uuid"
      case .portGroupUUID: "COALESCE(port_group_uuid, '')"
      case .physicalNetwork: "COALESCE(physical_network, '')"
      case .isPXEEnabled: "is_pxe_enabled"
      }
    }
  }
  public var scope: NodePolicy.Scope
  public var uuid: String?
  public var node: String?
  public var group: String?
  public var address: String?
  public var physicalNetwork: String?
  /// Of nodes in one of these.
  public var shards: [String]?
  public var paging = Paging(by: Key.createdAt)

  public init(scope: NodePolicy.Scope) { self.scope = scope }
}

extension PortStore {
  public static func list(_ filter: PortFilter, in session: any Session) throws -> [Port] {
    try list(in: session) { query in
      query.append("WHERE 1 = 1")
      query.append(partsOfNodesIn: filter.scope)
      if let uuid = filter.uuid { query.append("AND uuid = ?", .text(uuid)) }
      if let node = filter.node { query.append("AND node_uuid = ?", .text(node)) }
      if let group = filter.group { query.append("AND port_group_uuid = ?", .text(group)) }
      if let address = filter.address { query.append("AND address = ?", .text(address)) }
      if let network = filter.physicalNetwork { query.append("AND physical_network = ?", .text(network)) }
      query.append(partsOfShards: filter.shards)
      query.append(filter.paging, of: "ports")
    }
  }
}
