import APISupport
import Domain
import Store
import Wire

/// `/v2.0/subnets`. Source: Neutron API reference, "Subnets".
struct SubnetRoutes: Sendable {
  let neutron: NeutronAPI

  var endpoints: [Endpoint] {
    [
      Endpoint(.get, "/v2.0/subnets", .authenticated, "Lists subnets", handler: list),
      Endpoint(.post, "/v2.0/subnets", .member("subnet:create"), "Makes subnets", handler: create),
      Endpoint(.get, "/v2.0/subnets/{subnet}", .authenticated, "Shows a subnet", handler: show),
      Endpoint(.put, "/v2.0/subnets/{subnet}", .member("subnet:update"), "Changes a subnet", handler: update),
      Endpoint(.delete, "/v2.0/subnets/{subnet}", .member("subnet:delete"), "Deletes a subnet", handler: delete),
    ]
  }

  static let view = ResourceView<Subnet>(
    singular: "subnet", plural: "subnets", path: "/v2.0/subnets", id: { $0.id },
    attributes: [
      .text("id") { $0.id }, .text("name") { $0.name }, .text("description") { $0.description },
      .text("tenant_id") { $0.projectID }, .text("project_id") { $0.projectID }, .text("network_id") { $0.networkID },
      .int("ip_version") { $0.version }, .text("cidr") { $0.cidr.description },
      .optionalText("gateway_ip") { $0.gateway?.description }, .bool("enable_dhcp") { $0.isDHCPEnabled },
      .json("allocation_pools") { subnet in
        .array(subnet.pools.map { ["start": .string($0.start.description), "end": .string($0.end.description)] })
      },
      // Lists always: metalsmith dies of a null.
      .strings("dns_nameservers") { $0.dnsNameservers },
      .json("host_routes") { subnet in
        .array(subnet.hostRoutes.map { ["destination": .string($0.destination), "nexthop": .string($0.nextHop)] })
      },
      .json("ipv6_address_mode") { _ in nil }, .json("ipv6_ra_mode") { _ in nil },
      .optionalText("subnetpool_id") { $0.poolID },
      .json("segment_id") { _ in nil }, .json("service_types") { _ in [] },
      .bool("dns_publish_fixed_ip") { _ in false },
      .strings("tags") { $0.tags }, .int("revision_number") { $0.revision }, .time("created_at") { $0.createdAt },
      .time("updated_at") { $0.updatedAt },
    ], ownFilters: TagFilter.names.union(["shared"]))

  private func list(_ request: APIRequest) async throws -> APIResponse {
    let actor = try request.actor()
    let query = request.query
    let isShared = try query.bool("shared")
    let subnets = try await neutron.database.read { session in
      try SubnetStore.list(in: session) { sql in
        sql.append("WHERE 1 = 1")
        sql.appendSubnets(in: NetworkPolicy.scope(actor))
        if let isShared {
          sql.appendShared(isShared ? "AND network_id IN" : "AND network_id NOT IN", with: actor.projectID)
        }
        sql.appendFilter("AND id IN", query.all("id"))
        sql.appendFilter("AND name IN", query.all("name"))
        sql.appendFilter("AND network_id IN", query.all("network_id"))
        sql.append("ORDER BY created_at, id")
      }
    }
    let tags = TagFilter(query)
    return try Self.view.list(subnets.filter { tags.matches($0.tags) }, request)
  }

  private func show(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id) = (try request.actor(), try request.parameter("subnet"))
    let (subnet, _) = try await neutron.database.read { session in try Lookup.subnet(id, actor, session) }
    return Self.view.show(subnet, request)
  }

  private static let settable: Set<String> = [
    "name", "description", "gateway_ip", "enable_dhcp", "allocation_pools", "dns_nameservers", "host_routes",
    "dns_publish_fixed_ip", "service_types",
  ]
  private static let onlyAtFirst: Set<String> = [
    "project_id", "tenant_id", "network_id", "ip_version", "cidr", "tags", "ipv6_address_mode", "ipv6_ra_mode",
    "subnetpool_id",
    "prefixlen", "segment_id", "use_default_subnetpool",
  ]
  private static let known = settable.union(onlyAtFirst).union(view.attributes.map { "\($0.name)" })

  private func create(_ request: APIRequest) async throws -> APIResponse {
    let actor = try request.actor()
    let now = request.now
    let (bodies, isBulk) = try await AttributeReader.bodies(request, "subnet", "subnets")
    let made = try await neutron.database.write { session in
      try neutron.routing(session)
      return try bodies.map { body in
        try body.check(allowed: Self.settable.union(Self.onlyAtFirst), known: Self.known, verb: "POST")
        guard let networkID = try body.text("network_id") else {
          throw APIError.badRequest("Failed to parse request. Required attribute 'network_id' not specified")
        }
        let network = try Lookup.network(networkID, actor, session)
        guard NetworkPolicy.mayChange(network, actor) else {
          throw APIError.disallowed("create_subnet", "the network belongs to another project.")
        }
        var project = try body.project(actor, rule: "create_subnet")
        // The administrator's subnet on a tenant's network is the tenant's, unless said otherwise.
        if actor.isSiteAdmin, !body.has("project_id"), !body.has("tenant_id") { project = network.projectID }
        try neutron.requireQuota(.subnets, project: project, in: session)
        let others = try SubnetStore.list(network: networkID, in: session)
        let (cidr, pool) = try CIDRChoice(
          body: body, network: network, project: project, actor: actor, others: others
        ).choose(in: session)
        var subnet = try parsed(body, cidr, network: network, project: project, now: now)
        subnet.poolID = pool
        for other in others where other.cidr.overlaps(subnet.cidr) {
          throw APIError.invalid(
            "Requested subnet with cidr: \(subnet.cidr) for network: \(networkID) overlaps with another subnet: \(other.cidr)."
          )
        }
        try network.requireRoom(for: subnet)
        try SubnetStore.insert(subnet, in: session)
        subnet.tags = Set(subnet.tags).sorted()
        return subnet
      }
    }
    return isBulk ? Self.view.made(made) : Self.view.show(made[0], request, status: .created)
  }

  private func parsed(
    _ body: AttributeReader, _ cidr: CIDR, network: Network, project: String, now: Timestamp
  ) throws -> Subnet {
    for name in ["ipv6_address_mode", "ipv6_ra_mode", "segment_id"] where try body.text(name) != nil {
      throw APIError.invalid("\(name) is not offered: machines get their addresses by config drive.")
    }
    guard cidr.hosts.start <= cidr.hosts.end, cidr.prefix > 0 else {
      throw APIError.invalid("the cidr \(cidr) has no room for machines.")
    }
    var subnet = Subnet(
      networkID: network.id, projectID: project, name: "", cidr: cidr,
      gateway: body.object["gateway_ip"] == nil ? Subnet.defaultGateway(cidr) : nil, pools: [], createdAt: now)
    subnet.tags = try body.tags() ?? []
    try apply(body, to: &subnet)
    if body.object["gateway_ip"] == nil, try body.objects("allocation_pools") != nil,
      let gateway = subnet.gateway, subnet.pools.contains(where: { $0.contains(gateway) })
    {
      throw APIError.conflict(
        "Gateway ip \(gateway) conflicts with allocation pool "
          + "\(subnet.pools.first { $0.contains(gateway) }?.description ?? ""). Name another gateway_ip, or null for none.",
        type: "GatewayConflictWithAllocationPools")
    }
    if try body.objects("allocation_pools") == nil { subnet.pools = Subnet.defaultPools(cidr, gateway: subnet.gateway) }
    try refuse(subnet.problem())
    return subnet
  }

  private func refuse(_ problem: Subnet.Problem?) throws {
    guard let problem else { return }
    switch problem.kind {
    case .invalid: throw APIError.invalid(problem.message)
    case .conflict: throw APIError.conflict(problem.message, type: "OverlappingAllocationPools")
    case .gatewayInPool: throw APIError.conflict(problem.message, type: "GatewayConflictWithAllocationPools")
    }
  }

  private func apply(_ body: AttributeReader, to subnet: inout Subnet) throws {
    if let name = try body.text("name") { subnet.name = name }
    if let text = try body.text("description") { subnet.description = text }
    if let flag = try body.bool("enable_dhcp") { subnet.isDHCPEnabled = flag }
    if let types = try body.strings("service_types"), !types.isEmpty {
      throw APIError.invalid("service_types are not offered.")
    }
    func address(_ text: String, _ what: String) throws -> IPAddress {
      guard let address = IPAddress(text) else {
        throw APIError.invalid("'\(text)' is not a valid IP address (\(what)).")
      }
      return address
    }
    if let gateway = body.object["gateway_ip"] {
      subnet.gateway = try gateway.isNull ? nil : address(try body.text("gateway_ip") ?? "", "gateway_ip")
    }
    if let servers = try body.strings("dns_nameservers", most: 5) {
      subnet.dnsNameservers = try servers.map { try address($0, "dns_nameservers").description }
      guard Set(subnet.dnsNameservers).count == servers.count else {
        throw APIError.invalid("a name server is named twice.")
      }
    }
    if let routes = try body.objects("host_routes", most: 20) {
      subnet.hostRoutes = try routes.map { route in
        guard let destination = route["destination"]?.string.flatMap({ CIDR($0) }),
          destination.version == subnet.version,
          let next = route["nexthop"]?.string, let nextHop = IPAddress(next), nextHop.version == subnet.version
        else { throw APIError.invalid("a host route is {\"destination\": CIDR, \"nexthop\": address}.") }
        return Subnet.Route(destination: destination.description, nextHop: nextHop.description)
      }
    }
    if let pools = try body.objects("allocation_pools", most: 20) {
      subnet.pools = try pools.map { pool in
        guard let start = pool["start"]?.string, let end = pool["end"]?.string else {
          throw APIError.invalid("an allocation pool is {\"start\": address, \"end\": address}.")
        }
        return AddressPool(try address(start, "allocation_pools"), try address(end, "allocation_pools"))
      }
    }
  }

  private func update(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id, now) = (try request.actor(), try request.parameter("subnet"), request.now)
    let body = try await AttributeReader.body(request, "subnet")
    try body.check(allowed: Self.settable, known: Self.known, verb: "PUT")
    let changed = try await neutron.database.write { session in
      var subnet = try changeable(id, actor, rule: "update_subnet", session)
      try request.requireRevision(subnet.revision)
      let gateway = subnet.gateway
      try apply(body, to: &subnet)
      if let gateway, gateway != subnet.gateway,
        let port = try RouterStore.interface(at: gateway, of: id, in: session)
      {
        throw APIError.conflict(
          "Current gateway ip \(gateway) already in use by port \(port). Unable to update.", type: "GatewayIpInUse")
      }
      try refuse(subnet.problem())
      try SubnetStore.update(&subnet, at: now, in: session)
      try neutron.routing(session)
      return subnet
    }
    return Self.view.show(changed, request)
  }

  private func delete(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id) = (try request.actor(), try request.parameter("subnet"))
    try await neutron.database.write { session in
      let subnet = try changeable(id, actor, rule: "delete_subnet", session)
      try request.requireRevision(subnet.revision)
      guard try !SubnetStore.isInUse(id, in: session) else {
        throw APIError.conflict(
          "Unable to complete operation on subnet \(id): One or more ports have an IP allocation from this subnet.",
          type: "SubnetInUse")
      }
      try SubnetStore.delete(id, in: session)
      try neutron.routing(session)
    }
    return .noContent
  }

  private func changeable(_ id: String, _ actor: Actor, rule: String, _ session: any Session) throws -> Subnet {
    let (subnet, network) = try Lookup.subnet(id, actor, session)
    guard NetworkPolicy.mayChange(subnet, on: network, actor) else {
      throw APIError.disallowed(rule, "the network belongs to another project.")
    }
    return subnet
  }
}
