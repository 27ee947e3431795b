import Domain
import Wire

/// Tenant networks.
public enum NetworkStore {
  private static func network(_ row: borrowing Row) -> Network {
    var network = Network(
      id: row.text(0), projectID: row.text(1), name: row.text(2), physicalNetwork: row.text(8), vlan: row.int(9),
      createdAt: row.time(12), updatedAt: row.time(13))
    network.description = row.text(3)
    network.isAdminStateUp = row.bool(4)
    network.isExternal = row.bool(5)
    network.isDefault = row.bool(6)
    network.mtu = row.int(7)
    network.dnsDomain = row.text(10)
    network.revision = row.int(11)
    network.isPortSecurityEnabled = row.bool(14)
    return network
  }

  /// The networks that `narrow` leaves (it appends `WHERE …`, `ORDER BY …`), with tags, subnets and whom they are shared
  /// with: four statements however many there are.
  public static func list(in session: any Session, _ narrow: (inout Query) -> Void = { _ in }) throws -> [Network] {
    var query = Query(
      """
      SELECT id, project_id, name, description, is_admin_state_up, is_external, is_default, mtu, physical_network, vlan, \
      dns_domain, revision, created_at, updated_at, is_port_security FROM networks
      """)
    narrow(&query)
    var networks = try session.query(query) { network($0) }
    if networks.isEmpty { return [] }
    let ids = networks.map(\.id)
    let tags = try NetworkTagStore.tags(of: ids, in: session)
    var subnets: [String: [String]] = [:]
    var scopes: [String: [Int: String]] = [:]
    let rows = try session.queryMany(
      "SELECT s.network_id, s.id, p.ip_version, p.address_scope_id FROM subnets s LEFT JOIN subnet_pools p ON p.id = s.pool_id",
      "s.network_id", ids, order: "ORDER BY s.created_at, s.id"
    ) {
      ($0.text(0), $0.text(1), $0.int(2), $0.optionalText(3))
    }
    for (network, subnet, version, scope) in rows {
      subnets[network, default: []].append(subnet)
      if let scope { scopes[network, default: [:]][version] = scope }
    }
    let policies = try RBACPolicyStore.targets(of: ids, in: session)
    for index in networks.indices {
      networks[index].tags = tags[networks[index].id] ?? []
      networks[index].subnetIDs = subnets[networks[index].id] ?? []
      networks[index].addressScopes = scopes[networks[index].id] ?? [:]
      for (action, target) in policies[networks[index].id] ?? [] {
        switch action {
        case .shared: networks[index].sharing.insert(target)
        case .external: networks[index].externalAccess.insert(target)
        }
      }
    }
    return networks
  }
  public static func get(_ id: String, in session: any Session) throws -> Network? {
    try list(in: session) { $0.append("WHERE id = ?", .text(id)) }.first
  }
  /// Those of them that exist, by id.
  public static func byID(_ ids: some Sequence<String>, in session: any Session) throws -> [String: Network] {
    let wanted = Array(Set(ids))
    if wanted.isEmpty { return [:] }
    let found = try list(in: session) { query in
      // Past a few hundred one look at the whole table is cheaper than as many placeholders.
      if wanted.count <= manyLimit { query.appendIn("WHERE id IN", wanted.map { .text($0) }) }
    }
    return Dictionary(found.map { ($0.id, $0) }) { first, _ in first }
  }

  /// Whom it is shared with is ``RBACPolicyStore``'s.
  /// - Throws: ``StoreError`` `.conflict` when the VLAN is another network's.
  public static func insert(_ network: Network, in session: any Session) throws {
    try session.execute(
      """
      INSERT INTO networks (id, project_id, name, description, is_admin_state_up, is_external, is_default, mtu, \
      physical_network, vlan, dns_domain, revision, created_at, updated_at, is_port_security) \
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
      """,
      [
        .text(network.id), .text(network.projectID), .text(network.name), .text(network.description),
        .bool(network.isAdminStateUp), .bool(network.isExternal), .bool(network.isDefault), .int(network.mtu),
        .text(network.physicalNetwork), .int(network.vlan), .text(network.dnsDomain), .int(network.revision),
        Value(network.createdAt), Value(network.updatedAt), .bool(network.isPortSecurityEnabled),
      ])
    try NetworkTagStore.set(network.tags, of: network.id, in: session)
  }
  /// Writes everything but the project and the VLAN, and counts the revision up. Tags are ``NetworkTagStore``'s, whom it is
  /// shared with ``RBACPolicyStore``'s.
  public static func update(_ network: inout Network, at now: Timestamp, in session: any Session) throws {
    network.revision += 1
    network.updatedAt = now
    try session.execute(
      """
      UPDATE networks SET name = $1, description = $2, is_admin_state_up = $3, is_external = $4, is_default = $5, \
      mtu = $6, dns_domain = $7, revision = $8, updated_at = $9, is_port_security = $10 WHERE id = $11
      """,
      [
        .text(network.name), .text(network.description), .bool(network.isAdminStateUp), .bool(network.isExternal),
        .bool(network.isDefault), .int(network.mtu), .text(network.dnsDomain), .int(network.revision),
        Value(network.updatedAt), .bool(network.isPortSecurityEnabled), .text(network.id),
      ])
  }
  /// Deletes it with its subnets and the policies that share it.
  /// - Throws: ``StoreError`` `.conflict` when a port is on it.
  public static func delete(_ id: String, in session: any Session) throws {
    try NetworkTagStore.remove(ofSubnetsOf: id, in: session)
    try NetworkTagStore.set([], of: id, in: session)
    try RBACPolicyStore.deleteAll(of: id, in: session)
    try session.execute("DELETE FROM networks WHERE id = $1", [.text(id)])
  }

  public static func count(project id: String, in session: any Session) throws -> Int {
    try session.first("SELECT COUNT(*) FROM networks WHERE project_id = $1", [.text(id)]) { $0.int(0) } ?? 0
  }
  /// The VLANs that networks of one physical network have.
  public static func vlansTaken(on physicalNetwork: String, in session: any Session) throws -> Set<Int> {
    Set(
      try session.query(
        """
        SELECT vlan FROM networks WHERE physical_network = $1 UNION \
        SELECT segmentation_id FROM network_segments WHERE network_type = 'vlan' AND physical_network = $2
        """, [.text(physicalNetwork), .text(physicalNetwork)]
      ) { $0.int(0) })
  }
  /// Every VLAN in use, by physical network, with the project that has it.
  public static func allVLANs(in session: any Session) throws -> [(
    physicalNetwork: String, vlan: Int, projectID: String
  )] {
    try session.query(
      """
      SELECT physical_network, vlan, project_id FROM networks UNION ALL \
      SELECT s.physical_network, s.segmentation_id, n.project_id FROM network_segments s JOIN networks n ON n.id = s.network_id \
      WHERE s.network_type = 'vlan'
      """, []
    ) {
      ($0.text(0), $0.int(1), $0.text(2))
    }
  }
}

/// Above this many ids a list is read whole and picked from in memory.
let manyLimit = 400

extension Session {
  /// Rows whose `column` is one of `ids`: one statement. Past ``manyLimit`` ids the whole table is read, and those who
  /// call pick theirs.
  func queryMany<T>(
    _ sql: StaticString, _ column: StaticString, _ ids: [String], order: StaticString = "",
    _ body: (borrowing Row) throws -> T
  ) throws -> [T] {
    var query = Query(sql)
    if ids.count <= manyLimit {
      query.append("WHERE")
      query.append(column)
      query.appendIn("IN", ids.map { .text($0) })
    }
    query.append(order)
    return try self.query(query, body)
  }
}
