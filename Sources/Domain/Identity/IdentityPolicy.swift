/// Who may see which users and projects. The site's administrator manages all of them; nobody else changes any, except
/// a user's own password and application credentials.
public enum IdentityPolicy {
  /// A user sees itself; nobody learns who else there is.
  public static func sees(user: User, _ actor: Actor) -> Bool { actor.isSiteReader || user.id == actor.userID }

  /// A user sees the projects and domains that it has a role in, and the domains that contain them.
  /// - Parameter reachable: the ids of the projects and domains where the user has a role, and of their domains.
  public static func sees(project: Project, _ actor: Actor, reachable: Set<String>) -> Bool {
    actor.isSiteReader || reachable.contains(project.id) || actor.projectID == project.id
  }
  /// Whether the actor may read or manage what belongs to `userID` (application credentials, project list).
  public static func isSelfOrReader(_ userID: String, _ actor: Actor) -> Bool {
    actor.isSiteReader || actor.userID == userID
  }
}
