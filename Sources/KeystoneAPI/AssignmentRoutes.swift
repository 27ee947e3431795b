import APISupport
import Domain
import HTTPTypes
import Store
import Wire

/// Who has which role where. Source: Identity API reference v3, "Roles", "List role assignments", "System role assignments".
extension KeystoneFacade {
  private typealias Place = (path: String, name: String, target: @Sendable (APIRequest) throws -> RoleAssignment.Target)
  private typealias Person = (path: String, holder: @Sendable (APIRequest) throws -> RoleAssignment.Holder)

  var assignmentEndpoints: [Endpoint] {
    let places: [Place] = [
      ("/v3/projects/{project}", "project", { .project(try $0.parameter("project")) }),
      ("/v3/domains/{domain}", "domain", { .domain(try $0.parameter("domain")) }),
      ("/v3/system", "system", { _ in .system }),
    ]
    let people: [Person] = [
      ("users/{user}", { .user(try $0.parameter("user")) }), ("groups/{group}", { .group(try $0.parameter("group")) }),
    ]
    var endpoints = [
      Endpoint(
        .get, "/v3/role_assignments", anyRule("list_role_assignments", "one's own; all for readers of the site"),
        "list role assignments", handler: listAssignments)
    ]
    for place in places {
      for person in people {
        let path = "\(place.path)/\(person.path)/roles"
        endpoints += [
          Endpoint(.get, path, .siteReader, "roles of one on a \(place.name)") { request in
            let (holder, target) = (try person.holder(request), try place.target(request))
            let roles = try await database.read { session in
              try check(holder, target, in: session)
              return try RoleAssignmentStore.list(holder: holder, target: target, in: session).map {
                try role($0.roleID, in: session)
              }
            }
            return listing("roles", roles.map { roleBody($0, request) }, request)
          },
          Endpoint(.get, path + "/{role}", .siteReader, "whether one has a role on a \(place.name)") { request in
            let (holder, target) = (try person.holder(request), try place.target(request))
            let id = try request.parameter("role")
            let has = try await database.read { session in
              try check(holder, target, in: session)
              return try !RoleAssignmentStore.list(holder: holder, target: target, role: id, in: session).isEmpty
            }
            guard has else { throw APIError.notFound("Could not find role assignment with role: \(id).") }
            return .noContent
          },
          Endpoint(.put, path + "/{role}", adminRule("create_\(place.name)_grant"), "give a role on a \(place.name)") {
            request in
            let (holder, target) = (try person.holder(request), try place.target(request))
            let id = try request.parameter("role")
            try await database.write { session in
              try check(holder, target, in: session)
              _ = try role(id, in: session)
              try RoleAssignmentStore.add(RoleAssignment(holder: holder, target: target, roleID: id), in: session)
            }
            return .noContent
          },
          Endpoint(.delete, path + "/{role}", adminRule("revoke_\(place.name)_grant"), "take a role on a \(place.name)")
          { request in
            let (holder, target) = (try person.holder(request), try place.target(request))
            let id = try request.parameter("role")
            try await database.write { session in
              try check(holder, target, in: session)
              let assignment = RoleAssignment(holder: holder, target: target, roleID: id)
              guard try RoleAssignmentStore.remove(assignment, in: session) else {
                throw APIError.notFound("Could not find role assignment with role: \(id).")
              }
              try revokeTokens(of: holder, on: target, at: request.now, in: session)
            }
            return .noContent
          },
        ]
      }
    }
    return endpoints
  }

  /// - Throws: 404 when the user, the group, the project or the domain is not there.
  private func check(_ holder: RoleAssignment.Holder, _ target: RoleAssignment.Target, in session: any Session) throws {
    switch target {
    case .project(let id):
      guard try ProjectStore.get(id, in: session) != nil else { throw APIError.missing("project", id) }
    case .domain(let id):
      guard try ProjectStore.get(id, in: session)?.isDomain == true else { throw APIError.missing("domain", id) }
    case .system: break
    }
    switch holder {
    case .user(let id):
      guard try UserStore.get(id, in: session) != nil else { throw APIError.missing("user", id) }
    case .group(let id): _ = try group(id, in: session)
    }
  }

  private struct Shown {
    var assignment: RoleAssignment
    /// The group through which a user has it, when effective assignments are asked for.
    var group: String?
    /// The role that implies it.
    var prior: String?
  }

  private func listAssignments(_ request: APIRequest) async throws -> APIResponse {
    let actor = try request.actor()
    let query = request.query
    @Sendable func flag(_ name: String) -> Bool {
      guard let text = query[name]?.lowercased() else { return false }
      return !["0", "false", "no", "off"].contains(text)
    }
    let effective = flag("effective")
    let withNames = flag("include_names")
    guard !(effective && query["group.id"] != nil) else {
      throw APIError.badRequest("Combining effective and group filter will always result in an empty list.")
    }
    var target: RoleAssignment.Target?
    if let id = query["scope.project.id"] {
      target = .project(id)
    } else if let id = query["scope.domain.id"] {
      target = .domain(id)
    } else if query["scope.system"] != nil {
      target = .system
    }
    // Nothing is inherited here.
    if query["scope.OS-INHERIT:inherited_to"] != nil { return listing("role_assignments", [], request) }
    let items = try await database.read { [target] session -> [JSON] in
      var found: [Shown] = []
      var all = try RoleAssignmentStore.list(target: target, in: session).map { Shown(assignment: $0) }
      if flag("include_subtree"), case .project(let id)? = target {
        for below in try subtree(id, in: session) {
          all += try RoleAssignmentStore.list(target: .project(below.id), in: session).map { Shown(assignment: $0) }
        }
      }
      for item in all { found += try effective ? expand(item, in: session) : [item] }
      return try found.filter { item in
        let assignment = item.assignment
        if let id = query["user.id"], assignment.holder != .user(id) { return false }
        if let id = query["group.id"], assignment.holder != .group(id) { return false }
        if let id = query["role.id"], assignment.roleID != id { return false }
        if actor.isSiteReader { return true }
        return assignment.holder == .user(actor.userID)
      }.map { try body($0, withNames, request, in: session) }
    }
    return listing("role_assignments", items, request)
  }
  private func expand(_ item: Shown, in session: any Session) throws -> [Shown] {
    var holders: [(RoleAssignment.Holder, String?)] = [(item.assignment.holder, nil)]
    if case .group(let id) = item.assignment.holder {
      holders = try UserGroupStore.members(of: id, in: session).map { (.user($0), id) }
    }
    let own = item.assignment.roleID
    return try RoleStore.expanded([own], in: session).sorted().flatMap { role in
      holders.map { holder, group in
        Shown(
          assignment: RoleAssignment(holder: holder, target: item.assignment.target, roleID: role), group: group,
          prior: role == own ? nil : own)
      }
    }
  }
  private func body(_ item: Shown, _ withNames: Bool, _ request: APIRequest, in session: any Session) throws -> JSON {
    func named(_ id: String, _ name: String?, domain: String?) throws -> JSON {
      guard withNames, let name else { return ["id": .string(id)] }
      var out: JSONObject = ["id": .string(id), "name": .string(name)]
      if let domain {
        out["domain"] = ["id": .string(domain), "name": JSON(try ProjectStore.get(domain, in: session)?.name)]
      }
      return .object(out)
    }
    var out: JSONObject = [:]
    var path = "/v3"
    switch item.assignment.target {
    case .project(let id):
      let project = try withNames ? ProjectStore.get(id, in: session) : nil
      out["scope"] = ["project": try named(id, project?.name, domain: project?.domainID)]
      path += "/projects/\(id)"
    case .domain(let id):
      out["scope"] = ["domain": try named(id, withNames ? ProjectStore.get(id, in: session)?.name : nil, domain: nil)]
      path += "/domains/\(id)"
    case .system:
      out["scope"] = ["system": ["all": true]]
      path += "/system"
    }
    var links: JSONObject = [:]
    switch item.assignment.holder {
    case .user(let id):
      let user = try withNames ? UserStore.get(id, in: session) : nil
      out["user"] = try named(id, user?.name, domain: user?.domainID)
      if let group = item.group {
        links["membership"] = .string("\(request.serviceURL)/v3/groups/\(group)/users/\(id)")
        path += "/groups/\(group)"
      } else {
        path += "/users/\(id)"
      }
    case .group(let id):
      let group = try withNames ? UserGroupStore.get(id, in: session) : nil
      out["group"] = try named(id, group?.name, domain: group?.domainID)
      path += "/groups/\(id)"
    }
    let role = item.assignment.roleID
    out["role"] = try named(role, withNames ? RoleStore.get(role, in: session)?.name : nil, domain: nil)
    if let prior = item.prior {
      links["prior_role"] = .string("\(request.serviceURL)/v3/roles/\(prior)/implies/\(role)")
    }
    links["assignment"] = .string("\(request.serviceURL)\(path)/roles/\(item.prior ?? role)")
    out["links"] = .object(links)
    return .object(out)
  }
}
