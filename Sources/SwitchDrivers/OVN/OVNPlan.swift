import Domain
import DriverInterfaces

/// The rows of OVN's northbound database that bring a topology about. Decides, and asks nobody.
///
/// Every machine is behind a VLAN of a physical network, so all of a router runs on one chassis, where frames come in and
/// go out: one of its ports is bound to the group of chassis and the others reside with it. Then no other chassis sends
/// frames under the router's MAC address, which switches would learn on the wrong port.
/// Machines' ports are `external`: the same chassis answers their DHCP.
struct OVNPlan: Sendable {
  /// Names of the chassis (`external_ids:system-id`) in order of preference.
  let chassis: [String]

  static let group = OVNKey(.chassisGroup, "site")
  /// Seconds for which an address is good: ML2/OVN's.
  static let leaseTime = 43_200

  func rows(for topology: LogicalTopology) -> [OVNKey: OVNRow] {
    var rows = Rows()
    addChassis(to: &rows)
    for network in topology.networks { add(network, to: &rows) }
    for router in topology.routers { add(router, to: &rows) }
    return rows.byKey
  }

  private struct Rows {
    var byKey: [OVNKey: OVNRow] = [:]
    mutating func add(_ key: OVNKey, _ values: [String: OVNValue]) { byKey[key] = OVNRow(key: key, values: values) }
    /// Puts a row into a column of the row that has it.
    mutating func attach(_ key: OVNKey, to parent: OVNKey, _ column: String) {
      guard case .rows(var keys) = byKey[parent]?.values[column] else { return }
      keys.insert(key)
      byKey[parent]?.values[column] = .rows(keys)
    }
  }

  private func addChassis(to rows: inout Rows) {
    rows.add(Self.group, ["name": .text("steelyard"), "ha_chassis": .rows([])])
    for (index, name) in chassis.enumerated() {
      let key = OVNKey(.chassis, "chassis/\(name)")
      rows.add(key, ["chassis_name": .text(name), "priority": .number(max(32_000 - index * 10, 1))])
      rows.attach(key, to: Self.group, "ha_chassis")
    }
  }

  // MARK: Networks

  private static func key(ofNetwork id: String) -> OVNKey { OVNKey(.logicalSwitch, "network/\(id)") }

  private func add(_ network: LogicalTopology.Network, to rows: inout Rows) {
    let key = Self.key(ofNetwork: network.id)
    rows.add(key, ["name": .text("network-\(network.id)"), "ports": .rows([])])
    addPort(
      OVNKey(.switchPort, "localnet/\(network.id)"), of: key, name: "localnet-\(network.id)", type: "localnet",
      options: ["network_name": network.physicalNetwork], tag: network.vlan, addresses: ["unknown"], to: &rows)
    for subnet in network.subnets {
      rows.add(
        OVNKey(.dhcpOptions, "subnet/\(subnet.id)"),
        ["cidr": .text("\(subnet.cidr)"), "options": .map(Self.options(of: subnet, network))])
    }
    for port in network.ports {
      let subnet = network.subnets.first { subnet in port.addresses.contains { subnet.cidr.contains($0) } }
      addPort(
        OVNKey(.switchPort, "port/\(port.id)"), of: key, name: port.id, type: "external",
        addresses: [([port.macAddress.description] + port.addresses.map(\.description)).joined(separator: " ")],
        isEnabled: port.isEnabled, dhcp: subnet.map { OVNKey(.dhcpOptions, "subnet/\($0.id)") }, group: Self.group,
        to: &rows)
    }
  }

  private func addPort(
    _ key: OVNKey, of network: OVNKey, name: String, type: String, options: [String: String] = [:], tag: Int? = nil,
    addresses: Set<String>, isEnabled: Bool? = nil, dhcp: OVNKey? = nil, group: OVNKey? = nil, to rows: inout Rows
  ) {
    // A port of no network would vanish as it is made.
    guard rows.byKey[network] != nil else { return }
    rows.add(
      key,
      [
        "name": .text(name), "type": .text(type), "options": .map(options), "tag": .optionalNumber(tag),
        "addresses": .texts(addresses), "enabled": .optionalFlag(isEnabled), "dhcpv4_options": .row(dhcp),
        "ha_chassis_group": .row(group),
      ])
    rows.attach(key, to: network, "ports")
  }

  /// Source: ovn-nb(5), "DHCP_Options TABLE".
  private static func options(of subnet: LogicalTopology.Subnet, _ network: LogicalTopology.Network) -> [String: String]
  {
    // Without a gateway nobody has the address, and machines renew by broadcast.
    let server = subnet.gateway?.description ?? "169.254.0.1"
    var options = [
      "server_id": server, "server_mac": serverMAC(network), "lease_time": "\(leaseTime)", "mtu": "\(subnet.mtu)",
    ]
    if let gateway = subnet.gateway { options["router"] = "\(gateway)" }
    let nameservers = subnet.nameservers.filter { $0.version == 4 }
    if !nameservers.isEmpty {
      options["dns_server"] = "{\(nameservers.map(\.description).joined(separator: ", "))}"
    }
    var routes = subnet.routes.filter { $0.destination.version == 4 }.map { "\($0.destination),\($0.nextHop)" }
    if !routes.isEmpty {
      // A machine that is told of routes passes over the router (RFC 3442), so the default route is among them.
      if let gateway = subnet.gateway { routes.append("0.0.0.0/0,\(gateway)") }
      options["classless_static_route"] = "{\(routes.joined(separator: ", "))}"
    }
    return options
  }
  /// The address that DHCP answers come from: locally administered, the same at every start.
  private static func serverMAC(_ network: LogicalTopology.Network) -> String {
    let digits = network.id.utf8.filter { ($0 >= 48 && $0 <= 57) || ($0 >= 97 && $0 <= 102) }.prefix(8)
    var text = Array(String(decoding: digits, as: UTF8.self))
    text += Array(repeating: "0", count: 8 - text.count)
    return "0a:5d:" + stride(from: 0, to: 8, by: 2).map { String(text[$0..<$0 + 2]) }.joined(separator: ":")
  }

  // MARK: Routers

  private func add(_ router: LogicalTopology.Router, to rows: inout Rows) {
    let key = OVNKey(.router, "router/\(router.id)")
    rows.add(
      key,
      [
        "name": .text("router-\(router.id)"), "enabled": .optionalFlag(router.isEnabled),
        // As ML2/OVN sets them: other routers of an external network are asked for their MAC address when they are needed,
        // and requests that are not for this router teach it nothing.
        "options": .map(["always_learn_from_arp_request": "false", "dynamic_neigh_routers": "true"]),
        "ports": .rows([]), "static_routes": .rows([]), "policies": .rows([]), "nat": .rows([]),
        "load_balancer": .rows([]),
      ])
    let interfaces = router.interfaces.sorted { $0.id < $1.id }
    let bound = router.gateway?.interface.id ?? interfaces.first?.id
    for interface in interfaces + (router.gateway.map { [$0.interface] } ?? []) {
      add(interface, of: key, isBound: interface.id == bound, to: &rows)
    }
    for route in router.routes {
      let name = "route/\(router.id)/\(route.destination)/\(route.nextHop)"
      addRoute(OVNKey(.route, name), of: key, route, port: nil, to: &rows)
    }
    if let gateway = router.gateway { add(gateway, of: router, key, to: &rows) }
  }

  private func add(_ interface: LogicalTopology.Interface, of router: OVNKey, isBound: Bool, to rows: inout Rows) {
    let key = OVNKey(.routerPort, "port/\(interface.id)")
    rows.add(
      key,
      [
        "name": .text(Self.name(of: interface)), "mac": .text(interface.macAddress.description),
        "networks": .texts(Set(interface.addresses.map { "\($0.address)/\($0.subnet.prefix)" })),
        "options": .map(isBound ? [:] : ["reside-on-redirect-chassis": "true"]),
        "ha_chassis_group": .row(isBound ? Self.group : nil),
      ])
    rows.attach(key, to: router, "ports")
    // The chassis tells the switches where the router's addresses are, also after it has taken over.
    addPort(
      OVNKey(.switchPort, "port/\(interface.id)"), of: Self.key(ofNetwork: interface.networkID), name: interface.id,
      type: "router", options: ["router-port": Self.name(of: interface), "nat-addresses": "router"],
      addresses: ["router"], to: &rows)
  }
  private static func name(of interface: LogicalTopology.Interface) -> String { "lrp-\(interface.id)" }

  private func addRoute(
    _ key: OVNKey, of router: OVNKey, _ route: LogicalTopology.Route, port: LogicalTopology.Interface?,
    to rows: inout Rows
  ) {
    rows.add(
      key,
      [
        "ip_prefix": .text("\(route.destination)"), "nexthop": .text("\(route.nextHop)"),
        "output_port": .optionalText(port.map { Self.name(of: $0) }),
      ])
    rows.attach(key, to: router, "static_routes")
  }

  private func add(
    _ gateway: LogicalTopology.Gateway, of router: LogicalTopology.Router, _ key: OVNKey, to rows: inout Rows
  ) {
    for nextHop in gateway.nextHops {
      let all = nextHop.version == 4 ? CIDR("0.0.0.0/0") : CIDR("::/0")
      guard let all else { continue }
      // By its own port: whoever lies about the external network's addresses inside must not get the traffic.
      addRoute(
        OVNKey(.route, "default/\(router.id)/\(nextHop)"), of: key, .init(all, via: nextHop), port: gateway.interface,
        to: &rows)
    }
    let inside = Set(router.interfaces.flatMap(\.addresses).map(\.subnet).filter { $0.version == 4 })
      .sorted { ($0.network, $0.prefix) < ($1.network, $1.prefix) }
    let outside = gateway.interface.addresses.map(\.address).first { $0.version == 4 }
    if gateway.translatesSources, let outside {
      for subnet in inside {
        addTranslation(
          OVNKey(.translation, "snat/\(router.id)/\(subnet)"), of: key, "snat", "\(outside)", "\(subnet)", to: &rows)
      }
    }
    if gateway.translatesSources, !inside.isEmpty {
      // Else any neighbour on the external network, another tenant's router too, would come in by a route through us.
      let guarded = OVNKey(.policy, "inside/\(router.id)")
      let blocks = inside.map(\.description).joined(separator: ", ")
      rows.add(
        guarded,
        [
          "priority": .number(30_000), "action": .text("drop"),
          "match": .text(
            "inport == \"\(Self.name(of: gateway.interface))\" && ip4.dst == {\(blocks)} && (!ct.trk || !ct.dnat)"),
        ])
      rows.attach(guarded, to: key, "policies")
    }
    for floating in router.floatingIPs {
      addTranslation(
        OVNKey(.translation, "floatingip/\(floating.id)"), of: key, "dnat_and_snat", "\(floating.address)",
        "\(floating.fixedAddress)", to: &rows)
    }
    add(router.forwardings, of: router, key, to: &rows)
  }

  private func addTranslation(
    _ key: OVNKey, of router: OVNKey, _ type: String, _ outside: String, _ inside: String, to rows: inout Rows
  ) {
    rows.add(key, ["type": .text(type), "external_ip": .text(outside), "logical_ip": .text(inside)])
    rows.attach(key, to: router, "nat")
  }

  /// One load balancer for each outside address and transport, as ML2/OVN does it.
  private func add(
    _ forwardings: [LogicalTopology.PortForwarding], of router: LogicalTopology.Router, _ key: OVNKey,
    to rows: inout Rows
  ) {
    for (name, some) in Dictionary(grouping: forwardings, by: { "\($0.address)/\($0.transport.rawValue)" }) {
      guard let transport = some.first?.transport else { continue }
      let balancer = OVNKey(.loadBalancer, "forwarding/\(router.id)/\(name)")
      let vips = Dictionary(
        some.map { ("\($0.address):\($0.port)", "\($0.fixedAddress):\($0.fixedPort)") }, uniquingKeysWith: { $1 })
      rows.add(
        balancer,
        [
          "name": .text("forwarding-\(router.id)-\(name)"), "protocol": .optionalText(transport.rawValue),
          "vips": .map(vips),
        ])
      rows.attach(balancer, to: key, "load_balancer")
    }
  }
}
