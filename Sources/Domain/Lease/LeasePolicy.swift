import Wire

/// Who may offer, claim and lease. Source: design notes, compat-esi §1.3 (ESI-Leap's default policy), with two changes: the
/// role `member` may do what owners and lessees may, because the site's tenants are members of their projects; and both
/// parties may move a lease's end, the lessee within the longest length that a lease may have.
public enum LeasePolicy {
  public static func isAdmin(_ actor: Actor) -> Bool {
    actor.isSiteAdmin || (actor.has("esi_leap_admin") && (actor.isAdminProject || actor.scope == .system))
  }
  /// May offer and lease out nodes that its project owns.
  public static func mayOwn(_ actor: Actor) -> Bool {
    isAdmin(actor) || (actor.projectID != nil && actor.hasAny("owner", "esi_leap_owner", "member"))
  }
  /// May claim offers, and see and end its leases.
  public static func mayLease(_ actor: Actor) -> Bool {
    mayOwn(actor) || (actor.projectID != nil && actor.hasAny("lessee", "esi_leap_lessee"))
  }
  /// May look at offers and at its project's leases.
  public static func mayRead(_ actor: Actor) -> Bool {
    mayLease(actor) || actor.isSiteReader || (actor.projectID != nil && actor.has("reader"))
  }

  public static func sees(_ lease: Lease, _ actor: Actor) -> Bool {
    if isAdmin(actor) || actor.isSiteReader { return true }
    guard let project = actor.projectID else { return false }
    return lease.projectID == project || lease.ownerID == project
  }
  public static func mayEnd(_ lease: Lease, _ actor: Actor) -> Bool {
    guard let project = actor.projectID, !isAdmin(actor) else { return isAdmin(actor) }
    return mayLease(actor) && (lease.projectID == project || lease.ownerID == project)
  }
  /// Whose hand moves a lease's end, and so how far.
  public enum EndMover: Sendable, Equatable {
    case administrator, owner
    /// May not make it longer than a lease may be in all, however often.
    case lessee
  }
  public static func endMover(of lease: Lease, _ actor: Actor) -> EndMover? {
    if isAdmin(actor) { return .administrator }
    guard let project = actor.projectID else { return nil }
    if mayOwn(actor) && lease.ownerID == project { return .owner }
    return mayLease(actor) && lease.projectID == project ? .lessee : nil
  }
  /// - Parameter lineage: the actor's project and those above it.
  public static func sees(_ offer: Offer, _ actor: Actor, lineage: [String]) -> Bool {
    if isAdmin(actor) || actor.isSiteReader || offer.projectID == actor.projectID { return true }
    guard let lessee = offer.lesseeID else { return true }
    return lineage.contains(lessee)
  }
  public static func mayDelete(_ offer: Offer, _ actor: Actor) -> Bool {
    isAdmin(actor) || (mayOwn(actor) && offer.projectID == actor.projectID)
  }
}
