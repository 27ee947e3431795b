import Workflows

extension WorkflowDefinition {
  /// The same workflow with a step that fails after its effect, or with every step and every undo run twice.
  func adjusted(failing: String?, twice: Bool, points: CrashSite.Points) -> WorkflowDefinition {
    let steps = steps.map { (step: Step) -> Step in
      let run: @Sendable (StepContext) async throws -> StepOutcome = { context in
        var outcome = try await step.run(context)
        if twice, case .done = outcome { outcome = try await step.run(context) }
        points.reach("\(step.name):mid")
        if step.name == failing, case .done = outcome { throw CrashSite.Injected() }
        return outcome
      }
      var undo: (@Sendable (StepContext) async throws -> Void)?
      if let once = step.undo {
        undo = { context in
          try await once(context)
          if twice { try await once(context) }
        }
      }
      return Step(
        step.name, retries: step.retries, when: step.isPart, run: run, commit: step.commit, undo: undo,
        uncommit: step.uncommit)
    }
    return WorkflowDefinition(kind: kind, version: version, steps: steps, done: done, undone: undone, stuck: stuck)
  }
}
