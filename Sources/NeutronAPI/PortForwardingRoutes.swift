import APISupport
import Domain
import Store
import Wire

/// `/v2.0/floatingips/{id}/port_forwardings`. Source: Neutron API reference, "Floating IPs port forwarding".
struct PortForwardingRoutes: Sendable {
  let neutron: NeutronAPI

  private static let path = "/v2.0/floatingips/{floatingip}/port_forwardings"
  var endpoints: [Endpoint] {
    [
      Endpoint(.get, Self.path, .authenticated, "Lists port forwardings", handler: list),
      Endpoint(.post, Self.path, .member("port_forwarding:create"), "Makes port forwardings", handler: create),
      Endpoint(.get, Self.path + "/{forwarding}", .authenticated, "Shows a port forwarding", handler: show),
      Endpoint(
        .put, Self.path + "/{forwarding}", .member("port_forwarding:update"), "Changes a port forwarding",
        handler: update),
      Endpoint(
        .delete, Self.path + "/{forwarding}", .member("port_forwarding:delete"), "Deletes a port forwarding",
        handler: delete),
    ]
  }

  static let view = ResourceView<PortForwarding>(
    singular: "port_forwarding", plural: "port_forwardings", path: "/v2.0/floatingips", id: { $0.id },
    attributes: [
      .text("id") { $0.id }, .text("protocol") { $0.transport.rawValue },
      .text("internal_ip_address") { $0.internalAddress.description }, .text("internal_port_id") { $0.portID },
      .json("internal_port") { single($0.internalPorts) }, .json("external_port") { single($0.externalPorts) },
      .text("internal_port_range") { words($0.internalPorts) },
      .text("external_port_range") { words($0.externalPorts) }, .text("description") { $0.description },
    ], ownFilters: ["external_port", "internal_port"])

  /// What a floating IP shows of one. Source: `expose-port-forwarding-in-fip`, `floating-ip-port-forwarding-detail`.
  static func summary(_ forwarding: PortForwarding) -> JSON {
    [
      "id": .string(forwarding.id), "protocol": .string(forwarding.transport.rawValue),
      "internal_ip_address": .string(forwarding.internalAddress.description),
      "internal_port_id": .string(forwarding.portID), "internal_port": single(forwarding.internalPorts),
      "external_port": single(forwarding.externalPorts),
    ]
  }
  /// Null for a run of several ports.
  private static func single(_ ports: ClosedRange<Int>) -> JSON {
    ports.count == 1 ? .int(ports.lowerBound) : nil
  }
  private static func words(_ ports: ClosedRange<Int>) -> String { "\(ports.lowerBound):\(ports.upperBound)" }

  private func list(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id) = (try request.actor(), try request.parameter("floatingip"))
    let query = request.query
    let found = try await neutron.database.read { session in
      try PortForwardingStore.list(floatingIP: try Lookup.floatingIP(id, actor, session).id, in: session)
    }
    func matches(_ name: String, _ ports: ClosedRange<Int>) -> Bool {
      let wanted = query.all(name)
      return wanted.isEmpty || wanted.contains { Int($0).map { $0...$0 == ports } ?? false }
    }
    let shown = found.filter {
      matches("external_port", $0.externalPorts) && matches("internal_port", $0.internalPorts)
    }
    return try Self.view.list(shown, request)
  }
  private func show(_ request: APIRequest) async throws -> APIResponse {
    let actor = try request.actor()
    let found = try await neutron.database.read { session in try Self.find(request, actor, session) }
    return Self.view.show(found.forwarding, request)
  }
  private static func find(
    _ request: APIRequest, _ actor: Actor, _ session: any Session
  ) throws -> (floatingIP: FloatingIP, forwarding: PortForwarding) {
    let (parent, id) = (try request.parameter("floatingip"), try request.parameter("forwarding"))
    let floatingIP = try Lookup.floatingIP(parent, actor, session)
    guard let forwarding = try PortForwardingStore.get(id, in: session), forwarding.floatingIPID == parent else {
      throw APIError.notFound("Port Forwarding \(id) could not be found.", type: "PortForwardingNotFound")
    }
    return (floatingIP, forwarding)
  }

  private static let settable: Set<String> = [
    "protocol", "internal_ip_address", "internal_port_id", "internal_port", "external_port", "internal_port_range",
    "external_port_range", "description", "project_id", "tenant_id",
  ]

  private func create(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id, now) = (try request.actor(), try request.parameter("floatingip"), request.now)
    let (bodies, isBulk) = try await AttributeReader.bodies(request, "port_forwarding", "port_forwardings")
    let made = try await neutron.database.write { session in
      let made = try bodies.map { body in
        var floatingIP = try FloatingIPRoutes.changeable(
          id, actor, rule: "create_floatingip_port_forwarding", session)
        try body.check(allowed: Self.settable, known: ["id"], verb: "POST")
        let forwarding = try PortForwardingDraft(body: body, actor: actor, session: session)
          .made(for: &floatingIP, at: now)
        try PortForwardingStore.insert(forwarding, in: session)
        return forwarding
      }
      try neutron.routing(session)
      return made
    }
    return isBulk ? Self.view.made(made) : Self.view.show(made[0], request, status: .created)
  }

  private func update(_ request: APIRequest) async throws -> APIResponse {
    let (actor, now) = (try request.actor(), request.now)
    let body = try await AttributeReader.body(request, "port_forwarding")
    let changed = try await neutron.database.write { session in
      var (floatingIP, forwarding) = try Self.find(request, actor, session)
      guard NetworkPolicy.mayChange(floatingIP, actor) else {
        throw APIError.disallowed("update_floatingip_port_forwarding", "the floating IP belongs to another project.")
      }
      try body.check(allowed: Self.settable, known: ["id"], verb: "PUT")
      forwarding = try PortForwardingDraft(body: body, actor: actor, session: session)
        .changed(forwarding, of: &floatingIP, at: now)
      try PortForwardingStore.update(forwarding, in: session)
      try neutron.routing(session)
      return forwarding
    }
    return Self.view.show(changed, request)
  }

  private func delete(_ request: APIRequest) async throws -> APIResponse {
    let actor = try request.actor()
    try await neutron.database.write { session in
      let (floatingIP, forwarding) = try Self.find(request, actor, session)
      guard NetworkPolicy.mayChange(floatingIP, actor) else {
        throw APIError.disallowed("delete_floatingip_port_forwarding", "the floating IP belongs to another project.")
      }
      try PortForwardingStore.delete(forwarding.id, in: session)
      try neutron.routing(session)
    }
    return .noContent
  }
}
