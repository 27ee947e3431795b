import APISupport
import Domain
import Store
import Wire

/// `/v2.0/ports`. Source: Neutron API reference, "Ports", "Port binding extended attributes".
struct PortRoutes: Sendable {
  let neutron: NeutronAPI

  var endpoints: [Endpoint] {
    [
      Endpoint(.get, "/v2.0/ports", .authenticated, "Lists ports", handler: list),
      Endpoint(.post, "/v2.0/ports", .member("port:create"), "Makes ports", handler: create),
      Endpoint(.get, "/v2.0/ports/{port}", .authenticated, "Shows a port", handler: show),
      Endpoint(.put, "/v2.0/ports/{port}", .member("port:update"), "Changes a port", handler: update),
      Endpoint(.delete, "/v2.0/ports/{port}", .member("port:delete"), "Deletes a port", handler: delete),
    ]
  }

  static let view = ResourceView<NetworkPort>(
    singular: "port", plural: "ports", path: "/v2.0/ports", id: { $0.id },
    attributes: [
      .text("id") { $0.id }, .text("name") { $0.name }, .text("description") { $0.description },
      .text("tenant_id") { $0.projectID }, .text("project_id") { $0.projectID }, .text("network_id") { $0.networkID },
      .bool("admin_state_up") { $0.isAdminStateUp }, .text("status") { $0.status.rawValue },
      .text("mac_address") { $0.macAddress },
      .written("fixed_ips") { port, writer in
        writer.beginArray()
        for fixed in port.fixedIPs {
          writer.beginObject()
          writer.member("subnet_id", fixed.subnetID)
          writer.member("ip_address", fixed.address.description)
          writer.endObject()
        }
        writer.endArray()
      },
      .text("device_id") { $0.deviceID }, .text("device_owner") { $0.deviceOwner },
      .text("binding:host_id") { $0.bindingHostID }, .text("binding:vnic_type") { $0.vnicType },
      .json("binding:profile") { .object($0.bindingProfile) }, .constant("binding:vif_details", "{}"),
      // Neutron's word for a port of an Ironic node that a switch driver has wired.
      .text("binding:vif_type") { $0.bindingHostID.isEmpty ? "unbound" : "other" },
      .bool("port_security_enabled") { $0.isPortSecurityEnabled }, .strings("security_groups") { $0.securityGroupIDs },
      .json("allowed_address_pairs") { json($0.addressPairs, of: $0.macAddress) },
      .constant("extra_dhcp_opts", "[]"),
      .json("trunk_details") { $0.trunk.map { TrunkRoutes.details($0) } ?? .null },
      .text("dns_name") { $0.dnsName }, .strings("tags") { $0.tags }, .int("revision_number") { $0.revision },
      .time("created_at") { $0.createdAt }, .time("updated_at") { $0.updatedAt },
    ], ownFilters: TagFilter.names.union(["fixed_ips", "ip_address"]),
    // A network's owner sees others' ports on it, and not where their machines are wired. Upstream: `get_port:binding:profile`.
    sitesOwn: ["binding:profile"])

  /// - Parameter mac: the port's, which a pair without one has.
  static func json(_ pairs: [AddressPair], of mac: String) -> JSON {
    .array(pairs.map { ["ip_address": .string($0.text), "mac_address": .string($0.mac?.description ?? mac)] })
  }

  private func list(_ request: APIRequest) async throws -> APIResponse {
    let actor = try request.actor()
    let query = request.query
    let wanted = try FixedIPFilter(query)
    let tags = TagFilter(query)
    let isShown: @Sendable (NetworkPort) -> Bool = { tags.matches($0.tags) && wanted.matches($0) }
    let narrow: @Sendable (inout Query) -> Void = { sql in
      sql.append("WHERE p.is_being_deleted = 0")
      sql.appendNetworkPorts(in: NetworkPolicy.scope(actor))
      sql.appendFilter("AND p.id IN", query.all("id"))
      sql.appendFilter("AND p.name IN", query.all("name"))
      sql.appendFilter("AND p.network_id IN", query.all("network_id"))
      sql.appendFilter("AND p.device_id IN", query.all("device_id"))
      sql.appendFilter("AND p.host_id IN", query.all("binding:host_id"))
      sql.appendFilter("AND p.device_owner IN", query.all("device_owner"))
      sql.appendFilter("AND p.mac_address IN", query.all("mac_address"))
      sql.appendFilter("AND p.project_id IN", query.all("project_id"))
    }
    // What is narrowed by the database alone, and comes in its order, needs no ports in between.
    let isNarrowed = query.allSatisfy { Self.narrowed.contains($0.name) }
    if isNarrowed, let rows = PortRows(Self.view.chosen(request), narrow: narrow) {
      return try await rows.answer(neutron.database)
    }
    let ports = try await neutron.database.read { session in
      try NetworkPortStore.list(in: session) { sql in
        narrow(&sql)
        sql.append("ORDER BY p.created_at, p.id")
      }
    }
    return try Self.view.list(ports.filter(isShown), request)
  }
  private static let narrowed: Set<String> = [
    "fields", "id", "name", "network_id", "device_id", "binding:host_id", "device_owner", "mac_address", "project_id",
  ]

  private func show(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id) = (try request.actor(), try request.parameter("port"))
    let (port, _) = try await neutron.database.read { session in try Lookup.port(id, actor, session) }
    return Self.view.show(port, request)
  }

  private static let settable: Set<String> = [
    "name", "description", "admin_state_up", "device_id", "device_owner", "fixed_ips", "mac_address", "binding:host_id",
    "binding:vnic_type", "binding:profile", "security_groups", "port_security_enabled", "allowed_address_pairs",
    "extra_dhcp_opts", "dns_name",
  ]
  private static let onlyAtFirst: Set<String> = ["project_id", "tenant_id", "network_id", "tags"]
  private static let known = settable.union(onlyAtFirst).union(view.attributes.map { "\($0.name)" })

  private func create(_ request: APIRequest) async throws -> APIResponse {
    let actor = try request.actor()
    let now = request.now
    let (bodies, isBulk) = try await AttributeReader.bodies(request, "port", "ports")
    let made = try await neutron.database.write { session in
      return try bodies.map { try make($0, actor, at: now, in: session) }
    }
    return isBulk ? Self.view.made(made) : Self.view.show(made[0], request, status: .created)
  }

  /// Makes one port, in the caller's transaction.
  func make(
    _ body: AttributeReader, _ actor: Actor, at now: Timestamp, in session: any Session
  ) throws -> NetworkPort {
    try neutron.routing(session)
    try body.check(allowed: Self.settable.union(Self.onlyAtFirst), known: Self.known, verb: "POST")
    guard let networkID = try body.text("network_id") else {
      throw APIError.badRequest("Failed to parse request. Required attribute 'network_id' not specified")
    }
    let network = try Lookup.network(networkID, actor, session)
    guard NetworkPolicy.mayAttach(to: network, actor) else {
      throw APIError.disallowed("create_port", "the network belongs to another project and is not shared.")
    }
    let project = try body.project(actor, rule: "create_port")
    try neutron.requireQuota(.ports, project: project, in: session)
    var port = NetworkPort(
      networkID: networkID, projectID: project, name: "",
      macAddress: try NetworkPortStore.newMACAddress(on: networkID, in: session), createdAt: now)
    try apply(body, to: &port, on: network, actor, rule: "create_port", in: session)
    let subnets = try SubnetStore.list(network: networkID, in: session)
    port.fixedIPs =
      if let asked = try body.objects("fixed_ips", most: 5) {
        try AddressChoice(port: port, network: network, subnets: subnets, actor: actor, rule: "create_port")
          .addresses(asked, keeping: [], in: session)
      } else {
        try AddressChoice.any(network: network, subnets: subnets, in: session)
      }
    port.tags = Set(try body.tags() ?? []).sorted()
    try PortSecurity(neutron: neutron, body: body, actor: actor, network: network, rule: "create_port")
      .start(&port, at: now, in: session)
    try NetworkPortStore.insert(port, in: session)
    try follow([], groups: port.groupsWithOtherMembers(than: nil), in: session)
    return port
  }

  private func apply(
    _ body: AttributeReader, to port: inout NetworkPort, on network: Network, _ actor: Actor, rule: String,
    in session: any Session
  ) throws {
    if let name = try body.text("name") { port.name = name }
    if let text = try body.text("description") { port.description = text }
    if let flag = try body.bool("admin_state_up") { port.isAdminStateUp = flag }
    if let id = try body.text("device_id") { port.deviceID = id }
    if let name = try body.text("dns_name", limit: 63) { port.dnsName = name }
    if let owner = try body.text("device_owner"), owner != port.deviceOwner {
      guard !owner.hasPrefix("network:") || NetworkPolicy.mayChooseAddresses(on: network, actor) else {
        throw APIError.disallowed("\(rule):device_owner", "'network:' is for the owner of the network.")
      }
      port.deviceOwner = owner
    }
    try applyBinding(body, to: &port, actor, rule: rule)
    if let text = try body.text("mac_address"), MACAddress(text)?.description != port.macAddress {
      // A group address passes, as upstream: a machine that is attached brings its own in any case.
      guard let mac = MACAddress(text), !["00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff"].contains(mac.description) else {
        throw APIError.invalid("'\(text)' is not a valid MAC address.")
      }
      guard NetworkPolicy.mayChooseAddresses(on: network, actor) else {
        throw APIError.disallowed("\(rule):mac_address", "only the owner of the network chooses addresses on it.")
      }
      guard try !NetworkPortStore.isTaken(mac, on: network.id, in: session) else {
        throw APIError.conflict(
          "Unable to complete operation for network \(network.id). The mac address \(mac) is in use.",
          type: "MacAddressInUse")
      }
      port.macAddress = mac.description
    }
    if try body.objects("extra_dhcp_opts")?.isEmpty == false {
      throw APIError.invalid("extra_dhcp_opts is not offered.")
    }
  }

  private func applyBinding(_ body: AttributeReader, to port: inout NetworkPort, _ actor: Actor, rule: String) throws {
    if let type = try body.text("binding:vnic_type") {
      guard ["normal", "baremetal"].contains(type) else {
        throw APIError.invalid("binding:vnic_type '\(type)' is not offered: 'normal' and 'baremetal' are.")
      }
      port.vnicType = type
    }
    // Upstream keeps the host for the administrator; metalsmith writes it with the tenant's token, and here it is a note
    // that decides nothing until the conductor binds the port.
    if let host = try body.text("binding:host_id") { port.bindingHostID = host }
    if let profile = body.object["binding:profile"] {
      let object = profile.object ?? JSONObject()
      guard object == port.bindingProfile || actor.isSiteAdmin else {
        throw APIError.disallowed("\(rule):binding:profile", "only the administrator writes it.")
      }
      port.bindingProfile = object
    }
  }

  private func update(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id, now) = (try request.actor(), try request.parameter("port"), request.now)
    let body = try await AttributeReader.body(request, "port")
    try body.check(allowed: Self.settable, known: Self.known, verb: "PUT")
    let changed = try await neutron.database.write { session in
      try change(id, body, actor, at: now, in: session) { try request.requireRevision($0.revision) }
    }
    return Self.view.show(changed, request)
  }

  /// Changes one port, in the caller's transaction.
  func change(
    _ id: String, _ body: AttributeReader, _ actor: Actor, at now: Timestamp, in session: any Session,
    checkRevision: (NetworkPort) throws -> Void = { _ in }
  ) throws -> NetworkPort {
    var (port, network) = try Lookup.port(id, actor, session)
    guard NetworkPolicy.mayChange(port, actor) else {
      throw APIError.disallowed("update_port", "the port belongs to another project.")
    }
    try checkRevision(port)
    let before = port
    try apply(body, to: &port, on: network, actor, rule: "update_port", in: session)
    if port.isBound, port.macAddress != before.macAddress || port.bindingHostID != before.bindingHostID {
      throw APIError.conflict(
        "Unable to complete operation on port \(id) for network \(network.id). A machine is attached to it; detach it first.",
        type: "PortBound")
    }
    if let asked = try body.objects("fixed_ips", most: 5) {
      port.fixedIPs = []
      try NetworkPortStore.setAddresses(of: port, in: session)
      let subnets = try SubnetStore.list(network: network.id, in: session)
      port.fixedIPs = try AddressChoice(
        port: port, network: network, subnets: subnets, actor: actor, rule: "update_port"
      )
      .addresses(asked, keeping: before.fixedIPs, in: session)
      try NetworkPortStore.setAddresses(of: port, in: session)
      try neutron.requireLeads(to: port, in: session)
    }
    if port.fixedIPs != before.fixedIPs || port.macAddress != before.macAddress || port.deviceID != before.deviceID
      || port.deviceOwner != before.deviceOwner
    {
      try neutron.requireOwn(before, in: session)
    }
    try neutron.routing(session)
    try PortSecurity(neutron: neutron, body: body, actor: actor, network: network, rule: "update_port")
      .change(&port, in: session)
    if port.securityGroupIDs != before.securityGroupIDs { try SecurityGroupStore.setGroups(of: port, in: session) }
    try NetworkPortStore.update(&port, at: now, in: session)
    let isOther = port.isAdminStateUp != before.isAdminStateUp || port.isFilteredOtherwise(than: before)
    try follow(port.isBound && isOther ? [id] : [], groups: port.groupsWithOtherMembers(than: before), in: session)
    guard port.isBound, isOther else { return port }
    return try NetworkPortStore.get(id, in: session) ?? port
  }

  /// Has the switches follow a change of `ports`, and of who is in `groups`.
  private func follow(_ ports: [String], groups: Set<String>, in session: any Session) throws {
    let all = Set(ports).union(try SecurityGroupStore.attachedPorts(naming: groups, in: session))
    if !all.isEmpty { try neutron.rewire(all.sorted(), session) }
  }

  private func delete(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id, now, requestID) = (
      try request.actor(), try request.parameter("port"), request.now, request.requestID
    )
    try await neutron.database.write { session in
      let (port, network) = try Lookup.port(id, actor, session)
      guard NetworkPolicy.mayDelete(port, on: network, actor) else {
        throw APIError.disallowed("delete_port", "the port belongs to another project.")
      }
      try request.requireRevision(port.revision)
      try neutron.requireOwn(port, in: session)
      try neutron.routing(session)
      try TrunkRoutes.requireNoTrunk(port, in: session)
      // Neutron deletes attached ports too. Their VLAN must not become another tenant's before the switch has let go.
      guard port.isBound else {
        try NetworkPortStore.delete(id, in: session)
        return try follow([], groups: Set(port.securityGroupIDs), in: session)
      }
      try NetworkPortStore.markBeingDeleted(id, at: now, in: session)
      try follow([], groups: Set(port.securityGroupIDs), in: session)
      // No NIC has it any more while it is being detached; then there is nothing to start.
      if try VIFStore.holder(of: id, in: session) != nil { try neutron.unplug(port, actor, requestID, session) }
    }
    return .noContent
  }
}

/// `fixed_ips=ip_address=A&fixed_ips=subnet_id=S`: one address must match all that is asked of its kind.
struct FixedIPFilter: Sendable {
  private var addresses: Set<IPAddress> = []
  private var subnets: Set<String> = []
  private var prefixes: [String] = []
  private let isEmpty: Bool

  init(_ query: QueryParameters) throws {
    let items = query.all("fixed_ips") + query.all("ip_address").map { "ip_address=\($0)" }
    isEmpty = items.isEmpty
    for item in items {
      let parts = item.split(separator: "=", maxSplits: 1).map { String($0) }
      guard parts.count == 2 else {
        throw APIError.invalid("'\(item)' is no filter of fixed_ips: ip_address=…, subnet_id=….")
      }
      switch parts[0] {
      case "ip_address":
        guard let address = IPAddress(parts[1]) else {
          throw APIError.invalid("'\(parts[1])' is not a valid IP address.")
        }
        addresses.insert(address)
      case "subnet_id", "subnet": subnets.insert(parts[1])
      case "ip_address_substr": prefixes.append(parts[1])
      default: throw APIError.invalid("'\(parts[0])' is no filter of fixed_ips: ip_address=…, subnet_id=….")
      }
    }
  }
  func matches(_ port: NetworkPort) -> Bool {
    isEmpty
      || port.fixedIPs.contains { fixed in
        (addresses.isEmpty || addresses.contains(fixed.address))
          && (subnets.isEmpty || subnets.contains(fixed.subnetID))
          && prefixes.allSatisfy { fixed.address.description.contains($0) }
      }
  }
}
