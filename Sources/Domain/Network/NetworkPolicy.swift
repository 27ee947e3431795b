/// Who may see and change networks, subnets, ports, subnet pools, address scopes, security groups, and the policies that share them.
///
/// What a caller may not see does not exist for them (404); what they see and may not change is refused (403).
/// Source: Neutron's default policy, with the differences named at each rule.
public enum NetworkPolicy {
  /// May make and change things of their own project.
  public static func isMember(_ actor: Actor) -> Bool {
    actor.isSiteAdmin || (actor.projectID != nil && actor.hasAny("member", "manager", "admin"))
  }
  private static func owns(_ projectID: String, _ actor: Actor) -> Bool { actor.projectID == projectID }

  public static func sees(_ network: Network, _ actor: Actor) -> Bool {
    actor.isSiteReader || owns(network.projectID, actor) || network.sharing.reaches(actor.projectID)
      || network.externalAccess.reaches(actor.projectID)
  }
  /// What the lists of networks, subnets and ports show a caller: the same rules as `sees`, for the store.
  public enum Scope: Sendable, Equatable {
    case everything
    /// What a project has and what is shared with it; nil for a caller without a project.
    case project(String?)
  }
  public static func scope(_ actor: Actor) -> Scope { actor.isSiteReader ? .everything : .project(actor.projectID) }

  public static func mayChange(_ network: Network, _ actor: Actor) -> Bool {
    actor.isSiteAdmin || (owns(network.projectID, actor) && isMember(actor))
  }
  /// May put ports and therefore machines on it. An external network that is not shared is seen and not used: upstream
  /// leaves that to Nova.
  public static func mayAttach(to network: Network, _ actor: Actor) -> Bool {
    isMember(actor)
      && (actor.isSiteAdmin || owns(network.projectID, actor) || network.sharing.reaches(actor.projectID))
  }
  /// May choose addresses on it: the network's owner.
  public static func mayChooseAddresses(on network: Network, _ actor: Actor) -> Bool { mayChange(network, actor) }
  /// Shared with everyone, external, default and a chosen VLAN are the administrator's: they touch other projects.
  public static func maySetSiteAttributes(_ actor: Actor) -> Bool { actor.isSiteAdmin }

  /// - Parameter network: the one that it is on.
  public static func sees(_ subnet: Subnet, on network: Network, _ actor: Actor) -> Bool {
    actor.isSiteReader || owns(subnet.projectID, actor) || owns(network.projectID, actor)
      || network.sharing.reaches(actor.projectID)
  }
  public static func mayChange(_ subnet: Subnet, on network: Network, _ actor: Actor) -> Bool {
    mayChange(network, actor)
  }

  public static func sees(_ port: NetworkPort, on network: Network, _ actor: Actor) -> Bool {
    actor.isSiteReader || owns(port.projectID, actor) || owns(network.projectID, actor)
  }
  /// The owner of a network may remove another project's port from it, but not alter it.
  public static func mayDelete(_ port: NetworkPort, on network: Network, _ actor: Actor) -> Bool {
    mayChange(port, actor) || mayChange(network, actor)
  }
  public static func mayChange(_ port: NetworkPort, _ actor: Actor) -> Bool {
    actor.isSiteAdmin || (owns(port.projectID, actor) && isMember(actor))
  }

  /// A trunk is seen and changed by its project: it says what a machine of theirs is on.
  public static func sees(_ trunk: Trunk, _ actor: Actor) -> Bool {
    actor.isSiteReader || owns(trunk.projectID, actor)
  }
  public static func mayChange(_ trunk: Trunk, _ actor: Actor) -> Bool {
    actor.isSiteAdmin || (owns(trunk.projectID, actor) && isMember(actor))
  }

  /// What is seen of pools and scopes may be used.
  public static func sees(_ pool: SubnetPool, _ actor: Actor) -> Bool {
    actor.isSiteReader || owns(pool.projectID, actor) || pool.sharing.reaches(actor.projectID)
  }
  public static func sees(_ scope: AddressScope, _ actor: Actor) -> Bool {
    actor.isSiteReader || owns(scope.projectID, actor) || scope.sharing.reaches(actor.projectID)
  }
  public static func mayChange(_ pool: SubnetPool, _ actor: Actor) -> Bool { mayShare(ownedBy: pool.projectID, actor) }
  public static func mayChange(_ scope: AddressScope, _ actor: Actor) -> Bool {
    mayShare(ownedBy: scope.projectID, actor)
  }

  /// A group that is seen may be put on one's own ports.
  public static func sees(_ group: SecurityGroup, _ actor: Actor) -> Bool {
    actor.isSiteReader || owns(group.projectID, actor) || group.sharing.reaches(actor.projectID)
  }
  public static func mayChange(_ group: SecurityGroup, _ actor: Actor) -> Bool {
    mayShare(ownedBy: group.projectID, actor)
  }
  /// Also the owner of a group to which the administrator has added a rule.
  public static func mayDelete(_ rule: SecurityGroupRule, of group: SecurityGroup, _ actor: Actor) -> Bool {
    mayShare(ownedBy: rule.projectID, actor) || mayChange(group, actor)
  }

  /// Not those whom it is for, and not the owner of an object that the administrator has shared.
  public static func sees(_ policy: RBACPolicy, _ actor: Actor) -> Bool {
    actor.isSiteReader || owns(policy.projectID, actor)
  }
  public static func mayChange(_ policy: RBACPolicy, _ actor: Actor) -> Bool {
    actor.isSiteAdmin || (owns(policy.projectID, actor) && isMember(actor))
  }
  /// May make and change policies on an object of `projectID`.
  public static func mayShare(ownedBy projectID: String, _ actor: Actor) -> Bool {
    actor.isSiteAdmin || (owns(projectID, actor) && isMember(actor))
  }
}
