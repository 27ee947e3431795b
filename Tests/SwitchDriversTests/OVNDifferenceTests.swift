import Domain
import DriverInterfaces
import Testing
import Wire

@testable import SwitchDrivers

/// The comparison by itself, and against a real northbound database without anybody behind it.
@Suite struct OVNDifferenceTests {
  private static let plan = OVNPlan(chassis: ["c1", "c2", "c3"])

  @Test func exactlyOnePortOfARouterIsBoundToTheChassis() throws {
    var site = try TenantSite()
    func bound() -> [String] {
      Self.plan.rows(for: site.topology).values.filter {
        $0.key.table == .routerPort && $0.values["ha_chassis_group"] == .row(OVNPlan.group)
      }.map(\.key.name).sorted()
    }
    #expect(bound() == ["port/\(TenantSite.id(6, 1))", "port/\(TenantSite.id(6, 2))"], "their gateways")
    site.topology.routers[0].gateway = nil
    #expect(bound() == ["port/\(TenantSite.id(5, 1))", "port/\(TenantSite.id(6, 2))"], "without a gateway another")
    site.topology.routers[0].interfaces = []
    #expect(bound() == ["port/\(TenantSite.id(6, 2))"])
  }

  @Test func sourcesAreTranslatedOnlyWhereThatIsWanted() throws {
    var site = try TenantSite()
    func translated() -> Set<OVNKey> {
      Set(Self.plan.rows(for: site.topology).keys.filter { $0.table == .translation || $0.table == .policy })
    }
    let router = TenantSite.id(4, 1)
    let all = translated()
    site.topology.routers[0].gateway?.translatesSources = false
    #expect(
      all.subtracting(translated()) == [
        OVNKey(.translation, "snat/\(router)/10.1.0.0/24"), OVNKey(.translation, "snat/\(router)/10.2.0.0/24"),
        OVNKey(.policy, "inside/\(router)"),
      ])
  }

  @Test func whatWasWrittenIsReadBackAsItWas() async throws {
    try await VirtualOVN.with(translates: false) { ovn in
      let client = OVSDBClient(try #require(OVSDBEndpoint(ovn.northbound)))
      var site = try TenantSite()
      try site.float("203.0.113.50", to: "10.1.0.11")
      func difference(_ topology: LogicalTopology) async throws -> OVNDifference {
        OVNDifference(wanted: Self.plan.rows(for: topology), found: try await rows(client))
      }
      func bringAbout(_ topology: LogicalTopology) async throws -> OVNDifference {
        let difference = try await difference(topology)
        _ = try await client.transact("OVN_Northbound", difference.operations)
        #expect(try await self.rowsDiffer(client, topology) == [], "one transaction is enough")
        return difference
      }
      #expect(try await bringAbout(site.topology).operations.count == Self.plan.rows(for: site.topology).count)

      // What another has is left alone: rows of its own, and its rows in ours.
      try await ovn.nbctl([
        "ls-add", "theirs", "--", "lsp-add", "theirs", "their-port", "--", "lr-add", "their-router", "--",
        "--id=@r", "create", "Logical_Router_Policy", "priority=7", "match=ip4", "action=allow", "--", "add",
        "Logical_Router", "router-\(TenantSite.id(4, 1))", "policies", "@r", "--", "set", "Logical_Switch",
        "network-\(TenantSite.id(1, 1))", "other_config:theirs=yes",
      ])
      #expect(try await difference(site.topology).isEmpty)

      // One floating IP moves: one row changes.
      try site.float("203.0.113.50", to: "10.2.0.11")
      let moved = try await bringAbout(site.topology)
      #expect(moved.operations.count == 1)
      #expect(moved.operations.first?["op"] == "update" && moved.operations.first?["table"] == "NAT")

      // A port goes from its network; a router loses its gateway, another goes as a whole; a network goes.
      site.topology.networks[0].ports = []
      site.topology.routers[0].gateway = nil
      site.topology.routers[0].floatingIPs = []
      site.topology.routers.remove(at: 1)
      site.topology.networks.remove(at: 2)
      _ = try await bringAbout(site.topology)
      let names = try await ovn.nbctl(["--bare", "--columns=name", "list", "Logical_Router"])
      #expect(
        names.split(whereSeparator: \.isWhitespace).sorted() == ["router-\(TenantSite.id(4, 1))", "their-router"])
      #expect(try await ovn.nbctl(["lr-policy-list", "router-\(TenantSite.id(4, 1))"]).contains("ip4"))

      // Hands that mean well: a value, a row away, a row twice.
      try await ovn.nbctl([
        "set", "Logical_Switch_Port", TenantSite.id(3, 2), "addresses=unknown", "--", "lrp-del",
        "lrp-\(TenantSite.id(5, 1))", "--", "create", "Logical_Switch",
        "external_ids:steelyard=network/\(TenantSite.id(1, 1))", "name=again",
      ])
      let found = try await bringAbout(site.topology).sentences
      #expect(found.contains { $0.contains("addresses is \"unknown\"") })
      #expect(found.contains { $0.contains("port/\(TenantSite.id(5, 1)) is not there") })

      // Nothing is wanted: nothing of ours is left but the group of chassis, and all of theirs.
      _ = try await bringAbout(LogicalTopology())
      let left = try await rows(client).mapValues(\.count).filter { $0.value > 0 }
      #expect(left == [.chassisGroup: 1, .chassis: 3, .logicalSwitch: 1, .switchPort: 1, .router: 1])
    }
  }

  private func rows(_ client: OVSDBClient) async throws -> [OVNTable: [JSON]] {
    let results = try await client.transact(
      "OVN_Northbound",
      OVNTable.allCases.map { ["op": "select", "table": .string($0.rawValue), "where": []] })
    return Dictionary(
      uniqueKeysWithValues: zip(OVNTable.allCases, results).map { ($0, $1["rows"]?.array ?? []) })
  }
  private func rowsDiffer(_ client: OVSDBClient, _ topology: LogicalTopology) async throws -> [String] {
    OVNDifference(wanted: Self.plan.rows(for: topology), found: try await rows(client)).sentences
  }

  @Test func withoutAnybodyBehindTheDatabaseNothingIsInForce() async throws {
    try await VirtualOVN.with(translates: false) { ovn in
      let driver = try ovn.driver(limit: .milliseconds(1500))
      try await driver.probe()
      let site = try TenantSite()
      let error = await #expect(throws: DriverError.self) { try await driver.apply(site.topology) }
      #expect(error?.code == .unreachable && error?.detail.contains("ovn-northd has not taken the change") == true)
      // Again: all is written, and still nobody has taken it.
      await #expect(throws: DriverError.self) { try await driver.apply(site.topology) }
      #expect(try await driver.differences(from: site.topology).isEmpty)
    }
    let gone = try OVNRouting(
      OVNConfiguration(northbound: "unix:/nowhere/nb.sock", chassis: ["c1"], physicalNetworks: []),
      logger: .init(label: "test"), limit: .milliseconds(200))
    let error = await #expect(throws: DriverError.self) { try await gone.probe() }
    #expect(error?.code == .unreachable)
    #expect(throws: DriverError.self) {
      try OVNRouting(
        OVNConfiguration(northbound: "ssl:1.2.3.4:6641", chassis: ["c1"], physicalNetworks: []),
        logger: .init(label: "test"))
    }
  }
}
