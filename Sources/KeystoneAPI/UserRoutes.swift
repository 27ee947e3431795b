import APISupport
import Domain
import HTTPTypes
import Store
import Wire

/// Users. Source: Identity API reference v3, "Users".
extension KeystoneFacade {
  private static let attributes: Set<String> = [
    "id", "name", "domain_id", "enabled", "default_project_id", "description", "password", "original_password",
    "options", "links", "password_expires_at", "federated", "tenantId",
  ]
  private static let readers = "the user itself, and readers of the site and of its domain"

  var userEndpoints: [Endpoint] {
    [
      Endpoint(.get, "/v3/users", anyRule("list_users", Self.readers), "list users", handler: listUsers),
      Endpoint(.post, "/v3/users", managerRule("create_user"), "make a user", handler: createUser),
      Endpoint(.get, "/v3/users/{user}", anyRule("get_user", Self.readers), "show a user") { request in
        let actor = try request.actor()
        let id = try request.parameter("user")
        let user = try await database.read { try visibleUser(id, actor, in: $0) }
        return APIResponse(json: ["user": userBody(user, request)])
      },
      Endpoint(.patch, "/v3/users/{user}", managerRule("update_user"), "change a user", handler: updateUser),
      Endpoint(.delete, "/v3/users/{user}", managerRule("delete_user"), "delete a user") { request in
        let actor = try request.actor()
        let id = try request.parameter("user")
        try await change { session in
          _ = try managedUser(id, actor, in: session)
          try authority.revoke(Revocation(userID: id, issuedBefore: request.now), in: session)
          try passwords.forget(id, in: session)
          try UserStore.delete(id, in: session)
        }
        return .noContent
      },
      Endpoint(
        .get, "/v3/users/{user}/projects", anyRule("list_user_projects", Self.readers),
        "projects that a user has a role in"
      ) {
        request in
        let actor = try request.actor()
        let id = try request.parameter("user")
        let items = try await database.read { session in
          _ = try visibleUser(id, actor, in: session)
          return try ProjectStore.authorized(user: id, isDomain: false, in: session)
        }
        let filter = try ListFilter(request, ["name", "enabled", "domain_id"])
        return try listing("projects", items.map { projectBody($0, request) }.filter { filter.admits($0) }, request)
      },
      Endpoint(
        .get, "/v3/users/{user}/groups", anyRule("list_groups_for_user", Self.readers), "groups that a user is in"
      ) {
        request in
        let actor = try request.actor()
        let id = try request.parameter("user")
        let filter = try ListFilter(request, ["name", "domain_id"])
        let items = try await database.read { session in
          let user = try visibleUser(id, actor, in: session)
          let reach = IdentityPolicy.read(by: actor)
          // A domain's readers learn nothing of the groups of another domain.
          return try UserGroupStore.list(user: user.id, in: session).filter {
            user.id == actor.userID || reach.contains(domain: $0.domainID)
          }
        }
        return try listing("groups", items.map { groupBody($0, request) }.filter { filter.admits($0) }, request)
      },
    ]
  }

  func userBody(_ user: User, _ request: APIRequest) -> JSON {
    var body: JSONObject = [
      "id": .string(user.id), "name": .string(user.name), "domain_id": .string(user.domainID),
      "enabled": .bool(user.isEnabled), "default_project_id": JSON(user.defaultProjectID),
      "password_expires_at": JSON(user.passwordExpiresAt.map { keystoneTime($0) }), "options": .object(user.options),
      "links": ["self": .string("\(request.serviceURL)/v3/users/\(user.id)")],
    ]
    if let description = user.description { body["description"] = .string(description) }
    for member in user.extra where body[member.key] == nil { body[member.key] = member.value }
    return .object(body)
  }
  /// - Throws: ``APIError/unseen(_:_:by:)``.
  func visibleUser(_ id: String, _ actor: Actor, in session: any Session) throws -> User {
    guard let user = try UserStore.get(id, in: session), IdentityPolicy.sees(user: user, actor) else {
      throw APIError.unseen("user", id, by: actor)
    }
    return user
  }
  /// A user that the actor may change.
  /// - Throws: ``APIError/unseen(_:_:by:)``, also when it is in another domain; 403 when its roles reach beyond the actor's domain.
  func managedUser(_ id: String, _ actor: Actor, in session: any Session) throws -> User {
    let reach = IdentityPolicy.managed(by: actor)
    guard let user = try UserStore.get(id, in: session), reach.contains(domain: user.domainID) else {
      throw APIError.unseen("user", id, by: actor)
    }
    try refuseForOutsiders(.user(id), user.name, reach, in: session)
    return user
  }
  private func refuseForOutsiders(
    _ holder: RoleAssignment.Holder, _ name: String, _ reach: IdentityPolicy.Reach, in session: any Session
  ) throws {
    guard case .domain(let domain) = reach else { return }
    guard try !RoleAssignmentStore.reachesBeyond(domain, holder: holder, in: session) else {
      throw APIError.forbidden(
        "\(name) has roles outside of the domain: only the site's administrator may change it.")
    }
  }
  /// A group that the actor may change.
  /// - Throws: as ``managedUser(_:_:in:)``.
  func managedGroup(_ id: String, _ actor: Actor, in session: any Session) throws -> UserGroup {
    let reach = IdentityPolicy.managed(by: actor)
    guard let group = try UserGroupStore.get(id, in: session), reach.contains(domain: group.domainID) else {
      throw APIError.unseen("group", id, by: actor)
    }
    try refuseForOutsiders(.group(id), group.name, reach, in: session)
    return group
  }

  private func listUsers(_ request: APIRequest) async throws -> APIResponse {
    let actor = try request.actor()
    let list = try ListFilter(request, ["id", "name", "domain_id", "enabled"], others: ["password_expires_at"])
    let page = try ListPage(request)
    var filter = UserFilter()
    switch IdentityPolicy.read(by: actor) {
    case .site: break
    case .domain(let id): filter.visibleDomain = id
    case .nothing: filter.onlyUser = actor.userID
    }
    filter.name = list.exact("name")
    filter.domainID = list.exact("domain_id")
    filter.isEnabled = try list.flag("enabled")
    filter.marker = page.marker
    if let text = request.query["password_expires_at"] { filter.passwordExpiry = try expiryFilter(text) }
    let id = list.exact("id")
    if !list.needsLook && id == nil { filter.limit = page.limit.map { $0 + 1 } }
    let users = try await database.read { [filter] in try UserStore.list(filter, in: $0) }
    let shown = users.filter { user in
      (id == nil || user.id == id) && list.admits { $0 == "name" ? user.name : $0 == "id" ? user.id : nil }
    }
    return try listing("users", shown.map { userBody($0, request) }, request, page: page)
  }
  /// "lt:2016-12-08T22:02:00Z".
  private func expiryFilter(_ text: String) throws -> (UserFilter.Comparison, Timestamp) {
    let parts = text.split(separator: ":", maxSplits: 1).map { String($0) }
    guard parts.count == 2, let comparison = UserFilter.Comparison(rawValue: parts[0]) else {
      throw APIError.badRequest(
        "The given operator is not valid. It must be one of the following: 'eq', 'neq', 'lt', 'lte', 'gt', or 'gte'.")
    }
    guard let time = Timestamp(parsing: parts[1]) else {
      throw APIError.badRequest("Timestamp not in expected format: '\(parts[1])'; use YYYY-MM-DDTHH:mm:ssZ.")
    }
    return (comparison, time)
  }

  private func createUser(_ request: APIRequest) async throws -> APIResponse {
    let actor = try request.actor()
    let attributes = try await Attributes(request, "user")
    let domainID = try attributes.text("domain_id") ?? Self.homeDomain(actor)
    var user = User(
      id: Identifier.hex(), name: try attributes.requiredName(), domainID: domainID, createdAt: request.now)
    user.isEnabled = try attributes.flag("enabled") ?? true
    user.defaultProjectID = try attributes.text("default_project_id", limit: 64)
    user.description = try attributes.text("description")
    try attributes.mergeOptions(into: &user.options, known: User.knownOptions)
    try attributes.merge(into: &user.extra, except: Self.attributes)
    if let password = try attributes.text("password") {
      try set(password: await checkedHash(password), of: &user, byAdministrator: true, at: request.now)
    }
    try await change { [user] session in
      try managedDomain(domainID, actor, "create_user", in: session)
      try refuseDomainAsDefault(user.defaultProjectID, in: session)
      try withConflict(Self.userConflict(user)) { try UserStore.insert(user, in: session) }
    }
    return APIResponse(.created, json: ["user": userBody(user, request)])
  }
  private static func userConflict(_ user: User) -> String {
    "Conflict occurred attempting to store user - Duplicate entry found with name \(user.name) at domain ID \(user.domainID)."
  }
  private func refuseDomainAsDefault(_ id: String?, in session: any Session) throws {
    guard let id, try ProjectStore.get(id, in: session)?.isDomain == true else { return }
    throw APIError.badRequest("User's default project ID cannot be a domain ID: \(id)")
  }

  private func updateUser(_ request: APIRequest) async throws -> APIResponse {
    let actor = try request.actor()
    let id = try request.parameter("user")
    let attributes = try await Attributes(request, "user")
    let name = try attributes.entityName()
    let enabled = try attributes.flag("enabled")
    let description = try attributes.optionalText("description")
    let defaultProject = try attributes.optionalText("default_project_id", limit: 64)
    let domainID = try attributes.text("domain_id")
    var hash: String?
    if let password = try attributes.text("password") {
      // Who may not change the user must not make the server hash.
      try await database.read { _ = try managedUser(id, actor, in: $0) }
      hash = try await checkedHash(password)
    }
    let user = try await change { [hash] session in
      var user = try managedUser(id, actor, in: session)
      guard domainID == nil || domainID == user.domainID else { throw APIError.badRequest("Cannot change Domain ID") }
      if let name { user.name = name }
      if let description { user.description = description }
      if let defaultProject {
        try refuseDomainAsDefault(defaultProject, in: session)
        user.defaultProjectID = defaultProject
      }
      try attributes.mergeOptions(into: &user.options, known: User.knownOptions)
      try attributes.merge(into: &user.extra, except: Self.attributes)
      let isDisabled = enabled == false && user.isEnabled
      if let enabled { user.isEnabled = enabled }
      if let hash {
        try keepOldPassword(of: user, at: request.now, in: session)
        set(password: hash, of: &user, byAdministrator: true, at: request.now)
      }
      // Setting a password, or `enabled` explicitly, ends a lock.
      if hash != nil || enabled == true { try passwords.forget(id, in: session) }
      if isDisabled || hash != nil {
        try authority.revoke(Revocation(userID: id, issuedBefore: request.now), in: session)
      }
      try withConflict(Self.userConflict(user)) { try UserStore.update(user, in: session) }
      return user
    }
    return APIResponse(json: ["user": userBody(user, request)])
  }
}
