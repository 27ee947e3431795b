import Domain
import Wire

/// Offers of volumes to other projects.
public enum VolumeTransferStore {
  private static func transfer(_ row: borrowing Row) -> VolumeTransfer {
    var transfer = VolumeTransfer(
      volumeID: row.text(1), sourceProjectID: row.text(3), keyHash: row.text(5), createdAt: row.time(8))
    transfer.id = row.text(0)
    transfer.name = row.optionalText(2)
    transfer.destinationProjectID = row.optionalText(4)
    transfer.includesSnapshots = row.bool(6)
    transfer.isAccepted = row.bool(7)
    return transfer
  }
  private static func list(in session: any Session, _ narrow: (inout Query) -> Void) throws -> [VolumeTransfer] {
    var query = Query(
      """
      SELECT id, volume_id, name, source_project_id, destination_project_id, key_hash, includes_snapshots, is_accepted, created_at \
      FROM volume_transfers
      """)
    narrow(&query)
    query.append("ORDER BY created_at, id")
    return try session.query(query) { transfer($0) }
  }
  /// Open ones.
  public static func list(_ scope: VolumePolicy.Scope, in session: any Session) throws -> [VolumeTransfer] {
    try list(in: session) { query in
      query.append("WHERE is_accepted = 0")
      switch scope {
      case .everything: break
      case .project(let id): query.append("AND source_project_id = ?", .text(id))
      case .nothing: query.append("AND 1 = 0")
      }
    }
  }
  public static func get(_ id: String, in session: any Session) throws -> VolumeTransfer? {
    try list(in: session) { $0.append("WHERE id = ?", .text(id)) }.first
  }
  /// - Throws: ``StoreError`` `.conflict` when the volume has been offered already.
  public static func insert(_ transfer: VolumeTransfer, in session: any Session) throws {
    try session.execute(
      """
      INSERT INTO volume_transfers (id, volume_id, name, source_project_id, key_hash, includes_snapshots, is_accepted, created_at) \
      VALUES ($1, $2, $3, $4, $5, $6, 0, $7)
      """,
      [
        .text(transfer.id), .text(transfer.volumeID), Value(transfer.name), .text(transfer.sourceProjectID),
        .text(transfer.keyHash), .bool(transfer.includesSnapshots), Value(transfer.createdAt),
      ])
  }
  public static func delete(_ id: String, in session: any Session) throws {
    try session.execute("DELETE FROM volume_transfers WHERE id = $1", [.text(id)])
  }
}
