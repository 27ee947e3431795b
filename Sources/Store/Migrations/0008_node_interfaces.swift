extension Migration {
  /// Which implementation of each interface a node was told to use: `{"network": "noop"}`; the others are its hardware
  /// type's defaults.
  static let nodeInterfaces = Migration(
    number: 8, name: "node_interfaces",
    sql: """
      ALTER TABLE nodes ADD COLUMN interfaces TEXT NOT NULL DEFAULT '{}';
      """)
}
