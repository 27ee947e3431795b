import APISupport
import Domain
import HTTPTypes
import Store
import Wire

/// Giving and taking roles, one at a time. Source: Identity API reference v3, "Roles", "System role assignments", and
/// "OS-INHERIT" for those that count in the projects below.
extension KeystoneFacade {
  private struct Place: Sendable {
    var path: String
    var noun: String
    var isInherited: Bool
    var target: @Sendable (APIRequest) throws -> RoleAssignment.Target

    /// The path of one's roles there.
    func roles(_ person: Person) -> String {
      isInherited ? "/v3/OS-INHERIT\(path)/\(person.path)/roles" : "/v3\(path)/\(person.path)/roles"
    }
  }
  private struct Person: Sendable {
    var path: String
    var holder: @Sendable (APIRequest) throws -> RoleAssignment.Holder
  }
  private static let people = [
    Person(path: "users/{user}") { .user(try $0.parameter("user")) },
    Person(path: "groups/{group}") { .group(try $0.parameter("group")) },
  ]
  private static let places: [Place] =
    [false, true].flatMap { inherited in
      [
        Place(path: "/projects/{project}", noun: "project", isInherited: inherited) {
          .project(try $0.parameter("project"))
        },
        Place(path: "/domains/{domain}", noun: "domain", isInherited: inherited) {
          .domain(try $0.parameter("domain"))
        },
      ]
    } + [Place(path: "/system", noun: "system", isInherited: false) { _ in .system }]

  var grantEndpoints: [Endpoint] {
    Self.places.flatMap { place in Self.people.flatMap { person in grantEndpoints(place, person) } }
  }

  private func grantEndpoints(_ place: Place, _ person: Person) -> [Endpoint] {
    let all = place.roles(person) + (place.isInherited ? "/inherited_to_projects" : "")
    let one = place.roles(person) + "/{role}" + (place.isInherited ? "/inherited_to_projects" : "")
    let what = place.isInherited ? "inherited by the projects of a \(place.noun)" : "on a \(place.noun)"
    let isSystem = place.noun == "system"
    let reading = isSystem ? EndpointRule.siteReader : readerRule("list_grants")
    func writing(_ action: String) -> EndpointRule {
      isSystem ? adminRule("\(action)_system_grant") : managerRule("\(action)_\(place.noun)_grant")
    }
    @Sendable func assignment(_ request: APIRequest) throws -> RoleAssignment {
      RoleAssignment(
        holder: try person.holder(request), target: try place.target(request), roleID: try request.parameter("role"),
        isInherited: place.isInherited)
    }
    return [
      Endpoint(.get, all, reading, "one's roles \(what)") { request in
        let (holder, target) = (try person.holder(request), try place.target(request))
        let actor = try request.actor()
        let reach = IdentityPolicy.read(by: actor)
        let roles = try await database.read { session in
          try check(holder, target, reach, by: actor, in: session)
          let ids = try RoleAssignmentStore.roleIDs(
            given: holder, on: target, inherited: place.isInherited, in: session)
          return ids.isEmpty ? [] : try RoleStore.all(in: session).filter { ids.contains($0.id) }
        }
        return try listing("roles", roles.map { roleBody($0, request) }, request)
      },
      Endpoint(.get, one, reading, "whether one has a role \(what)") { request in
        let wanted = try assignment(request)
        let actor = try request.actor()
        let has = try await database.read { session in
          try check(wanted.holder, wanted.target, IdentityPolicy.read(by: actor), by: actor, in: session)
          _ = try visibleRole(wanted.roleID, actor, in: session)
          return try RoleAssignmentStore.contains(wanted, in: session)
        }
        guard has else { throw Self.missing(wanted) }
        return .noContent
      },
      Endpoint(.put, one, writing("create"), "give a role \(what)") { request in
        let wanted = try assignment(request)
        let actor = try request.actor()
        try await change { session in
          try checkGrant(wanted, by: actor, in: session)
          try RoleAssignmentStore.add(wanted, in: session)
        }
        return .noContent
      },
      Endpoint(.delete, one, writing("revoke"), "take a role \(what)") { request in
        let wanted = try assignment(request)
        let actor = try request.actor()
        try await change { session in
          try checkGrant(wanted, by: actor, in: session)
          guard try RoleAssignmentStore.remove(wanted, in: session) else { throw Self.missing(wanted) }
          try revokeTokens(
            of: wanted.holder, on: wanted.target, inherited: wanted.isInherited, at: request.now, in: session)
        }
        return .noContent
      },
    ]
  }

  private static func missing(_ assignment: RoleAssignment) -> APIError {
    let holder =
      switch assignment.holder {
      case .user(let id), .group(let id): id
      }
    let target =
      switch assignment.target {
      case .project(let id), .domain(let id): id
      case .system: "system"
      }
    return .notFound(
      "Could not find role assignment with role: \(assignment.roleID), user or group: \(holder), project, domain, or "
        + "system: \(target).")
  }

  /// - Throws: ``APIError/unseen(_:_:by:)`` for a user, a group, a project or a domain that is not there or out of reach.
  private func check(
    _ holder: RoleAssignment.Holder, _ target: RoleAssignment.Target, _ reach: IdentityPolicy.Reach,
    by actor: Actor, in session: any Session
  ) throws {
    switch target {
    case .project(let id):
      guard let project = try ProjectStore.get(id, in: session), reach.contains(domain: project.domainID ?? id) else {
        throw APIError.unseen("project", id, by: actor)
      }
    case .domain(let id):
      guard try ProjectStore.get(id, in: session)?.isDomain == true, reach.contains(domain: id) else {
        throw APIError.unseen("domain", id, by: actor)
      }
    case .system: break
    }
    switch holder {
    case .user(let id):
      guard let user = try UserStore.get(id, in: session), reach.contains(domain: user.domainID) else {
        throw APIError.unseen("user", id, by: actor)
      }
    case .group(let id):
      guard let group = try UserGroupStore.get(id, in: session), reach.contains(domain: group.domainID) else {
        throw APIError.unseen("group", id, by: actor)
      }
    }
  }
  /// - Throws: as ``check(_:_:_:by:in:)``; 403 when the role is not the actor's to give, or of another domain than the target.
  private func checkGrant(_ assignment: RoleAssignment, by actor: Actor, in session: any Session) throws {
    let reach = IdentityPolicy.managed(by: actor)
    try check(assignment.holder, assignment.target, reach, by: actor, in: session)
    let role = try visibleRole(assignment.roleID, actor, in: session)
    if let domain = role.domainID {
      switch assignment.target {
      case .project(let id):
        guard try ProjectStore.get(id, in: session)?.domainID == domain else {
          throw APIError.forbidden(
            "Project \(id) must be in the same domain as the role \(role.id) being assigned.")
        }
      case .domain(let id):
        guard id == domain else {
          throw APIError.forbidden("Domain \(id) must be the domain of the role \(role.id) being assigned.")
        }
      case .system: throw APIError.forbidden("A role of a domain cannot be given on the system.")
      }
    }
    if reach == .site { return }
    let implied = try RoleStore.expanded([role.id], in: session)
    let names = Set(try RoleStore.globalNames(in: session).filter { implied.contains($0.id) }.map(\.name))
    guard IdentityPolicy.mayGive(roleNames: names, within: reach) else {
      throw APIError.forbidden("Only the site's administrator may give or take the role \(role.name).")
    }
    if case .project(let id) = assignment.target, try id == IdentitySettings.adminProjectID(in: session) {
      throw APIError.forbidden("Only the site's administrator may give or take roles in the administrators' project.")
    }
  }
}
