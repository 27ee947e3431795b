import Domain
import Wire

/// Copies of machines' disks. Their content is in the backup store (`BackupInterface`).
public enum DiskBackupStore {
  public struct Filter: Sendable {
    /// Nil for all projects'.
    public var project: String?
    public var uuid: String?
    public var node: String?
    public var schedule: String?
    public var status: DiskBackup.Status?
    /// Only those that come after this one in the list.
    public var marker: String?
    public var limit: Int?
    public init(project: String? = nil) { self.project = project }
  }

  private static func backup(_ row: borrowing Row) -> DiskBackup {
    var backup = DiskBackup(
      uuid: row.text(0), projectID: row.text(1), nodeUUID: row.text(3), createdAt: row.time(13))
    backup.userID = row.optionalText(2)
    backup.name = row.optionalText(4)
    backup.status = DiskBackup.Status(rawValue: row.text(5)) ?? .error
    backup.size = row.optionalInt(6)
    backup.dataBytes = row.optionalInt(7)
    backup.sentBytes = row.optionalInt(8)
    backup.mapSHA256 = row.optionalText(9)
    backup.scheduleUUID = row.optionalText(10)
    backup.fault = row.optionalText(11).map { Reason($0, detail: row.optionalText(12)) }
    backup.completedAt = row.optionalTime(14)
    return backup
  }

  /// The newest first.
  public static func list(_ filter: Filter, in session: any Session) throws -> [DiskBackup] {
    var query = Query(
      """
      SELECT uuid, project_id, user_id, node_uuid, name, status, size_bytes, data_bytes, sent_bytes, map_sha256, schedule_uuid, \
      fault, fault_detail, created_at, completed_at FROM disk_backups WHERE 1 = 1
      """)
    if let project = filter.project { query.append("AND project_id = ?", .text(project)) }
    if let uuid = filter.uuid { query.append("AND uuid = ?", .text(uuid)) }
    if let node = filter.node { query.append("AND node_uuid = ?", .text(node)) }
    if let schedule = filter.schedule { query.append("AND schedule_uuid = ?", .text(schedule)) }
    if let status = filter.status { query.append("AND status = ?", .text(status.rawValue)) }
    if let marker = filter.marker {
      query.append(
        "AND (created_at, uuid) < (SELECT m.created_at, m.uuid FROM disk_backups m WHERE m.uuid = ?)", .text(marker))
    }
    query.append("ORDER BY created_at DESC, uuid DESC")
    if let limit = filter.limit { query.append("LIMIT ?", .int(limit)) }
    return try session.query(query) { backup($0) }
  }
  public static func get(_ uuid: String, in session: any Session) throws -> DiskBackup? {
    var filter = Filter()
    filter.uuid = uuid
    return try list(filter, in: session).first
  }

  public static func insert(_ backup: DiskBackup, in session: any Session) throws {
    try session.execute(
      """
      INSERT INTO disk_backups (uuid, project_id, user_id, node_uuid, name, status, schedule_uuid, created_at) \
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
      """,
      [
        .text(backup.uuid), .text(backup.projectID), Value(backup.userID), .text(backup.nodeUUID), Value(backup.name),
        .text(backup.status.rawValue), Value(backup.scheduleUUID), Value(backup.createdAt),
      ])
  }
  /// Writes everything that can change.
  public static func update(_ backup: DiskBackup, in session: any Session) throws {
    try session.execute(
      """
      UPDATE disk_backups SET status = $1, size_bytes = $2, data_bytes = $3, sent_bytes = $4, map_sha256 = $5, fault = $6, \
      fault_detail = $7, completed_at = $8 WHERE uuid = $9
      """,
      [
        .text(backup.status.rawValue), Value(backup.size), Value(backup.dataBytes), Value(backup.sentBytes),
        Value(backup.mapSHA256), Value(backup.fault?.sentence), Value(backup.fault?.detail),
        Value(backup.completedAt), .text(backup.uuid),
      ])
  }
  public static func delete(_ uuid: String, in session: any Session) throws {
    try session.execute("DELETE FROM disk_backups WHERE uuid = $1", [.text(uuid)])
  }
  /// Ids of all, for the sweeper.
  public static func ids(in session: any Session) throws -> Set<String> {
    Set(try session.query("SELECT uuid FROM disk_backups", []) { $0.text(0) })
  }
}
