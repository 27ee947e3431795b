extension Migration {
  /// Trunks: a parent port, and the ports whose networks its machine gets tagged.
  static let trunks = Migration(
    number: 15, name: "trunks",
    sql: """
      CREATE TABLE trunks (
        id TEXT PRIMARY KEY, project_id TEXT NOT NULL, name TEXT NOT NULL, description TEXT NOT NULL,
        is_admin_state_up BIGINT NOT NULL, port_id TEXT NOT NULL UNIQUE REFERENCES network_ports (id),
        revision BIGINT NOT NULL, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL
      );
      CREATE INDEX trunks_project ON trunks (project_id);
      CREATE TABLE trunk_subports (
        port_id TEXT PRIMARY KEY REFERENCES network_ports (id), trunk_id TEXT NOT NULL REFERENCES trunks (id) ON DELETE CASCADE,
        segmentation_id BIGINT NOT NULL CHECK (segmentation_id BETWEEN 1 AND 4094), position BIGINT NOT NULL,
        UNIQUE (trunk_id, segmentation_id)
      );
      """)
}
