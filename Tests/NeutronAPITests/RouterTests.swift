import Domain
import HTTPTypes
import Store
import Testing
import Wire

/// `/v2.0/routers` as a client sees it.
@Suite struct RouterTests {
  /// An external network of the administrator's with a subnet.
  static func external(_ site: Site, _ name: String = "outside", cidr: String = "203.0.113.0/24") async throws -> JSON {
    let network = try await site.network(name, as: "admin", ["router:external": true])
    _ = try await site.subnet(network, cidr, as: "admin", ["enable_dhcp": false])
    return network
  }
  private func gateway(_ network: JSON, _ more: JSONObject = [:]) -> JSON {
    var info: JSONObject = ["network_id": .string(network.id)]
    for member in more { info[member.key] = member.value }
    return .object(info)
  }

  @Test func aRouterLeadsFromASubnetToTheOutside() async throws {
    try await Site.run { site in
      let outside = try await Self.external(site)
      let inside = try await site.network("inside")
      let subnet = try await site.subnet(inside, "192.168.7.0/24")
      let router = try await site.router(["name": "r1", "external_gateway_info": gateway(outside), "tags": ["blue"]])
      #expect(router["status"]?.string == "ACTIVE")
      #expect(router["routes"] == [])
      #expect(router["tags"] == ["blue"])
      #expect(router["ha"] == nil)
      let info = try #require(router["external_gateway_info"])
      #expect(info["enable_snat"] == true)
      #expect(info["external_fixed_ips"]?.array?.first?["ip_address"]?.string == "203.0.113.2")
      #expect(router["external_gateways"]?.array?.count == 1)

      let added = try await site.interface(router, subnet: subnet)
      #expect(added.status == 200)
      #expect(added.json["id"]?.string == router.id)
      #expect(added.json["subnet_ids"] == [.string(subnet.id)])
      let portID = try #require(added.json["port_id"]?.string)
      let port = try await site.call(.get, "/v2.0/ports/\(portID)").json["port"] ?? .null
      #expect(port["device_owner"]?.string == "network:router_interface")
      #expect(port["device_id"]?.string == router.id)
      #expect(port["status"]?.string == "ACTIVE")
      #expect(port["fixed_ips"]?.array?.first?["ip_address"]?.string == "192.168.7.1")
      // The gateway's port is nobody's but the site's.
      #expect(try await site.call(.get, "/v2.0/ports?device_id=\(router.id)").json.ids("ports") == [portID])
      let all = try await site.call(.get, "/v2.0/ports?device_id=\(router.id)", as: "admin").json["ports"]?.array ?? []
      #expect(
        Set(all.compactMap { $0["device_owner"]?.string }) == ["network:router_interface", "network:router_gateway"])

      // What is in use stays.
      let inUse = try await site.call(.delete, "/v2.0/ports/\(portID)")
      #expect(inUse.status == 409)
      #expect(inUse.error == "ServicePortInUse")
      #expect(try await site.call(.delete, "/v2.0/subnets/\(subnet.id)").error == "SubnetInUse")
      #expect(try await site.call(.delete, "/v2.0/networks/\(inside.id)").error == "NetworkInUse")
      #expect(try await site.call(.delete, "/v2.0/networks/\(outside.id)", as: "admin").error == "NetworkInUse")
      let kept = try await site.call(.delete, "/v2.0/routers/\(router.id)")
      #expect(kept.error == "RouterInUse")
      #expect(kept.message == "Router \(router.id) has ports still attached: \(portID)")
      let gatewayChange = try await site.call(
        .put, "/v2.0/subnets/\(subnet.id)", ["subnet": ["gateway_ip": "192.168.7.254"]])
      #expect(gatewayChange.error == "GatewayIpInUse")
      let moved = try await site.call(.put, "/v2.0/ports/\(portID)", ["port": ["device_id": "mine"]])
      #expect(moved.error == "ServicePortInUse")
      let conversion = try await site.call(
        .put, "/v2.0/networks/\(outside.id)", as: "admin", ["network": ["router:external": false]])
      #expect(conversion.error == "ExternalNetworkInUse")

      #expect(
        try await site.call(
          .put, "/v2.0/routers/\(router.id)/remove_router_interface", ["subnet_id": .string(subnet.id)]
        ).status == 200)
      #expect(try await site.call(.get, "/v2.0/ports/\(portID)").status == 404)
      #expect(try await site.call(.delete, "/v2.0/routers/\(router.id)").status == 204)
      #expect(try await site.call(.delete, "/v2.0/networks/\(outside.id)", as: "admin").status == 204)
      #expect(try await site.call(.get, "/v2.0/routers").json.ids("routers") == [])
    }
  }

  @Test func interfacesThatCannotBeAreRefused() async throws {
    try await Site.run { site in
      let router = try await site.router([:])
      let network = try await site.network("inside")
      let subnet = try await site.subnet(network, "192.168.7.0/24")
      let overlapping = try await site.subnet(try await site.network("other"), "192.168.0.0/16")
      let closed = try await site.subnet(try await site.network("closed"), "10.5.0.0/24", ["gateway_ip": nil])
      _ = try await site.interface(router, subnet: subnet)

      let again = try await site.interface(router, subnet: subnet)
      #expect(again.status == 400)
      #expect(again.message.contains("Router already has a port on subnet \(subnet.id)"))
      let overlap = try await site.interface(router, subnet: overlapping)
      #expect(overlap.status == 400)
      #expect(overlap.message.contains("overlaps with cidr 192.168.7.0/24"))
      #expect(try await site.interface(router, subnet: closed).message.contains("must have a gateway IP"))
      let path = "/v2.0/routers/\(router.id)/add_router_interface"
      #expect(try await site.call(.put, path, [:]).message.contains("Either subnet_id or port_id"))
      #expect(try await site.call(.put, path, ["subnet_id": "nonsense"]).status == 400)

      // Another project's subnet, seen only because it is shared with everyone.
      let shared = try await site.network("shared", as: "admin", ["shared": true])
      let foreign = try await site.subnet(shared, "10.9.0.0/24", as: "admin")
      #expect(try await site.interface(router, subnet: foreign).message.contains("is not owned by project"))
      let hidden = try await site.subnet(try await site.network("hidden", as: "bob"), "10.8.0.0/24", as: "bob")
      #expect(try await site.interface(router, subnet: hidden).status == 404)
      #expect(try await site.interface(router, subnet: subnet, as: "bob").status == 404)

      let port = try await site.port(network, ["device_id": "x"]).json["port"] ?? .null
      #expect(try await site.call(.put, path, ["port_id": .string(port.id)]).error == "PortInUse")
      let missing = try await site.call(
        .put, "/v2.0/routers/\(router.id)/remove_router_interface", ["port_id": .string(port.id)])
      #expect(missing.error == "RouterInterfaceNotFound")
      let missingSubnet = try await site.call(
        .put, "/v2.0/routers/\(router.id)/remove_router_interface", ["subnet_id": .string(closed.id)])
      #expect(missingSubnet.error == "RouterInterfaceNotFoundForSubnet")
    }
  }

  @Test func aPortOfTheProjectBecomesTheRouters() async throws {
    try await Site.run { site in
      let network = try await site.network("inside")
      _ = try await site.subnet(network, "192.168.7.0/24")
      let router = try await site.router([:])
      let port = try await site.port(network).json["port"] ?? .null
      let path = "/v2.0/routers/\(router.id)/"
      #expect(try await site.call(.put, path + "add_router_interface", ["port_id": .string(port.id)]).status == 200)
      let shown = try await site.call(.get, "/v2.0/ports/\(port.id)").json["port"] ?? .null
      #expect(shown["device_owner"]?.string == "network:router_interface")
      #expect(try await site.call(.put, path + "remove_router_interface", ["port_id": .string(port.id)]).status == 200)
      #expect(try await site.call(.get, "/v2.0/ports/\(port.id)").status == 404)
    }
  }

  @Test func theGatewayIsTheAdministratorsInItsDetails() async throws {
    try await Site.run { site in
      let outside = try await Self.external(site)
      let inside = try await site.network("inside")
      let router = try await site.router([:])
      func update(_ info: JSON, as user: String = "alice") async throws -> Site.Answer {
        try await site.call(
          .put, "/v2.0/routers/\(router.id)", as: user, ["router": ["external_gateway_info": info]])
      }
      #expect(try await update(gateway(inside)).message.contains("is not an external network"))
      #expect(try await update(["network_id": .string(Identifier.uuid())]).error == "NetworkNotFound")
      #expect(try await update(gateway(outside, ["enable_snat": false])).status == 403)
      #expect(
        try await update(gateway(outside, ["external_fixed_ips": [["ip_address": "203.0.113.9"]]])).status == 403)
      #expect(try await update(gateway(outside)).status == 200)
      let set = try await update(
        gateway(outside, ["enable_snat": false, "external_fixed_ips": [["ip_address": "203.0.113.9"]]]), as: "admin")
      #expect(set.status == 200)
      #expect(set.json["router"]?["external_gateway_info"]?["enable_snat"] == false)
      #expect(
        set.json["router"]?["external_gateway_info"]?["external_fixed_ips"]?.array?.first?["ip_address"]?.string
          == "203.0.113.9")
      #expect(set.json["router"]?["ha"] == false)
      #expect(
        try await update(gateway(outside, ["external_fixed_ips": [["ip_address": "203.0.113.1"]]]), as: "admin")
          .message.contains("is the same as the gateway IP"))
      #expect(try await update(nil).json["router"]?["external_gateway_info"] == .null)
      #expect(try await site.call(.post, "/v2.0/routers", ["router": ["ha": true]]).status == 403)
      #expect(try await site.call(.post, "/v2.0/routers", ["router": ["distributed": true]]).status == 403)
    }
  }

  @Test func routesNeedANextHopOnTheRoutersSubnets() async throws {
    try await Site.run { site in
      let subnet = try await site.subnet(try await site.network("inside"), "192.168.7.0/24")
      let router = try await site.router([:])
      let path = "/v2.0/routers/\(router.id)"
      func routes(_ list: JSON, _ action: String = "") async throws -> Site.Answer {
        try await site.call(.put, path + action, ["router": ["routes": list]])
      }
      let one: JSON = ["destination": "10.0.2.0/24", "nexthop": "192.168.7.5"]
      let two: JSON = ["destination": "10.0.3.0/24", "nexthop": "192.168.7.6"]
      #expect(try await routes([one]).error == "InvalidRoutes")
      _ = try await site.interface(router, subnet: subnet)
      #expect(try await routes([["destination": "10.0.2.0/24", "nexthop": "192.168.7.1"]]).error == "InvalidRoutes")
      #expect(try await routes([["destination": "10.0.2.1/24", "nexthop": "192.168.7.5"]]).status == 400)
      #expect(try await routes([one]).json["router"]?["routes"] == [one])
      #expect(try await routes([one, two], "/add_extraroutes").json["router"]?["routes"] == [one, two])
      #expect(try await routes([one], "/remove_extraroutes").json["router"]?["routes"] == [two])
      let inUse = try await site.call(
        .put, path + "/remove_router_interface", ["subnet_id": .string(subnet.id)])
      #expect(inUse.error == "RouterInterfaceInUseByRoute")
      #expect(try await routes([]).status == 200)
      let topology = try await site.database.read { try RoutingStore.topology(in: $0) }
      #expect(topology.routers.map(\.routes) == [[]])
    }
  }

  @Test func severalGatewaysAreAddedAndTakenAway() async throws {
    try await Site.run { site in
      let outside = try await Self.external(site)
      let router = try await site.router([:])
      func change(_ action: String, _ gateways: JSON) async throws -> Site.Answer {
        try await site.call(
          .put, "/v2.0/routers/\(router.id)/\(action)_external_gateways", as: "admin",
          ["router": ["external_gateways": gateways]])
      }
      let three = try await change("add", [gateway(outside), gateway(outside), gateway(outside)])
      let list = try #require(three.json["router"]?["external_gateways"]?.array)
      #expect(list.count == 3)
      #expect(
        three.json["router"]?["external_gateway_info"]?["external_fixed_ips"] == list[0]["external_fixed_ips"])
      #expect(try await change("remove", [gateway(outside)]).error == "UnableToMatchGateways")
      let two = try await change("remove", [list[2]])
      #expect(two.json["router"]?["external_gateways"] == .array([list[0], list[1]]))
      let updated = try await change("update", [list[0], list[2]])
      #expect(updated.json["router"]?["external_gateways"] == .array([list[0], list[2]]))
      // As `router unset --external-gateway` writes "none of them".
      #expect(try await change("remove", .emptyObject).status == 200)
      #expect(try await change("remove", ["a": 1]).status == 400)
      #expect(try await change("update", []).json["router"]?["external_gateways"] == [])
    }
  }

  @Test func aChangeMayBeTiedToTheRevisionThatWasSeen() async throws {
    try await Site.run { site in
      let ifMatch = try #require(HTTPField.Name("If-Match"))
      let router = try await site.router([:])
      let revision = router["revision_number"]?.int ?? -1
      let path = "/v2.0/routers/\(router.id)"
      let stale = try await site.call(
        .put, path, ["router": ["name": "x"]], headers: [ifMatch: "revision_number=\(revision + 7)"])
      #expect(stale.status == 412)
      let fresh = try await site.call(
        .put, path, ["router": ["name": "x"]], headers: [ifMatch: "revision_number=\(revision)"])
      #expect(fresh.json["router"]?["name"]?.string == "x")
      #expect(fresh.json["router"]?["revision_number"]?.int == revision + 1)
    }
  }

  @Test func quotasCountRoutersAndStrangersSeeNone() async throws {
    try await Site.run { site in
      _ = try await site.call(.put, "/v2.0/quotas/\(Site.alpha)", as: "admin", ["quota": ["router": 1]])
      let router = try await site.router(["name": "mine"])
      #expect(try await site.call(.post, "/v2.0/routers", ["router": [:]]).error == "OverQuota")
      #expect(try await site.call(.get, "/v2.0/routers/\(router.id)", as: "bob").error == "RouterNotFound")
      #expect(try await site.call(.get, "/v2.0/routers", as: "bob").json.ids("routers") == [])
      #expect(try await site.call(.put, "/v2.0/routers/\(router.id)", as: "watcher", ["router": [:]]).status == 403)
      #expect(try await site.call(.get, "/v2.0/routers?name=mine", as: "admin").json.ids("routers") == [router.id])
      #expect(try await site.call(.get, "/v2.0/routers?nonsense=1").status == 400)
    }
  }
}

extension Site {
  func router(_ body: JSONObject, as user: String = "alice") async throws -> JSON {
    try await call(.post, "/v2.0/routers", as: user, ["router": .object(body)]).json["router"] ?? .null
  }
  func interface(_ router: JSON, subnet: JSON, as user: String = "alice") async throws -> Answer {
    try await call(
      .put, "/v2.0/routers/\(router.id)/add_router_interface", as: user, ["subnet_id": .string(subnet.id)])
  }
}
