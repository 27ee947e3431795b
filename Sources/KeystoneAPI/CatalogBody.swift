import APISupport
import Cryptography
import Domain
import Store
import Wire

/// A service of this program in the catalog.
public struct CatalogEntry: Sendable, Equatable {
  public var name: String
  public var type: String
  /// Of its endpoint, below our origin: "/identity/v3".
  public var path: String

  public init(name: String, type: String, path: String) {
    self.name = name
    self.type = type
    self.path = path
  }
  /// Nil for a service that is not in the catalog.
  public init?(_ service: Service) {
    guard service.isInCatalog else { return nil }
    self.init(name: service.name, type: service.type, path: service.prefix + service.catalogSuffix)
  }
  /// The same in every site, because it follows from the type.
  var serviceID: String { String(Digest.sha256Hex("service/\(type)").prefix(32)) }
  func endpointID(_ interface: CatalogEndpoint.Interface) -> String {
    String(Digest.sha256Hex("endpoint/\(type)/\(interface.rawValue)").prefix(32))
  }
}

/// Services and endpoints: the site's own, which follow from the program, and those that an administrator added.
struct CatalogSnapshot: Sendable {
  struct Service: Sendable {
    var record: CatalogService
    var isOwn: Bool
  }
  struct Endpoint: Sendable {
    /// The URL of an own one is only its path: the origin is that under which the client reached us.
    var record: CatalogEndpoint
    var isOwn: Bool

    func url(origin: String) -> String { isOwn ? origin + record.url : record.url }
  }
  var services: [Service]
  var endpoints: [Endpoint]
  var groups: [EndpointGroup]
  /// By project: endpoints, and endpoint groups, that it is shown. A project with neither is shown all.
  var endpointsByProject: [String: Set<String>]
  var groupsByProject: [String: Set<String>]
  /// Some URL names the project, or the user.
  let namesProject: Bool
  let namesUser: Bool

  init(_ own: [CatalogEntry], in session: any Session) throws {
    services = own.map { entry in
      Service(
        record: CatalogService(id: entry.serviceID, type: entry.type, name: entry.name, description: ""), isOwn: true)
    }
    endpoints = own.flatMap { entry in
      CatalogEndpoint.Interface.allCases.map { interface in
        Endpoint(
          record: CatalogEndpoint(
            id: entry.endpointID(interface), serviceID: entry.serviceID, interface: interface, regionID: Region.own,
            url: entry.path), isOwn: true)
      }
    }
    let added = try CatalogStore.endpoints(in: session)
    services += try CatalogStore.services(in: session).map { Service(record: $0, isOwn: false) }
    endpoints += added.map { Endpoint(record: $0, isOwn: false) }
    groups = try EndpointFilterStore.groups(in: session)
    endpointsByProject = try EndpointFilterStore.endpointsByProject(in: session)
    groupsByProject = try EndpointFilterStore.groupsByProject(in: session)
    namesProject = added.contains { $0.url.contains("project_id)s") || $0.url.contains("tenant_id)s") }
    namesUser = added.contains { $0.url.contains("user_id)s") }
  }

  func service(_ id: String) -> Service? { services.first { $0.record.id == id } }
  func endpoint(_ id: String) -> Endpoint? { endpoints.first { $0.record.id == id } }
  func endpoints(in group: EndpointGroup) -> [Endpoint] {
    endpoints.filter {
      group.contains(
        interface: $0.record.interface.rawValue, serviceID: $0.record.serviceID, regionID: $0.record.regionID)
    }
  }
  func isFiltered(_ project: String?) -> Bool {
    guard let project else { return false }
    return endpointsByProject[project] != nil || groupsByProject[project] != nil
  }
  /// The endpoints that a project is shown, enabled or not.
  func endpoints(for project: String?) -> [Endpoint] {
    guard let project, isFiltered(project) else { return endpoints }
    var ids = endpointsByProject[project] ?? []
    let own = groupsByProject[project] ?? []
    for group in groups where own.contains(group.id) { ids.formUnion(endpoints(in: group).map(\.record.id)) }
    return endpoints.filter { ids.contains($0.record.id) }
  }
}

extension KeystoneFacade {
  /// What is remembered, or five statements.
  func catalogSnapshot(in session: any Session, readAt generation: Int) throws -> CatalogSnapshot {
    if let known = cache.snapshot { return known }
    let snapshot = try CatalogSnapshot(ownServices, in: session)
    cache.keep(snapshot: snapshot, readAt: generation)
    return snapshot
  }
  func catalogSnapshot() async throws -> CatalogSnapshot {
    if let known = cache.snapshot { return known }
    let generation = cache.generation
    return try await database.read { try catalogSnapshot(in: $0, readAt: generation) }
  }

  func catalogBytes(
    _ snapshot: CatalogSnapshot, for token: Token, _ request: APIRequest, readAt generation: Int
  ) -> [UInt8] {
    var project: String?
    if case .project(let id, _) = token.scope { project = id }
    return catalogBytes(snapshot, project: project, user: token.userID, request, readAt: generation)
  }
  /// The catalog as in a token's body.
  /// - Parameter generation: of the cache when `snapshot` was read; nil when it is not known.
  func catalogBytes(
    _ snapshot: CatalogSnapshot, project: String?, user: String, _ request: APIRequest, readAt generation: Int?
  ) -> [UInt8] {
    let key = IdentityCache.CatalogKey(
      origin: request.origin, project: snapshot.namesProject || snapshot.isFiltered(project) ? project ?? "" : "",
      user: snapshot.namesUser ? user : "")
    if let generation, generation == cache.generation, let known = cache.catalog(key) { return known }
    let shown = Dictionary(
      grouping: snapshot.endpoints(for: project).filter(\.record.isEnabled), by: \.record.serviceID)
    var writer = JSONWriter(capacity: 8192)
    writer.beginArray()
    for service in snapshot.services where service.record.isEnabled {
      let endpoints = shown[service.record.id] ?? []
      if endpoints.isEmpty && snapshot.isFiltered(project) { continue }
      writer.beginObject()
      writer.key("endpoints")
      writer.beginArray()
      for endpoint in endpoints {
        let record = endpoint.record
        guard let url = endpoint.isOwn ? endpoint.url(origin: request.origin) : record.url(project: project, user: user)
        else { continue }
        writer.beginObject()
        writer.member("id", record.id)
        writer.member("interface", record.interface.rawValue)
        writer.member("region_id", record.regionID)
        writer.member("url", url)
        writer.member("region", record.regionID)
        writer.endObject()
      }
      writer.endArray()
      writer.member("id", service.record.id)
      writer.member("type", service.record.type)
      writer.member("name", service.record.name ?? "")
      writer.endObject()
    }
    writer.endArray()
    let bytes = writer.bytes
    if let generation { cache.keep(catalog: bytes, key, readAt: generation) }
    return bytes
  }
}
