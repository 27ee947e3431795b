/// Who may see and change volumes, snapshots, attachments and backups. Source: Cinder's default policy.
///
/// What belongs to one project is nobody else's: foreign and nonexistent look the same.
public enum VolumePolicy {
  public enum Scope: Sendable, Equatable {
    case everything
    case project(String)
    case nothing
  }
  public static func isMember(_ actor: Actor) -> Bool {
    actor.isSiteAdmin || (actor.projectID != nil && actor.hasAny("member", "manager", "admin"))
  }
  /// Whose things the caller may have shown by their ids.
  public static func scope(_ actor: Actor) -> Scope {
    if actor.isSiteReader { return .everything }
    return actor.projectID.map { .project($0) } ?? .nothing
  }
  public static func sees(project: String, _ actor: Actor) -> Bool { actor.isSiteReader || actor.projectID == project }
  public static func mayChange(project: String, _ actor: Actor) -> Bool {
    actor.isSiteAdmin || (actor.projectID == project && isMember(actor))
  }
}
