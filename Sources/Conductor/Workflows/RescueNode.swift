import Cryptography
import Domain
import DriverInterfaces
import Glibc
import Processes
import Store
import Wire
import Workflows

extension Conductor {
  /// `rescue`: the machine runs a system to mend the one on its disks, on its tenant's networks.
  ///
  /// With the agent: its ramdisk fetches the rescue system, and becomes that when the agent has ended; nobody can log in before
  /// the machine has left the provisioning network. Params: `password` (a sealed hash), what the hardware does without.
  static func rescueNode(_ parts: Parts) -> WorkflowDefinition {
    WorkflowDefinition(
      kind: "rescue-node", version: 2,
      steps: [
        prepareRescue(parts),
        // The tenant's system must not see the provisioning network.
        parts.powerOff(),
        parts.provisioningNetwork(),
      ] + parts.agentSteps() + [
        parts.work("rescue", shownIn: \.deployStep) { context in
          let prepared = context.outputs["prepare-rescue"] ?? .null
          let sealed = context.params["password"]?.string ?? ""
          guard
            let hash = parts.database.secrets.openText(sealed, context: rescueContext(context.subject))
          else { throw ConductorError(.conflict, "The site's key is another than when the rescue was asked for.") }
          return [
            Parts.AgentCommand(
              "rescue",
              [
                "password_hash": .string(hash), "network_data": prepared["network_data"] ?? .emptyObject,
                "system": [
                  "url": .string("/agent/v1/rescue/\(context.workflow)"),
                  "size_bytes": prepared["system"]?["size_bytes"] ?? 0, "sha256": prepared["system"]?["sha256"] ?? "",
                ],
              ], shownAs: CleanStep(.rescue, "rescue"))
          ]
        } work: { _ in
          .rescue
        },
        leaveAgent(parts),
        parts.tenantNetworks(),
        parts.powerOn(when: { !needsAgent($0) }),
      ],
      done: { context, session in
        try finish(context, session, .done, "The machine runs its rescue system.") { $0.powerState = .on }
      },
      undone: { context, session in try finish(context, session, .fail, context.failure) },
      stuck: giveToOperator)
  }

  /// `unrescue`: the machine boots what is on its disks again, on its tenant's networks.
  static func unrescueNode(_ parts: Parts) -> WorkflowDefinition {
    WorkflowDefinition(
      kind: "unrescue-node", version: 2,
      steps: [
        parts.powerOff(),
        parts.work("unrescue", shownIn: \.deployStep, when: { !needsAgent($0) }) { _ in
          []
        } work: { _ in
          .unrescue
        },
        // A rescue that failed has left them in quarantine.
        parts.tenantNetworks(),
        parts.powerOn(from: .disk),
      ],
      done: { context, session in
        try finish(context, session, .done, "The machine runs its own system again.") { $0.powerState = .on }
      },
      undone: { context, session in try finish(context, session, .fail, context.failure) },
      stuck: giveToOperator)
  }

  /// The rescue system's size and hash, and the machine's networks, before anything is done to it.
  private static func prepareRescue(_ parts: Parts) -> Step {
    Step(
      "prepare-rescue", when: needsAgent,
      run: { context in
        guard let path = parts.settings.rescueSystem, access(path, R_OK) == 0 else {
          throw DriverError(
            .misconfigured, device: .bootServices,
            detail: "the rescue system is not there: build it with ramdisk/build-rescue, and check ramdisk.rescue")
        }
        let (size, sha256) = try await FileThread.shared.run {
          let descriptor = try Files.open(path, O_RDONLY)
          defer { close(descriptor) }
          return (try Files.size(descriptor), try Hashing().digest(.sha256, of: path))
        }
        let networks = try await parts.database.read { try parts.networkData(of: context.subject, in: $0) }
        return .done([
          "system": ["path": .string(path), "size_bytes": .int(size), "sha256": .string(sha256)],
          "network_data": networks,
        ])
      })
  }

  /// The agent's session and its address end, and the machine goes on: its rescue system waits for its tenant's networks.
  private static func leaveAgent(_ parts: Parts) -> Step {
    Step(
      "leave-agent", when: needsAgent,
      run: { context in
        try await parts.database.write { try AgentStore.dismiss(node: context.subject, in: $0) }
        parts.agentCalls.signal(context.subject)
        try await parts.boot.ensureDenied(try await parts.bootMACs(context.subject))
        return .done
      },
      commit: { context, _, session in try AgentStore.forget(workflow: context.workflow, in: session) })
  }
}

extension Parts {
  /// - Parameter device: what it boots from now on, where the agent had it boot over the network; nil leaves that.
  fileprivate func powerOn(
    from device: BootDevice? = nil, when isPart: @escaping @Sendable (JSONObject) -> Bool = { _ in true }
  ) -> Step {
    Step(
      "power-on", when: isPart,
      run: { context in
        let driver = try await driver(of: context.subject)
        if let device, needsAgent(context.params) {
          try await driver.management.ensureBootOverride(BootOverride(device, persistent: true))
        }
        await markPowerOn(context.subject, driver)
        try await driver.power.ensurePower(.on, graceful: false, patience: settings.powerPatience)
        return .done
      },
      undo: { context in
        try await driver(of: context.subject).power.ensurePower(.off, graceful: false, patience: settings.powerPatience)
      })
  }
}
