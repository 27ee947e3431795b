import Domain
import HTTPTypes
import Wire

/// Who may call an endpoint at all. What they may see of it is the noun's policy (`Domain/*/…Policy.swift`).
///
/// There is no default: an endpoint without a rule does not compile.
public struct EndpointRule: Sendable {
  /// The name in the policy matrix and in "403" messages: "baremetal:node:get".
  public let name: String
  /// In words, for the generated documentation.
  public let summary: String
  let needsToken: Bool
  let allows: @Sendable (Actor) -> Bool

  public init(_ name: String, _ summary: String, allows: @escaping @Sendable (Actor) -> Bool) {
    self.name = name
    self.summary = summary
    needsToken = true
    self.allows = allows
  }
  private init(open name: String) {
    self.name = name
    summary = "anyone, without a token"
    needsToken = false
    allows = { _ in true }
  }
  /// Anyone, without a token: version documents and the log-in itself.
  public static let open = EndpointRule(open: "open")
  /// Anyone with a valid token; the handler filters what is shown by the noun's policy.
  public static let authenticated = EndpointRule("authenticated", "anyone with a token") { _ in true }
  public static let siteAdmin = EndpointRule("admin", "the site's administrator") { $0.isSiteAdmin }
  public static let siteReader = EndpointRule("site reader", "the site's administrator or a system reader") {
    $0.isSiteReader
  }
}

/// One method of one path of one service, declared once: routing, policy, documentation and the policy matrix come from it.
public struct Endpoint: Sendable {
  public let method: HTTPRequest.Method
  /// Below the service's prefix, with `{names}`: "/v1/nodes/{node}/states/power". A last segment `{name*}` takes the
  /// rest of the path, slashes included.
  public let path: String
  public let rule: EndpointRule
  public let summary: String
  let handler: @Sendable (APIRequest) async throws -> APIResponse

  public init(
    _ method: HTTPRequest.Method, _ path: String, _ rule: EndpointRule, _ summary: String,
    handler: @escaping @Sendable (APIRequest) async throws -> APIResponse
  ) {
    self.method = method
    self.path = path
    self.rule = rule
    self.summary = summary
    self.handler = handler
  }
}

/// One upstream service: its place in the catalog, its endpoints, its error shape.
public struct Service: Sendable {
  /// Catalog name: "ironic".
  public let name: String
  /// Catalog type: "baremetal".
  public let type: String
  /// Path prefix on our port: "/baremetal".
  public let prefix: String
  /// What the catalog appends to the prefix: "/v3" for identity, "" where clients append the version themselves.
  public let catalogSuffix: String
  public let errorShape: ErrorShape
  /// "/v1" where a path that nothing answers is tried below it too; nil where clients must name the version.
  public let defaultVersion: String?
  /// Clients may write the token's project behind the version: "/v3/PROJECT/volumes" is then "/v3/volumes".
  public let isProjectInPath: Bool
  public let endpoints: [Endpoint]
  /// Headers for every answer of the service, errors included (microversions); may refuse the request (406).
  let decorate: (@Sendable (APIRequest) throws -> HTTPFields)?
  /// False for services that are not in the catalog (the agent's).
  public let isInCatalog: Bool

  public init(
    name: String, type: String, prefix: String, catalogSuffix: String = "", errorShape: ErrorShape,
    isInCatalog: Bool = true, defaultVersion: String? = nil, isProjectInPath: Bool = false,
    decorate: (@Sendable (APIRequest) throws -> HTTPFields)? = nil, endpoints: [Endpoint]
  ) {
    self.name = name
    self.type = type
    self.prefix = prefix
    self.catalogSuffix = catalogSuffix
    self.errorShape = errorShape
    self.isInCatalog = isInCatalog
    self.defaultVersion = defaultVersion
    self.isProjectInPath = isProjectInPath
    self.decorate = decorate
    self.endpoints = endpoints
  }
}

/// Checks tokens. Implemented by ``TokenAuthority``.
public protocol Authenticator: Sendable {
  /// - Throws: ``APIError`` 401 for a token that is expired, revoked or not ours. Costs microseconds and no statement.
  func actor(forToken token: String, now: Timestamp) throws -> Actor
}
