extension Migration {
  static let networks = Migration(
    number: 4, name: "networks",
    sql: """
      CREATE TABLE segment_ranges (
        id TEXT PRIMARY KEY, name TEXT NOT NULL, description TEXT NOT NULL, is_default BIGINT NOT NULL, project_id TEXT,
        physical_network TEXT NOT NULL, minimum BIGINT NOT NULL, maximum BIGINT NOT NULL, revision BIGINT NOT NULL,
        created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL,
        CHECK (minimum >= 1 AND minimum <= maximum AND maximum <= 4094)
      );
      CREATE TABLE networks (
        id TEXT PRIMARY KEY, project_id TEXT NOT NULL, name TEXT NOT NULL, description TEXT NOT NULL,
        is_admin_state_up BIGINT NOT NULL, is_shared BIGINT NOT NULL, is_external BIGINT NOT NULL, is_default BIGINT NOT NULL,
        mtu BIGINT NOT NULL, physical_network TEXT NOT NULL, vlan BIGINT NOT NULL CHECK (vlan BETWEEN 1 AND 4094),
        dns_domain TEXT NOT NULL, revision BIGINT NOT NULL, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL,
        UNIQUE (physical_network, vlan)
      );
      CREATE INDEX networks_project ON networks (project_id);
      CREATE INDEX networks_name ON networks (name);
      CREATE TABLE subnets (
        id TEXT PRIMARY KEY, network_id TEXT NOT NULL REFERENCES networks (id) ON DELETE CASCADE, project_id TEXT NOT NULL,
        name TEXT NOT NULL, description TEXT NOT NULL, cidr TEXT NOT NULL, gateway TEXT, is_dhcp_enabled BIGINT NOT NULL,
        dns_nameservers TEXT NOT NULL, host_routes TEXT NOT NULL, pools TEXT NOT NULL, revision BIGINT NOT NULL,
        created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL
      );
      CREATE INDEX subnets_network ON subnets (network_id);
      CREATE INDEX subnets_project ON subnets (project_id);
      CREATE TABLE network_ports (
        id TEXT PRIMARY KEY, network_id TEXT NOT NULL REFERENCES networks (id), project_id TEXT NOT NULL, name TEXT NOT NULL,
        description TEXT NOT NULL, mac_address TEXT NOT NULL, is_admin_state_up BIGINT NOT NULL,
        status TEXT NOT NULL CHECK (status IN ('ACTIVE','DOWN','BUILD','ERROR')), device_id TEXT NOT NULL,
        device_owner TEXT NOT NULL, host_id TEXT NOT NULL, vnic_type TEXT NOT NULL, profile TEXT NOT NULL,
        dns_name TEXT NOT NULL, is_bound BIGINT NOT NULL DEFAULT 0,
        is_being_deleted BIGINT NOT NULL DEFAULT 0, revision BIGINT NOT NULL,
        created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL,
        UNIQUE (network_id, mac_address)
      );
      CREATE INDEX network_ports_project ON network_ports (project_id);
      CREATE INDEX network_ports_name ON network_ports (name);
      CREATE INDEX network_ports_device ON network_ports (device_id);
      CREATE INDEX network_ports_host ON network_ports (host_id);
      CREATE TABLE network_addresses (
        subnet_id TEXT NOT NULL REFERENCES subnets (id), address_key TEXT NOT NULL, version BIGINT NOT NULL,
        port_id TEXT NOT NULL REFERENCES network_ports (id) ON DELETE CASCADE, position BIGINT NOT NULL,
        PRIMARY KEY (subnet_id, address_key)
      );
      CREATE INDEX network_addresses_port ON network_addresses (port_id);
      CREATE TABLE network_tags (resource_id TEXT NOT NULL, tag TEXT NOT NULL, PRIMARY KEY (resource_id, tag));
      CREATE TABLE network_quotas (
        project_id TEXT NOT NULL, resource TEXT NOT NULL, quota_limit BIGINT NOT NULL, PRIMARY KEY (project_id, resource)
      );
      """)
}
