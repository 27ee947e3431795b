extension Migration {
  /// Lists of ports come in the order of an index instead of being sorted.
  static let portOrder = Migration(
    number: 20, name: "port order",
    sql: """
      DROP INDEX network_ports_project;
      CREATE INDEX network_ports_project ON network_ports (project_id, created_at, id);
      CREATE INDEX network_ports_network ON network_ports (network_id, created_at, id);
      CREATE INDEX network_ports_age ON network_ports (created_at, id);
      CREATE INDEX network_addresses_more ON network_addresses (port_id) WHERE position > 0;
      """)
}
