extension Migration {
  /// Servers of the compute API and what they are made of. Their states are the nodes'.
  static let servers = Migration(
    number: 24, name: "servers",
    sql: """
      CREATE TABLE flavors (
        id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, memory BIGINT NOT NULL, vcpus BIGINT NOT NULL, disk BIGINT NOT NULL,
        ephemeral BIGINT NOT NULL, swap BIGINT NOT NULL, rxtx_factor DOUBLE PRECISION NOT NULL, is_public BIGINT NOT NULL,
        description TEXT, extra_specs TEXT NOT NULL, created_at BIGINT NOT NULL, updated_at BIGINT
      );
      CREATE TABLE flavor_projects (
        flavor_id TEXT NOT NULL REFERENCES flavors (id) ON DELETE CASCADE, project_id TEXT NOT NULL,
        PRIMARY KEY (flavor_id, project_id)
      );
      CREATE TABLE keypairs (
        number INTEGER PRIMARY KEY, user_id TEXT NOT NULL, name TEXT NOT NULL, public_key TEXT NOT NULL,
        fingerprint TEXT NOT NULL, created_at BIGINT NOT NULL, UNIQUE (user_id, name)
      );
      CREATE TABLE servers (
        id TEXT PRIMARY KEY, reservation_id TEXT NOT NULL, launch_index BIGINT NOT NULL, project_id TEXT NOT NULL,
        user_id TEXT NOT NULL, name TEXT NOT NULL, hostname TEXT NOT NULL, description TEXT, node_uuid TEXT, image_id TEXT,
        flavor TEXT NOT NULL, flavor_id TEXT NOT NULL, key_name TEXT, public_key TEXT, metadata TEXT NOT NULL, user_data TEXT, pinned_zone TEXT,
        has_config_drive BIGINT NOT NULL, access_ipv4 TEXT NOT NULL, access_ipv6 TEXT NOT NULL,
        scheduler_hints TEXT NOT NULL, group_id TEXT, locked_by TEXT, locked_reason TEXT, fault_code BIGINT,
        fault_message TEXT, fault_details TEXT, fault_at BIGINT, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL,
        launched_at BIGINT, deletion_asked_at BIGINT, deleted_at BIGINT
      );
      CREATE INDEX servers_project ON servers (project_id, created_at);
      CREATE INDEX servers_created ON servers (created_at, id);
      CREATE INDEX servers_group ON servers (group_id) WHERE group_id IS NOT NULL;
      CREATE UNIQUE INDEX servers_node ON servers (node_uuid) WHERE node_uuid IS NOT NULL AND deleted_at IS NULL;
      CREATE TABLE server_tags (
        server_id TEXT NOT NULL REFERENCES servers (id) ON DELETE CASCADE, tag TEXT NOT NULL, PRIMARY KEY (server_id, tag)
      );
      CREATE TABLE server_ports (
        port_id TEXT PRIMARY KEY, server_id TEXT NOT NULL REFERENCES servers (id) ON DELETE CASCADE,
        is_made BIGINT NOT NULL, tag TEXT
      );
      CREATE INDEX server_ports_server ON server_ports (server_id);
      CREATE TABLE server_actions (
        number INTEGER PRIMARY KEY, server_id TEXT NOT NULL REFERENCES servers (id) ON DELETE CASCADE, name TEXT NOT NULL,
        request_id TEXT NOT NULL, user_id TEXT, project_id TEXT, workflow_id TEXT, message TEXT, started_at BIGINT NOT NULL
      );
      CREATE INDEX server_actions_server ON server_actions (server_id, number);
      CREATE TABLE server_groups (
        id TEXT PRIMARY KEY, name TEXT NOT NULL, project_id TEXT NOT NULL, user_id TEXT NOT NULL, policy TEXT NOT NULL,
        most_per_chassis BIGINT, created_at BIGINT NOT NULL
      );
      CREATE INDEX server_groups_project ON server_groups (project_id);
      CREATE TABLE compute_quotas (
        project_id TEXT NOT NULL, resource TEXT NOT NULL, quota_limit BIGINT NOT NULL, PRIMARY KEY (project_id, resource)
      );
      """)
}
