import Domain
import Testing
import Wire

@Suite struct AccessListTests {
  private static let now = Timestamp(seconds: 1_800_000_000)
  private static func rule(
    _ direction: SecurityGroupRule.Direction, _ version: Int = 4, _ name: String? = nil, _ ports: (Int, Int)? = nil,
    prefix: String? = nil, group: String? = nil
  ) -> SecurityGroupRule {
    SecurityGroupRule(
      groupID: "g", projectID: "p", direction: direction, version: version, protocolName: name, portMinimum: ports?.0,
      portMaximum: ports?.1, remotePrefix: prefix, remoteGroupID: group, createdAt: now)
  }
  private static func list(_ rules: [SecurityGroupRule], members: [String: [CIDR]] = [:], _ port: NetworkPort? = nil)
    -> AccessList
  {
    let group = SecurityGroup(id: "g", projectID: "p", name: "web", rules: rules, createdAt: now)
    let plain = NetworkPort(
      networkID: "n", projectID: "p", name: "", macAddress: "52:54:00:00:00:01", createdAt: now)
    return AccessList(of: port ?? plain, groups: [group], members: members)
  }

  @Test func rulesBecomeWhatPasses() throws {
    let (one, six) = (try #require(CIDR("10.0.0.1/32")), try #require(CIDR("fd00::1/128")))
    let made = Self.list(
      [
        Self.rule(.ingress, 4, "tcp", (22, 22), prefix: "10.0.0.34/24"), Self.rule(.egress, 6, "icmp"),
        Self.rule(.ingress, 4, "udp", group: "others"), Self.rule(.egress, 4, "ip", prefix: "0.0.0.0/0"),
        // Nobody is in that group: the rule lets nothing pass.
        Self.rule(.ingress, 6, nil, group: "nobody"),
      ], members: ["others": [one, six]])
    #expect(
      Set(made.rules) == [
        AccessList.Rule(
          direction: .ingress, version: 4, protocolNumber: 6, minimum: 22, maximum: 22, remote: CIDR("10.0.0.0/24")),
        AccessList.Rule(direction: .egress, version: 6, protocolNumber: 58),
        AccessList.Rule(direction: .ingress, version: 4, protocolNumber: 17, remote: one),
        AccessList.Rule(direction: .egress, version: 4),
      ])
    // The order in which things come is none of the list's.
    let (a, b) = (Self.rule(.ingress, 4, "tcp"), Self.rule(.ingress, 4, "udp"))
    #expect(Self.list([a, b]) == Self.list([b, a, a]))
    #expect(AccessList(json: made.json) == made)
    for broken: JSON in [
      [:], ["sources": [], "stateful": true], ["sources": [["x", nil]], "stateful": true, "rules": []],
    ] {
      #expect(AccessList(json: broken) == nil, "\(broken)")
    }
  }

  @Test func aMachineHasItsAddressesAndPairs() throws {
    var port = NetworkPort(
      networkID: "n", projectID: "p", name: "", macAddress: "52:54:00:00:00:01", createdAt: Self.now)
    let own = try #require(MACAddress("52:54:00:00:00:01")), other = try #require(MACAddress("52:54:00:00:00:02"))
    #expect(Self.list([], port).sources == [AccessList.Source(mac: own, block: nil)], "no address: its MAC alone")
    port.fixedIPs = [NetworkPort.FixedIP(subnetID: "s", address: try #require(IPAddress("10.0.0.5")))]
    port.addressPairs = [
      try #require(AddressPair("10.0.0.7", mac: other)), try #require(AddressPair("10.1.0.9/16", mac: nil)),
    ]
    #expect(
      Set(Self.list([], port).sources) == [
        AccessList.Source(mac: own, block: CIDR("10.0.0.5/32")),
        AccessList.Source(mac: other, block: CIDR("10.0.0.7/32")),
        AccessList.Source(mac: own, block: CIDR("10.1.0.0/16")),
      ])
    #expect(AddressPair("10.0.0.256", mac: nil) == nil)
  }

  @Test func aListIncludesAnotherWhenNothingIsLost() {
    let (ssh, web) = (Self.rule(.ingress, 4, "tcp", (22, 22)), Self.rule(.ingress, 4, "tcp", (80, 80)))
    #expect(Self.list([ssh, web]).includes(Self.list([ssh])))
    #expect(!Self.list([ssh]).includes(Self.list([ssh, web])))
    #expect(Self.list([ssh]).includes(Self.list([ssh])))
  }

  @Test func rulesThatSayTheSameAreTheSame() {
    #expect(Self.rule(.ingress, 4, "tcp").isSame(as: Self.rule(.ingress, 4, "6")))
    #expect(Self.rule(.ingress, 6, "icmp").isSame(as: Self.rule(.ingress, 6, "ipv6-icmp")))
    #expect(Self.rule(.ingress, prefix: "0.0.0.0/0").isSame(as: Self.rule(.ingress)))
    #expect(!Self.rule(.ingress).isSame(as: Self.rule(.egress)))
    #expect(!Self.rule(.ingress, 4, "tcp").isSame(as: Self.rule(.ingress, 4, "tcp", (1, 2))))
    #expect(!Self.rule(.ingress, group: "a").isSame(as: Self.rule(.ingress, group: "b")))
  }
}
