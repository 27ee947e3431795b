import Domain
import Wire

/// Which part of a node's history is read.
public struct NodeEventFilter: Sendable {
  public var node: String
  public var isOldestFirst = false
  /// Begins after the event with this ``NodeStore/Event/sequence``.
  public var after: Int?
  public var limit = 300

  public init(node: String) { self.node = node }
}

extension NodeStore {
  /// One line of a node's history. Source: Ironic API reference v1, "Node history".
  public struct Event: Sendable, Equatable {
    public var uuid: String
    /// Grows with each event of the site.
    public var sequence: Int
    public var event: String
    /// "provision", "power", "lease", …
    public var type: String
    /// "INFO" or "ERROR".
    public var severity: String
    public var userID: String?
    public var at: Timestamp
    /// The node's provision state when it was recorded; nil in a history written by an older version.
    public var state: String?
    public var targetState: String?
    /// How long that took which it tells the end of; nil for what has no beginning.
    public var milliseconds: Int?
  }

  /// Records an event, with the node's state as it is in this transaction.
  /// - Parameter began: when that began which the event tells the end of.
  public static func addEvent(
    _ event: String, type: String, severity: String = "INFO", user: String? = nil, of uuid: String, at now: Timestamp,
    since began: Timestamp? = nil, in session: any Session
  ) throws {
    let took = began.map { max(0, now.microseconds - $0.microseconds) / 1000 }
    try session.execute(
      """
      INSERT INTO node_events (node_uuid, uuid, event, event_type, severity, user_id, at, duration_milliseconds, state, \
      target_provision_state) SELECT uuid, $1, $2, $3, $4, $5, $6, $7, provision_state, target_provision_state FROM nodes \
      WHERE uuid = $8
      """,
      [
        .text(Identifier.uuid()), .text(event), .text(type), .text(severity), Value(user), Value(now), Value(took),
        .text(uuid),
      ])
  }

  private static func event(_ row: borrowing Row) -> Event {
    Event(
      uuid: row.text(0), sequence: row.int(1), event: row.text(2), type: row.text(3), severity: row.text(4),
      userID: row.optionalText(5), at: row.time(6), state: row.optionalText(7), targetState: row.optionalText(8),
      milliseconds: row.optionalInt(9))
  }
  public static func events(_ filter: NodeEventFilter, in session: any Session) throws -> [Event] {
    var query = Query(
      """
      SELECT uuid, seq, event, event_type, severity, user_id, at, state, target_provision_state, duration_milliseconds \
      FROM node_events
      """)
    query.append("WHERE node_uuid = ?", .text(filter.node))
    if let after = filter.after {
      query.append(filter.isOldestFirst ? "AND seq > ?" as StaticString : "AND seq < ?", .int(after))
    }
    query.append(filter.isOldestFirst ? "ORDER BY seq" as StaticString : "ORDER BY seq DESC")
    query.append("LIMIT ?", .int(filter.limit))
    return try session.query(query) { event($0) }
  }
  public static func event(_ id: String, of uuid: String, in session: any Session) throws -> Event? {
    try session.first(
      """
      SELECT uuid, seq, event, event_type, severity, user_id, at, state, target_provision_state, duration_milliseconds \
      FROM node_events WHERE uuid = $1 AND node_uuid = $2
      """, [.text(id), .text(uuid)]
    ) { event($0) }
  }
}
