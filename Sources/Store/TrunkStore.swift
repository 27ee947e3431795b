import Domain
import Wire

/// Trunks and their subports.
public enum TrunkStore {
  /// The trunks that `narrow` leaves (it appends `WHERE …` on columns of `trunks t`, `ORDER BY …`), with subports, tags and
  /// status: three statements however many there are.
  public static func list(in session: any Session, _ narrow: (inout Query) -> Void = { _ in }) throws -> [Trunk] {
    var query = Query(
      """
      SELECT t.id, t.project_id, t.name, t.description, t.is_admin_state_up, t.port_id, t.revision, t.created_at, t.updated_at, \
      p.status FROM trunks t JOIN network_ports p ON p.id = t.port_id
      """)
    narrow(&query)
    var statuses: [NetworkPort.Status] = []
    var trunks = try session.query(query) { row in
      statuses.append(NetworkPort.Status(rawValue: row.text(9)) ?? .error)
      return Trunk(
        id: row.text(0), projectID: row.text(1), name: row.text(2), description: row.text(3),
        isAdminStateUp: row.bool(4),
        portID: row.text(5), revision: row.int(6), createdAt: row.time(7), updatedAt: row.time(8))
    }
    if trunks.isEmpty { return [] }
    let ids = trunks.map(\.id)
    let tags = try NetworkTagStore.tags(of: ids, in: session)
    let subports = try subports(of: ids, in: session)
    for index in trunks.indices {
      let own = subports[trunks[index].id] ?? []
      trunks[index].subports = own.map(\.subport)
      trunks[index].status = Trunk.Status(parent: statuses[index], subports: own.map(\.status))
      trunks[index].tags = tags[trunks[index].id] ?? []
    }
    return trunks
  }
  public static func get(_ id: String, in session: any Session) throws -> Trunk? {
    try list(in: session) { $0.append("WHERE t.id = ?", .text(id)) }.first
  }
  /// The trunk whose parent a port is.
  public static func ofParent(_ port: String, in session: any Session) throws -> Trunk? {
    try list(in: session) { $0.append("WHERE t.port_id = ?", .text(port)) }.first
  }
  /// The trunk that a port is a subport of.
  public static func ofSubport(_ port: String, in session: any Session) throws -> Trunk? {
    try list(in: session) {
      $0.append("WHERE t.id = (SELECT trunk_id FROM trunk_subports WHERE port_id = ?)", .text(port))
    }.first
  }

  private struct Found {
    var subport: Trunk.Subport
    var status: NetworkPort.Status
    var macAddress: String
  }
  private static func subports(of trunks: [String], in session: any Session) throws -> [String: [Found]] {
    let rows = try session.queryMany(
      """
      SELECT s.trunk_id, s.port_id, s.segmentation_id, p.status, p.mac_address \
      FROM trunk_subports s JOIN network_ports p ON p.id = s.port_id
      """, "s.trunk_id", trunks, order: "ORDER BY s.position"
    ) {
      (
        $0.text(0),
        Found(
          subport: Trunk.Subport(portID: $0.text(1), segmentationID: $0.int(2)),
          status: NetworkPort.Status(rawValue: $0.text(3)) ?? .error, macAddress: $0.text(4))
      )
    }
    return Dictionary(grouping: rows, by: \.0).mapValues { $0.map(\.1) }
  }
  /// What ports show of the trunks whose parents they are, by the trunk's id.
  static func details(of trunks: [String], in session: any Session) throws -> [String: TrunkDetails] {
    if trunks.isEmpty { return [:] }
    let subports = try subports(of: trunks, in: session)
    return Dictionary(
      trunks.map { id in
        let own = (subports[id] ?? []).map { TrunkDetails.Subport($0.subport, macAddress: $0.macAddress) }
        return (id, TrunkDetails(trunkID: id, subports: own))
      }
    ) { first, _ in first }
  }

  /// - Throws: ``StoreError`` `.conflict` when the port has a trunk.
  public static func insert(_ trunk: Trunk, in session: any Session) throws {
    try session.execute(
      """
      INSERT INTO trunks (id, project_id, name, description, is_admin_state_up, port_id, revision, created_at, updated_at) \
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
      """,
      [
        .text(trunk.id), .text(trunk.projectID), .text(trunk.name), .text(trunk.description),
        .bool(trunk.isAdminStateUp),
        .text(trunk.portID), .int(trunk.revision), Value(trunk.createdAt), Value(trunk.updatedAt),
      ])
    try NetworkTagStore.set(trunk.tags, of: trunk.id, in: session)
  }
  /// Writes what may change but the subports and tags, and counts the revision up.
  public static func update(_ trunk: inout Trunk, at now: Timestamp, in session: any Session) throws {
    trunk.revision += 1
    trunk.updatedAt = now
    try session.execute(
      "UPDATE trunks SET name = $1, description = $2, is_admin_state_up = $3, revision = $4, updated_at = $5 WHERE id = $6",
      [
        .text(trunk.name), .text(trunk.description), .bool(trunk.isAdminStateUp), .int(trunk.revision), Value(now),
        .text(trunk.id),
      ])
  }
  /// Deletes it; its ports stay, and its subports belong to nothing.
  public static func delete(_ trunk: Trunk, at now: Timestamp, in session: any Session) throws {
    for subport in trunk.subports { try remove(subport.portID, at: now, in: session) }
    try NetworkTagStore.set([], of: trunk.id, in: session)
    try session.execute("DELETE FROM trunks WHERE id = $1", [.text(trunk.id)])
  }
  /// - Throws: ``StoreError`` `.conflict` when the port is in a trunk, or the segmentation id taken on this one.
  public static func add(_ subport: Trunk.Subport, to id: String, at now: Timestamp, in session: any Session) throws {
    try session.execute(
      """
      INSERT INTO trunk_subports (port_id, trunk_id, segmentation_id, position) \
      VALUES ($1, $2, $3, (SELECT COALESCE(MAX(position), 0) + 1 FROM trunk_subports WHERE trunk_id = $4))
      """, [.text(subport.portID), .text(id), .int(subport.segmentationID), .text(id)])
    try own(subport.portID, Trunk.subportOwner, id, at: now, in: session)
  }
  public static func remove(_ port: String, at now: Timestamp, in session: any Session) throws {
    try session.execute("DELETE FROM trunk_subports WHERE port_id = $1", [.text(port)])
    try own(port, "", "", at: now, in: session)
  }
  private static func own(
    _ port: String, _ owner: String, _ device: String, at now: Timestamp, in session: any Session
  ) throws {
    try session.execute(
      "UPDATE network_ports SET device_owner = $1, device_id = $2, revision = revision + 1, updated_at = $3 WHERE id = $4",
      [.text(owner), .text(device), Value(now), .text(port)])
  }
  public static func count(project id: String, in session: any Session) throws -> Int {
    try session.first("SELECT COUNT(*) FROM trunks WHERE project_id = $1", [.text(id)]) { $0.int(0) } ?? 0
  }
}
