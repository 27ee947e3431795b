extension Migration {
  /// Where nodes stand and which belong together, bonds of their NICs, the volumes that they boot from; how long each
  /// thing in their history took.
  static let inventory = Migration(
    number: 11, name: "inventory",
    sql: """
      CREATE TABLE chassis (
        uuid TEXT PRIMARY KEY, description TEXT, extra TEXT NOT NULL, created_at BIGINT NOT NULL, updated_at BIGINT
      );
      ALTER TABLE nodes ADD COLUMN chassis_uuid TEXT REFERENCES chassis (uuid);
      ALTER TABLE nodes ADD COLUMN shard TEXT;
      ALTER TABLE nodes ADD COLUMN parent_node TEXT REFERENCES nodes (uuid);
      ALTER TABLE nodes ADD COLUMN target_raid_config TEXT NOT NULL DEFAULT '{}';
      CREATE INDEX nodes_chassis ON nodes (chassis_uuid) WHERE chassis_uuid IS NOT NULL;
      CREATE INDEX nodes_shard ON nodes (shard) WHERE shard IS NOT NULL;
      CREATE INDEX nodes_parent ON nodes (parent_node) WHERE parent_node IS NOT NULL;
      CREATE INDEX nodes_created ON nodes (created_at, uuid);
      CREATE TABLE port_groups (
        uuid TEXT PRIMARY KEY, node_uuid TEXT NOT NULL REFERENCES nodes (uuid) ON DELETE CASCADE, name TEXT UNIQUE,
        address TEXT UNIQUE, mode TEXT NOT NULL, properties TEXT NOT NULL,
        supports_standalone_ports BOOLEAN NOT NULL DEFAULT TRUE, extra TEXT NOT NULL,
        created_at BIGINT NOT NULL, updated_at BIGINT
      );
      CREATE INDEX port_groups_node ON port_groups (node_uuid);
      ALTER TABLE ports ADD COLUMN port_group_uuid TEXT REFERENCES port_groups (uuid);
      CREATE INDEX ports_group ON ports (port_group_uuid) WHERE port_group_uuid IS NOT NULL;
      CREATE INDEX ports_created ON ports (created_at, uuid);
      CREATE TABLE volume_connectors (
        uuid TEXT PRIMARY KEY, node_uuid TEXT NOT NULL REFERENCES nodes (uuid) ON DELETE CASCADE, type TEXT NOT NULL,
        connector_id TEXT NOT NULL, extra TEXT NOT NULL, project_id TEXT, created_at BIGINT NOT NULL, updated_at BIGINT,
        UNIQUE (type, connector_id)
      );
      CREATE INDEX volume_connectors_node ON volume_connectors (node_uuid);
      CREATE TABLE volume_targets (
        uuid TEXT PRIMARY KEY, node_uuid TEXT NOT NULL REFERENCES nodes (uuid) ON DELETE CASCADE, volume_type TEXT NOT NULL,
        properties TEXT, boot_index BIGINT NOT NULL, volume_id TEXT NOT NULL, extra TEXT NOT NULL, project_id TEXT,
        created_at BIGINT NOT NULL, updated_at BIGINT, UNIQUE (node_uuid, boot_index)
      );
      ALTER TABLE node_events ADD COLUMN state TEXT;
      ALTER TABLE node_events ADD COLUMN target_provision_state TEXT;
      ALTER TABLE node_events ADD COLUMN duration_milliseconds BIGINT;
      """)
}
