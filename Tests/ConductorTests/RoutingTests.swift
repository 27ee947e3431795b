import Domain
import DriverInterfaces
import Logging
import Store
import TestSupport
import Testing
import Wire

@testable import Conductor

/// Routers and floating IPs from the database to what carries them, and what is shown of them.
@Suite struct RoutingTests {
  private static let router = "00000000-0000-4000-8000-000000000001"
  private static let floating = "00000000-0000-4000-8000-000000000002"

  /// A server's life over a folder: the database in it, and the world that survives.
  private func life(_ folder: String, hasEngine: Bool = true, _ body: (CrashSite) async throws -> Void) async throws {
    var parts = SiteParts()
    if hasEngine { parts.routing = { WorldRouting($0) } }
    let site = try CrashSite(folder: folder, options: [:], parts: parts)
    try await body(site)
    site.database.close()
  }

  /// A router between a project's network and the outside, with a floating IP for a machine: as the network service commits it.
  private func commit(_ site: CrashSite) async throws {
    let conductor = site.conductor
    try await site.database.write { session in
      let now = CrashSite.now()
      func network(_ name: String, _ block: String, _ vlan: Int, isExternal: Bool) throws -> Subnet {
        let network = Network(
          projectID: "p", name: name, isExternal: isExternal, physicalNetwork: "datacentre", vlan: vlan, createdAt: now)
        try NetworkStore.insert(network, in: session)
        let cidr = try #require(CIDR(block))
        let subnet = Subnet(
          networkID: network.id, projectID: "p", name: name, cidr: cidr, gateway: Subnet.defaultGateway(cidr),
          isDHCPEnabled: !isExternal, pools: cidr.hosts.without(Subnet.defaultGateway(cidr)), createdAt: now)
        try SubnetStore.insert(subnet, in: session)
        return subnet
      }
      func port(_ subnet: Subnet, _ address: String) throws -> String {
        let port = NetworkPort(
          networkID: subnet.networkID, projectID: "p", name: "",
          fixedIPs: [.init(subnetID: subnet.id, address: try #require(IPAddress(address)))], createdAt: now)
        try NetworkPortStore.insert(port, in: session)
        return port.id
      }
      let inside = try network("inside", "10.0.1.0/24", 301, isExternal: false)
      let outside = try network("outside", "203.0.113.0/24", 302, isExternal: true)
      let router = Router(id: Self.router, projectID: "p", createdAt: now)
      try RouterStore.insert(router, in: session)
      try RouterStore.attach(try port(inside, "10.0.1.1"), as: .interface, to: router.id, in: session)
      try RouterStore.attach(try port(outside, "203.0.113.2"), as: .gateway, to: router.id, in: session)
      let machine = try port(inside, "10.0.1.11")
      try NetworkPortStore.bind(machine, hostID: "n", macAddress: "52:54:00:00:00:01", at: now, in: session)
      try FloatingIPStore.insert(
        FloatingIP(
          id: Self.floating, projectID: "p", networkID: outside.networkID,
          address: try #require(IPAddress("203.0.113.50")), holderPortID: try port(outside, "203.0.113.50"),
          association: .init(portID: machine, fixedAddress: try #require(IPAddress("10.0.1.11"))),
          routerID: router.id, createdAt: now), in: session)
      conductor.routingChanged(in: session)
    }
  }
  private func shown(_ site: CrashSite) async throws -> [String?] {
    try await site.database.read { session in
      [
        try RouterStore.get(Self.router, in: session)?.status.rawValue,
        try FloatingIPStore.get(Self.floating, in: session)?.status.rawValue,
      ]
    }
  }
  private func carried(_ site: CrashSite) -> [String: String] {
    site.world.values(prefix: "routing/").filter { !$0.key.hasPrefix("dhcp/") }
  }
  private let whole = ["router/\(router)": "10.0.1.1", "floatingip/\(floating)": "203.0.113.50 10.0.1.11"]

  @Test func withNothingThatCarriesThemFloatingIPsAreShownDown() async throws {
    try await withFolder("routing") { folder in
      try await life(folder, hasEngine: false) { site in
        try await commit(site)
        try await site.conductor.routingRound()
        #expect(try await shown(site) == ["ACTIVE", "DOWN"])
        #expect(try await site.conductor.examineRouting().first?.contains("nothing carries them") == true)
      }
      // An OVN is configured, and later taken away.
      try await life(folder) { site in
        try await site.conductor.routingRound()
        #expect(try await shown(site) == ["ACTIVE", "ACTIVE"])
        #expect(try await site.conductor.examineRouting().isEmpty)
        #expect(site.world.values(prefix: "routing/dhcp/").values.sorted() == ["52:54:00:00:00:01 10.0.1.11"])
      }
      try await life(folder, hasEngine: false) { site in
        try await site.conductor.routingRound()
        #expect(try await shown(site) == ["ACTIVE", "DOWN"])
      }
    }
  }

  @Test func aServerThatIsKilledAnywhereGoesOn() async throws {
    // Between the commit and the engine; after the engine obeyed and before anybody knew.
    for fault in [nil, "heard-routing"] {
      try await withFolder("routing") { folder in
        try await life(folder) { site in
          try await commit(site)
          if let fault {
            try site.world.ensure("fault/\(fault)", "unreachable")
            #expect(try await !site.conductor.carryRouting())
            #expect(carried(site) == whole)
          }
          #expect(try await shown(site) == ["ACTIVE", "DOWN"], "nobody knows yet that it is in force")
        }
        try await life(folder) { site in
          try site.world.ensure("fault/heard-routing", nil)
          try await site.conductor.routingRound()
          #expect(carried(site) == whole)
          #expect(try await shown(site) == ["ACTIVE", "ACTIVE"])
        }
      }
    }
  }

  @Test func whatIsShownFollowsWhatIsInForce() async throws {
    try await withFolder("routing") { folder in
      try await life(folder) { site in
        try await commit(site)
        try await site.conductor.routingRound()
        let round = try await site.database.read { try FloatingIPStore.get(Self.floating, in: $0)?.revision }
        #expect(round == 0, "what is shown is no change of the floating IP")

        // It leads elsewhere by now: the round that knows only the old place must not show it as in force.
        let old = try await site.database.read { try RoutingStatusStore.floatingIPs(in: $0).keys.first }
        try await site.database.write { session in
          guard var floating = try FloatingIPStore.get(Self.floating, in: session) else { return }
          floating.association = nil
          floating.routerID = nil
          floating.status = .down
          try FloatingIPStore.update(&floating, at: floating.createdAt, in: session)
          try RoutingStatusStore.set(.active, try #require(old), in: session)
        }
        #expect(try await shown(site) == ["ACTIVE", "DOWN"])
        try await site.conductor.routingRound()
        #expect(try await shown(site) == ["ACTIVE", "DOWN"])
        #expect(carried(site).count == 1)

        // The engine is away: what was in force stays shown, and the doctor says why.
        try site.world.ensure("fault/routing", "unreachable")
        #expect(try await !site.conductor.carryRouting())
        #expect(try await shown(site) == ["ACTIVE", "DOWN"])
        #expect(try await site.conductor.examineRouting().count == 1)
      }
    }
  }
}
