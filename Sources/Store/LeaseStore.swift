import Domain
import Wire

/// Leases. Two that hold one resource at the same time cannot be stored (see the migrations).
///
/// Conditions on the status are literals where an index is partial: SQLite takes such an index only for a condition that
/// it can read.
public enum LeaseStore {
  /// The columns of ``rows(_:in:_:)``, by place.
  public enum Column {
    public static let uuid = 0
    public static let name = 1
    public static let projectID = 2
    public static let ownerID = 3
    public static let resourceType = 4
    public static let resourceUUID = 5
    public static let startTime = 6
    public static let endTime = 7
    public static let fulfilTime = 8
    public static let expireTime = 9
    public static let status = 10
    public static let properties = 11
    public static let purpose = 12
    public static let offerUUID = 13
    public static let parentUUID = 14
    public static let createdAt = 15
    public static let resourceClass = 16
    public static let statusReason = 17
    public static let noticeAt = 18
  }
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
    lease.resourceClass = row.optionalText(16)
    lease.statusReason = row.optionalText(17)
    lease.noticeAt = row.optionalTime(18)
    return lease
  }
  private static func select() -> Query {
    Query(
      """
      SELECT uuid, name, project_id, owner_id, resource_type, resource_uuid, start_time, end_time, fulfill_time, expire_time, \
      status, properties, purpose, offer_uuid, parent_lease_uuid, created_at, resource_class, status_reason, notice_at \
      FROM leases WHERE 1 = 1
      """)
  }

  /// What narrows a list; nil narrows nothing.
  public struct Filter: Sendable {
    /// Which states count.
    public enum Statuses: Sendable, Equatable {
      case all
      /// ``Lease/Status/isLive``.
      case live
      case only([Lease.Status])
    }
    public var uuid: String?
    public var name: String?
    public var projectID: String?
    public var ownerID: String?
    /// Lessee or owner.
    public var partyID: String?
    public var statuses = Statuses.all
    public var offerUUID: String?
    public var parentUUID: String?
    public var resourceType: String?
    public var resourceUUID: String?
    /// The node's class now; of other resources, that at the lease's beginning.
    public var resourceClass: String?
    public var purpose: String?
    /// Leases that intersect it.
    public var during: TimeRange?
    /// The last lease of the page before.
    public var marker: String?
    public var limit: Int?
    public init() {}
  }

  static func query(_ filter: Filter) -> Query {
    var query = select()
    if let value = filter.uuid { query.append("AND uuid = ?", .text(value)) }
    if let value = filter.name { query.append("AND name = ?", .text(value)) }
    if let value = filter.projectID { query.append("AND project_id = ?", .text(value)) }
    if let value = filter.ownerID { query.append("AND owner_id = ?", .text(value)) }
    if let value = filter.partyID {
      if filter.statuses == .live {
        // SQLite does not take the indexes of live leases for an OR, and would read all that the party ever had.
        query.append(
          """
          AND uuid IN (SELECT uuid FROM leases WHERE project_id = ? AND status NOT IN ('deleted','expired') \
          UNION SELECT uuid FROM leases WHERE owner_id = ? AND status NOT IN ('deleted','expired'))
          """, .text(value), .text(value))
      } else {
        query.append("AND (project_id = ? OR owner_id = ?)", .text(value), .text(value))
      }
    }
    switch filter.statuses {
    case .all: break
    case .live: query.append("AND status NOT IN ('deleted','expired')")
    case .only(let statuses): query.appendIn("AND status IN", statuses.map { .text($0.rawValue) })
    }
    if let value = filter.offerUUID { query.append("AND offer_uuid = ?", .text(value)) }
    if let value = filter.parentUUID { query.append("AND parent_lease_uuid = ?", .text(value)) }
    if let value = filter.resourceType { query.append("AND resource_type = ?", .text(value)) }
    if let value = filter.resourceUUID { query.append("AND resource_uuid = ?", .text(value)) }
    if let value = filter.resourceClass {
      query.append(
        "AND COALESCE((SELECT n.resource_class FROM nodes n WHERE n.uuid = resource_uuid), resource_class, '') = ?",
        .text(value))
    }
    if let value = filter.purpose { query.append("AND purpose = ?", .text(value)) }
    if let value = filter.during {
      query.append("AND start_time < ? AND end_time > ?", Value(value.end), Value(value.start))
    }
    if let value = filter.marker {
      query.append(
        "AND (created_at, uuid) > (SELECT m.created_at, m.uuid FROM leases m WHERE m.uuid = ?)", .text(value))
    }
    query.append("ORDER BY created_at, uuid")
    if let value = filter.limit { query.append("LIMIT ?", .int(value)) }
    return query
  }

  public static func get(_ uuid: String, in session: any Session) throws -> Lease? {
    var filter = Filter()
    filter.uuid = uuid
    return try list(filter, in: session).first
  }
  /// In the order in which they were made.
  public static func list(_ filter: Filter, in session: any Session) throws -> [Lease] {
    try session.query(query(filter)) { lease($0) }
  }
  /// The same, each row as it is read (``Column``): a list of ten thousand must not become ten thousand objects first.
  public static func rows(_ filter: Filter, in session: any Session, _ body: (borrowing Row) throws -> Void) throws {
    _ = try session.query(query(filter)) { try body($0) }
  }

  // MARK: Room

  /// What a lease or offer stands beside: those on the same resource, out of the same lease.
  public struct Place: Sendable, Equatable {
    public var resourceType: String
    public var resourceUUID: String
    public var parentUUID: String?
    public init(resourceType: String, resourceUUID: String, parentUUID: String?) {
      self.resourceType = resourceType
      self.resourceUUID = resourceUUID
      self.parentUUID = parentUUID
    }
    public init(_ lease: Lease) {
      self.init(resourceType: lease.resourceType, resourceUUID: lease.resourceUUID, parentUUID: lease.parentUUID)
    }
    public init(_ offer: Offer) {
      self.init(resourceType: offer.resourceType, resourceUUID: offer.resourceUUID, parentUUID: offer.parentUUID)
    }
  }
  /// The first live lease at `place` that ends after `time`, but not `except`: because live ones never overlap, the only
  /// one that can be in the way of one that starts then.
  public static func first(
    at place: Place, endingAfter time: Timestamp, except uuid: String? = nil, in session: any Session
  ) throws -> Lease? {
    try session.query(firstQuery(at: place, endingAfter: time, except: uuid)) { lease($0) }.first
  }
  static func firstQuery(at place: Place, endingAfter time: Timestamp, except uuid: String?) -> Query {
    var query = room(place)
    query.append("AND end_time > ?", Value(time))
    if let uuid { query.append("AND uuid <> ?", .text(uuid)) }
    query.append("ORDER BY end_time LIMIT 1")
    return query
  }
  private static func room(_ place: Place) -> Query {
    var query = select()
    query.append(
      "AND resource_uuid = ? AND resource_type = ? AND COALESCE(parent_lease_uuid, '') = ?", .text(place.resourceUUID),
      .text(place.resourceType), .text(place.parentUUID ?? ""))
    query.append("AND status NOT IN ('deleted','expired')")
    return query
  }
  /// When `place` is taken within `span`, in order.
  ///
  /// Because live leases never overlap, only one can reach beyond the end of the span: those that begin later are not read.
  public static func taken(at place: Place, within span: TimeRange, in session: any Session) throws -> [TimeRange] {
    let inside = try session.query(takenQuery(at: place, within: span)) { TimeRange($0.time(6), $0.time(7)) }
    guard let last = try first(at: place, endingAfter: span.end, in: session), last.time.start < span.end else {
      return inside
    }
    return inside + [last.time]
  }
  /// Those that end within the span.
  static func takenQuery(at place: Place, within span: TimeRange) -> Query {
    var query = room(place)
    query.append("AND end_time > ? AND end_time <= ? ORDER BY end_time", Value(span.start), Value(span.end))
    return query
  }
  public static func isFree(
    _ range: TimeRange, at place: Place, except uuid: String? = nil, in session: any Session
  ) throws -> Bool {
    guard let next = try first(at: place, endingAfter: range.start, except: uuid, in: session) else { return true }
    return next.time.start >= range.end
  }

  // MARK: Changes

  /// - Throws: ``StoreError`` `.conflict` when it overlaps another live lease of the resource, or leaves its parent.
  public static func insert(_ lease: Lease, in session: any Session) throws {
    try session.execute(
      """
      INSERT INTO leases (uuid, name, project_id, owner_id, resource_type, resource_uuid, start_time, end_time, fulfill_time, \
      expire_time, status, properties, purpose, offer_uuid, parent_lease_uuid, created_at, resource_class, status_reason, \
      notice_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
      """,
      [
        .text(lease.uuid), Value(lease.name), .text(lease.projectID), .text(lease.ownerID), .text(lease.resourceType),
        .text(lease.resourceUUID), Value(lease.time.start), Value(lease.time.end), Value(lease.fulfilledAt),
        Value(lease.endedAt), .text(lease.status.rawValue), Value(lease.properties), Value(lease.purpose),
        Value(lease.offerUUID), Value(lease.parentUUID), Value(lease.createdAt), Value(lease.resourceClass),
        Value(lease.statusReason), Value(lease.noticeAt),
      ])
  }
  /// Writes the status, and why it is so.
  public static func setStatus(
    _ status: Lease.Status, of uuid: String, reason: String? = nil, in session: any Session
  ) throws {
    try session.execute(
      "UPDATE leases SET status = $1, status_reason = $2 WHERE uuid = $3",
      [.text(status.rawValue), Value(reason), .text(uuid)])
  }
  /// Why a lease waits, while it waits.
  public static func setReason(_ reason: String?, of uuid: String, in session: any Session) throws {
    try session.execute(
      "UPDATE leases SET status_reason = $1 WHERE uuid = $2", [Value(reason), .text(uuid)])
  }
  /// The resource is the lessee's now: active, with the time.
  public static func setActive(_ uuid: String, at now: Timestamp, in session: any Session) throws {
    try session.execute(
      """
      UPDATE leases SET status = 'active', status_reason = NULL, fulfill_time = COALESCE(fulfill_time, $1) WHERE uuid = $2
      """, [Value(now), .text(uuid)])
  }
  /// The lessee's access has ended; the resource is being taken back.
  public static func setEnding(_ end: LeaseEnd, of uuid: String, at now: Timestamp, in session: any Session) throws {
    try session.execute(
      """
      UPDATE leases SET status = $1, status_reason = NULL, notice_at = NULL, expire_time = COALESCE(expire_time, $2) \
      WHERE uuid = $3
      """, [.text(end.waiting.rawValue), Value(now), .text(uuid)])
  }
  /// The resource was taken back, or was never handed over.
  /// - Throws: ``StoreError`` `.conflict` when a sub-lease of it is not over.
  public static func setEnded(_ end: LeaseEnd, of uuid: String, at now: Timestamp, in session: any Session) throws {
    try session.execute(
      """
      UPDATE leases SET status = $1, status_reason = NULL, notice_at = NULL, expire_time = COALESCE(expire_time, $2) \
      WHERE uuid = $3
      """, [.text(end.final.rawValue), Value(now), .text(uuid)])
  }
  /// - Throws: ``StoreError`` `.conflict` when it then overlaps another, or leaves its parent, or a sub-lease leaves it.
  public static func setEnd(
    _ end: Timestamp, of uuid: String, noticeAt: Timestamp?, in session: any Session
  ) throws {
    try session.execute(
      "UPDATE leases SET end_time = $1, notice_at = $2 WHERE uuid = $3", [Value(end), Value(noticeAt), .text(uuid)])
  }
  public static func setNotice(_ time: Timestamp?, of uuid: String, in session: any Session) throws {
    try session.execute("UPDATE leases SET notice_at = $1 WHERE uuid = $2", [Value(time), .text(uuid)])
  }

  // MARK: The lease timer

  /// Leases to be started: created, and their time has come and not gone. Whoever starts one sets it to `waitFulfill` in the
  /// same transaction, so it is not found again. A sub-lease comes after the lease that it came out of.
  public static func dueToStart(_ now: Timestamp, limit: Int = 1000, in session: any Session) throws -> [String] {
    try session.query(dueToStartQuery(now, limit)) { $0.text(0) }
  }
  static func dueToStartQuery(_ now: Timestamp, _ limit: Int) -> Query {
    var query = Query("SELECT uuid FROM leases")
    query.append(
      "WHERE status = 'created' AND start_time <= ? AND end_time > ? ORDER BY start_time, created_at LIMIT ?",
      Value(now), Value(now), .int(limit))
    return query
  }
  /// Leases whose time is over and whose end has not begun, in the order of their ends.
  public static func dueToEnd(_ now: Timestamp, limit: Int = 1000, in session: any Session) throws -> [String] {
    try session.query(dueToEndQuery(now, limit)) { $0.text(0) }
  }
  static func dueToEndQuery(_ now: Timestamp, _ limit: Int) -> Query {
    var query = Query("SELECT uuid FROM leases")
    query.append(
      "WHERE status IN ('created','active','wait fulfill','error') AND end_time <= ? ORDER BY end_time LIMIT ?",
      Value(now), .int(limit))
    return query
  }
  /// Leases of which the parties are to be told that they will end.
  public static func dueToNotify(_ now: Timestamp, in session: any Session) throws -> [Lease] {
    try session.query(dueToNotifyQuery(now)) { lease($0) }
  }
  static func dueToNotifyQuery(_ now: Timestamp) -> Query {
    var query = select()
    query.append("AND notice_at IS NOT NULL AND notice_at <= ? ORDER BY notice_at", Value(now))
    return query
  }
  /// When the timer has to look again: the first start, end or notice of a lease or end of an offer that is to come, or was
  /// missed.
  public static func nextDue(in session: any Session) throws -> Timestamp? {
    let times = try session.query(nextDueQuery) { $0.optionalTime(0) }
    return times.compactMap { $0 }.min()
  }
  static let nextDueQuery = Query(
    """
    SELECT MIN(start_time) FROM leases WHERE status = 'created' \
    UNION ALL SELECT MIN(end_time) FROM leases WHERE status IN ('created','active','wait fulfill','error') \
    UNION ALL SELECT MIN(notice_at) FROM leases WHERE notice_at IS NOT NULL \
    UNION ALL SELECT MIN(end_time) FROM offers WHERE status = 'available'
    """)
  /// Leases that have begun, or are to, and that nobody has ended.
  public static func pending(in session: any Session) throws -> [Lease] {
    var query = select()
    query.append("AND status IN ('created','active','wait fulfill','error') ORDER BY end_time")
    return try session.query(query) { lease($0) }
  }
  /// The live sub-leases of a lease.
  public static func children(of uuid: String, in session: any Session) throws -> [Lease] {
    var filter = Filter()
    filter.parentUUID = uuid
    filter.statuses = .live
    return try list(filter, in: session)
  }
  /// How many leases one came out of, directly and indirectly.
  public static func depth(_ lease: Lease, in session: any Session) throws -> Int {
    var depth = 0
    var next = lease.parentUUID
    while let uuid = next {
      depth += 1
      next = try get(uuid, in: session)?.parentUUID
    }
    return depth
  }
  /// Leases whose resource is being taken back; of one resource, or of all.
  public static func ending(resource uuid: String? = nil, in session: any Session) throws -> [Lease] {
    try session.query(endingQuery(resource: uuid)) { lease($0) }
  }
  static func endingQuery(resource uuid: String?) -> Query {
    var query = select()
    query.append("AND status IN ('wait cancel','wait expire')")
    if let uuid { query.append("AND resource_uuid = ?", .text(uuid)) }
    // The plus keeps SQLite from reading all leases that ever were in the order of `leases_created`.
    query.append("ORDER BY +created_at, uuid")
    return query
  }
  /// Active leases whose machine is broken, and leases that say so of a machine that is whole again.
  public static func misjudged(in session: any Session) throws -> (broken: [String], repaired: [String]) {
    (
      try session.query(brokenQuery) { $0.text(0) }, try session.query(repairedQuery) { $0.text(0) }
    )
  }
  static let brokenQuery = Query(
    """
    SELECT l.uuid FROM nodes n JOIN leases l ON l.uuid = n.lease_uuid \
    WHERE (n.fault IS NOT NULL OR n.provision_state = 'error') AND l.status = 'active'
    """)
  static let repairedQuery = Query(
    """
    SELECT l.uuid FROM leases l JOIN nodes n ON n.uuid = l.resource_uuid \
    WHERE l.status = 'error' AND NOT (n.fault IS NOT NULL OR n.provision_state = 'error')
    """)
}
