/// Who may see and change routers, floating IPs and port forwardings. Source: Neutron's default policy (`conf/policies`, router and
/// floatingip).
extension NetworkPolicy {
  public static func sees(_ router: Router, _ actor: Actor) -> Bool {
    actor.isSiteReader || actor.projectID == router.projectID
  }
  public static func mayChange(_ router: Router, _ actor: Actor) -> Bool {
    actor.isSiteAdmin || (actor.projectID == router.projectID && isMember(actor))
  }
  public static func sees(_ floatingIP: FloatingIP, _ actor: Actor) -> Bool {
    actor.isSiteReader || actor.projectID == floatingIP.projectID
  }
  /// Its port forwardings too.
  public static func mayChange(_ floatingIP: FloatingIP, _ actor: Actor) -> Bool {
    actor.isSiteAdmin || (actor.projectID == floatingIP.projectID && isMember(actor))
  }
  /// May say which address of the external network the project gets.
  public static func mayChooseFloatingAddress(_ actor: Actor) -> Bool {
    actor.isSiteAdmin || (actor.projectID != nil && actor.hasAny("manager", "admin"))
  }
  /// May lead a router's interface into a subnet: the owner's, or one of a network that was shared with the project by name. What
  /// is shared with everyone is not enough, as upstream.
  public static func mayRoute(_ subnet: Subnet, on network: Network, _ actor: Actor) -> Bool {
    guard let project = actor.projectID else { return actor.isSiteAdmin }
    return actor.isSiteAdmin || project == subnet.projectID || network.sharing.projects.contains(project)
  }
}
