import Domain
import Store
import Wire
import Workflows

extension Conductor {
  /// `deleted`: power off, networks off and read back, disks erased, available again (a retired machine: manageable). Params: what the hardware does without.
  static func undeployNode(_ parts: Parts) -> WorkflowDefinition {
    WorkflowDefinition(
      kind: "undeploy-node",
      steps: [
        parts.powerOff(),
        parts.endVolumes(),
        parts.quarantine("detach-networks"),
        Step(
          "release",
          commit: { context, _, session in
            try parts.endServer(node: context.subject, at: context.now, in: session)
            try releaseVIFs(node: context.subject, at: context.now, in: session)
            try change(context.subject, session) { node in
              clearInstance(&node)
              _ = node.apply(.clean, at: context.now)
            }
          }),
      ] + parts.cleaningSteps(),
      done: { context, session in try finish(context, session, after: cleaned, "The machine is clean.") },
      undone: { context, session in
        // Before the release the machine is still the tenant's (`error`); after it, it could not be cleaned.
        if context.outputs["release"] == nil {
          try finish(context, session, .fail, context.failure)
          // Its owner sees the error, and may try again.
          if let server = try ServerStore.on(node: context.subject, in: session) {
            try ServerStore.withdrawDeletion(server.id, in: session)
          }
        } else {
          try cleaningFailed(context, session)
        }
      },
      stuck: giveToOperator)
  }
}

/// Forgets what ran on a node.
func clearInstance(_ node: inout Node) {
  node.instanceInfo = [:]
  node.instanceUUID = nil
  node.networkData = [:]
  node.deployStep = [:]
  node.consoleEnabled = false
}
