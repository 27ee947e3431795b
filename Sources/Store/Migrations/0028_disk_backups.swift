extension Migration {
  /// Copies of machines' disks in the backup store, and when they are made by themselves.
  static let diskBackups = Migration(
    number: 28, name: "disk backups",
    sql: """
      CREATE TABLE disk_backups (
        uuid TEXT PRIMARY KEY, project_id TEXT NOT NULL, user_id TEXT, node_uuid TEXT NOT NULL, name TEXT, status TEXT NOT NULL,
        size_bytes BIGINT, data_bytes BIGINT, sent_bytes BIGINT, map_sha256 TEXT, schedule_uuid TEXT, fault TEXT,
        fault_detail TEXT, created_at BIGINT NOT NULL, completed_at BIGINT
      );
      CREATE INDEX disk_backups_project ON disk_backups (project_id, created_at, uuid);
      CREATE INDEX disk_backups_node ON disk_backups (node_uuid);
      CREATE INDEX disk_backups_schedule ON disk_backups (schedule_uuid) WHERE schedule_uuid IS NOT NULL;
      CREATE TABLE disk_backup_schedules (
        uuid TEXT PRIMARY KEY, project_id TEXT NOT NULL, user_id TEXT,
        node_uuid TEXT NOT NULL REFERENCES nodes (uuid) ON DELETE CASCADE, lease_uuid TEXT, every_hours BIGINT NOT NULL,
        keep BIGINT NOT NULL, next_at BIGINT NOT NULL, fault TEXT, fault_detail TEXT, created_at BIGINT NOT NULL
      );
      CREATE INDEX disk_backup_schedules_due ON disk_backup_schedules (next_at);
      CREATE INDEX disk_backup_schedules_node ON disk_backup_schedules (node_uuid);
      CREATE INDEX disk_backup_schedules_project ON disk_backup_schedules (project_id, created_at, uuid);
      """)
}
