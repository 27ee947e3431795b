import Domain
import Wire

/// Backups of volumes. Their content is in the backup store (``BackupInterface``).
public enum VolumeBackupStore {
  private static func backup(_ row: borrowing Row) -> VolumeBackup {
    var backup = VolumeBackup(
      volumeID: row.text(1), projectID: row.text(3), userID: row.text(4), size: row.int(8), createdAt: row.time(17))
    backup.id = row.text(0)
    backup.snapshotID = row.optionalText(2)
    backup.name = row.optionalText(5)
    backup.description = row.optionalText(6)
    backup.container = row.text(7)
    backup.objectCount = row.int(9)
    backup.isIncremental = row.bool(10)
    backup.status = VolumeBackup.Status(rawValue: row.text(11)) ?? .error
    backup.fault = row.optionalText(12).map { Reason($0, detail: row.optionalText(13)) }
    backup.metadata = row.object(14)
    backup.dataTimestamp = row.time(15)
    backup.parentID = row.optionalText(16)
    backup.updatedAt = row.optionalTime(18)
    return backup
  }
  public static func list(_ listing: VolumeListing, in session: any Session) throws -> [VolumeBackup] {
    var query = Query(
      """
      SELECT id, volume_id, snapshot_id, project_id, user_id, name, description, container, size, object_count, is_incremental, \
      status, fault, fault_detail, metadata, data_timestamp, parent_id, created_at, updated_at FROM volume_backups
      """)
    listing.narrow(&query)
    listing.page(&query, of: "volume_backups")
    return try session.query(query) { backup($0) }
  }
  public static func count(_ listing: VolumeListing, in session: any Session) throws -> Int {
    var query = Query("SELECT COUNT(*) FROM volume_backups")
    listing.narrow(&query)
    return try session.query(query) { $0.int(0) }.first ?? 0
  }
  public static func get(_ id: String, in session: any Session) throws -> VolumeBackup? {
    var listing = VolumeListing(.everything)
    listing.tests = [.equals(.id, [.text(id)])]
    return try list(listing, in: session).first
  }
  /// Those of these that others were made on top of.
  public static func parents(among ids: [String], in session: any Session) throws -> Set<String> {
    var query = Query("SELECT DISTINCT parent_id FROM volume_backups")
    query.appendIn("WHERE parent_id IN", ids.map { .text($0) })
    return Set(try session.query(query) { $0.text(0) })
  }
  public static func insert(_ backup: VolumeBackup, in session: any Session) throws {
    try session.execute(
      """
      INSERT INTO volume_backups (id, volume_id, snapshot_id, project_id, user_id, container, size, object_count, is_incremental, \
      status, metadata, data_timestamp, parent_id, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $8, $9, '{}', $10, $11, $12)
      """,
      [
        .text(backup.id), .text(backup.volumeID), Value(backup.snapshotID), .text(backup.projectID),
        .text(backup.userID), .text(backup.container), .int(backup.size), .bool(backup.isIncremental),
        .text(backup.status.rawValue), Value(backup.dataTimestamp), Value(backup.parentID), Value(backup.createdAt),
      ])
    try update(backup, in: session)
  }
  public static func update(_ backup: VolumeBackup, in session: any Session) throws {
    try session.execute(
      """
      UPDATE volume_backups SET name = $1, description = $2, object_count = $3, status = $4, fault = $5, fault_detail = $6, \
      metadata = $7, data_timestamp = $8, updated_at = $9 WHERE id = $10
      """,
      [
        Value(backup.name), Value(backup.description), .int(backup.objectCount), .text(backup.status.rawValue),
        Value(backup.fault?.sentence), Value(backup.fault?.detail), Value(backup.metadata),
        Value(backup.dataTimestamp), Value(backup.updatedAt), .text(backup.id),
      ])
  }
  /// - Throws: ``StoreError`` `.conflict` while another was made on top of it.
  public static func delete(_ id: String, in session: any Session) throws {
    try session.execute("DELETE FROM volume_backups WHERE id = $1", [.text(id)])
  }
  /// Ids of those that are being made.
  public static func idsUnderWay(in session: any Session) throws -> Set<String> {
    Set(try session.query("SELECT id FROM volume_backups WHERE status = 'creating'", []) { $0.text(0) })
  }
  /// Ids of all, for the sweeper.
  public static func ids(in session: any Session) throws -> Set<String> {
    Set(try session.query("SELECT id FROM volume_backups", []) { $0.text(0) })
  }
}
