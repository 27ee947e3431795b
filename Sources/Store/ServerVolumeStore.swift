import Domain
import Wire

/// The volumes of servers. A row goes with its volume; those of a deleted server are the volumes that are still to go with it.
public enum ServerVolumeStore {
  private static func list(in session: any Session, _ narrow: (inout Query) -> Void) throws -> [ServerVolume] {
    var query = Query(
      """
      SELECT v.id, v.server_id, v.volume_id, v.boot_index, v.deletes_on_termination, v.tag, v.device, v.created_at \
      FROM server_volumes v
      """)
    narrow(&query)
    // The one that is booted from first.
    query.append("ORDER BY v.boot_index IS NULL, v.boot_index, v.created_at, v.device, v.id")
    return try session.query(query) { row in
      var volume = ServerVolume(
        id: row.text(0), serverID: row.text(1), volumeID: row.text(2), bootIndex: row.isNull(3) ? nil : row.int(3),
        deletesOnTermination: row.bool(4), createdAt: row.time(7))
      volume.tag = row.optionalText(5)
      volume.device = row.optionalText(6)
      return volume
    }
  }
  public static func list(of server: String, in session: any Session) throws -> [ServerVolume] {
    try list(in: session) { $0.append("WHERE v.server_id = ?", .text(server)) }
  }
  /// Of many servers, in one statement.
  public static func list(ofServers ids: [String], in session: any Session) throws -> [String: [ServerVolume]] {
    if ids.isEmpty { return [:] }
    let all = try list(in: session) { query in
      if ids.count <= manyLimit {
        query.appendIn("WHERE v.server_id IN", ids.map { .text($0) })
      } else {
        query.append("WHERE v.server_id IN (SELECT id FROM servers WHERE deleted_at IS NULL)")
      }
    }
    return Dictionary(grouping: all, by: \.serverID)
  }
  public static func get(server: String, volume: String, in session: any Session) throws -> ServerVolume? {
    try list(in: session) {
      $0.append("WHERE v.server_id = ? AND v.volume_id = ?", .text(server), .text(volume))
    }.first
  }
  /// Those of servers that are gone, which are to go with them.
  public static func leaving(in session: any Session) throws -> [ServerVolume] {
    try list(in: session) {
      $0.append("WHERE v.server_id IN (SELECT id FROM servers WHERE deleted_at IS NOT NULL)")
    }
  }
  /// Whether a server that is there has the volume.
  public static func isInUse(volume: String, in session: any Session) throws -> Bool {
    try session.exists(
      """
      SELECT 1 FROM server_volumes v JOIN servers s ON s.id = v.server_id WHERE v.volume_id = $1 AND s.deleted_at IS NULL LIMIT 1
      """, [.text(volume)])
  }

  /// - Throws: ``StoreError`` `.conflict` when the server has the volume.
  public static func insert(_ volume: ServerVolume, in session: any Session) throws {
    try session.execute(
      """
      INSERT INTO server_volumes (id, server_id, volume_id, boot_index, deletes_on_termination, tag, device, created_at) \
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
      """,
      [
        .text(volume.id), .text(volume.serverID), .text(volume.volumeID), Value(volume.bootIndex),
        .bool(volume.deletesOnTermination), Value(volume.tag), Value(volume.device), Value(volume.createdAt),
      ])
  }
  public static func setDeletesOnTermination(_ flag: Bool, of id: String, in session: any Session) throws {
    try session.execute(
      "UPDATE server_volumes SET deletes_on_termination = $1 WHERE id = $2", [.bool(flag), .text(id)])
  }
  public static func delete(server: String, volume: String, in session: any Session) throws {
    try session.execute(
      "DELETE FROM server_volumes WHERE server_id = $1 AND volume_id = $2", [.text(server), .text(volume)])
  }
  /// Lets go of the volumes that stay when their server goes.
  public static func releaseKept(of server: String, in session: any Session) throws {
    try session.execute(
      "DELETE FROM server_volumes WHERE server_id = $1 AND deletes_on_termination = 0", [.text(server)])
  }
}
