import APISupport
import Domain
import HTTPTypes
import Store
import Wire

/// Projects. Source: Identity API reference v3, "Projects".
extension KeystoneFacade {
  private static let attributes: Set<String> = [
    "id", "name", "domain_id", "parent_id", "is_domain", "enabled", "description", "tags", "options", "links",
  ]
  private static let depthLimit = 5
  private static let readers = "those who have a role in it, and readers of the site"

  var projectEndpoints: [Endpoint] {
    [
      Endpoint(.get, "/v3/projects", anyRule("list_projects", Self.readers), "list projects", handler: listProjects),
      Endpoint(.post, "/v3/projects", adminRule("create_project"), "make a project", handler: createProject),
      Endpoint(
        .get, "/v3/projects/{project}", anyRule("get_project", Self.readers), "show a project", handler: showProject),
      Endpoint(
        .patch, "/v3/projects/{project}", adminRule("update_project"), "change a project", handler: updateProject),
      Endpoint(
        .delete, "/v3/projects/{project}", adminRule("delete_project"), "delete a project", handler: deleteProject),
    ]
  }

  func projectBody(_ project: Project, _ request: APIRequest) -> JSON {
    var body: JSONObject = [
      "id": .string(project.id), "name": .string(project.name), "domain_id": JSON(project.domainID),
      "description": .string(project.description), "enabled": .bool(project.isEnabled),
      "parent_id": JSON(project.parentID),
      "is_domain": .bool(project.isDomain), "tags": JSON(project.tags), "options": [:],
      "links": ["self": .string("\(request.serviceURL)/v3/projects/\(project.id)")],
    ]
    for member in project.extra where body[member.key] == nil { body[member.key] = member.value }
    return .object(body)
  }

  /// What the user has a role in, with the domains above.
  func reachable(by actor: Actor, in session: any Session) throws -> Set<String> {
    var ids: Set<String> = []
    for target in try RoleAssignmentStore.targets(of: actor.userID, in: session) {
      switch target {
      case .project(let id):
        ids.insert(id)
        if let domain = try ProjectStore.get(id, in: session)?.domainID { ids.insert(domain) }
      case .domain(let id): ids.insert(id)
      case .system: break
      }
    }
    if let domain = try UserStore.get(actor.userID, in: session)?.domainID { ids.insert(domain) }
    switch actor.scope {
    case .project(let id, let domain): ids.formUnion([id, domain])
    case .domain(let id): ids.insert(id)
    case .system, .unscoped: break
    }
    return ids
  }
  /// A project, or a domain as one, that the actor may see.
  /// - Throws: 404, also when it may not.
  func visibleProject(_ id: String, _ actor: Actor, in session: any Session, noun: String = "project") throws -> Project
  {
    guard let project = try ProjectStore.get(id, in: session),
      IdentityPolicy.sees(
        project: project, actor, reachable: try actor.isSiteReader ? [] : reachable(by: actor, in: session))
    else { throw APIError.missing(noun, id) }
    return project
  }

  private func listProjects(_ request: APIRequest) async throws -> APIResponse {
    let actor = try request.actor()
    let query = request.query
    let isDomain = try query.bool("is_domain") ?? false
    let all = try await database.read { session in
      let ids = try actor.isSiteReader ? [] : reachable(by: actor, in: session)
      return try ProjectStore.list(
        name: query["name"], domain: query["domain_id"], parent: query["parent_id"], isDomain: isDomain, in: session
      ).filter { IdentityPolicy.sees(project: $0, actor, reachable: ids) }
    }
    func tags(_ name: String) -> Set<String>? { query[name].map { Set($0.split(separator: ",").map { String($0) }) } }
    let wanted = all.filter { project in
      let own = Set(project.tags)
      if let every = tags("tags"), !every.isSubset(of: own) { return false }
      if let any = tags("tags-any"), any.isDisjoint(with: own) { return false }
      if let every = tags("not-tags"), every.isSubset(of: own) { return false }
      if let any = tags("not-tags-any"), !any.isDisjoint(with: own) { return false }
      return true
    }
    let items = matching(wanted.map { projectBody($0, request) }, request, ["id", "name", "enabled"])
    return listing("projects", items, request, limit: try query.int("limit"))
  }

  private func createProject(_ request: APIRequest) async throws -> APIResponse {
    let actor = try request.actor()
    let attributes = try await Attributes(request, "project")
    var project = Project(
      id: Identifier.hex(), name: try attributes.requiredName(limit: 64), domainID: nil, createdAt: request.now)
    project.isDomain = try attributes.flag("is_domain") ?? false
    project.isEnabled = try attributes.flag("enabled") ?? true
    project.description = try attributes.text("description") ?? ""
    if let tags = try attributes.strings("tags") { project.tags = try checked(tags) }
    try attributes.merge(into: &project.extra, except: Self.attributes)
    let domainID = try attributes.text("domain_id")
    let parentID = try attributes.text("parent_id")
    let new = try await database.write { [project] session in
      var project = project
      if project.isDomain {
        guard domainID == nil, parentID == nil else {
          throw APIError.badRequest("A domain is in no other domain: domain_id and parent_id must be absent.")
        }
      } else {
        let parent = parentID ?? domainID ?? Self.homeDomain(actor)
        guard let parent = try ProjectStore.get(parent, in: session) else {
          throw parentID == nil ? APIError.missing("domain", parent) : APIError.missing("project", parent)
        }
        let domain = parent.domainID ?? parent.id
        guard domainID == nil || domainID == domain else {
          throw APIError.badRequest("The parent project is in another domain than domain_id says.")
        }
        guard try ProjectStore.lineage(parent.id, in: session).count < Self.depthLimit + 1 else {
          throw APIError.forbidden("Max hierarchy depth reached for \(parent.id) branch.")
        }
        project.domainID = domain
        project.parentID = parent.id
      }
      try insert(project, in: session)
      return project
    }
    return APIResponse(.created, json: ["project": projectBody(new, request)])
  }
  /// Where what names no domain goes: the caller's.
  static func homeDomain(_ actor: Actor) -> String {
    switch actor.scope {
    case .project(_, let domain): domain
    case .domain(let id): id
    case .system, .unscoped: Project.defaultDomain
    }
  }
  func insert(_ project: Project, in session: any Session) throws {
    let place = project.domainID.map { " at domain ID \($0)" } ?? ""
    try withConflict(
      "Conflict occurred attempting to store \(project.isDomain ? "domain" : "project") - Duplicate entry found with name \(project.name)\(place)."
    ) {
      try ProjectStore.insert(project, in: session)
    }
  }
  func checked(_ tags: [String]) throws -> [String] {
    guard tags.count <= 80, Set(tags).count == tags.count else {
      throw APIError.badRequest("A project has at most 80 tags, each once.")
    }
    for tag in tags where tag.isEmpty || tag.count > 255 || tag.contains("/") || tag.contains(",") {
      throw APIError.badRequest("Invalid tag '\(tag)': 1 to 255 characters without '/' and ',' are expected.")
    }
    return tags
  }

  private func showProject(_ request: APIRequest) async throws -> APIResponse {
    let actor = try request.actor()
    let id = try request.parameter("project")
    let query = request.query
    let body = try await database.read { session -> JSON in
      let project = try visibleProject(id, actor, in: session)
      guard case .object(var body) = projectBody(project, request) else { return .null }
      let ids = try actor.isSiteReader ? [] : reachable(by: actor, in: session)
      func sees(_ project: Project) -> Bool { IdentityPolicy.sees(project: project, actor, reachable: ids) }
      if query["parents_as_list"] != nil {
        let above = try ProjectStore.lineage(id, in: session).dropFirst().compactMap {
          try ProjectStore.get($0, in: session)
        }
        body["parents"] = .array(
          above.filter { !$0.isDomain && sees($0) }.map { ["project": projectBody($0, request)] })
      } else if query["parents_as_ids"] != nil {
        let above = try ProjectStore.lineage(id, in: session).dropFirst()
        body["parents"] = above.reversed().reduce(JSON.null) { below, id in .object([id: below]) }
      }
      if query["subtree_as_list"] != nil {
        body["subtree"] = .array(
          try subtree(id, in: session).filter(sees).map { ["project": projectBody($0, request)] })
      } else if query["subtree_as_ids"] != nil {
        body["subtree"] = try subtreeIDs(id, in: session, sees)
      }
      return .object(body)
    }
    return APIResponse(json: ["project": body])
  }
  func subtree(_ id: String, in session: any Session) throws -> [Project] {
    try ProjectStore.list(parent: id, in: session).flatMap { try [$0] + subtree($0.id, in: session) }
  }
  private func subtreeIDs(_ id: String, in session: any Session, _ sees: (Project) -> Bool) throws -> JSON {
    let children = try ProjectStore.list(parent: id, in: session).filter(sees)
    if children.isEmpty { return .null }
    var object: JSONObject = [:]
    for child in children { object[child.id] = try subtreeIDs(child.id, in: session, sees) }
    return .object(object)
  }

  private func updateProject(_ request: APIRequest) async throws -> APIResponse {
    let id = try request.parameter("project")
    let attributes = try await Attributes(request, "project")
    let changed = try await change(id, attributes, noun: "project", request)
    return APIResponse(json: ["project": projectBody(changed, request)])
  }
  /// Changes a project or a domain; disabling it voids the tokens for it.
  func change(_ id: String, _ attributes: Attributes, noun: String, _ request: APIRequest) async throws -> Project {
    let name = try attributes.entityName(limit: 64)
    let description = try attributes.optionalText("description")
    let enabled = try attributes.flag("enabled")
    let tags = try attributes.strings("tags").map { try checked($0) }
    return try await database.write { session in
      guard var project = try ProjectStore.get(id, in: session), noun == "project" || project.isDomain else {
        throw APIError.missing(noun, id)
      }
      for (key, old) in [("domain_id", project.domainID), ("parent_id", project.parentID)] {
        if let value = attributes.values[key], noun == "project", value != JSON(old) {
          throw APIError.badRequest("Update of `\(key)` is not allowed.")
        }
      }
      if let isDomain = attributes.values["is_domain"], isDomain.bool != project.isDomain {
        throw APIError.badRequest("Update of `is_domain` is not allowed.")
      }
      if let name { project.name = name }
      if let description { project.description = description ?? "" }
      if let tags { project.tags = tags }
      try attributes.merge(into: &project.extra, except: Self.attributes)
      if let enabled, enabled != project.isEnabled {
        if !enabled { try refuseForSiteOwn(project, "disabled", in: session) }
        project.isEnabled = enabled
        if !enabled { try void(project, at: request.now, in: session) }
      }
      try withConflict(
        "Conflict occurred attempting to store \(noun) - Duplicate entry found with name \(project.name)."
      ) {
        try ProjectStore.update(project, in: session)
      }
      return project
    }
  }
  /// The administrators' project and the first domain stay: without them nobody could put anything right.
  func refuseForSiteOwn(_ project: Project, _ what: String, in session: any Session) throws {
    guard try project.id != Project.defaultDomain && project.id != IdentitySettings.adminProjectID(in: session) else {
      throw APIError.forbidden(
        "\(project.name) is the site's own \(project.isDomain ? "domain" : "project"): it cannot be \(what).")
    }
  }
  /// Voids the tokens scoped to it, and for a domain those of its projects and of its users.
  private func void(_ project: Project, at now: Timestamp, in session: any Session) throws {
    if project.isDomain {
      try authority.revoke(Revocation(domainID: project.id, issuedBefore: now), in: session)
      for user in try UserStore.list(domain: project.id, in: session) {
        try authority.revoke(Revocation(userID: user.id, issuedBefore: now), in: session)
      }
    } else {
      try authority.revoke(Revocation(projectID: project.id, issuedBefore: now), in: session)
    }
  }

  private func deleteProject(_ request: APIRequest) async throws -> APIResponse {
    let id = try request.parameter("project")
    try await database.write { session in
      guard let project = try ProjectStore.get(id, in: session) else { throw APIError.missing("project", id) }
      try delete(project, at: request.now, in: session)
    }
    return .noContent
  }
  /// - Throws: 403 when it is the site's own or has projects below, 409 while something in the site belongs to it.
  func delete(_ project: Project, at now: Timestamp, in session: any Session) throws {
    try refuseForSiteOwn(project, "deleted", in: session)
    if project.isDomain {
      guard !project.isEnabled else {
        throw APIError.forbidden("Cannot delete a domain that is enabled, please disable it first.")
      }
      for child in try subtree(project.id, in: session).reversed() { try deleteLeaf(child, at: now, in: session) }
      for user in try UserStore.list(domain: project.id, in: session) { try UserStore.delete(user.id, in: session) }
      for group in try UserGroupStore.list(domain: project.id, in: session) {
        try UserGroupStore.delete(group.id, in: session)
      }
    } else if try !ProjectStore.list(parent: project.id, in: session).isEmpty {
      throw APIError.forbidden(
        "Cannot delete the project \(project.id) since it is not a leaf in the hierarchy: delete the projects below it first."
      )
    }
    try deleteLeaf(project, at: now, in: session)
  }
  private func deleteLeaf(_ project: Project, at now: Timestamp, in session: any Session) throws {
    if let use = try ProjectStore.use(of: project.id, in: session) {
      throw APIError.conflict("The project \(project.name) is in use: \(use). Free them first.")
    }
    try void(project, at: now, in: session)
    try ProjectStore.delete(project.id, in: session)
  }
}
