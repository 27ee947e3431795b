import Domain
import Wire

/// Signed records of erasures. Records are only ever added; the schema refuses a change.
public enum EraseRecordStore {
  /// Whose records are read.
  public enum Reader: Sendable {
    /// The site's administrators and readers.
    case everything
    /// A project: what it left on a disk itself, what was erased of machines that it owns, and the last erasure before each of its leases.
    case project(String)
  }
  public struct Filter: Sendable {
    public var reader: Reader
    public var uuid: String?
    public var node: String?
    public var lease: String?
    /// At most so many, the newest.
    public var limit: Int?
    public init(_ reader: Reader) { self.reader = reader }
  }

  public static func insert(_ record: EraseRecord, in session: any Session) throws {
    try session.execute(
      """
      INSERT INTO erase_records (uuid, node_uuid, lease_uuid, project_id, owner_id, began_at, ended_at, document, signature, key_id) \
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
      """,
      [
        .text(record.uuid), .text(record.nodeUUID), Value(record.leaseUUID), Value(record.projectID),
        Value(record.ownerID), Value(record.time.start), Value(record.time.end), .text(record.document),
        .text(record.signature), .text(record.keyID),
      ])
  }

  /// The newest first.
  public static func list(_ filter: Filter, in session: any Session) throws -> [EraseRecord] {
    var query = Query(
      """
      SELECT r.uuid, r.node_uuid, r.lease_uuid, r.project_id, r.owner_id, r.began_at, r.ended_at, r.document, r.signature, r.key_id \
      FROM erase_records r WHERE 1 = 1
      """)
    if let uuid = filter.uuid { query.append("AND r.uuid = ?", .text(uuid)) }
    if let node = filter.node { query.append("AND r.node_uuid = ?", .text(node)) }
    if let lease = filter.lease { query.append("AND r.lease_uuid = ?", .text(lease)) }
    if case .project(let project) = filter.reader {
      // Who comes reads what was erased last before the machine became theirs, and not what was before that.
      query.append(
        """
        AND (r.project_id = ? OR EXISTS (SELECT 1 FROM nodes n WHERE n.uuid = r.node_uuid AND n.owner = ?) \
        OR EXISTS (SELECT 1 FROM leases l WHERE l.resource_uuid = r.node_uuid AND l.project_id = ? \
        AND l.fulfill_time >= r.ended_at AND NOT EXISTS (SELECT 1 FROM erase_records e WHERE e.node_uuid = r.node_uuid \
        AND e.ended_at > r.ended_at AND e.ended_at <= l.fulfill_time)) \
        OR (EXISTS (SELECT 1 FROM nodes n WHERE n.uuid = r.node_uuid AND n.lessee = ?) \
        AND NOT EXISTS (SELECT 1 FROM erase_records e WHERE e.node_uuid = r.node_uuid AND e.ended_at > r.ended_at)))
        """, .text(project), .text(project), .text(project), .text(project))
    }
    query.append("ORDER BY r.ended_at DESC, r.uuid")
    if let limit = filter.limit { query.append("LIMIT ?", .int(limit)) }
    return try session.query(query) { row in
      EraseRecord(
        uuid: row.text(0), nodeUUID: row.text(1), leaseUUID: row.optionalText(2), projectID: row.optionalText(3),
        ownerID: row.optionalText(4), time: TimeRange(row.time(5), row.time(6)), document: row.text(7),
        signature: row.text(8), keyID: row.text(9))
    }
  }
}

/// How far an erasure had come when it was interrupted.
public enum EraseProgressStore {
  public struct Place: Sendable, Equatable {
    /// The disk's serial number, else its name.
    public var disk: String
    public var size: Int
    /// So many bytes from its beginning were made zero.
    public var done: Int
    public init(disk: String, size: Int, done: Int) {
      self.disk = disk
      self.size = size
      self.done = done
    }
  }
  public static func note(_ place: Place, node: String, in session: any Session) throws {
    try session.execute(
      """
      INSERT INTO erase_progress (node_uuid, disk, size_bytes, done_bytes) VALUES ($1, $2, $3, $4) \
      ON CONFLICT (node_uuid, disk) DO UPDATE SET size_bytes = excluded.size_bytes, done_bytes = excluded.done_bytes
      """, [.text(node), .text(place.disk), .int(place.size), .int(place.done)])
  }
  public static func list(node: String, in session: any Session) throws -> [Place] {
    try session.query(
      "SELECT disk, size_bytes, done_bytes FROM erase_progress WHERE node_uuid = $1 ORDER BY disk", [.text(node)]
    ) { Place(disk: $0.text(0), size: $0.int(1), done: $0.int(2)) }
  }
  /// What was done counts no more: the machine was used since, or is clean.
  public static func forget(node: String, in session: any Session) throws {
    try session.execute("DELETE FROM erase_progress WHERE node_uuid = $1", [.text(node)])
  }
}
