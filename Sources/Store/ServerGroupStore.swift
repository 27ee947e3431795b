import Domain
import Wire

/// Server groups. A group's members are the servers that name it.
public enum ServerGroupStore {
  /// The groups that `narrow` leaves (it appends `WHERE …`): two statements.
  public static func list(in session: any Session, _ narrow: (inout Query) -> Void) throws -> [ServerGroup] {
    var query = Query(
      "SELECT id, name, project_id, user_id, policy, most_per_chassis, created_at FROM server_groups")
    narrow(&query)
    var groups = try session.query(query) { row in
      var group = ServerGroup(
        id: row.text(0), name: row.text(1), projectID: row.text(2), userID: row.text(3),
        policy: ServerGroup.Policy(rawValue: row.text(4)) ?? .antiAffinity, createdAt: row.time(6))
      group.mostPerChassis = row.optionalInt(5)
      return group
    }
    if groups.isEmpty { return [] }
    let members = Dictionary(
      grouping: try session.query(
        "SELECT group_id, id FROM servers WHERE group_id IS NOT NULL AND deleted_at IS NULL ORDER BY created_at, id", []
      ) { ($0.text(0), $0.text(1)) }, by: \.0)
    for index in groups.indices { groups[index].members = members[groups[index].id]?.map(\.1) ?? [] }
    return groups
  }
  public static func get(_ id: String, in session: any Session) throws -> ServerGroup? {
    try list(in: session) { $0.append("WHERE id = ?", .text(id)) }.first
  }
  public static func insert(_ group: ServerGroup, in session: any Session) throws {
    try session.execute(
      """
      INSERT INTO server_groups (id, name, project_id, user_id, policy, most_per_chassis, created_at) \
      VALUES ($1, $2, $3, $4, $5, $6, $7)
      """,
      [
        .text(group.id), .text(group.name), .text(group.projectID), .text(group.userID), .text(group.policy.rawValue),
        Value(group.mostPerChassis), Value(group.createdAt),
      ])
  }
  public static func delete(_ id: String, in session: any Session) throws {
    try session.execute("DELETE FROM server_groups WHERE id = $1", [.text(id)])
  }
  /// Chassis that have a server of the group.
  public static func chassis(group id: String, in session: any Session) throws -> [String] {
    try session.query(
      """
      SELECT n.chassis_uuid FROM servers s JOIN nodes n ON n.uuid = s.node_uuid WHERE s.group_id = $1 AND s.deleted_at IS NULL \
      AND n.chassis_uuid IS NOT NULL
      """, [.text(id)]
    ) { $0.text(0) }
  }
  public static func count(project id: String, in session: any Session) throws -> Int {
    try session.first("SELECT COUNT(*) FROM server_groups WHERE project_id = $1", [.text(id)]) { $0.int(0) } ?? 0
  }
}
