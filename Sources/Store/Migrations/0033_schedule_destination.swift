extension Migration {
  /// Schedules make backups or images, and the images of one are found.
  static let scheduleDestination = Migration(
    number: 33, name: "schedule destination",
    sql: "ALTER TABLE disk_backup_schedules ADD COLUMN destination TEXT NOT NULL DEFAULT 'backup';")
}
