import Domain
import Store
import Wire

/// Copies of the machines' disks, and when they are made.
extension Fixtures {
  static func diskBackups(_ now: Timestamp, in session: any Session) throws {
    for side in ["tenant", "elsewhere"] {
      let project = MatrixSite.id("project-\(side)"), node = MatrixSite.uuid("node-\(side)")
      var backup = DiskBackup(
        uuid: MatrixSite.uuid("disk_backup-\(side)"), projectID: project, nodeUUID: node, createdAt: now)
      try DiskBackupStore.insert(backup, in: session)
      backup.status = .available
      backup.size = 1 << 20
      backup.dataBytes = 1 << 20
      backup.mapSHA256 = String(repeating: "0", count: 64)
      try DiskBackupStore.update(backup, in: session)
      try DiskBackupScheduleStore.insert(
        DiskBackupSchedule(
          uuid: MatrixSite.uuid("disk_backup_schedule-\(side)"), projectID: project, nodeUUID: node,
          leaseUUID: MatrixSite.uuid("lease-\(side)"), everyHours: 24, keep: 7, nextAt: now + .seconds(3600),
          createdAt: now), in: session)
    }
  }

  static let diskBackupBodies: [String: JSON] = [
    "esi-leap POST /v1/disk-backups": ["node": .string(MatrixSite.uuid("node-tenant"))],
    "esi-leap POST /v1/disk-backups/{disk_backup}/restore": ["node": .string(MatrixSite.uuid("node-tenant"))],
    "esi-leap POST /v1/disk-backup-schedules": [
      "node": .string(MatrixSite.uuid("node-tenant")), "every_hours": 24,
    ],
    "esi-leap PATCH /v1/disk-backup-schedules/{disk_backup_schedule}": ["keep": 3],
  ]
}
