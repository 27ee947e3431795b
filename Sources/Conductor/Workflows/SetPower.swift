import Domain
import Store
import Wire
import Workflows

extension Conductor {
  /// Power on, off, or off and on. Params: `target` (``PowerTarget``), `patience_seconds`.
  ///
  /// Its undo leaves the machine as it is: power that was half changed is shown as the controller reports it.
  static func setPower(_ parts: Parts) -> WorkflowDefinition {
    @Sendable func patience(_ context: StepContext) -> Duration {
      context.params["patience_seconds"]?.int.map { .seconds($0) } ?? parts.settings.powerPatience
    }
    @Sendable func target(_ context: StepContext) -> PowerTarget {
      context.params["target"]?.string.flatMap { PowerTarget(rawValue: $0) } ?? .on
    }
    return WorkflowDefinition(
      kind: "set-power",
      steps: [
        Step(
          "power-off",
          run: { context in
            let target = target(context)
            guard target != .on else { return .done }
            let graceful = target == .softOff || target == .softReboot
            try await parts.driver(of: context.subject).power.ensurePower(
              .off, graceful: graceful, patience: patience(context))
            return .done
          }),
        Step(
          "power-on",
          run: { context in
            let target = target(context)
            guard target != .off && target != .softOff else { return .done }
            let driver = try await parts.driver(of: context.subject)
            if try await driver.power.observePower() == .off { await parts.markPowerOn(context.subject, driver) }
            try await driver.power.ensurePower(.on, graceful: false, patience: patience(context))
            return .done
          }),
      ],
      done: { context, session in
        let target = target(context)
        try endPower(context, session, power: target == .off || target == .softOff ? .off : .on)
      },
      undone: { context, session in try endPower(context, session, power: nil) })
  }
}

private func endPower(_ context: StepContext, _ session: any Session, power: Power?) throws {
  try change(context.subject, session) { node in
    guard node.reservation == context.workflow else { return }
    node.reservation = nil
    node.targetPowerState = nil
    node.lastError = context.failure
    if let power {
      node.powerState = power
      node.powerObservedAt = context.now
    }
  }
  if let failure = context.failure { try recordEnd(failure, type: "power", context, session) }
}
