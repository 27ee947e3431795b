import APISupport
import Domain
import HTTPTypes
import Store
import Wire

/// The Identity API (Keystone v3): who there is, who may do what where, and where the services are.
public struct KeystoneFacade: Sendable {
  let database: Database
  let authority: TokenAuthority
  let passwords: PasswordChecker
  let passwordRules: PasswordRules
  /// The site's own services, which are this program.
  let ownServices: [CatalogEntry]
  let cache = IdentityCache()
  let clock: @Sendable () -> Timestamp

  public static let prefix = "/identity"
  public static let catalogEntry = CatalogEntry(name: "keystone", type: "identity", path: prefix + "/v3")

  /// - Parameter catalog: the other services.
  public init(
    database: Database, authority: TokenAuthority, passwords: PasswordChecker,
    passwordRules: PasswordRules = PasswordRules(), catalog: [CatalogEntry], clock: @escaping @Sendable () -> Timestamp
  ) {
    self.database = database
    self.authority = authority
    self.passwords = passwords
    self.passwordRules = passwordRules
    ownServices = [Self.catalogEntry] + catalog
    self.clock = clock
  }

  public func service() -> Service {
    let endpoints: [[Endpoint]] = [
      versionEndpoints, tokenEndpoints, authEndpoints, regionEndpoints, serviceEndpoints, endpointEndpoints,
      endpointFilterEndpoints, domainEndpoints, projectEndpoints, projectTagEndpoints, userEndpoints, passwordEndpoints,
      groupEndpoints, roleEndpoints, impliedRoleEndpoints, grantEndpoints, assignmentEndpoints, credentialEndpoints,
      accessRuleEndpoints, secretEndpoints, domainConfigEndpoints, registeredLimitEndpoints, limitEndpoints,
      policyEndpoints,
    ]
    return Service(
      name: "keystone", type: "identity", prefix: Self.prefix, catalogSuffix: "/v3", errorShape: .keystone,
      endpoints: endpoints.flatMap { $0 })
  }

  /// A write transaction after which nothing that was remembered of identities counts any more.
  func change<T: Sendable>(_ body: @escaping @Sendable (any Session) throws -> T) async throws -> T {
    try await database.write { [cache] session in
      session.afterCommit { cache.forget() }
      return try body(session)
    }
  }

  // MARK: Version documents. Source: Identity API reference v3, "API versions".

  private var versionEndpoints: [Endpoint] {
    [
      Endpoint(.get, "/", .open, "versions of the Identity API") { request in
        APIResponse(.multipleChoices, json: ["versions": ["values": [version(request)]]])
      },
      Endpoint(.get, "/v3", .open, "the version document") { request in
        APIResponse(json: ["version": version(request)])
      },
    ]
  }
  private func version(_ request: APIRequest) -> JSON {
    [
      "id": "v3.14", "status": "stable", "updated": "2020-04-07T00:00:00Z",
      "links": [["rel": "self", "href": .string(request.serviceURL + "/v3/")]],
      "media-types": [["base": "application/json", "type": "application/vnd.openstack.identity-v3+json"]],
    ]
  }
}

/// The site's administrator.
func adminRule(_ action: String) -> EndpointRule {
  EndpointRule("identity:\(action)", "the site's administrator") { $0.isSiteAdmin }
}
/// Those who manage the site or a domain; what lies in another domain does not exist for the latter.
func managerRule(_ action: String) -> EndpointRule {
  EndpointRule("identity:\(action)", "the site's administrator, and administrators and managers of the domain") {
    IdentityPolicy.managed(by: $0) != .nothing
  }
}
/// Those who read the site or a domain; what lies in another domain does not exist for the latter.
func readerRule(_ action: String) -> EndpointRule {
  EndpointRule("identity:\(action)", "readers of the site and of the domain") {
    IdentityPolicy.read(by: $0) != .nothing
  }
}
/// Everyone, for what is narrowed by ``IdentityPolicy``.
func anyRule(_ action: String, _ summary: String) -> EndpointRule {
  EndpointRule("identity:\(action)", summary) { _ in true }
}

/// Readers of the whole site: the rest learn what they need from their token and the catalog.
func siteReaderRule(_ action: String) -> EndpointRule {
  EndpointRule("identity:\(action)", "readers of the site") { $0.isSiteReader }
}

extension APIError {
  /// What is not there, and what is another's: the same words for both.
  ///
  /// 404 to a reader of the site, to whom it can only be missing; 403 to everyone else, as upstream.
  static func unseen(_ what: String, _ id: String, by actor: Actor) -> APIError {
    actor.isSiteReader
      ? .missing(what, id)
      : .forbidden(
        "You are not authorized to perform the requested action: there is no \(what) \(id) that is yours to see.")
  }
  /// "You are not authorized to perform the requested action: identity:get_role."
  static func unauthorized(_ action: String) -> APIError {
    .forbidden("You are not authorized to perform the requested action: identity:\(action).")
  }
  /// "Could not find project: x."
  static func missing(_ what: String, _ id: String) -> APIError { .notFound("Could not find \(what): \(id).") }
  static var unauthenticated: APIError {
    APIError(.unauthorized, "The request you have made requires authentication.")
  }
}

/// Runs `body` and says in Keystone's words that the name is taken when the store refuses it.
func withConflict<T>(_ message: @autoclosure () -> String, _ body: () throws -> T) throws -> T {
  do { return try body() } catch let error as StoreError where error.kind == .conflict {
    throw APIError.conflict(message())
  }
}
