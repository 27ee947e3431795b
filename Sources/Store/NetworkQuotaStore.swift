/// Limits of networks, subnets, ports and what else is counted per project, where they differ from the site's.
public enum NetworkQuotaStore {
  /// By resource: "network", "subnet", "port", …. -1 means no limit.
  public static func limits(project id: String, in session: any Session) throws -> [String: Int] {
    let rows = try session.query("SELECT resource, quota_limit FROM network_quotas WHERE project_id = $1", [.text(id)])
    {
      ($0.text(0), $0.int(1))
    }
    return Dictionary(rows) { first, _ in first }
  }
  /// The limits of every project that has its own.
  public static func all(in session: any Session) throws -> [String: [String: Int]] {
    var limits: [String: [String: Int]] = [:]
    let rows = try session.query("SELECT project_id, resource, quota_limit FROM network_quotas ORDER BY project_id", [])
    {
      ($0.text(0), $0.text(1), $0.int(2))
    }
    for (project, resource, limit) in rows { limits[project, default: [:]][resource] = limit }
    return limits
  }
  public static func set(_ resource: String, _ limit: Int, project id: String, in session: any Session) throws {
    try session.execute(
      """
      INSERT INTO network_quotas (project_id, resource, quota_limit) VALUES ($1, $2, $3) \
      ON CONFLICT (project_id, resource) DO UPDATE SET quota_limit = excluded.quota_limit
      """, [.text(id), .text(resource), .int(limit)])
  }
  /// Back to the site's limits.
  /// - Returns: false when the project had none of its own.
  public static func reset(project id: String, in session: any Session) throws -> Bool {
    try session.execute("DELETE FROM network_quotas WHERE project_id = $1", [.text(id)]) > 0
  }
}
