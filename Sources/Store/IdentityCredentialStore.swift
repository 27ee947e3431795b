import Domain
import Wire

/// Application credentials, and the rules that say what some of them may do.
public enum ApplicationCredentialStore {
  private static func credential(_ row: borrowing Row) -> ApplicationCredential {
    ApplicationCredential(
      id: row.text(0), name: row.text(1), description: row.optionalText(2), userID: row.text(3), projectID: row.text(4),
      roleIDs: row.strings(5), expiresAt: row.optionalTime(6), isUnrestricted: row.bool(7), secretHash: row.text(8))
  }
  public static func get(_ id: String, in session: any Session) throws -> ApplicationCredential? {
    let found = try session.first(
      """
      SELECT id, name, description, user_id, project_id, role_ids, expires_at, is_unrestricted, secret_hash \
      FROM identity_application_credentials WHERE id = $1
      """, [.text(id)]
    ) { credential($0) }
    guard var found else { return nil }
    found.accessRules = try AccessRuleStore.list(credential: id, in: session)
    return found
  }
  /// Two statements, however many there are.
  public static func list(user: String, name: String? = nil, in session: any Session) throws -> [ApplicationCredential]
  {
    var query = Query(
      """
      SELECT id, name, description, user_id, project_id, role_ids, expires_at, is_unrestricted, secret_hash \
      FROM identity_application_credentials
      """)
    query.append("WHERE user_id = ?", .text(user))
    if let name { query.append("AND name = ?", .text(name)) }
    query.append("ORDER BY name")
    var found = try session.query(query) { credential($0) }
    let rules = try AccessRuleStore.byCredential(user: user, in: session)
    for index in found.indices { found[index].accessRules = rules[found[index].id] ?? [] }
    return found
  }
  /// - Throws: ``StoreError`` `.conflict` when the user has one of this name.
  public static func insert(_ credential: ApplicationCredential, at now: Timestamp, in session: any Session) throws {
    try session.execute(
      """
      INSERT INTO identity_application_credentials (id, name, description, user_id, project_id, role_ids, expires_at, \
      is_unrestricted, secret_hash, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
      """,
      [
        .text(credential.id), .text(credential.name), Value(credential.description), .text(credential.userID),
        .text(credential.projectID), Value(credential.roleIDs), Value(credential.expiresAt),
        .bool(credential.isUnrestricted), .text(credential.secretHash), Value(now),
      ])
    for rule in credential.accessRules {
      try session.execute(
        "INSERT INTO identity_credential_rules (credential_id, rule_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        [.text(credential.id), .text(rule.id)])
    }
  }
  public static func delete(_ id: String, in session: any Session) throws {
    try session.execute("DELETE FROM identity_application_credentials WHERE id = $1", [.text(id)])
  }
}

/// Access rules: a user's own, used by its application credentials.
public enum AccessRuleStore {
  private static func rule(_ row: borrowing Row) -> AccessRule {
    AccessRule(id: row.text(0), service: row.text(1), method: row.text(2), path: row.text(3))
  }
  public static func list(user: String, in session: any Session) throws -> [AccessRule] {
    try session.query(
      "SELECT id, service, method, path FROM identity_access_rules WHERE user_id = $1 ORDER BY service, path, method",
      [.text(user)]
    ) { rule($0) }
  }
  public static func get(_ id: String, user: String, in session: any Session) throws -> AccessRule? {
    try session.first(
      "SELECT id, service, method, path FROM identity_access_rules WHERE id = $1 AND user_id = $2",
      [.text(id), .text(user)]
    ) { rule($0) }
  }
  public static func list(credential: String, in session: any Session) throws -> [AccessRule] {
    try session.query(
      """
      SELECT r.id, service, method, path FROM identity_access_rules r JOIN identity_credential_rules ON rule_id = r.id \
      WHERE credential_id = $1 ORDER BY service, path, method
      """, [.text(credential)]
    ) { rule($0) }
  }
  /// The rules of all credentials of a user.
  public static func byCredential(user: String, in session: any Session) throws -> [String: [AccessRule]] {
    let pairs = try session.query(
      """
      SELECT r.id, service, method, path, credential_id FROM identity_access_rules r \
      JOIN identity_credential_rules ON rule_id = r.id WHERE user_id = $1 ORDER BY service, path, method
      """, [.text(user)]
    ) { ($0.text(4), rule($0)) }
    return Dictionary(grouping: pairs, by: \.0).mapValues { $0.map(\.1) }
  }
  /// The rules of all credentials of the site: what the server keeps in memory.
  public static func byCredential(in session: any Session) throws -> [String: [AccessRule]] {
    let pairs = try session.query(
      """
      SELECT r.id, service, method, path, credential_id FROM identity_access_rules r \
      JOIN identity_credential_rules ON rule_id = r.id
      """, []
    ) { ($0.text(4), rule($0)) }
    return Dictionary(grouping: pairs, by: \.0).mapValues { $0.map(\.1) }
  }
  /// The user's rule of this service, method and path: the one that is there, or a new one.
  public static func ensure(_ rule: AccessRule, user: String, in session: any Session) throws -> AccessRule {
    try session.execute(
      """
      INSERT INTO identity_access_rules (id, user_id, service, method, path) VALUES ($1, $2, $3, $4, $5) \
      ON CONFLICT (user_id, service, method, path) DO NOTHING
      """, [.text(rule.id), .text(user), .text(rule.service), .text(rule.method), .text(rule.path)])
    let id = try session.first(
      "SELECT id FROM identity_access_rules WHERE user_id = $1 AND service = $2 AND method = $3 AND path = $4",
      [.text(user), .text(rule.service), .text(rule.method), .text(rule.path)]
    ) { $0.text(0) }
    return AccessRule(id: id ?? rule.id, service: rule.service, method: rule.method, path: rule.path)
  }
  public static func isUsed(_ id: String, in session: any Session) throws -> Bool {
    try session.exists("SELECT 1 FROM identity_credential_rules WHERE rule_id = $1 LIMIT 1", [.text(id)])
  }
  public static func delete(_ id: String, in session: any Session) throws {
    try session.execute("DELETE FROM identity_access_rules WHERE id = $1", [.text(id)])
  }
}
