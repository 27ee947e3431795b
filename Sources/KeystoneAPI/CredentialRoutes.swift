import APISupport
import Domain
import HTTPTypes
import Store
import Wire

/// Application credentials. Source: Identity API reference v3, "Application Credentials".
extension KeystoneFacade {
  private static let owner = "the user itself"
  private static let countLimit = 100

  var credentialEndpoints: [Endpoint] {
    let path = "/v3/users/{user}/application_credentials"
    return [
      Endpoint(
        .get, path, anyRule("list_application_credentials", Self.owner + ", and readers of the site"),
        "list application credentials"
      ) {
        request in
        let user = try visibleOwner(request)
        // The client repeats the user of the path.
        let filter = try ListFilter(request, ["name"], others: ["user_id"])
        let items = try await database.read { session in
          let roles = try RoleStore.all(in: session)
          return try ApplicationCredentialStore.list(user: user, name: filter.exact("name"), in: session).map {
            credentialBody($0, roles, request)
          }
        }
        return try listing("application_credentials", items, request)
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
            throw APIError.missing("Application Credential", id)
          }
          return credentialBody(credential, try RoleStore.all(in: session), request)
        }
        return APIResponse(json: ["application_credential": body])
      },
      Endpoint(
        .delete, path + "/{credential}",
        anyRule("delete_application_credential", Self.owner + ", and the site's administrator"),
        "delete an application credential"
      ) {
        request in
        let user = try managedOwner(request, "delete_application_credential")
        let id = try request.parameter("credential")
        try await refuseRestricted(request)
        try await change { session in
          guard let credential = try ApplicationCredentialStore.get(id, in: session), credential.userID == user
          else { throw APIError.missing("Application Credential", id) }
          try authority.revoke(Revocation(applicationCredentialID: id, issuedBefore: request.now), in: session)
          try ApplicationCredentialStore.delete(id, in: session)
          authority.set(accessRules: nil, of: id, in: session)
        }
        return .noContent
      },
    ]
  }

  /// The user of the path.
  /// - Throws: 403 when its things are none of the actor's, whether there is such a user or not.
  func visibleOwner(_ request: APIRequest) throws -> String {
    let (user, actor) = (try request.parameter("user"), try request.actor())
    guard IdentityPolicy.isSelfOrReader(user, actor) else { throw APIError.unseen("user", user, by: actor) }
    return user
  }
  /// The user of the path, whose things the actor may delete.
  /// - Throws: 403 when it may not, whether they are there or not.
  private func managedOwner(_ request: APIRequest, _ action: String) throws -> String {
    let (user, actor) = (try request.parameter("user"), try request.actor())
    guard user == actor.userID || actor.isSiteAdmin else { throw APIError.unauthorized(action) }
    return user
  }
  /// A program that logged in with a restricted credential must not make itself others.
  /// - Returns: whether the caller logged in with an application credential, an unrestricted one.
  @discardableResult func refuseRestricted(_ request: APIRequest) async throws -> Bool {
    guard let text = request.headers[authToken], let token = authority.open(text, now: request.now) else {
      throw APIError.unauthenticated
    }
    guard let id = token.applicationCredentialID else { return false }
    let credential = try await database.read { try ApplicationCredentialStore.get(id, in: $0) }
    guard credential?.isUnrestricted == true else {
      throw APIError.forbidden(
        "Using method 'application_credential' is not allowed for managing additional application credentials.")
    }
    return true
  }

  private func credentialBody(
    _ credential: ApplicationCredential, secret: String? = nil, _ roles: [Role], _ request: APIRequest
  ) -> JSON {
    let own = Set(credential.roleIDs)
    var body: JSONObject = [
      "id": .string(credential.id), "name": .string(credential.name), "description": JSON(credential.description),
      "project_id": .string(credential.projectID), "user_id": .string(credential.userID), "system": nil,
      "roles": .array(
        roles.filter { own.contains($0.id) }.map {
          ["id": .string($0.id), "name": .string($0.name), "domain_id": JSON($0.domainID)]
        }),
      "expires_at": JSON(credential.expiresAt.map { keystoneTime($0) }),
      "unrestricted": .bool(credential.isUnrestricted),
      "access_rules": .array(credential.accessRules.map(accessRuleBody)),
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
    guard user == actor.userID else { throw APIError.unauthorized("create_application_credential") }
    let isProgram = try await refuseRestricted(request)
    guard let project = actor.projectID else {
      throw APIError.badRequest("An application credential needs a token that is scoped to a project.")
    }
    let attributes = try await Attributes(request, "application_credential")
    let rules = try accessRules(attributes)
    var credential = ApplicationCredential(
      id: Identifier.hex(), name: try attributes.requiredName(), description: try attributes.text("description"),
      userID: user, projectID: project, roleIDs: [], expiresAt: try expiry(attributes, now: request.now),
      isUnrestricted: attributes.values["unrestricted"]?.isNull == true
        ? false : try attributes.flag("unrestricted") ?? false, secretHash: "")
    var secret = CredentialSecret.make()
    credential.secretHash = CredentialSecret.hash(secret)
    if let chosen = try attributes.text("secret") {
      secret = chosen
      credential.secretHash = try await passwords.hash(chosen)
    }
    let wanted = attributes.values["roles"]?.array ?? []
    let body = try await change { [secret, credential] session in
      var credential = credential
      guard try ApplicationCredentialStore.list(user: user, in: session).count < Self.countLimit else {
        throw APIError.forbidden(
          "Unable to create additional application credentials, maximum of \(Self.countLimit) already exceeded for user."
        )
      }
      let roles = try RoleStore.all(in: session)
      let global = roles.filter { $0.domainID == nil }
      credential.roleIDs = global.filter { actor.has($0.name) }.map(\.id)
      if !wanted.isEmpty {
        // What the user has there now, and for a program no more than its own credential gives it.
        let now = try RoleStore.expanded(
          RoleAssignmentStore.roleIDs(of: user, on: .project(project), in: session), in: session)
        let held = global.filter { now.contains($0.id) && (!isProgram || actor.has($0.name)) }
        credential.roleIDs = try wanted.map { reference in
          let found = held.first { role in
            reference["id"]?.string.map { $0 == role.id } ?? (reference["name"]?.string == role.name)
          }
          guard let found else {
            throw APIError.badRequest(
              "Invalid application credential: Could not find role assignment with role: \(reference["id"]?.string ?? reference["name"]?.string ?? "?")."
            )
          }
          return found.id
        }
      }
      credential.accessRules = try rules.map { try $0.resolve(user, in: session) }
      try withConflict(
        "Conflict occurred attempting to store application_credential - Duplicate entry found with name \(credential.name)."
      ) {
        try ApplicationCredentialStore.insert(credential, at: request.now, in: session)
      }
      if !credential.accessRules.isEmpty {
        authority.set(accessRules: credential.accessRules, of: credential.id, in: session)
      }
      return credentialBody(credential, secret: secret, roles, request)
    }
    return APIResponse(.created, json: ["application_credential": body])
  }
  private func expiry(_ attributes: Attributes, now: Timestamp) throws -> Timestamp? {
    guard let text = try attributes.text("expires_at") else { return nil }
    guard let time = Timestamp(parsing: text) else {
      throw APIError.badRequest("Invalid expires_at '\(text)': use ISO 8601.")
    }
    guard time > now else { throw APIError.badRequest("The 'expires_at' must not be before now: '\(text)'.") }
    return time
  }
}

/// What application credentials may do. Source: Identity API reference v3, "Application Credentials", "Access Rules".
extension KeystoneFacade {
  var accessRuleEndpoints: [Endpoint] {
    let path = "/v3/users/{user}/access_rules"
    let readers = "the user itself, and readers of the site"
    return [
      Endpoint(.get, path, anyRule("list_access_rules", readers), "list access rules") { request in
        let user = try visibleOwner(request)
        let filter = try ListFilter(request, ["service", "path", "method"], others: ["user_id"])
        let items = try await database.read { try AccessRuleStore.list(user: user, in: $0) }
        let shown = items.map { shownAccessRule($0, user, request) }.filter { filter.admits($0) }
        return try listing("access_rules", shown, request)
      },
      Endpoint(.get, path + "/{access_rule}", anyRule("get_access_rule", readers), "show an access rule") { request in
        let user = try visibleOwner(request)
        let id = try request.parameter("access_rule")
        guard let rule = try await database.read({ try AccessRuleStore.get(id, user: user, in: $0) }) else {
          throw APIError.missing("Access Rule", id)
        }
        return APIResponse(json: ["access_rule": shownAccessRule(rule, user, request)])
      },
      Endpoint(
        .delete, path + "/{access_rule}",
        anyRule("delete_access_rule", "the user itself, and the site's administrator"),
        "delete an access rule that no application credential uses"
      ) { request in
        let user = try managedOwner(request, "delete_access_rule")
        let id = try request.parameter("access_rule")
        try await change { session in
          guard try AccessRuleStore.get(id, user: user, in: session) != nil
          else { throw APIError.missing("Access Rule", id) }
          guard try !AccessRuleStore.isUsed(id, in: session) else {
            throw APIError.forbidden("May not delete access rule in use")
          }
          try AccessRuleStore.delete(id, in: session)
        }
        return .noContent
      },
    ]
  }

  func accessRuleBody(_ rule: AccessRule) -> JSON {
    [
      "id": .string(rule.id), "service": .string(rule.service), "method": .string(rule.method),
      "path": .string(rule.path),
    ]
  }
  private func shownAccessRule(_ rule: AccessRule, _ user: String, _ request: APIRequest) -> JSON {
    guard case .object(var body) = accessRuleBody(rule) else { return .null }
    body["user_id"] = .string(user)
    body["links"] = ["self": .string("\(request.serviceURL)/v3/users/\(user)/access_rules/\(rule.id)")]
    return .object(body)
  }

  /// A rule of a new credential: a new one, or one that the user has.
  enum WantedRule: Sendable {
    case new(AccessRule)
    case known(String)

    func resolve(_ user: String, in session: any Session) throws -> AccessRule {
      switch self {
      case .new(let rule): return try AccessRuleStore.ensure(rule, user: user, in: session)
      case .known(let id):
        guard let rule = try AccessRuleStore.get(id, user: user, in: session) else {
          throw APIError.badRequest("Invalid application credential: Could not find Access Rule: \(id).")
        }
        return rule
      }
    }
  }
  func accessRules(_ attributes: Attributes) throws -> [WantedRule] {
    guard let value = attributes.values["access_rules"], !value.isNull else { return [] }
    guard let items = value.array, items.count <= 100 else {
      throw attributes.invalid("access_rules", "a list of at most 100 rules is expected")
    }
    return try items.map { item in
      guard let rule = item.object else { throw attributes.invalid("access_rules", "objects are expected") }
      for key in rule.keys where !["id", "service", "method", "path"].contains(key) {
        throw attributes.invalid("access_rules", "'\(key)' is not one of id, method, path, service")
      }
      if let id = rule["id"]?.string { return .known(id) }
      guard let service = rule["service"]?.string, let method = rule["method"]?.string, let path = rule["path"]?.string,
        !service.isEmpty, service.utf8.count <= 255, path.utf8.count <= 255
      else { throw attributes.invalid("access_rules", "each needs service, method and path") }
      guard AccessRule.methods.contains(method) else {
        throw attributes.invalid(
          "access_rules", "'\(method)' is not one of \(AccessRule.methods.joined(separator: ", "))")
      }
      guard path.hasPrefix("/") else { throw attributes.invalid("access_rules", "a path begins with '/'") }
      return .new(AccessRule(id: Identifier.hex(), service: service, method: method, path: path))
    }
  }
}
