import Domain
import Store
import Wire
import Workflows

extension Conductor {
  /// Hands a machine to its lessee when the lease's time has come. Params: `lease`. The subject is the node.
  ///
  /// A machine that is still being taken back from somebody, is worked on, or is broken is waited for: the lease shows
  /// `wait fulfill` and says why in the machine's history, until its time is over.
  static func startLease(_ parts: Parts) -> WorkflowDefinition {
    WorkflowDefinition(
      kind: "start-lease",
      steps: [
        Step(
          "hand-over",
          run: { context in
            let reason = try await parts.database.read { session -> String? in try obstacle(to: context, in: session) }
            guard let reason else { return .done }
            if context.elapsed < .seconds(1) {
              try await parts.database.write { session in
                try NodeStore.addEvent(
                  "A lease waits to start: \(reason).", type: "lease", of: context.subject, at: context.now, in: session
                )
              }
            }
            return .wait(until: parts.clock() + .seconds(5), on: nil)
          },
          commit: { context, _, session in
            guard let lease = try LeaseStore.get(context.params["lease"]?.string ?? "", in: session),
              lease.status == .waitFulfill
            else {
              return
            }
            try EventStore.append("fulfill.start", lease: lease, at: context.now, in: session)
            try LeaseStore.setActive(lease.uuid, at: context.now, in: session)
            try change(lease.resourceUUID, session) { node in
              node.lessee = lease.projectID
              node.leaseUUID = lease.uuid
              node.updatedAt = context.now
            }
            try EventStore.append("fulfill.end", lease: lease, at: context.now, in: session)
          })
      ])
  }
}

/// Why the machine cannot be handed over now; nil when it can.
private func obstacle(to context: StepContext, in session: any Session) throws -> String? {
  guard let lease = try LeaseStore.get(context.params["lease"]?.string ?? "", in: session), lease.status == .waitFulfill
  else { return nil }
  guard let node = try NodeStore.get(lease.resourceUUID, in: session) else { return "the node is gone" }
  if let holder = node.leaseUUID, holder != lease.parentUUID { return "the node is still another lease's" }
  if try hasEndingLease(node: node.uuid, in: session) { return "the node is being taken back and cleaned" }
  if node.provisionState.isTransient { return "the node is \(node.provisionState.rawValue)" }
  if [.cleanFailed, .error].contains(node.provisionState) || node.fault != nil {
    return "the node is broken: \((node.lastError ?? node.maintenanceReason)?.whole ?? node.provisionState.rawValue)"
  }
  return nil
}

/// True while a lease's machine is being taken back: no tenant's network may come into force on it.
func hasEndingLease(node: String, in session: any Session) throws -> Bool {
  var filter = LeaseStore.Filter()
  filter.resourceUUID = node
  filter.statuses = [.waitCancel, .waitExpire]
  return try !LeaseStore.list(filter, in: session).isEmpty
}
