import Domain
import Wire

/// What happened to the switch ports of leased machines. Records are only ever added; the schema refuses a change.
public enum IsolationStore {
  /// Adds a record for the port's machine under the lease that holds it, or that is being taken back from it. Nothing is added for a machine
  /// that nobody leases, or a port that is no machine's.
  ///
  /// - Parameter label: the effect key "workflow/step" of who did it; when nil, it is the workflow that holds the machine or takes it back.
  public static func note(
    _ kind: IsolationRecord.Kind, at place: SwitchPort, label: String?, _ data: JSONObject, at now: Timestamp,
    in session: any Session
  ) throws {
    let parts = label?.split(separator: "/", maxSplits: 1).map { String($0) } ?? []
    try session.execute(
      """
      INSERT INTO isolation_records (lease_uuid, node_uuid, at, kind, switch_name, port, workflow, workflow_kind, step, data) \
      SELECT h.lease, h.node, $1, $2, $3, $4, h.workflow, (SELECT w.kind FROM workflows w WHERE w.id = h.workflow), $5, $6 FROM \
      (SELECT n.uuid AS node, \
      COALESCE(n.lease_uuid, (SELECT l.uuid FROM leases l WHERE l.resource_uuid = n.uuid AND l.resource_type = 'ironic_node' \
      AND l.status IN ('wait cancel','wait expire') AND NOT EXISTS (SELECT 1 FROM leases c WHERE c.parent_lease_uuid = l.uuid \
      AND c.status IN ('wait cancel','wait expire')) LIMIT 1)) AS lease, \
      COALESCE($7, (SELECT w.id FROM workflows w WHERE w.subject = n.uuid AND w.kind = 'end-lease' \
      AND w.state IN ('running','waiting','unwinding')), n.reservation) AS workflow \
      FROM ports p JOIN nodes n ON n.uuid = p.node_uuid WHERE p.switch_name = $3 AND p.switch_port = $4) h \
      WHERE h.lease IS NOT NULL
      """,
      [
        Value(now), .text(kind.rawValue), .text(place.switchName), .text(place.port),
        Value(parts.count == 2 ? parts[1] : nil), Value(data), Value(parts.count == 2 ? parts[0] : nil),
      ])
  }
  /// Everything of a lease, in order.
  public static func list(lease: String, in session: any Session) throws -> [IsolationRecord] {
    try session.query(
      """
      SELECT id, at, kind, switch_name, port, workflow, workflow_kind, step, data FROM isolation_records WHERE lease_uuid = $1 ORDER BY id
      """, [.text(lease)]
    ) { row in
      IsolationRecord(
        id: row.int(0), at: row.time(1), kind: IsolationRecord.Kind(rawValue: row.text(2)) ?? .failure,
        port: SwitchPort(switchName: row.text(3), port: row.text(4)), workflow: row.optionalText(5),
        workflowKind: row.optionalText(6), step: row.optionalText(7), data: row.object(8))
    }
  }
  /// Removes the records of leases that ended before `time`, and audits of before that no live lease needs.
  public static func prune(before time: Timestamp, in session: any Session) throws {
    try session.execute(
      """
      DELETE FROM isolation_records WHERE lease_uuid IN \
      (SELECT uuid FROM leases WHERE status IN ('deleted','expired') AND expire_time < $1)
      """, [Value(time)])
    try session.execute(
      """
      DELETE FROM switch_audits WHERE ended_at < $1 AND ended_at < COALESCE((SELECT MIN(l.fulfill_time) FROM leases l \
      WHERE l.status NOT IN ('deleted','expired')), $1)
      """, [Value(time)])
  }
}

/// What the audit of one switch reads and leaves.
public enum SwitchAuditStore {
  /// All ports of a switch were read at `now`: goes on with the run of audits under way, unless the last one was too long ago.
  /// - Parameter pause: the longest pause within one run.
  public static func record(_ name: String, at now: Timestamp, pause: Duration, in session: any Session) throws {
    let goesOn = try session.execute(
      """
      UPDATE switch_audits SET audits = audits + 1, longest_pause = \
      CASE WHEN $1 - ended_at > longest_pause THEN $1 - ended_at ELSE longest_pause END, ended_at = $1 \
      WHERE switch_name = $2 AND began_at = (SELECT MAX(began_at) FROM switch_audits WHERE switch_name = $2) \
      AND ended_at >= $3 AND ended_at <= $1
      """, [Value(now), .text(name), Value(now - pause)])
    if goesOn > 0 { return }
    try session.execute(
      """
      INSERT INTO switch_audits (switch_name, began_at, ended_at, audits, longest_pause) VALUES ($1, $2, $2, 1, 0) \
      ON CONFLICT (switch_name, began_at) DO UPDATE SET audits = switch_audits.audits + 1
      """,
      [.text(name), Value(now)])
  }
  /// The runs of a switch that touch a time, in order.
  public static func runs(_ name: String, during time: TimeRange, in session: any Session) throws -> [SwitchAuditRun] {
    try session.query(
      """
      SELECT switch_name, began_at, ended_at, audits, longest_pause FROM switch_audits \
      WHERE switch_name = $1 AND ended_at >= $2 AND began_at <= $3 ORDER BY began_at
      """, [.text(name), Value(time.start), Value(time.end)]
    ) { row in
      SwitchAuditRun(
        switchName: row.text(0), time: TimeRange(row.time(1), row.time(2)), count: row.int(3),
        longestPause: .microseconds(row.int(4)))
    }
  }
  /// When each switch was last read whole.
  public static func lastReads(in session: any Session) throws -> [String: Timestamp] {
    let rows = try session.query("SELECT switch_name, MAX(ended_at) FROM switch_audits GROUP BY switch_name", []) {
      ($0.text(0), $0.time(1))
    }
    return Dictionary(rows) { $1 }
  }
  /// Machines' ports on a switch that nobody has asked anything of yet: port and node.
  public static func unasked(on name: String, in session: any Session) throws -> [(port: String, node: String)] {
    try session.query(
      """
      SELECT p.switch_port, p.node_uuid FROM ports p WHERE p.switch_name = $1 AND p.switch_port IS NOT NULL AND NOT EXISTS \
      (SELECT 1 FROM switch_ports s WHERE s.switch_name = p.switch_name AND s.port = p.switch_port)
      """, [.text(name)]
    ) { ($0.text(0), $0.text(1)) }
  }
}
