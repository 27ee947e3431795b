import Domain
import Wire

/// What each switch port should carry: the intent is written first, the switch follows, the reconciler compares.
public enum SwitchPortStore {
  public struct Intent: Sendable, Equatable {
    public enum State: String, Sendable {
      case pending
      case inForce = "in force"
      case error
    }
    public var port: SwitchPort
    public var configuration: PortConfiguration
    /// The effect key of the workflow step that wants it; nil at rest.
    public var label: String?
    public var state: State
    /// The switch's own words when it is in error.
    public var detail: String?
    public var changedAt: Timestamp
    /// When a change of it was last read back from the switch; of audits, which read all ports, the switch's own record tells
    /// (``SwitchAuditStore``).
    public var observedAt: Timestamp?
  }
  private static func intent(_ row: borrowing Row) -> Intent {
    Intent(
      port: SwitchPort(switchName: row.text(0), port: row.text(1)),
      configuration: PortConfiguration(
        native: row.optionalInt(2), tagged: row.json(3).array?.compactMap(\.int) ?? [],
        accessLists: accessLists(row.json(9))),
      label: row.optionalText(4), state: Intent.State(rawValue: row.text(5)) ?? .error, detail: row.optionalText(6),
      changedAt: row.time(7), observedAt: row.optionalTime(8))
  }
  /// By VLAN. One that cannot be read keeps its VLAN shut: a list that lets nothing pass.
  private static func accessLists(_ json: JSON) -> [Int: AccessList] {
    var lists: [Int: AccessList] = [:]
    for member in json.object ?? [:] {
      guard let vlan = Int(member.key) else { continue }
      lists[vlan] = AccessList(json: member.value) ?? AccessList(sources: [], rules: [])
    }
    return lists
  }
  private static func acl(_ lists: [Int: AccessList]) -> JSON {
    var object = JSONObject()
    for (vlan, list) in lists.sorted(by: { $0.key < $1.key }) { object["\(vlan)"] = list.json }
    return .object(object)
  }
  public static func get(_ port: SwitchPort, in session: any Session) throws -> Intent? {
    try session.first(
      "SELECT switch_name, port, native, tagged, label, state, detail, changed_at, observed_at, acl FROM switch_ports WHERE switch_name = $1 AND port = $2",
      [.text(port.switchName), .text(port.port)]
    ) { intent($0) }
  }
  public static func list(in session: any Session) throws -> [Intent] {
    try session.query(
      "SELECT switch_name, port, native, tagged, label, state, detail, changed_at, observed_at, acl FROM switch_ports ORDER BY switch_name, port",
      []
    ) { intent($0) }
  }
  /// What every port of one switch should carry.
  public static func list(switch name: String, in session: any Session) throws -> [Intent] {
    try session.query(
      "SELECT switch_name, port, native, tagged, label, state, detail, changed_at, observed_at, acl FROM switch_ports WHERE switch_name = $1 ORDER BY port",
      [.text(name)]
    ) { intent($0) }
  }
  /// Writes what the port should carry from now on; it is `pending` until ``record(_:_:detail:at:in:)`` says otherwise.
  public static func want(
    _ configuration: PortConfiguration, on port: SwitchPort, label: String?, at now: Timestamp, in session: any Session
  ) throws {
    try session.execute(
      """
      INSERT INTO switch_ports (switch_name, port, native, tagged, label, state, changed_at, acl) \
      VALUES ($1, $2, $3, $4, $5, 'pending', $6, $7) \
      ON CONFLICT (switch_name, port) DO UPDATE SET native = excluded.native, tagged = excluded.tagged, label = excluded.label, \
      acl = excluded.acl, state = 'pending', detail = NULL, changed_at = excluded.changed_at
      """,
      [
        .text(port.switchName), .text(port.port), Value(configuration.native),
        Value(JSON.array(configuration.tagged.map { .int($0) })), Value(label), Value(now),
        Value(acl(configuration.accessLists)),
      ])
  }
  public static func record(
    _ state: Intent.State, _ port: SwitchPort, detail: String?, at now: Timestamp, in session: any Session
  ) throws {
    try session.execute(
      "UPDATE switch_ports SET state = $1, detail = $2, observed_at = $3 WHERE switch_name = $4 AND port = $5",
      [.text(state.rawValue), Value(detail), Value(now), .text(port.switchName), .text(port.port)])
  }
  public static func forget(_ port: SwitchPort, in session: any Session) throws {
    try session.execute(
      "DELETE FROM switch_ports WHERE switch_name = $1 AND port = $2", [.text(port.switchName), .text(port.port)])
  }
}
