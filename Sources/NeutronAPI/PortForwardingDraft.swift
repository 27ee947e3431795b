import APISupport
import Domain
import Store
import Wire

/// Reads what a client wants of a port forwarding, and checks it inside a transaction.
struct PortForwardingDraft {
  let body: AttributeReader
  let actor: Actor
  let session: any Session

  func made(for floatingIP: inout FloatingIP, at now: Timestamp) throws -> PortForwarding {
    guard let port = try body.text("internal_port_id") else { throw Self.missing("internal_port_id") }
    guard let transport = try transport() else { throw Self.missing("protocol") }
    guard let external = try ports("external_port") else { throw Self.missing("external_port") }
    guard let inner = try ports("internal_port") else { throw Self.missing("internal_port") }
    if let association = floatingIP.association {
      throw APIError.floatingIPAlreadyAssociated(floatingIP, port, association.fixedAddress)
    }
    let (address, subnet) = try place(port, nil)
    let forwarding = PortForwarding(
      floatingIPID: floatingIP.id, description: try body.text("description") ?? "", transport: transport,
      externalPorts: external, internalPorts: inner, portID: port, internalAddress: address)
    try check(forwarding)
    try follow(subnet, forwarding, &floatingIP, at: now)
    return forwarding
  }

  func changed(
    _ old: PortForwarding, of floatingIP: inout FloatingIP, at now: Timestamp
  ) throws -> PortForwarding {
    var forwarding = old
    if let text = try body.text("description") { forwarding.description = text }
    if let transport = try transport() { forwarding.transport = transport }
    if let ports = try ports("external_port") { forwarding.externalPorts = ports }
    if let ports = try ports("internal_port") { forwarding.internalPorts = ports }
    if let port = try body.text("internal_port_id") { forwarding.portID = port }
    let (address, subnet) = try place(
      forwarding.portID, forwarding.portID == old.portID ? old.internalAddress : nil)
    forwarding.internalAddress = address
    try check(forwarding)
    if forwarding.portID != old.portID || address != old.internalAddress {
      try follow(subnet, forwarding, &floatingIP, at: now)
    }
    return forwarding
  }

  private static func missing(_ name: String) -> APIError {
    .badRequest("Failed to parse request. Required attribute '\(name)' not specified")
  }
  private func transport() throws -> PortForwarding.TransportProtocol? {
    guard let text = try body.text("protocol") else { return nil }
    guard let transport = PortForwarding.TransportProtocol(rawValue: text.lowercased()) else {
      let names = PortForwarding.TransportProtocol.allCases.map(\.rawValue).joined(separator: ", ")
      throw APIError.badRequest("Invalid input for protocol. Reason: '\(text.prefix(60))' is not in: \(names).")
    }
    return transport
  }
  /// `external_port: 80`, or `external_port_range: "80:89"`.
  private func ports(_ name: String) throws -> ClosedRange<Int>? {
    let one = try body.int(name, 1...65535)
    guard let text = try body.text(name + "_range") else { return one.map { $0...$0 } }
    let ends = text.split(separator: ":", omittingEmptySubsequences: false).map { Int($0) }
    guard (1...2).contains(ends.count), let first = ends[0], let last = ends[ends.count - 1], first <= last,
      (1...65535).contains(first), (1...65535).contains(last)
    else { throw APIError.badForwarding("'\(text.prefix(60))' is no range of ports: \"FIRST:LAST\", each 1 to 65535") }
    guard one == nil || one.map({ $0...$0 }) == first...last else {
      throw APIError.badForwarding("\(name) and \(name)_range are not the same")
    }
    return first...last
  }

  /// The address of the port that is meant, and its subnet.
  private func place(_ id: String, _ kept: IPAddress?) throws -> (IPAddress, Subnet) {
    let (port, _) = try Lookup.port(id, actor, session)
    guard NetworkPolicy.mayChange(port, actor) else {
      throw APIError.disallowed("create_floatingip_port_forwarding", "the port belongs to another project.")
    }
    let candidates = port.fixedIPs.filter { $0.address.version == 4 }
    guard let first = candidates.first else {
      throw APIError.badForwarding("Requested internal port \(id) must allocate an IPv4 address at least")
    }
    let text = try body.text("internal_ip_address") ?? kept?.description ?? first.address.description
    guard let fixed = candidates.first(where: { $0.address == IPAddress(text) }),
      let subnet = try SubnetStore.get(fixed.subnetID, in: session)
    else {
      let have = candidates.map(\.address.description).joined(separator: ", ")
      throw APIError.badForwarding(
        "Requested internal IP address \(text.prefix(60)) is not suitable for internal neutron port \(id), as its fixed_ips "
          + "are \(have)")
    }
    return (fixed.address, subnet)
  }

  private func check(_ forwarding: PortForwarding) throws {
    guard forwarding.areRangesFitting else {
      throw APIError.badForwarding(
        "Invalid ranges of internal and/or external ports. The relation between internal and external ports must be N-N or 1-N"
      )
    }
    if let bound = try FloatingIPStore.list(port: forwarding.portID, in: session).first {
      throw APIError.conflict(
        "Cannot create port forwarding to floating IP \(bound.address) (\(bound.id)) with port \(forwarding.portID) using fixed "
          + "IP \(forwarding.internalAddress), as that port already has a binding floating IP.",
        type: "PortHasBindingFloatingIP")
    }
    let others =
      try PortForwardingStore.list(floatingIP: forwarding.floatingIPID, in: session)
      + PortForwardingStore.list(port: forwarding.portID, in: session)
    for other in others {
      guard let collision = forwarding.collides(with: other) else { continue }
      let isOutside = collision == .external
      throw APIError.badForwarding(
        "There is a port collision with the \(isOutside ? "external" : "internal")_port_range. The following ranges collide: "
          + "\(Self.words(isOutside ? other.externalPorts : other.internalPorts)) and "
          + Self.words(isOutside ? forwarding.externalPorts : forwarding.internalPorts))
    }
  }
  private static func words(_ ports: ClosedRange<Int>) -> String { "\(ports.lowerBound):\(ports.upperBound)" }

  /// All forwardings of a floating IP go through one router.
  private func follow(
    _ subnet: Subnet, _ forwarding: PortForwarding, _ floatingIP: inout FloatingIP, at now: Timestamp
  ) throws {
    guard let router = try RouterStore.connecting(subnet, to: floatingIP.networkID, in: session) else {
      throw APIError.badForwarding(
        "External network \(floatingIP.networkID) is not reachable from subnet \(subnet.id). Cannot set Port forwarding for "
          + "port \(forwarding.portID) with Floating IP \(floatingIP.id)")
    }
    if let have = floatingIP.routerID {
      guard have == router else {
        throw APIError.badForwarding(
          "The Floating IP \(floatingIP.id) had been set on router \(have), the internal Neutron port \(forwarding.portID) can "
            + "not reach it")
      }
      return
    }
    floatingIP.routerID = router
    floatingIP.status = .down
    try FloatingIPStore.update(&floatingIP, at: now, in: session)
  }
}
