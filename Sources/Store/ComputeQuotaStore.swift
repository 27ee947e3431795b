/// Limits of servers and what else is counted per project, where they differ from the site's.
public enum ComputeQuotaStore {
  /// In the place of a project: what the administrator has set for all that have no limit of their own.
  public static let everyone = ""

  /// By resource: "instances", "cores", …. -1 means no limit. Those for everyone are among them where the project has none.
  public static func limits(project id: String, in session: any Session) throws -> [String: Int] {
    let rows = try session.query(
      "SELECT resource, quota_limit FROM compute_quotas WHERE project_id = $1 OR project_id = '' ORDER BY project_id DESC",
      [.text(id)]
    ) { ($0.text(0), $0.int(1)) }
    return Dictionary(rows) { first, _ in first }
  }
  public static func set(_ resource: String, _ limit: Int, project id: String, in session: any Session) throws {
    try session.execute(
      """
      INSERT INTO compute_quotas (project_id, resource, quota_limit) VALUES ($1, $2, $3) \
      ON CONFLICT (project_id, resource) DO UPDATE SET quota_limit = excluded.quota_limit
      """, [.text(id), .text(resource), .int(limit)])
  }
  public static func reset(project id: String, in session: any Session) throws {
    try session.execute("DELETE FROM compute_quotas WHERE project_id = $1", [.text(id)])
  }
}
