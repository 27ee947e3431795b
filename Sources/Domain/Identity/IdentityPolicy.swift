/// Who may see and change users, groups, projects, roles and assignments.
///
/// The site's administrator changes all of them. Role `admin` or `manager` with the scope of a domain manages what is in
/// the domain. Everyone else changes nothing but the own password, application credentials and access rules.
public enum IdentityPolicy {
  /// How far somebody's arm reaches.
  public enum Reach: Sendable, Equatable {
    case site
    /// What is in the domain, and the domain itself.
    case domain(String)
    case nothing

    public func contains(domain: String?) -> Bool {
      switch self {
      case .site: true
      case .domain(let id): id == domain
      case .nothing: false
      }
    }
  }

  /// What the actor may change.
  public static func managed(by actor: Actor) -> Reach {
    if actor.isSiteAdmin { return .site }
    guard case .domain(let id) = actor.scope, actor.hasAny("admin", "manager") else { return .nothing }
    return .domain(id)
  }
  /// What the actor may read, beside what is its own.
  public static func read(by actor: Actor) -> Reach {
    if actor.isSiteReader { return .site }
    guard case .domain(let id) = actor.scope, actor.has("reader") else { return .nothing }
    return .domain(id)
  }

  /// A user sees itself; nobody else learns who else there is.
  public static func sees(user: User, _ actor: Actor) -> Bool {
    user.id == actor.userID || read(by: actor).contains(domain: user.domainID)
  }
  /// A user sees the projects and domains that it has a role in, and the domains that contain them.
  /// - Parameter reachable: the ids of the projects and domains where the user has a role, and of their domains.
  public static func sees(project: Project, _ actor: Actor, reachable: Set<String>) -> Bool {
    read(by: actor).contains(domain: project.domainID ?? project.id) || reachable.contains(project.id)
  }
  /// Whether a role with these names, implied ones included, may be given or taken by one with this reach.
  public static func mayGive(roleNames: Set<String>, within reach: Reach) -> Bool {
    reach == .site || (reach != .nothing && roleNames.isDisjoint(with: Role.siteWide))
  }
  /// Whether the actor may read what belongs to `userID` alone (application credentials, project list).
  public static func isSelfOrReader(_ userID: String, _ actor: Actor) -> Bool {
    actor.isSiteReader || actor.userID == userID
  }
}
