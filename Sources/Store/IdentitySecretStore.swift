import Cryptography
import Domain
import Wire

/// Secrets that users keep in the identity service for other services; sealed at rest.
public enum CredentialStore {
  public struct Credential: Sendable, Equatable {
    public var id: String
    public var userID: String
    public var projectID: String?
    /// "ec2", "cert", …: a word of whoever uses it.
    public var type: String
    public var blob: String
    public init(id: String, userID: String, projectID: String?, type: String, blob: String) {
      self.id = id
      self.userID = userID
      self.projectID = projectID
      self.type = type
      self.blob = blob
    }
  }
  private static func credential(_ row: borrowing Row, _ box: SecretBox) -> Credential {
    let id = row.text(0)
    return Credential(
      id: id, userID: row.text(1), projectID: row.optionalText(2), type: row.text(3),
      blob: box.openText(row.text(4), context: "credential/\(id)") ?? "")
  }
  public static func get(_ id: String, box: SecretBox, in session: any Session) throws -> Credential? {
    try session.first(
      "SELECT id, user_id, project_id, type, sealed_blob FROM identity_credentials WHERE id = $1", [.text(id)]
    ) { credential($0, box) }
  }
  public static func list(
    user: String? = nil, type: String? = nil, box: SecretBox, in session: any Session
  ) throws -> [Credential] {
    var query = Query("SELECT id, user_id, project_id, type, sealed_blob FROM identity_credentials WHERE 1 = 1")
    if let user { query.append("AND user_id = ?", .text(user)) }
    if let type { query.append("AND type = ?", .text(type)) }
    query.append("ORDER BY id")
    return try session.query(query) { credential($0, box) }
  }
  /// - Throws: ``StoreError`` `.conflict` when there is one of this id.
  public static func insert(_ credential: Credential, box: SecretBox, in session: any Session) throws {
    try session.execute(
      "INSERT INTO identity_credentials (id, user_id, project_id, type, sealed_blob) VALUES ($1, $2, $3, $4, $5)",
      [
        .text(credential.id), .text(credential.userID), Value(credential.projectID), .text(credential.type),
        .text(box.sealText(credential.blob, context: "credential/\(credential.id)")),
      ])
  }
  public static func set(blob: String, of id: String, box: SecretBox, in session: any Session) throws {
    try session.execute(
      "UPDATE identity_credentials SET sealed_blob = $1 WHERE id = $2",
      [.text(box.sealText(blob, context: "credential/\(id)")), .text(id)])
  }
  public static func delete(_ id: String, in session: any Session) throws {
    try session.execute("DELETE FROM identity_credentials WHERE id = $1", [.text(id)])
  }
}

/// Options of domains' own drivers.
public enum DomainOptionStore {
  /// Group, option, value. Secrets are left out.
  public static func list(domain: String, in session: any Session) throws -> [(
    group: String, name: String, value: JSON
  )] {
    try session.query(
      """
      SELECT group_name, name, value FROM identity_domain_options WHERE domain_id = $1 AND NOT is_sealed \
      ORDER BY group_name, name
      """, [.text(domain)]
    ) { (group: $0.text(0), name: $0.text(1), value: $0.json(2)) }
  }
  /// Whether there is any, secrets included.
  public static func exists(domain: String, in session: any Session) throws -> Bool {
    try session.exists("SELECT 1 FROM identity_domain_options WHERE domain_id = $1 LIMIT 1", [.text(domain)])
  }
  /// - Parameter box: seals the value; nil keeps it as it is.
  public static func set(
    _ value: JSON, domain: String, group: String, name: String, box: SecretBox?, in session: any Session
  ) throws {
    let text = box.map { $0.sealText(value.description, context: "domain/\(domain)/\(group)/\(name)") }
    try session.execute(
      """
      INSERT INTO identity_domain_options (domain_id, group_name, name, value, is_sealed) VALUES ($1, $2, $3, $4, $5) \
      ON CONFLICT (domain_id, group_name, name) DO UPDATE SET value = excluded.value, is_sealed = excluded.is_sealed
      """,
      [.text(domain), .text(group), .text(name), .text(text ?? value.description), .bool(box != nil)])
  }
  /// Deletes one option, a group (`name` nil), or all (`group` nil).
  /// - Returns: how many there were.
  public static func delete(domain: String, group: String?, name: String?, in session: any Session) throws -> Int {
    var query = Query("DELETE FROM identity_domain_options")
    query.append("WHERE domain_id = ?", .text(domain))
    if let group { query.append("AND group_name = ?", .text(group)) }
    if let name { query.append("AND name = ?", .text(name)) }
    return try session.execute(query)
  }
}
