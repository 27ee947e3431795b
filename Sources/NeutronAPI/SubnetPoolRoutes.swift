import APISupport
import Domain
import Store
import Wire

/// `/v2.0/subnetpools`. Source: Neutron API reference, "Subnet pools", "Subnet pool prefix operations".
struct SubnetPoolRoutes: Sendable {
  let neutron: NeutronAPI

  var endpoints: [Endpoint] {
    let path = "/v2.0/subnetpools"
    let one = path + "/{subnetpool}"
    return [
      Endpoint(.get, path, .authenticated, "Lists subnet pools", handler: list),
      Endpoint(.post, path, .member("subnetpool:create"), "Makes subnet pools", handler: create),
      Endpoint(.get, one, .authenticated, "Shows a subnet pool", handler: show),
      Endpoint(.put, one, .member("subnetpool:update"), "Changes a subnet pool", handler: update),
      Endpoint(.delete, one, .member("subnetpool:delete"), "Deletes a subnet pool", handler: delete),
      Endpoint(.put, one + "/add_prefixes", .member("subnetpool:add_prefixes"), "Adds prefixes") { request in
        try await changePrefixes(request, rule: "add_prefixes") { pool, prefixes, _ in
          AddressSet(pool.prefixes + prefixes)
        }
      },
      Endpoint(.put, one + "/remove_prefixes", .member("subnetpool:remove_prefixes"), "Removes prefixes") { request in
        try await changePrefixes(request, rule: "remove_prefixes") { pool, prefixes, session in
          let (gone, taken) = (AddressSet(prefixes), try SubnetStore.allocations(pool: pool.id, in: session))
          guard !AddressSet(taken.map { $0.cidr }).intersects(gone) else {
            throw SubnetPoolDraft.illegalUpdate("One or more the prefixes to be removed is in use by a subnet.")
          }
          return pool.addresses.subtracting(gone)
        }
      },
    ]
  }

  private static let view = ResourceView<Seen<SubnetPool>>(
    singular: "subnetpool", plural: "subnetpools", path: "/v2.0/subnetpools", id: { $0.resource.id },
    attributes: Seen<SubnetPool>.attributes([
      .text("id") { $0.id }, .text("name") { $0.name }, .text("description") { $0.description },
      .text("tenant_id") { $0.projectID }, .text("project_id") { $0.projectID }, .int("ip_version") { $0.version },
      .optionalText("address_scope_id") { $0.addressScopeID }, .strings("prefixes") { $0.prefixes.map(\.description) },
      // Text, as upstream writes them.
      .text("default_prefixlen") { "\($0.bounds.preset)" }, .text("min_prefixlen") { "\($0.bounds.shortest)" },
      .text("max_prefixlen") { "\($0.bounds.longest)" },
      .json("default_quota") { pool in pool.defaultQuota.map { .int($0) } ?? .null },
      .bool("is_default") { $0.isDefault }, .strings("tags") { $0.tags }, .int("revision_number") { $0.revision },
      .time("created_at") { $0.createdAt }, .time("updated_at") { $0.updatedAt },
    ]), ownFilters: TagFilter.names)
  private static func seen(_ pool: SubnetPool, _ actor: Actor) -> Seen<SubnetPool> {
    Seen(resource: pool, isShared: pool.sharing.reaches(actor.projectID))
  }

  private func list(_ request: APIRequest) async throws -> APIResponse {
    let (actor, query) = (try request.actor(), request.query)
    let pools = try await neutron.database.read { session in
      try SubnetPoolStore.list(in: session) { sql in
        sql.append("WHERE 1 = 1")
        sql.appendOwnAndShared(in: NetworkPolicy.scope(actor))
        sql.appendFilter("AND id IN", query.all("id"))
        sql.appendFilter("AND name IN", query.all("name"))
        sql.append("ORDER BY created_at, id")
      }
    }
    let tags = TagFilter(query)
    return try Self.view.list(pools.filter { tags.matches($0.tags) }.map { Self.seen($0, actor) }, request)
  }

  private func show(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id) = (try request.actor(), try request.parameter("subnetpool"))
    let pool = try await neutron.database.read { session in try Lookup.subnetPool(id, actor, session) }
    return Self.view.show(Self.seen(pool, actor), request)
  }

  private static let settable: Set<String> = [
    "name", "description", "prefixes", "default_quota", "default_prefixlen", "min_prefixlen", "max_prefixlen",
    "is_default", "address_scope_id",
  ]
  private static let onlyAtFirst: Set<String> = ["project_id", "tenant_id", "shared", "tags"]
  private static let known = settable.union(onlyAtFirst).union(view.attributes.map { "\($0.name)" })

  private func create(_ request: APIRequest) async throws -> APIResponse {
    let (actor, now) = (try request.actor(), request.now)
    let (bodies, isBulk) = try await AttributeReader.bodies(request, "subnetpool", "subnetpools")
    let made = try await neutron.database.write { session in
      try bodies.map { body in
        try body.check(allowed: Self.settable.union(Self.onlyAtFirst), known: Self.known, verb: "POST")
        let project = try body.project(actor, rule: "create_subnetpool")
        let draft = SubnetPoolDraft(body: body, actor: actor, rule: "create_subnetpool")
        var pool = try draft.made(project: project, at: now)
        try draft.validate(pool, before: nil, in: session)
        try neutron.requireQuota(.subnetPools, project: project, in: session)
        try SubnetPoolStore.insert(pool, in: session)
        if try body.bool("shared") == true {
          guard NetworkPolicy.maySetSiteAttributes(actor) else {
            throw APIError.disallowed("create_subnetpool:shared", "only the administrator shares with everyone.")
          }
          let policy = RBACPolicy(
            projectID: project, objectType: .subnetPool, objectID: pool.id, target: RBACPolicy.everyone, createdAt: now)
          try RBACPolicyStore.insert(policy, in: session)
          pool.sharing.insert(RBACPolicy.everyone)
        }
        return Self.seen(pool, actor)
      }
    }
    return isBulk ? Self.view.made(made) : Self.view.show(made[0], request, status: .created)
  }

  private func update(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id, now) = (try request.actor(), try request.parameter("subnetpool"), request.now)
    let body = try await AttributeReader.body(request, "subnetpool")
    try body.check(allowed: Self.settable, known: Self.known, verb: "PUT")
    let changed = try await neutron.database.write { session in
      var pool = try changeable(id, actor, rule: "update_subnetpool", session)
      try request.requireRevision(pool.revision)
      let before = pool
      let draft = SubnetPoolDraft(body: body, actor: actor, rule: "update_subnetpool")
      try draft.apply(to: &pool)
      try draft.validate(pool, before: before, in: session)
      try SubnetPoolStore.update(&pool, at: now, in: session)
      return Self.seen(pool, actor)
    }
    return Self.view.show(changed, request)
  }

  /// PUT `{"prefixes": […]}` → 200 with all of the pool's prefixes.
  private func changePrefixes(
    _ request: APIRequest, rule: String,
    _ edit: @escaping @Sendable (SubnetPool, [CIDR], any Session) throws -> AddressSet
  ) async throws -> APIResponse {
    let (actor, id, now) = (try request.actor(), try request.parameter("subnetpool"), request.now)
    let body = AttributeReader(object: try await request.object())
    let prefixes = try await neutron.database.write { session in
      var pool = try changeable(id, actor, rule: rule, session)
      let before = pool
      let draft = SubnetPoolDraft(body: body, actor: actor, rule: rule)
      guard let named = try draft.prefixes() else { throw APIError.badRequest("Request body contains invalid data") }
      guard named.allSatisfy({ $0.version == pool.version }) else { throw SubnetPoolDraft.mixedVersions }
      pool.setAddresses(try edit(pool, named, session))
      if pool.prefixes != before.prefixes {
        try draft.validate(pool, before: before, in: session)
        try SubnetPoolStore.update(&pool, at: now, in: session)
      }
      return pool.prefixes
    }
    return APIResponse(json: ["prefixes": .array(prefixes.map { .string($0.description) })])
  }

  private func delete(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id) = (try request.actor(), try request.parameter("subnetpool"))
    try await neutron.database.write { session in
      let pool = try changeable(id, actor, rule: "delete_subnetpool", session)
      try request.requireRevision(pool.revision)
      guard try SubnetStore.allocations(pool: id, in: session).isEmpty else {
        throw APIError(
          .badRequest, "Unable to delete subnet pool: Subnet pool has existing allocations.",
          type: "SubnetPoolDeleteError")
      }
      try SubnetPoolStore.delete(id, in: session)
    }
    return .noContent
  }

  private func changeable(_ id: String, _ actor: Actor, rule: String, _ session: any Session) throws -> SubnetPool {
    let pool = try Lookup.subnetPool(id, actor, session)
    guard NetworkPolicy.mayChange(pool, actor) else {
      throw APIError.disallowed(rule, "the subnet pool belongs to another project.")
    }
    return pool
  }
}
