import Domain
import Store
import Wire

/// An external network, and of each project a router into it with an interface, and a floating IP with a port forwarding.
extension Fixtures {
  static func routers(_ now: Timestamp, in session: any Session) throws {
    let outside = Network(
      id: MatrixSite.uuid("network-outside"), projectID: MatrixSite.id("project-sharer"), name: "net-outside",
      isExternal: true, physicalNetwork: "datacentre", vlan: 204, createdAt: now)
    try NetworkStore.insert(outside, in: session)
    try RBACPolicyStore.insert(
      RBACPolicy(
        id: MatrixSite.uuid("rbac_policy-outside"), projectID: outside.projectID, objectType: .network,
        objectID: outside.id, action: .external, target: RBACPolicy.everyone, createdAt: now), in: session)
    guard let cidr = CIDR("203.0.113.0/24") else { return }
    try SubnetStore.insert(
      Subnet(
        id: MatrixSite.uuid("subnet-outside"), networkID: outside.id, projectID: outside.projectID, name: "sub-outside",
        cidr: cidr, gateway: cidr.hosts.start, pools: Subnet.defaultPools(cidr, gateway: cidr.hosts.start),
        createdAt: now), in: session)
    for (index, side) in ["tenant", "elsewhere"].enumerated() {
      let project = MatrixSite.id("project-\(side)")
      try router(side, of: project, index, now, in: session)
      guard let address = IPAddress("203.0.113.\(20 + index)"), let inside = IPAddress("10.\(100 + index).1.9") else {
        return
      }
      try NetworkPortStore.insert(
        NetworkPort(
          id: MatrixSite.uuid("forwarded-\(side)"), networkID: MatrixSite.uuid("network-\(side)"), projectID: project,
          name: "", fixedIPs: [.init(subnetID: MatrixSite.uuid("routed-\(side)"), address: inside)], createdAt: now),
        in: session)
      let id = MatrixSite.uuid("floatingip-\(side)")
      let holder = NetworkPort(
        networkID: outside.id, projectID: "", name: "", deviceID: id, deviceOwner: FloatingIP.deviceOwner,
        fixedIPs: [.init(subnetID: MatrixSite.uuid("subnet-outside"), address: address)], createdAt: now)
      try NetworkPortStore.insert(holder, in: session)
      try FloatingIPStore.insert(
        FloatingIP(
          id: id, projectID: project, networkID: outside.id, address: address, holderPortID: holder.id,
          routerID: MatrixSite.uuid("router-\(side)"), status: .active, tags: ["blue"], createdAt: now), in: session)
      try PortForwardingStore.insert(
        PortForwarding(
          id: MatrixSite.uuid("forwarding-\(side)"), floatingIPID: id, transport: .tcp, externalPorts: 80...80,
          internalPorts: 80...80, portID: MatrixSite.uuid("forwarded-\(side)"), internalAddress: inside),
        in: session)
    }
  }

  private static func router(
    _ side: String, of project: String, _ index: Int, _ now: Timestamp, in session: any Session
  ) throws {
    let network = MatrixSite.uuid("network-\(side)")
    for (third, name) in [(1, "routed"), (2, "unrouted")] {
      guard let cidr = CIDR("10.\(100 + index).\(third).0/24") else { continue }
      try SubnetStore.insert(
        Subnet(
          id: MatrixSite.uuid("\(name)-\(side)"), networkID: network, projectID: project, name: name, cidr: cidr,
          gateway: cidr.hosts.start, pools: [], createdAt: now), in: session)
    }
    let router = Router(
      id: MatrixSite.uuid("router-\(side)"), projectID: project, name: "r-\(side)", tags: ["blue"], createdAt: now)
    try RouterStore.insert(router, in: session)
    guard let address = IPAddress("10.\(100 + index).1.1") else { return }
    let port = NetworkPort(
      networkID: network, projectID: project, name: "", deviceID: router.id,
      deviceOwner: Router.Attachment.Kind.interface.rawValue,
      fixedIPs: [.init(subnetID: MatrixSite.uuid("routed-\(side)"), address: address)], createdAt: now)
    try NetworkPortStore.insert(port, in: session)
    try RouterStore.attach(port.id, as: .interface, to: router.id, in: session)
    guard let outside = IPAddress("203.0.113.\(10 + index)") else { return }
    let gateway = NetworkPort(
      networkID: MatrixSite.uuid("network-outside"), projectID: "", name: "", deviceID: router.id,
      deviceOwner: Router.Attachment.Kind.gateway.rawValue,
      fixedIPs: [.init(subnetID: MatrixSite.uuid("subnet-outside"), address: outside)], createdAt: now)
    try NetworkPortStore.insert(gateway, in: session)
    try RouterStore.attach(gateway.id, as: .gateway, to: router.id, in: session)
  }

  /// What a caller would send to routers and floating IPs.
  static let routerBodies: [String: JSON] = [
    "neutron POST /v2.0/routers": ["router": ["name": "new"]],
    "neutron PUT /v2.0/routers/{router}": ["router": ["name": "x"]],
    "neutron PUT /v2.0/routers/{router}/add_router_interface": [
      "subnet_id": .string(MatrixSite.uuid("unrouted-tenant"))
    ],
    "neutron PUT /v2.0/routers/{router}/remove_router_interface": [
      "subnet_id": .string(MatrixSite.uuid("routed-tenant"))
    ],
    "neutron PUT /v2.0/routers/{router}/add_extraroutes": [
      "router": ["routes": [["destination": "10.8.0.0/24", "nexthop": "10.100.1.7"]]]
    ],
    "neutron PUT /v2.0/routers/{router}/remove_extraroutes": ["router": ["routes": []]],
    "neutron PUT /v2.0/routers/{router}/add_external_gateways": [
      "router": ["external_gateways": [["network_id": .string(MatrixSite.uuid("network-outside"))]]]
    ],
    "neutron PUT /v2.0/routers/{router}/update_external_gateways": [
      "router": ["external_gateways": [["network_id": .string(MatrixSite.uuid("network-outside"))]]]
    ],
    "neutron PUT /v2.0/routers/{router}/remove_external_gateways": ["router": ["external_gateways": []]],
    "neutron POST /v2.0/floatingips": [
      "floatingip": ["floating_network_id": .string(MatrixSite.uuid("network-outside"))]
    ],
    "neutron PUT /v2.0/floatingips/{floatingip}": ["floatingip": ["description": "x"]],
    "neutron POST /v2.0/floatingips/{floatingip}/port_forwardings": [
      "port_forwarding": [
        "internal_port_id": .string(MatrixSite.uuid("forwarded-tenant")), "protocol": "tcp", "internal_port": 1,
        "external_port": 1,
      ]
    ],
    "neutron PUT /v2.0/floatingips/{floatingip}/port_forwardings/{forwarding}": [
      "port_forwarding": ["description": "x"]
    ],
  ]
}
