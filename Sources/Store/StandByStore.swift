import Domain
import Wire

/// Machines whose agent stands by: cleaned, on, in quarantine, and of no workflow until a deployment takes them
/// (decision 0027).
///
/// It is a state of the agent's session. While there is such a row the machine may run the agent, so no tenant's network is put on
/// its ports; when it is not to be trusted any more its secret is void at once, and the row goes when the machine is off.
public enum StandByStore {
  public struct StandBy: Sendable, Equatable {
    /// The deployment that has taken the machine; nil while nobody has.
    public var workflow: String?
    /// When the agent switches the machine off by itself, or a little before.
    public var until: Timestamp
    /// False when the secret is void: the machine is to be switched off before anything else is done to it.
    public var isTrusted: Bool
    /// Whether it has called since a deployment took it.
    public var hasCalled: Bool
  }
  public static func get(node uuid: String, in session: any Session) throws -> StandBy? {
    try session.first(
      """
      SELECT workflow, stand_by_until, session_hash IS NOT NULL, claimed_at IS NOT NULL FROM agent_sessions \
      WHERE node_uuid = $1 AND stand_by_until IS NOT NULL
      """, [.text(uuid)]
    ) { row in
      let workflow = row.text(0)
      return StandBy(
        workflow: workflow.isEmpty ? nil : workflow, until: row.time(1), isTrusted: row.bool(2),
        hasCalled: !workflow.isEmpty && row.bool(3))
    }
  }
  /// Whether the machine stands by for nobody yet, trusted or not.
  public static func isWaiting(node uuid: String, in session: any Session) throws -> Bool {
    try session.exists(
      "SELECT 1 FROM agent_sessions WHERE node_uuid = $1 AND stand_by_until IS NOT NULL AND workflow = ''",
      [.text(uuid)]
    )
  }
  /// Machines that a deployment can have as they are.
  public static func ready(at now: Timestamp, in session: any Session) throws -> Set<String> {
    Set(
      try session.query(
        """
        SELECT node_uuid FROM agent_sessions WHERE stand_by_until > $1 AND workflow = '' AND session_hash IS NOT NULL
        """, [Value(now)]
      ) { $0.text(0) })
  }
  /// Machines that stand by for nobody and are to be switched off: not trusted any more, or for too long.
  public static func over(at now: Timestamp, in session: any Session) throws -> [String] {
    try session.query(
      """
      SELECT node_uuid FROM agent_sessions WHERE stand_by_until IS NOT NULL AND workflow = '' \
      AND (session_hash IS NULL OR stand_by_until <= $1) ORDER BY node_uuid
      """, [Value(now)]
    ) { $0.text(0) }
  }

  /// The workflow's agent stands by from now on.
  public static func begin(node uuid: String, workflow: String, until: Timestamp, in session: any Session) throws {
    try session.execute(
      """
      UPDATE agent_sessions SET workflow = '', stand_by_until = $1 \
      WHERE node_uuid = $2 AND workflow = $3 AND session_hash IS NOT NULL
      """, [Value(until), .text(uuid), .text(workflow)])
  }
  /// Hands the machine over to a deployment; done before: nothing happens.
  /// - Returns: false when it does not stand by, or cannot be trusted.
  public static func take(node uuid: String, workflow: String, at now: Timestamp, in session: any Session) throws
    -> Bool
  {
    try session.execute(
      """
      UPDATE agent_sessions SET workflow = $1, claimed_at = NULL, last_seen = NULL \
      WHERE node_uuid = $2 AND workflow = '' AND session_hash IS NOT NULL AND stand_by_until > $3
      """, [.text(workflow), .text(uuid), Value(now)])
    guard let stands = try get(node: uuid, in: session) else { return false }
    return stands.workflow == workflow && stands.isTrusted
  }
  /// Notes the first call of an agent that was handed over.
  /// - Returns: whether it was that.
  public static func called(node uuid: String, workflow: String, at now: Timestamp, in session: any Session) throws
    -> Bool
  {
    try session.execute(
      """
      UPDATE agent_sessions SET claimed_at = $1, last_seen = $1 WHERE node_uuid = $2 AND workflow = $3 \
      AND claimed_at IS NULL AND session_hash IS NOT NULL AND stand_by_until IS NOT NULL
      """, [Value(now), .text(uuid), .text(workflow)]) == 1
  }

  /// Makes the agent's secret void: whatever it asks from now on is answered that its session is over.
  /// - Returns: false when the machine does not stand by.
  @discardableResult public static func distrust(node uuid: String, in session: any Session) throws -> Bool {
    try session.execute(
      """
      UPDATE agent_sessions SET session_hash = NULL, boot_token = NULL, boot_token_hash = NULL \
      WHERE node_uuid = $1 AND stand_by_until IS NOT NULL
      """, [.text(uuid)]) == 1
  }
  /// The machine was seen off: nothing stands by there.
  public static func forget(node uuid: String, in session: any Session) throws {
    try session.execute(
      "DELETE FROM agent_sessions WHERE node_uuid = $1 AND stand_by_until IS NOT NULL", [.text(uuid)])
  }
}
