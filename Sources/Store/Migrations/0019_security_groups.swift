extension Migration {
  /// Security groups, port security and allowed address pairs. Networks and ports that are there stay as they were: nothing
  /// filters them.
  static let securityGroups = Migration(
    number: 19, name: "security groups",
    sql: """
      CREATE TABLE security_groups (
        id TEXT PRIMARY KEY, project_id TEXT NOT NULL, name TEXT NOT NULL, description TEXT NOT NULL,
        is_stateful BIGINT NOT NULL, is_default BIGINT NOT NULL, revision BIGINT NOT NULL, created_at BIGINT NOT NULL,
        updated_at BIGINT NOT NULL
      );
      CREATE INDEX security_groups_project ON security_groups (project_id);
      CREATE UNIQUE INDEX security_groups_default ON security_groups (project_id) WHERE is_default = 1;
      CREATE TABLE security_group_rules (
        id TEXT PRIMARY KEY, group_id TEXT NOT NULL REFERENCES security_groups (id) ON DELETE CASCADE,
        project_id TEXT NOT NULL, direction TEXT NOT NULL CHECK (direction IN ('ingress','egress')),
        ip_version BIGINT NOT NULL CHECK (ip_version IN (4, 6)), protocol TEXT, port_minimum BIGINT, port_maximum BIGINT,
        remote_prefix TEXT, remote_group_id TEXT REFERENCES security_groups (id) ON DELETE CASCADE,
        description TEXT NOT NULL, revision BIGINT NOT NULL, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL
      );
      CREATE INDEX security_group_rules_group ON security_group_rules (group_id);
      CREATE INDEX security_group_rules_project ON security_group_rules (project_id);
      CREATE INDEX security_group_rules_remote ON security_group_rules (remote_group_id) WHERE remote_group_id IS NOT NULL;
      CREATE TABLE network_port_groups (
        port_id TEXT NOT NULL REFERENCES network_ports (id) ON DELETE CASCADE,
        group_id TEXT NOT NULL REFERENCES security_groups (id), PRIMARY KEY (port_id, group_id)
      );
      CREATE INDEX network_port_groups_group ON network_port_groups (group_id);
      ALTER TABLE networks ADD COLUMN is_port_security BIGINT NOT NULL DEFAULT 0;
      ALTER TABLE network_ports ADD COLUMN is_port_security BIGINT NOT NULL DEFAULT 0;
      ALTER TABLE network_ports ADD COLUMN address_pairs TEXT NOT NULL DEFAULT '[]';
      ALTER TABLE switch_ports ADD COLUMN acl TEXT NOT NULL DEFAULT '{}';
      """)
}
