import Domain
import Store
import Wire
import Workflows

extension Conductor {
  /// `manage`: the controller's address and credentials are tried.
  static func verifyNode(_ parts: Parts) -> WorkflowDefinition {
    WorkflowDefinition(
      kind: "verify-node",
      steps: [
        Step(
          "verify", retries: 1,
          run: { context in
            let driver = try await parts.driver(of: context.subject)
            let identity = try await driver.management.verify()
            let power = try await driver.power.observePower()
            var output: JSONObject = ["power": .string(power.rawValue), "controller": .object(identity)]
            // A machine whose firmware cannot be read is as good as any.
            if let firmware = try? await driver.firmware?.firmware(), !firmware.isEmpty {
              output["firmware"] = .object(firmware.reduce(into: JSONObject()) { $0[$1.name] = .string($1.version) })
            }
            // What it boots in is good to know, and no condition either.
            if let mode = try? await driver.bootMode?.observeBootMode() { output["boot_mode"] = .string(mode.rawValue) }
            if let isOn = try? await driver.bootMode?.observeSecureBoot() { output["secure_boot"] = .bool(isOn) }
            return .done(.object(output))
          },
          commit: { context, output, session in
            try change(context.subject, session) { node in
              node.powerState = output["power"]?.string.flatMap { Power(rawValue: $0) }
              node.powerObservedAt = context.now
              node.bootMode = output["boot_mode"]?.string.flatMap { BootMode(rawValue: $0) } ?? node.bootMode
              node.isSecureBoot = output["secure_boot"]?.bool ?? node.isSecureBoot
              if let controller = output["controller"] { node.driverInternalInfo["controller"] = controller }
              // What it came with; shown as each component's initial version.
              if node.driverInternalInfo["firmware"] == nil { node.driverInternalInfo["firmware"] = output["firmware"] }
            }
            // A certificate seen for the first time is pinned from now on.
            if let pin = output["controller"]?["observedFingerprint"]?.string {
              try NodeStore.addDriverInfo("redfish_fingerprint", pin, of: context.subject, in: session)
            }
          })
      ],
      done: { context, session in
        try finish(context, session, .done, "The management controller answers.")
        // Before the machine is switched on for the first time: what it says then is gone if nobody listens.
        session.afterCommit { parts.wakeups.signal(consolesName) }
      },
      undone: { context, session in try finish(context, session, .fail, context.failure) })
  }
}

/// Ends a node's workflow in what the API shows: the state after `event`, the reservation given back, the failure told.
func finish(
  _ context: StepContext, _ session: any Session, _ event: ProvisionEvent, _ message: Reason?,
  _ more: (inout Node) throws -> Void = { _ in }
) throws {
  try finish(context, session, after: { _ in event }, message, more)
}
/// - Parameter event: what the end means for a node like this one.
func finish(
  _ context: StepContext, _ session: any Session, after event: (Node) -> ProvisionEvent, _ message: Reason?,
  _ more: (inout Node) throws -> Void = { _ in }
) throws {
  let failed = context.failure != nil
  try change(context.subject, session) { node in
    guard node.reservation == context.workflow else { return }
    _ = node.apply(event(node), at: context.now)
    node.targetProvisionState = nil
    node.reservation = nil
    node.deployStep = [:]
    node.cleanStep = [:]
    node.lastError = failed ? message : nil
    node.updatedAt = context.now
    try more(&node)
  }
  try AgentStore.forget(workflow: context.workflow, in: session)
  if let message { try recordEnd(message, type: "provision", context, session) }
}

/// Writes how a workflow ended into the history of its node, and how long it took.
func recordEnd(_ message: Reason, type: String, _ context: StepContext, _ session: any Session) throws {
  try NodeStore.addEvent(
    message.whole, type: type, severity: context.failure == nil ? "INFO" : "ERROR", of: context.subject,
    at: context.now, since: WorkflowStore.get(context.workflow, in: session)?.createdAt, in: session)
}

/// An undo that does not succeed: the node goes to the operator.
func giveToOperator(_ context: StepContext, _ reason: Reason, _ session: any Session) throws {
  try change(context.subject, session) { node in
    node.maintenance = true
    node.maintenanceReason = reason.following("workflow \(context.workflow) is stuck: ")
    node.fault = "workflow stuck"
    node.lastError = reason
  }
  try NodeStore.addEvent(
    "Workflow \(context.workflow) is stuck: \(reason.whole). `steelyard workflow retry \(context.workflow)` tries again.",
    type: "workflow",
    severity: "ERROR", of: context.subject, at: context.now, in: session)
}
