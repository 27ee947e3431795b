import APISupport
import Domain
import Store
import Wire

/// `/v2.0/floatingips`. Source: Neutron API reference, "Floating IPs (floatingips)".
struct FloatingIPRoutes: Sendable {
  let neutron: NeutronAPI

  var endpoints: [Endpoint] {
    [
      Endpoint(.get, "/v2.0/floatingips", .authenticated, "Lists floating IPs", handler: list),
      Endpoint(.post, "/v2.0/floatingips", .member("floatingip:create"), "Makes floating IPs", handler: create),
      Endpoint(.get, "/v2.0/floatingips/{floatingip}", .authenticated, "Shows a floating IP", handler: show),
      Endpoint(
        .put, "/v2.0/floatingips/{floatingip}", .member("floatingip:update"), "Leads a floating IP elsewhere",
        handler: update),
      Endpoint(
        .delete, "/v2.0/floatingips/{floatingip}", .member("floatingip:delete"), "Deletes a floating IP",
        handler: delete),
    ]
  }

  /// A floating IP with what is shown of others.
  struct Shown: Sendable {
    let floatingIP: FloatingIP
    /// The port that it leads to.
    let port: NetworkPort?
    let forwardings: [PortForwarding]
  }

  static let view = ResourceView<Shown>(
    singular: "floatingip", plural: "floatingips", path: "/v2.0/floatingips", id: { $0.floatingIP.id },
    attributes: attributes.map { $0.of { (shown: Shown) in shown.floatingIP } } + [
      .json("port_details") { shown in
        shown.port.map { port in
          [
            "name": .string(port.name), "network_id": .string(port.networkID), "mac_address": .string(port.macAddress),
            "admin_state_up": .bool(port.isAdminStateUp), "status": .string(port.status.rawValue),
            "device_id": .string(port.deviceID), "device_owner": .string(port.deviceOwner),
          ]
        } ?? .null
      },
      .json("port_forwardings") { shown in .array(shown.forwardings.map { PortForwardingRoutes.summary($0) }) },
    ], ownFilters: TagFilter.names)
  private static let attributes: [Attribute<FloatingIP>] = [
    .text("id") { $0.id }, .text("floating_ip_address") { $0.address.description },
    .text("floating_network_id") { $0.networkID }, .optionalText("router_id") { $0.routerID },
    .optionalText("port_id") { $0.association?.portID },
    .optionalText("fixed_ip_address") { $0.association?.fixedAddress.description },
    .text("tenant_id") { $0.projectID }, .text("project_id") { $0.projectID }, .text("status") { $0.status.rawValue },
    .text("description") { $0.description }, .text("dns_name") { $0.dnsName }, .text("dns_domain") { $0.dnsDomain },
    .json("qos_policy_id") { _ in nil }, .strings("tags") { $0.tags }, .int("revision_number") { $0.revision },
    .time("created_at") { $0.createdAt }, .time("updated_at") { $0.updatedAt },
  ]

  private static func shown(_ floatingIPs: [FloatingIP], in session: any Session) throws -> [Shown] {
    let ids = floatingIPs.compactMap { $0.association?.portID }
    let ports = ids.isEmpty ? [:] : try NetworkPortStore.byID(ids, in: session)
    let forwardings = try PortForwardingStore.of(
      floatingIPs: floatingIPs.filter { $0.association == nil && $0.routerID != nil }.map(\.id), in: session)
    return floatingIPs.map { floatingIP in
      Shown(
        floatingIP: floatingIP, port: floatingIP.association.flatMap { ports[$0.portID] },
        forwardings: forwardings[floatingIP.id] ?? [])
    }
  }

  private func list(_ request: APIRequest) async throws -> APIResponse {
    let actor = try request.actor()
    let query = request.query
    let shown = try await neutron.database.read { session in
      let found = try FloatingIPStore.list(in: session) { sql in
        sql.append("WHERE 1 = 1")
        sql.appendOwned(in: NetworkPolicy.scope(actor))
        sql.appendFilter("AND id IN", query.all("id"))
        sql.appendFilter("AND address IN", query.all("floating_ip_address"))
        sql.appendFilter("AND network_id IN", query.all("floating_network_id"))
        sql.append("ORDER BY created_at, id")
      }
      let tags = TagFilter(query)
      return try Self.shown(found.filter { tags.matches($0.tags) }, in: session)
    }
    return try Self.view.list(shown, request)
  }

  private func show(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id) = (try request.actor(), try request.parameter("floatingip"))
    let shown = try await neutron.database.read { session in
      try Self.shown([try Lookup.floatingIP(id, actor, session)], in: session)
    }
    return Self.view.show(shown[0], request)
  }

  private static let settable: Set<String> = [
    "description", "port_id", "fixed_ip_address", "qos_policy_id",
  ]
  private static let onlyAtFirst: Set<String> = [
    "project_id", "tenant_id", "floating_network_id", "floating_ip_address", "subnet_id", "tags", "dns_name",
    "dns_domain",
  ]
  private static let known = settable.union(onlyAtFirst).union(view.attributes.map { "\($0.name)" })

  private func create(_ request: APIRequest) async throws -> APIResponse {
    let actor = try request.actor()
    let now = request.now
    let (bodies, isBulk) = try await AttributeReader.bodies(request, "floatingip", "floatingips")
    let made = try await neutron.database.write { session in
      let made = try bodies.map { body in
        try body.check(allowed: Self.settable.union(Self.onlyAtFirst), known: Self.known, verb: "POST")
        guard let networkID = try body.text("floating_network_id") else {
          throw APIError.badRequest("Failed to parse request. Required attribute 'floating_network_id' not specified")
        }
        let network = try Lookup.network(networkID, actor, session)
        let project = try body.project(actor, rule: "create_floatingip")
        try neutron.requireQuota(.floatingIPs, project: project, in: session)
        return try make(body, on: network, project: project, actor: actor, now: now, in: session)
      }
      try neutron.routing(session)
      return try Self.shown(made, in: session)
    }
    return isBulk ? Self.view.made(made) : Self.view.show(made[0], request, status: .created)
  }

  private func make(
    _ body: AttributeReader, on network: Network, project: String, actor: Actor, now: Timestamp,
    in session: any Session
  ) throws -> FloatingIP {
    guard network.isExternal else {
      throw APIError.badFloatingIP("Network \(network.id) is not a valid external network")
    }
    let all = try SubnetStore.list(network: network.id, in: session)
    let subnets = all.filter { $0.version == 4 }
    guard !subnets.isEmpty else {
      throw APIError.badFloatingIP("Network \(network.id) does not contain any IPv4 subnet")
    }
    let id = Identifier.uuid()
    var holder = NetworkPort(
      networkID: network.id, projectID: "", name: "",
      macAddress: try NetworkPortStore.newMACAddress(on: network.id, in: session), deviceID: id,
      deviceOwner: FloatingIP.deviceOwner, createdAt: now)
    holder.fixedIPs = try addresses(body, holder: holder, network: network, subnets: subnets, actor: actor, in: session)
    guard let address = holder.fixedIPs.first?.address, address.version == 4 else {
      throw APIError(
        .badRequest, "Unable to find any IP address on external network \(network.id).",
        type: "ExternalIpAddressExhausted")
    }
    try NetworkPortStore.insert(holder, in: session)
    var floatingIP = FloatingIP(
      id: id, projectID: project, networkID: network.id, address: address, holderPortID: holder.id, createdAt: now)
    try apply(body, to: &floatingIP)
    floatingIP.dnsName = try body.text("dns_name") ?? ""
    floatingIP.dnsDomain = try body.text("dns_domain") ?? ""
    floatingIP.tags = Set(try body.tags() ?? []).sorted()
    try FloatingIPLead(actor: actor, session: session).apply(body, to: &floatingIP)
    try FloatingIPStore.insert(floatingIP, in: session)
    return floatingIP
  }

  private func addresses(
    _ body: AttributeReader, holder: NetworkPort, network: Network, subnets: [Subnet], actor: Actor,
    in session: any Session
  ) throws -> [NetworkPort.FixedIP] {
    var asked = JSONObject()
    if let subnet = try body.text("subnet_id") { asked["subnet_id"] = .string(subnet) }
    if let text = try body.text("floating_ip_address") {
      guard NetworkPolicy.mayChooseFloatingAddress(actor) else {
        throw APIError.disallowed(
          "create_floatingip:floating_ip_address", "a manager of the project or the administrator chooses it.")
      }
      asked["ip_address"] = .string(text)
    }
    if asked.isEmpty { return try AddressChoice.any(network: network, subnets: subnets, in: session) }
    var choice = AddressChoice(
      port: holder, network: network, subnets: subnets, actor: actor, rule: "create_floatingip")
    choice.isChosenFreely = true
    return try choice.addresses([asked], keeping: [], in: session)
  }

  private func apply(_ body: AttributeReader, to floatingIP: inout FloatingIP) throws {
    if let text = try body.text("description") { floatingIP.description = text }
    if try body.text("qos_policy_id") != nil { throw APIError.invalid("qos_policy_id is not offered.") }
  }

  private func update(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id, now) = (try request.actor(), try request.parameter("floatingip"), request.now)
    let body = try await AttributeReader.body(request, "floatingip")
    try body.check(allowed: Self.settable, known: Self.known, verb: "PUT")
    let changed = try await neutron.database.write { session in
      var floatingIP = try Self.changeable(id, actor, rule: "update_floatingip", session)
      try request.requireRevision(floatingIP.revision)
      try apply(body, to: &floatingIP)
      try FloatingIPLead(actor: actor, session: session).apply(body, to: &floatingIP)
      try FloatingIPStore.update(&floatingIP, at: now, in: session)
      try neutron.routing(session)
      return try Self.shown([floatingIP], in: session)
    }
    return Self.view.show(changed[0], request)
  }

  private func delete(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id) = (try request.actor(), try request.parameter("floatingip"))
    try await neutron.database.write { session in
      let floatingIP = try Self.changeable(id, actor, rule: "delete_floatingip", session)
      try request.requireRevision(floatingIP.revision)
      guard try PortForwardingStore.list(floatingIP: id, in: session).isEmpty else {
        throw APIError.floatingIPForwards(id)
      }
      try FloatingIPStore.delete(floatingIP, in: session)
      try neutron.routing(session)
    }
    return .noContent
  }

  static func changeable(_ id: String, _ actor: Actor, rule: String, _ session: any Session) throws -> FloatingIP {
    let floatingIP = try Lookup.floatingIP(id, actor, session)
    guard NetworkPolicy.mayChange(floatingIP, actor) else {
      throw APIError.disallowed(rule, "the floating IP belongs to another project.")
    }
    return floatingIP
  }
}
