import Domain

/// What an engine needs to know that routes and gives out addresses.
public enum RoutingStore {
  /// Whether there is a router, without which no floating IP leads anywhere.
  public static func hasRouters(in session: any Session) throws -> Bool {
    try session.exists("SELECT 1 FROM routers LIMIT 1", [])
  }
  /// Everything that is wanted now: eleven statements, however much there is.
  public static func topology(in session: any Session) throws -> RoutingTopology {
    let routers = try RouterStore.list(in: session) { $0.append("ORDER BY id") }
    let networks = try NetworkStore.list(in: session) { query in
      query.append("WHERE")
      query.append(routed)
      query.append("ORDER BY id")
    }
    let subnets = try SubnetStore.list(in: session) { $0.append("ORDER BY created_at, id") }
    let subnetByID = Dictionary(subnets.map { ($0.id, $0) }) { first, _ in first }
    let subnetsOf = Dictionary(grouping: subnets, by: \.networkID)
    func addresses(_ fixed: [NetworkPort.FixedIP]) -> [RoutingTopology.Address] {
      fixed.compactMap { item in
        subnetByID[item.subnetID].map {
          RoutingTopology.Address(subnetID: item.subnetID, address: item.address, prefix: $0.cidr.prefix)
        }
      }
    }
    let ports = try machinePorts(in: session)
    let leading = try leading(in: session)
    return RoutingTopology(
      routers: routers.map { router in
        var routing = RoutingTopology.Routing(router)
        for attachment in router.attachments {
          let isGateway = attachment.kind == .gateway
          let port = RoutingTopology.RouterPort(
            portID: attachment.portID, macAddress: attachment.macAddress, networkID: attachment.networkID,
            addresses: addresses(attachment.fixedIPs),
            nextHops: isGateway ? attachment.fixedIPs.compactMap { subnetByID[$0.subnetID]?.gateway } : [])
          if isGateway { routing.gateways.append(port) } else { routing.interfaces.append(port) }
        }
        routing.floatingIPs = leading.floatingIPs[router.id] ?? []
        routing.forwardings = leading.forwardings[router.id] ?? []
        return routing
      },
      networks: networks.map { network in
        var segment = RoutingTopology.Segment(network)
        segment.subnets = subnetsOf[network.id] ?? []
        segment.ports = (ports[network.id] ?? []).map { port, fixed in
          var whole = port
          whole.addresses = addresses(fixed)
          return whole
        }
        return segment
      })
  }

  /// Networks with a subnet that gives out addresses, or with a router's port.
  private static let routed: StaticString = """
    id IN (SELECT network_id FROM subnets WHERE is_dhcp_enabled = 1 UNION \
    SELECT p.network_id FROM router_ports r JOIN network_ports p ON p.id = r.port_id)
    """

  /// Ports that are neither a router's nor a floating IP's, by network, in the order of their ids.
  private static func machinePorts(
    in session: any Session
  ) throws -> [String: [(RoutingTopology.Port, [NetworkPort.FixedIP])]] {
    var addresses: [String: [NetworkPort.FixedIP]] = [:]
    let fixed = try session.query(
      "SELECT port_id, subnet_id, version, address_key FROM network_addresses ORDER BY port_id, position", []
    ) { row in (row.text(0), row.text(1), row.address(3, version: row.int(2))) }
    for (port, subnet, address) in fixed {
      if let address { addresses[port, default: []].append(.init(subnetID: subnet, address: address)) }
    }
    let rows = try session.query(
      """
      SELECT id, network_id, mac_address, is_admin_state_up, is_bound FROM network_ports WHERE is_being_deleted = 0 \
      AND id NOT IN (SELECT port_id FROM router_ports) AND id NOT IN (SELECT holder_port_id FROM floating_ips) ORDER BY id
      """, []
    ) { row in
      (
        row.text(1),
        RoutingTopology.Port(
          id: row.text(0), macAddress: row.text(2), isAdminStateUp: row.bool(3), isBound: row.bool(4))
      )
    }
    var out: [String: [(RoutingTopology.Port, [NetworkPort.FixedIP])]] = [:]
    for (network, port) in rows { out[network, default: []].append((port, addresses[port.id] ?? [])) }
    return out
  }

  private static func leading(
    in session: any Session
  ) throws -> (
    floatingIPs: [String: [RoutingTopology.FloatingAddress]], forwardings: [String: [RoutingTopology.Forwarding]]
  ) {
    let floatingIPs = try FloatingIPStore.list(in: session) { $0.append("WHERE router_id IS NOT NULL ORDER BY id") }
    let macs = try session.query(
      "SELECT f.id, p.mac_address, p.network_id FROM floating_ips f JOIN network_ports p ON p.id = f.port_id", []
    ) { ($0.text(0), (mac: $0.text(1), network: $0.text(2))) }
    let portOf = Dictionary(macs) { first, _ in first }
    let forwardings = Dictionary(
      grouping: try PortForwardingStore.list(in: session) { $0.append("ORDER BY id") }, by: \.floatingIPID)
    var found: [String: [RoutingTopology.FloatingAddress]] = [:]
    var forwarded: [String: [RoutingTopology.Forwarding]] = [:]
    for floatingIP in floatingIPs {
      guard let router = floatingIP.routerID else { continue }
      if let association = floatingIP.association, let port = portOf[floatingIP.id] {
        found[router, default: []].append(
          RoutingTopology.FloatingAddress(
            floatingIPID: floatingIP.id, address: floatingIP.address, fixedAddress: association.fixedAddress,
            portID: association.portID, macAddress: port.mac, networkID: port.network,
            externalNetworkID: floatingIP.networkID))
      }
      for forwarding in forwardings[floatingIP.id] ?? [] {
        forwarded[router, default: []].append(
          RoutingTopology.Forwarding(
            address: floatingIP.address, externalNetworkID: floatingIP.networkID, forwarding: forwarding))
      }
    }
    return (found, forwarded)
  }
}
