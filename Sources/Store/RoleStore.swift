import Domain
import Wire

/// Roles, and which implies which.
public enum RoleStore {
  private static func role(_ row: borrowing Row) -> Role {
    Role(id: row.text(0), name: row.text(1), description: row.optionalText(2), extra: row.object(3))
  }
  public static func get(_ id: String, in session: any Session) throws -> Role? {
    try session.first("SELECT id, name, description, extra FROM identity_roles WHERE id = $1", [.text(id)]) { role($0) }
  }
  public static func named(_ name: String, in session: any Session) throws -> Role? {
    try session.first("SELECT id, name, description, extra FROM identity_roles WHERE name = $1", [.text(name)]) {
      role($0)
    }
  }
  public static func list(in session: any Session) throws -> [Role] {
    try session.query("SELECT id, name, description, extra FROM identity_roles ORDER BY name", []) { role($0) }
  }
  public static func insert(_ role: Role, in session: any Session) throws {
    try session.execute(
      "INSERT INTO identity_roles (id, name, description, extra) VALUES ($1, $2, $3, $4)",
      [.text(role.id), .text(role.name), Value(role.description), Value(role.extra)])
  }
  public static func update(_ role: Role, in session: any Session) throws {
    try session.execute(
      "UPDATE identity_roles SET name = $1, description = $2, extra = $3 WHERE id = $4",
      [.text(role.name), Value(role.description), Value(role.extra), .text(role.id)])
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
    let table = try implications(in: session)
    var all = ids
    var open = Array(ids)
    while let next = open.popLast() {
      for implied in table[next] ?? [] where all.insert(implied).inserted { open.append(implied) }
    }
    return all
  }
}

/// Who has which role where.
public enum RoleAssignmentStore {
  private static func parts(_ holder: RoleAssignment.Holder) -> (Value, Value) {
    switch holder {
    case .user(let id): (.text("user"), .text(id))
    case .group(let id): (.text("group"), .text(id))
    }
  }
  private static func parts(_ target: RoleAssignment.Target) -> (Value, Value) {
    switch target {
    case .project(let id): (.text("project"), .text(id))
    case .domain(let id): (.text("domain"), .text(id))
    case .system: (.text("system"), .text("all"))
    }
  }
  private static func assignment(_ row: borrowing Row) -> RoleAssignment {
    let holder = row.text(1)
    let target = row.text(3)
    let place: RoleAssignment.Target =
      switch row.text(2) {
      case "project": .project(target)
      case "domain": .domain(target)
      default: .system
      }
    return RoleAssignment(
      holder: row.text(0) == "user" ? .user(holder) : .group(holder), target: place, roleID: row.text(4))
  }

  /// Adds it; one that is already there stays.
  public static func add(_ assignment: RoleAssignment, in session: any Session) throws {
    let (holderKind, holder) = parts(assignment.holder)
    let (targetKind, target) = parts(assignment.target)
    try session.execute(
      """
      INSERT INTO identity_assignments (holder_kind, holder_id, target_kind, target_id, role_id) \
      VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING
      """, [holderKind, holder, targetKind, target, .text(assignment.roleID)])
  }
  /// - Returns: false when it was not there.
  public static func remove(_ assignment: RoleAssignment, in session: any Session) throws -> Bool {
    let (holderKind, holder) = parts(assignment.holder)
    let (targetKind, target) = parts(assignment.target)
    return try session.execute(
      """
      DELETE FROM identity_assignments WHERE holder_kind = $1 AND holder_id = $2 AND target_kind = $3 AND target_id = $4 \
      AND role_id = $5
      """, [holderKind, holder, targetKind, target, .text(assignment.roleID)]) > 0
  }
  /// Only what is given narrows the list.
  public static func list(
    holder: RoleAssignment.Holder? = nil, target: RoleAssignment.Target? = nil, role: String? = nil,
    in session: any Session
  ) throws -> [RoleAssignment] {
    var query = Query(
      "SELECT holder_kind, holder_id, target_kind, target_id, role_id FROM identity_assignments WHERE 1 = 1")
    if let holder {
      let (kind, id) = parts(holder)
      query.append("AND holder_kind = ? AND holder_id = ?", kind, id)
    }
    if let target {
      let (kind, id) = parts(target)
      query.append("AND target_kind = ? AND target_id = ?", kind, id)
    }
    if let role { query.append("AND role_id = ?", .text(role)) }
    query.append("ORDER BY holder_kind, holder_id, target_kind, target_id, role_id")
    return try session.query(query) { assignment($0) }
  }
  /// The roles of a user on one target, its own and its groups', without implied ones.
  public static func roleIDs(of user: String, on target: RoleAssignment.Target, in session: any Session) throws -> Set<
    String
  > {
    let (kind, id) = parts(target)
    return Set(
      try session.query(
        """
        SELECT role_id FROM identity_assignments WHERE target_kind = $1 AND target_id = $2 AND \
        ((holder_kind = 'user' AND holder_id = $3) OR (holder_kind = 'group' AND holder_id IN \
        (SELECT group_id FROM identity_group_members WHERE user_id = $3)))
        """, [kind, id, .text(user)]
      ) { $0.text(0) })
  }
  /// Where the user has a role, its own or its groups'.
  public static func targets(of user: String, in session: any Session) throws -> Set<RoleAssignment.Target> {
    Set(
      try session.query(
        """
        SELECT holder_kind, holder_id, target_kind, target_id, role_id FROM identity_assignments \
        WHERE (holder_kind = 'user' AND holder_id = $1) OR (holder_kind = 'group' AND holder_id IN \
        (SELECT group_id FROM identity_group_members WHERE user_id = $1))
        """, [.text(user)]
      ) { assignment($0).target })
  }
}
