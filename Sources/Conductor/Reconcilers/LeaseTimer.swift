import Domain
import ServiceLifecycle
import Store
import Synchronization
import Wire
import Workflows

/// When the lease timer will look again by itself.
final class LeaseAlarm: Sendable {
  private let planned = Mutex(Timestamp.distantFuture)
  /// The distant future while it looks: then every change makes it look once more.
  var time: Timestamp {
    get { planned.withLock { $0 } }
    set { planned.withLock { $0 = newValue } }
  }
}

extension Conductor {
  /// Starts and ends leases on time, and tells their parties before the end: sleeps until the next of these is due, or until
  /// a lease changes.
  struct LeaseTimer: Service {
    let conductor: Conductor

    func run() async throws {
      await cancelWhenGracefulShutdown {
        do { try await conductor.planNotices() } catch { conductor.logger.error("lease notices: \(error)") }
        while !Task.isCancelled {
          // A change that commits between the look and the wait must not be slept through.
          conductor.leaseAlarm.time = .distantFuture
          let count = conductor.wakeups.count(of: Conductor.leaseTimerName)
          var pause: Duration = .seconds(30)
          do { pause = min(pause, try await conductor.runLeases()) } catch is CancellationError { return } catch {
            conductor.logger.error("lease timer: \(error)")
            pause = .seconds(2)
          }
          conductor.leaseAlarm.time = conductor.clock() + pause
          await conductor.wakeups.wait(for: Conductor.leaseTimerName, limit: pause, since: count)
        }
      }
    }
  }

  /// Leases that are changed in one transaction: enough to be quick, few enough to let others in between.
  private static let leasesAtOnce = 200

  /// What there is to do, found in one look.
  private struct Due: Sendable {
    let hasEnds, hasOffers, hasStarts: Bool
    /// Notices, machines that broke or are whole again, ends that wait for their machine, and owners that wait for an end.
    let hasOthers: Bool
    let next: Timestamp?

    init(_ now: Timestamp, in session: any Session) throws {
      hasEnds = try !LeaseStore.dueToEnd(now, limit: 1, in: session).isEmpty
      hasOffers = try !OfferStore.dueToExpire(now, in: session).isEmpty
      hasStarts = try !LeaseStore.dueToStart(now, limit: 1, in: session).isEmpty
      let (broken, repaired) = try LeaseStore.misjudged(in: session)
      hasOthers =
        try
        !(broken.isEmpty && repaired.isEmpty && LeaseStore.dueToNotify(now, in: session).isEmpty
        && LeaseStore.ending(in: session).isEmpty && OwnerChangeStore.ripe(in: session).isEmpty)
      next = try LeaseStore.nextDue(in: session)
    }
    var isNothing: Bool { !hasEnds && !hasOffers && !hasStarts && !hasOthers }
  }

  /// Does what is due: ends before starts, so that a machine goes from one lease to the next in the right order.
  /// - Returns: how long nothing more is due; at least 20 ms, so that a clock that stands still does not spin.
  public func runLeases() async throws -> Duration {
    let now = clock()
    let due = try await database.read { try Due(now, in: $0) }
    let next = due.isNothing ? due.next : try await perform(due, now)
    runner.signal(Self.machineFreed)
    return max(next.map { $0 - clock() } ?? .seconds(30), .milliseconds(20))
  }
  /// - Returns: when there is more to do.
  private func perform(_ due: Due, _ now: Timestamp) async throws -> Timestamp? {
    if due.hasEnds {
      try await batches("end", { try LeaseStore.dueToEnd(now, limit: Self.leasesAtOnce, in: $0) }) { uuid, session in
        // One that ended with another of the batch must be read anew.
        guard let lease = try LeaseStore.get(uuid, in: session) else { return }
        try self.endLease(lease, reason: .expired, in: session)
      }
    }
    if due.hasOffers {
      try await database.write { session in
        for offer in try OfferStore.dueToExpire(now, in: session) {
          try self.endOffer(offer, reason: .expired, in: session)
        }
      }
    }
    if due.hasStarts {
      try await batches("start", { try LeaseStore.dueToStart(now, limit: Self.leasesAtOnce, in: $0) }) {
        uuid, session in
        try self.startLease(uuid, now, in: session)
      }
    }
    return try await database.write { session in
      for lease in try LeaseStore.dueToNotify(now, in: session) { try self.notify(lease, now, in: session) }
      try self.judgeMachines(now, in: session)
      try self.concludeRepaired(at: now, in: session)
      try self.changeOwners(in: session)
      return try LeaseStore.nextDue(in: session)
    }
  }

  /// Does `body` to every lease that `due` finds, many in one transaction. When one fails, each gets a transaction of its own,
  /// so that it does not hold up the others.
  private func batches(
    _ what: String, _ due: @escaping @Sendable (any Session) throws -> [String],
    _ body: @escaping @Sendable (String, any Session) throws -> Void
  ) async throws {
    while true {
      let found = try await database.read { try due($0) }
      do {
        try await database.write { session in for uuid in found { try body(uuid, session) } }
      } catch {
        for uuid in found {
          do { try await database.write { try body(uuid, $0) } } catch {
            logger.error("lease timer: \(what) of lease \(uuid): \(error)")
          }
        }
        return
      }
      if found.count < Self.leasesAtOnce { return }
    }
  }
  private func startLease(_ uuid: String, _ now: Timestamp, in session: any Session) throws {
    guard let lease = try LeaseStore.get(uuid, in: session), lease.status == .created else { return }
    guard lease.isMachine else {
      try EventStore.append("fulfill.start", lease: lease, at: now, in: session)
      try LeaseStore.setActive(uuid, at: now, in: session)
      try EventStore.append("fulfill.end", lease: lease, at: now, in: session)
      return
    }
    try LeaseStore.setStatus(.waitFulfill, of: uuid, in: session)
    _ = try start(
      "start-lease", subject: lease.resourceUUID, params: ["lease": .string(uuid)], by: .system, in: session)
  }

  // MARK: Notices

  /// Tells the parties, through an event that webhooks take further, and plans the next time.
  private func notify(_ lease: Lease, _ now: Timestamp, in session: any Session) throws {
    try EventStore.append("expire.notice", lease: lease, at: now, in: session)
    try LeaseStore.setNotice(
      LeaseArithmetic.nextNotice(for: lease.time, settings.leases.notices, after: now), of: lease.uuid, in: session)
  }
  /// The configuration may have changed since the leases were made. A notice that was missed while the server was away is
  /// still given.
  func planNotices() async throws {
    let now = clock(), notices = settings.leases.notices
    try await database.write { session in
      for lease in try LeaseStore.pending(in: session) {
        if let planned = lease.noticeAt, planned <= now, !notices.isEmpty { continue }
        let next = LeaseArithmetic.nextNotice(for: lease.time, notices, after: now)
        if next != lease.noticeAt { try LeaseStore.setNotice(next, of: lease.uuid, in: session) }
      }
    }
  }

  // MARK: Machines

  /// A lease whose machine broke says so (`error`), and says so no more when it is whole again. The lessee keeps it.
  private func judgeMachines(_ now: Timestamp, in session: any Session) throws {
    let (broken, repaired) = try LeaseStore.misjudged(in: session)
    for uuid in broken {
      guard let lease = try LeaseStore.get(uuid, in: session),
        let node = try NodeStore.get(lease.resourceUUID, in: session)
      else { continue }
      let why = Self.whyBroken(node)?.sentence ?? node.fault ?? "its state is error"
      try LeaseStore.setStatus(.error, of: uuid, reason: "The machine is broken: \(why)", in: session)
      try EventStore.append("machine.error", lease: lease, at: now, in: session)
    }
    for uuid in repaired {
      guard let lease = try LeaseStore.get(uuid, in: session) else { continue }
      try LeaseStore.setStatus(.active, of: uuid, in: session)
      try EventStore.append("machine.repaired", lease: lease, at: now, in: session)
    }
  }
  /// An error of before says nothing of a controller that does not answer now.
  static func whyBroken(_ node: Node) -> Reason? {
    node.fault == powerFailure
      ? node.maintenanceReason ?? node.lastError : node.lastError ?? node.maintenanceReason
  }
  /// Leases whose machine could not be cleaned are over when an administrator has made it available again, or when it is gone.
  private func concludeRepaired(at now: Timestamp, in session: any Session) throws {
    for uuid in Set(try LeaseStore.ending(in: session).filter(\.isMachine).map(\.resourceUUID)) {
      let isUnderWay = try WorkflowStore.open(subject: uuid, in: session).contains { $0.kind == "end-lease" }
      let node = try NodeStore.get(uuid, in: session)
      guard !isUnderWay, node == nil || (node?.provisionState == .available && node?.reservation == nil) else {
        continue
      }
      try concludeLeases(of: uuid, at: now, in: session)
    }
  }
}
