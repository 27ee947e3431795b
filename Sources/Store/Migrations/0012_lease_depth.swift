extension Migration {
  /// Sub-leases at any depth; what makes leasing cost the same however many leases there were; notices, webhooks, changes of
  /// a node's owner that wait for its leases, and console tokens.
  ///
  /// The live leases of one resource under one parent never overlap, so in the order of their ends they are in the order of
  /// their starts: the first that ends after a new one begins is the only one that can be in its way. That is one step in
  /// `leases_room`, however many leases are to come.
  static let leaseDepth = Migration(
    number: 12, name: "lease depth",
    sql: """
      ALTER TABLE leases ADD COLUMN resource_class TEXT;
      ALTER TABLE leases ADD COLUMN status_reason TEXT;
      ALTER TABLE leases ADD COLUMN notice_at BIGINT;
      ALTER TABLE lease_events ADD COLUMN resource_class TEXT;
      UPDATE leases SET resource_class = (SELECT n.resource_class FROM nodes n WHERE n.uuid = leases.resource_uuid);

      DROP INDEX leases_resource;
      DROP INDEX leases_live;
      CREATE INDEX leases_resource ON leases (resource_uuid);
      CREATE INDEX leases_room ON leases (resource_uuid, resource_type, COALESCE(parent_lease_uuid, ''), end_time)
        WHERE status NOT IN ('deleted','expired');
      CREATE INDEX leases_live ON leases (created_at, uuid) WHERE status NOT IN ('deleted','expired');
      CREATE INDEX leases_live_project ON leases (project_id) WHERE status NOT IN ('deleted','expired');
      CREATE INDEX leases_live_owner ON leases (owner_id) WHERE status NOT IN ('deleted','expired');
      CREATE INDEX leases_created ON leases (created_at, uuid);
      CREATE INDEX leases_name ON leases (name) WHERE name IS NOT NULL;
      CREATE INDEX leases_due_start ON leases (start_time) WHERE status = 'created';
      CREATE INDEX leases_due_end ON leases (end_time) WHERE status IN ('created','active','wait fulfill','error');
      CREATE INDEX leases_due_notice ON leases (notice_at) WHERE notice_at IS NOT NULL;
      CREATE INDEX leases_ending ON leases (resource_uuid) WHERE status IN ('wait cancel','wait expire');
      CREATE INDEX leases_broken ON leases (uuid) WHERE status = 'error';
      CREATE INDEX nodes_broken ON nodes (lease_uuid) WHERE (fault IS NOT NULL OR provision_state = 'error');
      CREATE INDEX offers_created ON offers (created_at, uuid) WHERE status IN ('available','error');
      CREATE INDEX offers_name ON offers (name) WHERE name IS NOT NULL;
      CREATE INDEX offers_parent ON offers (parent_lease_uuid) WHERE parent_lease_uuid IS NOT NULL;
      CREATE INDEX lease_events_lessee ON lease_events (lessee_id, id);
      CREATE INDEX lease_events_owner ON lease_events (owner_id, id);
      CREATE INDEX lease_events_object ON lease_events (object_uuid);
      CREATE INDEX lease_events_time ON lease_events (event_time);

      DROP TRIGGER leases_exclude_insert;
      DROP TRIGGER leases_exclude_update;
      DROP TRIGGER offers_exclude;
      CREATE TRIGGER leases_exclude_insert BEFORE INSERT ON leases WHEN NEW.status NOT IN ('deleted','expired')
      BEGIN
        SELECT RAISE(ABORT, 'lease: overlap') WHERE (SELECT l.start_time FROM leases l
          WHERE l.resource_uuid = NEW.resource_uuid AND l.resource_type = NEW.resource_type
          AND COALESCE(l.parent_lease_uuid, '') = COALESCE(NEW.parent_lease_uuid, '')
          AND l.status NOT IN ('deleted','expired') AND l.end_time > NEW.start_time ORDER BY l.end_time LIMIT 1) < NEW.end_time;
        SELECT RAISE(ABORT, 'lease: outside its parent') WHERE NEW.parent_lease_uuid IS NOT NULL AND NOT EXISTS
          (SELECT 1 FROM leases p WHERE p.uuid = NEW.parent_lease_uuid AND p.status = 'active'
          AND p.resource_uuid = NEW.resource_uuid AND p.resource_type = NEW.resource_type
          AND p.project_id = NEW.owner_id AND p.start_time <= NEW.start_time AND p.end_time >= NEW.end_time);
      END;
      CREATE TRIGGER leases_exclude_update BEFORE UPDATE OF start_time, end_time, status, resource_uuid, resource_type, parent_lease_uuid
      ON leases WHEN NEW.status NOT IN ('deleted','expired')
      BEGIN
        SELECT RAISE(ABORT, 'lease: overlap') WHERE (SELECT l.start_time FROM leases l
          WHERE l.resource_uuid = NEW.resource_uuid AND l.resource_type = NEW.resource_type AND l.uuid <> NEW.uuid
          AND COALESCE(l.parent_lease_uuid, '') = COALESCE(NEW.parent_lease_uuid, '')
          AND l.status NOT IN ('deleted','expired') AND l.end_time > NEW.start_time ORDER BY l.end_time LIMIT 1) < NEW.end_time;
      END;
      CREATE TRIGGER leases_outlive BEFORE UPDATE OF status ON leases WHEN NEW.status IN ('deleted','expired')
      BEGIN
        SELECT RAISE(ABORT, 'lease: a sub-lease would outlive it') WHERE EXISTS (SELECT 1 FROM leases c
          WHERE c.parent_lease_uuid = NEW.uuid AND c.status NOT IN ('deleted','expired'));
      END;
      CREATE TRIGGER offers_exclude BEFORE INSERT ON offers WHEN NEW.status = 'available'
      BEGIN
        SELECT RAISE(ABORT, 'offer: overlap') WHERE EXISTS (SELECT 1 FROM offers o
          WHERE o.resource_uuid = NEW.resource_uuid AND o.resource_type = NEW.resource_type AND o.status = 'available'
          AND COALESCE(o.parent_lease_uuid, '') = COALESCE(NEW.parent_lease_uuid, '')
          AND o.start_time < NEW.end_time AND o.end_time > NEW.start_time);
        SELECT RAISE(ABORT, 'offer: outside its parent') WHERE NEW.parent_lease_uuid IS NOT NULL AND NOT EXISTS
          (SELECT 1 FROM leases p WHERE p.uuid = NEW.parent_lease_uuid AND p.status = 'active'
          AND p.resource_uuid = NEW.resource_uuid AND p.resource_type = NEW.resource_type
          AND p.start_time <= NEW.start_time AND p.end_time >= NEW.end_time);
      END;

      CREATE TABLE owner_changes (
        node_uuid TEXT PRIMARY KEY REFERENCES nodes (uuid) ON DELETE CASCADE, owner TEXT, asked_at BIGINT NOT NULL
      );
      CREATE TABLE webhooks (
        url TEXT PRIMARY KEY, last_event_id BIGINT NOT NULL, attempt BIGINT NOT NULL DEFAULT 0, try_at BIGINT NOT NULL DEFAULT 0,
        last_error TEXT
      );
      CREATE TABLE console_tokens (
        digest TEXT PRIMARY KEY, node_uuid TEXT NOT NULL REFERENCES nodes (uuid) ON DELETE CASCADE, lease_uuid TEXT,
        expires_at BIGINT NOT NULL
      );
      CREATE INDEX console_tokens_node ON console_tokens (node_uuid);
      """)
}
