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
    public var uuid: String?
    public var name: String?
    public var projectID: String?
    public var statuses: [Offer.Status]?
    public var parentUUID: String?
    public var resourceType: String?
    public var resourceUUID: String?
    /// Offers that cover all of it.
    public var covering: TimeRange?
    public init() {}
  }

  public static func get(_ uuid: String, in session: any Session) throws -> Offer? {
    var filter = Filter()
    filter.uuid = uuid
    return try list(filter, in: session).first
  }
  public static func list(_ filter: Filter, in session: any Session) throws -> [Offer] {
    var query = select()
    if let value = filter.uuid { query.append("AND uuid = ?", .text(value)) }
    if let value = filter.name { query.append("AND name = ?", .text(value)) }
    if let value = filter.projectID { query.append("AND project_id = ?", .text(value)) }
    if let value = filter.statuses { query.appendIn("AND status IN", value.map { .text($0.rawValue) }) }
    if let value = filter.parentUUID { query.append("AND parent_lease_uuid = ?", .text(value)) }
    if let value = filter.resourceType { query.append("AND resource_type = ?", .text(value)) }
    if let value = filter.resourceUUID { query.append("AND resource_uuid = ?", .text(value)) }
    if let value = filter.covering {
      query.append("AND start_time <= ? AND end_time >= ?", Value(value.start), Value(value.end))
    }
    query.append("ORDER BY created_at, uuid")
    return try session.query(query) { offer($0) }
  }
  /// The available offers of a resource with the same parent (nil: with none) that overlap `range`.
  public static func conflicts(
    resource: String, type: String = Lease.defaultResourceType, parent: String?, with range: TimeRange,
    in session: any Session
  ) throws -> [Offer] {
    var filter = Filter()
    filter.resourceUUID = resource
    filter.resourceType = type
    filter.statuses = [.available]
    return try list(filter, in: session).filter { $0.parentUUID == parent && $0.time.overlaps(range) }
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
