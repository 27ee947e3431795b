import APISupport
import Domain
import Store
import Wire

/// `/v2.0/networks`. Source: Neutron API reference, "Networks", "Provider extended attributes", "External network".
struct NetworkRoutes: Sendable {
  let neutron: NeutronAPI

  var endpoints: [Endpoint] {
    [
      Endpoint(.get, "/v2.0/networks", .authenticated, "Lists networks", handler: list),
      Endpoint(.post, "/v2.0/networks", .member("network:create"), "Makes networks", handler: create),
      Endpoint(.get, "/v2.0/networks/{network}", .authenticated, "Shows a network", handler: show),
      Endpoint(.put, "/v2.0/networks/{network}", .member("network:update"), "Changes a network", handler: update),
      Endpoint(.delete, "/v2.0/networks/{network}", .member("network:delete"), "Deletes a network", handler: delete),
    ]
  }

  static let view = ResourceView<Seen<Network>>(
    singular: "network", plural: "networks", path: "/v2.0/networks", id: { $0.resource.id },
    attributes: Seen<Network>.attributes([
      .text("id") { $0.id }, .text("name") { $0.name }, .text("description") { $0.description },
      .text("tenant_id") { $0.projectID }, .text("project_id") { $0.projectID },
      .bool("admin_state_up") { $0.isAdminStateUp },
      .text("status") { _ in "ACTIVE" }, .bool("router:external") { $0.isExternal },
      .bool("is_default") { $0.isDefault }, .int("mtu") { $0.mtu }, .text("provider:network_type") { _ in "vlan" },
      .text("provider:physical_network") { $0.physicalNetwork }, .int("provider:segmentation_id") { $0.vlan },
      .strings("subnets") { $0.subnetIDs }, .json("availability_zone_hints") { _ in [] },
      .json("availability_zones") { _ in [] }, .bool("port_security_enabled") { $0.isPortSecurityEnabled },
      .optionalText("ipv4_address_scope") { $0.addressScopes[4] },
      .optionalText("ipv6_address_scope") { $0.addressScopes[6] }, .text("dns_domain") { $0.dnsDomain },
      .strings("tags") { $0.tags },
      .int("revision_number") { $0.revision }, .time("created_at") { $0.createdAt },
      .time("updated_at") { $0.updatedAt },
    ]), ownFilters: TagFilter.names)
  private static func seen(_ network: Network, _ actor: Actor) -> Seen<Network> {
    Seen(resource: network, isShared: network.sharing.reaches(actor.projectID))
  }

  private func list(_ request: APIRequest) async throws -> APIResponse {
    let actor = try request.actor()
    let query = request.query
    let networks = try await neutron.database.read { session in
      try NetworkStore.list(in: session) { sql in
        sql.append("WHERE 1 = 1")
        sql.appendNetworks(in: NetworkPolicy.scope(actor))
        sql.appendFilter("AND id IN", query.all("id"))
        sql.appendFilter("AND name IN", query.all("name"))
        sql.append("ORDER BY created_at, id")
      }
    }
    let tags = TagFilter(query)
    let shown = networks.filter { tags.matches($0.tags) }.map { Self.seen($0, actor) }
    return try Self.view.list(shown, request)
  }

  private func show(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id) = (try request.actor(), try request.parameter("network"))
    let network = try await neutron.database.read { session in try Lookup.network(id, actor, session) }
    return Self.view.show(Self.seen(network, actor), request)
  }

  private static let settable: Set<String> = [
    "name", "description", "admin_state_up", "shared", "router:external", "is_default", "mtu", "dns_domain",
    "port_security_enabled",
  ]
  private static let onlyAtFirst: Set<String> = [
    "project_id", "tenant_id", "provider:network_type", "provider:physical_network", "provider:segmentation_id", "tags",
    "availability_zone_hints",
  ]
  private static let known = settable.union(onlyAtFirst).union(view.attributes.map { "\($0.name)" })

  private func create(_ request: APIRequest) async throws -> APIResponse {
    let actor = try request.actor()
    let now = request.now
    let (bodies, isBulk) = try await AttributeReader.bodies(request, "network", "networks")
    let made = try await neutron.database.write { session in
      try bodies.map { body in
        try body.check(allowed: Self.settable.union(Self.onlyAtFirst), known: Self.known, verb: "POST")
        let project = try body.project(actor, rule: "create_network")
        try neutron.requireQuota(.networks, project: project, in: session)
        let place = try self.place(body, actor: actor, project: project, in: session)
        var network = Network(
          projectID: project, name: "", physicalNetwork: place.physicalNetwork, vlan: place.vlan, createdAt: now)
        network.isPortSecurityEnabled = neutron.settings.isPortSecurityEnabled
        try apply(body, to: &network, actor, rule: "create_network")
        network.tags = try body.tags() ?? []
        try NetworkStore.insert(network, in: session)
        try network.makePolicies(at: now, in: session)
        network.tags = Set(network.tags).sorted()
        return Self.seen(network, actor)
      }
    }
    return isBulk ? Self.view.made(made) : Self.view.show(made[0], request, status: .created)
  }

  /// The VLAN of a new network: from the pools, or as the administrator says.
  private func place(
    _ body: AttributeReader, actor: Actor, project: String, in session: any Session
  ) throws -> (physicalNetwork: String, vlan: Int) {
    if let type = try body.text("provider:network_type"), type != "vlan" {
      throw APIError.invalid("network_type '\(type)' is not offered: networks of this site are of type 'vlan'.")
    }
    let wanted = try body.text("provider:physical_network")
    let ranges = try SegmentRangeStore.list(in: session)
    if let wanted, !ranges.contains(where: { $0.physicalNetwork == wanted }) {
      let names = Set(ranges.map(\.physicalNetwork)).sorted().joined(separator: ", ")
      throw APIError.invalid(
        "physical_network '\(wanted)' unknown for VLAN provider network. Known: \(names.isEmpty ? "none" : names); "
          + "the administrator makes one known with `openstack network segment range create`.")
    }
    if let vlan = try body.int("provider:segmentation_id", 1...4094) {
      guard NetworkPolicy.maySetSiteAttributes(actor) else {
        throw APIError.disallowed("create_network:provider:segmentation_id", "only the administrator chooses VLANs.")
      }
      guard let wanted else {
        throw APIError.invalid("segmentation_id requires physical_network for VLAN provider network.")
      }
      guard !neutron.settings.reservedVLANs.contains(vlan) else {
        throw APIError.invalid("VLAN \(vlan) is the site's own (provisioning); choose another segmentation_id.")
      }
      guard try !NetworkStore.vlansTaken(on: wanted, in: session).contains(vlan) else {
        throw APIError.conflict(
          "Unable to create the network. The VLAN \(vlan) on physical network \(wanted) is in use.", type: "VlanIdInUse"
        )
      }
      return (wanted, vlan)
    }
    if let free = try SegmentRangeStore.freeVLAN(
      project: project, physicalNetwork: wanted, except: neutron.settings.reservedVLANs, in: session)
    {
      return free
    }
    let pools = try SegmentRangeStore.candidates(project: project, physicalNetwork: wanted, in: session)
    let reason =
      pools.isEmpty
      ? "There is no pool of VLANs for this project\(wanted.map { " on \($0)" } ?? ""). The administrator makes one with "
        + "`openstack network segment range create`."
      : "Every VLAN is taken in: \(pools.map(\.words).joined(separator: "; ")). Delete a network that is not needed, or ask "
        + "the administrator for another pool (`openstack network segment range create`)."
    throw APIError.conflict(
      "Unable to create the network. No tenant network is available for allocation. \(reason)",
      type: "NoNetworkAvailable")
  }

  private func apply(_ body: AttributeReader, to network: inout Network, _ actor: Actor, rule: String) throws {
    if let name = try body.text("name") { network.name = name }
    if let text = try body.text("description") { network.description = text }
    if let flag = try body.bool("admin_state_up") { network.isAdminStateUp = flag }
    if let mtu = try body.int("mtu", 1...9216) { network.mtu = mtu }
    if let domain = try body.text("dns_domain") { network.dnsDomain = domain }
    if let flag = try body.bool("port_security_enabled") { network.isPortSecurityEnabled = flag }
    func requireSite(_ name: String) throws {
      guard NetworkPolicy.maySetSiteAttributes(actor) else {
        throw APIError.disallowed(
          "\(rule):\(name)", "only the administrator may change it, because it touches other projects.")
      }
    }
    if let flag = try body.bool("shared"), flag != network.sharing.isWithEveryone,
      // What somebody was shown may be sent back by them.
      actor.isSiteAdmin || flag != network.sharing.reaches(actor.projectID)
    {
      try requireSite("shared")
      if flag { network.sharing.insert(RBACPolicy.everyone) } else { network.sharing.remove(RBACPolicy.everyone) }
    }
    if let flag = try body.bool("router:external"), flag != network.isExternal {
      try requireSite("router:external")
      network.isExternal = flag
      network.externalAccess = flag ? Sharing([RBACPolicy.everyone]) : Sharing()
    }
    if let flag = try body.bool("is_default"), flag != network.isDefault {
      try requireSite("is_default")
      network.isDefault = flag
    }
  }

  private func update(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id, now) = (try request.actor(), try request.parameter("network"), request.now)
    let body = try await AttributeReader.body(request, "network")
    try body.check(allowed: Self.settable, known: Self.known, verb: "PUT")
    let changed = try await neutron.database.write { session in
      var network = try changeable(id, actor, rule: "update_network", session)
      try request.requireRevision(network.revision)
      let before = network
      try apply(body, to: &network, actor, rule: "update_network")
      if before.isExternal, !network.isExternal, try !RouterStore.projects(external: id, in: session).isEmpty {
        throw APIError.conflict(
          "External network \(id) cannot be updated to be made non-external, since it has existing gateway ports.",
          type: "ExternalNetworkInUse")
      }
      if network.mtu != before.mtu {
        for subnet in try SubnetStore.list(network: id, in: session) { try network.requireRoom(for: subnet) }
      }
      try NetworkStore.update(&network, at: now, in: session)
      if network.sharing != before.sharing || network.externalAccess != before.externalAccess {
        guard try !before.isUsed(byThoseWhoLose: network.sharing, in: session) else {
          throw APIError.conflict(Network.sharingInUse(id), type: "InvalidSharedSetting")
        }
        try network.makePolicies(at: now, in: session)
      }
      try neutron.routing(session)
      if network.isAdminStateUp != before.isAdminStateUp {
        let attached = try NetworkPortStore.list(network: id, in: session).filter(\.isBound).map(\.id)
        if !attached.isEmpty { try neutron.rewire(attached, session) }
      }
      return Self.seen(network, actor)
    }
    return Self.view.show(changed, request)
  }

  private func delete(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id) = (try request.actor(), try request.parameter("network"))
    try await neutron.database.write { session in
      let network = try changeable(id, actor, rule: "delete_network", session)
      try request.requireRevision(network.revision)
      if network.isExternal { try FloatingIPStore.deleteIdle(of: id, in: session) }
      let ports = try NetworkPortStore.list(network: id, in: session)
      if !ports.isEmpty {
        let leaving = ports.filter(\.isBeingDeleted).count
        let why =
          leaving == ports.count
          ? "A machine is just being taken off it; try again in a moment."
          : "There are one or more ports still in use on the network, id for the first ports is: "
            + ports.filter { !$0.isBeingDeleted }.prefix(3).map(\.id).joined(separator: ", ") + "."
        throw APIError.conflict("Unable to complete operation on network \(id). \(why)", type: "NetworkInUse")
      }
      guard try !NetworkSegmentStore.exist(network: id, in: session) else {
        throw APIError.conflict(
          "Unable to complete operation on network \(id). It is carried by segments beside its VLAN, or just being parted from them: "
            + "the administrator deletes them first (`openstack network segment delete`).", type: "NetworkInUse")
      }
      try NetworkStore.delete(id, in: session)
      try neutron.routing(session)
    }
    return .noContent
  }

  private func changeable(_ id: String, _ actor: Actor, rule: String, _ session: any Session) throws -> Network {
    let network = try Lookup.network(id, actor, session)
    guard NetworkPolicy.mayChange(network, actor) else {
      throw APIError.disallowed(rule, "the network belongs to another project.")
    }
    return network
  }
}

extension Query {
  /// Appends `prefix (…)` when there is something to filter by.
  mutating func appendFilter(_ prefix: StaticString, _ values: [String]) {
    if !values.isEmpty { appendIn(prefix, values.map { .text($0) }) }
  }
}

extension Network {
  /// - Throws: 409 when packets of the network are too short for the subnet's IP version. Source: RFC 791, RFC 8200 section 5.
  func requireRoom(for subnet: Subnet) throws {
    let least = subnet.version == 4 ? 68 : 1280
    if mtu < least {
      throw APIError.conflict(
        "MTU of \(id) is not valid, subnet requires a minimum of \(least)", type: "NetworkMTUSubnetConflict")
    }
  }
}
