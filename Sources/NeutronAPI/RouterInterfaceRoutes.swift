import APISupport
import Domain
import Store
import Wire

/// What is done to a router beside changing its attributes: interfaces, extra routes, further gateways.
/// Source: Neutron API reference, "Add interface to router", "Add extra routes to router", "Add external gateways to router".
struct RouterInterfaceRoutes: Sendable {
  let neutron: NeutronAPI

  var endpoints: [Endpoint] {
    func action(
      _ name: String, _ summary: String, _ handler: @escaping @Sendable (APIRequest) async throws -> APIResponse
    ) -> Endpoint {
      Endpoint(.put, "/v2.0/routers/{router}/\(name)", .member("router:\(name)"), summary, handler: handler)
    }
    return [
      action("add_router_interface", "Leads a router into a subnet", addInterface),
      action("remove_router_interface", "Takes a router out of a subnet", removeInterface),
      action("add_extraroutes", "Adds routes") { request in
        try await changeRoutes(request, rule: "add_extraroutes") { have, named in
          have + named.filter { !have.contains($0) }
        }
      },
      action("remove_extraroutes", "Removes routes") { request in
        try await changeRoutes(request, rule: "remove_extraroutes") { have, named in
          have.filter { !named.contains($0) }
        }
      },
      action("add_external_gateways", "Adds external gateways", addGateways),
      action("update_external_gateways", "Replaces the external gateways", updateGateways),
      action("remove_external_gateways", "Removes external gateways", removeGateways),
    ]
  }

  /// What the client names: a port, a subnet, or for a removal both.
  private struct Place {
    var port: String?
    var subnet: String?
    init(_ request: APIRequest, isRemoval: Bool) async throws {
      let object = try await request.object()
      func id(_ name: String) throws -> String? {
        guard let value = object[name] else { return nil }
        guard let text = value.string, Identifier.isUUID(text) else {
          throw APIError.badRouter("'\(value.description.prefix(60))' is not a valid UUID")
        }
        return text
      }
      (port, subnet) = (try id("port_id"), try id("subnet_id"))
      if port == nil && subnet == nil { throw APIError.badRouter("Either subnet_id or port_id must be specified") }
      if !isRemoval, port != nil, subnet != nil {
        throw APIError.badRouter("Cannot specify both subnet-id and port-id")
      }
    }
  }

  private static func answer(_ router: Router, _ port: NetworkPort, _ subnets: [String]) -> APIResponse {
    APIResponse(
      json: [
        "id": .string(router.id), "tenant_id": .string(port.projectID), "project_id": .string(port.projectID),
        "port_id": .string(port.id), "network_id": .string(port.networkID), "subnet_id": JSON(subnets.last),
        "subnet_ids": JSON(subnets),
      ])
  }

  private func addInterface(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id, now) = (try request.actor(), try request.parameter("router"), request.now)
    let place = try await Place(request, isRemoval: false)
    return try await neutron.database.write { session in
      var router = try RouterRoutes.changeable(id, actor, rule: "add_router_interface", session)
      let interface = RouterInterface(router: router, actor: actor, now: now, session: session)
      let (port, subnets) =
        if let id = place.port { try interface.add(port: id) } else { try interface.add(subnet: place.subnet ?? "") }
      try RouterStore.update(&router, at: now, in: session)
      try neutron.routing(session)
      return Self.answer(router, port, subnets)
    }
  }
  private func removeInterface(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id, now) = (try request.actor(), try request.parameter("router"), request.now)
    let place = try await Place(request, isRemoval: true)
    return try await neutron.database.write { session in
      var router = try RouterRoutes.changeable(id, actor, rule: "remove_router_interface", session)
      let interface = RouterInterface(router: router, actor: actor, now: now, session: session)
      let (port, subnets) =
        if let id = place.port {
          try interface.remove(port: id, subnet: place.subnet)
        } else {
          try interface.remove(subnet: place.subnet ?? "")
        }
      try RouterStore.update(&router, at: now, in: session)
      try neutron.routing(session)
      return Self.answer(router, port, subnets)
    }
  }

  private func changeRoutes(
    _ request: APIRequest, rule: String,
    _ change: @escaping @Sendable ([Router.Route], [Router.Route]) -> [Router.Route]
  ) async throws -> APIResponse {
    let (actor, id, now) = (try request.actor(), try request.parameter("router"), request.now)
    let body = try await AttributeReader.body(request, "router")
    let changed = try await neutron.database.write { session in
      var router = try RouterRoutes.changeable(id, actor, rule: rule, session)
      router.routes = change(router.routes, try RouterRoutes.routes(body))
      guard router.routes.count <= 30 else {
        throw APIError.badRequest(
          "Unable to complete operation for \(id). The number of routes exceeds the maximum 30.")
      }
      try RouterSubnets(router: router, session: session).requireRoutes()
      try RouterStore.update(&router, at: now, in: session)
      try neutron.routing(session)
      return router
    }
    return RouterRoutes.view(for: actor).show(changed, request)
  }

  // External gateways.

  private func addGateways(_ request: APIRequest) async throws -> APIResponse {
    try await changeGateways(request, rule: "add_external_gateways") { router, drafts, gateway in
      for draft in drafts {
        if router.gateways.isEmpty { try gateway.set(draft, of: &router) } else { try gateway.add(draft, to: &router) }
      }
    }
  }
  private func removeGateways(_ request: APIRequest) async throws -> APIResponse {
    try await changeGateways(request, rule: "remove_external_gateways") { router, drafts, gateway in
      for draft in drafts {
        let found = router.gateways.filter { draft.names($0) }
        guard let first = found.first, found.count == 1 || draft.addresses?.isEmpty == false else {
          throw Self.unmatched(router)
        }
        try gateway.remove(first, from: &router)
      }
    }
  }
  /// The list becomes the router's gateways; those that it names keep their ports.
  private func updateGateways(_ request: APIRequest) async throws -> APIResponse {
    try await changeGateways(request, rule: "update_external_gateways") { router, drafts, gateway in
      var kept: Set<String> = []
      var missing: [GatewayDraft] = []
      for draft in drafts {
        guard let have = router.gateways.first(where: { !kept.contains($0.portID) && draft.names($0) }) else {
          missing.append(draft)
          continue
        }
        kept.insert(have.portID)
        if draft.differs(from: have) { try gateway.readdress(have, draft, of: &router) }
      }
      // The new ones first, so that floating IPs keep a gateway.
      for draft in missing {
        let before = Set(router.gateways.map(\.portID))
        if before.isEmpty { try gateway.set(draft, of: &router) } else { try gateway.add(draft, to: &router) }
        kept.formUnion(router.gateways.map(\.portID).filter { !before.contains($0) })
      }
      for port in router.gateways where !kept.contains(port.portID) { try gateway.remove(port, from: &router) }
      if let draft = drafts.first { try gateway.setSNAT(draft, ofAllOf: &router) }
    }
  }
  private static func unmatched(_ router: Router) -> APIError {
    APIError(
      .badRequest, "Unable to match a requested gateway port to existing gateway ports for router \(router.id)",
      type: "UnableToMatchGateways")
  }

  private func changeGateways(
    _ request: APIRequest, rule: String,
    _ change: @escaping @Sendable (inout Router, [GatewayDraft], RouterGateway) throws -> Void
  ) async throws -> APIResponse {
    let (actor, id, now) = (try request.actor(), try request.parameter("router"), request.now)
    let body = try await AttributeReader.body(request, "router")
    // (`router unset --external-gateway` sends an empty dictionary for no gateways, and then unsets the gateway)
    let given = body.isEmptyDictionary("external_gateways") ? [] : try body.objects("external_gateways", most: 16)
    let drafts = try (given ?? []).map {
      try GatewayDraft($0, what: "external_gateways")
    }
    let changed = try await neutron.database.write { session in
      var router = try RouterRoutes.changeable(id, actor, rule: rule, session)
      try change(&router, drafts, RouterGateway(actor: actor, rule: rule, now: now, session: session))
      try RouterSubnets(router: router, session: session).requireRoutes()
      try RouterStore.update(&router, at: now, in: session)
      try neutron.routing(session)
      return router
    }
    return RouterRoutes.view(for: actor).show(changed, request)
  }
}
