import APISupport
import Domain
import Store
import Wire

/// Leads a router into subnets and out of them, inside a transaction.
struct RouterInterface {
  let router: Router
  let actor: Actor
  let now: Timestamp
  let session: any Session

  private var owner: String { Router.Attachment.Kind.interface.rawValue }

  /// Makes a port with the subnet's gateway address; a further IPv6 subnet of a network comes to the port that is there.
  func add(subnet id: String) throws -> (NetworkPort, subnets: [String]) {
    let (subnet, network) = try Lookup.subnet(id, actor, session)
    guard let gateway = subnet.gateway else {
      throw APIError.badRouter("Subnet for router interface must have a gateway IP")
    }
    guard NetworkPolicy.mayRoute(subnet, on: network, actor) else {
      throw APIError.badRouter(
        "Cannot add interface to router because subnet \(id) is not owned by project making the request")
    }
    try RouterSubnets(router: router, session: session).requireRoom(for: [subnet], as: .interface, network: network.id)
    guard try !SubnetStore.isTaken(gateway, of: id, in: session) else {
      throw APIError.conflict(
        "Unable to complete operation for network \(network.id). The IP address \(gateway) is in use.",
        type: "IpAddressInUse")
    }
    let address = NetworkPort.FixedIP(subnetID: id, address: gateway)
    if subnet.version == 6, let have = router.interfaces.first(where: { $0.networkID == network.id && $0.hasVersion6 }),
      var port = try NetworkPortStore.get(have.portID, in: session)
    {
      port.fixedIPs.append(address)
      try NetworkPortStore.setAddresses(of: port, in: session)
      try NetworkPortStore.update(&port, at: now, in: session)
      return (port, [id])
    }
    let port = NetworkPort(
      networkID: network.id, projectID: router.projectID, name: "",
      macAddress: try NetworkPortStore.newMACAddress(on: network.id, in: session), status: .active, deviceID: router.id,
      deviceOwner: owner, fixedIPs: [address], createdAt: now)
    try NetworkPortStore.insert(port, in: session)
    try RouterStore.attach(port.id, as: .interface, to: router.id, in: session)
    return (port, [id])
  }

  /// Takes a port that is nobody's.
  func add(port id: String) throws -> (NetworkPort, subnets: [String]) {
    var (port, network) = try Lookup.port(id, actor, session)
    guard NetworkPolicy.mayChange(port, actor) else {
      throw APIError.disallowed("add_router_interface", "the port belongs to another project.")
    }
    guard port.deviceID.isEmpty, !port.isBound else {
      throw APIError.conflict(
        "Unable to complete operation on port \(id) for network \(network.id). Port already has an attached device "
          + "\(port.deviceID).", type: "PortInUse")
    }
    if port.fixedIPs.isEmpty { throw APIError.badRouter("Router port must have at least one fixed IP") }
    let all = try SubnetStore.list(network: network.id, in: session)
    let subnets = all.filter { subnet in port.fixedIPs.contains { $0.subnetID == subnet.id } }
    if subnets.filter({ $0.version == 4 }).count > 1 {
      throw APIError.badRouter("Cannot have multiple IPv4 subnets on router port")
    }
    if subnets.contains(where: { $0.version == 6 }),
      let other = router.interfaces.first(where: { $0.networkID == network.id && $0.hasVersion6 })
    {
      throw APIError.badRouter(
        "Router already contains IPv6 port \(other.portID) belonging to network id \(network.id). Only one IPv6 port from the "
          + "same network subnet can be connected to a router.")
    }
    try RouterSubnets(router: router, session: session).requireRoom(for: subnets, as: .interface, network: network.id)
    port.deviceID = router.id
    port.deviceOwner = owner
    port.status = .active
    try NetworkPortStore.update(&port, at: now, in: session)
    try RouterStore.attach(id, as: .interface, to: router.id, in: session)
    return (port, subnets.map(\.id))
  }

  func remove(port id: String, subnet: String?) throws -> (NetworkPort, subnets: [String]) {
    guard let interface = router.interfaces.first(where: { $0.portID == id }),
      let port = try NetworkPortStore.get(id, in: session)
    else {
      throw APIError.notFound(
        "Router \(router.id) does not have an interface with id \(id)", type: "RouterInterfaceNotFound")
    }
    let subnets = interface.fixedIPs.map(\.subnetID)
    if let subnet, !subnets.contains(subnet) {
      throw APIError(
        .badRequest, "Subnet on port \(id) does not match the requested subnet \(subnet).",
        type: "SubnetMismatchForPort")
    }
    for subnet in subnets { try requireUnused(subnet) }
    try RouterStore.detach(id, in: session)
    return (port, subnets)
  }

  func remove(subnet id: String) throws -> (NetworkPort, subnets: [String]) {
    _ = try Lookup.subnet(id, actor, session)
    guard let interface = router.interfaces.first(where: { $0.fixedIPs.contains { $0.subnetID == id } }),
      var port = try NetworkPortStore.get(interface.portID, in: session)
    else {
      throw APIError.notFound(
        "Router \(router.id) has no interface on subnet \(id)", type: "RouterInterfaceNotFoundForSubnet")
    }
    try requireUnused(id)
    guard port.fixedIPs.contains(where: { $0.subnetID != id }) else {
      try RouterStore.detach(port.id, in: session)
      return (port, [id])
    }
    port.fixedIPs.removeAll { $0.subnetID == id }
    try NetworkPortStore.setAddresses(of: port, in: session)
    try NetworkPortStore.update(&port, at: now, in: session)
    return (port, [id])
  }

  /// Neither a floating IP, a port forwarding nor a route of the router leads through the interface.
  private func requireUnused(_ id: String) throws {
    guard let subnet = try SubnetStore.get(id, in: session) else { return }
    func refuse(_ by: String, _ type: String) -> APIError {
      .conflict(
        "Router interface for subnet \(id) on router \(router.id) cannot be deleted, as it is required by one or more \(by).",
        type: type)
    }
    let floatingIPs = try FloatingIPStore.list(router: router.id, in: session)
    let ends =
      floatingIPs.compactMap { $0.association.map { ($0.portID, $0.fixedAddress) } }
      + (try PortForwardingStore.of(floatingIPs: floatingIPs.map(\.id), in: session).values.joined().map {
        ($0.portID, $0.internalAddress)
      })
    for (port, address) in ends where subnet.cidr.contains(address) {
      let addresses = try NetworkPortStore.get(port, in: session)?.fixedIPs ?? []
      if addresses.contains(where: { $0.subnetID == id }) {
        throw refuse("floating IPs", "RouterInterfaceInUseByFloatingIP")
      }
    }
    if router.routes.contains(where: { subnet.cidr.contains($0.nextHop) }) {
      throw refuse("routes", "RouterInterfaceInUseByRoute")
    }
  }
}

extension Router.Attachment {
  fileprivate var hasVersion6: Bool { fixedIPs.contains { $0.address.version == 6 } }
}
