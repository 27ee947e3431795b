import Domain
import Wire

/// Which users a list shows, and where it begins.
public struct UserFilter: Sendable {
  /// Nil for users of every domain.
  public var visibleDomain: String?
  /// Only this user: for one who sees nobody else.
  public var onlyUser: String?
  public var name: String?
  public var domainID: String?
  public var isEnabled: Bool?
  public var group: String?
  public enum Comparison: String, Sendable { case lt, lte, gt, gte, eq, neq }
  public var passwordExpiry: (Comparison, Timestamp)?
  /// The id of the last one of the page before.
  public var marker: String?
  public var limit: Int?

  public init() {}

  func apply(to query: inout Query) {
    query.append("WHERE 1 = 1")
    if let visibleDomain { query.append("AND domain_id = ?", .text(visibleDomain)) }
    if let onlyUser { query.append("AND id = ?", .text(onlyUser)) }
    if let name { query.append("AND name = ?", .text(name)) }
    if let domainID { query.append("AND domain_id = ?", .text(domainID)) }
    if let isEnabled { query.append("AND is_enabled = ?", .bool(isEnabled)) }
    if let group {
      query.append("AND id IN (SELECT user_id FROM identity_group_members WHERE group_id = ?)", .text(group))
    }
    if let (comparison, time) = passwordExpiry {
      query.append("AND password_expires_at")
      switch comparison {
      case .lt: query.append("< ?", Value(time))
      case .lte: query.append("<= ?", Value(time))
      case .gt: query.append("> ?", Value(time))
      case .gte: query.append(">= ?", Value(time))
      case .eq: query.append("= ?", Value(time))
      case .neq: query.append("<> ?", Value(time))
      }
    }
    if let marker {
      query.append("AND (name, id) > (SELECT name, id FROM identity_users WHERE id = ?)", .text(marker))
    }
    query.append("ORDER BY name, id")
    if let limit { query.append("LIMIT ?", .int(limit)) }
  }
}

/// Users.
public enum UserStore {
  private static let columns: StaticString =
    """
    SELECT id, name, domain_id, is_enabled, default_project_id, description, options, extra, password_hash, \
    password_changed_at, password_expires_at, created_at FROM identity_users
    """

  private static func user(_ row: borrowing Row) -> User {
    var user = User(
      id: row.text(0), name: row.text(1), domainID: row.text(2), isEnabled: row.bool(3),
      defaultProjectID: row.optionalText(4), description: row.optionalText(5), extra: row.object(7),
      passwordHash: row.optionalText(8), createdAt: row.time(11))
    user.options = row.object(6)
    user.passwordChangedAt = row.optionalTime(9)
    user.passwordExpiresAt = row.optionalTime(10)
    return user
  }

  public static func get(_ id: String, in session: any Session) throws -> User? {
    try session.first(
      """
      SELECT id, name, domain_id, is_enabled, default_project_id, description, options, extra, password_hash, \
      password_changed_at, password_expires_at, created_at FROM identity_users WHERE id = $1
      """, [.text(id)]
    ) { user($0) }
  }
  public static func named(_ name: String, domain: String, in session: any Session) throws -> User? {
    try session.first(
      """
      SELECT id, name, domain_id, is_enabled, default_project_id, description, options, extra, password_hash, \
      password_changed_at, password_expires_at, created_at FROM identity_users WHERE name = $1 AND domain_id = $2
      """, [.text(name), .text(domain)]
    ) { user($0) }
  }
  /// Sorted by name.
  public static func list(_ filter: UserFilter, in session: any Session) throws -> [User] {
    var query = Query(columns)
    filter.apply(to: &query)
    return try session.query(query) { user($0) }
  }
  /// - Throws: ``StoreError`` `.conflict` when the name is taken.
  public static func insert(_ user: User, in session: any Session) throws {
    try session.execute(
      """
      INSERT INTO identity_users (id, name, domain_id, is_enabled, default_project_id, description, options, extra, \
      password_hash, password_changed_at, password_expires_at, created_at) \
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
      """,
      [
        .text(user.id), .text(user.name), .text(user.domainID), .bool(user.isEnabled), Value(user.defaultProjectID),
        Value(user.description), Value(user.options), Value(user.extra), Value(user.passwordHash),
        Value(user.passwordChangedAt), Value(user.passwordExpiresAt), Value(user.createdAt),
      ])
  }
  public static func update(_ user: User, in session: any Session) throws {
    try session.execute(
      """
      UPDATE identity_users SET name = $1, is_enabled = $2, default_project_id = $3, description = $4, options = $5, \
      extra = $6, password_hash = $7, password_changed_at = $8, password_expires_at = $9 WHERE id = $10
      """,
      [
        .text(user.name), .bool(user.isEnabled), Value(user.defaultProjectID), Value(user.description),
        Value(user.options), Value(user.extra), Value(user.passwordHash), Value(user.passwordChangedAt),
        Value(user.passwordExpiresAt), .text(user.id),
      ])
  }
  /// Deletes the user and its roles, memberships, application credentials and access rules.
  public static func delete(_ id: String, in session: any Session) throws {
    try session.execute("DELETE FROM identity_assignments WHERE holder_kind = 'user' AND holder_id = $1", [.text(id)])
    try session.execute("DELETE FROM identity_users WHERE id = $1", [.text(id)])
  }
}

/// Passwords that a user had, and failed log-ins.
public enum PasswordStore {
  /// Keeps a hash that was replaced, and forgets all but the last `count`.
  public static func keep(_ hash: String, of user: String, at now: Timestamp, count: Int, in session: any Session)
    throws
  {
    if count > 0 {
      try session.execute(
        "INSERT INTO identity_old_passwords (user_id, password_hash, replaced_at) VALUES ($1, $2, $3)",
        [.text(user), .text(hash), Value(now)])
    }
    try session.execute(
      """
      DELETE FROM identity_old_passwords WHERE user_id = $1 AND password_hash NOT IN \
      (SELECT password_hash FROM identity_old_passwords WHERE user_id = $1 ORDER BY replaced_at DESC LIMIT $2)
      """, [.text(user), .int(max(count, 0))])
  }
  /// The hashes of the last `count` passwords before the present one, the newest first.
  public static func old(of user: String, count: Int, in session: any Session) throws -> [String] {
    try session.query(
      "SELECT password_hash FROM identity_old_passwords WHERE user_id = $1 ORDER BY replaced_at DESC LIMIT $2",
      [.text(user), .int(count)]
    ) { $0.text(0) }
  }

  public struct Failures: Sendable, Equatable {
    public var count: Int
    /// When the last one happened.
    public var at: Timestamp
    public init(count: Int, at: Timestamp) {
      self.count = count
      self.at = at
    }
  }
  public static func failures(in session: any Session) throws -> [String: Failures] {
    let rows = try session.query("SELECT user_id, failures, failed_at FROM identity_login_failures", []) {
      ($0.text(0), Failures(count: $0.int(1), at: $0.time(2)))
    }
    return Dictionary(rows) { $1 }
  }
  /// Nil forgets them. A user who is gone meanwhile is no error.
  public static func set(failures: Failures?, of user: String, in session: any Session) throws {
    guard let failures else {
      try session.execute("DELETE FROM identity_login_failures WHERE user_id = $1", [.text(user)])
      return
    }
    try session.execute(
      """
      INSERT INTO identity_login_failures (user_id, failures, failed_at) \
      SELECT id, $1, $2 FROM identity_users WHERE id = $3 \
      ON CONFLICT (user_id) DO UPDATE SET failures = excluded.failures, failed_at = excluded.failed_at
      """, [.int(failures.count), Value(failures.at), .text(user)])
  }
}

/// Groups of users.
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
  /// Group and member, for several groups at once.
  public static func members(of groups: Set<String>, in session: any Session) throws -> [String: [String]] {
    if groups.isEmpty { return [:] }
    var query = Query("SELECT group_id, user_id FROM identity_group_members")
    query.appendIn("WHERE group_id IN", groups.sorted().map { .text($0) })
    query.append("ORDER BY user_id")
    let pairs = try session.query(query) { ($0.text(0), $0.text(1)) }
    return Dictionary(grouping: pairs, by: \.0).mapValues { $0.map(\.1) }
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
