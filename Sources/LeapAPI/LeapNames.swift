import APISupport
import Domain
import Store
import Wire

/// Looks up what lists show beside ids, each once.
struct LeapNames {
  /// Which of the two orders ESI-Leap writes a resource in.
  enum Order { case lease, offer }
  private struct Key: Hashable {
    var type: String
    var id: String
  }
  private let session: any Session
  private let dummies: DummyNodes
  private let order: Order
  private var projects: [String: String] = [:]
  private var resources: [Key: String] = [:]

  init(_ session: any Session, dummies: DummyNodes, order: Order) {
    self.session = session
    self.dummies = dummies
    self.order = order
  }

  /// The project's name; "" for none, "unknown-name" when it is gone.
  mutating func project(_ id: String?) throws -> String {
    guard let id else { return "" }
    if let known = projects[id] { return known }
    let name = try ProjectStore.get(id, in: session)?.name ?? "unknown-name"
    projects[id] = name
    return name
  }
  /// The members that show a resource, from `resource_type` on, as JSON text.
  mutating func resource(type: String, id: String) throws -> String {
    let key = Key(type: type, id: id)
    if let known = resources[key] { return known }
    let text = try members(type, id)
    resources[key] = text
    return text
  }
  private func members(_ type: String, _ id: String) throws -> String {
    var (name, resourceClass, properties) = ("unknown-name", "unknown-class", "{}")
    switch type {
    case Lease.defaultResourceType:
      let shown = try LeaseResourceStore.shown(id, in: session) { ($0 ?? "", $1 ?? "", Self.visible($2)) }
      if let shown { (name, resourceClass, properties) = shown }
    case LeaseResource.dummyType:
      if let file = dummies.read(id) {
        let resource = LeaseResource(dummy: id, file)
        (name, resourceClass) = (resource.name ?? "", resource.resourceClass ?? "")
        properties = JSON.object(file["properties"]?.object ?? [:]).description
      }
    default: (name, resourceClass) = ("test-node-\(id)", LeaseResource.fakeClass)
    }
    var writer = JSONWriter()
    writer.beginObject()
    writer.member("resource_type", type)
    writer.member("resource_uuid", id)
    if order == .offer { writer.member("resource", name) }
    writer.member("resource_class", resourceClass)
    writer.member("resource_properties", raw: properties)
    if order == .lease { writer.member("resource", name) }
    // Without the braces, to be spliced into another object.
    return writer.withBytes { String(decoding: $0.dropFirst(), as: UTF8.self) }
  }

  /// Without what is nobody's business but the server's.
  static func visible(_ properties: String) -> String {
    guard properties.contains("lease_uuid") || properties.contains("capabilities") else { return properties }
    return JSON.object(visible((try? JSON(parsing: properties))?.object ?? [:])).description
  }
  static func visible(_ properties: JSONObject) -> JSONObject {
    var properties = properties
    properties["lease_uuid"] = nil
    properties["capabilities"] = nil
    return properties
  }
}

/// What can be leased, of whichever type.
struct LeaseResource: Sendable {
  var type: String
  var uuid: String
  var name: String?
  var owner: String?
  var resourceClass: String?
  /// The machine; nil for the others.
  var node: Node?

  static let dummyType = "dummy_node"
  static let testType = "test_node"
  static let fakeClass = "fake"

  init(node: Node) {
    type = Lease.defaultResourceType
    uuid = node.uuid
    name = node.name
    owner = node.owner
    resourceClass = node.resourceClass
    self.node = node
  }
  /// Source: ESI-Leap, `resource_objects/dummy_node.py`.
  init(dummy id: String, _ file: JSONObject) {
    type = Self.dummyType
    uuid = id
    name = "dummy-node-\(id)"
    owner = file["project_owner_id"]?.string
    resourceClass = file["resource_class"]?.string ?? Self.fakeClass
  }
  /// Source: ESI-Leap, `resource_objects/test_node.py`: every id, always the same owner.
  init(test id: String) {
    type = Self.testType
    uuid = id
    owner = "12345"
    resourceClass = Self.fakeClass
  }
  func place(under parent: Lease?) -> LeaseStore.Place {
    LeaseStore.Place(resourceType: type, resourceUUID: uuid, parentUUID: parent?.uuid)
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

  // MARK: Rights

  /// What gives the caller the right to lease or offer a resource at a time.
  struct Right {
    /// The project in whose name it does.
    var ownerID: String
    /// The lease out of which it sub-leases; nil for the resource's owner and the administrator.
    var parent: Lease?
  }
  /// - Parameter start: of what is asked for: of several leases that the caller has, the one that holds then counts.
  /// - Throws: 404 when the caller may not know of the resource, 403 when it knows it and may not.
  static func right(
    _ actor: Actor, to resource: LeaseResource, asked: String, start: Timestamp, now: Timestamp,
    in session: any Session
  ) throws -> Right {
    if let project = actor.projectID, project == resource.owner { return Right(ownerID: project) }
    if LeasePolicy.isAdmin(actor) {
      guard let owner = resource.owner ?? actor.projectID else {
        throw APIError.badRequest(
          "The node \(resource.name ?? resource.uuid) has no owner: set one, or use a token that is scoped to a project."
        )
      }
      return Right(ownerID: owner)
    }
    guard let project = actor.projectID else { throw Refusal.missingResource(resource.type, asked) }
    var filter = LeaseStore.Filter()
    filter.resourceUUID = resource.uuid
    filter.resourceType = resource.type
    filter.projectID = project
    filter.statuses = .only([.active])
    let held = try LeaseStore.list(filter, in: session).filter { $0.time.contains(now) }
    let fitting = held.filter { $0.time.contains(start) }
    let depths = try (fitting.isEmpty ? held : fitting).map { ($0, try LeaseStore.depth($0, in: session)) }
    // The innermost of those that the caller has: what it gives on must not outlive that.
    if let (parent, _) = depths.max(by: { $0.1 < $1.1 }) { return Right(ownerID: project, parent: parent) }
    guard let node = resource.node, NodePolicy.sees(node, actor) else {
      throw Refusal.missingResource(resource.type, asked)
    }
    throw Refusal.access(resource.type, resource.uuid)
  }
}

extension LeapAPI {
  /// The resource of a request.
  /// - Throws: 400 for a type that is not there, 404 when the resource is not.
  func resource(type: String?, _ id: String, in session: any Session) throws -> LeaseResource {
    let type = try check(type: type)
    switch type {
    case Lease.defaultResourceType:
      guard let node = try NodeStore.find(id, in: session) else { throw Refusal.missingResource(type, id) }
      return LeaseResource(node: node)
    case LeaseResource.dummyType:
      guard let file = dummies.read(id) else { throw Refusal.missingResource(type, id) }
      return LeaseResource(dummy: id, file)
    default: return LeaseResource(test: id)
    }
  }
  @discardableResult func check(type: String?) throws -> String {
    switch type {
    case nil, Lease.defaultResourceType?: return Lease.defaultResourceType
    case LeaseResource.dummyType? where settings.dummyFolder != nil: return LeaseResource.dummyType
    case LeaseResource.testType? where settings.hasTestNodes: return LeaseResource.testType
    case let type?: throw APIError.badRequest("\(type) resource type unknown.")
    }
  }
  /// - Throws: 409 while the node is on its way to another owner.
  func requireSettled(_ resource: LeaseResource, in session: any Session) throws {
    guard resource.node != nil, try OwnerChangeStore.isPending(node: resource.uuid, in: session) else { return }
    throw APIError.conflict(
      "Node \(resource.uuid) gets another owner when its leases are over: nothing new can be made of it before.")
  }
  /// A resource by which a list is narrowed, as its leases name it.
  func resourceID(_ text: String, in session: any Session) throws -> String {
    try NodeStore.find(text, in: session)?.uuid ?? text
  }
  func names(_ session: any Session, _ order: LeapNames.Order) -> LeapNames {
    LeapNames(session, dummies: dummies, order: order)
  }
}
