import APISupport
import Domain
import Store
import Wire

/// A rule, with whether its group is the project's default.
struct OwnedRule: Sendable {
  let rule: SecurityGroupRule
  let isOfDefault: Bool
}

/// `/v2.0/security-group-rules`. Source: Neutron API reference, "Security group rules".
struct SecurityGroupRuleRoutes: Sendable {
  let neutron: NeutronAPI

  var endpoints: [Endpoint] {
    let path = "/v2.0/security-group-rules"
    return [
      Endpoint(.get, path, .authenticated, "Lists rules of security groups", handler: list),
      Endpoint(
        .post, path, .member("security_group_rule:create"), "Makes rules of security groups", handler: create),
      Endpoint(
        .get, path + "/{security_group_rule}", .authenticated, "Shows a rule of a security group", handler: show),
      Endpoint(
        .delete, path + "/{security_group_rule}", .member("security_group_rule:delete"),
        "Deletes a rule of a security group", handler: delete),
    ]
  }

  private static let ruleAttributes: [Attribute<SecurityGroupRule>] = [
    .text("id") { $0.id }, .text("tenant_id") { $0.projectID }, .text("project_id") { $0.projectID },
    .text("security_group_id") { $0.groupID }, .text("direction") { $0.direction.rawValue },
    .text("ethertype") { "IPv\($0.version)" }, .optionalText("protocol") { $0.protocolName },
    .optionalInt("port_range_min") { $0.portMinimum }, .optionalInt("port_range_max") { $0.portMaximum },
    .optionalText("remote_ip_prefix") { $0.remotePrefix }, .optionalText("normalized_cidr") { $0.normalizedPrefix },
    .optionalText("remote_group_id") { $0.remoteGroupID }, .text("description") { $0.description },
    .int("revision_number") { $0.revision }, .time("created_at") { $0.createdAt }, .time("updated_at") { $0.updatedAt },
  ]
  static let view = ResourceView<OwnedRule>(
    singular: "security_group_rule", plural: "security_group_rules", path: "/v2.0/security-group-rules",
    id: { $0.rule.id },
    attributes: ruleAttributes.map { $0.of { (owned: OwnedRule) in owned.rule } }
      + [.bool("belongs_to_default_sg") { $0.isOfDefault }])

  private func list(_ request: APIRequest) async throws -> APIResponse {
    let (actor, query) = (try request.actor(), request.query)
    let (rules, defaults) = try await neutron.readWithDefaultGroup(request) { session in
      let rules = try SecurityGroupRuleStore.list(in: session) { sql in
        sql.append("WHERE 1 = 1")
        sql.appendSecurityGroupRules(in: NetworkPolicy.scope(actor))
        sql.appendFilter("AND id IN", query.all("id"))
        sql.appendFilter("AND group_id IN", query.all("security_group_id"))
        sql.append("ORDER BY created_at, id")
      }
      return (rules, try SecurityGroupStore.defaultIDs(in: session))
    }
    return try Self.view.list(
      rules.map { OwnedRule(rule: $0, isOfDefault: defaults.contains($0.groupID)) }, request)
  }

  private func show(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id) = (try request.actor(), try request.parameter("security_group_rule"))
    let (rule, group) = try await neutron.database.read { session in try Self.rule(id, actor, session) }
    return Self.view.show(OwnedRule(rule: rule, isOfDefault: group.isDefault), request)
  }

  /// Seen by who made it and by who sees its group.
  private static func rule(
    _ id: String, _ actor: Actor, _ session: any Session
  ) throws -> (SecurityGroupRule, SecurityGroup) {
    guard let rule = try SecurityGroupRuleStore.get(id, in: session),
      let group = try SecurityGroupStore.get(rule.groupID, in: session),
      NetworkPolicy.sees(group, actor) || rule.projectID == actor.projectID
    else { throw APIError.notFound("Security group rule \(id) does not exist", type: "SecurityGroupRuleNotFound") }
    return (rule, group)
  }

  private func create(_ request: APIRequest) async throws -> APIResponse {
    let (actor, now) = (try request.actor(), request.now)
    let (bodies, isBulk) = try await AttributeReader.bodies(request, "security_group_rule", "security_group_rules")
    let made = try await neutron.database.write { session in
      let drafts = try bodies.map { body in
        try SecurityGroupRuleDraft.check(body)
        return try SecurityGroupRuleDraft.rule(
          body, project: try body.project(actor, rule: "create_security_group_rule"), at: now)
      }
      guard Set(drafts.map(\.groupID)).count == 1 else {
        throw APIError.refused(
          "Only allowed to update rules for one security profile at a time", type: "SecurityGroupNotSingleGroupRules")
      }
      guard Set(drafts.map(\.projectID)).count == 1 else {
        throw APIError.refused(
          "Multiple project_ids in bulk security group rule create not allowed",
          type: "SecurityGroupRulesNotSingleProject")
      }
      return try insert(drafts, actor, at: now, in: session)
    }
    return isBulk ? Self.view.made(made) : Self.view.show(made[0], request, status: .created)
  }

  /// - Parameter rules: of one group and one project.
  private func insert(
    _ rules: [SecurityGroupRule], _ actor: Actor, at now: Timestamp, in session: any Session
  ) throws -> [OwnedRule] {
    guard let first = rules.first else { return [] }
    var group = try SecurityGroupRoutes.changeable(
      first.groupID, actor, rule: "create_security_group_rule", session)
    for id in Set(rules.compactMap(\.remoteGroupID)) { _ = try Lookup.securityGroup(id, actor, session) }
    try neutron.requireQuota(.securityGroupRules, project: first.projectID, adding: rules.count, in: session)
    for (index, rule) in rules.enumerated() {
      guard !rules[..<index].contains(where: { $0.isSame(as: rule) }) else {
        throw APIError.conflict("Duplicate Security Group Rule in POST.", type: "DuplicateSecurityGroupRuleInPost")
      }
      if let old = group.rules.first(where: { $0.isSame(as: rule) }) {
        throw APIError.conflict(
          "Security group rule already exists. Rule id is \(old.id).", type: "SecurityGroupRuleExists")
      }
    }
    for rule in rules { try SecurityGroupRuleStore.insert(rule, in: session) }
    try follow(&group, at: now, in: session)
    return rules.map { OwnedRule(rule: $0, isOfDefault: group.isDefault) }
  }

  private func delete(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id, now) = (try request.actor(), try request.parameter("security_group_rule"), request.now)
    try await neutron.database.write { session in
      var (rule, group) = try Self.rule(id, actor, session)
      guard NetworkPolicy.mayDelete(rule, of: group, actor) else {
        throw APIError.disallowed("delete_security_group_rule", "the security group belongs to another project.")
      }
      try SecurityGroupRuleStore.delete(rule.id, in: session)
      try follow(&group, at: now, in: session)
    }
    return .noContent
  }

  /// Rules count as a change of their group, and the switches follow.
  private func follow(_ group: inout SecurityGroup, at now: Timestamp, in session: any Session) throws {
    try SecurityGroupStore.update(&group, at: now, in: session)
    let followers = try SecurityGroupStore.attachedPorts(with: group.id, in: session)
    if !followers.isEmpty { try neutron.rewire(followers, session) }
  }
}
