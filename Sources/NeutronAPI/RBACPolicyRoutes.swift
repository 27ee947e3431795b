import APISupport
import Domain
import Store
import Wire

/// `/v2.0/rbac-policies`. Source: Neutron API reference, "RBAC Policies".
struct RBACPolicyRoutes: Sendable {
  let neutron: NeutronAPI

  var endpoints: [Endpoint] {
    let path = "/v2.0/rbac-policies"
    return [
      Endpoint(.get, path, .authenticated, "Lists RBAC policies", handler: list),
      Endpoint(.post, path, .member("rbac_policy:create"), "Makes RBAC policies", handler: create),
      Endpoint(.get, path + "/{rbac_policy}", .authenticated, "Shows an RBAC policy", handler: show),
      Endpoint(
        .put, path + "/{rbac_policy}", .member("rbac_policy:update"), "Changes whom an RBAC policy is for",
        handler: update),
      Endpoint(
        .delete, path + "/{rbac_policy}", .member("rbac_policy:delete"), "Deletes an RBAC policy", handler: delete),
    ]
  }

  private static let view = ResourceView<RBACPolicy>(
    singular: "rbac_policy", plural: "rbac_policies", path: "/v2.0/rbac-policies", id: { $0.id },
    attributes: [
      .text("id") { $0.id }, .text("tenant_id") { $0.projectID }, .text("project_id") { $0.projectID },
      .text("object_type") { $0.objectType.rawValue }, .text("object_id") { $0.objectID },
      .text("action") { $0.action.rawValue }, .text("target_tenant") { $0.target },
    ], ownFilters: ["target_project"])

  private func list(_ request: APIRequest) async throws -> APIResponse {
    let (actor, query) = (try request.actor(), request.query)
    let policies = try await neutron.database.read { session in
      try RBACPolicyStore.list(in: session) { sql in
        sql.append("WHERE 1 = 1")
        if !actor.isSiteReader { sql.append("AND project_id = ?", Value(actor.projectID)) }
        sql.appendFilter("AND id IN", query.all("id"))
        sql.appendFilter("AND object_id IN", query.all("object_id"))
        sql.appendFilter("AND target_project IN", query.all("target_project"))
        sql.append("ORDER BY created_at, id")
      }
    }
    return try Self.view.list(policies, request)
  }

  private func show(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id) = (try request.actor(), try request.parameter("rbac_policy"))
    let policy = try await neutron.database.read { session in try Self.policy(id, actor, session) }
    return Self.view.show(policy, request)
  }

  private static let targets: Set<String> = ["target_tenant", "target_project"]
  private static let settable = targets.union([
    "object_type", "object_id", "action", "project_id", "tenant_id",
  ])
  private static let known = settable.union(["id"])

  private func create(_ request: APIRequest) async throws -> APIResponse {
    let (actor, now) = (try request.actor(), request.now)
    let (bodies, isBulk) = try await AttributeReader.bodies(request, "rbac_policy", "rbac_policies")
    let made = try await neutron.database.write { session in
      try bodies.map { body in
        try body.check(allowed: Self.settable, known: Self.known, verb: "POST")
        let type = try Self.objectType(body)
        let action = try Self.action(body, of: type)
        guard let target = try Self.target(body) else {
          throw APIError.badRequest("Failed to parse request. Required attribute 'target_tenant' not specified")
        }
        try Self.requireMayTarget(target, actor, rule: "create_rbac_policy")
        let project = try body.project(actor, rule: "create_rbac_policy")
        let object = try RBACObject.find(type, try Self.required("object_id", body), actor, session)
        try Self.requireMayShare(object, type, actor)
        try object.requireUsable(by: target, in: session)
        try neutron.requireQuota(.rbacPolicies, project: project, in: session)
        let policy = RBACPolicy(
          projectID: project, objectType: type, objectID: object.id, action: action, target: target, createdAt: now)
        try Self.requireNew(policy, in: session)
        try RBACPolicyStore.insert(policy, in: session)
        try object.follow(action, at: now, in: session)
        return policy
      }
    }
    return isBulk ? Self.view.made(made) : Self.view.show(made[0], request, status: .created)
  }

  private func update(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id, now) = (try request.actor(), try request.parameter("rbac_policy"), request.now)
    let body = try await AttributeReader.body(request, "rbac_policy")
    let changed = try await neutron.database.write { session in
      var (policy, object) = try Self.changeable(id, actor, rule: "update_rbac_policy", session)
      try body.check(allowed: Self.targets, known: Self.known, verb: "PUT")
      try Self.requireMayShare(object, policy.objectType, actor)
      guard let target = try Self.target(body), target != policy.target else { return policy }
      try Self.requireMayTarget(target, actor, rule: "update_rbac_policy")
      try object.requireUsable(by: target, in: session)
      try object.requireNobodyLoses(policy, next: target, in: session)
      policy.target = target
      try Self.requireNew(policy, in: session)
      try RBACPolicyStore.setTarget(target, of: id, in: session)
      try object.follow(policy.action, at: now, in: session)
      return policy
    }
    return Self.view.show(changed, request)
  }

  private func delete(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id, now) = (try request.actor(), try request.parameter("rbac_policy"), request.now)
    try await neutron.database.write { session in
      let (policy, object) = try Self.changeable(id, actor, rule: "delete_rbac_policy", session)
      try object.requireNobodyLoses(policy, next: nil, in: session)
      try RBACPolicyStore.delete(id, in: session)
      try object.follow(policy.action, at: now, in: session)
    }
    return .noContent
  }

  // MARK: What is asked for

  private static func required(_ name: String, _ body: AttributeReader) throws -> String {
    guard let text = try body.text(name) else {
      throw APIError.badRequest("Failed to parse request. Required attribute '\(name)' not specified")
    }
    return text
  }
  private static func objectType(_ body: AttributeReader) throws -> RBACPolicy.ObjectType {
    let text = try required("object_type", body)
    guard let type = RBACPolicy.ObjectType(rawValue: text.lowercased()) else {
      throw APIError.invalid("'\(text)' is not a valid RBAC object type")
    }
    return type
  }
  private static func action(_ body: AttributeReader, of type: RBACPolicy.ObjectType) throws -> RBACPolicy.Action {
    let text = try required("action", body)
    guard let action = type.actions.first(where: { $0.rawValue == text }) else {
      let valid = type.actions.map(\.rawValue).joined(separator: ", ")
      throw APIError.invalid(
        "Invalid action '\(text)' for object type '\(type.rawValue)'. Valid actions: \(valid)")
    }
    return action
  }
  /// Upstream's form: `*`, or 32 hexadecimal digits with or without hyphens.
  private static func target(_ body: AttributeReader) throws -> String? {
    guard let name = ["target_tenant", "target_project"].first(where: { body.has($0) }) else { return nil }
    let text = try body.text(name) ?? ""
    let digits = text.filter { $0 != "-" }
    let isProject =
      text.utf8.count <= 36 && digits.utf8.count == 32 && digits.allSatisfy { $0.isASCII && $0.isHexDigit }
    guard isProject || text == RBACPolicy.everyone else {
      throw APIError.invalid("'\(text)' is not a valid target project ID; expected a UUID or '*'")
    }
    return text
  }

  // MARK: What is allowed

  private static func requireMayTarget(_ target: String, _ actor: Actor, rule: String) throws {
    guard target != RBACPolicy.everyone || NetworkPolicy.maySetSiteAttributes(actor) else {
      throw APIError.disallowed("\(rule):target_tenant", "only the administrator shares with everyone.")
    }
  }
  private static func requireMayShare(
    _ object: RBACObject, _ type: RBACPolicy.ObjectType, _ actor: Actor
  ) throws {
    guard NetworkPolicy.mayShare(ownedBy: object.projectID, actor) else {
      let words = type == .network ? "networks" : "objects"
      throw APIError.invalid("Only admins can manipulate policies on \(words) they do not own")
    }
  }
  private static func requireNew(_ policy: RBACPolicy, in session: any Session) throws {
    guard try !RBACPolicyStore.exists(policy, in: session) else {
      throw APIError.conflict("An RBAC policy already exists with those values.", type: "DuplicateRbacPolicy")
    }
  }
  private static func policy(_ id: String, _ actor: Actor, _ session: any Session) throws -> RBACPolicy {
    guard let policy = try RBACPolicyStore.get(id, in: session), NetworkPolicy.sees(policy, actor) else {
      throw APIError.notFound("RBAC policy of type unknown with ID \(id) not found", type: "RbacPolicyNotFound")
    }
    return policy
  }
  /// The object is found with the eyes of the site: a policy that somebody may remove can be on what they see no more.
  private static func changeable(
    _ id: String, _ actor: Actor, rule: String, _ session: any Session
  ) throws -> (RBACPolicy, RBACObject) {
    let policy = try policy(id, actor, session)
    guard NetworkPolicy.mayChange(policy, actor), let object = try RBACObject.of(policy, in: session) else {
      throw APIError.disallowed(rule, "the policy belongs to another project.")
    }
    return (policy, object)
  }
}
