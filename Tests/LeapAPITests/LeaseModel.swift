import Domain
import Wire

/// What offers and leases must be after any history, told without a database, workflows or hardware.
///
/// It holds what is live, and whatever was ever handed over. Each question is answered from the whole of it, without an
/// index or a trick, so that it can be read against docs/compatibility.md.
struct LeaseModel {
  struct Machine {
    var owner: String
    /// Who gets it when its leases are over; the outer nil when nobody is to.
    var nextOwner: String?
    /// Cleaning it fails.
    var isBroken = false
  }
  /// The project above each project.
  static let parents = ["below": "alpha"]
  let settings: LeaseSettings
  var now: Timestamp
  var machines: [String: Machine] = [:]
  /// The leases that are not over.
  var leases: [String: Lease] = [:]
  /// The offers that are open.
  var offers: [String: Offer] = [:]
  /// Every lease that ever had its machine, as it is now.
  var handedOver: [String: Lease] = [:]
  /// Leases that ended since somebody has looked.
  var ended: [Lease] = []

  // MARK: Questions

  private func place(_ lease: Lease) -> [String] { [lease.resourceUUID, lease.parentUUID ?? ""] }
  private func place(_ offer: Offer) -> [String] { [offer.resourceUUID, offer.parentUUID ?? ""] }
  func isFree(_ range: TimeRange, _ node: String, _ parent: String?, except uuid: String? = nil) -> Bool {
    !leases.values.contains { place($0) == [node, parent ?? ""] && $0.time.overlaps(range) && $0.uuid != uuid }
  }
  func isOffered(_ range: TimeRange, _ node: String, _ parent: String?, except uuid: String? = nil) -> Bool {
    offers.values.contains { place($0) == [node, parent ?? ""] && $0.time.overlaps(range) && $0.uuid != uuid }
  }
  /// What can still be claimed from an offer.
  func availabilities(_ offer: Offer) -> [TimeRange] {
    let taken = leases.values.filter { place($0) == place(offer) }.map(\.time)
    return LeaseArithmetic.availabilities(of: offer.time, taken: taken, now: now)
  }
  func depth(_ lease: Lease) -> Int { lease.parentUUID.flatMap { leases[$0] }.map { depth($0) + 1 } ?? 0 }
  func children(_ uuid: String) -> [Lease] { leases.values.filter { $0.parentUUID == uuid } }
  func isTakenBack(_ node: String) -> Bool {
    leases.values.contains { $0.resourceUUID == node && $0.status.isEnding }
  }
  /// The lease that has the machine: the innermost that holds, unless it is being taken back.
  func holder(_ node: String) -> Lease? {
    guard !isTakenBack(node) else { return nil }
    return leases.values.filter { $0.resourceUUID == node && $0.isHeld }.max { depth($0) < depth($1) }
  }
  func sees(_ project: String, _ lease: Lease) -> Bool { lease.projectID == project || lease.ownerID == project }
  func sees(_ project: String, _ offer: Offer) -> Bool {
    offer.lesseeID == nil || offer.projectID == project || offer.lesseeID == project
      || offer.lesseeID == Self.parents[project]
  }
  func sees(_ project: String, machine node: String) -> Bool {
    machines[node]?.owner == project || holder(node)?.projectID == project
      || leases.values.contains { $0.resourceUUID == node && $0.projectID == project && $0.isHeld }
  }

  // MARK: What may be made

  /// Who gives the machine away, and out of which lease; nil when the project may not.
  private func right(_ project: String, _ node: String, from start: Timestamp) -> (owner: String, parent: Lease?)? {
    if machines[node]?.owner == project { return (project, nil) }
    let held = leases.values.filter {
      $0.resourceUUID == node && $0.projectID == project && $0.status == .active && $0.time.contains(now)
    }
    let fitting = held.filter { $0.time.contains(start) }
    return (fitting.isEmpty ? held : fitting).max { depth($0) < depth($1) }.map { (project, $0) }
  }
  /// The lease that comes of asking for it; nil when it must be refused.
  func lease(
    _ node: String, to lessee: String, _ givenStart: Timestamp?, _ givenEnd: Timestamp?, by project: String
  ) -> Lease? {
    let start = givenStart ?? now
    guard let (owner, parent) = right(project, node, from: start), machines[node]?.nextOwner == nil else { return nil }
    let usual = start + settings.defaultLength
    let range = TimeRange(start, givenEnd ?? min(usual, parent?.time.end ?? usual))
    guard range.isValid, range.end > now, parent?.time.contains(range) != false,
      givenEnd == nil || range.length <= settings.maximumLength,
      !isOffered(range, node, parent?.uuid), isFree(range, node, parent?.uuid)
    else { return nil }
    return Lease(
      uuid: "", projectID: lessee, ownerID: owner, resourceUUID: node, time: range, parentUUID: parent?.uuid,
      createdAt: now)
  }
  func offer(
    _ node: String, to lessee: String?, _ givenStart: Timestamp?, _ givenEnd: Timestamp?, by project: String
  ) -> Offer? {
    let start = givenStart ?? now
    guard let (owner, parent) = right(project, node, from: start), machines[node]?.nextOwner == nil else { return nil }
    let range = TimeRange(start, givenEnd ?? parent?.time.end ?? .distantFuture)
    guard range.isValid, range.end > now, parent?.time.contains(range) != false,
      !isOffered(range, node, parent?.uuid), isFree(range, node, parent?.uuid)
    else { return nil }
    return Offer(
      uuid: "", projectID: owner, lesseeID: lessee, resourceUUID: node, time: range, parentUUID: parent?.uuid,
      createdAt: now)
  }
  func claim(_ offer: Offer, _ givenStart: Timestamp?, _ givenEnd: Timestamp?, by project: String) -> Lease? {
    guard sees(project, offer), machines[offer.resourceUUID]?.nextOwner == nil else { return nil }
    if let parent = offer.parentUUID, leases[parent]?.status != .active { return nil }
    let start = givenStart ?? max(now, offer.time.start)
    let next = leases.values.filter { place($0) == place(offer) && $0.time.start > start }.map(\.time.start).min()
    let range = TimeRange(
      start, givenEnd ?? min(start + settings.defaultLength, offer.time.end, next ?? .distantFuture))
    guard range.isValid, range.end > now, offer.time.contains(range),
      givenEnd == nil || range.length <= settings.maximumLength,
      isFree(range, offer.resourceUUID, offer.parentUUID)
    else { return nil }
    return Lease(
      uuid: "", projectID: project, ownerID: offer.projectID, resourceUUID: offer.resourceUUID, time: range,
      offerUUID: offer.uuid, parentUUID: offer.parentUUID, createdAt: now)
  }
  /// Whether a lease's end may move to `end`.
  func mayEnd(_ lease: Lease, at end: Timestamp, by project: String) -> Bool {
    guard sees(project, lease), !lease.status.isEnding, end > lease.time.start, end > now,
      children(lease.uuid).allSatisfy({ $0.time.end <= end }),
      offers.values.allSatisfy({ $0.parentUUID != lease.uuid || $0.time.end <= end })
    else { return false }
    guard end > lease.time.end else { return true }
    let added = TimeRange(lease.time.end, end)
    if lease.ownerID == project {
      guard end - max(lease.time.start, now) <= settings.maximumLength else { return false }
    } else {
      guard end - lease.time.start <= settings.maximumLength else { return false }
      if let offer = lease.offerUUID, (offers[offer]?.time.end ?? now) < end { return false }
    }
    if let parent = lease.parentUUID, (leases[parent]?.time.end ?? now) < end { return false }
    return machines[lease.resourceUUID]?.nextOwner == nil
      && !isOffered(added, lease.resourceUUID, lease.parentUUID, except: lease.offerUUID)
      && isFree(added, lease.resourceUUID, lease.parentUUID, except: lease.uuid)
  }
  func mayChangeOwner(_ node: String) -> Bool {
    !leases.values.contains { $0.resourceUUID == node } && !offers.values.contains { $0.resourceUUID == node }
  }

  // MARK: What happens

  mutating func end(_ uuid: String, _ reason: LeaseEnd) {
    guard var lease = leases[uuid], !lease.status.isEnding else { return }
    for child in children(uuid) { end(child.uuid, reason) }
    for offer in offers.values where offer.parentUUID == uuid { offers[offer.uuid] = nil }
    lease.endedAt = now
    lease.status = lease.fulfilledAt == nil ? reason.final : reason.waiting
    leases[uuid] = lease
    if lease.fulfilledAt != nil { handedOver[uuid] = lease }
    if !lease.status.isLive { forget(lease) }
  }
  private mutating func forget(_ lease: Lease) {
    leases[lease.uuid] = nil
    ended.append(lease)
  }
  mutating func withdraw(_ uuid: String, keepsLeases: Bool) {
    if !keepsLeases { for lease in leases.values where lease.offerUUID == uuid { end(lease.uuid, .deleted) } }
    offers[uuid] = nil
  }
  mutating func setOwner(_ owner: String, of node: String, isForced: Bool) {
    machines[node]?.nextOwner = nil
    guard owner != machines[node]?.owner else { return }
    if isForced {
      for offer in offers.values where offer.resourceUUID == node && offer.parentUUID == nil {
        offers[offer.uuid] = nil
      }
      for lease in leases.values where lease.resourceUUID == node { end(lease.uuid, .deleted) }
      machines[node]?.nextOwner = owner
    } else {
      machines[node]?.owner = owner
    }
  }
  /// What the server does by itself until it rests.
  mutating func settle() {
    for lease in leases.values.sorted(by: { $0.time.end < $1.time.end }) where lease.time.end <= now {
      end(lease.uuid, .expired)
    }
    for offer in offers.values where offer.time.end <= now { offers[offer.uuid] = nil }
    for (node, machine) in machines where !machine.isBroken {
      for var lease in leases.values where lease.resourceUUID == node && lease.status.isEnding {
        lease.status = lease.status == .waitExpire ? .expired : .deleted
        handedOver[lease.uuid] = lease
        forget(lease)
      }
    }
    for var lease in leases.values.sorted(by: { depth($0) < depth($1) })
    where [.created, .waitFulfill].contains(lease.status) && lease.time.start <= now {
      lease.status = isTakenBack(lease.resourceUUID) ? .waitFulfill : .active
      if lease.status == .active {
        lease.fulfilledAt = now
        handedOver[lease.uuid] = lease
      }
      leases[lease.uuid] = lease
    }
    for (node, machine) in machines {
      guard let owner = machine.nextOwner, !leases.values.contains(where: { $0.resourceUUID == node }) else { continue }
      machines[node] = Machine(owner: owner, isBroken: machine.isBroken)
    }
  }
  /// When something is due next; nil for never.
  var nextDue: Timestamp? {
    let starts = leases.values.filter { $0.status == .created }.map(\.time.start)
    let ends = leases.values.filter { !$0.status.isEnding }.map(\.time.end)
    return (starts + ends + offers.values.map(\.time.end)).min()
  }
  /// Who had which machine when, within `period`.
  func uses(_ period: TimeRange) -> [LeaseUse] {
    handedOver.values.compactMap { lease in
      guard let start = lease.fulfilledAt else { return nil }
      let inside = TimeRange(max(start, period.start), min(lease.endedAt ?? now, period.end))
      guard inside.isValid else { return nil }
      return LeaseUse(
        leaseUUID: lease.uuid, parentUUID: lease.parentUUID, projectID: lease.projectID, ownerID: lease.ownerID,
        resourceClass: "metal", time: inside)
    }
  }
}
