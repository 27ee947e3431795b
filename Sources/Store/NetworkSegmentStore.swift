import Domain
import Wire

/// What carries networks beyond their first VLAN.
public enum NetworkSegmentStore {
  /// The segments that `narrow` leaves (it appends `AND …`, `ORDER BY …`), but for those that are being deleted.
  public static func list(
    in session: any Session, _ narrow: (inout Query) -> Void = { _ in }
  ) throws -> [NetworkSegment] {
    var query = Query(
      """
      SELECT id, network_id, name, description, network_type, physical_network, segmentation_id, revision, created_at, updated_at \
      FROM network_segments WHERE is_being_deleted = 0
      """)
    narrow(&query)
    return try session.query(query) { row in
      NetworkSegment(
        id: row.text(0), networkID: row.text(1), name: row.text(2), description: row.text(3),
        carrier: row.text(4) == "vxlan" ? .vxlan(row.int(6)) : .vlan(row.int(6), physicalNetwork: row.text(5)),
        revision: row.int(7), createdAt: row.time(8), updatedAt: row.time(9))
    }
  }
  public static func get(_ id: String, in session: any Session) throws -> NetworkSegment? {
    try list(in: session) { $0.append("AND id = ?", .text(id)) }.first
  }
  public static func list(network id: String, in session: any Session) throws -> [NetworkSegment] {
    try list(in: session) { $0.append("AND network_id = ? ORDER BY created_at, id", .text(id)) }
  }
  /// The networks that have a VNI, each with its VLAN on one physical network, as VNI by VLAN: what the switches there join.
  public static func bindings(on physicalNetwork: String, in session: any Session) throws -> [Int: Int] {
    let rows = try session.query(
      """
      SELECT v.segmentation_id, n.vlan FROM network_segments v JOIN networks n ON n.id = v.network_id \
      WHERE v.network_type = 'vxlan' AND v.is_being_deleted = 0 AND n.physical_network = $1 \
      UNION ALL SELECT v.segmentation_id, s.segmentation_id FROM network_segments v \
      JOIN network_segments s ON s.network_id = v.network_id AND s.network_type = 'vlan' \
      AND s.is_being_deleted = 0 WHERE v.network_type = 'vxlan' AND v.is_being_deleted = 0 AND s.physical_network = $2
      """, [.text(physicalNetwork), .text(physicalNetwork)]
    ) { ($0.int(1), $0.int(0)) }
    return Dictionary(rows) { first, _ in first }
  }
  /// The VNIs that networks have, those that are being parted from included.
  public static func vnisTaken(in session: any Session) throws -> Set<Int> {
    Set(
      try session.query("SELECT segmentation_id FROM network_segments WHERE network_type = 'vxlan'", []) { $0.int(0) })
  }
  /// - Throws: ``StoreError`` `.conflict` when the VLAN or VNI is another network's, or the network has one there.
  public static func insert(_ segment: NetworkSegment, in session: any Session) throws {
    try session.execute(
      """
      INSERT INTO network_segments (id, network_id, name, description, network_type, physical_network, segmentation_id, revision, \
      created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
      """,
      [
        .text(segment.id), .text(segment.networkID), .text(segment.name), .text(segment.description),
        .text(segment.carrier.networkType), .text(segment.carrier.physicalNetwork ?? ""),
        .int(segment.carrier.segmentationID), .int(segment.revision), Value(segment.createdAt),
        Value(segment.updatedAt),
      ])
  }
  /// Writes name and description, and counts the revision up.
  public static func update(_ segment: inout NetworkSegment, at now: Timestamp, in session: any Session) throws {
    segment.revision += 1
    segment.updatedAt = now
    try session.execute(
      "UPDATE network_segments SET name = $1, description = $2, revision = $3, updated_at = $4 WHERE id = $5",
      [.text(segment.name), .text(segment.description), .int(segment.revision), Value(now), .text(segment.id)])
  }
  /// The API shows it no more; its VLAN or VNI stays taken until ``delete(_:in:)``.
  public static func markBeingDeleted(_ id: String, at now: Timestamp, in session: any Session) throws {
    try session.execute(
      "UPDATE network_segments SET is_being_deleted = 1, updated_at = $1 WHERE id = $2", [Value(now), .text(id)])
  }
  /// The ids of those that wait for the switches to part from them.
  public static func beingDeleted(in session: any Session) throws -> [String] {
    try session.query("SELECT id FROM network_segments WHERE is_being_deleted = 1", []) { $0.text(0) }
  }
  public static func delete(_ id: String, in session: any Session) throws {
    try session.execute("DELETE FROM network_segments WHERE id = $1", [.text(id)])
  }
  /// Whether a network has segments beyond its first, those that are being deleted included.
  public static func exist(network id: String, in session: any Session) throws -> Bool {
    try session.exists("SELECT 1 FROM network_segments WHERE network_id = $1", [.text(id)])
  }
  /// The network ports that machines have on a VLAN of one physical network beyond the network's first.
  public static func users(_ segment: NetworkSegment, in session: any Session) throws -> [String] {
    guard let place = segment.carrier.physicalNetwork else { return [] }
    return try session.query(
      """
      SELECT DISTINCT p.id FROM network_ports p LEFT JOIN trunk_subports s ON s.port_id = p.id LEFT JOIN trunks t ON t.id = s.trunk_id \
      JOIN attached_nics b ON b.vif_port_id = p.id OR b.vif_port_id = t.port_id \
      WHERE p.network_id = $1 AND b.physical_network = $2
      """, [.text(segment.networkID), .text(place)]
    ) { $0.text(0) }
  }
}
