import Domain
import Wire

/// Changes of a node's owner that wait until its leases are over.
public enum OwnerChangeStore {
  /// - Parameter owner: the project; nil for none.
  public static func put(node uuid: String, owner: String?, at now: Timestamp, in session: any Session) throws {
    try session.execute(
      """
      INSERT INTO owner_changes (node_uuid, owner, asked_at) VALUES ($1, $2, $3) \
      ON CONFLICT (node_uuid) DO UPDATE SET owner = excluded.owner, asked_at = excluded.asked_at
      """, [.text(uuid), Value(owner), Value(now)])
  }
  public static func isPending(node uuid: String, in session: any Session) throws -> Bool {
    try session.exists("SELECT 1 FROM owner_changes WHERE node_uuid = $1", [.text(uuid)])
  }
  /// Those whose node has no live lease any more.
  public static func ripe(in session: any Session) throws -> [(node: String, owner: String?)] {
    try session.query(
      """
      SELECT c.node_uuid, c.owner FROM owner_changes c WHERE NOT EXISTS (SELECT 1 FROM leases l \
      WHERE l.resource_uuid = c.node_uuid AND l.resource_type = 'ironic_node' AND l.status NOT IN ('deleted','expired'))
      """, []
    ) { (node: $0.text(0), owner: $0.optionalText(1)) }
  }
  public static func remove(node uuid: String, in session: any Session) throws {
    try session.execute("DELETE FROM owner_changes WHERE node_uuid = $1", [.text(uuid)])
  }
}
