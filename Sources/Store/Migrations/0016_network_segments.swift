extension Migration {
  /// What carries a network beyond its first VLAN: VLANs of other physical networks, and a VNI between them.
  static let networkSegments = Migration(
    number: 16, name: "network segments",
    sql: """
      CREATE TABLE network_segments (
        id TEXT PRIMARY KEY, network_id TEXT NOT NULL REFERENCES networks (id) ON DELETE CASCADE, name TEXT NOT NULL,
        description TEXT NOT NULL, network_type TEXT NOT NULL CHECK (network_type IN ('vlan', 'vxlan')),
        physical_network TEXT NOT NULL, segmentation_id BIGINT NOT NULL,
        is_being_deleted BIGINT NOT NULL DEFAULT 0, revision BIGINT NOT NULL, created_at BIGINT NOT NULL,
        updated_at BIGINT NOT NULL,
        UNIQUE (network_type, physical_network, segmentation_id), UNIQUE (network_id, network_type, physical_network)
      );
      """)
}
