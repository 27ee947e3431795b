import Domain
import Wire

/// Security groups, and which ports have them.
public enum SecurityGroupStore {
  /// The groups that `narrow` leaves (it appends `WHERE …`, `ORDER BY …`), with rules, tags and whom they are shared with: four
  /// statements.
  public static func list(
    in session: any Session, _ narrow: (inout Query) -> Void = { _ in }
  ) throws -> [SecurityGroup] {
    var query = Query(
      """
      SELECT id, project_id, name, description, is_stateful, is_default, revision, created_at, updated_at \
      FROM security_groups
      """)
    narrow(&query)
    var groups = try session.query(query) {
      SecurityGroup(
        id: $0.text(0), projectID: $0.text(1), name: $0.text(2), description: $0.text(3), isStateful: $0.bool(4),
        isDefault: $0.bool(5), revision: $0.int(6), createdAt: $0.time(7), updatedAt: $0.time(8))
    }
    if groups.isEmpty { return [] }
    let ids = groups.map(\.id)
    let rules = Dictionary(grouping: try SecurityGroupRuleStore.list(groups: ids, in: session), by: \.groupID)
    let tags = try NetworkTagStore.tags(of: ids, in: session)
    let sharing = try RBACPolicyStore.sharing(of: ids, in: session)
    for index in groups.indices {
      groups[index].rules = rules[groups[index].id] ?? []
      groups[index].tags = tags[groups[index].id] ?? []
      groups[index].sharing = sharing[groups[index].id] ?? Sharing()
    }
    return groups
  }
  public static func get(_ id: String, in session: any Session) throws -> SecurityGroup? {
    try list(in: session) { $0.append("WHERE id = ?", .text(id)) }.first
  }
  /// Those of them that exist.
  public static func list(ids: [String], in session: any Session) throws -> [SecurityGroup] {
    ids.isEmpty ? [] : try list(in: session) { $0.appendIn("WHERE id IN", ids.map { .text($0) }) }
  }
  public static func defaultID(project id: String, in session: any Session) throws -> String? {
    try session.first(
      "SELECT id FROM security_groups WHERE project_id = $1 AND is_default = 1", [.text(id)]
    ) { $0.text(0) }
  }
  /// The default groups of all projects.
  public static func defaultIDs(in session: any Session) throws -> Set<String> {
    Set(try session.query("SELECT id FROM security_groups WHERE is_default = 1", []) { $0.text(0) })
  }

  /// Inserts it with its rules and tags. Whom it is shared with is ``RBACPolicyStore``'s.
  /// - Throws: ``StoreError`` `.conflict` when it is a project's second default group.
  public static func insert(_ group: SecurityGroup, in session: any Session) throws {
    try session.execute(
      """
      INSERT INTO security_groups (id, project_id, name, description, is_stateful, is_default, revision, created_at, updated_at) \
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
      """,
      [
        .text(group.id), .text(group.projectID), .text(group.name), .text(group.description), .bool(group.isStateful),
        .bool(group.isDefault), .int(group.revision), Value(group.createdAt), Value(group.updatedAt),
      ])
    for rule in group.rules { try SecurityGroupRuleStore.insert(rule, in: session) }
    try NetworkTagStore.set(group.tags, of: group.id, in: session)
  }
  /// Writes what may change but rules and tags, and counts the revision up.
  public static func update(_ group: inout SecurityGroup, at now: Timestamp, in session: any Session) throws {
    group.revision += 1
    group.updatedAt = now
    try session.execute(
      "UPDATE security_groups SET name = $1, description = $2, is_stateful = $3, revision = $4, updated_at = $5 WHERE id = $6",
      [
        .text(group.name), .text(group.description), .bool(group.isStateful), .int(group.revision),
        Value(group.updatedAt), .text(group.id),
      ])
  }
  /// Deletes it with its rules, those of other groups that name it, and the policies that share it.
  /// - Throws: ``StoreError`` `.conflict` when a port has it.
  public static func delete(_ id: String, in session: any Session) throws {
    try NetworkTagStore.set([], of: id, in: session)
    try RBACPolicyStore.deleteAll(of: id, in: session)
    try session.execute("DELETE FROM security_groups WHERE id = $1", [.text(id)])
  }
  public static func count(project id: String, in session: any Session) throws -> Int {
    try session.first("SELECT COUNT(*) FROM security_groups WHERE project_id = $1", [.text(id)]) { $0.int(0) } ?? 0
  }

  // MARK: On ports

  /// In ascending order, by port: one statement.
  static func ids(ofPorts ports: [String], in session: any Session) throws -> [String: [String]] {
    var out: [String: [String]] = [:]
    let rows = try session.queryMany(
      "SELECT port_id, group_id FROM network_port_groups", "port_id", ports, order: "ORDER BY group_id"
    ) { ($0.text(0), $0.text(1)) }
    for (port, group) in rows { out[port, default: []].append(group) }
    return out
  }
  /// Replaces the port's groups.
  public static func setGroups(of port: NetworkPort, in session: any Session) throws {
    try session.execute("DELETE FROM network_port_groups WHERE port_id = $1", [.text(port.id)])
    for group in port.securityGroupIDs {
      try session.execute(
        "INSERT INTO network_port_groups (port_id, group_id) VALUES ($1, $2)", [.text(port.id), .text(group)])
    }
  }
  /// The projects whose ports have the group, those that are being deleted included.
  public static func projects(using id: String, in session: any Session) throws -> Set<String> {
    Set(
      try session.query(
        """
        SELECT DISTINCT p.project_id FROM network_port_groups g JOIN network_ports p ON p.id = g.port_id \
        WHERE g.group_id = $1
        """, [.text(id)]
      ) { $0.text(0) })
  }
  /// The ports on machines that have the group: those that follow when its rules change.
  public static func attachedPorts(with group: String, in session: any Session) throws -> [String] {
    try attachedPorts(in: session) { $0.append("AND g.group_id = ?", .text(group)) }
  }
  /// The ports on machines that have a rule which names one of these groups: those that follow when its members change.
  public static func attachedPorts(naming groups: some Collection<String>, in session: any Session) throws -> [String] {
    if groups.isEmpty { return [] }
    return try attachedPorts(in: session) { query in
      query.append("AND g.group_id IN (SELECT group_id FROM security_group_rules WHERE")
      query.appendIn("remote_group_id IN", groups.map { .text($0) })
      query.append(")")
    }
  }
  private static func attachedPorts(in session: any Session, _ narrow: (inout Query) -> Void) throws -> [String] {
    var query = Query(
      """
      SELECT DISTINCT p.id FROM network_ports p JOIN network_port_groups g ON g.port_id = p.id \
      WHERE p.is_bound = 1 AND p.is_being_deleted = 0
      """)
    narrow(&query)
    query.append("ORDER BY p.id")
    return try session.query(query) { $0.text(0) }
  }

  /// What may pass at a port; nil when nothing filters it.
  public static func accessList(of port: NetworkPort, in session: any Session) throws -> AccessList? {
    guard port.isPortSecurityEnabled else { return nil }
    let groups = try list(ids: port.securityGroupIDs, in: session)
    let named = Set(groups.flatMap(\.rules).compactMap(\.remoteGroupID))
    return AccessList(of: port, groups: groups, members: try members(of: named, in: session))
  }
  /// The addresses of the ports that have each of these groups, and those that they may use beside them.
  private static func members(of groups: Set<String>, in session: any Session) throws -> [String: [CIDR]] {
    if groups.isEmpty { return [:] }
    let ids = groups.map { Value.text($0) }
    var out: [String: [CIDR]] = [:]
    var addresses = Query(
      """
      SELECT g.group_id, a.version, a.address_key FROM network_port_groups g \
      JOIN network_addresses a ON a.port_id = g.port_id JOIN network_ports p ON p.id = g.port_id \
      WHERE p.is_being_deleted = 0
      """)
    addresses.appendIn("AND g.group_id IN", ids)
    let fixed = try session.query(addresses) { ($0.text(0), IPAddress(version: $0.int(1), key: $0.text(2))) }
    for (group, address) in fixed {
      if let block = address.flatMap({ CIDR($0) }) { out[group, default: []].append(block) }
    }
    var pairs = Query(
      """
      SELECT g.group_id, p.address_pairs FROM network_port_groups g JOIN network_ports p ON p.id = g.port_id \
      WHERE p.address_pairs <> '[]' AND p.is_being_deleted = 0
      """)
    pairs.appendIn("AND g.group_id IN", ids)
    for (group, more) in try session.query(pairs, { ($0.text(0), NetworkPortStore.addressPairs($0.json(1))) }) {
      out[group, default: []] += more.map(\.block)
    }
    return out
  }
}

/// Rules of security groups.
public enum SecurityGroupRuleStore {
  private static func rule(_ row: borrowing Row) throws -> SecurityGroupRule {
    guard let direction = SecurityGroupRule.Direction(rawValue: row.text(3)) else {
      throw StoreError(.other, "security group rule \(row.text(0)) has direction \(row.text(3))")
    }
    return SecurityGroupRule(
      id: row.text(0), groupID: row.text(1), projectID: row.text(2), direction: direction, version: row.int(4),
      protocolName: row.optionalText(5), portMinimum: row.optionalInt(6), portMaximum: row.optionalInt(7),
      remotePrefix: row.optionalText(8), remoteGroupID: row.optionalText(9), description: row.text(10),
      revision: row.int(11), createdAt: row.time(12), updatedAt: row.time(13))
  }
  private static let columns: StaticString = """
    SELECT id, group_id, project_id, direction, ip_version, protocol, port_minimum, port_maximum, remote_prefix, \
    remote_group_id, description, revision, created_at, updated_at FROM security_group_rules
    """
  /// The rules that `narrow` leaves (it appends `WHERE …`, `ORDER BY …`).
  public static func list(
    in session: any Session, _ narrow: (inout Query) -> Void = { _ in }
  ) throws -> [SecurityGroupRule] {
    var query = Query(columns)
    narrow(&query)
    return try session.query(query) { try rule($0) }
  }
  /// Of all these groups, in the order in which they were made.
  static func list(groups: [String], in session: any Session) throws -> [SecurityGroupRule] {
    try session.queryMany(columns, "group_id", groups, order: "ORDER BY created_at, id") { try rule($0) }
  }
  public static func get(_ id: String, in session: any Session) throws -> SecurityGroupRule? {
    try list(in: session) { $0.append("WHERE id = ?", .text(id)) }.first
  }
  public static func insert(_ rule: SecurityGroupRule, in session: any Session) throws {
    try session.execute(
      """
      INSERT INTO security_group_rules (id, group_id, project_id, direction, ip_version, protocol, port_minimum, port_maximum, \
      remote_prefix, remote_group_id, description, revision, created_at, updated_at) \
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
      """,
      [
        .text(rule.id), .text(rule.groupID), .text(rule.projectID), .text(rule.direction.rawValue), .int(rule.version),
        Value(rule.protocolName), Value(rule.portMinimum), Value(rule.portMaximum), Value(rule.remotePrefix),
        Value(rule.remoteGroupID), .text(rule.description), .int(rule.revision), Value(rule.createdAt),
        Value(rule.updatedAt),
      ])
  }
  public static func delete(_ id: String, in session: any Session) throws {
    try session.execute("DELETE FROM security_group_rules WHERE id = $1", [.text(id)])
  }
  /// The rules that count against a project's quota: those that it made.
  public static func count(project id: String, in session: any Session) throws -> Int {
    try session.first("SELECT COUNT(*) FROM security_group_rules WHERE project_id = $1", [.text(id)]) { $0.int(0) } ?? 0
  }
}

extension Query {
  /// Appends `AND …` for a list of security group rules: those that a project made, and those of the groups that it sees.
  public mutating func appendSecurityGroupRules(in scope: NetworkPolicy.Scope) {
    guard case .project(let id) = scope else { return }
    append(
      "AND (project_id = ? OR group_id IN (SELECT id FROM security_groups WHERE project_id = ?) OR", Value(id),
      Value(id))
    appendShared("group_id IN", with: id)
    append(")")
  }
}
