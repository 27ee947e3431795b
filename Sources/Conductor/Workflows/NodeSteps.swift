import Domain
import DriverInterfaces
import Store
import Wire
import Workflows

/// Steps that several workflows of a node share. The subject of such a workflow is the node's UUID.
extension Parts {
  // MARK: Networks

  /// Puts every wired port of the node on the provisioning network (the NICs that may boot there) or in quarantine.
  func provisioningNetwork() -> Step {
    Step(
      "provisioning-network",
      run: { context in
        try await applyNetworks(.provisioning, node: context.subject, label: context.key)
        return .done
      },
      undo: { context in try await withdrawNetworks(node: context.subject) })
  }

  /// Quarantine, read back: the resting state.
  func quarantine(_ name: String = "quarantine") -> Step {
    Step(
      name,
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
        "admit",
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
      Step(
        "boot-agent",
        run: { context in
          let driver = try await driver(of: context.subject)
          try await driver.power.ensurePower(.off, graceful: false, patience: settings.powerPatience)
          // A token of its own for each boot: the one of a boot that was cut short is void.
          let now = clock()
          try await database.write { session in
            try AgentStore.admit(node: context.subject, workflow: context.workflow, at: now, in: session)
          }
          try await driver.management.ensureBootOverride(BootOverride(.pxe, persistent: false))
          await consoles?.markPowerOn(node: context.subject)
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
        "await-agent",
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

  /// A command to the agent, and its result as the step's output.
  ///
  /// - Parameters:
  ///   - shownIn: whether its progress is shown as the node's deploy step or its clean step.
  func command(
    _ name: String, _ kind: String, shownIn field: WritableKeyPath<Node, JSONObject> & Sendable,
    parameters: @escaping @Sendable (StepContext) throws -> JSONObject
  ) -> Step {
    Step(
      name,
      run: { context in
        let now = clock()
        let parameters = try parameters(context)
        let (command, seen) = try await database.write { session -> (AgentStore.Command?, Timestamp?) in
          if try AgentStore.command(context.key, in: session) == nil {
            try AgentStore.give(
              kind, parameters, id: context.key, node: context.subject, workflow: context.workflow, at: now, in: session
            )
            try change(context.subject, session) { node in
              node[keyPath: field] = ["step": .string(kind), "interface": "deploy", "priority": 100, "percent": 0]
            }
            session.afterCommit { agentCalls.signal(context.subject) }
          }
          return (
            try AgentStore.command(context.key, in: session),
            try AgentStore.seen(node: context.subject, workflow: context.workflow, in: session)?.last
          )
        }
        switch command?.state {
        case .ok: return .done(.object(command?.output ?? [:]))
        case .failed:
          throw DriverError(
            .refused, device: .agent(ofNode: context.subject), detail: command?.error ?? "\(kind) failed")
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
      },
      commit: { context, _, session in try change(context.subject, session) { $0[keyPath: field] = [:] } },
      undo: { context in
        try await database.write { session in try change(context.subject, session) { $0[keyPath: field] = [:] } }
      })
  }

  /// Ends the agent's session, takes its address away and powers the machine off.
  func endAgent(_ name: String = "end-agent") -> Step {
    Step(
      name,
      run: { context in
        try await database.write { try AgentStore.dismiss(node: context.subject, in: $0) }
        agentCalls.signal(context.subject)
        try await driver(of: context.subject).power.ensurePower(.off, graceful: false, patience: settings.powerPatience)
        try await boot.ensureDenied(try await bootMACs(context.subject))
        return .done
      },
      commit: { context, _, session in
        try AgentStore.forget(workflow: context.workflow, in: session)
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

/// Changes a node if it still exists; its `updated_at` follows.
func change(_ uuid: String, _ session: any Session, _ body: (inout Node) throws -> Void) throws {
  guard var node = try NodeStore.get(uuid, in: session) else { return }
  try body(&node)
  try NodeStore.update(node, in: session)
}
