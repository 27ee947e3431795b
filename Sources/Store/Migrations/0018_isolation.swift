extension Migration {
  /// What isolation reports are made of: what happened to a leased machine's switch ports, and how often every port of a switch was read back.
  ///
  /// A record is never changed, and stays at least as long as its lease is live: the database itself refuses anything else.
  static let isolation = Migration(
    number: 18, name: "isolation",
    sql: """
      CREATE TABLE isolation_records (
        id INTEGER PRIMARY KEY AUTOINCREMENT, lease_uuid TEXT NOT NULL, node_uuid TEXT NOT NULL, at BIGINT NOT NULL,
        kind TEXT NOT NULL CHECK (kind IN ('begin','change','read back','drift','failure','probe','end')),
        switch_name TEXT NOT NULL, port TEXT NOT NULL, workflow TEXT, workflow_kind TEXT, step TEXT, data TEXT NOT NULL
      );
      CREATE INDEX isolation_records_lease ON isolation_records (lease_uuid, id);
      CREATE TRIGGER isolation_records_unchanged BEFORE UPDATE ON isolation_records
      BEGIN
        SELECT RAISE(ABORT, 'isolation record: never changed');
      END;
      CREATE TRIGGER isolation_records_not_replaced BEFORE INSERT ON isolation_records
      BEGIN
        SELECT RAISE(ABORT, 'isolation record: never changed') WHERE EXISTS (SELECT 1 FROM isolation_records r WHERE r.id = NEW.id);
      END;
      CREATE TRIGGER isolation_records_kept BEFORE DELETE ON isolation_records
      BEGIN
        SELECT RAISE(ABORT, 'isolation record: its lease is live') WHERE EXISTS (SELECT 1 FROM leases l
          WHERE l.uuid = OLD.lease_uuid AND l.status NOT IN ('deleted','expired'));
      END;
      CREATE TABLE switch_audits (
        switch_name TEXT NOT NULL, began_at BIGINT NOT NULL, ended_at BIGINT NOT NULL, audits BIGINT NOT NULL,
        longest_pause BIGINT NOT NULL, PRIMARY KEY (switch_name, began_at)
      );
      ALTER TABLE lease_events ADD COLUMN detail TEXT;
      """)
}
