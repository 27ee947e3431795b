import Domain
import Store
import Testing
import Wire

/// `/v2.0/floatingips` and their port forwardings as a client sees them.
@Suite struct FloatingIPTests {
  /// A project's network with a router to an external network.
  private struct House {
    let outside: JSON, network: JSON, subnet: JSON, router: JSON
    init(_ site: Site) async throws {
      outside = try await RouterTests.external(site)
      network = try await site.network("inside")
      subnet = try await site.subnet(network, "192.168.7.0/24")
      router = try await site.router(["external_gateway_info": ["network_id": .string(outside.id)]])
      _ = try await site.interface(router, subnet: subnet)
    }
  }

  @Test func anAddressMovesBetweenPorts() async throws {
    try await Site.run { site in
      let house = try await House(site)
      let first = try await site.port(house.network, ["name": "one"]).json["port"] ?? .null
      let second = try await site.port(house.network).json["port"] ?? .null
      let made = try await site.floatingIP(house.outside, ["port_id": .string(first.id), "description": "web"])
      #expect(made.status == 201)
      let floatingIP = made.json["floatingip"] ?? .null
      #expect(floatingIP["floating_ip_address"]?.string == "203.0.113.3")
      #expect(floatingIP["fixed_ip_address"]?.string == "192.168.7.2")
      #expect(floatingIP["router_id"]?.string == house.router.id)
      #expect(floatingIP["status"]?.string == "DOWN", "nothing carries it yet")
      #expect(floatingIP["port_details"]?["name"]?.string == "one")
      let path = "/v2.0/floatingips/\(floatingIP.id)"

      let looks = site.routed.all.count
      let moved = try await site.call(.put, path, ["floatingip": ["port_id": .string(second.id)]])
      #expect(moved.json["floatingip"]?["fixed_ip_address"]?.string == "192.168.7.3")
      #expect(site.routed.all.count == looks + 1)
      let topology = try await site.database.read { try RoutingStore.topology(in: $0) }
      let routing = try #require(topology.routers.first)
      #expect(routing.floatingIPs.map(\.portID) == [second.id])
      #expect(routing.floatingIPs.map(\.macAddress) == [second["mac_address"]?.string ?? ""])
      #expect(routing.interfaces.first?.addresses.map(\.prefix) == [24])
      #expect(routing.gateways.first?.nextHops == [IPAddress("203.0.113.1")].compactMap { $0 })
      #expect(topology.networks.first { $0.networkID == house.network.id }?.ports.count == 2)

      let taken = try await site.floatingIP(house.outside, ["port_id": .string(second.id)])
      #expect(taken.error == "FloatingIPPortAlreadyAssociated")
      let needed = try await site.call(
        .put, "/v2.0/routers/\(house.router.id)/remove_router_interface", ["subnet_id": .string(house.subnet.id)])
      #expect(needed.error == "RouterInterfaceInUseByFloatingIP")
      let gateway = try await site.call(
        .put, "/v2.0/routers/\(house.router.id)", ["router": ["external_gateway_info": nil]])
      #expect(gateway.error == "RouterExternalGatewayInUseByFloatingIp")
      let address = try await site.call(
        .put, "/v2.0/ports/\(second.id)", ["port": ["fixed_ips": [["ip_address": "192.168.7.77"]]]])
      #expect(address.status == 400)

      // A port that goes leaves the address behind.
      #expect(try await site.call(.delete, "/v2.0/ports/\(second.id)").status == 204)
      let left = try await site.call(.get, path).json["floatingip"] ?? .null
      #expect(left["port_id"] == .null && left["router_id"] == .null && left["status"]?.string == "DOWN")
      #expect(left["port_details"] == .null)
      #expect(try await site.call(.delete, path).status == 204)
      #expect(try await site.call(.get, path).error == "FloatingIPNotFound")
    }
  }

  @Test func whatCannotBeIsRefused() async throws {
    try await Site.run { site in
      let house = try await House(site)
      #expect(try await site.floatingIP(house.network).message.contains("is not a valid external network"))
      #expect(
        try await site.floatingIP(house.outside, ["fixed_ip_address": "192.168.7.2"]).message
          .contains("without a port_id"))
      #expect(try await site.floatingIP(house.outside, ["floating_ip_address": "203.0.113.50"]).status == 403)
      let chosen = try await site.floatingIP(house.outside, as: "boss", ["floating_ip_address": "203.0.113.50"])
      #expect(chosen.json["floatingip"]?["floating_ip_address"]?.string == "203.0.113.50")
      #expect(
        try await site.floatingIP(house.outside, as: "admin", ["floating_ip_address": "203.0.113.50"]).error
          == "IpAddressAlreadyAllocated")
      let lonely = try await site.network("lonely")
      _ = try await site.subnet(lonely, "10.4.0.0/24")
      let port = try await site.port(lonely).json["port"] ?? .null
      #expect(
        try await site.floatingIP(house.outside, ["port_id": .string(port.id)]).error
          == "ExternalGatewayForFloatingIPNotFound")
      // The holder of the address is no port to reach, nor to delete.
      let holder = try await site.call(.get, "/v2.0/ports?device_owner=network:floatingip", as: "admin")
      let id = holder.json.ids("ports")[0]
      #expect(try await site.call(.delete, "/v2.0/ports/\(id)", as: "admin").error == "ServicePortInUse")
      #expect(try await site.call(.get, "/v2.0/ports/\(id)").status == 404)
      // A stranger sees nothing, and takes no port.
      let own = try await site.port(house.network).json["port"] ?? .null
      #expect(try await site.floatingIP(house.outside, as: "bob", ["port_id": .string(own.id)]).error == "PortNotFound")
      let one = chosen.json["floatingip"] ?? .null
      #expect(try await site.call(.get, "/v2.0/floatingips/\(one.id)", as: "bob").status == 404)
      #expect(try await site.call(.get, "/v2.0/floatingips", as: "bob").json.ids("floatingips") == [])
    }
  }

  @Test func idleAddressesGoWithTheirNetwork() async throws {
    try await Site.run { site in
      let outside = try await RouterTests.external(site)
      _ = try await site.floatingIP(outside)
      #expect(try await site.call(.delete, "/v2.0/networks/\(outside.id)", as: "admin").status == 204)
      #expect(try await site.call(.get, "/v2.0/floatingips").json.ids("floatingips") == [])
    }
  }

  @Test func anExternalNetworkStaysWithThoseWhoUseIt() async throws {
    try await Site.run { site in
      let network = try await site.network("outside", as: "admin")
      _ = try await site.subnet(network, "203.0.113.0/24", as: "admin")
      #expect(try await site.floatingIP(network, as: "bob").error == "NetworkNotFound")
      let policy = try await site.share(network, with: Site.beta, "access_as_external", as: "admin").json["rbac_policy"]
      #expect(try await site.floatingIP(network, as: "bob").status == 201)
      let path = "/v2.0/rbac-policies/\(policy?.id ?? "")"
      #expect(try await site.call(.delete, path, as: "admin").error == "RbacPolicyInUse")
      let id = try await site.call(.get, "/v2.0/floatingips", as: "bob").json.ids("floatingips")[0]
      #expect(try await site.call(.delete, "/v2.0/floatingips/\(id)", as: "bob").status == 204)
      #expect(try await site.call(.delete, path, as: "admin").status == 204)
    }
  }

  @Test func singlePortsAreForwarded() async throws {
    try await Site.run { site in
      let house = try await House(site)
      let port = try await site.port(house.network).json["port"] ?? .null
      let floatingIP = try await site.floatingIP(house.outside).json["floatingip"] ?? .null
      let path = "/v2.0/floatingips/\(floatingIP.id)/port_forwardings"
      func forward(_ more: JSONObject) async throws -> Site.Answer {
        var body: JSONObject = ["internal_port_id": .string(port.id), "protocol": "tcp"]
        for member in more { body[member.key] = member.value }
        return try await site.call(.post, path, ["port_forwarding": .object(body)])
      }
      let made = try await forward(["internal_port": 22, "external_port": 2222])
      #expect(made.status == 201)
      let one = made.json["port_forwarding"] ?? .null
      #expect(one["internal_ip_address"]?.string == "192.168.7.2")
      #expect(one["external_port_range"]?.string == "2222:2222")
      #expect(try await forward(["internal_port": 23, "external_port": 2222]).message.contains("port collision"))
      #expect(try await forward(["internal_port": 22, "external_port": 2223]).message.contains("internal_port_range"))
      #expect(
        try await forward(["internal_port_range": "80:90", "external_port_range": "8080:8085"]).message
          .contains("N-N or 1-N"))
      let range = try await forward(["internal_port_range": "80:85", "external_port_range": "8080:8085"])
      #expect(range.json["port_forwarding"]?["internal_port"] == .null)
      #expect(try await forward(["internal_port": 0, "external_port": 1]).status == 400)
      #expect(try await forward(["internal_port": 1, "external_port": 70000]).status == 400)
      #expect(try await forward(["protocol": "icmp", "internal_port": 1, "external_port": 1]).status == 400)

      let shown = try await site.call(.get, "/v2.0/floatingips/\(floatingIP.id)").json["floatingip"] ?? .null
      #expect(shown["port_forwardings"]?.array?.count == 2)
      #expect(shown["router_id"]?.string == house.router.id)
      #expect(shown["status"]?.string == "DOWN")
      #expect(
        try await site.call(
          .put, "/v2.0/floatingips/\(floatingIP.id)", ["floatingip": ["port_id": .string(port.id)]]
        ).error == "FipInUseByPortForwarding")
      #expect(try await site.call(.delete, "/v2.0/floatingips/\(floatingIP.id)").error == "FipInUseByPortForwarding")
      let topology = try await site.database.read { try RoutingStore.topology(in: $0) }
      #expect(topology.routers.first?.forwardings.map(\.forwarding.externalPorts).count == 2)

      let changed = try await site.call(.put, "\(path)/\(one.id)", ["port_forwarding": ["internal_port": 222]])
      #expect(changed.json["port_forwarding"]?["internal_port"]?.int == 222)
      #expect(try await site.call(.get, "\(path)/\(one.id)", as: "bob").error == "FloatingIPNotFound")
      #expect(try await site.call(.get, path + "?external_port=2222").json.ids("port_forwardings") == [one.id])
      // The port goes and takes them along.
      #expect(try await site.call(.delete, "/v2.0/ports/\(port.id)").status == 204)
      #expect(try await site.call(.get, path).json.ids("port_forwardings") == [])
      let free = try await site.call(.get, "/v2.0/floatingips/\(floatingIP.id)").json["floatingip"] ?? .null
      #expect(free["router_id"] == .null && free["status"]?.string == "DOWN")
      #expect(try await site.call(.delete, "/v2.0/floatingips/\(floatingIP.id)").status == 204)
    }
  }

  @Test func usedAddressesAreCounted() async throws {
    try await Site.run { site in
      let network = try await site.network("inside")
      _ = try await site.subnet(network, "192.168.7.0/24")
      _ = try await site.port(network)
      let path = "/v2.0/network-ip-availabilities"
      #expect(try await site.call(.get, path).status == 403)
      let list = try await site.call(.get, path + "?network_id=\(network.id)", as: "admin").json
      let one = list["network_ip_availabilities"]?.array?.first ?? .null
      #expect(one["total_ips"]?.int == 253 && one["used_ips"]?.int == 1)
      #expect(try await site.call(.get, "\(path)/\(Identifier.uuid())", as: "admin").error == "NetworkNotFound")
    }
  }
}

extension Site {
  func floatingIP(_ network: JSON, as user: String = "alice", _ more: JSONObject = [:]) async throws -> Answer {
    var body: JSONObject = ["floating_network_id": .string(network.id)]
    for member in more { body[member.key] = member.value }
    return try await call(.post, "/v2.0/floatingips", as: user, ["floatingip": .object(body)])
  }
}
