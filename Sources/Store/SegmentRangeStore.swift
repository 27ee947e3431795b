import Domain
import Wire

/// The administrator's pools of VLANs.
public enum SegmentRangeStore {
  private static func range(_ row: borrowing Row) -> SegmentRange {
    SegmentRange(
      id: row.text(0), name: row.text(1), description: row.text(2), isDefault: row.bool(3),
      projectID: row.optionalText(4),
      physicalNetwork: row.text(5), vlans: row.int(6)...max(row.int(6), row.int(7)), revision: row.int(8),
      createdAt: row.time(9), updatedAt: row.time(10))
  }
  /// In the order they were made: the order in which they are drawn from.
  public static func list(in session: any Session) throws -> [SegmentRange] {
    try session.query(
      """
      SELECT id, name, description, is_default, project_id, physical_network, minimum, maximum, revision, created_at, updated_at \
      FROM segment_ranges ORDER BY created_at, id
      """, []
    ) { range($0) }
  }
  public static func get(_ id: String, in session: any Session) throws -> SegmentRange? {
    try list(in: session).first { $0.id == id }
  }
  public static func insert(_ range: SegmentRange, in session: any Session) throws {
    try session.execute(
      """
      INSERT INTO segment_ranges (id, name, description, is_default, project_id, physical_network, minimum, maximum, revision, \
      created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
      """,
      [
        .text(range.id), .text(range.name), .text(range.description), .bool(range.isDefault), Value(range.projectID),
        .text(range.physicalNetwork), .int(range.vlans.lowerBound), .int(range.vlans.upperBound), .int(range.revision),
        Value(range.createdAt), Value(range.updatedAt),
      ])
  }
  public static func update(_ range: inout SegmentRange, at now: Timestamp, in session: any Session) throws {
    range.revision += 1
    range.updatedAt = now
    try session.execute(
      """
      UPDATE segment_ranges SET name = $1, description = $2, minimum = $3, maximum = $4, revision = $5, updated_at = $6 \
      WHERE id = $7
      """,
      [
        .text(range.name), .text(range.description), .int(range.vlans.lowerBound), .int(range.vlans.upperBound),
        .int(range.revision), Value(range.updatedAt), .text(range.id),
      ])
  }
  public static func delete(_ id: String, in session: any Session) throws {
    try session.execute("DELETE FROM segment_ranges WHERE id = $1", [.text(id)])
  }

  /// Brings the pools of the configuration file into the database when the server starts: makes what is missing and
  /// changes what differs. Pools made through the API are left alone; so is one whose configuration is gone.
  public static func ensureConfigured(
    _ name: String = "tenants", physicalNetwork: String, vlans: ClosedRange<Int>, at now: Timestamp,
    in session: any Session
  ) throws {
    let known = try list(in: session).first { $0.isDefault && $0.name == name && $0.physicalNetwork == physicalNetwork }
    guard var range = known else {
      return try insert(
        SegmentRange(name: name, isDefault: true, physicalNetwork: physicalNetwork, vlans: vlans, createdAt: now),
        in: session)
    }
    if range.vlans == vlans { return }
    range.vlans = vlans
    try update(&range, at: now, in: session)
  }

  /// A VLAN for a new network of `project`: from the project's own pools first, then from those of all.
  /// - Parameters:
  ///   - physicalNetwork: nil for any.
  ///   - reserved: VLANs of the site itself, given to nobody.
  /// - Returns: nil when they are used up, or when there are none.
  public static func freeVLAN(
    project: String, physicalNetwork: String?, except reserved: Set<Int> = [], in session: any Session
  ) throws -> (physicalNetwork: String, vlan: Int)? {
    for range in try candidates(project: project, physicalNetwork: physicalNetwork, in: session) {
      let taken = try NetworkStore.vlansTaken(on: range.physicalNetwork, in: session)
      if let vlan = range.lowestFree(taken: taken.union(reserved)) { return (range.physicalNetwork, vlan) }
    }
    return nil
  }
  /// The pools that a network of `project` may draw from, in their order.
  public static func candidates(
    project: String, physicalNetwork: String?, in session: any Session
  ) throws -> [SegmentRange] {
    let fitting = try list(in: session).filter { physicalNetwork == nil || $0.physicalNetwork == physicalNetwork }
    return fitting.filter { $0.projectID == project } + fitting.filter { $0.projectID == nil }
  }
}
