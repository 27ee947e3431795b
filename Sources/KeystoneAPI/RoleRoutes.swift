import APISupport
import Domain
import HTTPTypes
import Store
import Wire

/// Roles and what they imply. Source: Identity API reference v3, "Roles".
extension KeystoneFacade {
  private static let attributes: Set<String> = ["id", "name", "description", "domain_id", "options", "links"]

  var roleEndpoints: [Endpoint] {
    [
      Endpoint(.get, "/v3/roles", anyRule("list_roles", "anyone with a token"), "list roles") { request in
        let roles = try await database.read { try RoleStore.list(in: $0) }
        // Roles of domains are not offered: asking for them finds none.
        let shown = request.query["domain_id"].map { $0.isEmpty || $0 == "None" } ?? true ? roles : []
        return listing("roles", matching(shown.map { roleBody($0, request) }, request, ["name"]), request)
      },
      Endpoint(.post, "/v3/roles", adminRule("create_role"), "make a role") { request in
        let attributes = try await Attributes(request, "role")
        guard try attributes.text("domain_id") == nil else {
          throw APIError.badRequest("Roles of a domain are not offered: leave domain_id out.")
        }
        var role = Role(
          id: Identifier.hex(), name: try attributes.requiredName(), description: try attributes.text("description"))
        try attributes.merge(into: &role.extra, except: Self.attributes)
        try await database.write { [role] session in
          try withConflict(Self.roleConflict(role)) { try RoleStore.insert(role, in: session) }
        }
        return APIResponse(.created, json: ["role": roleBody(role, request)])
      },
      Endpoint(.get, "/v3/roles/{role}", anyRule("get_role", "anyone with a token"), "show a role") { request in
        let id = try request.parameter("role")
        let role = try await database.read { try self.role(id, in: $0) }
        return APIResponse(json: ["role": roleBody(role, request)])
      },
      Endpoint(.patch, "/v3/roles/{role}", adminRule("update_role"), "change a role") { request in
        let id = try request.parameter("role")
        let attributes = try await Attributes(request, "role")
        let name = try attributes.entityName()
        let description = try attributes.optionalText("description")
        let changed = try await database.write { session in
          var role = try self.role(id, in: session)
          if let name, name != role.name {
            try refuseForBuiltIn(role, "renamed")
            role.name = name
            // Tokens carry names.
            try revokeTokens(ofHoldersOf: id, at: request.now, in: session)
          }
          if let description { role.description = description }
          try attributes.merge(into: &role.extra, except: Self.attributes)
          try withConflict(Self.roleConflict(role)) { try RoleStore.update(role, in: session) }
          return role
        }
        return APIResponse(json: ["role": roleBody(changed, request)])
      },
      Endpoint(.delete, "/v3/roles/{role}", adminRule("delete_role"), "delete a role") { request in
        let id = try request.parameter("role")
        try await database.write { session in
          try refuseForBuiltIn(role(id, in: session), "deleted")
          try revokeTokens(ofHoldersOf: id, at: request.now, in: session)
          try RoleStore.delete(id, in: session)
        }
        return .noContent
      },
      Endpoint(
        .get, "/v3/role_inferences", anyRule("list_role_inference_rules", "anyone with a token"),
        "which role implies which"
      ) {
        request in
        let (roles, table) = try await database.read {
          (try RoleStore.list(in: $0), try RoleStore.implications(in: $0))
        }
        let byID = Dictionary(roles.map { ($0.id, $0) }) { $1 }
        let rules = roles.compactMap { prior -> JSON? in
          guard let implied = table[prior.id] else { return nil }
          return [
            "prior_role": reference(prior, request),
            "implies": .array(implied.compactMap { byID[$0] }.map { reference($0, request) }),
          ]
        }
        return APIResponse(
          json: [
            "role_inferences": .array(rules),
            "links": ["self": .string(request.serviceURL + "/v3/role_inferences"), "previous": nil, "next": nil],
          ])
      },
      Endpoint(
        .get, "/v3/roles/{role}/implies", anyRule("list_implied_roles", "anyone with a token"), "what a role implies"
      ) {
        request in
        let id = try request.parameter("role")
        let (prior, implied) = try await database.read { session in
          let prior = try role(id, in: session)
          return (prior, try (RoleStore.implications(in: session)[id] ?? []).map { try role($0, in: session) })
        }
        return APIResponse(
          json: [
            "role_inference": [
              "prior_role": reference(prior, request), "implies": .array(implied.map { reference($0, request) }),
            ],
            "links": ["self": .string(request.serviceURL + request.path)],
          ])
      },
      Endpoint(
        .get, "/v3/roles/{role}/implies/{implied}", anyRule("get_implied_role", "anyone with a token"),
        "whether a role implies another"
      ) {
        request in
        let (id, impliedID) = (try request.parameter("role"), try request.parameter("implied"))
        return APIResponse(
          json: try await database.read { try inference(id, impliedID, mustExist: true, request, in: $0) })
      },
      Endpoint(
        .head, "/v3/roles/{role}/implies/{implied}", anyRule("check_implied_role", "anyone with a token"),
        "whether a role implies another"
      ) { request in
        let (id, impliedID) = (try request.parameter("role"), try request.parameter("implied"))
        _ = try await database.read { try inference(id, impliedID, mustExist: true, request, in: $0) }
        return .noContent
      },
      Endpoint(
        .put, "/v3/roles/{role}/implies/{implied}", adminRule("create_implied_role"), "make a role imply another"
      ) { request in
        let (id, impliedID) = (try request.parameter("role"), try request.parameter("implied"))
        let body = try await database.write { session in
          guard try impliedID != id && !RoleStore.expanded([impliedID], in: session).contains(id) else {
            throw APIError.badRequest("A role cannot imply itself.")
          }
          guard try role(impliedID, in: session).name != "admin" else {
            throw APIError.forbidden("The role admin cannot be implied.")
          }
          let body = try inference(id, impliedID, mustExist: false, request, in: session)
          try RoleStore.addImplication(id, implies: impliedID, in: session)
          return body
        }
        return APIResponse(.created, json: body)
      },
      Endpoint(.delete, "/v3/roles/{role}/implies/{implied}", adminRule("delete_implied_role"), "end an implication") {
        request in
        let (id, impliedID) = (try request.parameter("role"), try request.parameter("implied"))
        try await database.write { session in
          try revokeTokens(ofHoldersOf: id, at: request.now, in: session)
          guard try RoleStore.removeImplication(id, implies: impliedID, in: session) else {
            throw APIError.notFound("\(id) does not imply \(impliedID).")
          }
        }
        return .noContent
      },
    ]
  }

  private func inference(
    _ id: String, _ impliedID: String, mustExist: Bool, _ request: APIRequest, in session: any Session
  ) throws -> JSON {
    let prior = try role(id, in: session)
    let implied = try role(impliedID, in: session)
    if mustExist, try RoleStore.implications(in: session)[id]?.contains(impliedID) != true {
      throw APIError.notFound("\(id) does not imply \(impliedID).")
    }
    return [
      "role_inference": ["prior_role": reference(prior, request), "implies": reference(implied, request)],
      "links": ["self": .string(request.serviceURL + request.path)],
    ]
  }
  private static func roleConflict(_ role: Role) -> String {
    "Conflict occurred attempting to store role - Duplicate entry found with name \(role.name)."
  }
  private func refuseForBuiltIn(_ role: Role, _ what: String) throws {
    guard !Role.builtIn.contains(role.name) else {
      throw APIError.forbidden("The role \(role.name) is one of the site's own: it cannot be \(what).")
    }
  }
  func role(_ id: String, in session: any Session) throws -> Role {
    guard let role = try RoleStore.get(id, in: session) else { throw APIError.missing("role", id) }
    return role
  }
  private func reference(_ role: Role, _ request: APIRequest) -> JSON {
    [
      "id": .string(role.id), "name": .string(role.name),
      "links": ["self": .string("\(request.serviceURL)/v3/roles/\(role.id)")],
    ]
  }
  func roleBody(_ role: Role, _ request: APIRequest) -> JSON {
    var body: JSONObject = [
      "id": .string(role.id), "name": .string(role.name), "domain_id": nil, "description": JSON(role.description),
      "options": [:],
      "links": ["self": .string("\(request.serviceURL)/v3/roles/\(role.id)")],
    ]
    for member in role.extra where body[member.key] == nil { body[member.key] = member.value }
    return .object(body)
  }

  /// Voids the tokens that carry roles which the holder has on a target (nil: anywhere).
  func revokeTokens(
    of holder: RoleAssignment.Holder, on target: RoleAssignment.Target?, at now: Timestamp, in session: any Session
  ) throws {
    let users: [String] =
      switch holder {
      case .user(let id): [id]
      case .group(let id): try UserGroupStore.members(of: id, in: session)
      }
    for user in users {
      var revocation = Revocation(userID: user, issuedBefore: now)
      if case .project(let project)? = target { revocation.projectID = project }
      try authority.revoke(revocation, in: session)
    }
  }
  private func revokeTokens(ofHoldersOf role: String, at now: Timestamp, in session: any Session) throws {
    var prior: Set<String> = [role]
    // Those who have the role by implication hold another one.
    for id in try RoleStore.implications(in: session).keys
    where try RoleStore.expanded([id], in: session).contains(role) {
      prior.insert(id)
    }
    for id in prior {
      for assignment in try RoleAssignmentStore.list(role: id, in: session) {
        try revokeTokens(of: assignment.holder, on: assignment.target, at: now, in: session)
      }
    }
  }
}
