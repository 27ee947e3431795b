import APISupport
import Domain
import HTTPTypes
import Store
import Wire

/// Projects. Source: Identity API reference v3, "Projects".
extension KeystoneFacade {
  private static let attributes: Set<String> = [
    "id", "name", "domain_id", "parent_id", "is_domain", "enabled", "description", "tags", "options", "links",
    "parents", "subtree",
  ]
  /// Levels of projects below a domain.
  private static let depthLimit = 5
  private static let readers = "those who have a role in it, and readers of the site and of its domain"

  var projectEndpoints: [Endpoint] {
    [
      Endpoint(
        .get, "/v3/projects",
        anyRule("list_projects", "readers of the site and of the domain; others their own by name"), "list projects",
        handler: listProjects),
      Endpoint(.post, "/v3/projects", managerRule("create_project"), "make a project", handler: createProject),
      Endpoint(
        .get, "/v3/projects/{project}", anyRule("get_project", Self.readers), "show a project", handler: showProject),
      Endpoint(
        .patch, "/v3/projects/{project}", managerRule("update_project"), "change a project", handler: updateProject),
      Endpoint(
        .delete, "/v3/projects/{project}", managerRule("delete_project"), "delete a project", handler: deleteProject),
    ]
  }

  // MARK: Who sees and manages what

  func visibility(_ actor: Actor) -> ProjectVisibility {
    var places = [actor.userDomainID]
    switch actor.scope {
    case .project(let id, let domain): places += [id, domain]
    case .domain(let id): places.append(id)
    case .system, .unscoped: break
    }
    switch IdentityPolicy.read(by: actor) {
    case .site: return .everything
    case .domain(let id): return .user(actor.userID, places: places, domain: id)
    case .nothing: return .user(actor.userID, places: places, domain: nil)
    }
  }
  /// A project, or a domain as one, that the actor may see.
  /// - Throws: ``APIError/unseen(_:_:by:)``.
  func visibleProject(_ id: String, _ actor: Actor, in session: any Session, noun: String = "project") throws -> Project
  {
    guard let project = try ProjectStore.get(id, visible: visibility(actor), in: session) else {
      throw APIError.unseen(noun, id, by: actor)
    }
    return project
  }
  /// A project that the actor may change.
  /// - Throws: ``APIError/unseen(_:_:by:)``, also when it is in another domain; 403 for what only the site's administrator
  ///   changes.
  func managedProject(_ id: String, _ actor: Actor, in session: any Session) throws -> Project {
    let reach = IdentityPolicy.managed(by: actor)
    guard let project = try ProjectStore.get(id, in: session),
      reach.contains(domain: project.domainID ?? project.id)
    else { throw APIError.unseen("project", id, by: actor) }
    if reach != .site {
      guard try !project.isDomain && id != IdentitySettings.adminProjectID(in: session) else {
        throw APIError.forbidden("Only the site's administrator may change \(project.name).")
      }
    }
    return project
  }
  /// A domain into which the actor may put something.
  /// - Throws: 404, 403 for another than the actor manages.
  func managedDomain(_ id: String, _ actor: Actor, _ action: String, in session: any Session) throws {
    guard IdentityPolicy.managed(by: actor).contains(domain: id) else {
      throw APIError.unauthorized(action)
    }
    guard try ProjectStore.get(id, in: session)?.isDomain == true else { throw APIError.missing("domain", id) }
  }

  // MARK: Reading

  func projectBody(_ project: Project, _ request: APIRequest) -> JSON {
    var body: JSONObject = [
      "id": .string(project.id), "name": .string(project.name), "domain_id": JSON(project.domainID),
      "description": .string(project.description), "enabled": .bool(project.isEnabled),
      "parent_id": JSON(project.parentID),
      "is_domain": .bool(project.isDomain), "tags": JSON(project.tags), "options": .object(project.options),
      "links": ["self": .string("\(request.serviceURL)/v3/projects/\(project.id)")],
    ]
    for member in project.extra where body[member.key] == nil { body[member.key] = member.value }
    return .object(body)
  }

  /// One statement, rows written straight into the answer.
  ///
  /// Who reads neither the site nor a domain asks for one of its own projects by name or id; everything else is 403, as
  /// upstream: the clients then take what they were given for an id, such as that of the project to share an image with.
  /// A foreign name and none at all give the same. One's own projects are listed by `/v3/auth/projects`.
  private func listProjects(_ request: APIRequest) async throws -> APIResponse {
    let query = request.query
    let tagFilters: Set<String> = ["tags", "tags-any", "not-tags", "not-tags-any"]
    let list = try ListFilter(
      request, ["id", "name", "domain_id", "parent_id", "enabled", "is_domain"], others: tagFilters)
    let page = try ListPage(request)
    var filter = ProjectFilter(visibility(try request.actor()), isDomain: try list.flag("is_domain") ?? false)
    filter.name = list.exact("name")
    filter.domainID = list.exact("domain_id")
    filter.parentID = list.exact("parent_id")
    filter.isEnabled = try list.flag("enabled")
    filter.marker = page.marker
    let id = list.exact("id")
    let forbidden = APIError.unauthorized("list_projects")
    let isReader = IdentityPolicy.read(by: try request.actor()) != .nothing
    guard isReader || filter.name != nil || id != nil else { throw forbidden }
    let looksAtTags = query.contains { tagFilters.contains($0.name) }
    // What the store does not narrow by is counted here.
    let limit = page.limit ?? Int.max
    if !list.needsLook && !looksAtTags && id == nil { filter.limit = page.limit.map { $0 + 1 } }
    let path = request.serviceURL + "/v3/projects/"
    return try await database.read { [filter] session in
      var writer = JSONWriter(capacity: 48 << 10)
      var count = 0
      var last = ""
      writer.beginObject()
      writer.key("projects")
      writer.beginArray()
      try ProjectStore.rows(filter, in: session) { row in
        if count > limit { return }
        if let id, row.text(0) != id { return }
        if list.needsLook {
          let (name, own) = (row.text(1), row.text(0))
          guard list.admits({ $0 == "name" ? name : $0 == "id" ? own : nil }) else { return }
        }
        if looksAtTags, !Self.admits(tags: Set(row.strings(7)), query) { return }
        count += 1
        guard count <= limit else { return }
        if count == limit { last = row.text(0) }
        Self.write(row, linkPrefix: path, &writer)
      }
      guard isReader || count > 0 else { throw forbidden }
      writer.endArray()
      let next = count > limit ? page.next(request, after: last) : nil
      writer.member("links", ["next": JSON(next), "self": .string(fullURL(request)), "previous": nil])
      if next != nil { writer.member("truncated", true) }
      writer.endObject()
      return APIResponse(.ok, writer)
    }
  }
  private static func write(_ row: borrowing Row, linkPrefix: String, _ writer: inout JSONWriter) {
    func text(_ column: Int, _ writer: inout JSONWriter) {
      if row.isNull(column) { writer.null() } else { row.withText(column) { writer.text($0) } }
    }
    writer.beginObject()
    writer.key("id")
    text(0, &writer)
    writer.key("name")
    text(1, &writer)
    writer.key("domain_id")
    text(2, &writer)
    writer.key("description")
    text(6, &writer)
    writer.member("enabled", row.bool(5))
    writer.key("parent_id")
    text(3, &writer)
    writer.member("is_domain", row.bool(4))
    writer.key("tags")
    row.withText(7) { writer.raw($0) }
    writer.key("options")
    row.withText(8) { writer.raw($0) }
    writer.key("links")
    writer.beginObject()
    writer.member("self", linkPrefix + row.text(0))
    writer.endObject()
    // The members of the object that clients added; none has the name of one above.
    row.withText(9) { extra in
      if extra.count > 2 { writer.raw(UnsafeBufferPointer(rebasing: extra[1..<(extra.count - 1)])) }
    }
    writer.endObject()
  }
  private static func admits(tags own: Set<String>, _ query: QueryParameters) -> Bool {
    func tags(_ name: String) -> Set<String>? { query[name].map { Set($0.split(separator: ",").map { String($0) }) } }
    if let every = tags("tags"), !every.isSubset(of: own) { return false }
    if let any = tags("tags-any"), any.isDisjoint(with: own) { return false }
    if let every = tags("not-tags"), every.isSubset(of: own) { return false }
    if let any = tags("not-tags-any"), !any.isDisjoint(with: own) { return false }
    return true
  }

  private func showProject(_ request: APIRequest) async throws -> APIResponse {
    let actor = try request.actor()
    let id = try request.parameter("project")
    let query = request.query
    for name in ["parents", "subtree"] where query["\(name)_as_list"] != nil && query["\(name)_as_ids"] != nil {
      throw APIError.badRequest("Cannot use \(name)_as_list and \(name)_as_ids query params at the same time.")
    }
    @Sendable func asks(_ name: String) -> Bool {
      query[name].map { !["0", "false", "no", "off"].contains($0.lowercased()) } ?? false
    }
    let body = try await database.read { session -> JSON in
      let project = try visibleProject(id, actor, in: session)
      guard case .object(var body) = projectBody(project, request) else { return .null }
      if asks("parents_as_list") || asks("parents_as_ids") {
        let above = try ProjectStore.parents(of: id, in: session)
        if asks("parents_as_ids") {
          body["parents"] = above.reversed().reduce(JSON.null) { higher, project in .object([project.id: higher]) }
        } else {
          // As upstream: those in which the caller has a role, and no domain.
          let own = try seen(by: actor, in: session)
          body["parents"] = .array(
            above.filter { !$0.isDomain && own($0.id) }.map { ["project": projectBody($0, request)] })
        }
      }
      if asks("subtree_as_list") || asks("subtree_as_ids") {
        let own = try seen(by: actor, in: session)
        let below = try ProjectStore.subtree(of: id, in: session).filter { own($0.id) }
        if asks("subtree_as_ids") {
          body["subtree"] = Self.tree(below, under: id)
        } else {
          body["subtree"] = .array(below.map { ["project": projectBody($0, request)] })
        }
      }
      return .object(body)
    }
    return APIResponse(json: ["project": body])
  }
  /// Whether the actor sees a project: what it has a role in, everything for readers.
  private func seen(by actor: Actor, in session: any Session) throws -> (String) -> Bool {
    let visible = visibility(actor)
    if visible == .everything { return { _ in true } }
    let ids = Set(try ProjectStore.list(ProjectFilter(visible), in: session).map(\.id))
    return { ids.contains($0) }
  }
  private static func tree(_ projects: [Project], under id: String) -> JSON {
    let children = Dictionary(grouping: projects) { $0.parentID ?? "" }
    func node(_ id: String) -> JSON {
      guard let below = children[id] else { return .null }
      var object: JSONObject = [:]
      for child in below { object[child.id] = node(child.id) }
      return .object(object)
    }
    return node(id)
  }

  // MARK: Writing

  /// Where what names no domain goes: the caller's.
  static func homeDomain(_ actor: Actor) -> String {
    switch actor.scope {
    case .project(_, let domain): domain
    case .domain(let id): id
    case .system, .unscoped: Project.defaultDomain
    }
  }

  private func createProject(_ request: APIRequest) async throws -> APIResponse {
    let actor = try request.actor()
    let attributes = try await Attributes(request, "project")
    var project = Project(
      id: Identifier.hex(), name: trimmed(try attributes.requiredName(limit: 64)), domainID: nil,
      createdAt: request.now)
    project.isDomain = try attributes.flag("is_domain") ?? false
    project.isEnabled = try attributes.flag("enabled") ?? true
    project.description = try attributes.text("description") ?? ""
    if let tags = try attributes.strings("tags") { project.tags = try checked(tags) }
    try attributes.mergeOptions(into: &project.options, known: Project.knownOptions)
    try attributes.merge(into: &project.extra, except: Self.attributes)
    let domainID = try attributes.text("domain_id")
    let parentID = try attributes.text("parent_id")
    let new = try await change { [project] session in
      var project = project
      if project.isDomain {
        guard domainID == nil, parentID == nil else {
          throw APIError.badRequest("A domain is in no other domain: domain_id and parent_id must be absent.")
        }
        guard actor.isSiteAdmin else {
          throw APIError.unauthorized("create_domain")
        }
      } else {
        let parent = try parent(
          parentID ?? domainID ?? Self.homeDomain(actor), isDomain: parentID == nil, actor, in: session)
        let domain = parent.domainID ?? parent.id
        guard domainID == nil || domainID == domain else {
          throw APIError.badRequest(
            "Cannot create project, since it specifies its domain_id \(domainID ?? ""), but specifies a parent in a "
              + "different domain (\(domain)).")
        }
        try refuseBranch(parent, in: session)
        project.domainID = domain
        project.parentID = parent.id
      }
      try insert(project, in: session)
      return project
    }
    return APIResponse(.created, json: ["project": projectBody(new, request)])
  }
  /// - Throws: 400 when there is none; 403 to whoever manages a domain only, also when it is in another.
  private func parent(_ id: String, isDomain: Bool, _ actor: Actor, in session: any Session) throws -> Project {
    let missing = APIError.badRequest("Could not find \(isDomain ? "domain" : "project"): \(id).")
    guard let parent = try ProjectStore.get(id, in: session),
      IdentityPolicy.managed(by: actor).contains(domain: parent.domainID ?? parent.id)
    else { throw actor.isSiteAdmin ? missing : APIError.unauthorized("create_project") }
    return parent
  }
  /// - Throws: 400 when something above is disabled, 403 when the tree would become too deep.
  private func refuseBranch(_ parent: Project, in session: any Session) throws {
    let above = try ProjectStore.parents(of: parent.id, in: session)
    if let disabled = ([parent] + above).first(where: { !$0.isEnabled }) {
      throw APIError.badRequest("cannot create a project in a branch containing a disabled project: \(disabled.id)")
    }
    guard above.count < Self.depthLimit else {
      throw APIError.forbidden("Max hierarchy depth reached for \(parent.id) branch.")
    }
  }
  private func trimmed(_ name: String) -> String {
    var text = name[...]
    while text.first?.isWhitespace == true { text.removeFirst() }
    while text.last?.isWhitespace == true { text.removeLast() }
    return String(text)
  }
  func insert(_ project: Project, in session: any Session) throws {
    try withConflict(conflict(project)) { try ProjectStore.insert(project, in: session) }
  }
  private func conflict(_ project: Project) -> String {
    let place = project.domainID.map { " at domain ID \($0)" } ?? ""
    return
      "Conflict occurred attempting to store \(project.isDomain ? "domain" : "project") - Duplicate entry found with name \(project.name)\(place)."
  }

  private func updateProject(_ request: APIRequest) async throws -> APIResponse {
    let id = try request.parameter("project")
    let attributes = try await Attributes(request, "project")
    let changed = try await change(id, attributes, noun: "project", request)
    return APIResponse(json: ["project": projectBody(changed, request)])
  }
  /// Changes a project or a domain; disabling it voids the tokens for it.
  func change(_ id: String, _ attributes: Attributes, noun: String, _ request: APIRequest) async throws -> Project {
    let actor = try request.actor()
    let name = try attributes.entityName(limit: 64).map { trimmed($0) }
    let description = try attributes.optionalText("description")
    let enabled = try attributes.flag("enabled")
    let tags = try attributes.strings("tags").map { try checked($0) }
    return try await change { session in
      var project: Project
      if noun == "project" {
        project = try managedProject(id, actor, in: session)
      } else {
        guard let domain = try ProjectStore.get(id, in: session), domain.isDomain else {
          throw APIError.missing(noun, id)
        }
        project = domain
      }
      try attributes.refuseForImmutable(project.isImmutable, noun, id)
      for (key, old) in [("domain_id", project.domainID), ("parent_id", project.parentID)] {
        if let value = attributes.values[key], noun == "project", value != JSON(old) {
          throw key == "domain_id"
            ? APIError.badRequest("Cannot change Domain ID")
            : APIError.forbidden("Update of `parent_id` is not allowed.")
        }
      }
      if let isDomain = attributes.values["is_domain"], isDomain.bool != project.isDomain {
        throw APIError.badRequest("Update of `is_domain` is not allowed.")
      }
      if let name { project.name = name }
      if let description { project.description = description ?? "" }
      if let tags { project.tags = tags }
      try attributes.mergeOptions(into: &project.options, known: Project.knownOptions)
      try attributes.merge(into: &project.extra, except: Self.attributes)
      if let enabled, enabled != project.isEnabled {
        try checkState(of: project, becoming: enabled, in: session)
        project.isEnabled = enabled
        if !enabled { try void(project, at: request.now, in: session) }
      }
      try withConflict(conflict(project)) { try ProjectStore.update(project, in: session) }
      return project
    }
  }
  /// A project is disabled after those below it, and enabled after those above it; a domain at any time.
  private func checkState(of project: Project, becoming isEnabled: Bool, in session: any Session) throws {
    if !isEnabled { try refuseForSiteOwn(project, "disabled", in: session) }
    if project.isDomain { return }
    if isEnabled {
      guard try ProjectStore.parents(of: project.id, in: session).allSatisfy(\.isEnabled) else {
        throw APIError.forbidden("Cannot enable project \(project.id) since it has disabled parents")
      }
    } else {
      let below = try ProjectStore.subtree(of: project.id, in: session)
      guard below.allSatisfy({ !$0.isEnabled }) else {
        throw APIError.forbidden(
          "Cannot disable project \(project.id) since its subtree contains enabled projects.")
      }
      for project in below { try refuseForSiteOwn(project, "disabled", in: session) }
    }
  }
  /// The administrators' project and the first domain stay: without them nobody could put anything right.
  private func refuseForSiteOwn(_ project: Project, _ what: String, in session: any Session) throws {
    let admin = try IdentitySettings.adminProjectID(in: session)
    let holdsAdmin =
      try project.isDomain && admin.map { try ProjectStore.get($0, in: session)?.domainID == project.id } ?? false
    guard project.id != Project.defaultDomain, project.id != admin, !holdsAdmin else {
      throw APIError.forbidden(
        "\(project.name) is the site's own \(project.isDomain ? "domain" : "project"): it cannot be \(what).")
    }
  }
  /// Voids the tokens scoped to it, and for a domain those of its projects and of its users.
  private func void(_ project: Project, at now: Timestamp, in session: any Session) throws {
    if project.isDomain {
      try authority.revoke(Revocation(domainID: project.id, issuedBefore: now), in: session)
      try authority.revoke(Revocation(userDomainID: project.id, issuedBefore: now), in: session)
    } else {
      try authority.revoke(Revocation(projectID: project.id, issuedBefore: now), in: session)
    }
  }

  private func deleteProject(_ request: APIRequest) async throws -> APIResponse {
    let actor = try request.actor()
    let id = try request.parameter("project")
    try await change { session in
      try delete(managedProject(id, actor, in: session), at: request.now, in: session)
    }
    return .noContent
  }
  /// - Throws: 403 when it is the site's own or has projects below, 409 while something in the site belongs to it.
  func delete(_ project: Project, at now: Timestamp, in session: any Session) throws {
    try refuseForSiteOwn(project, "deleted", in: session)
    try refuseToDelete(project.isImmutable, project.isDomain ? "domain" : "project", project.id)
    if project.isDomain {
      guard !project.isEnabled else {
        throw APIError.forbidden("Cannot delete a domain that is enabled, please disable it first.")
      }
    } else if try !ProjectStore.subtree(of: project.id, in: session).isEmpty {
      throw APIError.forbidden(
        "Cannot delete the project \(project.id) since it is not a leaf in the hierarchy: delete the projects below it first."
      )
    }
    if let use = try ProjectStore.use(of: project.id, in: session) {
      throw APIError.conflict("The project \(project.name) is in use: \(use). Free them first.")
    }
    try void(project, at: now, in: session)
    try ProjectStore.delete(project.id, in: session)
  }
}
