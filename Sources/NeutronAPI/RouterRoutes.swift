import APISupport
import Domain
import Store
import Wire

/// `/v2.0/routers`. Source: Neutron API reference, "Routers (routers)".
struct RouterRoutes: Sendable {
  let neutron: NeutronAPI

  var endpoints: [Endpoint] {
    [
      Endpoint(.get, "/v2.0/routers", .authenticated, "Lists routers", handler: list),
      Endpoint(.post, "/v2.0/routers", .member("router:create"), "Makes routers", handler: create),
      Endpoint(.get, "/v2.0/routers/{router}", .authenticated, "Shows a router", handler: show),
      Endpoint(.put, "/v2.0/routers/{router}", .member("router:update"), "Changes a router", handler: update),
      Endpoint(.delete, "/v2.0/routers/{router}", .member("router:delete"), "Deletes a router", handler: delete),
    ]
  }

  private static let common: [Attribute<Router>] = [
    .text("id") { $0.id }, .text("name") { $0.name }, .text("description") { $0.description },
    .text("tenant_id") { $0.projectID }, .text("project_id") { $0.projectID },
    .bool("admin_state_up") { $0.isAdminStateUp }, .text("status") { $0.status.rawValue },
    .json("external_gateway_info") { router in
      guard let first = router.gateways.first, var info = gateway(first).object else { return nil }
      info["enable_snat"] = .bool(router.isSNATEnabled)
      return .object(info)
    },
    .json("external_gateways") { .array($0.gateways.map(gateway)) },
    .bool("enable_default_route_bfd") { $0.isNextHopWatched },
    .bool("enable_default_route_ecmp") { $0.areNextHopsShared },
    .json("routes") { router in
      .array(
        router.routes.map {
          ["destination": .string($0.destination.description), "nexthop": .string($0.nextHop.description)]
        })
    },
    .json("availability_zone_hints") { _ in [] }, .json("availability_zones") { _ in [] },
    .strings("tags") { $0.tags }, .int("revision_number") { $0.revision }, .time("created_at") { $0.createdAt },
    .time("updated_at") { $0.updatedAt },
  ]
  static let view = view(common)
  /// What only the administrator sees: a router here is one router, wherever it runs.
  static let siteView = view(common + [.bool("distributed") { _ in false }, .bool("ha") { _ in false }])
  private static func view(_ attributes: [Attribute<Router>]) -> ResourceView<Router> {
    ResourceView(
      singular: "router", plural: "routers", path: "/v2.0/routers", id: { $0.id }, attributes: attributes,
      ownFilters: TagFilter.names)
  }
  static func view(for actor: Actor) -> ResourceView<Router> { actor.isSiteReader ? siteView : view }
  private static func gateway(_ gateway: Router.Attachment) -> JSON {
    [
      "network_id": .string(gateway.networkID),
      "external_fixed_ips": .array(
        gateway.fixedIPs.map { ["subnet_id": .string($0.subnetID), "ip_address": .string($0.address.description)] }),
    ]
  }

  private func list(_ request: APIRequest) async throws -> APIResponse {
    let actor = try request.actor()
    let query = request.query
    let routers = try await neutron.database.read { session in
      try RouterStore.list(in: session) { sql in
        sql.append("WHERE 1 = 1")
        sql.appendOwned(in: NetworkPolicy.scope(actor))
        sql.appendFilter("AND id IN", query.all("id"))
        sql.appendFilter("AND name IN", query.all("name"))
        sql.append("ORDER BY created_at, id")
      }
    }
    let tags = TagFilter(query)
    return try Self.view(for: actor).list(routers.filter { tags.matches($0.tags) }, request)
  }

  private func show(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id) = (try request.actor(), try request.parameter("router"))
    let router = try await neutron.database.read { session in try Lookup.router(id, actor, session) }
    return Self.view(for: actor).show(router, request)
  }

  private static let settable: Set<String> = [
    "name", "description", "admin_state_up", "external_gateway_info", "distributed", "ha", "enable_default_route_bfd",
    "enable_default_route_ecmp",
  ]
  private static let onlyAtFirst: Set<String> = ["project_id", "tenant_id", "availability_zone_hints", "tags"]
  private static let onlyLater: Set<String> = ["routes"]
  private static let known = settable.union(onlyAtFirst).union(onlyLater)
    .union(siteView.attributes.map { "\($0.name)" })

  private func create(_ request: APIRequest) async throws -> APIResponse {
    let actor = try request.actor()
    let now = request.now
    let (bodies, isBulk) = try await AttributeReader.bodies(request, "router", "routers")
    let made = try await neutron.database.write { session in
      let made = try bodies.map { body in
        try body.check(allowed: Self.settable.union(Self.onlyAtFirst), known: Self.known, verb: "POST")
        if let zone = try body.strings("availability_zone_hints")?.first {
          throw APIError.notFound("AvailabilityZone \(zone) could not be found.", type: "AvailabilityZoneNotFound")
        }
        let project = try body.project(actor, rule: "create_router")
        try neutron.requireQuota(.routers, project: project, in: session)
        var router = Router(projectID: project, createdAt: now)
        try apply(body, to: &router, actor, rule: "create_router")
        router.tags = Set(try body.tags() ?? []).sorted()
        try RouterStore.insert(router, in: session)
        if let draft = try Self.gateway(body) {
          try RouterGateway(actor: actor, rule: "create_router", now: now, session: session).set(draft, of: &router)
          if !router.isSNATEnabled { try RouterStore.update(&router, at: now, in: session) }
        }
        return router
      }
      try neutron.routing(session)
      return made
    }
    let view = Self.view(for: actor)
    return isBulk ? view.made(made) : view.show(made[0], request, status: .created)
  }

  /// What `external_gateway_info` asks for; nil when it is absent, null or empty.
  private static func gateway(_ body: AttributeReader) throws -> GatewayDraft? {
    guard let value = body.object["external_gateway_info"], !value.isNull else { return nil }
    guard let object = value.object else {
      throw APIError.badRequest("Invalid input for external_gateway_info. Reason: it is not a dictionary.")
    }
    return object.isEmpty ? nil : try GatewayDraft(object)
  }

  private func apply(_ body: AttributeReader, to router: inout Router, _ actor: Actor, rule: String) throws {
    if let name = try body.text("name") { router.name = name }
    if let text = try body.text("description") { router.description = text }
    if let flag = try body.bool("admin_state_up") { router.isAdminStateUp = flag }
    for name in ["distributed", "ha"] {
      guard let flag = try body.bool(name) else { continue }
      guard actor.isSiteAdmin else { throw APIError.disallowed("\(rule):\(name)", "only the administrator sets it.") }
      guard !flag else { throw APIError.invalid("\(name) routers are not offered.") }
    }
    for (name, path) in [
      ("enable_default_route_bfd", \Router.isNextHopWatched), ("enable_default_route_ecmp", \Router.areNextHopsShared),
    ] {
      guard let flag = try body.bool(name), flag != router[keyPath: path] else { continue }
      guard actor.isSiteAdmin else { throw APIError.disallowed("\(rule):\(name)", "only the administrator sets it.") }
      router[keyPath: path] = flag
    }
  }

  private func update(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id, now) = (try request.actor(), try request.parameter("router"), request.now)
    let body = try await AttributeReader.body(request, "router")
    try body.check(allowed: Self.settable.union(Self.onlyLater), known: Self.known, verb: "PUT")
    let changed = try await neutron.database.write { session in
      var router = try Self.changeable(id, actor, rule: "update_router", session)
      try request.requireRevision(router.revision)
      try apply(body, to: &router, actor, rule: "update_router")
      if body.has("external_gateway_info") {
        try RouterGateway(actor: actor, rule: "update_router", now: now, session: session)
          .set(try Self.gateway(body), of: &router)
      }
      if body.has("routes") { router.routes = try Self.routes(body) }
      try RouterSubnets(router: router, session: session).requireRoutes()
      try RouterStore.update(&router, at: now, in: session)
      try neutron.routing(session)
      return router
    }
    return Self.view(for: actor).show(changed, request)
  }

  /// At most 30 routes, as upstream's `max_routes`; the same route twice is one.
  static func routes(_ body: AttributeReader) throws -> [Router.Route] {
    var routes: [Router.Route] = []
    for item in try body.objects("routes", most: 30) ?? [] {
      guard let destination = item["destination"]?.string.flatMap({ CIDR($0) }),
        let nextHop = item["nexthop"]?.string.flatMap({ IPAddress($0) }), destination.version == nextHop.version
      else {
        throw APIError.badRequest(
          "Invalid input for routes. Reason: a route is {\"destination\": CIDR, \"nexthop\": address}.")
      }
      let route = Router.Route(destination: destination, nextHop: nextHop)
      if !routes.contains(route) { routes.append(route) }
    }
    return routes
  }

  private func delete(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id, now) = (try request.actor(), try request.parameter("router"), request.now)
    try await neutron.database.write { session in
      var router = try Self.changeable(id, actor, rule: "delete_router", session)
      try request.requireRevision(router.revision)
      guard router.interfaces.isEmpty else {
        let ports = router.interfaces.map(\.portID).joined(separator: ", ")
        throw APIError.routerInUse(id, "has ports still attached: \(ports)")
      }
      let gateway = RouterGateway(actor: actor, rule: "delete_router", now: now, session: session)
      for port in router.gateways { try gateway.remove(port, from: &router) }
      try RouterStore.delete(id, in: session)
      try neutron.routing(session)
    }
    return .noContent
  }

  static func changeable(_ id: String, _ actor: Actor, rule: String, _ session: any Session) throws -> Router {
    let router = try Lookup.router(id, actor, session)
    guard NetworkPolicy.mayChange(router, actor) else {
      throw APIError.disallowed(rule, "the router belongs to another project.")
    }
    return router
  }
}

extension Query {
  /// Appends `AND …` for a list of what nobody shares: one's own, or everything.
  mutating func appendOwned(in scope: NetworkPolicy.Scope) {
    guard case .project(let id) = scope else { return }
    append("AND project_id = ?", Value(id))
  }
}
