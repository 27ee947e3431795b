import Domain
import Wire

/// Application credentials.
public enum ApplicationCredentialStore {
  private static func credential(_ row: borrowing Row) -> ApplicationCredential {
    ApplicationCredential(
      id: row.text(0), name: row.text(1), description: row.optionalText(2), userID: row.text(3), projectID: row.text(4),
      roleIDs: row.strings(5), expiresAt: row.optionalTime(6), isUnrestricted: row.bool(7), secretHash: row.text(8))
  }
  public static func get(_ id: String, in session: any Session) throws -> ApplicationCredential? {
    try session.first(
      """
      SELECT id, name, description, user_id, project_id, role_ids, expires_at, is_unrestricted, secret_hash \
      FROM identity_application_credentials WHERE id = $1
      """, [.text(id)]
    ) { credential($0) }
  }
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
    return try session.query(query) { credential($0) }
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
  }
  public static func delete(_ id: String, in session: any Session) throws {
    try session.execute("DELETE FROM identity_application_credentials WHERE id = $1", [.text(id)])
  }
}
