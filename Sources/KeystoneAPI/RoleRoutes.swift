import APISupport
import Domain
import HTTPTypes
import Store
import Wire

/// Roles, global and of domains. Source: Identity API reference v3, "Roles", "Domain specific roles".
extension KeystoneFacade {
  private static let attributes: Set<String> = ["id", "name", "description", "domain_id", "options", "links"]

  var roleEndpoints: [Endpoint] {
    [
      Endpoint(
        .get, "/v3/roles",
        anyRule("list_roles", "anyone with a token; a domain's roles: readers of the site and of the domain"),
        "list global roles, or with domain_id those of a domain"
      ) { request in
        let actor = try request.actor()
        let filter = try ListFilter(request, ["name", "domain_id"])
        let domain = filter.exact("domain_id").flatMap { $0.isEmpty || $0 == "None" ? nil : $0 }
        let roles = try await database.read { session in
          guard let domain else { return try RoleStore.list(in: session) }
          return IdentityPolicy.read(by: actor).contains(domain: domain)
            ? try RoleStore.list(domain: domain, in: session) : []
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
      Endpoint(.get, "/v3/roles/{role}", anyRule("get_role", "anyone with a token"), "show a role") { request in
        let actor = try request.actor()
        let id = try request.parameter("role")
        let role = try await database.read { try visibleRole(id, actor, in: $0) }
        return APIResponse(json: ["role": roleBody(role, request)])
      },
      Endpoint(.patch, "/v3/roles/{role}", adminRule("update_role"), "change a role") { request in
        let id = try request.parameter("role")
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
      Endpoint(.delete, "/v3/roles/{role}", adminRule("delete_role"), "delete a role") { request in
        let id = try request.parameter("role")
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
  /// A global role, or one of a domain that the actor reads.
  /// - Throws: 404.
  func visibleRole(_ id: String, _ actor: Actor, in session: any Session) throws -> Role {
    let role = try role(id, in: session)
    guard role.domainID.map({ IdentityPolicy.read(by: actor).contains(domain: $0) }) ?? true else {
      throw APIError.missing("role", id)
    }
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
