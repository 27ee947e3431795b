extension Migration {
  /// Network ports are attached to port groups, too. `attached_nics` has the NICs of machines with what each carries: by itself,
  /// or as a member of its group. `wiring_problem` is what LLDP said against a NIC's recorded switch port, as a sentence.
  static let bondsAndWiring = Migration(
    number: 21, name: "bonds and wiring",
    sql: """
      ALTER TABLE port_groups ADD COLUMN vif_port_id TEXT;
      CREATE UNIQUE INDEX port_groups_vif ON port_groups (vif_port_id) WHERE vif_port_id IS NOT NULL;
      CREATE VIEW attached_nics AS
        SELECT uuid, node_uuid, physical_network, vif_port_id FROM ports WHERE vif_port_id IS NOT NULL
        UNION ALL SELECT m.uuid, m.node_uuid, m.physical_network, g.vif_port_id FROM port_groups g
          JOIN ports m ON m.port_group_uuid = g.uuid WHERE g.vif_port_id IS NOT NULL;
      ALTER TABLE ports ADD COLUMN wiring_problem TEXT;
      """)
}
