import APISupport
import Domain
import Store
import Wire

/// `/v2.0/address-scopes`. Source: Neutron API reference, "Address scopes".
struct AddressScopeRoutes: Sendable {
  let neutron: NeutronAPI

  var endpoints: [Endpoint] {
    let path = "/v2.0/address-scopes"
    return [
      Endpoint(.get, path, .authenticated, "Lists address scopes", handler: list),
      Endpoint(.post, path, .member("address_scope:create"), "Makes address scopes", handler: create),
      Endpoint(.get, path + "/{address_scope}", .authenticated, "Shows an address scope", handler: show),
      Endpoint(
        .put, path + "/{address_scope}", .member("address_scope:update"), "Changes an address scope", handler: update),
      Endpoint(
        .delete, path + "/{address_scope}", .member("address_scope:delete"), "Deletes an address scope", handler: delete
      ),
    ]
  }

  private static let view = ResourceView<Seen<AddressScope>>(
    singular: "address_scope", plural: "address_scopes", path: "/v2.0/address-scopes", id: { $0.resource.id },
    attributes: Seen<AddressScope>.attributes([
      .text("id") { $0.id }, .text("name") { $0.name }, .text("tenant_id") { $0.projectID },
      .text("project_id") { $0.projectID }, .int("ip_version") { $0.version },
    ]))
  private static func seen(_ scope: AddressScope, _ actor: Actor) -> Seen<AddressScope> {
    Seen(resource: scope, isShared: scope.sharing.reaches(actor.projectID))
  }

  private func list(_ request: APIRequest) async throws -> APIResponse {
    let (actor, query) = (try request.actor(), request.query)
    let scopes = try await neutron.database.read { session in
      try AddressScopeStore.list(in: session) { sql in
        sql.append("WHERE 1 = 1")
        sql.appendOwnAndShared(in: NetworkPolicy.scope(actor))
        sql.appendFilter("AND id IN", query.all("id"))
        sql.appendFilter("AND name IN", query.all("name"))
        sql.append("ORDER BY created_at, id")
      }
    }
    return try Self.view.list(scopes.map { Self.seen($0, actor) }, request)
  }

  private func show(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id) = (try request.actor(), try request.parameter("address_scope"))
    let scope = try await neutron.database.read { session in try Lookup.addressScope(id, actor, session) }
    return Self.view.show(Self.seen(scope, actor), request)
  }

  private static let settable: Set<String> = ["name", "shared"]
  private static let onlyAtFirst: Set<String> = ["ip_version", "project_id", "tenant_id"]
  private static let known = settable.union(onlyAtFirst).union(["id"])

  private func create(_ request: APIRequest) async throws -> APIResponse {
    let (actor, now) = (try request.actor(), request.now)
    let (bodies, isBulk) = try await AttributeReader.bodies(request, "address_scope", "address_scopes")
    let made = try await neutron.database.write { session in
      try bodies.map { body in
        try body.check(allowed: Self.settable.union(Self.onlyAtFirst), known: Self.known, verb: "POST")
        let project = try body.project(actor, rule: "create_address_scope")
        guard let version = try body.int("ip_version", 4...6), version != 5 else {
          throw APIError.badRequest("Failed to parse request. Required attribute 'ip_version' not specified: 4 or 6")
        }
        var scope = AddressScope(
          projectID: project, name: try body.text("name") ?? "", version: version, createdAt: now)
        try AddressScopeStore.insert(scope, in: session)
        if try body.bool("shared") == true {
          try share(&scope, actor, rule: "create_address_scope", at: now, in: session)
        }
        return Self.seen(scope, actor)
      }
    }
    return isBulk ? Self.view.made(made) : Self.view.show(made[0], request, status: .created)
  }

  private func update(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id, now) = (try request.actor(), try request.parameter("address_scope"), request.now)
    let body = try await AttributeReader.body(request, "address_scope")
    let changed = try await neutron.database.write { session in
      var scope = try changeable(id, actor, rule: "update_address_scope", session)
      try body.check(allowed: Self.settable, known: Self.known, verb: "PUT")
      if let name = try body.text("name") {
        scope.name = name
        try AddressScopeStore.rename(id, to: name, in: session)
      }
      if let flag = try body.bool("shared"), flag != scope.sharing.reaches(actor.projectID) {
        guard flag else {
          throw APIError(
            .badRequest, "Unable to update address scope \(id) : Shared address scope can't be unshared.",
            type: "AddressScopeUpdateError")
        }
        try share(&scope, actor, rule: "update_address_scope", at: now, in: session)
      }
      return Self.seen(scope, actor)
    }
    return Self.view.show(changed, request)
  }

  private func share(
    _ scope: inout AddressScope, _ actor: Actor, rule: String, at now: Timestamp, in session: any Session
  ) throws {
    guard NetworkPolicy.maySetSiteAttributes(actor) else {
      throw APIError.disallowed("\(rule):shared", "only the administrator shares with everyone.")
    }
    let policy = RBACPolicy(
      projectID: scope.projectID, objectType: .addressScope, objectID: scope.id, target: RBACPolicy.everyone,
      createdAt: now)
    try RBACPolicyStore.ensure(policy, is: true, in: session)
    scope.sharing.insert(RBACPolicy.everyone)
  }

  private func delete(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id) = (try request.actor(), try request.parameter("address_scope"))
    try await neutron.database.write { session in
      _ = try changeable(id, actor, rule: "delete_address_scope", session)
      guard try SubnetPoolStore.list(scope: id, in: session).isEmpty else {
        throw APIError.conflict(
          "Unable to complete operation on address scope \(id). There are one or more subnet pools in use on the address "
            + "scope.", type: "AddressScopeInUse")
      }
      try AddressScopeStore.delete(id, in: session)
    }
    return .noContent
  }

  private func changeable(_ id: String, _ actor: Actor, rule: String, _ session: any Session) throws -> AddressScope {
    let scope = try Lookup.addressScope(id, actor, session)
    guard NetworkPolicy.mayChange(scope, actor) else {
      throw APIError.disallowed(rule, "the address scope belongs to another project.")
    }
    return scope
  }
}
