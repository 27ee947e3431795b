import Domain
import Wire

/// Address scopes.
public enum AddressScopeStore {
  /// The scopes that `narrow` leaves (it appends `WHERE …`, `ORDER BY …`), with whom they are shared: two statements.
  public static func list(
    in session: any Session, _ narrow: (inout Query) -> Void = { _ in }
  ) throws -> [AddressScope] {
    var query = Query("SELECT id, project_id, name, ip_version, created_at FROM address_scopes")
    narrow(&query)
    var scopes = try session.query(query) {
      AddressScope(
        id: $0.text(0), projectID: $0.text(1), name: $0.text(2), version: $0.int(3), createdAt: $0.time(4))
    }
    if scopes.isEmpty { return [] }
    let sharing = try RBACPolicyStore.sharing(of: scopes.map(\.id), in: session)
    for index in scopes.indices { scopes[index].sharing = sharing[scopes[index].id] ?? Sharing() }
    return scopes
  }
  public static func get(_ id: String, in session: any Session) throws -> AddressScope? {
    try list(in: session) { $0.append("WHERE id = ?", .text(id)) }.first
  }
  /// Whom it is shared with is ``RBACPolicyStore``'s.
  public static func insert(_ scope: AddressScope, in session: any Session) throws {
    try session.execute(
      "INSERT INTO address_scopes (id, project_id, name, ip_version, created_at) VALUES ($1, $2, $3, $4, $5)",
      [.text(scope.id), .text(scope.projectID), .text(scope.name), .int(scope.version), Value(scope.createdAt)])
  }
  public static func rename(_ id: String, to name: String, in session: any Session) throws {
    try session.execute("UPDATE address_scopes SET name = $1 WHERE id = $2", [.text(name), .text(id)])
  }
  /// Deletes it with the policies that share it.
  /// - Throws: ``StoreError`` `.conflict` when a pool is in it.
  public static func delete(_ id: String, in session: any Session) throws {
    try RBACPolicyStore.deleteAll(of: id, in: session)
    try session.execute("DELETE FROM address_scopes WHERE id = $1", [.text(id)])
  }
}

/// Subnet pools.
public enum SubnetPoolStore {
  private static func pool(_ row: borrowing Row) -> SubnetPool {
    let version = row.int(4)
    return SubnetPool(
      id: row.text(0), projectID: row.text(1), name: row.text(2), description: row.text(3), version: version,
      addressScopeID: row.optionalText(5), prefixes: row.strings(6).compactMap { CIDR($0) },
      bounds: .init(version: version, shortest: row.int(7), longest: row.int(8), preset: row.int(9)),
      defaultQuota: row.optionalInt(10), isDefault: row.bool(11), revision: row.int(12), createdAt: row.time(13),
      updatedAt: row.time(14))
  }
  /// The pools that `narrow` leaves (it appends `WHERE …`, `ORDER BY …`), with tags and whom they are shared with: three
  /// statements.
  public static func list(in session: any Session, _ narrow: (inout Query) -> Void = { _ in }) throws -> [SubnetPool] {
    var query = Query(
      """
      SELECT id, project_id, name, description, ip_version, address_scope_id, prefixes, min_prefix, max_prefix, default_prefix, \
      default_quota, is_default, revision, created_at, updated_at FROM subnet_pools
      """)
    narrow(&query)
    var pools = try session.query(query) { pool($0) }
    if pools.isEmpty { return [] }
    let ids = pools.map(\.id)
    let tags = try NetworkTagStore.tags(of: ids, in: session)
    let sharing = try RBACPolicyStore.sharing(of: ids, in: session)
    for index in pools.indices {
      pools[index].tags = tags[pools[index].id] ?? []
      pools[index].sharing = sharing[pools[index].id] ?? Sharing()
    }
    return pools
  }
  public static func get(_ id: String, in session: any Session) throws -> SubnetPool? {
    try list(in: session) { $0.append("WHERE id = ?", .text(id)) }.first
  }
  public static func list(scope id: String, in session: any Session) throws -> [SubnetPool] {
    try list(in: session) { $0.append("WHERE address_scope_id = ? ORDER BY created_at, id", .text(id)) }
  }
  public static func preset(version: Int, in session: any Session) throws -> SubnetPool? {
    try list(in: session) { $0.append("WHERE is_default = 1 AND ip_version = ?", .int(version)) }.first
  }

  private static func stored(_ pool: SubnetPool) -> [Value] {
    [
      .text(pool.name), .text(pool.description), Value(pool.addressScopeID),
      Value(JSON.array(pool.prefixes.map { .string($0.description) })), .int(pool.bounds.shortest),
      .int(pool.bounds.longest), .int(pool.bounds.preset), Value(pool.defaultQuota), .bool(pool.isDefault),
      .int(pool.revision), Value(pool.updatedAt),
    ]
  }
  /// Whom it is shared with is ``RBACPolicyStore``'s.
  /// - Throws: ``StoreError`` `.conflict` when it is the second default of its IP version.
  public static func insert(_ pool: SubnetPool, in session: any Session) throws {
    try session.execute(
      """
      INSERT INTO subnet_pools (name, description, address_scope_id, prefixes, min_prefix, max_prefix, default_prefix, \
      default_quota, is_default, revision, updated_at, id, project_id, ip_version, created_at) \
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
      """, stored(pool) + [.text(pool.id), .text(pool.projectID), .int(pool.version), Value(pool.createdAt)])
    try NetworkTagStore.set(pool.tags, of: pool.id, in: session)
  }
  /// Writes what may change and counts the revision up. Tags are ``NetworkTagStore``'s.
  /// - Throws: ``StoreError`` `.conflict` when it is the second default of its IP version.
  public static func update(_ pool: inout SubnetPool, at now: Timestamp, in session: any Session) throws {
    pool.revision += 1
    pool.updatedAt = now
    try session.execute(
      """
      UPDATE subnet_pools SET name = $1, description = $2, address_scope_id = $3, prefixes = $4, min_prefix = $5, \
      max_prefix = $6, default_prefix = $7, default_quota = $8, is_default = $9, revision = $10, updated_at = $11 \
      WHERE id = $12
      """, stored(pool) + [.text(pool.id)])
  }
  /// Deletes it with the policies that share it.
  /// - Throws: ``StoreError`` `.conflict` when a subnet is from it.
  public static func delete(_ id: String, in session: any Session) throws {
    try NetworkTagStore.set([], of: id, in: session)
    try RBACPolicyStore.deleteAll(of: id, in: session)
    try session.execute("DELETE FROM subnet_pools WHERE id = $1", [.text(id)])
  }
  public static func count(project id: String, in session: any Session) throws -> Int {
    try session.first("SELECT COUNT(*) FROM subnet_pools WHERE project_id = $1", [.text(id)]) { $0.int(0) } ?? 0
  }
}
