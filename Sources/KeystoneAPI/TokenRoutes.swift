import APISupport
import Domain
import HTTPTypes
import Store
import Wire

let subjectToken = HTTPField.Name(known: "X-Subject-Token")

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
    let withCatalog = request.query["nocatalog"] == nil
    let (token, body) = try await database.read { session -> (Token, JSON) in
      let (scope, roles) = try resolve(wanted, for: proven, in: session)
      let token = Token(
        userID: proven.user.id, userName: proven.user.name, scope: scope, roles: roles, methods: proven.methods,
        issuedAt: request.now, expiresAt: proven.parent?.expiresAt ?? expiry(of: proven, now: request.now),
        parentAuditID: proven.parent?.auditID, applicationCredentialID: proven.credential?.id)
      return (token, try tokenBody(token, withCatalog: withCatalog, request, in: session))
    }
    return APIResponse(
      .created, json: ["token": body], headers: [subjectToken: authority.seal(token), .vary: "X-Auth-Token"])
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
    // A token that is none and one that is another's are told apart for nobody.
    guard let token = authority.open(text, now: request.now), token.userID == actor.userID || mayAlso(actor) else {
      throw APIError.notFound("Could not find token.")
    }
    return (text, token)
  }

  private func validateToken(_ request: APIRequest) async throws -> APIResponse {
    let (text, token) = try subject(request) { $0.isSiteReader || ($0.isAdminProject && $0.has("service")) }
    let withCatalog = request.query["nocatalog"] == nil
    let body = try await database.read { try tokenBody(token, withCatalog: withCatalog, request, in: $0) }
    return APIResponse(json: ["token": body], headers: [subjectToken: text, .vary: "X-Auth-Token"])
  }

  private func revokeToken(_ request: APIRequest) async throws -> APIResponse {
    let (_, token) = try subject(request) { $0.isSiteAdmin }
    try await database.write { session in
      try authority.revoke(Revocation(auditID: token.auditID, issuedBefore: request.now), in: session)
    }
    return .noContent
  }

  /// The token's body, with the names that its ids have now.
  func tokenBody(_ token: Token, withCatalog: Bool, _ request: APIRequest, in session: any Session) throws -> JSON {
    guard let user = try UserStore.get(token.userID, in: session) else {
      throw APIError.notFound("Could not find token.")
    }
    func reference(_ id: String) throws -> JSON {
      ["id": .string(id), "name": .string(try ProjectStore.get(id, in: session)?.name ?? id)]
    }
    var body: JSONObject = [
      "methods": JSON(token.methods.map(\.rawValue)),
      "user": [
        "domain": try reference(user.domainID), "id": .string(user.id), "name": .string(user.name),
        "password_expires_at": nil,
      ],
      "audit_ids": JSON([token.auditID] + (token.parentAuditID.map { [$0] } ?? [])),
      "expires_at": .string(token.expiresAt.iso8601ZuluMicroseconds),
      "issued_at": .string(token.issuedAt.iso8601ZuluMicroseconds),
    ]
    switch token.scope {
    case .project(let id, let domainID):
      let name = try ProjectStore.get(id, in: session)?.name ?? id
      body["project"] = ["domain": try reference(domainID), "id": .string(id), "name": .string(name)]
      body["is_domain"] = false
    case .domain(let id): body["domain"] = try reference(id)
    case .system: body["system"] = ["all": true]
    case .unscoped: break
    }
    if let id = token.applicationCredentialID, let credential = try ApplicationCredentialStore.get(id, in: session) {
      body["application_credential"] = [
        "id": .string(id), "name": .string(credential.name), "restricted": .bool(!credential.isUnrestricted),
      ]
    }
    if token.scope != .unscoped {
      let names = Set(token.roles)
      body["roles"] = .array(
        try RoleStore.list(in: session).filter { names.contains($0.name) }.map {
          ["id": .string($0.id), "name": .string($0.name)]
        })
      if withCatalog { body["catalog"] = catalog.body(origin: request.origin) }
    }
    return .object(body)
  }
}

/// Where the caller can go. Source: Identity API reference v3, "Authentication", the paths below `/v3/auth`.
extension KeystoneFacade {
  var authEndpoints: [Endpoint] {
    [
      Endpoint(.get, "/v3/auth/catalog", anyRule("get_auth_catalog", "anyone with a token"), "the catalog") { request in
        let url = request.serviceURL + "/v3/auth/catalog"
        return APIResponse(
          json: [
            "catalog": catalog.body(origin: request.origin),
            "links": ["self": .string(url), "previous": nil, "next": nil],
          ])
      },
      Endpoint(
        .get, "/v3/auth/projects", anyRule("get_auth_projects", "anyone with a token"),
        "projects that the caller has a role in"
      ) { request in
        let user = try request.actor().userID
        let items = try await database.read { try projects(of: user, in: $0) }
        return listing("projects", items.map { projectBody($0, request) }, request)
      },
      Endpoint(
        .get, "/v3/auth/domains", anyRule("get_auth_domains", "anyone with a token"),
        "domains that the caller has a role in"
      ) { request in
        let user = try request.actor().userID
        let items = try await database.read { session in
          try RoleAssignmentStore.targets(of: user, in: session).compactMap { target -> Project? in
            guard case .domain(let id) = target else { return nil }
            return try ProjectStore.get(id, in: session)
          }
        }
        return listing("domains", items.filter(\.isEnabled).map { domainBody($0, request) }, request)
      },
      Endpoint(
        .get, "/v3/auth/system", anyRule("get_auth_system", "anyone with a token"),
        "whether the caller has a role on the system"
      ) {
        request in
        let user = try request.actor().userID
        let has = try await database.read { try !RoleAssignmentStore.roleIDs(of: user, on: .system, in: $0).isEmpty }
        return listing("system", has ? [["all": true]] : [], request)
      },
    ]
  }

  /// The enabled projects that a user has a role in, sorted by name.
  func projects(of user: String, in session: any Session) throws -> [Project] {
    try RoleAssignmentStore.targets(of: user, in: session).compactMap { target -> Project? in
      guard case .project(let id) = target else { return nil }
      return try ProjectStore.get(id, in: session)
    }.filter(\.isEnabled).sorted { ($0.name, $0.id) < ($1.name, $1.id) }
  }
}
