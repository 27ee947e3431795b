extension Migration {
  /// Volumes, snapshots, types, attachments, transfers, backups, and the machines that boot from volumes. A volume cannot go while a snapshot of it is there, a type not
  /// while a volume is of it: the references refuse it.
  static let volumes = Migration(
    number: 23, name: "volumes",
    sql: """
      CREATE TABLE volume_types (
        id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, description TEXT, is_public BIGINT NOT NULL,
        extra_specs TEXT NOT NULL, created_at BIGINT NOT NULL
      );
      CREATE TABLE volume_type_access (
        type_id TEXT NOT NULL REFERENCES volume_types (id) ON DELETE CASCADE, project_id TEXT NOT NULL,
        PRIMARY KEY (type_id, project_id)
      );
      CREATE TABLE volumes (
        id TEXT PRIMARY KEY, project_id TEXT NOT NULL, user_id TEXT NOT NULL, name TEXT, description TEXT,
        size BIGINT NOT NULL CHECK (size > 0), status TEXT NOT NULL, previous_status TEXT,
        type_id TEXT NOT NULL REFERENCES volume_types (id), backend TEXT NOT NULL, is_bootable BIGINT NOT NULL,
        is_read_only BIGINT NOT NULL, metadata TEXT NOT NULL, image_metadata TEXT NOT NULL, snapshot_id TEXT,
        source_volume_id TEXT, backup_id TEXT, fault TEXT, fault_detail TEXT,
        created_at BIGINT NOT NULL, updated_at BIGINT
      );
      CREATE INDEX volumes_project ON volumes (project_id, created_at, id);
      CREATE INDEX volumes_age ON volumes (created_at, id);
      CREATE INDEX volumes_type ON volumes (type_id);
      CREATE TABLE volume_snapshots (
        id TEXT PRIMARY KEY, volume_id TEXT NOT NULL REFERENCES volumes (id), project_id TEXT NOT NULL, user_id TEXT NOT NULL,
        name TEXT, description TEXT, size BIGINT NOT NULL, status TEXT NOT NULL, metadata TEXT NOT NULL,
        created_at BIGINT NOT NULL, updated_at BIGINT
      );
      CREATE INDEX volume_snapshots_volume ON volume_snapshots (volume_id);
      CREATE INDEX volume_snapshots_project ON volume_snapshots (project_id, created_at, id);
      CREATE TABLE volume_attachments (
        id TEXT PRIMARY KEY, volume_id TEXT NOT NULL REFERENCES volumes (id), project_id TEXT NOT NULL,
        instance_id TEXT, node_id TEXT, connector TEXT NOT NULL, mountpoint TEXT, is_read_only BIGINT NOT NULL,
        status TEXT NOT NULL, user_name TEXT NOT NULL, password TEXT NOT NULL, access TEXT NOT NULL,
        created_at BIGINT NOT NULL, attached_at BIGINT, detached_at BIGINT
      );
      CREATE INDEX volume_attachments_volume ON volume_attachments (volume_id);
      CREATE INDEX volume_attachments_node ON volume_attachments (node_id) WHERE node_id IS NOT NULL;
      CREATE INDEX volume_attachments_instance ON volume_attachments (instance_id) WHERE instance_id IS NOT NULL;
      CREATE TABLE volume_transfers (
        id TEXT PRIMARY KEY, volume_id TEXT NOT NULL REFERENCES volumes (id) ON DELETE CASCADE, name TEXT,
        source_project_id TEXT NOT NULL, destination_project_id TEXT, key_hash TEXT NOT NULL,
        includes_snapshots BIGINT NOT NULL, is_accepted BIGINT NOT NULL, created_at BIGINT NOT NULL
      );
      CREATE UNIQUE INDEX volume_transfers_open ON volume_transfers (volume_id) WHERE is_accepted = 0;
      CREATE TABLE volume_backups (
        id TEXT PRIMARY KEY, volume_id TEXT NOT NULL, snapshot_id TEXT, project_id TEXT NOT NULL, user_id TEXT NOT NULL,
        name TEXT, description TEXT, container TEXT NOT NULL, size BIGINT NOT NULL, object_count BIGINT NOT NULL,
        is_incremental BIGINT NOT NULL, status TEXT NOT NULL, fault TEXT, fault_detail TEXT, metadata TEXT NOT NULL,
        data_timestamp BIGINT NOT NULL, parent_id TEXT REFERENCES volume_backups (id),
        created_at BIGINT NOT NULL, updated_at BIGINT
      );
      CREATE INDEX volume_backups_project ON volume_backups (project_id, created_at, id);
      CREATE INDEX volume_backups_parent ON volume_backups (parent_id) WHERE parent_id IS NOT NULL;
      CREATE TABLE volume_boots (
        node_id TEXT PRIMARY KEY, mac TEXT NOT NULL UNIQUE, address TEXT NOT NULL UNIQUE,
        attachment_id TEXT NOT NULL REFERENCES volume_attachments (id) ON DELETE CASCADE
      );
      CREATE TABLE volume_quotas (
        project_id TEXT NOT NULL, resource TEXT NOT NULL, quota_limit BIGINT NOT NULL, PRIMARY KEY (project_id, resource)
      );
      """)
}
