import Domain
import Store
import Wire
import Workflows

extension Conductor {
  /// Wakes the lease timer when the caller's transaction has committed: call it after every change of a lease or offer.
  /// - Parameter due: when something has to be done because of it; nil for at once. The timer sleeps on when it looks before that.
  public func leaseChanged(due: Timestamp? = nil, in session: any Session) {
    session.afterCommit { [wakeups, leaseAlarm] in
      if due.map({ $0 < leaseAlarm.time }) ?? true { wakeups.signal(Self.leaseTimerName) }
    }
  }
  static let leaseTimerName = "lease-timer"
  /// What a lease waits for while its machine is not free.
  static let machineFreed = "machine-freed"

  /// Ends a lease in the caller's transaction: from its commit on the lessee's access is dead, and the machine is on its way
  /// back. What was made out of it, sub-leases and sub-offers at any depth, ends first. Nothing happens to one that has ended
  /// or is ending.
  public func endLease(_ lease: Lease, reason: LeaseEnd, in session: any Session) throws {
    guard lease.status.isLive, !lease.status.isEnding else { return }
    let now = clock()
    for child in try LeaseStore.children(of: lease.uuid, in: session) {
      try endLease(child, reason: reason, in: session)
    }
    for offer in try OfferStore.open(parent: lease.uuid, in: session) {
      try endOffer(offer, reason: reason, in: session)
    }
    try EventStore.append("delete.start", lease: lease, at: now, in: session)
    leaseChanged(in: session)

    guard lease.isMachine, var node = try NodeStore.get(lease.resourceUUID, in: session) else {
      // Sub-leases that waited for a machine that is gone wait no more.
      if lease.isMachine { try concludeLeases(of: lease.resourceUUID, at: now, in: session) }
      return try endAtOnce(lease, reason, at: now, in: session)
    }
    for workflow in try WorkflowStore.open(subject: node.uuid, in: session)
    where workflow.kind == "start-lease" && workflow.params["lease"]?.string == lease.uuid {
      try cancel(workflow.id, reason: "the lease has ended", in: session)
    }
    // One that never had the machine has nothing to give back.
    guard lease.fulfilledAt != nil else { return try endAtOnce(lease, reason, at: now, in: session) }
    try LeaseStore.setEnding(reason, of: lease.uuid, at: now, in: session)
    try DiskBackupScheduleStore.delete(lease: lease.uuid, in: session)
    if node.leaseUUID == lease.uuid || node.leaseUUID == nil {
      node.lessee = nil
      node.leaseUUID = nil
    }
    node.consoleEnabled = false
    node.updatedAt = now
    try NodeStore.update(node, in: session)
    try ConsoleTokenStore.remove(node: node.uuid, in: session)
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
  private func endAtOnce(_ lease: Lease, _ reason: LeaseEnd, at now: Timestamp, in session: any Session) throws {
    try LeaseStore.setEnded(reason, of: lease.uuid, at: now, in: session)
    try EventStore.append("delete.end", lease: lease, at: now, in: session)
  }

  /// Withdraws an offer in the caller's transaction, with its event.
  /// - Parameter keepsLeases: what was claimed from it runs to its end; otherwise it is cancelled first, as ESI-Leap does.
  public func withdraw(_ offer: Offer, keepsLeases: Bool, in session: any Session) throws {
    if !keepsLeases {
      var filter = LeaseStore.Filter()
      filter.offerUUID = offer.uuid
      filter.statuses = .live
      for lease in try LeaseStore.list(filter, in: session) { try endLease(lease, reason: .deleted, in: session) }
    }
    try endOffer(offer, reason: .deleted, in: session)
  }
  func endOffer(_ offer: Offer, reason: LeaseEnd, in session: any Session) throws {
    try OfferStore.setStatus(reason == .deleted ? .deleted : .expired, of: offer.uuid, in: session)
    try EventStore.append(
      reason == .deleted ? "delete.end" : "expire.end", offer: offer, at: clock(), in: session)
  }

  // MARK: The node's owner

  /// What stands in the way of another owner, or of the node's going away: leases that have not ended, and offers.
  private func commitments(of node: Node, in session: any Session) throws -> (leases: [Lease], offers: [Offer]) {
    var leases = LeaseStore.Filter()
    leases.resourceUUID = node.uuid
    leases.resourceType = Lease.defaultResourceType
    leases.statuses = .live
    var offers = OfferStore.Filter()
    offers.resourceUUID = node.uuid
    offers.resourceType = Lease.defaultResourceType
    offers.statuses = .open
    return (try LeaseStore.list(leases, in: session), try OfferStore.list(offers, in: session))
  }
  /// - Parameter change: what is refused, as the beginning of a sentence: "Its owner cannot change".
  /// - Throws: ``ConductorError`` `.conflict` while the node has leases that have not ended, or offers.
  public func requireUnleased(_ node: Node, _ change: String, in session: any Session) throws {
    let (leases, offers) = try commitments(of: node, in: session)
    guard leases.isEmpty, offers.isEmpty else {
      throw ConductorError(
        .conflict,
        "Node \(node.uuid) has leases that are not over (\(leases.count)) or offers (\(offers.count)). \(change) before they have ended: end them with `openstack esi lease delete` and `openstack esi offer delete`."
      )
    }
  }
  /// What must be over before a node is forgotten. A lease that only waits for its machine, which could not be cleaned, is
  /// not in the way: it is over when the node is gone.
  func requireForgettable(_ node: Node, in session: any Session) throws {
    if try WorkflowStore.open(subject: node.uuid, in: session).contains(where: { $0.kind == "end-lease" }) {
      throw ConductorError(.conflict, "Node \(node.uuid) is being taken back from a lease: it cannot be deleted now.")
    }
    let (leases, offers) = try commitments(of: node, in: session)
    if !offers.isEmpty || leases.contains(where: { !$0.status.isEnding }) {
      try requireUnleased(node, "It cannot be deleted", in: session)
    }
  }
  /// Gives a node to another owner in the caller's transaction, or takes back that it shall get one.
  /// - Parameters:
  ///   - owner: the project; nil for none.
  ///   - node: as it is in the store.
  ///   - isForced: leases and offers of the node end now, and the owner changes when they are over; otherwise they are in the
  ///     way.
  /// - Throws: ``ConductorError`` `.conflict` while the node has leases or offers and it is not forced.
  public func setOwner(_ owner: String?, of node: Node, isForced: Bool, in session: any Session) throws {
    try OwnerChangeStore.remove(node: node.uuid, in: session)
    guard owner != node.owner else { return }
    if isForced { return try forceOwner(owner, of: node, in: session) }
    try requireUnleased(node, "Its owner cannot change", in: session)
    try give(node.uuid, to: owner, in: session)
  }
  private func give(_ uuid: String, to owner: String?, in session: any Session) throws {
    let now = clock()
    try DiskBackupScheduleStore.deleteUnleased(node: uuid, in: session)
    try change(uuid, session) { node in
      node.owner = owner
      node.updatedAt = now
    }
  }
  /// What a lessee without a lease had asked for ends with that.
  public func lesseeChanged(of node: Node, in session: any Session) throws {
    try DiskBackupScheduleStore.deleteUnleased(node: node.uuid, project: node.lessee, in: session)
  }
  /// Gives the node to another owner, in the caller's transaction, whatever its leases: they and its offers end now, and the
  /// owner changes when the machine was taken back and is clean; at once when there is nothing to take back.
  func forceOwner(_ owner: String?, of node: Node, in session: any Session) throws {
    let (leases, offers) = try commitments(of: node, in: session)
    for offer in offers where offer.parentUUID == nil { try withdraw(offer, keepsLeases: true, in: session) }
    for lease in leases where lease.parentUUID == nil { try endLease(lease, reason: .deleted, in: session) }
    try OwnerChangeStore.put(node: node.uuid, owner: owner, at: clock(), in: session)
    try changeOwners(in: session)
    leaseChanged(in: session)
  }
  /// Owners that waited for the end of leases.
  func changeOwners(in session: any Session) throws {
    let now = clock()
    for (uuid, owner) in try OwnerChangeStore.ripe(in: session) {
      try give(uuid, to: owner, in: session)
      try OwnerChangeStore.remove(node: uuid, in: session)
      try NodeStore.addEvent(
        "The owner has changed, as was asked while the node was leased.", type: "lease", of: uuid, at: now, in: session)
    }
  }
}

/// The machine was taken back: every lease that waited for that is over, sub-leases first, and the innermost lease that they
/// came out of and that goes on has the machine again.
func concludeLeases(of node: String, at now: Timestamp, in session: any Session) throws {
  var holder: Lease?
  var rest = try LeaseStore.ending(resource: node, in: session).filter(\.isMachine)
  // One at a time that no other of them came out of.
  while let index = rest.firstIndex(where: { lease in !rest.contains { $0.parentUUID == lease.uuid } }) {
    let lease = rest.remove(at: index)
    try noteState(.end, of: node, label: nil, at: now, in: session)
    try LeaseStore.setEnded(
      lease.status == .waitExpire ? .expired : .deleted, of: lease.uuid, at: now, in: session)
    try EventStore.append("delete.end", lease: lease, at: now, in: session)
    if let parent = try lease.parentUUID.flatMap({ try LeaseStore.get($0, in: session) }), parent.isHeld {
      holder = parent
    }
  }
  guard let holder else { return }
  try change(node, session) { node in
    node.lessee = holder.projectID
    node.leaseUUID = holder.uuid
  }
}

/// Network ports that were made for this machine die with the lease: those that `esi node network attach` made (it names
/// them after the machine), and those that metalsmith made (it notes them in the node's `extra`). Others are the tenant's own
/// and stay. Call it when the switch was read back without them and before `extra` is emptied.
func deletePortsMade(for node: Node, in session: any Session) throws {
  let lessees = try Set(LeaseStore.ending(resource: node.uuid, in: session).map(\.projectID))
  guard !lessees.isEmpty else { return }
  let noted = Set(node.extra["metalsmith_created_ports"]?.array?.compactMap(\.string) ?? [])
  let prefixes = [node.name, node.uuid].compactMap { $0 }.map { "esi-\($0)-" }
  let ports = try NetworkPortStore.list(in: session) { query in
    query.appendIn("WHERE p.project_id IN", lessees.sorted().map { .text($0) })
    // A router's port goes with the router, whatever a tenant noted.
    query.append("AND p.id NOT IN (SELECT port_id FROM router_ports)")
  }
  for port in ports where !port.isBound {
    let isMade = port.deviceOwner == "baremetal:none" && prefixes.contains { port.name.hasPrefix($0) }
    if isMade || noted.contains(port.id) { try NetworkPortStore.delete(port.id, in: session) }
  }
}
