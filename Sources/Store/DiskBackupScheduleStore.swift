import Domain
import Wire

/// When copies of machines' disks are made by themselves.
public enum DiskBackupScheduleStore {
  public struct Filter: Sendable {
    /// Nil for all projects'.
    public var project: String?
    public var uuid: String?
    public var node: String?
    /// Due at this time or before.
    public var due: Timestamp?
    /// Only those that come after this one in the list.
    public var marker: String?
    public var limit: Int?
    public init(project: String? = nil) { self.project = project }
  }

  private static func schedule(_ row: borrowing Row) -> DiskBackupSchedule {
    var schedule = DiskBackupSchedule(
      uuid: row.text(0), projectID: row.text(1), nodeUUID: row.text(3), leaseUUID: row.optionalText(4),
      everyHours: row.int(5), keep: row.int(6),
      destination: DiskBackupSchedule.Destination(rawValue: row.text(11)) ?? .backup, nextAt: row.time(7),
      createdAt: row.time(10))
    schedule.userID = row.optionalText(2)
    schedule.fault = row.optionalText(8).map { Reason($0, detail: row.optionalText(9)) }
    return schedule
  }

  /// The newest first.
  public static func list(_ filter: Filter, in session: any Session) throws -> [DiskBackupSchedule] {
    var query = Query(
      """
      SELECT uuid, project_id, user_id, node_uuid, lease_uuid, every_hours, keep, next_at, fault, fault_detail, created_at, \
      destination FROM disk_backup_schedules WHERE 1 = 1
      """)
    if let project = filter.project { query.append("AND project_id = ?", .text(project)) }
    if let uuid = filter.uuid { query.append("AND uuid = ?", .text(uuid)) }
    if let node = filter.node { query.append("AND node_uuid = ?", .text(node)) }
    if let due = filter.due { query.append("AND next_at <= ?", Value(due)) }
    if let marker = filter.marker {
      query.append(
        "AND (created_at, uuid) < (SELECT m.created_at, m.uuid FROM disk_backup_schedules m WHERE m.uuid = ?)",
        .text(marker))
    }
    query.append("ORDER BY created_at DESC, uuid DESC")
    if let limit = filter.limit { query.append("LIMIT ?", .int(limit)) }
    return try session.query(query) { schedule($0) }
  }
  public static func get(_ uuid: String, in session: any Session) throws -> DiskBackupSchedule? {
    var filter = Filter()
    filter.uuid = uuid
    return try list(filter, in: session).first
  }

  public static func insert(_ schedule: DiskBackupSchedule, in session: any Session) throws {
    try session.execute(
      """
      INSERT INTO disk_backup_schedules (uuid, project_id, user_id, node_uuid, lease_uuid, every_hours, keep, next_at, created_at, \
      destination) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
      """,
      [
        .text(schedule.uuid), .text(schedule.projectID), Value(schedule.userID), .text(schedule.nodeUUID),
        Value(schedule.leaseUUID), .int(schedule.everyHours), .int(schedule.keep), Value(schedule.nextAt),
        Value(schedule.createdAt), .text(schedule.destination.rawValue),
      ])
  }
  /// Writes everything that can change.
  public static func update(_ schedule: DiskBackupSchedule, in session: any Session) throws {
    try session.execute(
      """
      UPDATE disk_backup_schedules SET every_hours = $1, keep = $2, next_at = $3, fault = $4, fault_detail = $5 WHERE uuid = $6
      """,
      [
        .int(schedule.everyHours), .int(schedule.keep), Value(schedule.nextAt), Value(schedule.fault?.sentence),
        Value(schedule.fault?.detail), .text(schedule.uuid),
      ])
  }
  public static func delete(_ uuid: String, in session: any Session) throws {
    try session.execute("DELETE FROM disk_backup_schedules WHERE uuid = $1", [.text(uuid)])
  }
  /// Those that end with no lease: the owner's, and of a lessee without one.
  /// - Parameter project: nil for all projects'.
  public static func deleteUnleased(node: String, project: String? = nil, in session: any Session) throws {
    var query = Query("DELETE FROM disk_backup_schedules WHERE lease_uuid IS NULL")
    query.append("AND node_uuid = ?", .text(node))
    if let project { query.append("AND project_id = ?", .text(project)) }
    _ = try session.execute(query)
  }
  public static func delete(lease: String, in session: any Session) throws {
    try session.execute("DELETE FROM disk_backup_schedules WHERE lease_uuid = $1", [.text(lease)])
  }
}
