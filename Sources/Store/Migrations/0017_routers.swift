extension Migration {
  /// Routers with their ports, floating IPs, port forwardings. A port that is a router's or holds a floating IP cannot be deleted
  /// while it is: the references refuse it.
  static let routers = Migration(
    number: 17, name: "routers",
    sql: """
      CREATE TABLE routers (
        id TEXT PRIMARY KEY, project_id TEXT NOT NULL, name TEXT NOT NULL, description TEXT NOT NULL,
        is_admin_state_up BIGINT NOT NULL, status TEXT NOT NULL CHECK (status IN ('ACTIVE','DOWN','ERROR')),
        is_snat_enabled BIGINT NOT NULL, is_next_hop_watched BIGINT NOT NULL, are_next_hops_shared BIGINT NOT NULL,
        routes TEXT NOT NULL, revision BIGINT NOT NULL, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL
      );
      CREATE INDEX routers_project ON routers (project_id);
      CREATE TABLE router_ports (
        port_id TEXT PRIMARY KEY REFERENCES network_ports (id), router_id TEXT NOT NULL REFERENCES routers (id),
        kind TEXT NOT NULL CHECK (kind IN ('network:router_interface','network:router_gateway')), position BIGINT NOT NULL,
        UNIQUE (router_id, position)
      );
      CREATE TABLE floating_ips (
        id TEXT PRIMARY KEY, project_id TEXT NOT NULL, description TEXT NOT NULL,
        network_id TEXT NOT NULL REFERENCES networks (id), address TEXT NOT NULL,
        holder_port_id TEXT NOT NULL UNIQUE REFERENCES network_ports (id),
        port_id TEXT REFERENCES network_ports (id), fixed_address TEXT, router_id TEXT REFERENCES routers (id),
        status TEXT NOT NULL CHECK (status IN ('ACTIVE','DOWN','ERROR')), dns_name TEXT NOT NULL, dns_domain TEXT NOT NULL,
        revision BIGINT NOT NULL, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL,
        UNIQUE (network_id, address),
        UNIQUE (port_id, fixed_address, network_id),
        CHECK ((port_id IS NULL) = (fixed_address IS NULL)),
        CHECK (port_id IS NULL OR router_id IS NOT NULL)
      );
      CREATE INDEX floating_ips_project ON floating_ips (project_id);
      CREATE INDEX floating_ips_router ON floating_ips (router_id) WHERE router_id IS NOT NULL;
      CREATE TABLE port_forwardings (
        id TEXT PRIMARY KEY, floating_ip_id TEXT NOT NULL REFERENCES floating_ips (id), description TEXT NOT NULL,
        protocol TEXT NOT NULL, external_first BIGINT NOT NULL, external_last BIGINT NOT NULL,
        internal_first BIGINT NOT NULL, internal_last BIGINT NOT NULL,
        port_id TEXT NOT NULL REFERENCES network_ports (id), internal_address TEXT NOT NULL,
        CHECK (external_first BETWEEN 1 AND external_last AND external_last <= 65535),
        CHECK (internal_first BETWEEN 1 AND internal_last AND internal_last <= 65535)
      );
      CREATE INDEX port_forwardings_floating_ip ON port_forwardings (floating_ip_id);
      CREATE INDEX port_forwardings_port ON port_forwardings (port_id);
      """)
}
