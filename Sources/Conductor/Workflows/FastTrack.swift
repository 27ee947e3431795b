import Domain
import DriverInterfaces
import Store
import Wire
import Workflows

/// Machines that a cleaning leaves with the agent up, in quarantine, for the next deployment (decision 0027). Source: Ironic,
/// "Fast-Track Deployment".
///
/// What the database says of the agent's session (``StandByStore``) decides in every step, when it runs: a deployment that is cut
/// short anywhere takes the agent that stands by, or switches the machine off and boots it as ever. Params that say so:
enum FastTrack {
  /// Of a cleaning: for how many seconds the machine may stand by.
  static let seconds = "fast_track_seconds"
  /// Of a deployment: the machine stood by when it was asked for.
  static let takes = "fast_track"
  /// Of anything else: the machine stood by, and is switched off first.
  static let ends = "ends_fast_track"

  /// Workflows that end with a machine that is clean and available.
  fileprivate static let cleanings = ["clean-node", "undeploy-node", "end-lease", "shelve-node", "shelve-volume"]
  /// Workflows under which a machine goes on standing by: none of them does anything to it, and no network comes into force
  /// (``Parts/wantNetworks(_:node:label:in:)``).
  fileprivate static let bystanders = ["start-lease", "attach-network", "detach-network"]
}

extension Conductor {
  /// A machine stands by no more, and nothing else is wanted of it: the step that every workflow begins with then is all
  /// (``Parts/endingFastTrack(_:)``).
  static func endFastTrack(_ parts: Parts) -> WorkflowDefinition {
    @Sendable func end(_ context: StepContext, _ session: any Session) throws {
      try change(context.subject, session) { node in
        guard node.reservation == context.workflow else { return }
        node.reservation = nil
        if let failure = context.failure { node.lastError = failure }
      }
      if let failure = context.failure { try recordEnd(failure, type: "power", context, session) }
    }
    return WorkflowDefinition(kind: "end-fast-track", steps: [], done: end, undone: end, stuck: giveToOperator)
  }

  /// What a workflow that is inserted means for a machine that stands by, or may: added to its parameters. The one place that
  /// every workflow goes through; one that is no deployment ends the trust in the agent in its own transaction.
  func fastTrack(_ kind: String, subject: String, _ params: JSONObject, in session: any Session) throws -> JSONObject {
    var added: JSONObject = [:]
    if FastTrack.cleanings.contains(kind), params["clean_steps"] == nil, needsAgent(params), needsSwitches(params),
      let node = try NodeStore.get(subject, in: session), parts.isFastTracked(node)
    {
      added[FastTrack.seconds] = .int(Int(settings.standByTime.inSeconds))
    }
    guard let stands = try StandByStore.get(node: subject, in: session), stands.workflow == nil,
      !FastTrack.bystanders.contains(kind)
    else { return added }
    if kind == "deploy-node", stands.isTrusted {
      added[FastTrack.takes] = true
    } else {
      try StandByStore.distrust(node: subject, in: session)
      added[FastTrack.ends] = true
    }
    return added
  }

  /// Switches a machine off that stands by, before something is done to it that is no workflow; it waits until that is done.
  /// - Throws: ``ConductorError`` `.conflict` while a workflow holds the node, or when it cannot be switched off.
  public func endFastTrack(of uuid: String, by requester: Requester) async throws {
    guard try await database.read({ try StandByStore.isWaiting(node: uuid, in: $0) }) else { return }
    let holder = try await database.write { session -> String? in
      guard try StandByStore.isWaiting(node: uuid, in: session), let node = try NodeStore.get(uuid, in: session) else {
        return nil
      }
      try self.requireFree(node)
      return try self.endFastTrack(of: node, by: requester, in: session)
    }
    guard let holder else { return }
    let end = ContinuousClock.now + settings.powerPatience + .seconds(10)
    while try await database.read({ try WorkflowStore.get(holder, in: $0)?.state.isOpen }) == true,
      ContinuousClock.now < end
    {
      try await Task.sleep(for: .milliseconds(20))
    }
    guard try await database.read({ try !StandByStore.isWaiting(node: uuid, in: $0) }) else {
      throw ConductorError(
        .conflict,
        "Node \(uuid) stood by for a deployment and could not be switched off: see its last_error, and try again.")
    }
  }
  private func endFastTrack(of node: Node, by requester: Requester, in session: any Session) throws -> String {
    let id = Identifier.uuid()
    try change(node.uuid, session) { $0.reservation = id }
    return try start("end-fast-track", id: id, subject: node.uuid, params: [:], by: requester, in: session)
  }
  static let fastTrackName = "fast-track"

  /// Switches off the machines that stand by and are not wanted so any more: something became of them or of their ports
  /// (migration 31), or nobody has deployed them for too long.
  public func endFastTracks() async throws {
    let now = clock()
    guard try await database.read({ try !StandByStore.over(at: now, in: $0).isEmpty }) else { return }
    try await database.write { session in
      for uuid in try StandByStore.over(at: now, in: session) {
        // One whose controller does not answer is asked again when it does, and one that does not obey after a while.
        guard let node = try NodeStore.get(uuid, in: session), node.reservation == nil, node.fault != Self.powerFailure,
          try !self.hasFailed(since: now - .seconds(600), node: uuid, in: session)
        else { continue }
        _ = try self.endFastTrack(of: node, by: .system, in: session)
      }
    }
  }
  private func hasFailed(since time: Timestamp, node: String, in session: any Session) throws -> Bool {
    try !WorkflowStore.list(in: session) { query in
      query.append("WHERE subject = ?", .text(node))
      query.append("AND kind = 'end-fast-track' AND state = 'undone' AND updated_at > ?", Value(time))
    }.isEmpty
  }
}

extension Parts {
  /// Whether a cleaning may leave this node with its agent up: the site's word, or the node's own in `driver_info`.
  func isFastTracked(_ node: Node) -> Bool {
    guard !node.isRetired, !node.maintenance, isWired(node),
      hardwareTypes.first(where: { $0.name == node.driver })?.needsAgent == true
    else { return false }
    switch node.driverInfo["fast_track"] {
    case .bool(let isOn)?: return isOn
    case .string(let word)?: return ["true", "yes", "on", "1"].contains(word.lowercased())
    default: return settings.isFastTracked
    }
  }
  /// Whether it may now, as it is cabled: a NIC whose switch port nobody knows is in no quarantine.
  private func mayStandBy(_ uuid: String, in session: any Session) throws -> Bool {
    guard let node = try NodeStore.get(uuid, in: session), isFastTracked(node) else { return false }
    return try PortStore.list(node: uuid, in: session).allSatisfy { $0.switchPort != nil && $0.wiringProblem == nil }
  }

  /// Switches a machine off that stands by, taken by a deployment or not, and forgets it; nothing happens to any other. Safe to repeat.
  func endStandBy(of uuid: String) async throws {
    guard try await database.write({ try StandByStore.distrust(node: uuid, in: $0) }) else { return }
    agentCalls.signal(uuid)
    try await driver(of: uuid).power.ensurePower(.off, graceful: false, patience: settings.powerPatience)
    let now = clock()
    try await database.write { session in
      try StandByStore.forget(node: uuid, in: session)
      try NodeStore.setObservedPower(.off, of: uuid, at: now, in: session)
    }
  }
  /// The first step of a workflow that finds a machine standing by and is not what it waits for.
  func endingFastTrack(_ definition: WorkflowDefinition) -> WorkflowDefinition {
    let step = Step(
      "end-fast-track", retries: 4, when: { $0[FastTrack.ends] != nil },
      run: { context in
        try await endStandBy(of: context.subject)
        return .done
      },
      commit: { context, _, session in
        try NodeStore.addEvent(
          "The machine stands by no more: it was switched off.", type: "provision", of: context.subject,
          at: context.now, in: session)
        // Networks that were attached while it stood by come into force now.
        for place in try VIFStore.places(node: context.subject, in: session) {
          guard let vif = place.vifPortID else { continue }
          try NetworkPortStore.setStatus(.build, of: vif, at: context.now, in: session)
        }
        session.afterCommit { wakeups.signal(Conductor.rewiringName) }
      })
    return WorkflowDefinition(
      kind: definition.kind, version: definition.version, steps: [step] + definition.steps, done: definition.done,
      undone: definition.undone, stuck: definition.stuck)
  }

  // MARK: At the end of a cleaning

  /// Tells the agent to wait for the next deployment. One that does not is ended as ever: the machine is clean all the same.
  func standBy() -> Step {
    Step(
      "stand-by", when: { $0[FastTrack.seconds] != nil },
      run: { context in
        let seconds = context.params[FastTrack.seconds] ?? 0
        guard try await database.read({ try mayStandBy(context.subject, in: $0) }) else { return .done }
        do {
          let command = AgentCommand("stand-by", ["seconds": seconds])
          guard case .done = try await give(command, context.key, context, shownIn: \.cleanStep) else {
            return .wait(until: clock() + .seconds(15), on: agentEvent(context.subject))
          }
          return .done(["stands_by": true])
        } catch let error as DriverError where error.code == .refused {
          return .done
        }
      },
      commit: { context, output, session in
        try change(context.subject, session) { $0.cleanStep = [:] }
        guard output["stands_by"]?.bool == true, try mayStandBy(context.subject, in: session) else { return }
        // The agent counts from when it was told, which is later.
        let until = context.startedAt + .seconds(context.params[FastTrack.seconds]?.int ?? 0)
        try StandByStore.begin(node: context.subject, workflow: context.workflow, until: until, in: session)
        try NodeStore.addEvent(
          "The agent stays up for the next deployment, in quarantine, until \(until.iso8601Zulu) at most.",
          type: "provision", of: context.subject, at: context.now, in: session)
      },
      undo: { context in
        try await endStandBy(of: context.subject)
        try await database.write { session in try change(context.subject, session) { $0.cleanStep = [:] } }
      })
  }
  /// Whether the agent of a cleaning stands by: its session and its power stay.
  func standsBy(_ uuid: String) async throws -> Bool {
    try await database.read { session in
      guard let stands = try StandByStore.get(node: uuid, in: session) else { return false }
      return stands.workflow == nil && stands.isTrusted
    }
  }

  // MARK: In a deployment

  /// Takes over the agent that stands by.
  /// - Returns: false when the machine is to be booted: it does not stand by, is not trusted, or has lost its power since.
  func takeAgent(_ context: StepContext) async throws -> Bool {
    guard context.params[FastTrack.takes] != nil else { return false }
    let now = clock()
    let isTaken = try await database.write {
      try StandByStore.take(node: context.subject, workflow: context.workflow, at: now, in: $0)
    }
    guard isTaken else { return false }
    return try await driver(of: context.subject).power.observePower() == .on
  }

  /// Waits for the agent that was taken over to call on the provisioning network. One that does not in time is trusted no more, and
  /// the next step boots the machine.
  func resumeAgent() -> Step {
    Step(
      "resume-agent", when: { needsAgent($0) && $0[FastTrack.takes] != nil },
      run: { context in
        let hasCalled = try await database.write { session -> Bool? in
          guard let stands = try StandByStore.get(node: context.subject, in: session),
            stands.workflow == context.workflow, stands.isTrusted
          else { return false }
          if stands.hasCalled { return true }
          guard context.elapsed > settings.fastTrackPatience else { return nil }
          try StandByStore.distrust(node: context.subject, in: session)
          return false
        }
        guard let hasCalled else { return .wait(until: clock() + .seconds(1), on: agentEvent(context.subject)) }
        return .done(["has_called": .bool(hasCalled)])
      },
      commit: { context, output, session in
        try NodeStore.addEvent(
          output["has_called"]?.bool == true
            ? "The agent that stood by goes on: the machine is not booted."
            : "The agent that stood by did not call: the machine is booted.",
          type: "provision", of: context.subject, at: context.now, in: session)
      })
  }
  /// Whether the agent is up that stood by.
  func hasResumed(_ context: StepContext) async throws -> Bool {
    try await database.read { session in
      guard let stands = try StandByStore.get(node: context.subject, in: session) else { return false }
      return stands.workflow == context.workflow && stands.isTrusted && stands.hasCalled
    }
  }
}
