extension Migration {
  /// Servers without a machine: what was on the disk is an image, and the network ports know the order of their NICs.
  static let shelvedServers = Migration(
    number: 29, name: "shelved servers",
    sql: """
      ALTER TABLE servers ADD COLUMN shelved_at BIGINT;
      ALTER TABLE servers ADD COLUMN shelved_image_id TEXT;
      ALTER TABLE server_ports ADD COLUMN position BIGINT;
      CREATE INDEX servers_shelved ON servers (shelved_at) WHERE shelved_at IS NOT NULL;
      CREATE INDEX servers_shelved_image ON servers (shelved_image_id) WHERE shelved_image_id IS NOT NULL;
      """)
}
