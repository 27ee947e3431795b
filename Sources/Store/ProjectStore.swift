import Domain
import Wire

/// Which projects and domains somebody sees.
public enum ProjectVisibility: Sendable, Equatable {
  case everything
  /// What the user has a role in, inherited ones included, and the domains that contain it; besides that `places` (the
  /// token's scope, the user's domain), and everything in `domain`.
  case user(String, places: [String], domain: String?)
}

/// Which projects or domains a list shows, and where it begins.
public struct ProjectFilter: Sendable {
  public var visibility: ProjectVisibility
  public var name: String?
  public var domainID: String?
  public var parentID: String?
  public var isDomain: Bool?
  public var isEnabled: Bool?
  /// The id of the last one of the page before.
  public var marker: String?
  public var limit: Int?

  public init(_ visibility: ProjectVisibility = .everything, isDomain: Bool? = nil) {
    self.visibility = visibility
    self.isDomain = isDomain
  }

  func apply(to query: inout Query) {
    query.append("WHERE 1 = 1")
    if let name { query.append("AND name = ?", .text(name)) }
    if let domainID { query.append("AND domain_id = ?", .text(domainID)) }
    if let parentID { query.append("AND parent_id = ?", .text(parentID)) }
    if let isDomain { query.append("AND is_domain = ?", .bool(isDomain)) }
    if let isEnabled { query.append("AND is_enabled = ?", .bool(isEnabled)) }
    ProjectStore.narrow(&query, to: visibility)
    if let marker {
      query.append("AND (name, id) > (SELECT name, id FROM identity_projects WHERE id = ?)", .text(marker))
    }
    query.append("ORDER BY name, id")
    if let limit { query.append("LIMIT ?", .int(limit)) }
  }
}

/// Projects and domains.
public enum ProjectStore {
  private static let columns: StaticString =
    "SELECT id, name, domain_id, parent_id, is_domain, is_enabled, description, tags, options, extra, created_at FROM identity_projects"

  private static func project(_ row: borrowing Row) -> Project {
    var project = Project(
      id: row.text(0), name: row.text(1), domainID: row.optionalText(2), parentID: row.optionalText(3),
      isDomain: row.bool(4), isEnabled: row.bool(5), description: row.text(6), tags: row.strings(7),
      extra: row.object(9), createdAt: row.time(10))
    project.options = row.object(8)
    return project
  }

  public static func get(_ id: String, in session: any Session) throws -> Project? {
    try session.first(
      """
      SELECT id, name, domain_id, parent_id, is_domain, is_enabled, description, tags, options, extra, created_at \
      FROM identity_projects WHERE id = $1
      """, [.text(id)]
    ) { project($0) }
  }
  /// Nil also for one that is not visible.
  public static func get(_ id: String, visible: ProjectVisibility, in session: any Session) throws -> Project? {
    if visible == .everything { return try get(id, in: session) }
    var query = Query(columns)
    query.append("WHERE id = ?", .text(id))
    narrow(&query, to: visible)
    return try session.query(query) { project($0) }.first
  }
  public static func named(_ name: String, domain: String, in session: any Session) throws -> Project? {
    try session.first(
      """
      SELECT id, name, domain_id, parent_id, is_domain, is_enabled, description, tags, options, extra, created_at \
      FROM identity_projects WHERE name = $1 AND domain_id = $2
      """, [.text(name), .text(domain)]
    ) { project($0) }
  }
  /// A domain by its name; by one that differs only in the case of ASCII letters when there is no other such domain, because
  /// to upstream's usual database they are one, and clients' files say "default".
  public static func domain(named name: String, in session: any Session) throws -> Project? {
    func find(isExact: Bool) throws -> [Project] {
      var query = Query(
        """
        SELECT id, name, domain_id, parent_id, is_domain, is_enabled, description, tags, options, extra, created_at \
        FROM identity_projects WHERE domain_id IS NULL
        """)
      if isExact {
        query.append("AND name = ?", .text(name))
      } else {
        query.append("AND lower(name) = lower(?)", .text(name))
      }
      query.append("LIMIT 2")
      return try session.query(query) { project($0) }
    }
    if let exact = try find(isExact: true).first { return exact }
    let similar = try find(isExact: false)
    return similar.count == 1 ? similar[0] : nil
  }
  /// Only what is given narrows the list. Sorted by name.
  public static func list(
    name: String? = nil, domain: String? = nil, parent: String? = nil, isDomain: Bool? = nil, isEnabled: Bool? = nil,
    in session: any Session
  ) throws -> [Project] {
    var filter = ProjectFilter(isDomain: isDomain)
    filter.name = name
    filter.domainID = domain
    filter.parentID = parent
    filter.isEnabled = isEnabled
    return try list(filter, in: session)
  }
  public static func list(_ filter: ProjectFilter, in session: any Session) throws -> [Project] {
    var query = Query(columns)
    filter.apply(to: &query)
    return try session.query(query) { project($0) }
  }
  /// Hands each row to `body`: id, name, domain, parent, is a domain, is enabled, description, tags, options, extra (the
  /// last three as JSON text). Answers are written straight from rows.
  public static func rows(_ filter: ProjectFilter, in session: any Session, _ body: (borrowing Row) throws -> Void)
    throws
  {
    var query = Query(columns)
    filter.apply(to: &query)
    _ = try session.query(query) { try body($0) }
  }
  /// The enabled projects, or domains, that a user has a role in, inherited ones included. Sorted by name.
  public static func authorized(user: String, isDomain: Bool, in session: any Session) throws -> [Project] {
    var query = Query(columns)
    query.append("WHERE is_enabled = ? AND is_domain = ?", .bool(true), .bool(isDomain))
    if isDomain {
      query.append("AND id IN (")
      appendMine(&query, user)
      query.append("SELECT target_id FROM mine WHERE target_kind = 'domain' AND NOT is_inherited)")
    } else {
      query.append("AND id IN (")
      appendMine(&query, user)
      query.append("SELECT target_id FROM mine WHERE NOT is_inherited UNION SELECT id FROM below)")
      query.append("AND domain_id IN (SELECT id FROM identity_projects WHERE is_domain AND is_enabled)")
    }
    query.append("ORDER BY name, id")
    return try session.query(query) { project($0) }
  }

  /// `mine`: where the user, or a group that it is in, has a role; `below`: the projects that inherit one.
  private static func appendMine(_ query: inout Query, _ user: String) {
    query.append(
      """
      WITH RECURSIVE mine (target_kind, target_id, is_inherited) AS ( \
      SELECT DISTINCT target_kind, target_id, is_inherited FROM identity_assignments WHERE target_kind <> 'system' AND \
      ((holder_kind = 'user' AND holder_id = ?) OR (holder_kind = 'group' AND holder_id IN \
      (SELECT group_id FROM identity_group_members WHERE user_id = ?)))), \
      below (id) AS ( \
      SELECT p.id FROM identity_projects p JOIN mine ON p.parent_id = mine.target_id WHERE mine.is_inherited \
      UNION SELECT p.id FROM identity_projects p JOIN below ON p.parent_id = below.id)
      """, .text(user), .text(user))
  }
  fileprivate static func narrow(_ query: inout Query, to visibility: ProjectVisibility) {
    guard case .user(let user, let places, let domain) = visibility else { return }
    query.append("AND (id IN (")
    appendMine(&query, user)
    query.append(
      """
      SELECT target_id FROM mine WHERE NOT is_inherited UNION SELECT id FROM below \
      UNION SELECT domain_id FROM identity_projects WHERE id IN \
      (SELECT target_id FROM mine WHERE NOT is_inherited UNION SELECT id FROM below))
      """)
    query.appendIn("OR id IN", places.map { .text($0) })
    if let domain { query.append("OR domain_id = ? OR id = ?", .text(domain), .text(domain)) }
    query.append(")")
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
  /// The projects above, the parent first and the domain last.
  public static func parents(of id: String, in session: any Session) throws -> [Project] {
    try session.query(
      """
      WITH RECURSIVE above (id, parent_id, depth) AS ( \
      SELECT id, parent_id, 0 FROM identity_projects WHERE id = $1 \
      UNION ALL SELECT p.id, p.parent_id, above.depth + 1 FROM identity_projects p JOIN above ON p.id = above.parent_id \
      WHERE above.depth < 64) \
      SELECT p.id, name, domain_id, p.parent_id, is_domain, is_enabled, description, tags, options, extra, created_at \
      FROM identity_projects p JOIN above ON above.id = p.id WHERE depth > 0 ORDER BY depth
      """, [.text(id)]
    ) { project($0) }
  }
  /// All projects below, those that are nearer first.
  public static func subtree(of id: String, in session: any Session) throws -> [Project] {
    try session.query(
      """
      WITH RECURSIVE below (id, depth) AS ( \
      SELECT id, 0 FROM identity_projects WHERE id = $1 \
      UNION ALL SELECT p.id, below.depth + 1 FROM identity_projects p JOIN below ON p.parent_id = below.id \
      WHERE below.depth < 64) \
      SELECT p.id, name, domain_id, parent_id, is_domain, is_enabled, description, tags, options, extra, created_at \
      FROM identity_projects p JOIN below ON below.id = p.id WHERE depth > 0 ORDER BY depth, name, p.id
      """, [.text(id)]
    ) { project($0) }
  }
  /// The parent of every project: for lists that follow inheritance through the whole site.
  public static func parentsByID(in session: any Session) throws -> [(id: String, parent: String)] {
    try session.query("SELECT id, parent_id FROM identity_projects WHERE parent_id IS NOT NULL", []) {
      (id: $0.text(0), parent: $0.text(1))
    }
  }

  /// - Throws: ``StoreError`` `.conflict` when the name is taken.
  public static func insert(_ project: Project, in session: any Session) throws {
    try session.execute(
      """
      INSERT INTO identity_projects (id, name, domain_id, parent_id, is_domain, is_enabled, description, tags, options, \
      extra, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
      """,
      [
        .text(project.id), .text(project.name), Value(project.domainID), Value(project.parentID),
        .bool(project.isDomain),
        .bool(project.isEnabled), .text(project.description), Value(project.tags), Value(project.options),
        Value(project.extra), Value(project.createdAt),
      ])
  }
  /// Writes name, state, description, tags, options and extra; the place in the tree never changes.
  public static func update(_ project: Project, in session: any Session) throws {
    try session.execute(
      """
      UPDATE identity_projects SET name = $1, is_enabled = $2, description = $3, tags = $4, options = $5, extra = $6 \
      WHERE id = $7
      """,
      [
        .text(project.name), .bool(project.isEnabled), .text(project.description), Value(project.tags),
        Value(project.options), Value(project.extra), .text(project.id),
      ])
  }
  /// Deletes the project and the roles on it; of a domain also its projects, users, groups and roles.
  public static func delete(_ id: String, in session: any Session) throws {
    try session.execute(
      """
      DELETE FROM identity_assignments WHERE target_kind IN ('project','domain') AND target_id IN \
      (SELECT id FROM identity_projects WHERE id = $1 OR domain_id = $1)
      """, [.text(id)])
    try session.execute(
      """
      DELETE FROM identity_assignments WHERE \
      (holder_kind = 'user' AND holder_id IN (SELECT id FROM identity_users WHERE domain_id = $1)) OR \
      (holder_kind = 'group' AND holder_id IN (SELECT id FROM identity_groups WHERE domain_id = $1))
      """, [.text(id)])
    try session.execute("DELETE FROM identity_users WHERE domain_id = $1", [.text(id)])
    try session.execute("DELETE FROM identity_groups WHERE domain_id = $1", [.text(id)])
    try session.execute("DELETE FROM identity_projects WHERE domain_id = $1", [.text(id)])
    try session.execute("DELETE FROM identity_projects WHERE id = $1", [.text(id)])
  }
  /// Why the project, or one in the domain, cannot go: what in the site still belongs to it, in words; nil when nothing does.
  public static func use(of id: String, in session: any Session) throws -> String? {
    let nodes =
      try session.first(
        """
        SELECT COUNT(*) FROM nodes WHERE owner IN (SELECT id FROM identity_projects WHERE id = $1 OR domain_id = $1) \
        OR lessee IN (SELECT id FROM identity_projects WHERE id = $1 OR domain_id = $1)
        """, [.text(id)]
      ) { $0.int(0) } ?? 0
    if nodes > 0 { return "\(nodes) node\(nodes == 1 ? "" : "s") as owner or lessee" }
    let leases =
      try session.first(
        """
        SELECT COUNT(*) FROM leases WHERE status NOT IN ('deleted','expired') AND \
        (project_id IN (SELECT id FROM identity_projects WHERE id = $1 OR domain_id = $1) OR \
        owner_id IN (SELECT id FROM identity_projects WHERE id = $1 OR domain_id = $1))
        """, [.text(id)]
      ) { $0.int(0) } ?? 0
    if leases > 0 { return "\(leases) lease\(leases == 1 ? "" : "s") that have not ended" }
    let networks =
      try session.first(
        """
        SELECT COUNT(*) FROM networks WHERE project_id IN \
        (SELECT id FROM identity_projects WHERE id = $1 OR domain_id = $1)
        """, [.text(id)]
      ) { $0.int(0) } ?? 0
    return networks > 0 ? "\(networks) network\(networks == 1 ? "" : "s")" : nil
  }
}
