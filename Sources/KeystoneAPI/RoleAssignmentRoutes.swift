import APISupport
import Domain
import HTTPTypes
import Store
import Wire

/// Who has which role where, in one list. Source: Identity API reference v3, "List role assignments".
///
/// Readers of the site see all of it, readers of a domain what is on it and on its projects, everyone else what is theirs.
extension KeystoneFacade {
  var assignmentEndpoints: [Endpoint] {
    [
      Endpoint(
        .get, "/v3/role_assignments", anyRule("list_role_assignments", "one's own; all for readers of the site"),
        "list role assignments", handler: listAssignments)
    ]
  }

  /// What the query asks for.
  private struct Question: Sendable {
    var filter = RoleAssignmentFilter()
    var role: String?
    var isEffective = false
    var withNames = false
    /// Asks for what its asker may not see.
    var isEmpty = false
  }
  /// One assignment to be shown.
  private struct Shown: Sendable {
    var assignment: RoleAssignment
    /// Where it was made, when it counts here by inheritance.
    var source: RoleAssignment.Target?
    /// The group through which a user has it.
    var group: String?
    /// The role that implies it.
    var prior: String?
  }

  private func question(_ request: APIRequest) throws -> Question {
    let actor = try request.actor()
    let query = request.query
    let known: Set<String> = [
      "user.id", "group.id", "role.id", "scope.project.id", "scope.domain.id", "scope.system",
      "scope.OS-INHERIT:inherited_to", "effective", "include_names", "include_subtree",
    ]
    _ = try ListFilter(request, [], others: known)
    func flag(_ name: String) -> Bool {
      query[name].map { !["0", "false", "no", "off"].contains($0.lowercased()) } ?? false
    }
    func text(_ name: String) -> String? { query[name].flatMap { $0.isEmpty ? nil : $0 } }
    var question = Question()
    question.isEffective = flag("effective")
    question.withNames = flag("include_names")
    question.role = text("role.id")
    let (user, group) = (text("user.id"), text("group.id"))
    let (project, domain) = (text("scope.project.id"), text("scope.domain.id"))
    let isSystem = text("scope.system") != nil
    let inherited = query["scope.OS-INHERIT:inherited_to"].map { $0 == "projects" }
    func refuse(_ words: String) -> APIError { .badRequest(words) }
    if user != nil && group != nil { throw refuse("Specify a user or group, not both") }
    if project != nil && domain != nil { throw refuse("Specify a domain or project, not both") }
    if domain != nil && isSystem { throw refuse("Specify system or domain, not both") }
    if project != nil && isSystem { throw refuse("Specify system or project, not both") }
    if question.isEffective && group != nil {
      throw refuse("Combining effective and group filter will always result in an empty list.")
    }
    if question.isEffective && inherited == true && domain != nil {
      throw refuse("Combining effective, domain and inherited filters will always result in an empty list.")
    }
    if flag("include_subtree") && project == nil {
      throw refuse("scope.project.id must be specified if include_subtree is also specified")
    }
    question.filter.user = user
    question.filter.group = group
    question.filter.withGroups = question.isEffective
    if let project { question.filter.target = .project(project) }
    if let domain { question.filter.target = .domain(domain) }
    if isSystem { question.filter.target = .system }
    question.filter.withSubtree = flag("include_subtree")
    question.filter.isInherited = inherited
    if question.isEffective {
      // Implied roles are found after the store was asked, so the role cannot narrow it.
      question.filter.withInherited = inherited != false
      if domain != nil || isSystem { question.filter.isInherited = false }
    } else {
      question.filter.role = question.role
    }
    switch IdentityPolicy.read(by: actor) {
    case .site: break
    case .domain(let id):
      // One's own are in the list wherever they are.
      if user != actor.userID { question.filter.withinDomain = id }
    case .nothing:
      if group != nil || (user != nil && user != actor.userID) { question.isEmpty = true }
      question.filter.user = actor.userID
    }
    return question
  }

  /// A tree of projects is for those who read the domain that it is in. Another's and none give the same.
  private func refuseTree(_ question: Question, _ request: APIRequest) async throws {
    let reach = IdentityPolicy.read(by: try request.actor())
    guard question.filter.withSubtree, reach != .site, case .project(let id)? = question.filter.target else { return }
    let project = try await database.read { try ProjectStore.get(id, in: $0) }
    guard let project, reach.contains(domain: project.domainID ?? id) else {
      throw APIError.unauthorized("list_role_assignments_for_tree")
    }
  }

  /// At most seven statements, however long the list is: assignments, implications, roles, members, the tree, names.
  private func listAssignments(_ request: APIRequest) async throws -> APIResponse {
    let question = try question(request)
    try await refuseTree(question, request)
    if question.isEmpty { return try listing("role_assignments", [], request) }
    let items = try await database.read { session -> [JSON] in
      let found = try RoleAssignmentStore.list(question.filter, in: session).map { Shown(assignment: $0) }
      let shown = question.isEffective ? try effective(found, question, in: session) : found
      let names = question.withNames ? try Names(shown.map(\.assignment), in: session) : nil
      return shown.map { body($0, names, request) }
    }
    return try listing("role_assignments", items, request)
  }

  // MARK: Effective assignments

  /// What the assignments come to: on each project that inherits them, for each member of a group, with implied roles and
  /// without roles of domains.
  private func effective(_ found: [Shown], _ question: Question, in session: any Session) throws -> [Shown] {
    var items = try inherited(found, question, in: session)
    items = try members(items, question, in: session)
    let table = try RoleStore.implications(in: session)
    let global = Set(try RoleStore.globalNames(in: session).map(\.id))
    var out: [Shown] = []
    for item in items {
      // Breadth first, so that each implied role is shown with the nearest that implies it.
      var seen: Set<String> = [item.assignment.roleID]
      var open: [(role: String, prior: String?)] = [(item.assignment.roleID, nil)]
      var next = 0
      while next < open.count {
        let (role, prior) = open[next]
        next += 1
        if global.contains(role), question.role == nil || question.role == role {
          var shown = item
          shown.assignment.roleID = role
          shown.prior = prior
          out.append(shown)
        }
        for implied in table[role] ?? [] where seen.insert(implied).inserted { open.append((implied, role)) }
      }
    }
    return out
  }
  /// Replaces inherited assignments by one on each project below.
  private func inherited(_ found: [Shown], _ question: Question, in session: any Session) throws -> [Shown] {
    guard found.contains(where: \.assignment.isInherited) else { return found }
    var children: [String: [String]] = [:]
    for (id, parent) in try ProjectStore.parentsByID(in: session) { children[parent, default: []].append(id) }
    func below(_ id: String) -> [String] {
      var out: [String] = []
      var open = children[id] ?? []
      while let next = open.popLast() {
        out.append(next)
        open += children[next] ?? []
      }
      return out.sorted()
    }
    var wanted: Set<String>?
    if case .project(let id)? = question.filter.target {
      wanted = question.filter.withSubtree ? Set(below(id)).union([id]) : [id]
    }
    return found.flatMap { item -> [Shown] in
      guard item.assignment.isInherited else { return [item] }
      let source: String
      switch item.assignment.target {
      case .project(let id), .domain(let id): source = id
      case .system: return []
      }
      return below(source).filter { wanted?.contains($0) ?? true }.map { project in
        var shown = item
        shown.source = item.assignment.target
        shown.assignment.target = .project(project)
        return shown
      }
    }
  }
  /// Replaces assignments of groups by one of each member.
  private func members(_ found: [Shown], _ question: Question, in session: any Session) throws -> [Shown] {
    let groups = Set(
      found.compactMap { item -> String? in
        if case .group(let id) = item.assignment.holder { id } else { nil }
      })
    let table: [String: [String]]
    if let user = question.filter.user {
      table = Dictionary(groups.map { ($0, [user]) }) { $1 }
    } else {
      table = try UserGroupStore.members(of: groups, in: session)
    }
    return found.flatMap { item -> [Shown] in
      guard case .group(let id) = item.assignment.holder else { return [item] }
      return (table[id] ?? []).map { user in
        var shown = item
        shown.group = id
        shown.assignment.holder = .user(user)
        return shown
      }
    }
  }

  // MARK: The answer

  private struct Names {
    var users: [String: IdentityName]
    var groups: [String: IdentityName]
    var places: [String: IdentityName]
    var roles: [String: IdentityName]

    init(_ assignments: [RoleAssignment], in session: any Session) throws {
      var ids: (users: Set<String>, groups: Set<String>, places: Set<String>) = ([], [], [])
      for assignment in assignments {
        switch assignment.holder {
        case .user(let id): ids.users.insert(id)
        case .group(let id): ids.groups.insert(id)
        }
        switch assignment.target {
        case .project(let id), .domain(let id): ids.places.insert(id)
        case .system: break
        }
      }
      users = try IdentityNamesStore.users(ids.users, in: session)
      groups = try IdentityNamesStore.groups(ids.groups, in: session)
      places = try IdentityNamesStore.projects(ids.places, in: session)
      roles = try IdentityNamesStore.roles(Set(assignments.map(\.roleID)), in: session)
    }
  }
  private func named(_ id: String, _ names: [String: IdentityName]?) -> JSON {
    guard let name = names?[id] else { return ["id": .string(id)] }
    var out: JSONObject = ["id": .string(id), "name": .string(name.name)]
    if let domain = name.domain { out["domain"] = ["id": .string(domain.id), "name": .string(domain.name)] }
    return .object(out)
  }
  private func body(_ item: Shown, _ names: Names?, _ request: APIRequest) -> JSON {
    let assignment = item.assignment
    let root = request.serviceURL + "/v3"
    var out: JSONObject = [:]
    var links: JSONObject = [:]
    var scope: JSONObject = [:]
    var path = ""
    switch assignment.target {
    case .project(let id): scope["project"] = named(id, names?.places)
    case .domain(let id): scope["domain"] = named(id, names?.places)
    case .system: scope["system"] = ["all": true]
    }
    switch item.source ?? assignment.target {
    case .project(let id): path = "/projects/\(id)"
    case .domain(let id): path = "/domains/\(id)"
    case .system: path = "/system"
    }
    switch assignment.holder {
    case .user(let id):
      out["user"] = named(id, names?.users)
      if let group = item.group {
        links["membership"] = .string("\(root)/groups/\(group)/users/\(id)")
        path += "/groups/\(group)"
      } else {
        path += "/users/\(id)"
      }
    case .group(let id):
      out["group"] = named(id, names?.groups)
      path += "/groups/\(id)"
    }
    out["role"] = named(assignment.roleID, names?.roles)
    path += "/roles/\(item.prior ?? assignment.roleID)"
    if let prior = item.prior { links["prior_role"] = .string("\(root)/roles/\(prior)/implies/\(assignment.roleID)") }
    if assignment.isInherited {
      scope["OS-INHERIT:inherited_to"] = "projects"
      path = "/OS-INHERIT\(path)/inherited_to_projects"
    }
    out["scope"] = .object(scope)
    links["assignment"] = .string(root + path)
    out["links"] = .object(links)
    return .object(out)
  }
}
