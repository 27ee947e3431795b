import Domain
import Wire

/// Volumes. Their content is a backend's (`VolumeDrivers`).
public enum VolumeStore {
  private static func volume(_ row: borrowing Row) -> Volume {
    var volume = Volume(
      id: row.text(0), projectID: row.text(1), userID: row.text(2), size: row.int(5), typeID: row.text(8),
      createdAt: row.time(19))
    volume.name = row.optionalText(3)
    volume.description = row.optionalText(4)
    volume.status = Volume.Status(rawValue: row.text(6)) ?? .error
    volume.previousStatus = row.optionalText(7).flatMap { Volume.Status(rawValue: $0) }
    volume.backend = row.text(9)
    volume.isBootable = row.bool(10)
    volume.isReadOnly = row.bool(11)
    volume.metadata = row.object(12)
    volume.imageMetadata = row.object(13)
    volume.snapshotID = row.optionalText(14)
    volume.sourceVolumeID = row.optionalText(15)
    volume.backupID = row.optionalText(16)
    volume.fault = row.optionalText(17).map { Reason($0, detail: row.optionalText(18)) }
    volume.updatedAt = row.optionalTime(20)
    return volume
  }
  public static func list(_ listing: VolumeListing, in session: any Session) throws -> [Volume] {
    var query = Query(
      """
      SELECT id, project_id, user_id, name, description, size, status, previous_status, type_id, backend, is_bootable, is_read_only, \
      metadata, image_metadata, snapshot_id, source_volume_id, backup_id, fault, fault_detail, created_at, updated_at \
      FROM volumes
      """)
    listing.narrow(&query)
    listing.page(&query, of: "volumes")
    return try session.query(query) { volume($0) }
  }
  /// How many a list without a page would show.
  public static func count(_ listing: VolumeListing, in session: any Session) throws -> Int {
    var query = Query("SELECT COUNT(*) FROM volumes")
    listing.narrow(&query)
    return try session.query(query) { $0.int(0) }.first ?? 0
  }
  public static func get(_ id: String, in session: any Session) throws -> Volume? {
    var listing = VolumeListing(.everything)
    listing.tests = [.equals(.id, [.text(id)])]
    return try list(listing, in: session).first
  }
  public static func insert(_ volume: Volume, in session: any Session) throws {
    try session.execute(
      """
      INSERT INTO volumes (id, project_id, user_id, size, status, type_id, backend, is_bootable, is_read_only, metadata, \
      image_metadata, snapshot_id, source_volume_id, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 0, '{}', '{}', $8, $9, $10)
      """,
      [
        .text(volume.id), .text(volume.projectID), .text(volume.userID), .int(volume.size),
        .text(volume.status.rawValue), .text(volume.typeID), .text(volume.backend), Value(volume.snapshotID),
        Value(volume.sourceVolumeID), Value(volume.createdAt),
      ])
    try update(volume, in: session)
  }
  /// Writes everything that can change.
  public static func update(_ volume: Volume, in session: any Session) throws {
    try session.execute(
      """
      UPDATE volumes SET project_id = $1, user_id = $2, name = $3, description = $4, size = $5, status = $6, previous_status = $7, \
      type_id = $8, backend = $9, is_bootable = $10, is_read_only = $11, metadata = $12, image_metadata = $13, backup_id = $14, \
      fault = $15, fault_detail = $16, updated_at = $17 WHERE id = $18
      """,
      [
        .text(volume.projectID), .text(volume.userID), Value(volume.name), Value(volume.description),
        .int(volume.size), .text(volume.status.rawValue), Value(volume.previousStatus?.rawValue), .text(volume.typeID),
        .text(volume.backend), .bool(volume.isBootable), .bool(volume.isReadOnly), Value(volume.metadata),
        Value(volume.imageMetadata), Value(volume.backupID), Value(volume.fault?.sentence),
        Value(volume.fault?.detail), Value(volume.updatedAt), .text(volume.id),
      ])
  }
  /// - Throws: ``StoreError`` `.conflict` while a snapshot or an attachment of it is there.
  public static func delete(_ id: String, in session: any Session) throws {
    try session.execute("DELETE FROM volumes WHERE id = $1", [.text(id)])
  }
  /// Ids of all volumes of a backend, for the sweeper.
  public static func ids(backend: String, in session: any Session) throws -> Set<String> {
    Set(try session.query("SELECT id FROM volumes WHERE backend = $1", [.text(backend)]) { $0.text(0) })
  }

  /// Backends that volumes are on, and how many.
  public static func backends(in session: any Session) throws -> [String: Int] {
    let rows: [(String, Int)] = try session.query("SELECT backend, COUNT(*) FROM volumes GROUP BY backend", []) {
      ($0.text(0), $0.int(1))
    }
    return Dictionary(rows) { $1 }
  }

  // MARK: Quota

  /// How much of a resource a project has.
  public static func used(_ resource: VolumeResource, project: String, in session: any Session) throws -> Int {
    let project = [Value.text(project)]
    func number(_ sql: StaticString) throws -> Int { try session.first(sql, project) { $0.int(0) } ?? 0 }
    return switch resource {
    case .volumes: try number("SELECT COUNT(*) FROM volumes WHERE project_id = $1")
    case .snapshots: try number("SELECT COUNT(*) FROM volume_snapshots WHERE project_id = $1")
    // Copies of machines' disks count with those of volumes, by what is in them.
    case .backups:
      try number("SELECT COUNT(*) FROM volume_backups WHERE project_id = $1")
        + number("SELECT COUNT(*) FROM disk_backups WHERE project_id = $1")
    case .gigabytes:
      try number("SELECT COALESCE(SUM(size), 0) FROM volumes WHERE project_id = $1")
        + number("SELECT COALESCE(SUM(size), 0) FROM volume_snapshots WHERE project_id = $1")
    case .backupGigabytes:
      try number("SELECT COALESCE(SUM(size), 0) FROM volume_backups WHERE project_id = $1")
        + number(
          "SELECT COALESCE(SUM((COALESCE(data_bytes, 0) + 1073741823) / 1073741824), 0) FROM disk_backups WHERE project_id = $1"
        )
    case .perVolumeGigabytes, .groups: 0
    }
  }
  /// The limits that a project has of its own, by resource. -1 means no limit.
  public static func limits(project: String, in session: any Session) throws -> [String: Int] {
    let rows = try session.query(
      "SELECT resource, quota_limit FROM volume_quotas WHERE project_id = $1", [.text(project)]
    ) { ($0.text(0), $0.int(1)) }
    return Dictionary(rows) { first, _ in first }
  }
  public static func setLimit(_ resource: String, _ limit: Int, project: String, in session: any Session) throws {
    try session.execute(
      """
      INSERT INTO volume_quotas (project_id, resource, quota_limit) VALUES ($1, $2, $3) \
      ON CONFLICT (project_id, resource) DO UPDATE SET quota_limit = excluded.quota_limit
      """, [.text(project), .text(resource), .int(limit)])
  }
  public static func resetLimits(project: String, in session: any Session) throws {
    try session.execute("DELETE FROM volume_quotas WHERE project_id = $1", [.text(project)])
  }
}

/// Snapshots of volumes.
public enum VolumeSnapshotStore {
  private static func snapshot(_ row: borrowing Row) -> VolumeSnapshot {
    var snapshot = VolumeSnapshot(
      id: row.text(0), volumeID: row.text(1), projectID: row.text(2), userID: row.text(3), size: row.int(6),
      createdAt: row.time(9))
    snapshot.name = row.optionalText(4)
    snapshot.description = row.optionalText(5)
    snapshot.status = VolumeSnapshot.Status(rawValue: row.text(7)) ?? .error
    snapshot.metadata = row.object(8)
    snapshot.updatedAt = row.optionalTime(10)
    return snapshot
  }
  public static func list(_ listing: VolumeListing, in session: any Session) throws -> [VolumeSnapshot] {
    var query = Query(
      """
      SELECT id, volume_id, project_id, user_id, name, description, size, status, metadata, created_at, updated_at \
      FROM volume_snapshots
      """)
    listing.narrow(&query)
    listing.page(&query, of: "volume_snapshots")
    return try session.query(query) { snapshot($0) }
  }
  public static func count(_ listing: VolumeListing, in session: any Session) throws -> Int {
    var query = Query("SELECT COUNT(*) FROM volume_snapshots")
    listing.narrow(&query)
    return try session.query(query) { $0.int(0) }.first ?? 0
  }
  public static func get(_ id: String, in session: any Session) throws -> VolumeSnapshot? {
    var listing = VolumeListing(.everything)
    listing.tests = [.equals(.id, [.text(id)])]
    return try list(listing, in: session).first
  }
  /// In the order in which they were made.
  public static func list(of volume: String, in session: any Session) throws -> [VolumeSnapshot] {
    var listing = VolumeListing(.everything)
    listing.tests = [.equals(.volumeID, [.text(volume)])]
    listing.order = [.init(.createdAt, isDescending: false), .init(.id, isDescending: false)]
    return try list(listing, in: session)
  }
  public static func insert(_ snapshot: VolumeSnapshot, in session: any Session) throws {
    try session.execute(
      """
      INSERT INTO volume_snapshots (id, volume_id, project_id, user_id, name, description, size, status, metadata, created_at) \
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
      """,
      [
        .text(snapshot.id), .text(snapshot.volumeID), .text(snapshot.projectID), .text(snapshot.userID),
        Value(snapshot.name), Value(snapshot.description), .int(snapshot.size), .text(snapshot.status.rawValue),
        Value(snapshot.metadata), Value(snapshot.createdAt),
      ])
  }
  public static func update(_ snapshot: VolumeSnapshot, in session: any Session) throws {
    try session.execute(
      """
      UPDATE volume_snapshots SET project_id = $1, user_id = $2, name = $3, description = $4, status = $5, metadata = $6, \
      updated_at = $7 WHERE id = $8
      """,
      [
        .text(snapshot.projectID), .text(snapshot.userID), Value(snapshot.name), Value(snapshot.description),
        .text(snapshot.status.rawValue), Value(snapshot.metadata), Value(snapshot.updatedAt), .text(snapshot.id),
      ])
  }
  /// Ids of all snapshots, for the sweeper.
  public static func ids(in session: any Session) throws -> Set<String> {
    Set(try session.query("SELECT id FROM volume_snapshots", []) { $0.text(0) })
  }
  public static func delete(_ id: String, in session: any Session) throws {
    try session.execute("DELETE FROM volume_snapshots WHERE id = $1", [.text(id)])
  }
}
