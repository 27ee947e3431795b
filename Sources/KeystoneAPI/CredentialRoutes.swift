import APISupport
import Domain
import HTTPTypes
import Store
import Wire

/// Application credentials. Source: Identity API reference v3, "Application Credentials".
extension KeystoneFacade {
  private static let owner = "the user itself"

  var credentialEndpoints: [Endpoint] {
    let path = "/v3/users/{user}/application_credentials"
    return [
      Endpoint(
        .get, path, anyRule("list_application_credentials", Self.owner + ", and readers of the site"),
        "list application credentials"
      ) {
        request in
        let user = try visibleOwner(request)
        let items = try await database.read { session in
          try ApplicationCredentialStore.list(user: user, name: request.query["name"], in: session).map {
            try credentialBody($0, request, in: session)
          }
        }
        return listing("application_credentials", items, request)
      },
      Endpoint(
        .post, path, anyRule("create_application_credential", Self.owner), "make an application credential",
        handler: createCredential),
      Endpoint(
        .get, path + "/{credential}", anyRule("get_application_credential", Self.owner + ", and readers of the site"),
        "show an application credential"
      ) {
        request in
        let user = try visibleOwner(request)
        let id = try request.parameter("credential")
        let body = try await database.read { session in
          guard let credential = try ApplicationCredentialStore.get(id, in: session), credential.userID == user else {
            throw APIError.missing("application credential", id)
          }
          return try credentialBody(credential, request, in: session)
        }
        return APIResponse(json: ["application_credential": body])
      },
      Endpoint(
        .delete, path + "/{credential}",
        anyRule("delete_application_credential", Self.owner + ", and the site's administrator"),
        "delete an application credential"
      ) {
        request in
        let actor = try request.actor()
        let user = try request.parameter("user")
        let id = try request.parameter("credential")
        try await refuseRestricted(request)
        try await database.write { session in
          guard user == actor.userID || actor.isSiteAdmin,
            let credential = try ApplicationCredentialStore.get(id, in: session), credential.userID == user
          else { throw APIError.missing("application credential", id) }
          try authority.revoke(Revocation(applicationCredentialID: id, issuedBefore: request.now), in: session)
          try ApplicationCredentialStore.delete(id, in: session)
        }
        return .noContent
      },
    ]
  }

  private func visibleOwner(_ request: APIRequest) throws -> String {
    let user = try request.parameter("user")
    guard IdentityPolicy.isSelfOrReader(user, try request.actor()) else { throw APIError.missing("user", user) }
    return user
  }
  /// A program that logged in with a restricted credential must not make itself others.
  private func refuseRestricted(_ request: APIRequest) async throws {
    guard let text = request.headers[authToken], let token = authority.open(text, now: request.now) else {
      throw APIError.unauthenticated
    }
    guard let id = token.applicationCredentialID else { return }
    let credential = try await database.read { try ApplicationCredentialStore.get(id, in: $0) }
    guard credential?.isUnrestricted == true else {
      throw APIError.forbidden(
        "Using method 'application_credential' is not allowed for managing additional application credentials.")
    }
  }

  func credentialBody(
    _ credential: ApplicationCredential, secret: String? = nil, _ request: APIRequest, in session: any Session
  ) throws -> JSON {
    var body: JSONObject = [
      "id": .string(credential.id), "name": .string(credential.name), "description": JSON(credential.description),
      "project_id": .string(credential.projectID), "user_id": .string(credential.userID), "system": nil,
      "roles": .array(
        try credential.roleIDs.compactMap { try RoleStore.get($0, in: session) }.map {
          ["id": .string($0.id), "name": .string($0.name), "domain_id": nil]
        }),
      "expires_at": JSON(credential.expiresAt?.iso8601ZuluMicroseconds),
      "unrestricted": .bool(credential.isUnrestricted),
      "access_rules": [],
      "links": [
        "self": .string("\(request.serviceURL)/v3/users/\(credential.userID)/application_credentials/\(credential.id)")
      ],
    ]
    if let secret { body["secret"] = .string(secret) }
    return .object(body)
  }

  private func createCredential(_ request: APIRequest) async throws -> APIResponse {
    let actor = try request.actor()
    let user = try request.parameter("user")
    guard user == actor.userID else { throw APIError.missing("user", user) }
    try await refuseRestricted(request)
    guard let project = actor.projectID else {
      throw APIError.badRequest("An application credential needs a token that is scoped to a project.")
    }
    let attributes = try await Attributes(request, "application_credential")
    if let rules = attributes.values["access_rules"], rules.array?.isEmpty == false {
      throw APIError.badRequest("Access rules are not offered: leave access_rules out.")
    }
    let name = try attributes.requiredName()
    let description = try attributes.text("description")
    let isUnrestricted =
      try attributes.values["unrestricted"].map(\.isNull) ?? true ? false : attributes.flag("unrestricted") ?? false
    var expiry: Timestamp?
    if let text = try attributes.text("expires_at") {
      guard let time = Timestamp(parsing: text) else {
        throw APIError.badRequest("Invalid expires_at '\(text)': use ISO 8601.")
      }
      guard time > request.now else { throw APIError.badRequest("The expires_at '\(text)' is in the past.") }
      expiry = time
    }
    var secret = CredentialSecret.make()
    var hash = CredentialSecret.hash(secret)
    if let chosen = try attributes.text("secret") {
      secret = chosen
      hash = try await passwords.hash(chosen)
    }
    let wanted = attributes.values["roles"]?.array ?? []
    let body = try await database.write { [secret, hash, expiry] session in
      var roles: [Role] = []
      for reference in wanted {
        let found =
          if let id = reference["id"]?.string { try RoleStore.get(id, in: session) } else {
            try RoleStore.named(reference["name"]?.string ?? "", in: session)
          }
        guard let found, actor.has(found.name) else {
          throw APIError.badRequest(
            "Invalid application credential: Could not find role assignment with role: \(reference["id"]?.string ?? reference["name"]?.string ?? "?")."
          )
        }
        roles.append(found)
      }
      if wanted.isEmpty { roles = try RoleStore.list(in: session).filter { actor.has($0.name) } }
      let credential = ApplicationCredential(
        id: Identifier.hex(), name: name, description: description, userID: user, projectID: project,
        roleIDs: roles.map(\.id), expiresAt: expiry, isUnrestricted: isUnrestricted, secretHash: hash)
      try withConflict(
        "Conflict occurred attempting to store application_credential - Duplicate entry found with name \(name)."
      ) {
        try ApplicationCredentialStore.insert(credential, at: request.now, in: session)
      }
      return try credentialBody(credential, secret: secret, request, in: session)
    }
    return APIResponse(.created, json: ["application_credential": body])
  }
}
