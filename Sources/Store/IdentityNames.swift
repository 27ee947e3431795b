import Domain
import Wire

/// Something of the identity service by its id and name, with its domain.
public struct IdentityName: Sendable, Equatable {
  public struct Domain: Sendable, Equatable {
    public var id: String
    public var name: String
  }
  public var id: String
  public var name: String
  /// Nil for a domain, and for a global role.
  public var domain: Domain?
}

/// The names that a token's body shows.
public enum TokenNamesStore {
  public struct Names: Sendable {
    public var user: IdentityName
    public var passwordExpiresAt: Timestamp?
    /// The project or the domain.
    public var scope: IdentityName?
  }

  /// Nil when the user is gone. Two statements.
  public static func names(of user: String, scope: Actor.Scope, in session: any Session) throws -> Names? {
    let found = try session.first(
      """
      SELECT u.id, u.name, u.domain_id, d.name, u.password_expires_at FROM identity_users u \
      JOIN identity_projects d ON d.id = u.domain_id WHERE u.id = $1
      """, [.text(user)]
    ) { Names(user: IdentityNamesStore.name($0), passwordExpiresAt: $0.optionalTime(4)) }
    guard var found else { return nil }
    switch scope {
    case .project(let id, _), .domain(let id):
      found.scope = try session.first(
        """
        SELECT p.id, p.name, p.domain_id, d.name FROM identity_projects p \
        LEFT JOIN identity_projects d ON d.id = p.domain_id WHERE p.id = $1
        """, [.text(id)]
      ) { IdentityNamesStore.name($0) }
    case .system, .unscoped: break
    }
    return found
  }
}

/// Names of many at once, for lists that show them.
public enum IdentityNamesStore {
  /// Of a row with id, name, domain's id, domain's name.
  static func name(_ row: borrowing Row) -> IdentityName {
    IdentityName(
      id: row.text(0), name: row.text(1),
      domain: row.optionalText(2).map { .init(id: $0, name: row.text(3)) })
  }
  private static func named(_ sql: StaticString, _ ids: Set<String>, in session: any Session) throws
    -> [String: IdentityName]
  {
    var out: [String: IdentityName] = [:]
    let sorted = ids.sorted()
    // Few shapes of statements, so that they stay prepared; the last chunk is filled up.
    for start in stride(from: 0, to: sorted.count, by: 500) {
      let chunk = sorted[start..<min(start + 500, sorted.count)]
      let size = [1, 10, 100, 500].first { $0 >= chunk.count } ?? 500
      var query = Query(sql)
      query.appendIn("", chunk.map { .text($0) } + Array(repeating: .null, count: size - chunk.count))
      for found in try session.query(query, { name($0) }) { out[found.id] = found }
    }
    return out
  }
  public static func users(_ ids: Set<String>, in session: any Session) throws -> [String: IdentityName] {
    try named(
      """
      SELECT u.id, u.name, u.domain_id, d.name FROM identity_users u JOIN identity_projects d ON d.id = u.domain_id \
      WHERE u.id IN
      """, ids, in: session)
  }
  public static func groups(_ ids: Set<String>, in session: any Session) throws -> [String: IdentityName] {
    try named(
      """
      SELECT g.id, g.name, g.domain_id, d.name FROM identity_groups g JOIN identity_projects d ON d.id = g.domain_id \
      WHERE g.id IN
      """, ids, in: session)
  }
  /// Projects and domains.
  public static func projects(_ ids: Set<String>, in session: any Session) throws -> [String: IdentityName] {
    try named(
      """
      SELECT p.id, p.name, p.domain_id, d.name FROM identity_projects p \
      LEFT JOIN identity_projects d ON d.id = p.domain_id WHERE p.id IN
      """, ids, in: session)
  }
  public static func roles(_ ids: Set<String>, in session: any Session) throws -> [String: IdentityName] {
    try named(
      """
      SELECT r.id, r.name, r.domain_id, d.name FROM identity_roles r \
      LEFT JOIN identity_projects d ON d.id = r.domain_id WHERE r.id IN
      """, ids, in: session)
  }
}
