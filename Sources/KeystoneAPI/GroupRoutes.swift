import APISupport
import Domain
import HTTPTypes
import Store
import Wire

/// Groups of users. Source: Identity API reference v3, "Groups".
extension KeystoneFacade {
  private static let attributes: Set<String> = ["id", "name", "domain_id", "description", "links"]

  var groupEndpoints: [Endpoint] {
    [
      Endpoint(.get, "/v3/groups", readerRule("list_groups"), "list groups") { request in
        let reach = IdentityPolicy.read(by: try request.actor())
        let filter = try ListFilter(request, ["name", "domain_id"])
        let groups = try await database.read {
          try UserGroupStore.list(name: filter.exact("name"), domain: filter.exact("domain_id"), in: $0)
        }
        let shown = groups.filter { group in
          reach.contains(domain: group.domainID) && filter.admits { $0 == "name" ? group.name : nil }
        }
        return try listing("groups", shown.map { groupBody($0, request) }, request)
      },
      Endpoint(.post, "/v3/groups", managerRule("create_group"), "make a group") { request in
        let actor = try request.actor()
        let attributes = try await Attributes(request, "group")
        let domain = try attributes.text("domain_id") ?? Self.homeDomain(actor)
        var group = UserGroup(id: Identifier.hex(), name: try attributes.requiredName(limit: 64), domainID: domain)
        group.description = try attributes.text("description") ?? ""
        try attributes.merge(into: &group.extra, except: Self.attributes)
        try await change { [group] session in
          try managedDomain(domain, actor, "create_group", in: session)
          try withConflict(Self.groupConflict(group)) { try UserGroupStore.insert(group, in: session) }
        }
        return APIResponse(.created, json: ["group": groupBody(group, request)])
      },
      Endpoint(.get, "/v3/groups/{group}", readerRule("get_group"), "show a group") { request in
        let actor = try request.actor()
        let id = try request.parameter("group")
        let group = try await database.read { try visibleGroup(id, actor, in: $0) }
        return APIResponse(json: ["group": groupBody(group, request)])
      },
      Endpoint(.patch, "/v3/groups/{group}", managerRule("update_group"), "change a group") { request in
        let actor = try request.actor()
        let id = try request.parameter("group")
        let attributes = try await Attributes(request, "group")
        let name = try attributes.entityName(limit: 64)
        let description = try attributes.optionalText("description")
        let domain = try attributes.text("domain_id")
        let changed = try await change { session in
          var group = try managedGroup(id, actor, in: session)
          guard domain == nil || domain == group.domainID else { throw APIError.badRequest("Cannot change Domain ID") }
          if let name { group.name = name }
          if let description { group.description = description ?? "" }
          try attributes.merge(into: &group.extra, except: Self.attributes)
          try withConflict(Self.groupConflict(group)) { try UserGroupStore.update(group, in: session) }
          return group
        }
        return APIResponse(json: ["group": groupBody(changed, request)])
      },
      Endpoint(.delete, "/v3/groups/{group}", managerRule("delete_group"), "delete a group") { request in
        let actor = try request.actor()
        let id = try request.parameter("group")
        try await change { session in
          _ = try managedGroup(id, actor, in: session)
          try revokeTokens(of: .group(id), on: nil, at: request.now, in: session)
          try UserGroupStore.delete(id, in: session)
        }
        return .noContent
      },
      Endpoint(.get, "/v3/groups/{group}/users", readerRule("list_users_in_group"), "who is in a group") { request in
        let actor = try request.actor()
        let id = try request.parameter("group")
        let list = try ListFilter(request, ["name", "enabled", "domain_id"], others: ["password_expires_at"])
        let users = try await database.read { session in
          _ = try visibleGroup(id, actor, in: session)
          var filter = UserFilter()
          filter.group = id
          filter.name = list.exact("name")
          filter.isEnabled = try list.flag("enabled")
          filter.domainID = list.exact("domain_id")
          let reach = IdentityPolicy.read(by: actor)
          return try UserStore.list(filter, in: session).filter { reach.contains(domain: $0.domainID) }
        }
        let shown = users.filter { user in list.admits { $0 == "name" ? user.name : nil } }
        return try listing("users", shown.map { userBody($0, request) }, request)
      },
      Endpoint(.put, "/v3/groups/{group}/users/{user}", managerRule("add_user_to_group"), "put a user into a group") {
        request in
        let actor = try request.actor()
        let (id, userID) = (try request.parameter("group"), try request.parameter("user"))
        try await change { session in
          _ = try managedGroup(id, actor, in: session)
          try requireManaged(member: userID, by: actor, in: session)
          try UserGroupStore.add(userID, to: id, in: session)
        }
        return .noContent
      },
      Endpoint(
        .get, "/v3/groups/{group}/users/{user}",
        anyRule("check_user_in_group", "the user itself, and readers of the site and of its domain"),
        "whether a user is in a group"
      ) { request in
        let actor = try request.actor()
        let (id, userID) = (try request.parameter("group"), try request.parameter("user"))
        let isIn = try await database.read { session in
          if userID != actor.userID {
            _ = try visibleGroup(id, actor, in: session)
            _ = try visibleUser(userID, actor, in: session)
          }
          return try UserGroupStore.contains(userID, group: id, in: session)
        }
        guard isIn else { throw APIError.notFound("User '\(userID)' not found in group '\(id)'.") }
        return .noContent
      },
      Endpoint(
        .delete, "/v3/groups/{group}/users/{user}", managerRule("remove_user_from_group"), "take a user out of a group"
      ) {
        request in
        let actor = try request.actor()
        let (id, userID) = (try request.parameter("group"), try request.parameter("user"))
        try await change { session in
          _ = try managedGroup(id, actor, in: session)
          try requireManaged(member: userID, by: actor, in: session)
          guard try UserGroupStore.remove(userID, from: id, in: session) else {
            throw APIError.notFound("User '\(userID)' not found in group '\(id)'.")
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
  /// A user whom the actor puts into a group or takes out: who manages a domain does neither with another domain's.
  /// - Throws: ``APIError/unseen(_:_:by:)``.
  private func requireManaged(member id: String, by actor: Actor, in session: any Session) throws {
    guard let user = try UserStore.get(id, in: session),
      IdentityPolicy.managed(by: actor).contains(domain: user.domainID)
    else { throw APIError.unseen("user", id, by: actor) }
  }
  private func visibleGroup(_ id: String, _ actor: Actor, in session: any Session) throws -> UserGroup {
    guard let group = try UserGroupStore.get(id, in: session),
      IdentityPolicy.read(by: actor).contains(domain: group.domainID)
    else { throw APIError.unseen("group", id, by: actor) }
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
