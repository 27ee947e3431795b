extension Migration {
  /// Two leases that hold one resource at the same time would give a machine to two tenants, so the database itself refuses
  /// them; sub-leases of one lease exclude each other and stay inside it. The triggers are SQLite's; on PostgreSQL the same is
  /// an exclusion constraint over a range.
  static let leases = Migration(
    number: 6, name: "leases",
    sql: """
      CREATE TABLE offers (
        uuid TEXT PRIMARY KEY, name TEXT, project_id TEXT NOT NULL, lessee_id TEXT, resource_type TEXT NOT NULL,
        resource_uuid TEXT NOT NULL, start_time BIGINT NOT NULL, end_time BIGINT NOT NULL,
        status TEXT NOT NULL CHECK (status IN ('available','expired','deleted','error')), properties TEXT NOT NULL DEFAULT '{}',
        parent_lease_uuid TEXT, created_at BIGINT NOT NULL, CHECK (start_time < end_time)
      );
      CREATE INDEX offers_resource ON offers (resource_uuid, status);
      CREATE INDEX offers_available ON offers (end_time) WHERE status = 'available';
      CREATE TABLE leases (
        uuid TEXT PRIMARY KEY, name TEXT, project_id TEXT NOT NULL, owner_id TEXT NOT NULL, resource_type TEXT NOT NULL,
        resource_uuid TEXT NOT NULL, start_time BIGINT NOT NULL, end_time BIGINT NOT NULL, fulfill_time BIGINT, expire_time BIGINT,
        status TEXT NOT NULL CHECK (status IN
          ('created','active','error','deleted','expired','wait fulfill','wait cancel','wait expire')),
        properties TEXT NOT NULL DEFAULT '{}', purpose TEXT, offer_uuid TEXT REFERENCES offers (uuid),
        parent_lease_uuid TEXT REFERENCES leases (uuid), created_at BIGINT NOT NULL, CHECK (start_time < end_time)
      );
      CREATE INDEX leases_resource ON leases (resource_uuid, end_time);
      CREATE INDEX leases_live ON leases (status, start_time) WHERE status NOT IN ('deleted','expired');
      CREATE INDEX leases_project ON leases (project_id);
      CREATE INDEX leases_owner ON leases (owner_id);
      CREATE INDEX leases_offer ON leases (offer_uuid);
      CREATE INDEX leases_parent ON leases (parent_lease_uuid);
      CREATE TABLE lease_events (
        id INTEGER PRIMARY KEY AUTOINCREMENT, event_type TEXT NOT NULL, event_time BIGINT NOT NULL, object_type TEXT NOT NULL,
        object_uuid TEXT NOT NULL, resource_type TEXT NOT NULL, resource_uuid TEXT NOT NULL, lessee_id TEXT, owner_id TEXT
      );
      CREATE TRIGGER leases_exclude_insert BEFORE INSERT ON leases WHEN NEW.status NOT IN ('deleted','expired')
      BEGIN
        SELECT RAISE(ABORT, 'lease: overlap') WHERE EXISTS (SELECT 1 FROM leases l
          WHERE l.resource_uuid = NEW.resource_uuid AND l.resource_type = NEW.resource_type
          AND l.status NOT IN ('deleted','expired')
          AND COALESCE(l.parent_lease_uuid, '') = COALESCE(NEW.parent_lease_uuid, '')
          AND l.start_time < NEW.end_time AND l.end_time > NEW.start_time);
        SELECT RAISE(ABORT, 'lease: outside its parent') WHERE NEW.parent_lease_uuid IS NOT NULL AND NOT EXISTS
          (SELECT 1 FROM leases p WHERE p.uuid = NEW.parent_lease_uuid AND p.status = 'active' AND p.parent_lease_uuid IS NULL
          AND p.resource_uuid = NEW.resource_uuid AND p.start_time <= NEW.start_time AND p.end_time >= NEW.end_time);
      END;
      CREATE TRIGGER leases_exclude_update BEFORE UPDATE OF start_time, end_time, status, resource_uuid, parent_lease_uuid ON leases
      WHEN NEW.status NOT IN ('deleted','expired')
      BEGIN
        SELECT RAISE(ABORT, 'lease: overlap') WHERE EXISTS (SELECT 1 FROM leases l
          WHERE l.resource_uuid = NEW.resource_uuid AND l.resource_type = NEW.resource_type AND l.uuid <> NEW.uuid
          AND l.status NOT IN ('deleted','expired')
          AND COALESCE(l.parent_lease_uuid, '') = COALESCE(NEW.parent_lease_uuid, '')
          AND l.start_time < NEW.end_time AND l.end_time > NEW.start_time);
      END;
      CREATE TRIGGER leases_nest_update BEFORE UPDATE OF start_time, end_time ON leases
      BEGIN
        SELECT RAISE(ABORT, 'lease: outside its parent') WHERE NEW.parent_lease_uuid IS NOT NULL AND NOT EXISTS
          (SELECT 1 FROM leases p WHERE p.uuid = NEW.parent_lease_uuid
          AND p.start_time <= NEW.start_time AND p.end_time >= NEW.end_time);
        SELECT RAISE(ABORT, 'lease: sub-lease outside') WHERE EXISTS (SELECT 1 FROM leases c
          WHERE c.parent_lease_uuid = NEW.uuid AND c.status NOT IN ('deleted','expired')
          AND (c.start_time < NEW.start_time OR c.end_time > NEW.end_time));
      END;
      CREATE TRIGGER offers_exclude BEFORE INSERT ON offers WHEN NEW.status = 'available'
      BEGIN
        SELECT RAISE(ABORT, 'offer: overlap') WHERE EXISTS (SELECT 1 FROM offers o
          WHERE o.resource_uuid = NEW.resource_uuid AND o.resource_type = NEW.resource_type AND o.status = 'available'
          AND COALESCE(o.parent_lease_uuid, '') = COALESCE(NEW.parent_lease_uuid, '')
          AND o.start_time < NEW.end_time AND o.end_time > NEW.start_time);
      END;
      """)
}
