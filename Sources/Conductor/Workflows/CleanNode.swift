import Domain
import Store
import Wire
import Workflows

extension Conductor {
  /// `provide`: every disk is erased and read back, then the machine is available. `clean`: the steps that the caller chose,
  /// then the machine is manageable again.
  ///
  /// Params: `clean_steps` (of a manual cleaning, checked), and what the hardware does without (``Without``).
  static func cleanNode(_ parts: Parts) -> WorkflowDefinition {
    WorkflowDefinition(
      kind: "clean-node",
      steps: parts.cleaningSteps(),
      done: { context, session in
        try finish(
          context, session, after: { isManual(context.params) ? .cleaned : cleaned($0) }, "Cleaning finished.")
      },
      undone: cleaningFailed, stuck: giveToOperator)
  }
}

extension Parts {
  /// From whatever the machine is doing to powered off, in quarantine, with empty disks.
  func cleaningSteps() -> [Step] {
    [provisioningNetwork()] + agentSteps() + [
      work("erase", shownIn: \.cleanStep, when: { !isManual($0) }) { _ in
        [erasure(settings.eraseMode)]
      } work: { _ in
        .erase(mode: settings.eraseMode)
      },
      work("clean-steps", shownIn: \.cleanStep, when: isManual) { context in
        cleanSteps(context.params).map { erasure($0.step == "erase_devices" ? "full" : "metadata", shownAs: $0) }
      } work: { context in
        .clean(cleanSteps(context.params))
      },
      endAgent(),
      quarantine(),
      Step(
        "record-erasure", when: { !isManual($0) },
        commit: { context, _, session in
          try change(context.subject, session) { node in
            node.driverInternalInfo["last_erase"] = [
              "at": .string(context.now.iso8601Zulu), "mode": .string(settings.eraseMode),
              "disks": context.outputs["erase"]?["disks"] ?? [],
            ]
          }
        }),
    ]
  }
}

/// A cleaning by steps that somebody chose.
@Sendable private func isManual(_ params: JSONObject) -> Bool { params["clean_steps"] != nil }
private func cleanSteps(_ params: JSONObject) -> [CleanStep] {
  (params["clean_steps"]?.array ?? []).compactMap { CleanStep($0) }
}
private func erasure(_ mode: String, shownAs step: CleanStep? = nil) -> Parts.AgentCommand {
  Parts.AgentCommand(
    "erase", ["mode": .string(mode), "disks": nil], shownAs: step ?? CleanStep(.deploy, "erase"))
}

/// Whether an erased machine is for anybody to have: a retired one is not. Source: Ironic, "Node retirement".
func cleaned(_ node: Node) -> ProvisionEvent { node.isRetired ? .cleaned : .done }

/// A machine that could not be cleaned is nobody's until an administrator has looked: maintenance, `clean failed`.
@Sendable func cleaningFailed(_ context: StepContext, _ session: any Session) throws {
  try finish(context, session, .fail, context.failure) { node in
    node.maintenance = true
    node.maintenanceReason = context.failure?.following("Cleaning failed: ")
    node.fault = "clean failure"
  }
}
