import APISupport
import Domain
import HTTPTypes
import Store
import Wire

let subjectToken = HTTPField.Name(known: "X-Subject-Token")
/// A service that understands access rules says so; others must not take such a token for an ordinary one.
private let accessRuleSupport = HTTPField.Name(known: "OpenStack-Identity-Access-Rules")

/// Tokens: making, checking, revoking. Source: Identity API reference v3, "Authentication and token management".
extension KeystoneFacade {
  var tokenEndpoints: [Endpoint] {
    [
      Endpoint(.post, "/v3/auth/tokens", .open, "log in", handler: issueToken),
      Endpoint(
        .get, "/v3/auth/tokens", anyRule("validate_token", "the token's user, services, and readers of the site"),
        "what a token says", handler: validateToken),
      Endpoint(
        .delete, "/v3/auth/tokens", anyRule("revoke_token", "the token's user, and the site's administrator"),
        "revoke a token",
        handler: revokeToken),
    ]
  }

  private func issueToken(_ request: APIRequest) async throws -> APIResponse {
    guard let auth = try await request.object(limit: 64 << 10)["auth"]?.object else {
      throw APIError.badRequest(
        "Expecting to find auth in request body. The server could not comply with the request since it is either "
          + "malformed or otherwise incorrect. The client is assumed to be in error.")
    }
    let wanted = try scopeRequest(auth)
    let proven = try await prove(auth, now: request.now)
    let generation = cache.generation
    let (token, head, snapshot) = try await database.read { session in
      let (scope, roles) = try resolve(wanted, for: proven, in: session)
      let token = Token(
        userID: proven.user.id, userName: proven.user.name, userDomainID: proven.user.domainID, scope: scope,
        roles: roles, methods: proven.methods, issuedAt: request.now,
        expiresAt: proven.parent?.expiresAt ?? expiry(of: proven, now: request.now),
        parentAuditID: proven.parent?.auditID, applicationCredentialID: proven.credential?.id,
        hasAccessRules: proven.credential?.accessRules.isEmpty == false)
      return (token, try tokenHead(token, in: session), try catalogSnapshot(in: session, readAt: generation))
    }
    return tokenAnswer(
      .created, token, head: head, snapshot, text: authority.seal(token), request, readAt: generation)
  }
  private func expiry(of proven: Proven, now: Timestamp) -> Timestamp {
    let usual = now + authority.lifetime
    guard let end = proven.credential?.expiresAt else { return usual }
    return min(usual, end)
  }

  /// The token in `X-Subject-Token`, if the caller may know of it.
  private func subject(_ request: APIRequest, mayAlso: (Actor) -> Bool) throws -> (text: String, token: Token) {
    let actor = try request.actor()
    guard let text = request.headers[subjectToken] else {
      throw APIError.badRequest("The header X-Subject-Token is missing.")
    }
    let token = authority.open(text, now: request.now)
    // A token that is none and one that is another's are told apart for nobody: both are 403, as upstream's second.
    guard mayAlso(actor) || token?.userID == actor.userID else {
      throw APIError.unauthorized(request.method == .delete ? "revoke_token" : "validate_token")
    }
    guard let token else { throw APIError.notFound("Could not find token.") }
    return (text, token)
  }

  /// No statement for a token that was asked for before and since when no identity has changed.
  private func validateToken(_ request: APIRequest) async throws -> APIResponse {
    let (text, token) = try subject(request) { actor in
      actor.isSiteReader || (actor.has("service") && (actor.isAdminProject || actor.scope == .system))
    }
    if token.hasAccessRules, request.headers[accessRuleSupport]?.hasPrefix("1") != true {
      throw APIError.notFound("Could not find token.")
    }
    let generation = cache.generation
    if let head = cache.head(token.auditID), let snapshot = cache.snapshot {
      return tokenAnswer(.ok, token, head: head, snapshot, text: text, request, readAt: generation)
    }
    let (head, snapshot) = try await database.read { session in
      (try tokenHead(token, in: session), try catalogSnapshot(in: session, readAt: generation))
    }
    cache.keep(head: head, of: token.auditID, readAt: generation)
    return tokenAnswer(.ok, token, head: head, snapshot, text: text, request, readAt: generation)
  }

  private func revokeToken(_ request: APIRequest) async throws -> APIResponse {
    let (_, token) = try subject(request) { $0.isSiteAdmin }
    try await database.write { session in
      try authority.revoke(Revocation(auditID: token.auditID, issuedBefore: request.now), in: session)
    }
    return .noContent
  }

  private func tokenAnswer(
    _ status: HTTPResponse.Status, _ token: Token, head: [UInt8], _ snapshot: CatalogSnapshot, text: String,
    _ request: APIRequest, readAt generation: Int
  ) -> APIResponse {
    var writer = JSONWriter(capacity: 8192)
    writer.beginObject()
    writer.key("token")
    head.withUnsafeBufferPointer { writer.raw($0) }
    if token.scope != .unscoped, request.query["nocatalog"] == nil {
      writer.key("catalog")
      catalogBytes(snapshot, for: token, request, readAt: generation).withUnsafeBufferPointer { writer.raw($0) }
    }
    writer.endObject()
    writer.endObject()
    return APIResponse(status, writer, headers: [subjectToken: text, .vary: "X-Auth-Token"])
  }

  /// The members of the token's body but the catalog, with the names that its ids have now; the closing brace is missing.
  /// Three statements, one more for an application credential.
  private func tokenHead(_ token: Token, in session: any Session) throws -> [UInt8] {
    guard let names = try TokenNamesStore.names(of: token.userID, scope: token.scope, in: session) else {
      throw APIError.notFound("Could not find token.")
    }
    func reference(_ name: IdentityName) -> JSON {
      var out: JSONObject = ["id": .string(name.id), "name": .string(name.name)]
      if let domain = name.domain { out["domain"] = ["id": .string(domain.id), "name": .string(domain.name)] }
      return .object(out)
    }
    guard case .object(var user) = reference(names.user) else { return [] }
    user["password_expires_at"] = JSON(names.passwordExpiresAt.map { keystoneTime($0) })
    var writer = JSONWriter(capacity: 1024)
    writer.beginObject()
    writer.member("methods", token.methods.map(\.rawValue))
    writer.member("user", .object(user))
    writer.member("audit_ids", [token.auditID] + (token.parentAuditID.map { [$0] } ?? []))
    writer.member("expires_at", token.expiresAt.iso8601ZuluMicroseconds)
    writer.member("issued_at", token.issuedAt.iso8601ZuluMicroseconds)
    switch token.scope {
    case .project:
      if let scope = names.scope { writer.member("project", reference(scope)) }
      writer.member("is_domain", false)
    case .domain: if let scope = names.scope { writer.member("domain", reference(scope)) }
    case .system: writer.member("system", ["all": true])
    case .unscoped: break
    }
    if let id = token.applicationCredentialID, let credential = try ApplicationCredentialStore.get(id, in: session) {
      var shown: JSONObject = [
        "id": .string(id), "name": .string(credential.name), "restricted": .bool(!credential.isUnrestricted),
      ]
      if !credential.accessRules.isEmpty { shown["access_rules"] = .array(credential.accessRules.map(accessRuleBody)) }
      writer.member("application_credential", .object(shown))
    }
    if token.scope != .unscoped {
      let held = Set(token.roles)
      writer.key("roles")
      writer.beginArray()
      for role in try RoleStore.globalNames(in: session) where held.contains(role.name) {
        writer.beginObject()
        writer.member("id", role.id)
        writer.member("name", role.name)
        writer.endObject()
      }
      writer.endArray()
    }
    return writer.bytes
  }
}

/// "2026-11-21T01:48:24.313783": Keystone's times of passwords and application credentials, UTC without a zone.
func keystoneTime(_ time: Timestamp) -> String { String(time.iso8601ZuluMicroseconds.dropLast()) }

/// Where the caller can go. Source: Identity API reference v3, "Authentication", the paths below `/v3/auth`.
extension KeystoneFacade {
  var authEndpoints: [Endpoint] {
    [
      Endpoint(.get, "/v3/auth/catalog", anyRule("get_auth_catalog", "anyone with a token"), "the catalog") { request in
        let actor = try request.actor()
        let snapshot = try await catalogSnapshot()
        let url = request.serviceURL + "/v3/auth/catalog"
        var writer = JSONWriter(capacity: 8192)
        writer.beginObject()
        writer.key("catalog")
        catalogBytes(snapshot, project: actor.projectID, user: actor.userID, request, readAt: nil)
          .withUnsafeBufferPointer { writer.raw($0) }
        writer.member("links", ["self": .string(url), "previous": nil, "next": nil])
        writer.endObject()
        return APIResponse(.ok, writer)
      },
      Endpoint(
        .get, "/v3/auth/projects", anyRule("get_auth_projects", "anyone with a token"),
        "projects that the caller has a role in"
      ) { request in
        let user = try request.actor().userID
        let items = try await database.read { try ProjectStore.authorized(user: user, isDomain: false, in: $0) }
        return try listing("projects", items.map { projectBody($0, request) }, request)
      },
      Endpoint(
        .get, "/v3/auth/domains", anyRule("get_auth_domains", "anyone with a token"),
        "domains that the caller has a role in"
      ) { request in
        let user = try request.actor().userID
        let items = try await database.read { try ProjectStore.authorized(user: user, isDomain: true, in: $0) }
        return try listing("domains", items.map { domainBody($0, request) }, request)
      },
      Endpoint(
        .get, "/v3/auth/system", anyRule("get_auth_system", "anyone with a token"),
        "whether the caller has a role on the system"
      ) {
        request in
        let user = try request.actor().userID
        let has = try await database.read { try RoleAssignmentStore.hasSystemRole(user, in: $0) }
        return try listing("system", has ? [["all": true]] : [], request)
      },
    ]
  }
}
