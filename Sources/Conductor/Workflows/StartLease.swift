import Domain
import Store
import Wire
import Workflows

extension Conductor {
  /// Hands a machine to its lessee when the lease's time has come. Params: `lease`. The subject is the node.
  ///
  /// A machine that is still being taken back from somebody, is used or worked on, or is broken is waited for: the lease shows
  /// `wait fulfill` and says why, until its time is over.
  static func startLease(_ parts: Parts) -> WorkflowDefinition {
    WorkflowDefinition(
      kind: "start-lease",
      steps: [
        Step(
          "hand-over",
          run: { context in
            let reason = try await parts.database.read { session -> String? in
              guard let lease = try LeaseStore.get(context.params["lease"]?.string ?? "", in: session) else {
                return nil
              }
              return try Conductor.obstacle(to: lease, in: session)
            }
            guard let reason else { return .done }
            let isNew = context.elapsed < .seconds(1)
            try await parts.database.write { session in
              guard let id = context.params["lease"]?.string, let lease = try LeaseStore.get(id, in: session),
                lease.status == .waitFulfill
              else { return }
              if lease.statusReason != reason { try LeaseStore.setReason(reason, of: id, in: session) }
              if isNew {
                try NodeStore.addEvent(
                  "A lease waits to start: \(reason).", type: "lease", of: context.subject, at: context.now, in: session
                )
              }
            }
            return .wait(until: parts.clock() + .seconds(5), on: Conductor.machineFreed)
          },
          commit: { context, _, session in
            guard let lease = try LeaseStore.get(context.params["lease"]?.string ?? "", in: session),
              lease.status == .waitFulfill
            else {
              return
            }
            // Somebody may have taken the machine since the look: then from the top.
            guard try Conductor.obstacle(to: lease, in: session) == nil else {
              try LeaseStore.setStatus(.created, of: lease.uuid, in: session)
              session.afterCommit { parts.wakeups.signal(Conductor.leaseTimerName) }
              return
            }
            try EventStore.append("fulfill.start", lease: lease, at: context.now, in: session)
            try LeaseStore.setActive(lease.uuid, at: context.now, in: session)
            try change(lease.resourceUUID, session) { node in
              node.lessee = lease.projectID
              node.leaseUUID = lease.uuid
              node.updatedAt = context.now
            }
            try noteState(.begin, of: lease.resourceUUID, label: context.key, at: context.now, in: session)
            try EventStore.append("fulfill.end", lease: lease, at: context.now, in: session)
          })
      ])
  }
}

extension Conductor {
  /// Why a lease that waits for its machine cannot have it now, for both parties to read; nil when it can, or does not wait.
  public static func obstacle(to lease: Lease, in session: any Session) throws -> String? {
    guard lease.status == .waitFulfill else { return nil }
    guard let node = try NodeStore.get(lease.resourceUUID, in: session) else { return "the node is gone" }
    if let holder = node.leaseUUID, holder != lease.parentUUID { return "the node is still another lease's" }
    if try hasEndingLease(node: node.uuid, in: session) { return "the node is being taken back and cleaned" }
    if node.reservation != nil || node.provisionState.isTransient {
      return "the node is being worked on (\(node.provisionState.rawValue))"
    }
    if [.cleanFailed, .error].contains(node.provisionState) || node.fault != nil {
      return
        "the node is broken: \(whyBroken(node)?.sentence ?? node.provisionState.rawValue)"
    }
    if let problem = try wiringProblem(of: node.uuid, in: session) {
      return "the node is not cabled as recorded: \(problem); the administrator must correct one of them"
    }
    // Nobody gets a machine with another's system on its disks, or on another's network.
    let isNetworked = try PortStore.list(node: node.uuid, in: session).contains { $0.carriedVIF != nil }
    if isNetworked || node.provisionState.isInUse {
      return "the node is still in use by who had it before: undeploy it and detach its networks"
    }
    if node.lessee != nil && node.leaseUUID == nil {
      return "the node is assigned to a project without a lease: unset its lessee"
    }
    return nil
  }
}

/// True while a lease's machine is being taken back: no tenant's network may come into force on it.
func hasEndingLease(node: String, in session: any Session) throws -> Bool {
  try !LeaseStore.ending(resource: node, in: session).isEmpty
}
