import Domain
import DriverInterfaces

/// What is wanted of routers and DHCP, as far as it can be carried; decided without asking anybody.
struct RoutingPlan: Sendable, Equatable {
  /// Ports of one forwarding: each is an entry of its own in what carries it.
  static let forwardedPorts = 1024

  var topology = LogicalTopology()
  /// Routers that cannot be carried as they are wanted, and why.
  var routerProblems: [String: String] = [:]
  /// Floating IPs that cannot.
  var floatingIPProblems: [String: String] = [:]

  init(_ wanted: RoutingTopology, physicalNetworks: Set<String>) {
    let reached = wanted.networks.filter { physicalNetworks.contains($0.physicalNetwork) }
    topology.networks = reached.map { Self.network($0) }
    let networks = Dictionary(wanted.networks.map { ($0.networkID, $0) }) { first, _ in first }
    let known = Set(reached.map(\.networkID))
    for router in wanted.routers { add(router, known: known, networks) }
  }

  private static func network(_ segment: RoutingTopology.Segment) -> LogicalTopology.Network {
    LogicalTopology.Network(
      id: segment.networkID, physicalNetwork: segment.physicalNetwork, vlan: segment.vlan,
      subnets: segment.subnets.filter { $0.isDHCPEnabled && $0.version == 4 }.map { subnet in
        LogicalTopology.Subnet(
          id: subnet.id, cidr: subnet.cidr, gateway: subnet.gateway,
          nameservers: subnet.dnsNameservers.compactMap { IPAddress($0) },
          routes: subnet.hostRoutes.compactMap { route in
            guard let destination = CIDR(route.destination), let nextHop = IPAddress(route.nextHop) else { return nil }
            return LogicalTopology.Route(destination, via: nextHop)
          }, mtu: segment.mtu)
      },
      // One that no machine has is left out: its MAC address is made up, and its address may be another machine's to share.
      ports: segment.ports.filter(\.isBound).compactMap { port in
        MACAddress(port.macAddress).map {
          LogicalTopology.Port(
            id: port.id, macAddress: $0, addresses: port.addresses.map(\.address),
            isEnabled: port.isAdminStateUp && segment.isAdminStateUp)
        }
      })
  }

  private mutating func add(
    _ router: RoutingTopology.Routing, known: Set<String>, _ networks: [String: RoutingTopology.Segment]
  ) {
    var result = LogicalTopology.Router(id: router.routerID, isEnabled: router.isAdminStateUp)
    var problems: [String] = []
    func interface(_ port: RoutingTopology.RouterPort) -> LogicalTopology.Interface? {
      guard known.contains(port.networkID) else {
        let name = networks[port.networkID]?.physicalNetwork ?? "?"
        problems.append("network \(port.networkID) is on physical network '\(name)', which OVN does not reach")
        return nil
      }
      let addresses = port.addresses.compactMap { item in
        CIDR.recommended(for: "\(item.address)/\(item.prefix)").flatMap { CIDR($0) }.map {
          LogicalTopology.Address(item.address, in: $0)
        }
      }
      // (a port without an address is none of a router's)
      guard let mac = MACAddress(port.macAddress), !addresses.isEmpty else { return nil }
      return LogicalTopology.Interface(
        id: port.portID, networkID: port.networkID, macAddress: mac, addresses: addresses)
    }
    result.interfaces = router.interfaces.compactMap { interface($0) }
    if let first = router.gateways.first, let outside = interface(first) {
      result.gateway = .init(interface: outside, nextHops: first.nextHops, translatesSources: router.isSNATEnabled)
    }
    if router.gateways.count > 1 {
      problems.append("it has \(router.gateways.count) gateways, and OVN carries the first one alone")
    }
    result.routes = router.routes.map { .init($0.destination, via: $0.nextHop) }
    result.floatingIPs = router.floatingIPs.map {
      .init(id: $0.floatingIPID, address: $0.address, fixedAddress: $0.fixedAddress)
    }
    for item in router.forwardings { add(item, to: &result) }
    if result.gateway == nil, let first = problems.first {
      for floating in router.floatingIPs { floatingIPProblems[floating.floatingIPID] = first }
    }
    if !problems.isEmpty { routerProblems[router.routerID] = problems.joined(separator: "; ") }
    topology.routers.append(result)
  }

  private mutating func add(_ item: RoutingTopology.Forwarding, to router: inout LogicalTopology.Router) {
    let forwarding = item.forwarding
    guard let transport = LogicalTopology.PortForwarding.Transport(rawValue: forwarding.transport.rawValue) else {
      floatingIPProblems[forwarding.floatingIPID] = "OVN forwards no ports of \(forwarding.transport.rawValue)"
      return
    }
    guard forwarding.externalPorts.count <= Self.forwardedPorts else {
      floatingIPProblems[forwarding.floatingIPID] =
        "a forwarding of \(forwarding.externalPorts.count) ports is too long: \(Self.forwardedPorts) is the most"
      return
    }
    for (index, port) in forwarding.externalPorts.enumerated() {
      let inside = forwarding.internalPorts.lowerBound + (forwarding.internalPorts.count == 1 ? 0 : index)
      router.forwardings.append(
        .init(
          transport, address: item.address, port: port, fixedAddress: forwarding.internalAddress, fixedPort: inside))
    }
  }
}
