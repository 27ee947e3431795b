extension Migration {
  /// What was erased, signed. A record is never changed and never removed: the database itself refuses it.
  ///
  /// `erase_progress` says how far an erasure had come on a disk, so that one that was interrupted goes on there.
  static let eraseRecords = Migration(
    number: 26, name: "erase records",
    sql: """
      CREATE TABLE erase_records (
        uuid TEXT PRIMARY KEY, node_uuid TEXT NOT NULL, lease_uuid TEXT, project_id TEXT, owner_id TEXT,
        began_at BIGINT NOT NULL, ended_at BIGINT NOT NULL, document TEXT NOT NULL, signature TEXT NOT NULL, key_id TEXT NOT NULL
      );
      CREATE INDEX erase_records_node ON erase_records (node_uuid, ended_at);
      CREATE INDEX erase_records_lease ON erase_records (lease_uuid) WHERE lease_uuid IS NOT NULL;
      CREATE INDEX erase_records_time ON erase_records (ended_at);
      CREATE TRIGGER erase_records_unchanged BEFORE UPDATE ON erase_records
      BEGIN
        SELECT RAISE(ABORT, 'erase record: never changed');
      END;
      CREATE TRIGGER erase_records_not_replaced BEFORE INSERT ON erase_records
      BEGIN
        SELECT RAISE(ABORT, 'erase record: never changed') WHERE EXISTS (SELECT 1 FROM erase_records r WHERE r.uuid = NEW.uuid);
      END;
      CREATE TRIGGER erase_records_kept BEFORE DELETE ON erase_records
      BEGIN
        SELECT RAISE(ABORT, 'erase record: never removed');
      END;
      CREATE TABLE erase_progress (
        node_uuid TEXT NOT NULL REFERENCES nodes (uuid) ON DELETE CASCADE, disk TEXT NOT NULL, size_bytes BIGINT NOT NULL,
        done_bytes BIGINT NOT NULL, PRIMARY KEY (node_uuid, disk)
      );
      """)
}
