import Domain
import Wire

/// The policies that share networks, subnet pools and address scopes with other projects.
public enum RBACPolicyStore {
  private static func policy(_ row: borrowing Row) throws -> RBACPolicy {
    guard let type = RBACPolicy.ObjectType(rawValue: row.text(2)), let action = RBACPolicy.Action(rawValue: row.text(4))
    else { throw StoreError(.other, "RBAC policy \(row.text(0)) is on a \(row.text(2)), for \(row.text(4))") }
    return RBACPolicy(
      id: row.text(0), projectID: row.text(1), objectType: type, objectID: row.text(3), action: action,
      target: row.text(5), createdAt: row.time(6))
  }
  /// The policies that `narrow` leaves (it appends `WHERE …`, `ORDER BY …`).
  public static func list(in session: any Session, _ narrow: (inout Query) -> Void = { _ in }) throws -> [RBACPolicy] {
    var query = Query(
      "SELECT id, project_id, object_type, object_id, action, target_project, created_at FROM rbac_policies")
    narrow(&query)
    return try session.query(query) { try policy($0) }
  }
  public static func get(_ id: String, in session: any Session) throws -> RBACPolicy? {
    try list(in: session) { $0.append("WHERE id = ?", .text(id)) }.first
  }
  /// What the policies of each of these objects give to whom: one statement.
  static func targets(
    of ids: [String], in session: any Session
  ) throws -> [String: [(action: RBACPolicy.Action, target: String)]] {
    var out: [String: [(action: RBACPolicy.Action, target: String)]] = [:]
    let rows = try session.queryMany("SELECT object_id, action, target_project FROM rbac_policies", "object_id", ids) {
      ($0.text(0), RBACPolicy.Action(rawValue: $0.text(1)), $0.text(2))
    }
    for (object, action, target) in rows {
      if let action { out[object, default: []].append((action, target)) }
    }
    return out
  }

  /// Whom each of these objects is shared with: one statement.
  static func sharing(of ids: [String], in session: any Session) throws -> [String: Sharing] {
    try targets(of: ids, in: session).mapValues { given in
      Sharing(given.filter { $0.action == .shared }.map { $0.target })
    }
  }

  /// - Throws: ``StoreError`` `.conflict` when there is such a policy.
  public static func insert(_ policy: RBACPolicy, in session: any Session) throws {
    try session.execute(
      """
      INSERT INTO rbac_policies (id, project_id, object_type, object_id, action, target_project, created_at) \
      VALUES ($1, $2, $3, $4, $5, $6, $7)
      """,
      [
        .text(policy.id), .text(policy.projectID), .text(policy.objectType.rawValue), .text(policy.objectID),
        .text(policy.action.rawValue), .text(policy.target), Value(policy.createdAt),
      ])
  }
  /// - Throws: ``StoreError`` `.conflict` when there is such a policy.
  public static func setTarget(_ target: String, of id: String, in session: any Session) throws {
    try session.execute("UPDATE rbac_policies SET target_project = $1 WHERE id = $2", [.text(target), .text(id)])
  }
  public static func delete(_ id: String, in session: any Session) throws {
    try session.execute("DELETE FROM rbac_policies WHERE id = $1", [.text(id)])
  }
  /// Makes `policy` when it is wanted and there is none like it, and removes the one like it when it is not wanted.
  public static func ensure(_ policy: RBACPolicy, is wanted: Bool, in session: any Session) throws {
    if wanted {
      if try !exists(policy, in: session) { try insert(policy, in: session) }
    } else {
      try session.execute(
        "DELETE FROM rbac_policies WHERE object_id = $1 AND action = $2 AND target_project = $3",
        [.text(policy.objectID), .text(policy.action.rawValue), .text(policy.target)])
    }
  }
  /// Whether there is one for the same object, action and target.
  public static func exists(_ policy: RBACPolicy, in session: any Session) throws -> Bool {
    try session.exists(
      "SELECT 1 FROM rbac_policies WHERE object_id = $1 AND action = $2 AND target_project = $3",
      [.text(policy.objectID), .text(policy.action.rawValue), .text(policy.target)])
  }
  public static func deleteAll(
    of object: String, action: RBACPolicy.Action, in session: any Session
  ) throws {
    try session.execute(
      "DELETE FROM rbac_policies WHERE object_id = $1 AND action = $2", [.text(object), .text(action.rawValue)])
  }
  /// With the object itself.
  public static func deleteAll(of object: String, in session: any Session) throws {
    try session.execute("DELETE FROM rbac_policies WHERE object_id = $1", [.text(object)])
  }

  public static func count(project id: String, in session: any Session) throws -> Int {
    try session.first("SELECT COUNT(*) FROM rbac_policies WHERE project_id = $1", [.text(id)]) { $0.int(0) } ?? 0
  }
}

extension Query {
  /// Appends `AND …` for a list of networks: those that ``NetworkPolicy`` shows.
  public mutating func appendNetworks(in scope: NetworkPolicy.Scope) {
    guard case .project(let id) = scope else { return }
    append(
      "AND (project_id = ? OR id IN (SELECT object_id FROM rbac_policies WHERE target_project IN ('*', ?)))",
      Value(id), Value(id))
  }
  /// Appends `AND …` for a list of subnet pools or address scopes: those that ``NetworkPolicy`` shows.
  public mutating func appendOwnAndShared(in scope: NetworkPolicy.Scope) {
    guard case .project(let id) = scope else { return }
    append("AND (project_id = ? OR", Value(id))
    appendShared("id IN", with: id)
    append(")")
  }
  /// Appends `AND …` for a list of subnets: those that ``NetworkPolicy`` shows.
  public mutating func appendSubnets(in scope: NetworkPolicy.Scope) {
    guard case .project(let id) = scope else { return }
    append(
      "AND (project_id = ? OR network_id IN (SELECT id FROM networks WHERE project_id = ?) OR", Value(id), Value(id))
    appendShared("network_id IN", with: id)
    append(")")
  }
  /// Appends `AND …` for a list of ports `p`: those that ``NetworkPolicy`` shows.
  public mutating func appendNetworkPorts(in scope: NetworkPolicy.Scope) {
    guard case .project(let id) = scope else { return }
    append(
      "AND (p.project_id = ? OR p.network_id IN (SELECT id FROM networks WHERE project_id = ?))", Value(id), Value(id))
  }
  /// Appends `column IN (…)` with the objects that are shared with a project.
  public mutating func appendShared(_ column: StaticString, with project: String?) {
    append(column)
    append(
      "(SELECT object_id FROM rbac_policies WHERE action = 'access_as_shared' AND target_project IN ('*', ?))",
      Value(project))
  }
}
