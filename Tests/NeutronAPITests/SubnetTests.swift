import Domain
import Testing
import Wire

@Suite struct SubnetTests {
  @Test func aSubnetHasAGatewayPoolsAndListsThatAreNeverNull() async throws {
    try await Site.run { site in
      let network = try await site.network("mine")
      let subnet = try await site.subnet(network, "10.0.1.0/24")

      #expect(subnet["gateway_ip"] == "10.0.1.1")
      #expect(subnet["allocation_pools"] == [["start": "10.0.1.2", "end": "10.0.1.254"]])
      #expect(subnet["dns_nameservers"] == [])
      #expect(subnet["host_routes"] == [])
      #expect(subnet["enable_dhcp"] == true)
      #expect(
        try await site.call(.get, "/v2.0/networks/\(network.id)").json["network"]?["subnets"] == [.string(subnet.id)])
    }
  }

  @Test func anAddressInABlockNamesTheBlock() async throws {
    try await Site.run { site in
      let subnet = try await site.subnet(try await site.network("mine"), "10.99.99.0/16")
      #expect(subnet["cidr"]?.string == "10.99.0.0/16")
      #expect(subnet["gateway_ip"]?.string == "10.99.0.1")
    }
  }

  @Test func whatIsNoSubnetIsRefusedInWords() async throws {
    try await Site.run { site in
      let network = try await site.network("mine")
      _ = try await site.subnet(network, "10.0.1.0/24")
      let bad: [(JSONObject, Int, String)] = [
        (["cidr": "10.0.1.0/25"], 400, "overlaps"), (["cidr": "10.0.0.0/8"], 400, "overlaps"),
        (["cidr": "10.0.1.5/24"], 400, "overlaps"), (["cidr": "nonsense"], 400, "cidr"),
        (["cidr": "10.0.2.0/33"], 400, "cidr"),
        (["cidr": "0.0.0.0/0"], 400, "room"), (["cidr": "10.0.2.0/24", "ip_version": 6], 400, "ip_version"),
        (["cidr": "10.0.2.0/24", "gateway_ip": "10.9.9.9"], 400, "Gateway"),
        (["cidr": "10.0.2.0/24", "gateway_ip": "10.0.2.255"], 400, "Gateway"),
        (["cidr": "10.0.2.0/24", "dns_nameservers": ["x"]], 400, "'x'"),
        (["cidr": "10.0.2.0/24", "dns_nameservers": "10.0.0.1"], 400, "list"),
        (["cidr": "10.0.2.0/24", "host_routes": [["destination": "10.0.0.0/8"]]], 400, "nexthop"),
        (["cidr": "10.0.2.0/24", "allocation_pools": [["start": "10.0.2.9", "end": "10.0.2.3"]]], 400, "greater"),
        (["cidr": "10.0.2.0/24", "allocation_pools": [["start": "10.0.2.9", "end": "10.0.3.3"]]], 400, "beyond"),
        (["cidr": "10.0.2.0/24", "allocation_pools": [["start": "10.0.2.1", "end": "10.0.2.3"]]], 409, "conflicts"),
        (
          [
            "cidr": "10.0.2.0/24",
            "allocation_pools": [
              ["start": "10.0.2.5", "end": "10.0.2.9"], ["start": "10.0.2.9", "end": "10.0.2.12"],
            ],
          ], 409, "overlapping"
        ), (["cidr": "10.0.2.0/24", "ipv6_ra_mode": "slaac"], 400, "config drive"),
      ]
      for (attributes, status, word) in bad {
        var object = attributes
        object["network_id"] = .string(network.id)
        let refused = try await site.call(.post, "/v2.0/subnets", ["subnet": .object(object)])
        #expect(refused.status == status, "\(attributes)")
        #expect(refused.message.contains(word), "\(refused.message)")
      }
    }
  }

  @Test func aSubnetIsChangedAndDeletedWhenNobodyHasAnAddressFromIt() async throws {
    try await Site.run { site in
      let network = try await site.network("mine")
      let subnet = try await site.subnet(network, "10.0.1.0/24", ["dns_nameservers": ["192.0.2.53"]])
      let path = "/v2.0/subnets/\(subnet.id)"
      let changed = try await site.call(
        .put, path,
        [
          "subnet": [
            "dns_nameservers": ["192.0.2.54", "192.0.2.53"], "gateway_ip": nil, "name": "s", "enable_dhcp": false,
          ]
        ])
      #expect(changed.json["subnet"]?["dns_nameservers"] == ["192.0.2.54", "192.0.2.53"])
      #expect(changed.json["subnet"]?["gateway_ip"] == .null)
      #expect(try await site.call(.put, path, ["subnet": ["cidr": "10.0.9.0/24"]]).status == 400)
      #expect(try await site.call(.get, "/v2.0/subnets/s").status == 404)
      #expect(try await site.call(.get, "/v2.0/subnets?name=s").json.ids("subnets") == [subnet.id])
      #expect(
        try await site.call(.get, "/v2.0/subnets?network_id=\(network.id)&ip_version=4").json.ids("subnets") == [
          subnet.id
        ])
      #expect(try await site.call(.get, "/v2.0/subnets", as: "bob").json.ids("subnets") == [])

      let port = try await site.port(network).json["port"] ?? .null
      let inUse = try await site.call(.delete, path)
      #expect(inUse.status == 409)
      #expect(inUse.error == "SubnetInUse")
      #expect(try await site.call(.delete, "/v2.0/ports/\(port.id)").status == 204)
      #expect(try await site.call(.delete, path, as: "bob").status == 404)
      #expect(try await site.call(.delete, path).status == 204)
      #expect(try await site.call(.get, path).error == "SubnetNotFound")
    }
  }

  @Test func version6Works() async throws {
    try await Site.run { site in
      let network = try await site.network("mine")
      let subnet = try await site.subnet(network, "2001:db8::/64", ["ip_version": 6])
      #expect(subnet["gateway_ip"] == "2001:db8::1")
      let port = try await site.port(network).json["port"]
      #expect(port?["fixed_ips"]?.array?.first?["ip_address"] == "2001:db8::2")
      #expect(
        try await site.call(.get, "/v2.0/ports?fixed_ips=ip_address%3D2001:0db8:0::0002").json.ids("ports") == [
          port?.id ?? ""
        ])
    }
  }
}

@Suite struct AddressTests {
  @Test func addressesAreReadStrictlyAndWrittenOneWay() {
    for (text, canonical) in [
      ("10.0.0.1", "10.0.0.1"), ("2001:DB8:0:0::1", "2001:db8::1"), ("::", "::"), ("::1", "::1"), ("1::", "1::"),
      ("fe80:0:0:1:0:0:0:1", "fe80:0:0:1::1"), ("::ffff:10.0.0.1", "::ffff:a00:1"),
      ("1:0:2:3:4:5:6:7", "1:0:2:3:4:5:6:7"),
    ] {
      #expect(IPAddress(text)?.description == canonical, "\(text)")
    }
    for text in [
      "", "1", "10.0.0", "10.0.0.256", "10.0.0.01", "10.0.0.1.", "0x0a.0.0.1", "+1.0.0.1", " 10.0.0.1", "1::2::3",
      "1:2:3:4:5:6:7",
      "1:2:3:4:5:6:7:8:9", "g::", "::10.0.0.1:1", "12345::", "fe80::1%eth0", ":1", "1:",
    ] {
      #expect(IPAddress(text) == nil, "\(text)")
    }
  }

  @Test func blocksKnowTheirHosts() {
    #expect(CIDR("10.0.0.0/24")?.hosts.description == "10.0.0.1-10.0.0.254")
    #expect(CIDR("10.0.0.0/31")?.hosts.description == "10.0.0.0-10.0.0.1")
    #expect(CIDR("10.0.0.0/24")?.netmask.description == "255.255.255.0")
    #expect(CIDR("::/0")?.last.description == "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")
    #expect(CIDR("10.0.0.1/24") == nil)
    #expect(CIDR.recommended(for: "10.0.0.1/24") == "10.0.0.0/24")
    #expect(CIDR("10.0.0.0/+8") == nil)
  }

  @Test func networkDataHasOneDefaultRoutePerVersion() throws {
    let now = Site.now
    func attachment(_ number: Int) throws -> NetworkData.Attachment {
      let network = Network(
        projectID: "p", name: "n\(number)", mtu: 1400, physicalNetwork: "physnet1", vlan: 200, createdAt: now)
      let cidr = try #require(CIDR("10.0.\(number).0/24"))
      let gateway = Subnet.defaultGateway(cidr)
      let subnet = Subnet(
        networkID: network.id, projectID: "p", name: "", cidr: cidr, gateway: gateway, dnsNameservers: ["192.0.2.53"],
        hostRoutes: [.init(destination: "10.8.0.0/16", nextHop: "10.0.\(number).9")], pools: [], createdAt: now)
      let address = try #require(IPAddress("10.0.\(number).7"))
      let port = NetworkPort(
        networkID: network.id, projectID: "p", name: "", fixedIPs: [.init(subnetID: subnet.id, address: address)],
        createdAt: now)
      return NetworkData.Attachment(
        macAddress: "52:54:00:00:00:0\(number)", port: port, network: network, subnets: [subnet])
    }

    let data = NetworkData.make([try attachment(1), try attachment(2)])

    #expect(
      data["links"]?.array?.map { $0["ethernet_mac_address"]?.string } == ["52:54:00:00:00:01", "52:54:00:00:00:02"])
    #expect(data["links"]?.array?.first?["mtu"] == 1400)
    let networks = data["networks"]?.array ?? []
    #expect(networks.map { $0["ip_address"]?.string } == ["10.0.1.7", "10.0.2.7"])
    #expect(networks.map { $0["netmask"]?.string } == ["255.255.255.0", "255.255.255.0"])
    #expect(networks.map { $0["routes"]?.array?.first?["gateway"]?.string } == ["10.0.1.1", "10.0.2.9"])
    #expect(networks[0]["link"] == data["links"]?.array?.first?["id"])
    #expect(data["services"] == [["type": "dns", "address": "192.0.2.53"]])
  }
}
