import Store
import Wire

/// A stored workflow.
public struct WorkflowRecord: Sendable, Equatable {
  public enum State: String, Sendable, CaseIterable {
    case running, waiting, unwinding, done, undone, stuck
    public var isOpen: Bool { self != .done && self != .undone }
  }
  public var id: String
  public var kind: String
  public var version: Int
  public var subject: String
  public var params: JSONObject
  public var state: State
  /// Why it is tried again, unwound or was undone.
  public var reason: Reason?
  public var epoch: Int
  public var wakeAt: Timestamp?
  public var wakeOn: String?
  public var attempt: Int
  /// Why someone wants it to stop; it unwinds at its next step.
  public var cancelRequested: String?
  public var project: String?
  public var requestID: String?
  public var createdAt: Timestamp
  public var updatedAt: Timestamp
}

/// One line of a workflow's append-only log.
public struct WorkflowEvent: Sendable, Equatable {
  public enum Kind: String, Sendable {
    case started, succeeded, failed, undone, `operator`
    case undoStarted = "undo_started"
    case undoFailed = "undo_failed"
  }
  public var sequence: Int
  public var step: String
  public var kind: Kind
  public var attempt: Int
  public var data: String?
  public var at: Timestamp
}

/// The workflow tables. Every write of a runner is conditional on its epoch.
public enum WorkflowStore {
  private static func record(_ row: borrowing Row) -> WorkflowRecord {
    WorkflowRecord(
      id: row.text(0), kind: row.text(1), version: row.int(2), subject: row.text(3), params: row.object(4),
      state: WorkflowRecord.State(rawValue: row.text(5)) ?? .stuck,
      reason: row.optionalText(6).map { Reason(row.optionalText(16) ?? $0, detail: $0) }, epoch: row.int(7),
      wakeAt: row.optionalTime(8), wakeOn: row.optionalText(9), attempt: row.int(10),
      cancelRequested: row.optionalText(11),
      project: row.optionalText(12), requestID: row.optionalText(13), createdAt: row.time(14), updatedAt: row.time(15))
  }
  public static func list(in session: any Session, _ narrow: (inout Query) -> Void = { _ in }) throws
    -> [WorkflowRecord]
  {
    var query = Query(
      """
      SELECT id, kind, version, subject, params, state, error, epoch, wake_at, wake_on, attempt, cancel_requested, project, request_id, \
      created_at, updated_at, error_sentence FROM workflows
      """)
    narrow(&query)
    return try session.query(query) { record($0) }
  }
  public static func get(_ id: String, in session: any Session) throws -> WorkflowRecord? {
    try list(in: session) { $0.append("WHERE id = ?", .text(id)) }.first
  }
  public static func open(in session: any Session) throws -> [WorkflowRecord] {
    try list(in: session) { $0.append("WHERE state IN ('running','waiting','unwinding','stuck') ORDER BY created_at") }
  }
  public static func open(subject: String, in session: any Session) throws -> [WorkflowRecord] {
    try list(in: session) { query in
      query.append("WHERE subject = ?", .text(subject))
      query.append("AND state IN ('running','waiting','unwinding','stuck') ORDER BY created_at")
    }
  }
  public static func events(of id: String, in session: any Session) throws -> [WorkflowEvent] {
    try session.query(
      "SELECT seq, step, kind, attempt, data, at FROM workflow_events WHERE workflow = $1 ORDER BY seq", [.text(id)]
    ) { row in
      WorkflowEvent(
        sequence: row.int(0), step: row.text(1), kind: WorkflowEvent.Kind(rawValue: row.text(2)) ?? .operator,
        attempt: row.int(3),
        data: row.optionalText(4), at: row.time(5))
    }
  }

  /// Inserts a workflow in the transaction of the change that asks for it.
  /// - Parameter id: chosen by the caller when the subject's reservation must carry it.
  @discardableResult public static func insert(
    _ definition: WorkflowDefinition, id: String = Identifier.uuid(), subject: String, params: JSONObject,
    project: String? = nil,
    requestID: String? = nil, at now: Timestamp, in session: any Session
  ) throws -> String {
    try session.execute(
      """
      INSERT INTO workflows (id, kind, version, subject, params, state, project, request_id, created_at, updated_at) \
      VALUES ($1, $2, $3, $4, $5, 'running', $6, $7, $8, $9)
      """,
      [
        .text(id), .text(definition.kind), .int(definition.version), .text(subject), Value(params), Value(project),
        Value(requestID),
        Value(now), Value(now),
      ])
    return id
  }

  /// Takes the workflow for this process; every earlier owner is fenced from now on.
  /// - Returns: the new epoch; nil when it has ended.
  static func claim(_ id: String, owner: String, at now: Timestamp, in session: any Session) throws -> Int? {
    try session.query(
      """
      UPDATE workflows SET owner = $1, epoch = epoch + 1, updated_at = $2 WHERE id = $3 AND state IN ('running','waiting','unwinding') \
      RETURNING epoch
      """, [.text(owner), Value(now), .text(id)]
    ) { $0.int(0) }.first
  }

  /// Changes the row if this epoch still owns it.
  /// - Throws: ``Fenced`` otherwise.
  static func set(
    _ id: String, epoch: Int, state: WorkflowRecord.State, reason: Reason?, wakeAt: Timestamp? = nil,
    wakeOn: String? = nil,
    attempt: Int = 0, at now: Timestamp, in session: any Session
  ) throws {
    let changed = try session.execute(
      """
      UPDATE workflows SET state = $1, error = $2, error_sentence = $3, wake_at = $4, wake_on = $5, attempt = $6, updated_at = $7 \
      WHERE id = $8 AND epoch = $9
      """,
      [
        .text(state.rawValue), Value(reason?.whole), Value(reason?.sentence), Value(wakeAt), Value(wakeOn),
        .int(attempt), Value(now), .text(id),
        .int(epoch),
      ])
    guard changed == 1 else { throw Fenced() }
  }
  static func append(
    _ kind: WorkflowEvent.Kind, step: String, attempt: Int = 0, data: String?, of id: String, epoch: Int,
    at now: Timestamp,
    in session: any Session
  ) throws {
    let changed = try session.execute(
      """
      INSERT INTO workflow_events (workflow, seq, step, kind, attempt, data, epoch, at) \
      SELECT $1, COALESCE((SELECT MAX(seq) FROM workflow_events WHERE workflow = $1), 0) + 1, $2, $3, $4, $5, $6, $7 \
      WHERE EXISTS (SELECT 1 FROM workflows WHERE id = $1 AND epoch = $6)
      """,
      [.text(id), .text(step), .text(kind.rawValue), .int(attempt), Value(data), .int(epoch), Value(now)])
    guard changed == 1 else { throw Fenced() }
  }

  /// Asks an open workflow to stop and unwind; it does so at its next step.
  /// - Returns: false when it has ended.
  @discardableResult public static func requestCancel(_ id: String, reason: String, in session: any Session) throws
    -> Bool
  {
    try session.execute(
      """
      UPDATE workflows SET cancel_requested = COALESCE(cancel_requested, $1) WHERE id = $2 AND state IN ('running','waiting','unwinding','stuck')
      """, [.text(reason), .text(id)]) == 1
  }
  static func cancelRequested(_ id: String, in session: any Session) throws -> String? {
    try session.query("SELECT cancel_requested FROM workflows WHERE id = $1", [.text(id)]) { $0.optionalText(0) }
      .first ?? nil
  }

  // MARK: The operator

  /// What an operator can do about a stuck workflow. Each is recorded in its log.
  public enum Intervention: Sendable {
    /// Try the failed undo again, from a fresh count.
    case retry
    /// Take the failed undo as done: the operator has done it by hand. What the API shows is still taken back.
    case skipStep
    /// End it as it is, with its last hook, so that its subject is free again; what it left outside is the operator's.
    case abandon
  }

  /// Records it; the runner acts on it.
  /// - Returns: false when the workflow is not stuck.
  public static func intervene(_ intervention: Intervention, in id: String, at now: Timestamp, session: any Session)
    throws -> Bool
  {
    guard let record = try get(id, in: session), record.state == .stuck else { return false }
    let failed = try events(of: id, in: session).last { $0.kind == .undoFailed }
    let word = intervention == .retry ? "retry" : intervention == .skipStep ? "skip-step" : "abandon"
    try append(.operator, step: failed?.step ?? "", data: word, of: id, epoch: record.epoch, at: now, in: session)
    try set(id, epoch: record.epoch, state: .unwinding, reason: record.reason, at: now, in: session)
    return true
  }

  /// Removes workflows that ended before `time`, with their logs.
  @discardableResult public static func prune(before time: Timestamp, in session: any Session) throws -> Int {
    try session.execute("DELETE FROM workflows WHERE state IN ('done','undone') AND updated_at < $1", [Value(time)])
  }
}
