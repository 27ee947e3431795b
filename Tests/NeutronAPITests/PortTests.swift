import HTTPTypes
import Domain
import Store
import Testing
import Wire

@Suite struct PortTests {
  @Test func aPortTakesTheLowestFreeAddressOfThePools() async throws {
    try await Site.run { site in
      let network = try await site.network("mine")
      let subnet = try await site.subnet(network, "10.0.1.0/29", ["gateway_ip": "10.0.1.2"])
      #expect(
        subnet["allocation_pools"] == [
          ["start": "10.0.1.1", "end": "10.0.1.1"], ["start": "10.0.1.3", "end": "10.0.1.6"],
        ])

      var addresses: [String] = []
      for _ in 0..<5 {
        let port = try await site.port(network).json["port"]
        addresses.append(port?["fixed_ips"]?.array?.first?["ip_address"]?.string ?? "none")
        #expect(port?["status"] == "DOWN")
        #expect(port?["mac_address"]?.string?.hasPrefix("fa:16:3e:") == true)
      }
      let full = try await site.port(network)

      #expect(addresses == ["10.0.1.1", "10.0.1.3", "10.0.1.4", "10.0.1.5", "10.0.1.6"])
      #expect(full.status == 409)
      #expect(full.error == "IpAddressGenerationFailure")
      #expect(full.message.contains("allocation pool"))
    }
  }

  @Test func parallelPortsNeverShareAnAddress() async throws {
    try await Site.run { site in
      let network = try await site.network("mine")
      _ = try await site.subnet(network, "10.0.1.0/28")
      let answers = try await withThrowingTaskGroup(of: Site.Answer.self) { group in
        for _ in 0..<20 { group.addTask { try await site.port(network) } }
        return try await group.reduce(into: []) { $0.append($1) }
      }
      let addresses = answers.compactMap { $0.json["port"]?["fixed_ips"]?.array?.first?["ip_address"]?.string }

      #expect(addresses.count == 13)
      #expect(Set(addresses).count == 13)
      #expect(answers.filter { $0.status == 409 }.count == 7)
    }
  }

  @Test func anAddressIsChosenOnceAndByTheOwnerOfTheNetwork() async throws {
    try await Site.run { site in
      let network = try await site.network("mine")
      let subnet = try await site.subnet(
        network, "10.0.1.0/24", ["allocation_pools": [["start": "10.0.1.20", "end": "10.0.1.99"]]])
      let asked: JSONObject = ["fixed_ips": [["subnet_id": .string(subnet.id), "ip_address": "10.0.1.40"]]]

      #expect(try await site.port(network, asked).status == 201)
      let again = try await site.port(network, asked)
      #expect(again.status == 409)
      #expect(again.error == "IpAddressAlreadyAllocated")
      let outside = try await site.port(network, ["fixed_ips": [["ip_address": "10.9.9.9"]]])
      #expect(outside.error == "InvalidIpForNetwork")
      let wrong = try await site.port(
        network, ["fixed_ips": [["subnet_id": .string(subnet.id), "ip_address": "10.0.2.1"]]])
      #expect(wrong.error == "InvalidIpForSubnet")
      for text in ["0x0a000128", "10.0.1", "10.0.1.040", "10.0.1.40 ", "::ffff:10.0.1.41"] {
        #expect(try await site.port(network, ["fixed_ips": [["ip_address": .string(text)]]]).status == 400, "\(text)")
      }
      #expect(try await site.port(network, ["fixed_ips": []]).json["port"]?["fixed_ips"] == [])

      let shared = try await site.network("public", as: "admin", ["shared": true])
      _ = try await site.subnet(shared, "10.1.0.0/24", as: "admin")
      #expect(try await site.port(shared, ["fixed_ips": [["ip_address": "10.1.0.9"]]]).status == 403)
      #expect(try await site.port(shared, ["mac_address": "fa:16:3e:00:00:01"]).status == 403)
      #expect(try await site.port(shared).status == 201)
    }
  }

  @Test func portsAreFoundByWhatClientsAskFor() async throws {
    try await Site.run { site in
      let network = try await site.network("mine")
      let subnet = try await site.subnet(network, "10.0.1.0/24")
      let first =
        try await site.port(network, ["name": "esi-n1-mine", "device_owner": "baremetal:none", "tags": ["x"]]).json[
          "port"] ?? .null
      let second =
        try await site.port(network, ["name": "other", "binding:host_id": "node-1", "device_id": "d"]).json["port"]
        ?? .null
      func found(_ query: String, as user: String = "alice") async throws -> Set<String> {
        Set(try await site.call(.get, "/v2.0/ports?\(query)", as: user).json.ids("ports"))
      }

      #expect(try await found("name=esi-n1-mine&status=DOWN") == [first.id])
      #expect(try await found("device_owner=baremetal:none") == [first.id])
      #expect(try await found("binding:host_id=node-1") == [second.id])
      #expect(try await found("device_id=d") == [second.id])
      #expect(try await found("device_id=") == [first.id])
      #expect(try await found("network_id=\(network.id)") == [first.id, second.id])
      #expect(try await found("network_id=elsewhere") == [])
      #expect(try await found("fixed_ips=ip_address%3D10.0.1.3") == [second.id])
      #expect(try await found("fixed_ips=ip_address%3D10.0.1.3&fixed_ips=subnet_id%3D\(subnet.id)") == [second.id])
      #expect(try await found("fixed_ips=subnet_id%3Delsewhere") == [])
      #expect(try await found("mac_address=\(first["mac_address"]?.string ?? "")") == [first.id])
      #expect(try await found("status=ACTIVE") == [])
      #expect(try await found("tags=x") == [first.id])
      #expect(try await found("id=\(first.id)&id=\(second.id)") == [first.id, second.id])
      #expect(try await found("name=esi-n1-mine", as: "bob") == [])
      #expect(try await found("project_id=\(Site.alpha)", as: "bob") == [])
      #expect(try await found("project_id=\(Site.alpha)", as: "admin") == [first.id, second.id])
      let columns = try await site.call(.get, "/v2.0/ports?fields=id&fields=mac_address&name=other").json
      #expect(columns["ports"]?.array?.first?.object?.keys == ["id", "mac_address"])
      // Names that mean something in SQL mean nothing here.
      #expect(try await found("name=%27%20OR%20%271%27%3D%271") == [])
    }
  }

  @Test func anotherProjectsPortDoesNotExist() async throws {
    try await Site.run { site in
      let network = try await site.network("mine")
      let port = try await site.port(network).json["port"] ?? .null
      for (method, body) in [(.get, nil), (.put, ["port": ["name": "stolen"]]), (.delete, nil)]
        as [(HTTPRequest.Method, JSON?)]
      {
        let foreign = try await site.call(method, "/v2.0/ports/\(port.id)", as: "bob", body)
        #expect(foreign.status == 404)
        #expect(foreign.error == "PortNotFound")
      }
      #expect(try await site.port(network, as: "bob").error == "NetworkNotFound")
      let subnet = try await site.call(
        .post, "/v2.0/subnets", as: "bob", ["subnet": ["network_id": .string(network.id), "cidr": "10.9.0.0/24"]])
      #expect(subnet.error == "NetworkNotFound")
    }
  }

  @Test func theOwnerOfANetworkSeesAndRemovesForeignPortsOnIt() async throws {
    try await Site.run { site in
      let shared = try await site.network("public", as: "admin", ["shared": true])
      let port = try await site.port(shared, as: "bob").json["port"] ?? .null

      #expect(try await site.call(.get, "/v2.0/ports", as: "alice").json.ids("ports") == [])
      #expect(try await site.call(.get, "/v2.0/ports/\(port.id)", as: "admin").status == 200)
      #expect(try await site.call(.delete, "/v2.0/ports/\(port.id)", as: "admin").status == 204)
    }
  }

  @Test func severalPortsAreMadeTogetherOrNotAtAll() async throws {
    try await Site.run { site in
      let network = try await site.network("mine")
      _ = try await site.subnet(network, "10.0.1.0/30")
      let item: JSON = ["network_id": .string(network.id)]
      let refused = try await site.call(.post, "/v2.0/ports", ["ports": [item, item]])
      #expect(refused.status == 409)
      #expect(try await site.call(.get, "/v2.0/ports").json.ids("ports") == [])
      let made = try await site.call(.post, "/v2.0/ports", ["ports": [item]])
      #expect(made.status == 201)
      #expect(made.json["ports"]?.array?.count == 1)
    }
  }

  @Test func aPortIsChanged() async throws {
    try await Site.run { site in
      let network = try await site.network("mine")
      let subnet = try await site.subnet(network, "10.0.1.0/24")
      let port = try await site.port(network).json["port"] ?? .null
      let path = "/v2.0/ports/\(port.id)"

      let changed = try await site.call(.put, path, ["port": ["description": "d", "admin_state_up": false]]).json[
        "port"]
      #expect(changed?["admin_state_up"] == false)
      #expect(changed?["fixed_ips"] == port["fixed_ips"])
      let moved = try await site.call(
        .put, path, ["port": ["fixed_ips": [["subnet_id": .string(subnet.id)], ["ip_address": "10.0.1.77"]]]])
      let addresses = moved.json["port"]?["fixed_ips"]?.array?.compactMap { $0["ip_address"]?.string }
      #expect(Set(addresses ?? []) == ["10.0.1.2", "10.0.1.77"])
      #expect(try await site.call(.put, path, ["port": ["network_id": "x"]]).status == 400)
      #expect(try await site.call(.put, path, ["port": ["project_id": .string(Site.beta)]]).status == 400)
      #expect(try await site.call(.put, path, ["port": ["security_groups": ["x"]]]).status == 404)
      #expect(try await site.call(.put, path, ["port": ["security_groups": []]]).status == 200)
      #expect(
        try await site.call(.put, path, ["port": ["binding:profile": ["local_link_information": []]]]).status == 403)
      #expect(
        try await site.call(.put, path, ["port": ["extra_dhcp_opts": [["opt_name": "x\ny", "opt_value": "z"]]]]).status
          == 400)
    }
  }

  @Test func aDeletedPortKeepsItsVLANUntilTheSwitchHasLetGo() async throws {
    try await Site.run(vlans: 200...200) { site in
      let network = try await site.network("mine")
      let port = try await site.port(network).json["port"] ?? .null
      let nic = Port(uuid: Identifier.uuid(), nodeUUID: "n1", address: "52:54:00:00:00:01", createdAt: Site.now)
      try await site.database.write { session in
        try NodeStore.insert(
          Node(uuid: "n1", name: "n1", driver: "ipmi", createdAt: Site.now), secrets: [], box: site.database.secrets,
          in: session)
        var attached = nic
        attached.vifPortID = port.id
        try PortStore.insert(attached, in: session)
        try NetworkPortStore.bind(port.id, hostID: "n1", macAddress: nic.address, at: Site.now, in: session)
        try NetworkPortStore.setStatus(.active, of: port.id, at: Site.now, in: session)
      }
      let bound = try await site.call(.get, "/v2.0/ports/\(port.id)").json["port"]
      #expect(bound?["status"] == "ACTIVE")
      #expect(bound?["mac_address"] == "52:54:00:00:00:01")
      #expect(bound?["binding:host_id"] == "n1")
      #expect(
        try await site.call(.put, "/v2.0/ports/\(port.id)", ["port": ["mac_address": "52:54:00:00:00:02"]]).status
          == 409)

      #expect(try await site.call(.delete, "/v2.0/ports/\(port.id)").status == 204)
      #expect(site.detached.all == [port.id])
      #expect(try await site.call(.get, "/v2.0/ports/\(port.id)").status == 404)
      #expect(try await site.call(.get, "/v2.0/ports").json.ids("ports") == [])
      let inUse = try await site.call(.delete, "/v2.0/networks/\(network.id)")
      #expect(inUse.status == 409)
      #expect(inUse.message.contains("try again"))

      try await site.database.write { session in try NetworkPortStore.release(port.id, at: Site.now, in: session) }
      #expect(try await site.call(.delete, "/v2.0/networks/\(network.id)").status == 204)
    }
  }

  @Test func whereAMachineIsWiredIsTheSitesToRead() async throws {
    try await Site.run { site in
      let network = try await site.network("mine")
      let port = try await site.port(network).json["port"] ?? .null
      let place: JSONObject = ["local_link_information": [["switch_info": "tor-1", "port_id": "Eth1/4"]]]
      try await site.database.write { session in
        try NetworkPortStore.bind(
          port.id, hostID: "n1", macAddress: "52:54:00:00:00:01", profile: place, at: Site.now, in: session)
      }
      let path = "/v2.0/ports/\(port.id)"
      let name: JSON = ["port": ["name": "renamed"]]
      for user in ["alice", "watcher", "admin"] {
        let answers = [
          try await site.call(.get, path, as: user).json["port"],
          try await site.call(.get, "/v2.0/ports?network_id=\(network.id)", as: user).json["ports"]?.array?.first,
          try await site.call(.get, "/v2.0/ports?fields=binding:profile&fields=id&sort_key=id", as: user)
            .json["ports"]?.array?.first,
        ]
        for shown in answers {
          #expect(shown?.id == port.id)
          #expect(shown?["binding:profile"] == (user == "admin" ? .object(place) : nil), "\(user): \(shown ?? .null)")
        }
      }
      let changed = try await site.call(.put, path, name).json["port"]
      #expect(changed?["name"] == "renamed" && changed?["binding:profile"] == nil)
      // It goes with the attachment.
      try await site.database.write { session in try NetworkPortStore.release(port.id, at: Site.now, in: session) }
      #expect(try await site.call(.get, path, as: "admin").json["port"]?["binding:profile"] == [:])
    }
  }

  @Test func theSwitchFollowsTheAdministrativeStateOfWhatIsAttached() async throws {
    try await Site.run { site in
      let network = try await site.network("mine")
      let (port, free) = (
        try await site.port(network).json["port"] ?? .null, try await site.port(network).json["port"] ?? .null
      )
      try await site.database.write { session in
        try NetworkPortStore.bind(port.id, hostID: "n1", macAddress: "52:54:00:00:00:01", at: Site.now, in: session)
        try NetworkPortStore.setStatus(.active, of: port.id, at: Site.now, in: session)
      }
      func put(_ path: String, _ body: JSON) async throws -> JSON { try await site.call(.put, path, body).json }

      // A name is no matter of the switch, and neither is what stays as it is, or what nobody is attached to.
      #expect(
        try await put("/v2.0/ports/\(port.id)", ["port": ["name": "x", "admin_state_up": true]])["port"]?["status"]
          == "ACTIVE")
      _ = try await put("/v2.0/ports/\(free.id)", ["port": ["admin_state_up": false]])
      _ = try await put("/v2.0/networks/\(network.id)", ["network": ["name": "y", "admin_state_up": true]])
      #expect(site.rewired.all.isEmpty)

      let off = try await put("/v2.0/ports/\(port.id)", ["port": ["admin_state_up": false]])["port"]
      #expect(off?["admin_state_up"] == false && off?["status"] == "BUILD")
      #expect(site.rewired.all == [port.id])
      _ = try await put("/v2.0/networks/\(network.id)", ["network": ["admin_state_up": false]])
      #expect(site.rewired.all == [port.id, port.id])
    }
  }

  @Test func aReleasedPortHasAnAddressOfItsOwnAgain() async throws {
    try await Site.run { site in
      let network = try await site.network("mine")
      let port = try await site.port(network).json["port"] ?? .null
      try await site.database.write { session in
        try NetworkPortStore.bind(port.id, hostID: "n1", macAddress: "52:54:00:00:00:01", at: Site.now, in: session)
        try NetworkPortStore.release(port.id, at: Site.now, in: session)
      }
      let free = try await site.call(.get, "/v2.0/ports/\(port.id)").json["port"]
      #expect(free?["mac_address"]?.string?.hasPrefix("fa:16:3e:") == true)
      #expect(free?["binding:host_id"] == "")
      #expect(free?["status"] == "DOWN")
      #expect(site.detached.all.isEmpty)
      #expect(try await site.call(.delete, "/v2.0/ports/\(port.id)").status == 204)
      #expect(site.detached.all.isEmpty)
    }
  }
}
