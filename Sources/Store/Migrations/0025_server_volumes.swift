extension Migration {
  /// Volumes of servers. A NIC that reaches volumes may be there for data alone, so that its machine does not boot from one.
  static let serverVolumes = Migration(
    number: 25, name: "server volumes",
    sql: """
      CREATE TABLE server_volumes (
        id TEXT PRIMARY KEY, server_id TEXT NOT NULL REFERENCES servers (id) ON DELETE CASCADE,
        volume_id TEXT NOT NULL REFERENCES volumes (id) ON DELETE CASCADE, boot_index BIGINT,
        deletes_on_termination BIGINT NOT NULL, tag TEXT, device TEXT, created_at BIGINT NOT NULL,
        UNIQUE (server_id, volume_id)
      );
      CREATE INDEX server_volumes_volume ON server_volumes (volume_id);
      CREATE TABLE volume_nics (
        node_id TEXT PRIMARY KEY, mac TEXT NOT NULL UNIQUE, address TEXT NOT NULL UNIQUE,
        attachment_id TEXT REFERENCES volume_attachments (id) ON DELETE CASCADE
      );
      INSERT INTO volume_nics (node_id, mac, address, attachment_id)
        SELECT node_id, mac, address, attachment_id FROM volume_boots;
      DROP TABLE volume_boots;
      ALTER TABLE volume_nics RENAME TO volume_boots;
      """)
}
