import Cryptography
import Domain
import Wire

/// Agents in the ramdisk: who may claim, who has, and what they were told to do (docs/agent-protocol.md).
public enum AgentStore {
  // MARK: Session

  /// Lets one agent claim this node for this workflow; any session before it is over.
  ///
  /// Repeating it for the same workflow step makes a fresh token: a machine that is booted again claims again.
  /// - Returns: the boot token, which is shown once, in the boot script.
  /// - Parameter token: one that was shown before there was a node.
  public static func admit(
    node uuid: String, workflow: String, token: String? = nil, at now: Timestamp, in session: any Session
  ) throws {
    let token = token ?? Base64.urlText(randomBytes(32))
    try session.execute(
      """
      INSERT INTO agent_sessions (node_uuid, workflow, boot_token, boot_token_hash, created_at) VALUES ($1, $2, $3, $4, $5) \
      ON CONFLICT (node_uuid) DO UPDATE SET workflow = excluded.workflow, boot_token = excluded.boot_token, \
      boot_token_hash = excluded.boot_token_hash, session_hash = NULL, claimed_at = NULL, last_seen = NULL, created_at = excluded.created_at, \
      stand_by_until = NULL
      """,
      [.text(uuid), .text(workflow), .text(token), .text(Digest.sha256Hex(token)), Value(now)])
  }
  /// Ends the node's agent session, claimed or not.
  public static func dismiss(node uuid: String, in session: any Session) throws {
    try session.execute("DELETE FROM agent_sessions WHERE node_uuid = $1", [.text(uuid)])
  }
  /// What a NIC with this MAC should boot: the node and its unclaimed boot token; nil means its local disk.
  public static func boot(mac: String, in session: any Session) throws -> (node: String, token: String)? {
    try session.first(
      """
      SELECT s.node_uuid, s.boot_token FROM agent_sessions s JOIN ports p ON p.node_uuid = s.node_uuid \
      WHERE p.address = $1 AND s.boot_token IS NOT NULL
      """, [.text(mac)]
    ) { ($0.text(0), $0.text(1)) }
  }
  /// Uses the boot token up: from now on only whoever brings the same `secret` may repeat the claim (its answer may have
  /// been lost), and everybody else is refused.
  ///
  /// - Parameter secret: chosen by the agent; becomes the session token.
  /// - Returns: the node and its workflow; nil when the token is not waiting for this MAC's node.
  public static func claim(token: String, mac: String, secret: String, at now: Timestamp, in session: any Session)
    throws -> (
      node: String, workflow: String
    )?
  {
    let hash = Digest.sha256Hex(secret)
    return try session.query(
      """
      UPDATE agent_sessions SET boot_token = NULL, session_hash = $1, claimed_at = COALESCE(claimed_at, $2), last_seen = $2 \
      WHERE boot_token_hash = $3 AND (session_hash IS NULL OR session_hash = $1) \
      AND node_uuid = (SELECT node_uuid FROM ports WHERE address = $4) RETURNING node_uuid, workflow
      """,
      [.text(hash), Value(now), .text(Digest.sha256Hex(token)), .text(mac)]
    ) { ($0.text(0), $0.text(1)) }.first
  }
  /// The workflow that waits for a claim with this token from this MAC's node.
  public static func waiting(token: String, mac: String, in session: any Session) throws -> String? {
    try session.first(
      """
      SELECT workflow FROM agent_sessions WHERE boot_token_hash = $1 AND session_hash IS NULL \
      AND node_uuid = (SELECT node_uuid FROM ports WHERE address = $2)
      """, [.text(Digest.sha256Hex(token)), .text(mac)]
    ) { $0.text(0) }
  }
  /// The node and workflow of a session token; nil when the session is over.
  public static func holder(ofSession token: String, in session: any Session) throws -> (
    node: String, workflow: String
  )? {
    try session.first(
      "SELECT node_uuid, workflow FROM agent_sessions WHERE session_hash = $1", [.text(Digest.sha256Hex(token))]
    ) { ($0.text(0), $0.text(1)) }
  }
  /// When this workflow's agent claimed and when it last called; nil before it has.
  public static func seen(node uuid: String, workflow: String, in session: any Session) throws -> (
    claimed: Timestamp, last: Timestamp
  )? {
    try session.first(
      "SELECT claimed_at, last_seen FROM agent_sessions WHERE node_uuid = $1 AND workflow = $2 AND claimed_at IS NOT NULL",
      [.text(uuid), .text(workflow)]
    ) { ($0.time(0), $0.time(1)) }
  }
  public static func touch(node uuid: String, at now: Timestamp, in session: any Session) throws {
    try session.execute("UPDATE agent_sessions SET last_seen = $1 WHERE node_uuid = $2", [Value(now), .text(uuid)])
  }
  /// Sessions by node, of those that a workflow wanted: for the sweeper.
  public static func sessions(in session: any Session) throws -> [(node: String, workflow: String)] {
    try session.query("SELECT node_uuid, workflow FROM agent_sessions WHERE workflow <> ''", []) {
      ($0.text(0), $0.text(1))
    }
  }

  // MARK: Commands

  public struct Command: Sendable, Equatable {
    public enum State: String, Sendable { case pending, ok, failed }
    /// The effect key "workflow/step": the same step asks with the same id.
    public var id: String
    public var node: String
    public var workflow: String
    public var kind: String
    public var parameters: JSONObject
    public var state: State
    public var percent: Int
    public var message: String?
    public var remainingSeconds: Int?
    public var output: JSONObject
    public var error: String?
    public var updatedAt: Timestamp
  }
  private static func command(_ row: borrowing Row) -> Command {
    Command(
      id: row.text(0), node: row.text(1), workflow: row.text(2), kind: row.text(3), parameters: row.object(4),
      state: Command.State(rawValue: row.text(5)) ?? .failed, percent: row.int(6), message: row.optionalText(7),
      remainingSeconds: row.optionalInt(8), output: row.object(9), error: row.optionalText(10), updatedAt: row.time(11))
  }
  public static func command(_ id: String, in session: any Session) throws -> Command? {
    try session.first(
      """
      SELECT id, node_uuid, workflow, kind, parameters, state, percent, message, remaining_seconds, output, error, updated_at \
      FROM agent_commands WHERE id = $1
      """, [.text(id)]
    ) { command($0) }
  }
  /// The oldest command of this workflow that has no result yet.
  public static func pending(node uuid: String, workflow: String, in session: any Session) throws -> Command? {
    try session.first(
      """
      SELECT id, node_uuid, workflow, kind, parameters, state, percent, message, remaining_seconds, output, error, updated_at \
      FROM agent_commands WHERE node_uuid = $1 AND workflow = $2 AND state = 'pending' ORDER BY created_at LIMIT 1
      """, [.text(uuid), .text(workflow)]
    ) { command($0) }
  }
  /// Gives a command unless it was given already: the id is the effect key, so a step that runs twice asks once.
  public static func give(
    _ kind: String, _ parameters: JSONObject, id: String, node uuid: String, workflow: String, at now: Timestamp,
    in session: any Session
  ) throws {
    try session.execute(
      """
      INSERT INTO agent_commands (id, node_uuid, workflow, kind, parameters, state, created_at, updated_at) \
      VALUES ($1, $2, $3, $4, $5, 'pending', $6, $7) ON CONFLICT (id) DO NOTHING
      """, [.text(id), .text(uuid), .text(workflow), .text(kind), Value(parameters), Value(now), Value(now)])
  }
  /// - Returns: false when the command is not a pending one of this node.
  @discardableResult public static func progress(
    _ id: String, node uuid: String, percent: Int, message: String?, remaining: Int?, at now: Timestamp,
    in session: any Session
  ) throws -> Bool {
    try session.execute(
      """
      UPDATE agent_commands SET percent = $1, message = $2, remaining_seconds = $3, updated_at = $4 \
      WHERE id = $5 AND node_uuid = $6 AND state = 'pending'
      """, [.int(percent), Value(message), Value(remaining), Value(now), .text(id), .text(uuid)]) == 1
  }
  /// Records the result once; later ones change nothing.
  /// - Returns: false when the command is unknown for this node.
  @discardableResult public static func result(
    _ id: String, node uuid: String, error: String?, output: JSONObject, at now: Timestamp, in session: any Session
  ) throws -> Bool {
    try session.execute(
      """
      UPDATE agent_commands SET state = $1, error = $2, output = $3, percent = CASE WHEN $4 THEN 100 ELSE percent END, updated_at = $5 \
      WHERE id = $6 AND node_uuid = $7 AND state = 'pending'
      """,
      [
        .text(error == nil ? "ok" : "failed"), Value(error), Value(output), .bool(error == nil), Value(now), .text(id),
        .text(uuid),
      ])
    return try session.exists(
      "SELECT 1 FROM agent_commands WHERE id = $1 AND node_uuid = $2", [.text(id), .text(uuid)])
  }
  /// Forgets the commands of a workflow that has ended.
  public static func forget(workflow: String, in session: any Session) throws {
    try session.execute("DELETE FROM agent_commands WHERE workflow = $1", [.text(workflow)])
  }
}
