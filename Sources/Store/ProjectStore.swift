import Domain
import Wire

/// Projects and domains.
public enum ProjectStore {
  private static func project(_ row: borrowing Row) -> Project {
    Project(
      id: row.text(0), name: row.text(1), domainID: row.optionalText(2), parentID: row.optionalText(3),
      isDomain: row.bool(4), isEnabled: row.bool(5), description: row.text(6), tags: row.strings(7),
      extra: row.object(8),
      createdAt: row.time(9))
  }

  public static func get(_ id: String, in session: any Session) throws -> Project? {
    try session.first(
      """
      SELECT id, name, domain_id, parent_id, is_domain, is_enabled, description, tags, extra, created_at \
      FROM identity_projects WHERE id = $1
      """, [.text(id)]
    ) { project($0) }
  }
  public static func named(_ name: String, domain: String, in session: any Session) throws -> Project? {
    try list(name: name, domain: domain, isDomain: false, in: session).first
  }
  public static func domain(named name: String, in session: any Session) throws -> Project? {
    try list(name: name, isDomain: true, in: session).first
  }
  /// Only what is given narrows the list. Sorted by name.
  public static func list(
    name: String? = nil, domain: String? = nil, parent: String? = nil, isDomain: Bool? = nil, isEnabled: Bool? = nil,
    in session: any Session
  ) throws -> [Project] {
    var query = Query(
      """
      SELECT id, name, domain_id, parent_id, is_domain, is_enabled, description, tags, extra, created_at \
      FROM identity_projects WHERE 1 = 1
      """)
    if let name { query.append("AND name = ?", .text(name)) }
    if let domain { query.append("AND domain_id = ?", .text(domain)) }
    if let parent { query.append("AND parent_id = ?", .text(parent)) }
    if let isDomain { query.append("AND is_domain = ?", .bool(isDomain)) }
    if let isEnabled { query.append("AND is_enabled = ?", .bool(isEnabled)) }
    query.append("ORDER BY name, id")
    return try session.query(query) { project($0) }
  }
  /// The project named so in whatever domain, or the one with this id: what ESI's clients write.
  /// - Returns: none, or more than one when domains share a name.
  public static func byNameOrID(_ text: String, in session: any Session) throws -> [Project] {
    if let found = try get(text, in: session) { return [found] }
    return try list(name: text, isDomain: false, in: session)
  }
  /// Names by id, for lists that show them.
  public static func names(in session: any Session) throws -> [String: String] {
    let pairs = try session.query("SELECT id, name FROM identity_projects", []) { ($0.text(0), $0.text(1)) }
    return Dictionary(pairs) { $1 }
  }
  /// The project, its parent, and so on up to the domain.
  public static func lineage(_ id: String, in session: any Session) throws -> [String] {
    try session.query(
      """
      WITH RECURSIVE above (id, parent_id, depth) AS ( \
      SELECT id, parent_id, 0 FROM identity_projects WHERE id = $1 \
      UNION ALL SELECT p.id, p.parent_id, above.depth + 1 FROM identity_projects p JOIN above ON p.id = above.parent_id \
      WHERE above.depth < 64) SELECT id FROM above ORDER BY depth
      """, [.text(id)]
    ) { $0.text(0) }
  }

  /// - Throws: ``StoreError`` `.conflict` when the name is taken.
  public static func insert(_ project: Project, in session: any Session) throws {
    try session.execute(
      """
      INSERT INTO identity_projects (id, name, domain_id, parent_id, is_domain, is_enabled, description, tags, extra, created_at) \
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
      """,
      [
        .text(project.id), .text(project.name), Value(project.domainID), Value(project.parentID),
        .bool(project.isDomain),
        .bool(project.isEnabled), .text(project.description), Value(project.tags), Value(project.extra),
        Value(project.createdAt),
      ])
  }
  /// Writes name, state, description, tags and extra; the place in the tree never changes.
  public static func update(_ project: Project, in session: any Session) throws {
    try session.execute(
      """
      UPDATE identity_projects SET name = $1, is_enabled = $2, description = $3, tags = $4, extra = $5 WHERE id = $6
      """,
      [
        .text(project.name), .bool(project.isEnabled), .text(project.description), Value(project.tags),
        Value(project.extra), .text(project.id),
      ])
  }
  /// Deletes the project and the roles on it.
  public static func delete(_ id: String, in session: any Session) throws {
    try session.execute(
      "DELETE FROM identity_assignments WHERE target_kind IN ('project','domain') AND target_id = $1", [.text(id)])
    try session.execute("DELETE FROM identity_projects WHERE id = $1", [.text(id)])
  }
  /// Why the project cannot go: what in the site still belongs to it, in words; nil when nothing does.
  public static func use(of id: String, in session: any Session) throws -> String? {
    let nodes =
      try session.first("SELECT COUNT(*) FROM nodes WHERE owner = $1 OR lessee = $1", [.text(id)]) { $0.int(0) } ?? 0
    if nodes > 0 { return "\(nodes) node\(nodes == 1 ? "" : "s") as owner or lessee" }
    let leases =
      try session.first(
        "SELECT COUNT(*) FROM leases WHERE (project_id = $1 OR owner_id = $1) AND status NOT IN ('deleted','expired')",
        [.text(id)]
      ) { $0.int(0) } ?? 0
    if leases > 0 { return "\(leases) lease\(leases == 1 ? "" : "s") that have not ended" }
    let networks =
      try session.first("SELECT COUNT(*) FROM networks WHERE project_id = $1", [.text(id)]) { $0.int(0) } ?? 0
    return networks > 0 ? "\(networks) network\(networks == 1 ? "" : "s")" : nil
  }
}
