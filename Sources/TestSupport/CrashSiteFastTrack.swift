import Conductor
import Cryptography
import Domain
import Store
import Wire

/// The scenes of the crash tests that are about machines that stand by for their deployment.
extension CrashSite {
  static let standingToken = String(repeating: "t", count: 43)
  public static let standingSecret = String(repeating: "s", count: 43)

  /// A cleaning has left the agent up, in quarantine.
  func seedStandBy() throws {
    try world.ensure("disk/n1", "zeros")
    try world.ensure("runs/n1", "agent")
    try world.ensure("agent/n1", "\(Self.standingToken) \(Self.standingSecret)")
    try world.ensure("stands-by/n1", "yes")
  }
  func insertStandBy(
    until end: Timestamp = CrashSite.now() + .seconds(3600), at now: Timestamp, in session: any Session
  ) throws {
    let workflow = Identifier.uuid()
    try AgentStore.admit(node: Self.node, workflow: workflow, token: Self.standingToken, at: now, in: session)
    _ = try AgentStore.claim(
      token: Self.standingToken, mac: Self.mac, secret: Self.standingSecret, at: now, in: session)
    try StandByStore.begin(node: Self.node, workflow: workflow, until: end, in: session)
  }
  /// The same with a machine that is `available`, and off.
  public func standBy(until end: Timestamp = CrashSite.now() + .seconds(3600)) async throws {
    try world.ensure("power/n1", "power on")
    try seedStandBy()
    try await database.write { session in
      let now = Self.now()
      try insertStandBy(until: end, at: now, in: session)
      try NodeStore.setObservedPower(.on, of: Self.node, at: now, in: session)
    }
  }
}
