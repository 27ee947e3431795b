import Domain
import DriverInterfaces
import Store
import Wire
import Workflows

/// What a node's hardware does without, as parameters of its workflows: decided once, by whoever starts one, so that a
/// workflow has the same steps from its beginning to its end.
enum Without {
  /// The machine is inspected, cleaned and deployed by its driver; no agent is booted.
  static let agent = "without_agent"
  /// No switch port follows the node's networks.
  static let switches = "without_switches"
}
@Sendable func needsAgent(_ params: JSONObject) -> Bool { params[Without.agent] == nil }
@Sendable func needsSwitches(_ params: JSONObject) -> Bool { params[Without.switches] == nil }

extension Conductor {
  /// What the hardware of a node does without, to be added to the parameters of a workflow that provisions it.
  func without(_ node: Node) -> JSONObject {
    var params: JSONObject = [:]
    if hardwareType(named: node.driver)?.needsAgent == false { params[Without.agent] = true }
    if !parts.isWired(node) { params[Without.switches] = true }
    return params
  }
}

/// Steps that several workflows of a node share. The subject of such a workflow is the node's UUID.
extension Parts {
  // MARK: Networks

  /// Puts every wired port of the node on the provisioning network (the NICs that may boot there) or in quarantine.
  func provisioningNetwork() -> Step {
    Step(
      "provisioning-network", when: { needsAgent($0) && needsSwitches($0) },
      run: { context in
        if try await takeAgent(context) {
          try await applyNetworks(.provisioning, node: context.subject, label: context.key)
          return .done([FastTrack.takes: true])
        }
        // Off first: what the machine runs, a tenant's system, must not see that network.
        try await endStandBy(of: context.subject)
        try await driver(of: context.subject).power.ensurePower(
          .off, graceful: false, patience: settings.powerPatience)
        // At once: it is off whatever becomes of the networks.
        try await database.write {
          try NodeStore.setObservedPower(.off, of: context.subject, at: context.now, in: $0)
        }
        try await applyNetworks(.provisioning, node: context.subject, label: context.key)
        return .done
      },
      undo: { context in
        try await endStandBy(of: context.subject)
        try await withdrawNetworks(node: context.subject)
      })
  }

  /// Quarantine, read back: the resting state.
  func quarantine(_ name: String = "quarantine") -> Step {
    Step(
      name, when: needsSwitches,
      run: { context in
        try await applyNetworks(.quarantine, node: context.subject, label: nil)
        return .done
      })
  }

  // MARK: The ramdisk

  /// The steps that bring the agent up on a node and have it wait for commands.
  ///
  /// - Parameter event: what the API shows while the machine boots (`wait call-back`, `clean wait`, `inspect wait`).
  func agentSteps() -> [Step] {
    [
      Step(
        "admit", when: needsAgent,
        run: { context in
          let macs = try await bootMACs(context.subject)
          guard !macs.isEmpty else {
            throw DriverError(
              .misconfigured, device: .node(context.subject),
              detail: "no port of the node may boot over the network; create one with `openstack baremetal port create`"
            )
          }
          try await boot.ensureAdmitted(macs, label: context.key)
          return .done
        },
        undo: { context in try await boot.ensureDenied(try await bootMACs(context.subject)) }),
      resumeAgent(),
      Step(
        "boot-agent", when: needsAgent,
        run: { context in
          if try await hasResumed(context) { return .done }
          let driver = try await driver(of: context.subject)
          try await driver.power.ensurePower(.off, graceful: false, patience: settings.powerPatience)
          // A token of its own for each boot: the one of a boot that was cut short is void.
          let now = clock()
          try await database.write { session in
            try AgentStore.admit(node: context.subject, workflow: context.workflow, at: now, in: session)
          }
          if let boot = driver.bootMode { try await prepareFirmware(of: context.subject, boot) }
          try await driver.management.ensureBootOverride(BootOverride(.pxe, persistent: false))
          await markPowerOn(context.subject, driver)
          try await driver.power.ensurePower(.on, graceful: false, patience: settings.powerPatience)
          return .done
        },
        commit: { context, _, session in
          try change(context.subject, session) { node in
            node.powerState = .on
            _ = node.apply(.wait, at: context.now)
          }
        },
        undo: { context in
          try await driver(of: context.subject).power.ensurePower(
            .off, graceful: false, patience: settings.powerPatience)
          try await database.write { session in
            try AgentStore.dismiss(node: context.subject, in: session)
            try NodeStore.setObservedPower(.off, of: context.subject, at: context.now, in: session)
          }
        }),
      Step(
        "await-agent", when: needsAgent,
        run: { context in
          let seen = try await database.read {
            try AgentStore.seen(node: context.subject, workflow: context.workflow, in: $0)
          }
          if seen != nil { return .done }
          if context.elapsed > settings.agentPatience {
            throw DriverError(
              .unreachable, device: .node(context.subject),
              detail:
                "the agent did not call within \(Int(settings.agentPatience.inSeconds)) s of power on: look at the console for what the firmware "
                + "did; is the port's MAC address right, is its switch port on the provisioning network, does it boot over the network first?"
            )
          }
          return .wait(until: clock() + .seconds(10), on: agentEvent(context.subject))
        },
        commit: { context, _, session in
          try change(context.subject, session) { node in _ = node.apply(.resume, at: context.now) }
        }),
    ]
  }

  /// Work on the machine: commands to the agent, one after the other, or its driver's own doing where there is no agent.
  ///
  /// The step's output is the result of the last command, or of the driver.
  /// - Parameters:
  ///   - shownIn: whether its progress is shown as the node's deploy step or its clean step.
  ///   - commands: what the agent is told.
  ///   - work: the same for the driver.
  func work(
    _ name: String, shownIn field: WritableKeyPath<Node, JSONObject> & Sendable,
    when isPart: @escaping @Sendable (JSONObject) -> Bool = { _ in true },
    commands: @escaping @Sendable (StepContext) throws -> [AgentCommand],
    work: @escaping @Sendable (StepContext) async throws -> ProvisioningWork
  ) -> Step {
    Step(
      name, when: isPart,
      run: { context in
        guard needsAgent(context.params) else {
          return try await advance(try await work(context), context, shownIn: field)
        }
        var output = StepOutcome.done(.null)
        for (index, command) in try commands(context).enumerated() {
          let key = index == 0 ? context.key : "\(context.key)/\(index)"
          output = try await give(command, key, context, shownIn: field)
          guard case .done = output else { break }
        }
        return output
      },
      commit: { context, _, session in
        try change(context.subject, session) { node in
          node[keyPath: field] = [:]
          guard !needsAgent(context.params) else { return }
          node.powerState = .off
          node.powerObservedAt = context.now
        }
      },
      undo: { context in
        try await database.write { session in try change(context.subject, session) { $0[keyPath: field] = [:] } }
      })
  }

  /// What an agent is told (docs/agent-protocol.md, "Commands"), and what the API calls it.
  struct AgentCommand: Sendable {
    var kind: String
    var parameters: JSONObject
    var shownAs: CleanStep
    init(_ kind: String, _ parameters: JSONObject, shownAs step: CleanStep? = nil) {
      self.kind = kind
      self.parameters = parameters
      shownAs = step ?? CleanStep(.deploy, kind)
    }
  }

  /// Gives the agent one command, once, and looks what came of it.
  func give(
    _ command: AgentCommand, _ key: String, _ context: StepContext,
    shownIn field: WritableKeyPath<Node, JSONObject> & Sendable
  ) async throws -> StepOutcome {
    let now = clock(), kind = command.kind
    let (given, seen) = try await database.write { session -> (AgentStore.Command?, Timestamp?) in
      if try AgentStore.command(key, in: session) == nil {
        var parameters = command.parameters
        if kind == "erase" { parameters["done"] = try EraseProof.places(of: context.subject, in: session) }
        try AgentStore.give(
          kind, parameters, id: key, node: context.subject, workflow: context.workflow, at: now, in: session)
        try change(context.subject, session) { $0[keyPath: field] = shown(command.shownAs, percent: 0) }
        session.afterCommit { agentCalls.signal(context.subject) }
      }
      return (
        try AgentStore.command(key, in: session),
        try AgentStore.seen(node: context.subject, workflow: context.workflow, in: session)?.last
      )
    }
    switch given?.state {
    case .ok: return .done(.object(given?.output ?? [:]))
    case .failed:
      throw DriverError(.refused, device: .agent(ofNode: context.subject), detail: given?.error ?? "\(kind) failed")
    default:
      if let seen, now - max(seen, context.startedAt) > settings.agentSilence {
        throw DriverError(
          .refused, device: .agent(ofNode: context.subject),
          detail:
            "it has not called for \(Int(settings.agentSilence.inSeconds)) s during \(kind): the machine may have crashed or lost power; look at its console"
        )
      }
      return .wait(until: now + .seconds(15), on: agentEvent(context.subject))
    }
  }

  /// Has the driver do its work on the machine, which is off like one that the agent has left.
  private func advance(
    _ work: ProvisioningWork, _ context: StepContext, shownIn field: WritableKeyPath<Node, JSONObject> & Sendable
  ) async throws -> StepOutcome {
    let driver = try await driver(of: context.subject)
    guard let provisioning = driver.provisioning else {
      throw DriverError(
        .misconfigured, device: .node(context.subject),
        detail: "its driver was changed while it was worked on; try again")
    }
    try await driver.power.ensurePower(.off, graceful: false, patience: settings.powerPatience)
    switch try await provisioning.advance(work, key: context.key, elapsed: context.elapsed) {
    case .done(let output): return .done(.object(output))
    case .going(let percent, let remaining):
      try await database.write { session in
        try change(context.subject, session) { node in
          var step = shown(work.shownAs, percent: percent)
          step["remaining_seconds"] = .int(Int(remaining.inSeconds.rounded(.up)))
          node[keyPath: field] = step
        }
      }
      return .wait(until: clock() + min(max(remaining, .milliseconds(20)), .seconds(15)), on: nil)
    }
  }

  private func shown(_ step: CleanStep, percent: Int) -> JSONObject {
    [
      "step": .string(step.step), "interface": .string(step.interface.rawValue), "priority": 100,
      "percent": .int(percent),
    ]
  }

  /// From here on is "since power-on" of the node's console, if one is kept of every boot.
  func markPowerOn(_ node: String, _ driver: NodeDriver) async {
    if driver.console?.isAlwaysRead ?? true { await consoles?.markPowerOn(node: node) }
  }

  /// Ends the agent's session, takes its address away and powers the machine off, unless the agent has more to do; one that stands by
  /// loses its address alone.
  func endAgent(
    _ name: String = "end-agent", staysOn: @escaping @Sendable (StepContext) -> Bool = { _ in false }
  ) -> Step {
    Step(
      name, when: needsAgent,
      run: { context in
        if try await standsBy(context.subject) {
          try await boot.ensureDenied(try await bootMACs(context.subject))
          return .done([FastTrack.seconds: true])
        }
        try await database.write { try AgentStore.dismiss(node: context.subject, in: $0) }
        agentCalls.signal(context.subject)
        if !staysOn(context) {
          try await driver(of: context.subject).power.ensurePower(
            .off, graceful: false, patience: settings.powerPatience)
        }
        try await boot.ensureDenied(try await bootMACs(context.subject))
        return .done
      },
      commit: { context, output, session in
        try AgentStore.forget(workflow: context.workflow, in: session)
        if staysOn(context) || output[FastTrack.seconds] != nil { return }
        try NodeStore.setObservedPower(.off, of: context.subject, at: context.now, in: session)
      })
  }

  func powerOff(_ name: String = "power-off", graceful: Bool = false) -> Step {
    Step(
      name, retries: 4,
      run: { context in
        try await driver(of: context.subject).power.ensurePower(
          .off, graceful: graceful, patience: settings.powerPatience)
        return .done
      },
      commit: { context, _, session in
        try NodeStore.setObservedPower(.off, of: context.subject, at: context.now, in: session)
      })
  }

  // MARK: Odds and ends

  func bootMACs(_ node: String) async throws -> [MACAddress] {
    try await database.read { try PortStore.list(node: node, in: $0) }.filter(\.isPXEEnabled).compactMap {
      MACAddress($0.address)
    }
  }
}

extension ProvisioningWork {
  /// What the API calls it.
  fileprivate var shownAs: CleanStep {
    switch self {
    case .inspect: CleanStep(.deploy, "inspect")
    case .erase: CleanStep(.deploy, "erase")
    case .clean(let steps): steps.first ?? CleanStep(.deploy, "clean")
    case .deploy: CleanStep(.deploy, "write-image")
    case .capture: CleanStep(.deploy, "read-disk")
    case .rescue: CleanStep(.rescue, "rescue")
    case .unrescue: CleanStep(.rescue, "unrescue")
    }
  }
}

/// Changes a node if it still exists; its `updated_at` follows.
func change(_ uuid: String, _ session: any Session, _ body: (inout Node) throws -> Void) throws {
  guard let before = try NodeStore.get(uuid, in: session) else { return }
  var node = before
  try body(&node)
  if node != before { try NodeStore.update(node, in: session) }
}
