extension Migration {
  static let nodes = Migration(
    number: 3, name: "nodes",
    sql: """
      CREATE TABLE nodes (
        uuid TEXT PRIMARY KEY, name TEXT UNIQUE, driver TEXT NOT NULL, driver_info TEXT NOT NULL, driver_secrets TEXT,
        properties TEXT NOT NULL, extra TEXT NOT NULL, instance_info TEXT NOT NULL, driver_internal_info TEXT NOT NULL,
        resource_class TEXT, owner TEXT, lessee TEXT, lease_uuid TEXT,
        provision_state TEXT NOT NULL, target_provision_state TEXT, power_state TEXT, target_power_state TEXT,
        maintenance BOOLEAN NOT NULL DEFAULT FALSE, maintenance_reason TEXT, fault TEXT, last_error TEXT,
        reservation TEXT UNIQUE, instance_uuid TEXT UNIQUE, allocation_uuid TEXT, console_enabled BOOLEAN NOT NULL DEFAULT FALSE,
        automated_clean BOOLEAN, is_protected BOOLEAN NOT NULL DEFAULT FALSE, protected_reason TEXT,
        is_retired BOOLEAN NOT NULL DEFAULT FALSE, retired_reason TEXT, description TEXT, conductor_group TEXT NOT NULL DEFAULT '',
        boot_mode TEXT, is_secure_boot BOOLEAN, traits TEXT NOT NULL DEFAULT '[]',
        deploy_step TEXT NOT NULL DEFAULT '{}', clean_step TEXT NOT NULL DEFAULT '{}', network_data TEXT NOT NULL DEFAULT '{}',
        created_at BIGINT NOT NULL, updated_at BIGINT, provision_updated_at BIGINT,
        inspection_started_at BIGINT, inspection_finished_at BIGINT, power_observed_at BIGINT
      );
      CREATE INDEX nodes_owner ON nodes (owner);
      CREATE INDEX nodes_lessee ON nodes (lessee);
      CREATE TABLE node_inventories (node_uuid TEXT PRIMARY KEY REFERENCES nodes (uuid) ON DELETE CASCADE, inventory TEXT NOT NULL, at BIGINT NOT NULL);
      CREATE TABLE ports (
        uuid TEXT PRIMARY KEY, node_uuid TEXT NOT NULL REFERENCES nodes (uuid) ON DELETE CASCADE, address TEXT NOT NULL UNIQUE,
        name TEXT UNIQUE, local_link_connection TEXT NOT NULL, switch_name TEXT, switch_port TEXT,
        is_pxe_enabled BOOLEAN NOT NULL DEFAULT TRUE, physical_network TEXT, extra TEXT NOT NULL, vif_port_id TEXT UNIQUE,
        created_at BIGINT NOT NULL, updated_at BIGINT
      );
      CREATE INDEX ports_node ON ports (node_uuid);
      CREATE UNIQUE INDEX ports_wiring ON ports (switch_name, switch_port) WHERE switch_port IS NOT NULL;
      CREATE TABLE switch_ports (
        switch_name TEXT NOT NULL, port TEXT NOT NULL, native BIGINT, tagged TEXT NOT NULL DEFAULT '[]', label TEXT,
        state TEXT NOT NULL CHECK (state IN ('pending','in force','error')), detail TEXT, changed_at BIGINT NOT NULL, observed_at BIGINT,
        PRIMARY KEY (switch_name, port)
      );
      CREATE TABLE allocations (
        uuid TEXT PRIMARY KEY, name TEXT UNIQUE, node_uuid TEXT UNIQUE REFERENCES nodes (uuid), state TEXT NOT NULL,
        resource_class TEXT, candidate_nodes TEXT NOT NULL, traits TEXT NOT NULL, owner TEXT, last_error TEXT, extra TEXT NOT NULL,
        created_at BIGINT NOT NULL, updated_at BIGINT
      );
      CREATE TABLE node_events (
        seq INTEGER PRIMARY KEY, node_uuid TEXT NOT NULL REFERENCES nodes (uuid) ON DELETE CASCADE, uuid TEXT NOT NULL UNIQUE,
        event TEXT NOT NULL, event_type TEXT NOT NULL, severity TEXT NOT NULL, user_id TEXT, conductor TEXT, at BIGINT NOT NULL
      );
      CREATE INDEX node_events_node ON node_events (node_uuid, seq);
      """)
}
