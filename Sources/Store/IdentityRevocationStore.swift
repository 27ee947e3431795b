import Domain
import Wire

/// Which tokens are void before their time. The server keeps them all in memory; this is where they outlive it.
public enum RevocationStore {
  public static func insert(_ revocation: Revocation, in session: any Session) throws {
    try session.execute(
      """
      INSERT INTO identity_revocations (audit_id, user_id, project_id, domain_id, application_credential_id, \
      user_domain_id, is_system, issued_before) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
      """,
      [
        Value(revocation.auditID), Value(revocation.userID), Value(revocation.projectID), Value(revocation.domainID),
        Value(revocation.applicationCredentialID), Value(revocation.userDomainID), .bool(revocation.isSystem),
        Value(revocation.issuedBefore),
      ])
  }
  public static func list(in session: any Session) throws -> [Revocation] {
    try session.query(
      """
      SELECT audit_id, user_id, project_id, domain_id, application_credential_id, user_domain_id, is_system, issued_before \
      FROM identity_revocations
      """, []
    ) {
      Revocation(
        auditID: $0.optionalText(0), userID: $0.optionalText(1), projectID: $0.optionalText(2),
        domainID: $0.optionalText(3), userDomainID: $0.optionalText(5), applicationCredentialID: $0.optionalText(4),
        isSystem: $0.bool(6), issuedBefore: $0.time(7))
    }
  }
  /// Forgets those whose tokens have all expired.
  public static func deleteOlder(than time: Timestamp, in session: any Session) throws {
    try session.execute("DELETE FROM identity_revocations WHERE issued_before < $1", [Value(time)])
  }
}
