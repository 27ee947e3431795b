import Domain
import Wire

/// Tokens that open a node's console once. Only their digests are kept.
public enum ConsoleTokenStore {
  /// - Parameter lease: the lease that holds the node now; the token dies with it.
  public static func insert(
    digest: String, node uuid: String, lease: String?, until end: Timestamp, in session: any Session
  ) throws {
    try session.execute(
      "INSERT INTO console_tokens (digest, node_uuid, lease_uuid, expires_at) VALUES ($1, $2, $3, $4)",
      [.text(digest), .text(uuid), Value(lease), Value(end)])
  }
  /// Uses a token up.
  /// - Returns: the node; nil when there is no such token, it has expired, or the node went to another lease since.
  public static func take(digest: String, at now: Timestamp, in session: any Session) throws -> String? {
    let found = try session.query(
      """
      SELECT t.node_uuid FROM console_tokens t JOIN nodes n ON n.uuid = t.node_uuid \
      WHERE t.digest = $1 AND t.expires_at > $2 AND COALESCE(t.lease_uuid, '') = COALESCE(n.lease_uuid, '')
      """, [.text(digest), Value(now)]
    ) { $0.text(0) }
    try session.execute(
      "DELETE FROM console_tokens WHERE digest = $1 OR expires_at <= $2", [.text(digest), Value(now)])
    return found.first
  }
  public static func remove(node uuid: String, in session: any Session) throws {
    try session.execute("DELETE FROM console_tokens WHERE node_uuid = $1", [.text(uuid)])
  }
}
