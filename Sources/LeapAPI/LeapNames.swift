import APISupport
import Domain
import Store
import Wire

/// Looks up what lists show beside ids, each once.
struct LeapNames {
  private let session: any Session
  private var projects: [String: String] = [:]
  private var nodes: [String: Node?] = [:]

  init(_ session: any Session) { self.session = session }

  /// The project's name; "" for none, "unknown-name" when it is gone.
  mutating func project(_ id: String?) throws -> String {
    guard let id else { return "" }
    if let known = projects[id] { return known }
    let name = try ProjectStore.get(id, in: session)?.name ?? "unknown-name"
    projects[id] = name
    return name
  }
  mutating func node(_ uuid: String) throws -> Node? {
    if let known = nodes[uuid] { return known }
    let node = try NodeStore.get(uuid, in: session)
    nodes[uuid] = .some(node)
    return node
  }
  /// Without what is nobody's business but the server's.
  static func shownProperties(_ node: Node?) -> JSONObject {
    guard var properties = node?.properties else { return [:] }
    properties["lease_uuid"] = nil
    properties["capabilities"] = nil
    return properties
  }
}

/// Whom and what a caller names.
enum LeapLookup {
  /// The project with this id, or this name, in the caller's domain before others.
  /// - Throws: 404 when there is none, 409 when several other domains have one.
  static func project(_ text: String, _ actor: Actor, in session: any Session) throws -> Project {
    let found = try ProjectStore.byNameOrID(text, in: session).filter { !$0.isDomain }
    if found.count > 1 {
      if case .project(_, let domain) = actor.scope, let own = found.first(where: { $0.domainID == domain }) {
        return own
      }
      throw APIError.conflict("Several domains have a project named \(text): use its id.")
    }
    guard let project = found.first else { throw APIError.notFound("No project named \(text).") }
    return project
  }

  /// The project by which a list is narrowed, which must be the caller's own.
  /// - Throws: 403, also for one that is not there, when the caller may not look at others'.
  static func ownProject(_ text: String, _ actor: Actor, rule: String, in session: any Session) throws -> String {
    if LeasePolicy.isAdmin(actor) || actor.isSiteReader { return try project(text, actor, in: session).id }
    guard let own = actor.projectID, try ProjectStore.byNameOrID(text, in: session).contains(where: { $0.id == own })
    else {
      throw Refusal.rule(rule)
    }
    return own
  }

  /// The resource of a request, which must be a node.
  /// - Throws: 400 for another type, 404 when it is not there.
  static func node(type: String?, _ id: String, in session: any Session) throws -> Node {
    try check(type: type)
    guard let node = try NodeStore.find(id, in: session) else { throw Refusal.missingNode(id) }
    return node
  }
  static func check(type: String?) throws {
    if let type, type != Lease.defaultResourceType { throw APIError.badRequest("\(type) resource type unknown.") }
  }

  /// What gives the caller the right to lease or offer a node at a time.
  struct Right {
    /// The project in whose name it does.
    var ownerID: String
    /// The lease out of which it sub-leases; nil for the node's owner and the administrator.
    var parent: Lease?
  }
  /// - Throws: 404 when the caller may not know of the node, 403 when it knows it and may not.
  static func right(_ actor: Actor, to node: Node, asked: String, now: Timestamp, in session: any Session) throws
    -> Right
  {
    if let project = actor.projectID, project == node.owner { return Right(ownerID: project) }
    if LeasePolicy.isAdmin(actor) {
      guard let owner = node.owner ?? actor.projectID else {
        throw APIError.badRequest(
          "The node \(node.label) has no owner: set one, or use a token that is scoped to a project.")
      }
      return Right(ownerID: owner)
    }
    guard let project = actor.projectID, NodePolicy.sees(node, actor) else { throw Refusal.missingNode(asked) }
    guard project == node.lessee else { throw Refusal.access(Lease.defaultResourceType, node.uuid) }
    var filter = LeaseStore.Filter()
    filter.resourceUUID = node.uuid
    filter.projectID = project
    filter.statuses = [.active]
    guard let lease = try LeaseStore.list(filter, in: session).first(where: { $0.time.contains(now) }),
      lease.parentUUID == nil
    else { throw Refusal.access(Lease.defaultResourceType, node.uuid) }
    return Right(ownerID: project, parent: lease)
  }
}
