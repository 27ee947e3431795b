import APISupport
import Domain
import HTTPTypes
import Store
import Wire

/// Roles, global and of domains. Source: Identity API reference v3, "Roles", "Domain specific roles".
extension KeystoneFacade {
  private static let attributes: Set<String> = ["id", "name", "description", "domain_id", "options", "links"]
  private static let readers = "readers of the site, and those who give roles in a domain"
  private static let administrator = "the site's administrator; 404 before 403, as upstream"

  var roleEndpoints: [Endpoint] {
    [
      Endpoint(
        .get, "/v3/roles",
        EndpointRule("identity:list_roles", Self.readers) { Self.givers($0) != .nothing },
        "list global roles, or with domain_id those of a domain"
      ) { request in
        let actor = try request.actor()
        let filter = try ListFilter(request, ["name", "domain_id"])
        let domain = filter.exact("domain_id").flatMap { $0.isEmpty || $0 == "None" ? nil : $0 }
        let roles = try await database.read { session in
          guard let domain else { return try RoleStore.list(in: session) }
          guard Self.givers(actor).contains(domain: domain) else { throw APIError.unauthorized("list_domain_roles") }
          return try RoleStore.list(domain: domain, in: session)
        }
        return try listing("roles", roles.map { roleBody($0, request) }.filter { filter.admits($0) }, request)
      },
      Endpoint(.post, "/v3/roles", adminRule("create_role"), "make a role") { request in
        let attributes = try await Attributes(request, "role")
        var role = Role(
          id: Identifier.hex(), name: try attributes.requiredName(), domainID: try attributes.text("domain_id"),
          description: try attributes.text("description"))
        try attributes.mergeOptions(into: &role.options, known: Project.knownOptions)
        try attributes.merge(into: &role.extra, except: Self.attributes)
        try await change { [role] session in
          if let domain = role.domainID, try ProjectStore.get(domain, in: session)?.isDomain != true {
            throw APIError.badRequest("Could not find domain: \(domain).")
          }
          try withConflict(Self.roleConflict(role)) { try RoleStore.insert(role, in: session) }
        }
        return APIResponse(.created, json: ["role": roleBody(role, request)])
      },
      Endpoint(.get, "/v3/roles/{role}", anyRule("get_role", Self.readers), "show a role") { request in
        let actor = try request.actor()
        let id = try request.parameter("role")
        let role = try await database.read { try knownRole(id, actor, in: $0) }
        let reach = Self.givers(actor)
        guard role.domainID.map({ reach.contains(domain: $0) }) ?? (reach != .nothing) else {
          throw APIError.unauthorized("get_role")
        }
        return APIResponse(json: ["role": roleBody(role, request)])
      },
      Endpoint(.patch, "/v3/roles/{role}", anyRule("update_role", Self.administrator), "change a role") { request in
        let id = try request.parameter("role")
        try await requireAdministrator(request, ofRole: id, "update_role")
        let attributes = try await Attributes(request, "role")
        let name = try attributes.entityName()
        let description = try attributes.optionalText("description")
        let changed = try await change { session in
          var role = try self.role(id, in: session)
          try attributes.refuseForImmutable(role.isImmutable, "role", id)
          if let domain = attributes.values["domain_id"], domain != JSON(role.domainID) {
            throw APIError.badRequest("Update of `domain_id` is not allowed.")
          }
          if let name, name != role.name {
            try refuseForBuiltIn(role, "renamed")
            role.name = name
            // Tokens carry names.
            try revokeTokens(ofHoldersOf: id, at: request.now, in: session)
          }
          if let description { role.description = description }
          try attributes.mergeOptions(into: &role.options, known: Project.knownOptions)
          try attributes.merge(into: &role.extra, except: Self.attributes)
          try withConflict(Self.roleConflict(role)) { try RoleStore.update(role, in: session) }
          return role
        }
        return APIResponse(json: ["role": roleBody(changed, request)])
      },
      Endpoint(.delete, "/v3/roles/{role}", anyRule("delete_role", Self.administrator), "delete a role") { request in
        let id = try request.parameter("role")
        try await requireAdministrator(request, ofRole: id, "delete_role")
        try await change { session in
          let role = try self.role(id, in: session)
          try refuseForBuiltIn(role, "deleted")
          try refuseToDelete(role.isImmutable, "role", id)
          try revokeTokens(ofHoldersOf: id, at: request.now, in: session)
          try RoleStore.delete(id, in: session)
        }
        return .noContent
      },
    ]
  }

  private static func roleConflict(_ role: Role) -> String {
    let place = role.domainID.map { " at domain ID \($0)" } ?? ""
    return
      "Conflict occurred attempting to store role - Duplicate entry found with name \(role.name)\(place)."
  }
  private func refuseForBuiltIn(_ role: Role, _ what: String) throws {
    guard !role.isBuiltIn else {
      throw APIError.forbidden("The role \(role.name) is one of the site's own: it cannot be \(what).")
    }
  }
  func role(_ id: String, in session: any Session) throws -> Role {
    guard let role = try RoleStore.get(id, in: session) else { throw APIError.missing("role", id) }
    return role
  }
  /// Where the actor has use for a list of roles: where it gives them, and the site for its readers.
  private static func givers(_ actor: Actor) -> IdentityPolicy.Reach {
    actor.isSiteReader ? .site : IdentityPolicy.managed(by: actor)
  }
  /// A role that the actor may know of: a global one, whose names are in everybody's tokens, and one of a domain where the
  /// actor is or reads.
  /// - Throws: 404.
  private func knownRole(_ id: String, _ actor: Actor, in session: any Session) throws -> Role {
    let role = try role(id, in: session)
    guard let domain = role.domainID else { return role }
    guard domain == Self.homeDomain(actor) || IdentityPolicy.read(by: actor).contains(domain: domain) else {
      throw APIError.missing("role", id)
    }
    return role
  }
  /// - Throws: 404 for a role that the actor may not know of, 403 for the others unless it is the site's administrator.
  private func requireAdministrator(_ request: APIRequest, ofRole id: String, _ action: String) async throws {
    let actor = try request.actor()
    guard !actor.isSiteAdmin else { return }
    _ = try await database.read { try knownRole(id, actor, in: $0) }
    throw APIError.unauthorized(action)
  }
  /// A global role, or one of a domain that the actor reads.
  /// - Throws: ``APIError/unseen(_:_:by:)``.
  func visibleRole(_ id: String, _ actor: Actor, in session: any Session) throws -> Role {
    guard let role = try RoleStore.get(id, in: session),
      role.domainID.map({ IdentityPolicy.read(by: actor).contains(domain: $0) }) ?? true
    else { throw APIError.unseen("role", id, by: actor) }
    return role
  }
  func roleBody(_ role: Role, _ request: APIRequest) -> JSON {
    var body: JSONObject = [
      "id": .string(role.id), "name": .string(role.name), "domain_id": JSON(role.domainID),
      "description": JSON(role.description), "options": .object(role.options),
      "links": ["self": .string("\(request.serviceURL)/v3/roles/\(role.id)")],
    ]
    for member in role.extra where body[member.key] == nil { body[member.key] = member.value }
    return .object(body)
  }

  // MARK: Tokens that carry roles

  /// Voids the tokens that carry roles which the holder has on a target; nil, and what is inherited: anywhere.
  func revokeTokens(
    of holder: RoleAssignment.Holder, on target: RoleAssignment.Target?, inherited: Bool = false, at now: Timestamp,
    in session: any Session
  ) throws {
    let users: [String] =
      switch holder {
      case .user(let id): [id]
      case .group(let id): try UserGroupStore.members(of: id, in: session)
      }
    for user in users {
      var revocation = Revocation(userID: user, issuedBefore: now)
      if !inherited {
        switch target {
        case .project(let id): revocation.projectID = id
        case .domain(let id): revocation.domainID = id
        case .system: revocation.isSystem = true
        case nil: break
        }
      }
      try authority.revoke(revocation, in: session)
    }
  }
  func revokeTokens(ofHoldersOf role: String, at now: Timestamp, in session: any Session) throws {
    let table = try RoleStore.implications(in: session)
    // Those who have the role by implication hold another one.
    let prior = table.keys.filter { RoleStore.expanded([$0], by: table).contains(role) }
    for id in Set(prior).union([role]) {
      var filter = RoleAssignmentFilter()
      filter.role = id
      for assignment in try RoleAssignmentStore.list(filter, in: session) {
        try revokeTokens(
          of: assignment.holder, on: assignment.target, inherited: assignment.isInherited, at: now, in: session)
      }
    }
  }
}
