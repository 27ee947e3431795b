import Domain
import Store
import Wire
import Workflows

extension Conductor {
  /// `provide`: every disk is erased and read back, then the machine is available.
  static func cleanNode(_ parts: Parts) -> WorkflowDefinition {
    WorkflowDefinition(
      kind: "clean-node",
      steps: parts.cleaningSteps(),
      done: { context, session in try finish(context, session, .done, "Cleaning finished.") },
      undone: cleaningFailed, stuck: giveToOperator)
  }
}

extension Parts {
  /// From whatever the machine is doing to powered off, in quarantine, with empty disks.
  func cleaningSteps() -> [Step] {
    [provisioningNetwork()] + agentSteps() + [
      command("erase", "erase", shownIn: \.cleanStep) { _ in ["mode": .string(settings.eraseMode), "disks": nil] },
      endAgent(),
      quarantine(),
      Step(
        "record-erasure",
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

/// A machine that could not be cleaned is nobody's until an administrator has looked: maintenance, `clean failed`.
@Sendable func cleaningFailed(_ context: StepContext, _ session: any Session) throws {
  try finish(context, session, .fail, context.failure) { node in
    node.maintenance = true
    node.maintenanceReason = context.failure?.following("Cleaning failed: ")
    node.fault = "clean failure"
  }
}
