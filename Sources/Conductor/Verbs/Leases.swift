import Domain
import Store
import Wire
import Workflows

extension Conductor {
  /// Wakes the lease timer when the caller's transaction has committed: call it after every change of a lease or offer.
  public func leaseChanged(in session: any Session) {
    session.afterCommit { [wakeups] in wakeups.signal(Self.leaseTimerName) }
  }
  static let leaseTimerName = "lease-timer"

  /// Ends a lease in the caller's transaction: from its commit on the lessee's access is dead, and the machine is on its way
  /// back. Its sub-leases end first. Nothing happens to one that has ended or is ending.
  public func endLease(_ lease: Lease, reason: LeaseEnd, in session: any Session) throws {
    guard lease.status.isLive, !lease.status.isEnding else { return }
    let now = clock()
    for child in try LeaseStore.children(of: lease.uuid, in: session) {
      try endLease(child, reason: reason, in: session)
    }
    try EventStore.append("delete.start", lease: lease, at: now, in: session)
    leaseChanged(in: session)

    for workflow in try WorkflowStore.open(subject: lease.resourceUUID, in: session)
    where workflow.kind == "start-lease" && workflow.params["lease"]?.string == lease.uuid {
      try cancel(workflow.id, reason: "the lease has ended", in: session)
    }
    guard lease.fulfilledAt != nil, var node = try NodeStore.get(lease.resourceUUID, in: session) else {
      // It never had the machine.
      try LeaseStore.setEnded(reason, of: lease.uuid, at: now, in: session)
      try EventStore.append("delete.end", lease: lease, at: now, in: session)
      return
    }
    try LeaseStore.setStatus(reason.waiting, of: lease.uuid, in: session)
    if node.leaseUUID == lease.uuid || node.leaseUUID == nil {
      node.lessee = nil
      node.leaseUUID = nil
    }
    node.consoleEnabled = false
    node.updatedAt = now
    try NodeStore.update(node, in: session)
    closeConsole(node.uuid, in: session)
    if let holder = node.reservation { try cancel(holder, reason: "the lease has ended", in: session) }
    try NodeStore.addEvent(
      "Lease \(lease.uuid) has ended (\(reason.rawValue)).", type: "lease", of: node.uuid, at: now, in: session)
    // A sub-lease that ends together with its parent is taken back by the parent's workflow, and the other way round: one is enough.
    let isUnderWay = try WorkflowStore.open(subject: node.uuid, in: session).contains { $0.kind == "end-lease" }
    guard !isUnderWay else { return }
    var params: JSONObject = ["lease": .string(lease.uuid), "end": .string(reason.rawValue)]
    for member in without(node) { params[member.key] = member.value }
    _ = try start("end-lease", subject: node.uuid, params: params, by: .system, in: session)
  }
}
