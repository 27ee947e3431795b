import Domain
import Wire

/// What was asked of servers.
public enum ServerActionStore {
  public static func insert(_ action: ServerAction, in session: any Session) throws {
    try session.execute(
      """
      INSERT INTO server_actions (server_id, name, request_id, user_id, project_id, workflow_id, message, started_at) \
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
      """,
      [
        .text(action.serverID), .text(action.name), .text(action.requestID), Value(action.userID),
        Value(action.projectID), Value(action.workflowID), Value(action.message), Value(action.startedAt),
      ])
  }
  /// Newest first.
  public static func list(server id: String, in session: any Session) throws -> [ServerAction] {
    try session.query(
      """
      SELECT name, request_id, user_id, project_id, workflow_id, message, started_at FROM server_actions WHERE server_id = $1 \
      ORDER BY number DESC
      """, [.text(id)]
    ) { row in
      var action = ServerAction(row.text(0), of: id, requestID: row.text(1), startedAt: row.time(6))
      action.userID = row.optionalText(2)
      action.projectID = row.optionalText(3)
      action.workflowID = row.optionalText(4)
      action.message = row.optionalText(5)
      return action
    }
  }
}
