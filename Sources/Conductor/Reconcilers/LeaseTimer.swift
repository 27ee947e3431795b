import Domain
import ServiceLifecycle
import Store
import Wire
import Workflows

extension Conductor {
  /// Starts and ends leases on time: sleeps until the next one is due, or until a lease changes.
  struct LeaseTimer: Service {
    let conductor: Conductor

    func run() async throws {
      await cancelWhenGracefulShutdown {
        while !Task.isCancelled {
          var pause: Duration = .seconds(30)
          do { pause = min(pause, try await conductor.runLeases()) } catch is CancellationError { return } catch {
            conductor.logger.error("lease timer: \(error)")
            pause = .seconds(2)
          }
          await conductor.wakeups.wait(for: Conductor.leaseTimerName, limit: pause)
        }
      }
    }
  }

  /// Does what is due.
  /// - Returns: how long nothing more is due; at least 20 ms, so that a clock that stands still does not spin.
  public func runLeases() async throws -> Duration {
    let now = clock()
    let next = try await database.write { session -> Timestamp? in
      for lease in try LeaseStore.dueToEnd(now, in: session) { try self.endLease(lease, reason: .expired, in: session) }
      for offer in try OfferStore.dueToExpire(now, in: session) {
        try OfferStore.setStatus(.expired, of: offer.uuid, in: session)
        try EventStore.append("expire", offer: offer, at: now, in: session)
      }
      for lease in try LeaseStore.dueToStart(now, in: session) {
        try LeaseStore.setStatus(.waitFulfill, of: lease.uuid, in: session)
        _ = try self.start(
          "start-lease", subject: lease.resourceUUID, params: ["lease": .string(lease.uuid)], by: .system, in: session)
      }
      try self.concludeRepaired(at: now, in: session)
      return try LeaseStore.nextDue(in: session)
    }
    return max(next.map { $0 - clock() } ?? .seconds(30), .milliseconds(20))
  }

  /// Leases whose machine could not be cleaned are over when an administrator has made it available again, or when the
  /// workflow of a lease that ended with them has taken the machine back.
  private func concludeRepaired(at now: Timestamp, in session: any Session) throws {
    var filter = LeaseStore.Filter()
    filter.statuses = [.waitCancel, .waitExpire]
    for lease in try LeaseStore.list(filter, in: session) {
      let isUnderWay = try WorkflowStore.open(subject: lease.resourceUUID, in: session).contains {
        $0.kind == "end-lease"
      }
      let node = try NodeStore.get(lease.resourceUUID, in: session)
      guard !isUnderWay, node == nil || (node?.provisionState == .available && node?.reservation == nil) else {
        continue
      }
      try concludeLease(lease, lease.status == .waitExpire ? .expired : .deleted, at: now, in: session)
    }
  }
}
