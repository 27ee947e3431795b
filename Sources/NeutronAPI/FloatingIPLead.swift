import APISupport
import Domain
import Store
import Wire

/// Where a floating IP leads, decided inside a transaction. Source: Neutron API reference, "Update floating IP".
struct FloatingIPLead {
  let actor: Actor
  let session: any Session

  /// Follows `port_id` and `fixed_ip_address`: a null port leads nowhere, an absent one leaves it.
  func apply(_ body: AttributeReader, to floatingIP: inout FloatingIP) throws {
    let portID = try body.text("port_id").flatMap { $0.isEmpty ? nil : $0 }
    let fixed = try body.text("fixed_ip_address")
    let isNamed = body.has("port_id")
    if fixed != nil, portID == nil, !(floatingIP.association != nil && !isNamed) {
      throw APIError.badFloatingIP("fixed_ip_address cannot be specified without a port_id")
    }
    guard let portID = portID ?? (isNamed ? nil : floatingIP.association?.portID) else {
      // With port forwardings it keeps its router.
      guard floatingIP.association != nil else { return }
      floatingIP.association = nil
      floatingIP.routerID = nil
      floatingIP.status = .down
      return
    }
    if portID == floatingIP.association?.portID, fixed == nil { return }
    guard try PortForwardingStore.list(floatingIP: floatingIP.id, in: session).isEmpty else {
      throw APIError.floatingIPForwards(floatingIP.id)
    }
    let (association, subnet) = try association(portID, fixed, for: floatingIP)
    guard let router = try RouterStore.connecting(subnet, to: floatingIP.networkID, in: session) else {
      throw APIError.notFound(
        "External network \(floatingIP.networkID) is not reachable from subnet \(subnet.id). Therefore, cannot associate Port "
          + "\(portID) with a Floating IP.", type: "ExternalGatewayForFloatingIPNotFound")
    }
    let others = try FloatingIPStore.list(port: portID, in: session)
    if others.contains(where: {
      $0.id != floatingIP.id && $0.networkID == floatingIP.networkID && $0.association == association
    }) {
      throw APIError.floatingIPAlreadyAssociated(floatingIP, portID, association.fixedAddress)
    }
    floatingIP.association = association
    floatingIP.routerID = router
    // Until packets go that way: the engine shows it ACTIVE.
    floatingIP.status = .down
  }

  private func association(
    _ id: String, _ fixed: String?, for floatingIP: FloatingIP
  ) throws -> (FloatingIP.Association, Subnet) {
    let (port, network) = try Lookup.port(id, actor, session)
    guard actor.isSiteAdmin || port.projectID == floatingIP.projectID else {
      throw APIError.badFloatingIP(
        "Cannot process floating IP association with Port \(id), since that port is owned by a different project")
    }
    // To a router's own side as upstream: whoever asks for that address reaches the router.
    if port.deviceOwner.hasPrefix("network:"), port.deviceOwner != Router.Attachment.Kind.interface.rawValue {
      throw APIError.badFloatingIP("Port \(id) is unable to be assigned a floating IP")
    }
    let own: NetworkPort.FixedIP
    if let fixed {
      guard let address = IPAddress(fixed) else { throw APIError.invalid("'\(fixed)' is not a valid IP address.") }
      guard address.version == 4 else {
        throw APIError.badFloatingIP(
          "Cannot process floating IP association with \(fixed), since that is not an IPv4 address")
      }
      guard let found = port.fixedIPs.first(where: { $0.address == address }) else {
        throw APIError.badFloatingIP("Port \(id) does not have fixed ip \(fixed)")
      }
      own = found
    } else {
      let candidates = port.fixedIPs.filter { $0.address.version == 4 }
      guard let first = candidates.first else {
        throw APIError.badFloatingIP("Cannot add floating IP to port \(id) that has no fixed IPv4 addresses")
      }
      guard candidates.count == 1 else {
        throw APIError.badFloatingIP(
          "Port \(id) has multiple fixed IPv4 addresses. Must provide a specific IPv4 address when assigning a floating IP"
        )
      }
      own = first
    }
    guard let subnet = try SubnetStore.get(own.subnetID, in: session) else {
      throw APIError.networkNotFound(network.id)
    }
    return (FloatingIP.Association(portID: id, fixedAddress: own.address), subnet)
  }
}

extension NeutronAPI {
  /// The port's addresses change: a floating IP keeps its address, and port forwardings to addresses that go, go too, as upstream.
  /// - Throws: 400 when a floating IP leads to an address that the port would lose.
  func requireLeads(to port: NetworkPort, in session: any Session) throws {
    let addresses = Set(port.fixedIPs.map(\.address))
    for floatingIP in try FloatingIPStore.list(port: port.id, in: session) {
      guard let association = floatingIP.association, !addresses.contains(association.fixedAddress) else { continue }
      throw APIError(
        .badRequest,
        "Bad port request: Cannot update the fixed_ips of the port \(port.id), because its original fixed_ip has been "
          + "associated to a floating ip.", type: "BadRequest")
    }
    for forwarding in try PortForwardingStore.list(port: port.id, in: session)
    where !addresses.contains(forwarding.internalAddress) {
      try PortForwardingStore.delete(forwarding.id, in: session)
    }
  }
  /// - Throws: 409 for a port that is a router's, or holds a floating IP: it changes and goes with that.
  func requireOwn(_ port: NetworkPort, in session: any Session) throws {
    if try NetworkPortStore.isService(port.id, in: session) { throw APIError.servicePortInUse(port) }
  }
}
