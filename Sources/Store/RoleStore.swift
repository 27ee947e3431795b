import Domain
import Wire

/// Roles, and which implies which.
public enum RoleStore {
  private static func role(_ row: borrowing Row) -> Role {
    var role = Role(
      id: row.text(0), name: row.text(1), domainID: row.optionalText(2), description: row.optionalText(3),
      extra: row.object(5))
    role.options = row.object(4)
    return role
  }
  public static func get(_ id: String, in session: any Session) throws -> Role? {
    try session.first(
      "SELECT id, name, domain_id, description, options, extra FROM identity_roles WHERE id = $1", [.text(id)]
    ) { role($0) }
  }
  /// The global role of this name.
  public static func named(_ name: String, in session: any Session) throws -> Role? {
    try session.first(
      """
      SELECT id, name, domain_id, description, options, extra FROM identity_roles WHERE name = $1 AND domain_id IS NULL
      """, [.text(name)]
    ) { role($0) }
  }
  /// The global roles, sorted by name.
  public static func list(in session: any Session) throws -> [Role] {
    try session.query(
      """
      SELECT id, name, domain_id, description, options, extra FROM identity_roles WHERE domain_id IS NULL ORDER BY name
      """, []
    ) { role($0) }
  }
  /// The domain's own roles, sorted by name.
  public static func list(domain: String, in session: any Session) throws -> [Role] {
    try session.query(
      "SELECT id, name, domain_id, description, options, extra FROM identity_roles WHERE domain_id = $1 ORDER BY name",
      [.text(domain)]
    ) { role($0) }
  }
  /// Global roles and those of domains.
  public static func all(in session: any Session) throws -> [Role] {
    try session.query(
      "SELECT id, name, domain_id, description, options, extra FROM identity_roles ORDER BY name, id", []
    ) { role($0) }
  }
  /// Ids and names of the global roles, sorted by name: what tokens show.
  public static func globalNames(in session: any Session) throws -> [(id: String, name: String)] {
    try session.query("SELECT id, name FROM identity_roles WHERE domain_id IS NULL ORDER BY name", []) {
      (id: $0.text(0), name: $0.text(1))
    }
  }
  /// - Throws: ``StoreError`` `.conflict` when the name is taken.
  public static func insert(_ role: Role, in session: any Session) throws {
    try session.execute(
      "INSERT INTO identity_roles (id, name, domain_id, description, options, extra) VALUES ($1, $2, $3, $4, $5, $6)",
      [
        .text(role.id), .text(role.name), Value(role.domainID), Value(role.description), Value(role.options),
        Value(role.extra),
      ])
  }
  public static func update(_ role: Role, in session: any Session) throws {
    try session.execute(
      "UPDATE identity_roles SET name = $1, description = $2, options = $3, extra = $4 WHERE id = $5",
      [.text(role.name), Value(role.description), Value(role.options), Value(role.extra), .text(role.id)])
  }
  public static func delete(_ id: String, in session: any Session) throws {
    try session.execute("DELETE FROM identity_roles WHERE id = $1", [.text(id)])
  }
  public static func addImplication(_ prior: String, implies implied: String, in session: any Session) throws {
    try session.execute(
      "INSERT INTO identity_implied_roles (prior_id, implied_id) VALUES ($1, $2) ON CONFLICT (prior_id, implied_id) DO NOTHING",
      [.text(prior), .text(implied)])
  }
  /// - Returns: false when there was none.
  public static func removeImplication(_ prior: String, implies implied: String, in session: any Session) throws -> Bool
  {
    try session.execute(
      "DELETE FROM identity_implied_roles WHERE prior_id = $1 AND implied_id = $2", [.text(prior), .text(implied)]) > 0
  }
  /// Prior role to the roles that it implies directly.
  public static func implications(in session: any Session) throws -> [String: [String]] {
    var table: [String: [String]] = [:]
    for (prior, implied) in try session.query(
      "SELECT prior_id, implied_id FROM identity_implied_roles ORDER BY prior_id, implied_id", [],
      { ($0.text(0), $0.text(1)) })
    {
      table[prior, default: []].append(implied)
    }
    return table
  }
  /// `ids` and all that they imply.
  public static func expanded(_ ids: Set<String>, in session: any Session) throws -> Set<String> {
    expanded(ids, by: try implications(in: session))
  }
  /// The same with a table that was read before.
  public static func expanded(_ ids: Set<String>, by table: [String: [String]]) -> Set<String> {
    var all = ids
    var open = Array(ids)
    while let next = open.popLast() {
      for implied in table[next] ?? [] where all.insert(implied).inserted { open.append(implied) }
    }
    return all
  }
}
