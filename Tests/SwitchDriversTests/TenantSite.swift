import Domain
import DriverInterfaces
import Testing

@testable import SwitchDrivers

/// Two tenants as a topology: networks 1 and 2 behind router 1, network 3 behind router 2, both routers on one external
/// network; a machine on each network.
struct TenantSite {
  /// As names of ports, in which ids are.
  static func id(_ kind: Int, _ number: Int) -> String { "00000000-0000-4000-8000-\(kind)0000000000\(number)" }
  static let outside = "203.0.113.1"

  var topology: LogicalTopology

  static func mac(_ kind: Int, _ number: Int) throws -> MACAddress {
    try #require(MACAddress("fa:16:3e:00:0\(kind):0\(number)"))
  }
  static func address(_ text: String) throws -> IPAddress { try #require(IPAddress(text)) }
  static func block(_ text: String) throws -> CIDR { try #require(CIDR(text)) }

  init() throws {
    var networks: [LogicalTopology.Network] = []
    for number in 1...3 {
      let gateway = try Self.address("10.\(number).0.1")
      let subnet = LogicalTopology.Subnet(
        id: Self.id(2, number), cidr: try Self.block("10.\(number).0.0/24"), gateway: gateway,
        nameservers: [try Self.address("192.0.2.53"), try Self.address("192.0.2.54")], mtu: 1442)
      let port = LogicalTopology.Port(
        id: Self.id(3, number), macAddress: try Self.mac(1, number),
        addresses: [try Self.address("10.\(number).0.11")])
      networks.append(
        .init(
          id: Self.id(1, number), physicalNetwork: "datacentre", vlan: 200 + number, subnets: [subnet], ports: [port]))
    }
    networks.append(.init(id: Self.id(1, 9), physicalNetwork: "datacentre", vlan: 299))
    topology = LogicalTopology(
      networks: networks, routers: [try Self.router(1, networks: [1, 2]), try Self.router(2, networks: [3])])
  }

  static func router(_ number: Int, networks: [Int]) throws -> LogicalTopology.Router {
    LogicalTopology.Router(
      id: id(4, number),
      interfaces: try networks.map { network in
        LogicalTopology.Interface(
          id: id(5, network), networkID: id(1, network), macAddress: try mac(2, network),
          addresses: [.init(try address("10.\(network).0.1"), in: try block("10.\(network).0.0/24"))])
      },
      gateway: .init(
        interface: .init(
          id: id(6, number), networkID: id(1, 9), macAddress: try mac(3, number),
          addresses: [.init(try address("203.0.113.\(10 + number)"), in: try block("203.0.113.0/24"))]),
        nextHops: [try address(outside)]))
  }

  /// Gives an outside address to a machine of router 1.
  mutating func float(_ floating: String, to fixed: String) throws {
    topology.routers[0].floatingIPs = [
      .init(id: Self.id(7, 1), address: try Self.address(floating), fixedAddress: try Self.address(fixed))
    ]
  }
}

extension TenantSite {
  /// Starts a switch that is OVN's chassis as well, its machines, and gives all of it to `body`.
  static func with(
    _ body: (TenantSite, VirtualSwitch, VirtualOVN, OVNRouting, [String: Machine], MachineRoom) async throws -> Void
  ) async throws {
    let vlans = ["m1": 201, "m2": 202, "m3": 203, "stranger": 201, "outside": 299]
    try await VirtualSwitch.with(taps: vlans.keys.sorted()) { home, taps in
      try await VirtualOVN.with { ovn in
        try await ovn.addChassis("c1", on: home)
        let ports = vlans.mapValues { PortConfiguration(native: $0) }
        try await home.driver().apply(ports, label: nil)
        var machines: [String: Machine] = [:]
        for (name, tap) in taps {
          let number = Int(name.dropFirst())
          let mac = try number.map { try Self.mac(1, $0) } ?? Self.mac(9, name == "outside" ? 1 : 2)
          machines[name] = Machine(name, mac: mac, tap: tap)
        }
        machines["outside"]?.configure("\(outside)/24")
        try await body(
          TenantSite(), home, ovn, ovn.driver(), machines, MachineRoom(machines: Array(machines.values)))
      }
    }
  }
}
