import Domain
import DriverInterfaces
import Testing
import Wire

@testable import Conductor

/// What of the wanted routers and DHCP is asked of OVN.
@Suite struct RoutingPlanTests {
  private static let now = Timestamp(microseconds: 0)

  private func segment(_ id: String, _ block: String, physicalNetwork: String = "dc", isExternal: Bool = false) throws
    -> RoutingTopology.Segment
  {
    var network = Network(
      id: id, projectID: "p", name: id, physicalNetwork: physicalNetwork, vlan: 200, createdAt: Self.now)
    network.isExternal = isExternal
    var segment = RoutingTopology.Segment(network)
    let cidr = try #require(CIDR(block))
    var subnet = Subnet(
      id: "subnet-\(id)", networkID: id, projectID: "p", name: "", cidr: cidr, gateway: Subnet.defaultGateway(cidr),
      pools: [], createdAt: Self.now)
    subnet.isDHCPEnabled = !isExternal
    segment.subnets = [subnet]
    return segment
  }
  private func port(_ id: String, _ network: String, _ address: String) throws -> RoutingTopology.RouterPort {
    RoutingTopology.RouterPort(
      portID: id, macAddress: "fa:16:3e:00:00:01", networkID: network,
      addresses: [.init(subnetID: "subnet-\(network)", address: try #require(IPAddress(address)), prefix: 24)],
      nextHops: [])
  }
  private func router(_ id: String) throws -> RoutingTopology.Routing {
    var router = RoutingTopology.Routing(Router(id: id, projectID: "p", createdAt: Self.now))
    router.interfaces = [try port("inside-\(id)", "n1", "10.0.1.1")]
    var gateway = try port("outside-\(id)", "ext", "203.0.113.2")
    gateway.nextHops = [try #require(IPAddress("203.0.113.1"))]
    router.gateways = [gateway]
    return router
  }

  @Test func onlyMachinesThatAreThereAreServed() throws {
    var network = try segment("n1", "10.0.1.0/24")
    func machine(_ id: String, isBound: Bool = true, isUp: Bool = true) -> RoutingTopology.Port {
      .init(id: id, macAddress: "52:54:00:00:00:01", isAdminStateUp: isUp, isBound: isBound)
    }
    network.ports = [machine("a"), machine("b", isBound: false), machine("c", isUp: false)]
    network.subnets[0].hostRoutes = [
      .init(destination: "192.0.2.0/24", nextHop: "10.0.1.9"), .init(destination: "nonsense", nextHop: "10.0.1.9"),
    ]
    network.subnets[0].dnsNameservers = ["192.0.2.53"]

    let plan = RoutingPlan(RoutingTopology(routers: [], networks: [network]), physicalNetworks: ["dc"])
    let served = try #require(plan.topology.networks.first)
    #expect(served.ports.map(\.id) == ["a", "c"])
    #expect(served.ports.map(\.isEnabled) == [true, false])
    #expect(served.subnets.first?.routes.count == 1 && served.subnets.first?.nameservers.count == 1)

    network.isAdminStateUp = false
    network.subnets[0].isDHCPEnabled = false
    let off = RoutingPlan(RoutingTopology(routers: [], networks: [network]), physicalNetworks: ["dc"])
    #expect(off.topology.networks.first?.ports.allSatisfy { !$0.isEnabled } == true)
    #expect(off.topology.networks.first?.subnets.isEmpty == true)
    // On switches that OVN is not connected to it serves nobody.
    let far = RoutingPlan(RoutingTopology(routers: [], networks: [network]), physicalNetworks: ["other"])
    #expect(far.topology.networks.isEmpty && far.routerProblems.isEmpty)
  }

  @Test func whatCannotBeCarriedIsNamedAndTheRestIsCarried() throws {
    let networks = [
      try segment("ext", "203.0.113.0/24", isExternal: true), try segment("n1", "10.0.1.0/24"),
      try segment("n2", "10.0.2.0/24", physicalNetwork: "far"),
    ]
    var whole = try router("whole")
    let fixed = try #require(IPAddress("10.0.1.11"))
    let outside = try #require(IPAddress("203.0.113.60"))
    func forwarding(
      _ id: String, _ transport: PortForwarding.TransportProtocol, _ ports: ClosedRange<Int>,
      to inside: ClosedRange<Int>
    )
      -> RoutingTopology.Forwarding
    {
      .init(
        address: outside, externalNetworkID: "ext",
        forwarding: PortForwarding(
          floatingIPID: id, transport: transport, externalPorts: ports, internalPorts: inside, portID: "a",
          internalAddress: fixed))
    }
    whole.forwardings = [
      forwarding("f1", .tcp, 2000...2002, to: 22...24), forwarding("f2", .udp, 53...54, to: 5353...5353),
      forwarding("f3", .dccp, 1...1, to: 1...1), forwarding("f4", .tcp, 10_000...12_000, to: 80...80),
    ]
    var partial = try router("partial")
    partial.interfaces.append(try port("inside-2", "n2", "10.0.2.1"))
    partial.gateways.append(try port("outside-2", "ext", "203.0.113.9"))

    let plan = RoutingPlan(RoutingTopology(routers: [partial, whole], networks: networks), physicalNetworks: ["dc"])
    let carried = try #require(plan.topology.routers.last)
    #expect(carried.forwardings.map(\.port) == [2000, 2001, 2002, 53, 54])
    #expect(carried.forwardings.map(\.fixedPort) == [22, 23, 24, 5353, 5353])
    #expect(carried.gateway?.nextHops.count == 1 && carried.gateway?.translatesSources == true)
    #expect(Set(plan.floatingIPProblems.keys) == ["f3", "f4"])
    #expect(plan.topology.routers.first?.interfaces.map(\.id) == ["inside-partial"])
    let problem = try #require(plan.routerProblems["partial"])
    #expect(problem.contains("physical network 'far'") && problem.contains("2 gateways"))
    #expect(plan.routerProblems["whole"] == nil)
  }
}
