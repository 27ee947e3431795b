import Domain
import NeutronAPI
import Store
import Testing
import Wire

@Suite struct PortSecurityTests {
  private static let secured: NeutronAPI.Settings = {
    var settings = NeutronAPI.Settings()
    settings.isPortSecurityEnabled = true
    return settings
  }()

  @Test func portsHaveWhatTheirNetworkHasAndNetworksWhatTheSiteHas() async throws {
    try await Site.run { site in
      // As machines always were: nothing filters them.
      let network = try await site.network("plain")
      #expect(network["port_security_enabled"] == false)
      let port = try await site.port(network).json["port"]
      #expect(port?["port_security_enabled"] == false && port?["security_groups"] == [])
      #expect(port?["allowed_address_pairs"] == [])
      let asked = try await site.port(network, ["port_security_enabled": true]).json["port"]
      #expect(asked?["port_security_enabled"] == true && asked?["security_groups"]?.array?.count == 1)
      let path = "/v2.0/networks/\(network.id)"
      let changed = try await site.call(.put, path, ["network": ["port_security_enabled": true]]).json["network"]
      #expect(changed?["port_security_enabled"] == true)
      #expect(try await site.port(network).json["port"]?["port_security_enabled"] == true)
    }
    try await Site.run(settings: Self.secured) { site in
      let network = try await site.network("secured")
      #expect(network["port_security_enabled"] == true)
      let groups = try await site.call(.get, "/v2.0/security-groups").json.ids("security_groups")
      let port = try await site.port(network).json["port"]
      #expect(port?["port_security_enabled"] == true && port?["security_groups"] == .array(groups.map { .string($0) }))
      let free = try await site.port(network, ["port_security_enabled": false]).json["port"]
      #expect(free?["port_security_enabled"] == false && free?["security_groups"] == [])
      // The site's own are trusted.
      let own = try await site.port(network, ["device_owner": "network:dhcp"]).json["port"]
      #expect(own?["port_security_enabled"] == false && own?["security_groups"] == [])
      #expect(
        try await site.call(.get, "/v2.0/ports?security_groups=\(groups.first ?? "")").json.ids("ports") == [port?.id])
      #expect(try await site.call(.get, "/v2.0/ports?port_security_enabled=false").json.ids("ports").count == 2)
    }
  }

  @Test func groupsAndPairsNeedPortSecurity() async throws {
    try await Site.run(settings: Self.secured) { site in
      let network = try await site.network("mine")
      let group = try await site.group("web")
      let port = try await site.port(network).json["port"] ?? .null
      let path = "/v2.0/ports/\(port.id)"
      func put(_ object: JSONObject) async throws -> Site.Answer {
        try await site.call(.put, path, ["port": .object(object)])
      }
      let pair: JSON = ["ip_address": "10.0.1.9", "mac_address": "52:54:00:00:00:09"]

      let kept = try await put(["port_security_enabled": false])
      #expect(kept.status == 409 && kept.error == "PortSecurityPortHasSecurityGroup")
      let off = try await put(["port_security_enabled": false, "security_groups": []])
      #expect(off.status == 200 && off.json["port"]?["port_security_enabled"] == false)
      #expect(
        try await put(["security_groups": [.string(group.id)]]).error == "PortSecurityAndIPRequiredForSecurityGroups")
      #expect(try await put(["allowed_address_pairs": [pair]]).error == "AddressPairAndPortSecurityRequired")
      let on = try await put([
        "port_security_enabled": true, "security_groups": [.string(group.id)], "allowed_address_pairs": [pair],
      ])
      #expect(on.status == 200 && on.json["port"]?["security_groups"] == [.string(group.id)])
      #expect(on.json["port"]?["allowed_address_pairs"] == [pair])
      let pairs = try await put(["port_security_enabled": false, "security_groups": []])
      #expect(pairs.status == 409 && pairs.error == "AddressPairAndPortSecurityRequired")
      for object: JSONObject in [
        ["security_groups": [.string(group.id)]], ["allowed_address_pairs": [pair]],
      ] {
        var both = object
        both["port_security_enabled"] = false
        #expect(try await site.port(network, both).status == (object["security_groups"] == nil ? 409 : 400))
      }

      // Groups that there are, once each, of one kind.
      #expect(try await put(["security_groups": [.string(Identifier.uuid())]]).error == "SecurityGroupNotFound")
      #expect(try await put(["security_groups": [.string(group.id), .string(group.id)]]).status == 400)
      let theirs = try await site.group("theirs", as: "bob")
      #expect(try await put(["security_groups": [.string(theirs.id)]]).status == 404)
      let flat = try await site.group("flat", ["stateful": false])
      #expect(
        try await put(["security_groups": [.string(group.id), .string(flat.id)]]).error == "SecurityGroupConflict")
      #expect(try await site.call(.get, path).json["port"]?["security_groups"] == [.string(group.id)])
      #expect(
        try await site.call(.put, "/v2.0/security-groups/\(group.id)", ["security_group": ["stateful": false]]).error
          == "SecurityGroupInUse")
      #expect(try await put(["security_groups": []]).json["port"]?["security_groups"] == [])
    }
  }

  @Test func addressPairsAreReadStrictlyAndTheNetworkOwnersToGive() async throws {
    try await Site.run(settings: Self.secured) { site in
      let network = try await site.network("mine")
      _ = try await site.subnet(network, "10.0.1.0/24")
      let port = try await site.port(network).json["port"] ?? .null
      let path = "/v2.0/ports/\(port.id)"
      func put(_ pairs: [JSON]) async throws -> Site.Answer {
        try await site.call(.put, path, ["port": ["allowed_address_pairs": .array(pairs)]])
      }
      let block = try await put([["ip_address": "10.0.2.0/24"], ["ip_address": "fd00::1"]])
      #expect(
        block.json["port"]?["allowed_address_pairs"] == [
          ["ip_address": "10.0.2.0/24", "mac_address": port["mac_address"] ?? .null],
          ["ip_address": "fd00::1", "mac_address": port["mac_address"] ?? .null],
        ])
      #expect(try await put([["mac_address": "52:54:00:00:00:09"]]).error == "AllowedAddressPairsMissingIP")
      for wrong: JSON in [
        ["ip_address": "10.0.2.0/33"], ["ip_address": "10.0.2.300"], ["ip_address": "10.0.2.1,actions=normal"],
        "10.0.2.1",
        ["ip_address": "10.0.2.1", "mac_address": "x"], ["ip_address": "10.0.2.1", "what": 1], ["ip_address": 7],
        ["ip_address": "10.0.2.1", "mac_address": 7],
      ] {
        #expect(try await put([wrong]).status == 400, "\(wrong)")
      }
      #expect(
        try await put([["ip_address": "10.0.2.1"], ["ip_address": "10.0.2.1"]]).error == "DuplicateAddressPairInRequest"
      )
      #expect(
        try await put((1...11).map { ["ip_address": .string("10.0.2.\($0)")] }).error == "AllowedAddressPairExhausted")
      #expect(try await put([]).json["port"]?["allowed_address_pairs"] == [])

      // On a network that is only shared with them nobody takes other addresses, nor their bounds off.
      _ = try await site.share(network, with: Site.beta)
      let pair: JSONObject = ["allowed_address_pairs": [["ip_address": "10.0.2.1"]]]
      #expect(try await site.port(network, as: "bob", pair).status == 403)
      #expect(try await site.port(network, as: "bob", ["port_security_enabled": false]).status == 403)
      let theirs = try await site.port(network, as: "bob").json["port"] ?? .null
      #expect(theirs["port_security_enabled"] == true)
      #expect(try await site.call(.put, "/v2.0/ports/\(theirs.id)", as: "bob", ["port": .object(pair)]).status == 403)
      let off: JSON = ["port": ["port_security_enabled": false, "security_groups": []]]
      #expect(try await site.call(.put, "/v2.0/ports/\(theirs.id)", as: "bob", off).status == 403)
    }
  }

  @Test func theSwitchFollowsEveryChangeOfWhatMayPass() async throws {
    try await Site.run(settings: Self.secured) { site in
      let network = try await site.network("mine")
      let subnet = try await site.subnet(network, "10.0.1.0/24")
      let (web, clients) = (try await site.group("web"), try await site.group("clients"))
      let port = try await site.port(network, ["security_groups": [.string(web.id)]]).json["port"] ?? .null
      try await site.database.write { session in
        try NetworkPortStore.bind(port.id, hostID: "n1", macAddress: "52:54:00:00:00:01", at: Site.now, in: session)
      }
      /// What the conductor was told since the last look.
      func told(_ what: () async throws -> Void) async throws -> [String] {
        let before = site.rewired.all.count
        try await what()
        return Array(site.rewired.all[before...])
      }
      func accessList() async throws -> AccessList? {
        try await site.database.read { session in
          let stored = try #require(try NetworkPortStore.get(port.id, in: session))
          return try SecurityGroupStore.accessList(of: stored, in: session)
        }
      }

      // its own rules, and those of a group that it names
      var rule = JSON.null
      #expect(
        try await told {
          rule = try await site.rule(web, ["remote_group_id": .string(clients.id)]).json["security_group_rule"] ?? .null
        } == [port.id])
      #expect(try await told { _ = try await site.rule(clients, ["protocol": "tcp"]) }.isEmpty)
      let mac = try #require(MACAddress("52:54:00:00:00:01"))
      let own = AccessList.Source(mac: mac, block: CIDR("10.0.1.2/32"))
      let out = [AccessList.Rule(direction: .egress, version: 4), AccessList.Rule(direction: .egress, version: 6)]
      #expect(try await accessList() == AccessList(sources: [own], rules: out))

      // who is in that group
      var member = JSON.null
      #expect(
        try await told {
          member = try await site.port(network, ["security_groups": [.string(clients.id)]]).json["port"] ?? .null
        } == [port.id])
      func from(_ blocks: String...) -> AccessList {
        AccessList(
          sources: [own],
          rules: out + blocks.map { AccessList.Rule(direction: .ingress, version: 4, remote: CIDR($0)) })
      }
      #expect(try await accessList() == from("10.0.1.3/32"))
      let path = "/v2.0/ports/\(member.id)"
      let pair: JSON = ["port": ["allowed_address_pairs": [["ip_address": "10.0.7.0/24"]]]]
      #expect(try await told { _ = try await site.call(.put, path, pair) } == [port.id])
      #expect(try await accessList() == from("10.0.1.3/32", "10.0.7.0/24"))
      let moved: JSON = ["port": ["fixed_ips": [["subnet_id": .string(subnet.id), "ip_address": "10.0.1.9"]]]]
      #expect(try await told { _ = try await site.call(.put, path, moved) } == [port.id])
      #expect(try await accessList() == from("10.0.1.9/32", "10.0.7.0/24"))
      #expect(try await told { _ = try await site.call(.put, path, ["port": ["name": "x"]]) }.isEmpty)
      #expect(try await told { _ = try await site.call(.delete, path) } == [port.id])
      #expect(try await accessList() == from())

      // what it is itself
      let mine = "/v2.0/ports/\(port.id)"
      let changed = try await site.call(.put, mine, ["port": ["security_groups": []]]).json["port"]
      #expect(changed?["status"] == "BUILD")
      #expect(try await accessList() == AccessList(sources: [own], rules: []))
      #expect(
        try await told { _ = try await site.call(.put, mine, ["port": ["security_groups": [.string(web.id)]]]) } == [
          port.id
        ])
      #expect(
        try await told { _ = try await site.call(.delete, "/v2.0/security-group-rules/\(rule.id)") } == [port.id])
      _ = try await site.rule(web, ["remote_group_id": .string(clients.id)])
      #expect(try await told { _ = try await site.call(.delete, "/v2.0/security-groups/\(clients.id)") } == [port.id])
      #expect(
        try await told {
          _ = try await site.call(.put, mine, ["port": ["port_security_enabled": false, "security_groups": []]])
        } == [port.id])
      #expect(try await accessList() == nil)
    }
  }
}
