import Domain
import Store
import Wire
import Workflows

extension Conductor {
  /// Takes a machine back: cut off at once, powered off, networks detached and read back, disks erased, available again.
  ///
  /// Params: `lease`, `end` (``LeaseEnd``), and what the hardware does without (``Without``). The subject is the node. The transaction that inserts it has ended the lessee's
  /// access; the machine is freed only after its switch ports were read back in quarantine and its disks were read back empty.
  static func endLease(_ parts: Parts) -> WorkflowDefinition {
    WorkflowDefinition(
      kind: "end-lease",
      steps: [
        // Before anything else, and whoever holds the machine: the network is dead within a second of the end.
        Step(
          "cut-network", retries: 10_000, when: needsSwitches,
          run: { context in
            try await parts.applyNetworks(.quarantine, node: context.subject, label: nil)
            return .done
          }),
        Step(
          "take-node",
          run: { context in
            let holder = try await parts.database.write { session -> String? in
              guard var node = try NodeStore.get(context.subject, in: session) else { return nil }
              if let holder = node.reservation, holder != context.workflow { return holder }
              node.reservation = context.workflow
              node.targetProvisionState = node.isRetired ? "manageable" : "available"
              try NodeStore.update(node, in: session)
              return nil
            }
            guard let holder else { return .done }
            return .wait(until: parts.clock() + .seconds(2), on: "workflow/\(holder)")
          }),
        parts.powerOff(),
        parts.endVolumes(),
        parts.quarantine("detach-networks"),
        Step(
          "release",
          commit: { context, _, session in
            try parts.endServer(node: context.subject, at: context.now, in: session)
            try releaseVIFs(node: context.subject, at: context.now, in: session)
            if let node = try NodeStore.get(context.subject, in: session) {
              try deletePortsMade(for: node, in: session)
            }
            try forgetVolumes(context, session)
            try change(context.subject, session) { node in
              if let allocation = node.allocationUUID { try AllocationStore.delete(allocation, in: session) }
              node.allocationUUID = nil
              clearInstance(&node)
              node.extra = [:]
              node.provisionState = .cleaning
              node.provisionUpdatedAt = context.now
            }
          }),
      ] + parts.cleaningSteps(),
      done: { context, session in
        try finish(context, session, after: cleaned, "The lease has ended; the machine is clean.")
        try concludeLeases(of: context.subject, at: context.now, in: session)
        session.afterCommit { parts.wakeups.signal(Conductor.leaseTimerName) }
      },
      undone: { context, session in
        // The machine stays blocked by the waiting lease until an administrator has cleaned it (lease timer).
        try change(context.subject, session) { node in
          // Also when it failed before it took the machine: what could not be cut off is the operator's.
          if node.reservation == nil { node.reservation = context.workflow }
          if node.reservation == context.workflow, !node.provisionState.isTransient { node.provisionState = .cleaning }
        }
        try cleaningFailed(context, session)
        for lease in try LeaseStore.ending(resource: context.subject, in: session) {
          try LeaseStore.setReason(
            "The machine could not be taken back: \(context.failure?.sentence ?? "")", of: lease.uuid, in: session)
        }
      },
      stuck: giveToOperator)
  }
}

/// What the tenant said of storage, passwords included, is not the next one's to see.
private func forgetVolumes(_ context: StepContext, _ session: any Session) throws {
  var next = try LeaseStore.get(context.params["lease"]?.string ?? "", in: session)
  while let lease = next {
    try VolumeConnectorStore.delete(madeBy: lease.projectID, node: context.subject, in: session)
    try VolumeTargetStore.delete(madeBy: lease.projectID, node: context.subject, in: session)
    // The lease that it came out of ends with it: one workflow takes the machine back for both.
    let parent = try lease.parentUUID.flatMap { try LeaseStore.get($0, in: session) }
    next = parent?.status.isEnding == true ? parent : nil
  }
}
