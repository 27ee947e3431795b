import Domain
import Wire

/// What happened to leases and offers, in order.
public enum EventStore {
  /// - Parameter verb: "fulfill.start", "delete.end"; the stored type is "esi_leap.lease.fulfill.start".
  public static func append(_ verb: String, lease: Lease, at now: Timestamp, in session: any Session) throws {
    try append(
      "esi_leap.lease.\(verb)", object: "lease", uuid: lease.uuid, resourceType: lease.resourceType,
      resourceUUID: lease.resourceUUID, lessee: lease.projectID, owner: lease.ownerID,
      resourceClass: lease.resourceClass, at: now, in: session)
  }
  public static func append(_ verb: String, offer: Offer, at now: Timestamp, in session: any Session) throws {
    try append(
      "esi_leap.offer.\(verb)", object: "offer", uuid: offer.uuid, resourceType: offer.resourceType,
      resourceUUID: offer.resourceUUID, lessee: offer.lesseeID, owner: offer.projectID,
      resourceClass: nil, at: now, in: session)
  }
  /// Something happened to a switch port: told to the machine's lessee and owner too.
  /// - Parameter verb: "drift"; the stored type is "steelyard.switch_port.drift".
  public static func append(
    _ verb: String, port: SwitchPort, detail: String, at now: Timestamp, in session: any Session
  ) throws {
    try session.execute(
      """
      INSERT INTO lease_events (event_type, event_time, object_type, object_uuid, resource_type, resource_uuid, lessee_id, owner_id, \
      resource_class, detail) SELECT $1, $2, 'switch_port', p.uuid, 'ironic_node', n.uuid, n.lessee, n.owner, n.resource_class, $3 \
      FROM ports p JOIN nodes n ON n.uuid = p.node_uuid WHERE p.switch_name = $4 AND p.switch_port = $5
      """,
      [
        .text("steelyard.switch_port.\(verb)"), Value(now), .text(detail), .text(port.switchName), .text(port.port),
      ])
  }
  /// Something happened to a whole switch: the administrators' business.
  /// - Parameter verb: "unreachable"; the stored type is "steelyard.switch.unreachable".
  public static func append(
    _ verb: String, switch name: String, detail: String, at now: Timestamp, in session: any Session
  )
    throws
  {
    try session.execute(
      """
      INSERT INTO lease_events (event_type, event_time, object_type, object_uuid, resource_type, resource_uuid, detail) \
      VALUES ($1, $2, 'switch', $3, 'switch', $3, $4)
      """, [.text("steelyard.switch.\(verb)"), Value(now), .text(name), .text(detail)])
  }
  private static func append(
    _ type: String, object: String, uuid: String, resourceType: String, resourceUUID: String, lessee: String?,
    owner: String, resourceClass: String?, at now: Timestamp, in session: any Session
  ) throws {
    try session.execute(
      """
      INSERT INTO lease_events (event_type, event_time, object_type, object_uuid, resource_type, resource_uuid, lessee_id, owner_id, \
      resource_class) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
      """,
      [
        .text(type), Value(now), .text(object), .text(uuid), .text(resourceType), .text(resourceUUID), Value(lessee),
        .text(owner), Value(resourceClass),
      ])
  }

  public struct Filter: Sendable {
    public var afterID: Int?
    public var after: Timestamp?
    /// Lessee or owner.
    public var partyID: String?
    public var type: String?
    public var resourceType: String?
    public var resourceUUID: String?
    public var objectUUID: String?
    public var limit: Int?
    public init() {}
  }
  /// The newest event's number; 0 when there is none.
  public static func lastID(in session: any Session) throws -> Int {
    try session.first("SELECT MAX(id) FROM lease_events", []) { $0.optionalInt(0) ?? 0 } ?? 0
  }
  /// In the order in which they happened.
  public static func list(_ filter: Filter, in session: any Session) throws -> [LeaseEvent] {
    try session.query(query(filter)) {
      LeaseEvent(
        id: $0.int(0), type: $0.text(1), at: $0.time(2), objectType: $0.text(3), objectUUID: $0.text(4),
        resourceType: $0.text(5), resourceUUID: $0.text(6), lesseeID: $0.optionalText(7), ownerID: $0.optionalText(8),
        resourceClass: $0.optionalText(9), detail: $0.optionalText(10))
    }
  }
  static func query(_ filter: Filter) -> Query {
    var query = Query(
      """
      SELECT id, event_type, event_time, object_type, object_uuid, resource_type, resource_uuid, lessee_id, owner_id, \
      resource_class, detail FROM lease_events WHERE 1 = 1
      """)
    if let value = filter.afterID { query.append("AND id > ?", .int(value)) }
    if let value = filter.after { query.append("AND event_time > ?", Value(value)) }
    if let value = filter.partyID { query.append("AND (lessee_id = ? OR owner_id = ?)", .text(value), .text(value)) }
    if let value = filter.type { query.append("AND event_type = ?", .text(value)) }
    if let value = filter.resourceType { query.append("AND resource_type = ?", .text(value)) }
    if let value = filter.resourceUUID { query.append("AND resource_uuid = ?", .text(value)) }
    if let value = filter.objectUUID { query.append("AND object_uuid = ?", .text(value)) }
    query.append("ORDER BY id")
    if let value = filter.limit { query.append("LIMIT ?", .int(value)) }
    return query
  }
}
