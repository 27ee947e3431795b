import APISupport
import Domain
import Store
import Wire

/// What a client says of one external gateway. Source: Neutron API reference, "Create router": `external_gateway_info`.
struct GatewayDraft: Sendable {
  let networkID: String
  let isSNATEnabled: Bool?
  /// Nil when the client leaves the addresses to us.
  let addresses: [JSONObject]?

  init(_ object: JSONObject, what: String = "external_gateway_info") throws {
    for key in object.keys where !["network_id", "enable_snat", "external_fixed_ips", "qos_policy_id"].contains(key) {
      throw APIError.badRequest("Invalid input for \(what). Reason: unexpected keys supplied: \(key.prefix(60)).")
    }
    let reader = AttributeReader(object: object)
    guard let id = try reader.text("network_id"), Identifier.isUUID(id) else {
      throw APIError.badRequest("Invalid input for \(what). Reason: 'network_id' must be the id of a network.")
    }
    networkID = id
    isSNATEnabled = try reader.bool("enable_snat")
    addresses = try reader.objects("external_fixed_ips", most: 5)
  }

  /// Whether a gateway is the one that is meant: on the network, and with one of the addresses that are named.
  func names(_ gateway: Router.Attachment) -> Bool {
    guard gateway.networkID == networkID else { return false }
    let named = (addresses ?? []).compactMap { $0["ip_address"]?.string }
    return named.isEmpty || gateway.fixedIPs.contains { named.contains($0.address.description) }
  }
  /// Whether a gateway has other addresses than the client wants.
  func differs(from gateway: Router.Attachment) -> Bool {
    guard let addresses, !addresses.isEmpty else { return false }
    let subnets = Set(addresses.compactMap { $0["subnet_id"]?.string })
    let texts = Set(addresses.compactMap { $0["ip_address"]?.string })
    return (!subnets.isEmpty && subnets != Set(gateway.fixedIPs.map(\.subnetID)))
      || (!texts.isEmpty && texts != Set(gateway.fixedIPs.map { $0.address.description }))
      || addresses.count != gateway.fixedIPs.count
  }
}

/// Changes the external gateways of a router inside a transaction.
struct RouterGateway {
  let actor: Actor
  /// For messages: "update_router".
  let rule: String
  let now: Timestamp
  let session: any Session

  /// The one gateway that `external_gateway_info` is; nil takes it away.
  func set(_ draft: GatewayDraft?, of router: inout Router) throws {
    try setSNAT(draft, of: &router)
    let first = router.gateways.first
    guard let draft else {
      if let first { try remove(first, from: &router) }
      return
    }
    let (network, subnets) = try external(draft)
    if let first, first.networkID == network.id {
      if draft.differs(from: first) { try readdress(first, draft, network, subnets, of: &router) }
      return
    }
    if let first { try remove(first, from: &router) }
    try add(draft, to: &router, isFirst: true)
  }

  func add(_ draft: GatewayDraft, to router: inout Router, isFirst: Bool = false) throws {
    let (network, subnets) = try external(draft)
    try RouterSubnets(router: router, session: session).requireRoom(for: subnets, as: .gateway, network: network.id)
    var port = NetworkPort(
      networkID: network.id, projectID: "", name: "",
      macAddress: try NetworkPortStore.newMACAddress(on: network.id, in: session), status: .active,
      deviceID: router.id, deviceOwner: Router.Attachment.Kind.gateway.rawValue, createdAt: now)
    port.fixedIPs = try addresses(draft, keeping: [], port: port, network: network, subnets: subnets, of: router)
    try NetworkPortStore.insert(port, in: session)
    try RouterStore.attach(port.id, as: .gateway, to: router.id, in: session)
    if isFirst, !router.gateways.isEmpty { try RouterStore.putFirst(port.id, in: session) }
    try reload(&router)
  }

  /// - Throws: 409 while floating IPs of that network need it.
  func remove(_ gateway: Router.Attachment, from router: inout Router) throws {
    let isLast = router.gateways.filter { $0.networkID == gateway.networkID }.count == 1
    if isLast,
      try FloatingIPStore.list(router: router.id, in: session).contains(where: { $0.networkID == gateway.networkID })
    {
      throw APIError.gatewayInUse(router.id, network: gateway.networkID)
    }
    try RouterStore.detach(gateway.portID, in: session)
    try reload(&router)
  }

  /// Gives a gateway the addresses that the client names.
  func readdress(_ gateway: Router.Attachment, _ draft: GatewayDraft, of router: inout Router) throws {
    let (network, subnets) = try external(draft)
    try readdress(gateway, draft, network, subnets, of: &router)
  }
  private func readdress(
    _ gateway: Router.Attachment, _ draft: GatewayDraft, _ network: Network, _ subnets: [Subnet],
    of router: inout Router
  ) throws {
    guard var port = try NetworkPortStore.get(gateway.portID, in: session) else { return }
    let kept = port.fixedIPs
    port.fixedIPs = []
    try NetworkPortStore.setAddresses(of: port, in: session)
    port.fixedIPs = try addresses(draft, keeping: kept, port: port, network: network, subnets: subnets, of: router)
    try NetworkPortStore.setAddresses(of: port, in: session)
    try NetworkPortStore.update(&port, at: now, in: session)
    try reload(&router)
  }

  /// SNAT is on unless the administrator says otherwise with this very gateway.
  private func setSNAT(_ draft: GatewayDraft?, of router: inout Router) throws {
    if let wanted = draft?.isSNATEnabled, !actor.isSiteAdmin,
      wanted != (router.gateways.isEmpty ? true : router.isSNATEnabled)
    {
      throw APIError.disallowed(
        "\(rule):external_gateway_info:enable_snat", "only the administrator changes it.")
    }
    router.isSNATEnabled = draft?.isSNATEnabled ?? true
  }
  func setSNAT(_ draft: GatewayDraft, ofAllOf router: inout Router) throws {
    if draft.isSNATEnabled != nil { try setSNAT(draft, of: &router) }
  }

  private func external(_ draft: GatewayDraft) throws -> (Network, [Subnet]) {
    let network = try Lookup.network(draft.networkID, actor, session)
    guard network.isExternal else { throw APIError.badRouter("Network \(network.id) is not an external network") }
    return (network, try SubnetStore.list(network: network.id, in: session))
  }

  private func addresses(
    _ draft: GatewayDraft, keeping kept: [NetworkPort.FixedIP], port: NetworkPort, network: Network, subnets: [Subnet],
    of router: Router
  ) throws -> [NetworkPort.FixedIP] {
    guard let asked = draft.addresses, !asked.isEmpty else {
      return try AddressChoice.any(network: network, subnets: subnets, in: session)
    }
    guard actor.isSiteAdmin else {
      throw APIError.disallowed(
        "\(rule):external_gateway_info:external_fixed_ips", "only the administrator chooses a gateway's addresses.")
    }
    for text in asked.compactMap({ $0["ip_address"]?.string })
    where subnets.contains(where: { $0.gateway?.description == text }) {
      throw APIError.badRouter("External IP \(text) is the same as the gateway IP")
    }
    return try AddressChoice(port: port, network: network, subnets: subnets, actor: actor, rule: rule)
      .addresses(asked, keeping: kept, in: session)
  }

  private func reload(_ router: inout Router) throws {
    router.attachments = try RouterStore.get(router.id, in: session)?.attachments ?? []
  }
}

/// The subnets that a router has ports in, inside a transaction.
struct RouterSubnets {
  let router: Router
  let session: any Session

  /// Of its interfaces, and all of its external networks, with what the router has there.
  private func all() throws -> [(subnet: Subnet, kind: Router.Attachment.Kind)] {
    if router.attachments.isEmpty { return [] }
    let networks = Set(router.attachments.map(\.networkID))
    let subnets = try SubnetStore.list(in: session) { query in
      query.appendIn("WHERE network_id IN", networks.map { .text($0) })
      query.append("ORDER BY id")
    }
    let external = Set(router.gateways.map(\.networkID))
    let inside = Set(router.interfaces.flatMap(\.fixedIPs).map(\.subnetID))
    return subnets.compactMap { subnet in
      if inside.contains(subnet.id) { return (subnet, .interface) }
      return external.contains(subnet.networkID) ? (subnet, .gateway) : nil
    }
  }

  /// No packet may have two ways: subnets of a router do not overlap.
  /// - Throws: 400 in upstream's words.
  func requireRoom(for subnets: [Subnet], as kind: Router.Attachment.Kind, network: String) throws {
    for (other, has) in try all() {
      // Several gateways may be on one external network.
      if kind == .gateway, has == .gateway, other.networkID == network { continue }
      for subnet in subnets {
        if other.id == subnet.id { throw APIError.badRouter("Router already has a port on subnet \(subnet.id)") }
        if other.cidr.overlaps(subnet.cidr) {
          throw APIError.badRouter(
            "Cidr \(subnet.cidr) of subnet \(subnet.id) overlaps with cidr \(other.cidr) of subnet \(other.id)")
        }
      }
    }
  }

  /// - Throws: 400 `InvalidRoutes` when a next hop is not reached.
  func requireRoutes() throws {
    if router.routes.isEmpty { return }
    if let problem = router.problem(withRoutesOver: try all().map(\.subnet.cidr)) {
      throw APIError.invalidRoutes(router.routes, problem)
    }
  }
}
