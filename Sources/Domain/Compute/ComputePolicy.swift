/// Who may see and change servers, flavors and keypairs. Source: Nova's default policy.
///
/// What a caller may not see does not exist for them (404).
public enum ComputePolicy {
  /// May make and change servers of their own project.
  public static func isMember(_ actor: Actor) -> Bool {
    actor.isSiteAdmin
      || (actor.projectID != nil && actor.hasAny("member", "manager", "admin", "owner", "lessee"))
  }
  public static func sees(_ server: Server, _ actor: Actor) -> Bool {
    actor.isSiteReader || actor.projectID == server.projectID
  }
  public static func mayChange(_ server: Server, _ actor: Actor) -> Bool {
    actor.isSiteAdmin || (actor.projectID == server.projectID && isMember(actor))
  }
  /// Where the machine is, and whatever else is the site's business.
  public static func seesSite(_ actor: Actor) -> Bool { actor.isSiteReader }

  public static func sees(_ flavor: Flavor, _ actor: Actor) -> Bool {
    flavor.isPublic || actor.isSiteReader || actor.projectID.map { flavor.projectIDs.contains($0) } ?? false
  }
  public static func sees(_ group: ServerGroup, _ actor: Actor) -> Bool {
    actor.isSiteReader || actor.projectID == group.projectID
  }
  public static func mayChange(_ group: ServerGroup, _ actor: Actor) -> Bool {
    actor.isSiteAdmin || (actor.projectID == group.projectID && isMember(actor))
  }
  /// What lists of servers are narrowed to; nil for everything.
  public static func scope(_ actor: Actor, allProjects: Bool) -> NodePolicy.Scope {
    if allProjects && actor.isSiteReader { return .everything }
    return actor.projectID.map { .project($0) } ?? .nothing
  }
  /// May put a server on `node`: their leased machine, or their own that nobody leases.
  public static func mayUse(_ node: Node, project: String) -> Bool {
    node.lessee == project || (node.owner == project && node.lessee == nil)
  }
}
