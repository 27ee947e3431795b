import APISupport
import Domain
import Store
import Wire

/// `/v2.0/security-groups`. Source: Neutron API reference, "Security groups".
struct SecurityGroupRoutes: Sendable {
  let neutron: NeutronAPI

  var endpoints: [Endpoint] {
    let path = "/v2.0/security-groups"
    return [
      Endpoint(.get, path, .authenticated, "Lists security groups", handler: list),
      Endpoint(.post, path, .member("security_group:create"), "Makes security groups", handler: create),
      Endpoint(.get, path + "/{security_group}", .authenticated, "Shows a security group", handler: show),
      Endpoint(
        .put, path + "/{security_group}", .member("security_group:update"), "Changes a security group", handler: update),
      Endpoint(
        .delete, path + "/{security_group}", .member("security_group:delete"), "Deletes a security group",
        handler: delete),
    ]
  }

  private static let view = ResourceView<Seen<SecurityGroup>>(
    singular: "security_group", plural: "security_groups", path: "/v2.0/security-groups", id: { $0.resource.id },
    attributes: Seen<SecurityGroup>.attributes([
      .text("id") { $0.id }, .text("name") { $0.name }, .text("description") { $0.description },
      .text("tenant_id") { $0.projectID }, .text("project_id") { $0.projectID }, .bool("stateful") { $0.isStateful },
      .json("security_group_rules") { group in
        .array(group.rules.map { SecurityGroupRuleRoutes.view.json(OwnedRule(rule: $0, isOfDefault: group.isDefault)) })
      },
      .strings("tags") { $0.tags }, .int("revision_number") { $0.revision }, .time("created_at") { $0.createdAt },
      .time("updated_at") { $0.updatedAt },
    ]), ownFilters: TagFilter.names)
  private static func seen(_ group: SecurityGroup, _ actor: Actor) -> Seen<SecurityGroup> {
    Seen(resource: group, isShared: group.sharing.reaches(actor.projectID))
  }

  private func list(_ request: APIRequest) async throws -> APIResponse {
    let (actor, query) = (try request.actor(), request.query)
    let groups = try await neutron.readWithDefaultGroup(request) { session in
      try SecurityGroupStore.list(in: session) { sql in
        sql.append("WHERE 1 = 1")
        sql.appendOwnAndShared(in: NetworkPolicy.scope(actor))
        sql.appendFilter("AND id IN", query.all("id"))
        sql.appendFilter("AND name IN", query.all("name"))
        sql.append("ORDER BY created_at, id")
      }
    }
    let tags = TagFilter(query)
    return try Self.view.list(groups.filter { tags.matches($0.tags) }.map { Self.seen($0, actor) }, request)
  }

  private func show(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id) = (try request.actor(), try request.parameter("security_group"))
    let group = try await neutron.database.read { session in try Lookup.securityGroup(id, actor, session) }
    return Self.view.show(Self.seen(group, actor), request)
  }

  private static let settable: Set<String> = ["name", "description", "stateful"]
  private static let onlyAtFirst: Set<String> = ["project_id", "tenant_id"]
  private static let known = settable.union(onlyAtFirst).union(view.attributes.map { "\($0.name)" })

  private func create(_ request: APIRequest) async throws -> APIResponse {
    let (actor, now) = (try request.actor(), request.now)
    let (bodies, isBulk) = try await AttributeReader.bodies(request, "security_group", "security_groups")
    let made = try await neutron.database.write { session in
      try bodies.map { body in
        try body.check(allowed: Self.settable.union(Self.onlyAtFirst), known: Self.known, verb: "POST")
        let project = try body.project(actor, rule: "create_security_group")
        _ = try neutron.defaultGroup(project: project, at: now, in: session)
        try neutron.requireQuota(.securityGroups, project: project, in: session)
        var group = SecurityGroup(projectID: project, name: "", createdAt: now)
        try Self.apply(body, to: &group)
        group.rules = SecurityGroup.initialRules(of: group)
        try neutron.requireQuota(.securityGroupRules, project: project, adding: group.rules.count, in: session)
        try SecurityGroupStore.insert(group, in: session)
        return Self.seen(group, actor)
      }
    }
    return isBulk ? Self.view.made(made) : Self.view.show(made[0], request, status: .created)
  }

  private static func apply(_ body: AttributeReader, to group: inout SecurityGroup) throws {
    if let name = try body.text("name") {
      guard !group.isDefault else {
        throw APIError.conflict(
          "Updating default security group not allowed.", type: "SecurityGroupCannotUpdateDefault")
      }
      guard name.lowercased() != SecurityGroup.defaultName else {
        throw APIError.conflict("Default security group already exists.", type: "SecurityGroupDefaultAlreadyExists")
      }
      group.name = name
    }
    if let text = try body.text("description") { group.description = text }
    if let flag = try body.bool("stateful") { group.isStateful = flag }
  }

  private func update(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id, now) = (try request.actor(), try request.parameter("security_group"), request.now)
    let body = try await AttributeReader.body(request, "security_group")
    let changed = try await neutron.database.write { session in
      var group = try Self.changeable(id, actor, rule: "update_security_group", session)
      try body.check(allowed: Self.settable, known: Self.known, verb: "PUT")
      let before = group
      try Self.apply(body, to: &group)
      if group.isStateful != before.isStateful { try Self.requireUnused(id, in: session) }
      try SecurityGroupStore.update(&group, at: now, in: session)
      return Self.seen(group, actor)
    }
    return Self.view.show(changed, request)
  }

  private func delete(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id) = (try request.actor(), try request.parameter("security_group"))
    try await neutron.database.write { session in
      let group = try Self.changeable(id, actor, rule: "delete_security_group", session)
      try Self.requireUnused(id, in: session)
      guard !group.isDefault || actor.isSiteAdmin else {
        throw APIError.conflict(
          "Insufficient rights for removing default security group.", type: "SecurityGroupCannotRemoveDefault")
      }
      // Rules of other groups that name it go with it.
      let followers = try SecurityGroupStore.attachedPorts(naming: [id], in: session)
      try SecurityGroupStore.delete(id, in: session)
      if !followers.isEmpty { try neutron.rewire(followers, session) }
    }
    return .noContent
  }

  private static func requireUnused(_ id: String, in session: any Session) throws {
    guard try SecurityGroupStore.projects(using: id, in: session).isEmpty else {
      throw APIError.conflict("Security Group \(id) in use.", type: "SecurityGroupInUse")
    }
  }
  static func changeable(
    _ id: String, _ actor: Actor, rule: String, _ session: any Session
  ) throws -> SecurityGroup {
    let group = try Lookup.securityGroup(id, actor, session)
    guard NetworkPolicy.mayChange(group, actor) else {
      throw APIError.disallowed(rule, "the security group belongs to another project.")
    }
    return group
  }
}

extension Lookup {
  static func securityGroup(_ id: String, _ actor: Actor, _ session: any Session) throws -> SecurityGroup {
    guard let group = try SecurityGroupStore.get(id, in: session), NetworkPolicy.sees(group, actor) else {
      throw APIError.securityGroupNotFound(id)
    }
    return group
  }
}
extension APIError {
  static func securityGroupNotFound(_ id: String) -> APIError {
    .notFound("Security group \(id) does not exist", type: "SecurityGroupNotFound")
  }
}

extension NeutronAPI {
  /// A project's default group, which is made when it is first needed, as upstream. It does not count against the quota then:
  /// nobody asked for it.
  func defaultGroup(project id: String, at now: Timestamp, in session: any Session) throws -> String {
    if let found = try SecurityGroupStore.defaultID(project: id, in: session) { return found }
    var group = SecurityGroup(
      projectID: id, name: SecurityGroup.defaultName, description: "Default security group", isDefault: true,
      createdAt: now)
    group.rules = SecurityGroup.initialRules(of: group)
    try SecurityGroupStore.insert(group, in: session)
    return group.id
  }

  /// Reads for a list of groups or rules, in which the caller's project expects its default group.
  func readWithDefaultGroup<Value: Sendable>(
    _ request: APIRequest, _ body: @escaping @Sendable (any Session) throws -> Value
  ) async throws -> Value {
    let (project, now) = (try request.actor().projectID, request.now)
    let found = try await database.read { session -> Value? in
      if let project, try SecurityGroupStore.defaultID(project: project, in: session) == nil { return nil }
      return try body(session)
    }
    if let found { return found }
    return try await database.write { session in
      if let project { _ = try defaultGroup(project: project, at: now, in: session) }
      return try body(session)
    }
  }
}
