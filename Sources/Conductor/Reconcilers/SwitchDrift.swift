import Domain
import DriverInterfaces
import Store
import Wire

/// What a switch shows that it should not, decided without touching it.
struct SwitchPlan: Equatable {
  /// Ports that carry something else than they should.
  var deviating: [SwitchPortStore.Intent] = []
  /// Ports that are as they should be, and were not known to be so.
  var confirmed: [SwitchPortStore.Intent] = []
  /// Wired ports that the switch does not have, and were not known to be missing.
  var missing: [SwitchPortStore.Intent] = []
  /// What deviating ports were found to carry.
  var found: [String: PortConfiguration] = [:]

  static let missingWords = "the switch has no such port"

  init(intents: [SwitchPortStore.Intent], actual: [String: PortConfiguration]) {
    for intent in intents {
      switch actual[intent.port.port] {
      case nil: if intent.detail != Self.missingWords { missing.append(intent) }
      case intent.configuration?: if intent.state != .inForce { confirmed.append(intent) }
      case let other?:
        deviating.append(intent)
        found[intent.port.port] = other
      }
    }
  }
  /// Nothing but the fact that it was read is worth writing down.
  var isQuiet: Bool { deviating.isEmpty && confirmed.isEmpty && missing.isEmpty }
}

extension Conductor {
  /// Audits every switch, all of them at once.
  func repairSwitches() async throws {
    await withTaskGroup(of: Void.self) { group in
      for device in parts.switches.all { group.addTask { await self.audit(device) } }
    }
  }

  /// Reads all ports of one switch in one visit, compares them with what they should carry, and repairs. A machine's port that nobody has
  /// asked anything of is quarantined.
  ///
  /// A port that was read back right and now carries something else has been changed by somebody: that is set right and alarmed
  /// (``alarm``). When all is as it was, one statement is written for the whole switch.
  func audit(_ device: any SwitchInterface) async {
    do {
      let plan: SwitchPlan?
      do { plan = try await look(at: device) } catch let error as DriverError {
        return try await fails(device.name, error)
      }
      if switchSilence.isSilent(device.name) { try await answers(device.name) }
      guard let plan, !plan.isQuiet else { return }
      try await settle(plan, on: device.name)
      try await releaseStranded()
    } catch is CancellationError {
    } catch {
      logger.error("switch \(device.name): \(error)")
    }
  }

  /// - Returns: nil when the switch has no machine's port.
  private func look(at device: any SwitchInterface) async throws -> SwitchPlan? {
    let name = device.name, now = clock()
    let (known, unasked) = try await database.read { session in
      (try SwitchPortStore.list(switch: name, in: session), try self.unasked(on: name, in: session))
    }
    var intents = known
    if !unasked.isEmpty {
      intents = try await database.write { session in
        for port in try self.unasked(on: name, in: session) {
          try SwitchPortStore.want(.quarantine, on: port, label: nil, at: now, in: session)
        }
        return try SwitchPortStore.list(switch: name, in: session)
      }
    }
    guard !intents.isEmpty else { return nil }
    let plan = SwitchPlan(intents: intents, actual: try await device.listPorts())
    // A pause longer than two periods is one: a switch that did not answer, a server that was away.
    let pause = settings.switchAuditPeriod * 2
    let read = clock()
    try await database.write { try SwitchAuditStore.record(name, at: read, pause: pause, in: $0) }
    return plan
  }

  private func unasked(on name: String, in session: any Session) throws -> [SwitchPort] {
    try SwitchAuditStore.unasked(on: name, in: session).filter { _, node in
      try NodeStore.get(node, in: session).map { parts.isWired($0) } ?? false
    }.map { SwitchPort(switchName: name, port: $0.port) }
  }

  private func settle(_ plan: SwitchPlan, on name: String) async throws {
    let now = clock()
    let repair = try await database.write { session -> [SwitchPortStore.Intent] in
      // Somebody may want something else since the look: then it is theirs to bring about.
      func stands(_ intent: SwitchPortStore.Intent) throws -> Bool {
        let current = try SwitchPortStore.get(intent.port, in: session)
        return current?.configuration == intent.configuration && current?.changedAt == intent.changedAt
      }
      for intent in plan.confirmed where try stands(intent) {
        try SwitchPortStore.record(.inForce, intent.port, detail: nil, at: now, in: session)
        try IsolationStore.note(
          .readBack, at: intent.port, label: intent.label, ["found": intent.configuration.shown], at: now, in: session)
      }
      for intent in plan.missing where try stands(intent) {
        try SwitchPortStore.record(.error, intent.port, detail: SwitchPlan.missingWords, at: now, in: session)
      }
      let repair = try plan.deviating.filter { try stands($0) }
      for intent in repair where intent.state == .inForce {
        try self.alarm(intent, found: plan.found[intent.port.port], at: now, in: session)
      }
      return repair
    }
    // Each keeps the label of the step that wants it.
    for (label, intents) in Dictionary(grouping: repair, by: \.label) {
      try await parts.apply(
        Dictionary(intents.map { ($0.port.port, $0.configuration) }) { $1 }, on: name, label: label)
    }
  }

  /// A port that was right carries something that nobody here has asked for: told in the log, the machine's history, the lease's isolation
  /// report, by an event (webhooks take it further), and for a day by the doctor.
  private func alarm(
    _ intent: SwitchPortStore.Intent, found: PortConfiguration?, at now: Timestamp, in session: any Session
  ) throws {
    let difference = "carried \(found?.words ?? "nothing") instead of \(intent.configuration.words)"
    logger.warning("\(intent.port) had drifted: it \(difference)")
    try IsolationStore.note(
      .drift, at: intent.port, label: nil,
      ["found": found?.shown ?? .null, "wanted": intent.configuration.shown], at: now, in: session)
    try EventStore.append(
      "drift", port: intent.port, detail: "\(intent.port) \(difference)", at: now, in: session)
    if let node = try PortStore.node(at: intent.port, in: session) {
      try NodeStore.addEvent(
        "A switch port of the machine was changed without us and is being set right: it \(difference).",
        type: "network", severity: "ERROR", of: node, at: now, in: session)
      // Its agent may have talked to anybody meanwhile.
      if try StandByStore.distrust(node: node, in: session) {
        session.afterCommit { [wakeups] in wakeups.signal(Self.fastTrackName) }
      }
    }
  }

  // MARK: Switches that do not answer

  /// After so many audits that fail in a row a switch is told to be unreachable.
  static let switchFailureLimit = 3

  private func fails(_ name: String, _ error: DriverError) async throws {
    let failures = switchSilence.failed(name)
    if failures == 1 || failures == Self.switchFailureLimit { logger.error("audit of \(error.description)") }
    guard failures == Self.switchFailureLimit else { return }
    let now = clock()
    try await database.write {
      try EventStore.append("unreachable", switch: name, detail: error.description, at: now, in: $0)
    }
  }
  private func answers(_ name: String) async throws {
    let wasTold = switchSilence.count(name) >= Self.switchFailureLimit
    switchSilence.answered(name)
    guard wasTold else { return }
    let now = clock()
    logger.notice("switch \(name) answers again")
    try await database.write {
      try EventStore.append("reachable", switch: name, detail: "It answers again.", at: now, in: $0)
    }
  }

  /// Frees network ports that no NIC holds any more, once every switch port of their machine was read back as it should be:
  /// what an attachment leaves that failed while its switch could not be reached.
  private func releaseStranded() async throws {
    let now = clock()
    try await database.write { session in
      let stranded = Dictionary(grouping: try NetworkPortStore.stranded(in: session), by: \.bindingHostID)
      for (host, ports) in stranded {
        guard let node = try NodeStore.get(host, in: session), node.reservation == nil else { continue }
        try self.parts.releaseStranded(ports, of: node.uuid, at: now, in: session)
      }
    }
  }
}
