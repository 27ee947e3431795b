import APISupport
import Domain
import HTTPTypes
import Store
import Wire

/// Users. Source: Identity API reference v3, "Users".
extension KeystoneFacade {
  private static let attributes: Set<String> = [
    "id", "name", "domain_id", "enabled", "default_project_id", "description", "password", "original_password",
    "options",
    "links", "password_expires_at", "federated", "tenantId",
  ]
  private static let readers = "the user itself, and readers of the site"

  var userEndpoints: [Endpoint] {
    [
      Endpoint(.get, "/v3/users", anyRule("list_users", Self.readers), "list users") { request in
        let actor = try request.actor()
        let query = request.query
        let users = try await database.read { session in
          try UserStore.list(name: query["name"], domain: query["domain_id"], in: session).filter {
            IdentityPolicy.sees(user: $0, actor)
          }
        }
        let items = matching(users.map { userBody($0, request) }, request, ["id", "name", "enabled"])
        return listing("users", items, request, limit: try query.int("limit"))
      },
      Endpoint(.post, "/v3/users", adminRule("create_user"), "make a user", handler: createUser),
      Endpoint(.get, "/v3/users/{user}", anyRule("get_user", Self.readers), "show a user") { request in
        let actor = try request.actor()
        let id = try request.parameter("user")
        let user = try await database.read { try visibleUser(id, actor, in: $0) }
        return APIResponse(json: ["user": userBody(user, request)])
      },
      Endpoint(.patch, "/v3/users/{user}", adminRule("update_user"), "change a user", handler: updateUser),
      Endpoint(.delete, "/v3/users/{user}", adminRule("delete_user"), "delete a user") { request in
        let id = try request.parameter("user")
        try await database.write { session in
          guard try UserStore.get(id, in: session) != nil else { throw APIError.missing("user", id) }
          try authority.revoke(Revocation(userID: id, issuedBefore: request.now), in: session)
          try UserStore.delete(id, in: session)
        }
        return .noContent
      },
      Endpoint(
        .post, "/v3/users/{user}/password", anyRule("change_password", "the user itself"), "change one's own password",
        handler: changePassword),
      Endpoint(
        .get, "/v3/users/{user}/projects", anyRule("list_user_projects", Self.readers),
        "projects that a user has a role in"
      ) {
        request in
        let actor = try request.actor()
        let id = try request.parameter("user")
        let items = try await database.read { session in
          _ = try visibleUser(id, actor, in: session)
          return try projects(of: id, in: session)
        }
        return listing("projects", items.map { projectBody($0, request) }, request)
      },
      Endpoint(
        .get, "/v3/users/{user}/groups", anyRule("list_groups_for_user", Self.readers), "groups that a user is in"
      ) {
        request in
        let actor = try request.actor()
        let id = try request.parameter("user")
        let items = try await database.read { session in
          _ = try visibleUser(id, actor, in: session)
          return try UserGroupStore.list(name: request.query["name"], user: id, in: session)
        }
        return listing("groups", items.map { groupBody($0, request) }, request)
      },
    ]
  }

  func userBody(_ user: User, _ request: APIRequest) -> JSON {
    var body: JSONObject = [
      "id": .string(user.id), "name": .string(user.name), "domain_id": .string(user.domainID),
      "enabled": .bool(user.isEnabled),
      "default_project_id": JSON(user.defaultProjectID), "password_expires_at": nil, "options": [:],
      "links": ["self": .string("\(request.serviceURL)/v3/users/\(user.id)")],
    ]
    if let description = user.description { body["description"] = .string(description) }
    for member in user.extra where body[member.key] == nil { body[member.key] = member.value }
    return .object(body)
  }
  /// - Throws: 404, also when the actor may not see the user.
  func visibleUser(_ id: String, _ actor: Actor, in session: any Session) throws -> User {
    guard let user = try UserStore.get(id, in: session), IdentityPolicy.sees(user: user, actor) else {
      throw APIError.missing("user", id)
    }
    return user
  }

  private func createUser(_ request: APIRequest) async throws -> APIResponse {
    let actor = try request.actor()
    let attributes = try await Attributes(request, "user")
    let domainID = try attributes.text("domain_id") ?? Self.homeDomain(actor)
    var user = User(
      id: Identifier.hex(), name: try attributes.requiredName(), domainID: domainID, createdAt: request.now)
    user.isEnabled = try attributes.flag("enabled") ?? true
    user.defaultProjectID = try attributes.text("default_project_id")
    user.description = try attributes.text("description")
    try attributes.merge(into: &user.extra, except: Self.attributes)
    if let password = try attributes.text("password") { user.passwordHash = try await passwords.hash(password) }
    try await database.write { [user] session in
      guard try ProjectStore.get(domainID, in: session)?.isDomain == true else {
        throw APIError.missing("domain", domainID)
      }
      try withConflict(
        "Conflict occurred attempting to store user - Duplicate entry found with name \(user.name) at domain ID \(domainID)."
      ) {
        try UserStore.insert(user, in: session)
      }
    }
    return APIResponse(.created, json: ["user": userBody(user, request)])
  }

  private func updateUser(_ request: APIRequest) async throws -> APIResponse {
    let id = try request.parameter("user")
    let attributes = try await Attributes(request, "user")
    let name = try attributes.entityName()
    let enabled = try attributes.flag("enabled")
    let description = try attributes.optionalText("description")
    let defaultProject = try attributes.optionalText("default_project_id")
    let domainID = try attributes.text("domain_id")
    var hash: String?
    if let password = try attributes.text("password") { hash = try await passwords.hash(password) }
    let user = try await database.write { [hash] session in
      guard var user = try UserStore.get(id, in: session) else { throw APIError.missing("user", id) }
      guard domainID == nil || domainID == user.domainID else { throw APIError.badRequest("Cannot change Domain ID") }
      if let name { user.name = name }
      if let description { user.description = description }
      if let defaultProject { user.defaultProjectID = defaultProject }
      try attributes.merge(into: &user.extra, except: Self.attributes)
      let isDisabled = enabled == false && user.isEnabled
      if let enabled { user.isEnabled = enabled }
      if let hash {
        user.passwordHash = hash
        session.afterCommit { [passwords] in passwords.forget(id) }
      }
      if isDisabled || hash != nil {
        try authority.revoke(Revocation(userID: id, issuedBefore: request.now), in: session)
      }
      try withConflict(
        "Conflict occurred attempting to store user - Duplicate entry found with name \(user.name) at domain ID \(user.domainID)."
      ) {
        try UserStore.update(user, in: session)
      }
      return user
    }
    return APIResponse(json: ["user": userBody(user, request)])
  }

  /// Also voids all tokens of the user, the caller's included.
  private func changePassword(_ request: APIRequest) async throws -> APIResponse {
    let actor = try request.actor()
    let id = try request.parameter("user")
    guard id == actor.userID else { throw APIError.missing("user", id) }
    let attributes = try await Attributes(request, "user")
    guard let old = try attributes.text("original_password"), let new = try attributes.text("password") else {
      throw APIError.badRequest("'original_password' and 'password' are required properties")
    }
    let user = try await database.read { try UserStore.get(id, in: $0) }
    guard try await passwords.verify(old, of: user, now: request.now), let user else { throw APIError.unauthenticated }
    guard old != new else {
      throw APIError.badRequest(
        "Password validation error: The new password cannot be identical to a previous password.")
    }
    let hash = try await passwords.hash(new)
    try await database.write { session in
      // The password that was proven must still be the user's: the administrator may have set another meanwhile.
      guard var current = try UserStore.get(id, in: session), current.passwordHash == user.passwordHash,
        current.isEnabled
      else {
        throw APIError.unauthenticated
      }
      current.passwordHash = hash
      try UserStore.update(current, in: session)
      try authority.revoke(Revocation(userID: id, issuedBefore: request.now), in: session)
      session.afterCommit { [passwords] in passwords.forget(id) }
    }
    return .noContent
  }
}

/// Groups of users. Source: Identity API reference v3, "Groups".
extension KeystoneFacade {
  private static let groupAttributes: Set<String> = ["id", "name", "domain_id", "description", "links"]
  private static let groupReaders = "readers of the site"

  var groupEndpoints: [Endpoint] {
    [
      Endpoint(.get, "/v3/groups", .siteReader, "list groups") { request in
        let groups = try await database.read {
          try UserGroupStore.list(name: request.query["name"], domain: request.query["domain_id"], in: $0)
        }
        return listing("groups", matching(groups.map { groupBody($0, request) }, request, ["name"]), request)
      },
      Endpoint(.post, "/v3/groups", adminRule("create_group"), "make a group") { request in
        let actor = try request.actor()
        let attributes = try await Attributes(request, "group")
        let domain = try attributes.text("domain_id") ?? Self.homeDomain(actor)
        var group = UserGroup(id: Identifier.hex(), name: try attributes.requiredName(limit: 64), domainID: domain)
        group.description = try attributes.text("description") ?? ""
        try attributes.merge(into: &group.extra, except: Self.groupAttributes)
        try await database.write { [group] session in
          guard try ProjectStore.get(domain, in: session)?.isDomain == true else {
            throw APIError.missing("domain", domain)
          }
          try withConflict(Self.groupConflict(group)) { try UserGroupStore.insert(group, in: session) }
        }
        return APIResponse(.created, json: ["group": groupBody(group, request)])
      },
      Endpoint(.get, "/v3/groups/{group}", .siteReader, "show a group") { request in
        let id = try request.parameter("group")
        let group = try await database.read { try self.group(id, in: $0) }
        return APIResponse(json: ["group": groupBody(group, request)])
      },
      Endpoint(.patch, "/v3/groups/{group}", adminRule("update_group"), "change a group") { request in
        let id = try request.parameter("group")
        let attributes = try await Attributes(request, "group")
        let name = try attributes.entityName(limit: 64)
        let description = try attributes.optionalText("description")
        let changed = try await database.write { session in
          var group = try self.group(id, in: session)
          if let name { group.name = name }
          if let description { group.description = description ?? "" }
          try attributes.merge(into: &group.extra, except: Self.groupAttributes)
          try withConflict(Self.groupConflict(group)) { try UserGroupStore.update(group, in: session) }
          return group
        }
        return APIResponse(json: ["group": groupBody(changed, request)])
      },
      Endpoint(.delete, "/v3/groups/{group}", adminRule("delete_group"), "delete a group") { request in
        let id = try request.parameter("group")
        try await database.write { session in
          _ = try group(id, in: session)
          try revokeTokens(of: .group(id), on: nil, at: request.now, in: session)
          try UserGroupStore.delete(id, in: session)
        }
        return .noContent
      },
      Endpoint(.get, "/v3/groups/{group}/users", .siteReader, "who is in a group") { request in
        let id = try request.parameter("group")
        let users = try await database.read { session in
          _ = try group(id, in: session)
          return try UserStore.list(group: id, in: session)
        }
        return listing("users", matching(users.map { userBody($0, request) }, request, ["name", "enabled"]), request)
      },
      Endpoint(.put, "/v3/groups/{group}/users/{user}", adminRule("add_user_to_group"), "put a user into a group") {
        request in
        let (id, userID) = (try request.parameter("group"), try request.parameter("user"))
        try await database.write { session in
          _ = try group(id, in: session)
          guard try UserStore.get(userID, in: session) != nil else { throw APIError.missing("user", userID) }
          try UserGroupStore.add(userID, to: id, in: session)
        }
        return .noContent
      },
      Endpoint(
        .get, "/v3/groups/{group}/users/{user}",
        anyRule("check_user_in_group", "the user itself, and readers of the site"),
        "whether a user is in a group"
      ) { request in
        let actor = try request.actor()
        let (id, userID) = (try request.parameter("group"), try request.parameter("user"))
        let isIn = try await database.read { try UserGroupStore.contains(userID, group: id, in: $0) }
        guard isIn, IdentityPolicy.isSelfOrReader(userID, actor) else {
          throw APIError.notFound("Could not find user \(userID) in group \(id).")
        }
        return .noContent
      },
      Endpoint(
        .delete, "/v3/groups/{group}/users/{user}", adminRule("remove_user_from_group"), "take a user out of a group"
      ) {
        request in
        let (id, userID) = (try request.parameter("group"), try request.parameter("user"))
        try await database.write { session in
          guard try UserGroupStore.remove(userID, from: id, in: session) else {
            throw APIError.notFound("Could not find user \(userID) in group \(id).")
          }
          try authority.revoke(Revocation(userID: userID, issuedBefore: request.now), in: session)
        }
        return .noContent
      },
    ]
  }

  private static func groupConflict(_ group: UserGroup) -> String {
    "Conflict occurred attempting to store group - Duplicate entry found with name \(group.name) at domain ID \(group.domainID)."
  }
  func group(_ id: String, in session: any Session) throws -> UserGroup {
    guard let group = try UserGroupStore.get(id, in: session) else { throw APIError.missing("group", id) }
    return group
  }
  func groupBody(_ group: UserGroup, _ request: APIRequest) -> JSON {
    var body: JSONObject = [
      "id": .string(group.id), "name": .string(group.name), "domain_id": .string(group.domainID),
      "description": .string(group.description),
      "links": ["self": .string("\(request.serviceURL)/v3/groups/\(group.id)")],
    ]
    for member in group.extra where body[member.key] == nil { body[member.key] = member.value }
    return .object(body)
  }
}
