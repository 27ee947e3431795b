import Domain
import Wire

/// Leases. Two that hold one resource at the same time cannot be stored (see the migration).
public enum LeaseStore {
  private static func lease(_ row: borrowing Row) -> Lease {
    var lease = Lease(
      uuid: row.text(0), name: row.optionalText(1), projectID: row.text(2), ownerID: row.text(3),
      resourceType: row.text(4),
      resourceUUID: row.text(5), time: TimeRange(row.time(6), row.time(7)),
      status: Lease.Status(rawValue: row.text(10)) ?? .error,
      properties: row.object(11), purpose: row.optionalText(12), offerUUID: row.optionalText(13),
      parentUUID: row.optionalText(14), createdAt: row.time(15))
    lease.fulfilledAt = row.optionalTime(8)
    lease.endedAt = row.optionalTime(9)
    return lease
  }
  private static func select() -> Query {
    Query(
      """
      SELECT uuid, name, project_id, owner_id, resource_type, resource_uuid, start_time, end_time, fulfill_time, expire_time, \
      status, properties, purpose, offer_uuid, parent_lease_uuid, created_at FROM leases WHERE 1 = 1
      """)
  }

  /// What narrows a list; nil narrows nothing.
  public struct Filter: Sendable {
    public var uuid: String?
    public var name: String?
    public var projectID: String?
    public var ownerID: String?
    /// Lessee or owner.
    public var partyID: String?
    public var statuses: [Lease.Status]?
    public var offerUUID: String?
    public var parentUUID: String?
    public var resourceType: String?
    public var resourceUUID: String?
    public var purpose: String?
    /// Leases that intersect it.
    public var during: TimeRange?
    public init() {}
  }

  public static func get(_ uuid: String, in session: any Session) throws -> Lease? {
    var filter = Filter()
    filter.uuid = uuid
    return try list(filter, in: session).first
  }
  /// In the order in which they were made.
  public static func list(_ filter: Filter, in session: any Session) throws -> [Lease] {
    var query = select()
    if let value = filter.uuid { query.append("AND uuid = ?", .text(value)) }
    if let value = filter.name { query.append("AND name = ?", .text(value)) }
    if let value = filter.projectID { query.append("AND project_id = ?", .text(value)) }
    if let value = filter.ownerID { query.append("AND owner_id = ?", .text(value)) }
    if let value = filter.partyID { query.append("AND (project_id = ? OR owner_id = ?)", .text(value), .text(value)) }
    if let value = filter.statuses { query.appendIn("AND status IN", value.map { .text($0.rawValue) }) }
    if let value = filter.offerUUID { query.append("AND offer_uuid = ?", .text(value)) }
    if let value = filter.parentUUID { query.append("AND parent_lease_uuid = ?", .text(value)) }
    if let value = filter.resourceType { query.append("AND resource_type = ?", .text(value)) }
    if let value = filter.resourceUUID { query.append("AND resource_uuid = ?", .text(value)) }
    if let value = filter.purpose { query.append("AND purpose = ?", .text(value)) }
    if let value = filter.during {
      query.append("AND start_time < ? AND end_time > ?", Value(value.end), Value(value.start))
    }
    query.append("ORDER BY created_at, uuid")
    return try session.query(query) { lease($0) }
  }
  /// The live leases of a resource with the same parent (nil: with none) that overlap `range`.
  public static func conflicts(
    resource: String, type: String = Lease.defaultResourceType, parent: String?, with range: TimeRange,
    in session: any Session
  ) throws -> [Lease] {
    var filter = Filter()
    filter.resourceUUID = resource
    filter.resourceType = type
    filter.statuses = Lease.Status.shownByDefault
    filter.during = range
    return try list(filter, in: session).filter { $0.parentUUID == parent }
  }

  /// - Throws: ``StoreError`` `.conflict` when it overlaps another live lease of the resource, or leaves its parent.
  public static func insert(_ lease: Lease, in session: any Session) throws {
    try session.execute(
      """
      INSERT INTO leases (uuid, name, project_id, owner_id, resource_type, resource_uuid, start_time, end_time, fulfill_time, \
      expire_time, status, properties, purpose, offer_uuid, parent_lease_uuid, created_at) \
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
      """,
      [
        .text(lease.uuid), Value(lease.name), .text(lease.projectID), .text(lease.ownerID), .text(lease.resourceType),
        .text(lease.resourceUUID), Value(lease.time.start), Value(lease.time.end), Value(lease.fulfilledAt),
        Value(lease.endedAt), .text(lease.status.rawValue), Value(lease.properties), Value(lease.purpose),
        Value(lease.offerUUID), Value(lease.parentUUID), Value(lease.createdAt),
      ])
  }
  /// Writes the status alone.
  public static func setStatus(_ status: Lease.Status, of uuid: String, in session: any Session) throws {
    try session.execute("UPDATE leases SET status = $1 WHERE uuid = $2", [.text(status.rawValue), .text(uuid)])
  }
  /// The resource is the lessee's now: active, with the time.
  public static func setActive(_ uuid: String, at now: Timestamp, in session: any Session) throws {
    try session.execute(
      "UPDATE leases SET status = 'active', fulfill_time = COALESCE(fulfill_time, $1) WHERE uuid = $2",
      [Value(now), .text(uuid)])
  }
  /// The resource was taken back, or was never handed over.
  public static func setEnded(_ end: LeaseEnd, of uuid: String, at now: Timestamp, in session: any Session) throws {
    try session.execute(
      "UPDATE leases SET status = $1, expire_time = $2 WHERE uuid = $3",
      [.text(end.final.rawValue), Value(now), .text(uuid)])
  }
  /// - Throws: ``StoreError`` `.conflict` when it then overlaps another, or leaves its parent, or a sub-lease leaves it.
  public static func setEnd(_ end: Timestamp, of uuid: String, in session: any Session) throws {
    try session.execute("UPDATE leases SET end_time = $1 WHERE uuid = $2", [Value(end), .text(uuid)])
  }

  // MARK: The lease timer

  /// Leases to be started: created, and their time has come and not gone. Whoever starts one sets it to `waitFulfill` in the
  /// same transaction, so it is not found again.
  public static func dueToStart(_ now: Timestamp, in session: any Session) throws -> [Lease] {
    var query = select()
    query.append(
      "AND status = 'created' AND start_time <= ? AND end_time > ? ORDER BY start_time, created_at", Value(now),
      Value(now))
    return try session.query(query) { lease($0) }
  }
  /// Leases whose time is over and whose end has not begun. Sub-leases come before their parents.
  public static func dueToEnd(_ now: Timestamp, in session: any Session) throws -> [Lease] {
    var query = select()
    query.append(
      "AND status IN ('created','active','wait fulfill','error') AND end_time <= ? ORDER BY parent_lease_uuid IS NULL, end_time",
      Value(now))
    return try session.query(query) { lease($0) }
  }
  /// When the timer has to look again: the first start, end of a lease or end of an offer that is to come, or was missed.
  public static func nextDue(in session: any Session) throws -> Timestamp? {
    let times = try session.query(
      """
      SELECT MIN(start_time) FROM leases WHERE status = 'created' \
      UNION ALL SELECT MIN(end_time) FROM leases WHERE status IN ('created','active','wait fulfill','error') \
      UNION ALL SELECT MIN(end_time) FROM offers WHERE status = 'available'
      """, []
    ) { $0.optionalTime(0) }
    return times.compactMap { $0 }.min()
  }
  /// The live sub-leases of a lease.
  public static func children(of uuid: String, in session: any Session) throws -> [Lease] {
    var filter = Filter()
    filter.parentUUID = uuid
    filter.statuses = Lease.Status.shownByDefault
    return try list(filter, in: session)
  }
}
