import Domain
import Wire

/// Which assignments a list shows. Only what is given narrows it.
public struct RoleAssignmentFilter: Sendable {
  public var user: String?
  /// With `user`: also what the groups have that the user is in.
  public var withGroups = false
  public var group: String?
  public var role: String?
  public var target: RoleAssignment.Target?
  /// With a project as target: also the projects below it.
  public var withSubtree = false
  /// With a project as target: also what it, and with `withSubtree` the projects below, inherit from above.
  public var withInherited = false
  /// Only those that are inherited, or only those that are not.
  public var isInherited: Bool?
  /// Only those on the domain and on projects in it.
  public var withinDomain: String?

  public init() {}
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
      holder: row.text(0) == "user" ? .user(holder) : .group(holder), target: place, roleID: row.text(4),
      isInherited: row.bool(5))
  }

  /// Adds it; one that is already there stays.
  public static func add(_ assignment: RoleAssignment, in session: any Session) throws {
    let (holderKind, holder) = parts(assignment.holder)
    let (targetKind, target) = parts(assignment.target)
    try session.execute(
      """
      INSERT INTO identity_assignments (holder_kind, holder_id, target_kind, target_id, role_id, is_inherited) \
      VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING
      """,
      [holderKind, holder, targetKind, target, .text(assignment.roleID), .bool(assignment.isInherited)])
  }
  /// - Returns: false when it was not there.
  public static func remove(_ assignment: RoleAssignment, in session: any Session) throws -> Bool {
    let (holderKind, holder) = parts(assignment.holder)
    let (targetKind, target) = parts(assignment.target)
    return try session.execute(
      """
      DELETE FROM identity_assignments WHERE holder_kind = $1 AND holder_id = $2 AND target_kind = $3 AND target_id = $4 \
      AND role_id = $5 AND is_inherited = $6
      """,
      [holderKind, holder, targetKind, target, .text(assignment.roleID), .bool(assignment.isInherited)]) > 0
  }
  public static func contains(_ assignment: RoleAssignment, in session: any Session) throws -> Bool {
    let (holderKind, holder) = parts(assignment.holder)
    let (targetKind, target) = parts(assignment.target)
    return try session.exists(
      """
      SELECT 1 FROM identity_assignments WHERE holder_kind = $1 AND holder_id = $2 AND target_kind = $3 AND target_id = $4 \
      AND role_id = $5 AND is_inherited = $6
      """,
      [holderKind, holder, targetKind, target, .text(assignment.roleID), .bool(assignment.isInherited)])
  }
  /// The ids of the roles that one was given on a target, without those that come from elsewhere.
  public static func roleIDs(
    given holder: RoleAssignment.Holder, on target: RoleAssignment.Target, inherited: Bool, in session: any Session
  ) throws -> Set<String> {
    let (holderKind, holderID) = parts(holder)
    let (targetKind, targetID) = parts(target)
    return Set(
      try session.query(
        """
        SELECT role_id FROM identity_assignments WHERE holder_kind = $1 AND holder_id = $2 AND target_kind = $3 \
        AND target_id = $4 AND is_inherited = $5
        """, [holderKind, holderID, targetKind, targetID, .bool(inherited)]
      ) { $0.text(0) })
  }

  public static func list(_ filter: RoleAssignmentFilter, in session: any Session) throws -> [RoleAssignment] {
    var query = Query(
      """
      SELECT holder_kind, holder_id, target_kind, target_id, role_id, is_inherited FROM identity_assignments WHERE 1 = 1
      """)
    if let user = filter.user {
      if filter.withGroups {
        query.append(
          """
          AND ((holder_kind = 'user' AND holder_id = ?) OR (holder_kind = 'group' AND holder_id IN \
          (SELECT group_id FROM identity_group_members WHERE user_id = ?)))
          """, .text(user), .text(user))
      } else {
        query.append("AND holder_kind = 'user' AND holder_id = ?", .text(user))
      }
    }
    if let group = filter.group { query.append("AND holder_kind = 'group' AND holder_id = ?", .text(group)) }
    if let role = filter.role { query.append("AND role_id = ?", .text(role)) }
    if let inherited = filter.isInherited { query.append("AND is_inherited = ?", .bool(inherited)) }
    switch filter.target {
    case nil: break
    case .system: query.append("AND target_kind = 'system'")
    case .domain(let id): query.append("AND target_kind = 'domain' AND target_id = ?", .text(id))
    case .project(let id):
      query.append("AND (")
      if filter.withSubtree {
        query.append(
          """
          (target_kind = 'project' AND target_id IN (WITH RECURSIVE below (id) AS ( \
          SELECT id FROM identity_projects WHERE id = ? \
          UNION SELECT p.id FROM identity_projects p JOIN below ON p.parent_id = below.id) SELECT id FROM below))
          """, .text(id))
      } else {
        query.append("(target_kind = 'project' AND target_id = ?)", .text(id))
      }
      if filter.withInherited {
        query.append(
          """
          OR (is_inherited AND target_id IN (WITH RECURSIVE above (id) AS ( \
          SELECT parent_id FROM identity_projects WHERE id = ? \
          UNION SELECT p.parent_id FROM identity_projects p JOIN above ON p.id = above.id) \
          SELECT id FROM above WHERE id IS NOT NULL))
          """, .text(id))
      }
      query.append(")")
    }
    if let domain = filter.withinDomain {
      query.append(
        """
        AND ((target_kind = 'domain' AND target_id = ?) OR (target_kind = 'project' AND target_id IN \
        (SELECT id FROM identity_projects WHERE domain_id = ?)))
        """, .text(domain), .text(domain))
    }
    query.append("ORDER BY holder_kind, holder_id, target_kind, target_id, role_id, is_inherited")
    return try session.query(query) { assignment($0) }
  }

  /// The roles of a user on one target: its own, its groups', and those that a project inherits; without implied ones.
  public static func roleIDs(of user: String, on target: RoleAssignment.Target, in session: any Session) throws -> Set<
    String
  > {
    let (kind, id) = parts(target)
    guard case .project = target else {
      return Set(
        try session.query(
          """
          SELECT role_id FROM identity_assignments WHERE target_kind = $1 AND target_id = $2 AND NOT is_inherited AND \
          ((holder_kind = 'user' AND holder_id = $3) OR (holder_kind = 'group' AND holder_id IN \
          (SELECT group_id FROM identity_group_members WHERE user_id = $3)))
          """, [kind, id, .text(user)]
        ) { $0.text(0) })
    }
    return Set(
      try session.query(
        """
        WITH RECURSIVE above (id, parent_id, depth) AS ( \
        SELECT id, parent_id, 0 FROM identity_projects WHERE id = $1 \
        UNION ALL SELECT p.id, p.parent_id, above.depth + 1 FROM identity_projects p JOIN above ON p.id = above.parent_id \
        WHERE above.depth < 64) \
        SELECT role_id FROM identity_assignments JOIN above ON above.id = target_id \
        WHERE target_kind IN ('project','domain') AND is_inherited = (depth > 0) AND \
        ((holder_kind = 'user' AND holder_id = $2) OR (holder_kind = 'group' AND holder_id IN \
        (SELECT group_id FROM identity_group_members WHERE user_id = $2)))
        """, [id, .text(user)]
      ) { $0.text(0) })
  }
  public static func hasSystemRole(_ user: String, in session: any Session) throws -> Bool {
    try session.exists(
      """
      SELECT 1 FROM identity_assignments WHERE target_kind = 'system' AND \
      ((holder_kind = 'user' AND holder_id = $1) OR (holder_kind = 'group' AND holder_id IN \
      (SELECT group_id FROM identity_group_members WHERE user_id = $1))) LIMIT 1
      """, [.text(user)])
  }
  /// Whether a user, or a group, has a role that does not end at the domain: on the system, elsewhere, or in the
  /// administrators' project, also by inheritance. Such a one is out of the domain's hand, or its managers could make themselves the site's.
  public static func reachesBeyond(
    _ domain: String, holder: RoleAssignment.Holder, in session: any Session
  ) throws -> Bool {
    let (kind, id) = parts(holder)
    return try session.exists(
      """
      WITH RECURSIVE admin_line (id, parent_id) AS ( \
      SELECT id, parent_id FROM identity_projects WHERE id IN \
      (SELECT value FROM settings WHERE name = 'identity.admin_project') \
      UNION SELECT p.id, p.parent_id FROM identity_projects p JOIN admin_line ON p.id = admin_line.parent_id) \
      SELECT 1 FROM identity_assignments WHERE ((holder_kind = $1 AND holder_id = $2) OR ($1 = 'user' AND \
      holder_kind = 'group' AND holder_id IN (SELECT group_id FROM identity_group_members WHERE user_id = $2))) \
      AND (target_kind = 'system' OR (target_kind = 'domain' AND target_id <> $3) \
      OR (is_inherited AND target_id IN (SELECT id FROM admin_line)) OR (target_kind = 'project' AND \
      (target_id IN (SELECT value FROM settings WHERE name = 'identity.admin_project') OR \
      target_id NOT IN (SELECT id FROM identity_projects WHERE domain_id = $3)))) LIMIT 1
      """, [kind, id, .text(domain)])
  }
}
