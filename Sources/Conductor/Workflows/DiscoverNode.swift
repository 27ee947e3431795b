import Domain
import DriverInterfaces
import Store
import Wire
import Workflows

extension Conductor {
  /// What is done with an unknown machine once its agent has claimed: inspected with LLDP, sent off, written down.
  ///
  /// Nothing is known yet by which it could be switched off, so the agent is asked to; and its wiring is recorded last, because
  /// from then on its switch ports are the site's to quarantine.
  static func discoverNode(_ parts: Parts) -> WorkflowDefinition {
    WorkflowDefinition(
      kind: "discover-node",
      steps: [
        parts.whileItLasts(
          parts.work("inspect", shownIn: \.cleanStep) { _ in
            [Parts.AgentCommand("inspect", ["lldp_seconds": .int(parts.settings.lldpSeconds)])]
          } work: { _ in
            .inspect(properties: [:])
          }),
        parts.whileItLasts(
          parts.work("send-off", shownIn: \.cleanStep) { _ in
            [Parts.AgentCommand("power-off", [:])]
          } work: { _ in
            .inspect(properties: [:])
          }),
        Step(
          "record-inventory",
          commit: { context, _, session in
            try AgentStore.dismiss(node: context.subject, in: session)
            guard let inventory = context.outputs["inspect"]?["inventory"] else { return }
            try parts.recordInventory(inventory, of: context.subject, at: context.now, in: session)
          }),
      ],
      done: { context, session in
        try finish(context, session, .done, "The machine waits for an administrator.")
      },
      undone: { context, session in
        try AgentStore.dismiss(node: context.subject, in: session)
        try finish(context, session, .fail, context.failure)
      },
      stuck: giveToOperator)
  }
}

extension Parts {
  /// A machine that nobody knows must not hold its node for as long as it likes.
  fileprivate func whileItLasts(_ step: Step) -> Step {
    Step(
      step.name, retries: step.retries, when: step.isPart,
      run: { context in
        guard context.elapsed < settings.agentPatience else {
          throw DriverError(
            .refused, device: .agent(ofNode: context.subject),
            detail: "it did not do its \(step.name) within \(Int(settings.agentPatience.inSeconds)) s")
        }
        return try await step.run(context)
      }, commit: step.commit, undo: step.undo, uncommit: step.uncommit)
  }
}
