import Domain
import Wire

/// Users, and groups of them.
public enum UserStore {
  private static func user(_ row: borrowing Row) -> User {
    User(
      id: row.text(0), name: row.text(1), domainID: row.text(2), isEnabled: row.bool(3),
      defaultProjectID: row.optionalText(4), description: row.optionalText(5), extra: row.object(6),
      passwordHash: row.optionalText(7), createdAt: row.time(8))
  }

  public static func get(_ id: String, in session: any Session) throws -> User? {
    try session.first(
      """
      SELECT id, name, domain_id, is_enabled, default_project_id, description, extra, password_hash, created_at \
      FROM identity_users WHERE id = $1
      """, [.text(id)]
    ) { user($0) }
  }
  public static func named(_ name: String, domain: String, in session: any Session) throws -> User? {
    try session.first(
      """
      SELECT id, name, domain_id, is_enabled, default_project_id, description, extra, password_hash, created_at \
      FROM identity_users WHERE name = $1 AND domain_id = $2
      """, [.text(name), .text(domain)]
    ) { user($0) }
  }
  /// Only what is given narrows the list. Sorted by name.
  public static func list(
    name: String? = nil, domain: String? = nil, isEnabled: Bool? = nil, group: String? = nil, in session: any Session
  ) throws -> [User] {
    var query = Query(
      """
      SELECT id, name, domain_id, is_enabled, default_project_id, description, extra, password_hash, created_at \
      FROM identity_users WHERE 1 = 1
      """)
    if let name { query.append("AND name = ?", .text(name)) }
    if let domain { query.append("AND domain_id = ?", .text(domain)) }
    if let isEnabled { query.append("AND is_enabled = ?", .bool(isEnabled)) }
    if let group {
      query.append("AND id IN (SELECT user_id FROM identity_group_members WHERE group_id = ?)", .text(group))
    }
    query.append("ORDER BY name, id")
    return try session.query(query) { user($0) }
  }
  /// - Throws: ``StoreError`` `.conflict` when the name is taken.
  public static func insert(_ user: User, in session: any Session) throws {
    try session.execute(
      """
      INSERT INTO identity_users (id, name, domain_id, is_enabled, default_project_id, description, extra, password_hash, created_at) \
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
      """,
      [
        .text(user.id), .text(user.name), .text(user.domainID), .bool(user.isEnabled), Value(user.defaultProjectID),
        Value(user.description), Value(user.extra), Value(user.passwordHash), Value(user.createdAt),
      ])
  }
  public static func update(_ user: User, in session: any Session) throws {
    try session.execute(
      """
      UPDATE identity_users SET name = $1, is_enabled = $2, default_project_id = $3, description = $4, extra = $5, \
      password_hash = $6 WHERE id = $7
      """,
      [
        .text(user.name), .bool(user.isEnabled), Value(user.defaultProjectID), Value(user.description),
        Value(user.extra),
        Value(user.passwordHash), .text(user.id),
      ])
  }
  /// Deletes the user and its roles, memberships and application credentials.
  public static func delete(_ id: String, in session: any Session) throws {
    try session.execute("DELETE FROM identity_assignments WHERE holder_kind = 'user' AND holder_id = $1", [.text(id)])
    try session.execute("DELETE FROM identity_users WHERE id = $1", [.text(id)])
  }
}

public enum UserGroupStore {
  private static func group(_ row: borrowing Row) -> UserGroup {
    UserGroup(
      id: row.text(0), name: row.text(1), domainID: row.text(2), description: row.text(3), extra: row.object(4))
  }
  public static func get(_ id: String, in session: any Session) throws -> UserGroup? {
    try session.first(
      "SELECT id, name, domain_id, description, extra FROM identity_groups WHERE id = $1", [.text(id)]
    ) { group($0) }
  }
  public static func list(
    name: String? = nil, domain: String? = nil, user: String? = nil, in session: any Session
  ) throws -> [UserGroup] {
    var query = Query("SELECT id, name, domain_id, description, extra FROM identity_groups WHERE 1 = 1")
    if let name { query.append("AND name = ?", .text(name)) }
    if let domain { query.append("AND domain_id = ?", .text(domain)) }
    if let user {
      query.append("AND id IN (SELECT group_id FROM identity_group_members WHERE user_id = ?)", .text(user))
    }
    query.append("ORDER BY name, id")
    return try session.query(query) { group($0) }
  }
  public static func insert(_ group: UserGroup, in session: any Session) throws {
    try session.execute(
      "INSERT INTO identity_groups (id, name, domain_id, description, extra) VALUES ($1, $2, $3, $4, $5)",
      [.text(group.id), .text(group.name), .text(group.domainID), .text(group.description), Value(group.extra)])
  }
  public static func update(_ group: UserGroup, in session: any Session) throws {
    try session.execute(
      "UPDATE identity_groups SET name = $1, description = $2, extra = $3 WHERE id = $4",
      [.text(group.name), .text(group.description), Value(group.extra), .text(group.id)])
  }
  public static func delete(_ id: String, in session: any Session) throws {
    try session.execute("DELETE FROM identity_assignments WHERE holder_kind = 'group' AND holder_id = $1", [.text(id)])
    try session.execute("DELETE FROM identity_groups WHERE id = $1", [.text(id)])
  }
  public static func members(of id: String, in session: any Session) throws -> [String] {
    try session.query("SELECT user_id FROM identity_group_members WHERE group_id = $1", [.text(id)]) { $0.text(0) }
  }
  public static func contains(_ user: String, group: String, in session: any Session) throws -> Bool {
    try session.exists(
      "SELECT 1 FROM identity_group_members WHERE group_id = $1 AND user_id = $2", [.text(group), .text(user)])
  }
  public static func add(_ user: String, to group: String, in session: any Session) throws {
    try session.execute(
      "INSERT INTO identity_group_members (group_id, user_id) VALUES ($1, $2) ON CONFLICT (group_id, user_id) DO NOTHING",
      [.text(group), .text(user)])
  }
  /// - Returns: false when it was not in the group.
  public static func remove(_ user: String, from group: String, in session: any Session) throws -> Bool {
    try session.execute(
      "DELETE FROM identity_group_members WHERE group_id = $1 AND user_id = $2", [.text(group), .text(user)]) > 0
  }
}
