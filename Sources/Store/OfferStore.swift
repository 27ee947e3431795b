import Domain
import Wire

/// Offers. Two available ones for one resource cannot overlap (see the migration).
public enum OfferStore {
  private static func offer(_ row: borrowing Row) -> Offer {
    Offer(
      uuid: row.text(0), name: row.optionalText(1), projectID: row.text(2), lesseeID: row.optionalText(3),
      resourceType: row.text(4), resourceUUID: row.text(5), time: TimeRange(row.time(6), row.time(7)),
      status: Offer.Status(rawValue: row.text(8)) ?? .error, properties: row.object(9),
      parentUUID: row.optionalText(10),
      createdAt: row.time(11))
  }
  private static func select() -> Query {
    Query(
      """
      SELECT uuid, name, project_id, lessee_id, resource_type, resource_uuid, start_time, end_time, status, properties, \
      parent_lease_uuid, created_at FROM offers WHERE 1 = 1
      """)
  }

  public struct Filter: Sendable {
    /// Which states count.
    public enum Statuses: Sendable, Equatable {
      case all
      /// What is on offer, and what should be.
      case open
      case only([Offer.Status])
    }
    public var uuid: String?
    public var name: String?
    public var projectID: String?
    public var statuses: Statuses = .all
    public var parentUUID: String?
    public var resourceType: String?
    public var resourceUUID: String?
    /// The node's class now.
    public var resourceClass: String?
    /// Offers that cover all of it.
    public var covering: TimeRange?
    /// The last offer of the page before.
    public var marker: String?
    public var limit: Int?
    public init() {}
  }

  public static func get(_ uuid: String, in session: any Session) throws -> Offer? {
    var filter = Filter()
    filter.uuid = uuid
    return try list(filter, in: session).first
  }
  /// In the order in which they were made.
  public static func list(_ filter: Filter, in session: any Session) throws -> [Offer] {
    try session.query(query(filter)) { offer($0) }
  }
  static func query(_ filter: Filter) -> Query {
    var query = select()
    if let value = filter.uuid { query.append("AND uuid = ?", .text(value)) }
    if let value = filter.name { query.append("AND name = ?", .text(value)) }
    if let value = filter.projectID { query.append("AND project_id = ?", .text(value)) }
    switch filter.statuses {
    case .all: break
    case .open: query.append("AND status IN ('available','error')")
    case .only(let statuses): query.appendIn("AND status IN", statuses.map { .text($0.rawValue) })
    }
    if let value = filter.parentUUID { query.append("AND parent_lease_uuid = ?", .text(value)) }
    if let value = filter.resourceType { query.append("AND resource_type = ?", .text(value)) }
    if let value = filter.resourceUUID { query.append("AND resource_uuid = ?", .text(value)) }
    if let value = filter.covering {
      query.append("AND start_time <= ? AND end_time >= ?", Value(value.start), Value(value.end))
    }
    if let value = filter.resourceClass {
      query.append(
        "AND COALESCE((SELECT n.resource_class FROM nodes n WHERE n.uuid = resource_uuid), '') = ?", .text(value))
    }
    if let value = filter.marker {
      query.append(
        "AND (created_at, uuid) > (SELECT m.created_at, m.uuid FROM offers m WHERE m.uuid = ?)", .text(value))
    }
    query.append("ORDER BY created_at, uuid")
    if let value = filter.limit { query.append("LIMIT ?", .int(value)) }
    return query
  }
  /// What is offered out of a lease.
  public static func open(parent uuid: String, in session: any Session) throws -> [Offer] {
    var filter = Filter()
    filter.parentUUID = uuid
    filter.statuses = .open
    return try list(filter, in: session)
  }
  /// The available offers at `place` that overlap `range`.
  public static func conflicts(at place: LeaseStore.Place, with range: TimeRange, in session: any Session) throws
    -> [Offer]
  {
    try session.query(conflictsQuery(at: place, with: range)) { offer($0) }
  }
  static func conflictsQuery(at place: LeaseStore.Place, with range: TimeRange) -> Query {
    var query = select()
    query.append(
      "AND resource_uuid = ? AND resource_type = ? AND status = 'available' AND COALESCE(parent_lease_uuid, '') = ?",
      .text(place.resourceUUID), .text(place.resourceType), .text(place.parentUUID ?? ""))
    query.append("AND start_time < ? AND end_time > ?", Value(range.end), Value(range.start))
    return query
  }
  /// - Throws: ``StoreError`` `.conflict` when it overlaps another available offer of the resource.
  public static func insert(_ offer: Offer, in session: any Session) throws {
    try session.execute(
      """
      INSERT INTO offers (uuid, name, project_id, lessee_id, resource_type, resource_uuid, start_time, end_time, status, \
      properties, parent_lease_uuid, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
      """,
      [
        .text(offer.uuid), Value(offer.name), .text(offer.projectID), Value(offer.lesseeID), .text(offer.resourceType),
        .text(offer.resourceUUID), Value(offer.time.start), Value(offer.time.end), .text(offer.status.rawValue),
        Value(offer.properties), Value(offer.parentUUID), Value(offer.createdAt),
      ])
  }
  public static func setStatus(_ status: Offer.Status, of uuid: String, in session: any Session) throws {
    try session.execute("UPDATE offers SET status = $1 WHERE uuid = $2", [.text(status.rawValue), .text(uuid)])
  }
  /// Available offers whose time is over. Their leases end no later than they do.
  public static func dueToExpire(_ now: Timestamp, in session: any Session) throws -> [Offer] {
    var query = select()
    query.append("AND status = 'available' AND end_time <= ? ORDER BY end_time", Value(now))
    return try session.query(query) { offer($0) }
  }
}
