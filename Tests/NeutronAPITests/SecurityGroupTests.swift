import Domain
import NeutronAPI
import Store
import Testing
import Wire

@Suite struct SecurityGroupTests {
  private static let groups = "/v2.0/security-groups"
  private static let rules = "/v2.0/security-group-rules"

  @Test func aProjectHasItsDefaultGroupFromTheFirstLookOn() async throws {
    try await Site.run { site in
      // Also for one who may only read.
      let first = try await site.call(.get, Self.groups, as: "watcher").json["security_groups"]?.array ?? []
      #expect(first.map { $0["name"]?.string } == ["default"])
      #expect(first.first?["project_id"] == .string(Site.alpha))
      #expect(first.first?["stateful"] == true && first.first?["shared"] == false)
      let group = first.first ?? .null
      let rules = group["security_group_rules"]?.array ?? []
      let shown = Set(rules.map { "\($0["direction"]?.string ?? "") \($0["ethertype"]?.string ?? "")" })
      #expect(rules.count == 4 && shown == ["egress IPv4", "egress IPv6", "ingress IPv4", "ingress IPv6"])
      for rule in rules {
        let remote: JSON = rule["direction"] == "ingress" ? .string(group.id) : .null
        #expect(rule["remote_group_id"] == remote && rule["belongs_to_default_sg"] == true)
        #expect(try await site.call(.get, "\(Self.rules)/\(rule.id)").json["security_group_rule"] == rule)
        #expect(try await site.call(.get, "\(Self.rules)/\(rule.id)", as: "bob").status == 404)
      }
      #expect(try await site.call(.get, Self.rules).json.ids("security_group_rules").count == 4)
      // The same for ever, one for each project, and nobody's else.
      #expect(try await site.call(.get, Self.groups).json.ids("security_groups") == [group.id])
      #expect(try await site.call(.get, "\(Self.groups)/\(group.id)", as: "bob").status == 404)
      #expect(try await !site.call(.get, Self.groups, as: "bob").json.ids("security_groups").contains(group.id))

      // Its name is its own.
      let path = "\(Self.groups)/\(group.id)"
      let renamed = try await site.call(.put, path, ["security_group": ["name": "x"]])
      #expect(renamed.status == 409 && renamed.error == "SecurityGroupCannotUpdateDefault")
      #expect(try await site.call(.put, path, ["security_group": ["description": "d"]]).status == 200)
      let second = try await site.call(.post, Self.groups, ["security_group": ["name": "Default"]])
      #expect(second.status == 409 && second.error == "SecurityGroupDefaultAlreadyExists")
      let removed = try await site.call(.delete, path)
      #expect(removed.status == 409 && removed.error == "SecurityGroupCannotRemoveDefault")
      #expect(try await site.call(.delete, path, as: "admin").status == 204)
      #expect(try await site.call(.get, Self.groups).json.ids("security_groups") != [group.id], "a new one")
    }
  }

  @Test func groupsAreMadeChangedTaggedAndDeleted() async throws {
    try await Site.run { site in
      let body: JSON = ["security_groups": [["name": "web", "description": "d"], ["name": "web", "stateful": false]]]
      let made = try await site.call(.post, Self.groups, body)
      #expect(made.status == 201)
      let (web, flat) = (
        made.json["security_groups"]?.array?.first ?? .null, made.json["security_groups"]?.array?.last ?? .null
      )
      #expect(web["stateful"] == true && flat["stateful"] == false && web.id != flat.id)
      #expect(web["security_group_rules"]?.array?.map { $0["direction"] } == ["egress", "egress"])
      #expect(try await site.call(.get, Self.groups + "?name=web").json.ids("security_groups").count == 2)
      let wrapped: JSON = ["security_groups": [["security_group": ["name": "wrapped"]]]]
      #expect(
        try await site.call(.post, Self.groups, wrapped).json["security_groups"]?.array?.map { $0["name"] } == [
          "wrapped"
        ])
      #expect(try await site.call(.get, Self.groups + "?stateful=false").json.ids("security_groups") == [flat.id])

      let path = "\(Self.groups)/\(flat.id)"
      let changed = try await site.call(.put, path, ["security_group": ["name": "flat", "stateful": true]]).json[
        "security_group"]
      #expect(changed?["name"] == "flat" && changed?["stateful"] == true && changed?["revision_number"] == 2)
      #expect(try await site.call(.put, path, ["security_group": ["name": true]]).status == 400)
      #expect(try await site.call(.put, path, ["security_group": ["project_id": .string(Site.beta)]]).status == 400)
      #expect(try await site.call(.put, path, as: "watcher", ["security_group": ["name": "x"]]).status == 403)
      #expect(try await site.call(.put, path, as: "bob", ["security_group": ["name": "x"]]).status == 404)
      let long = String(repeating: "x", count: 256)
      #expect(try await site.call(.post, Self.groups, ["security_group": ["name": .string(long)]]).status == 400)

      #expect(try await site.call(.put, path + "/tags", ["tags": ["red", "blue"]]).status == 200)
      #expect(try await site.call(.get, path).json["security_group"]?["tags"] == ["blue", "red"])
      #expect(try await site.call(.get, Self.groups + "?tags=red").json.ids("security_groups") == [flat.id])

      #expect(try await site.call(.delete, path, as: "bob").status == 404)
      #expect(try await site.call(.delete, path).status == 204)
      #expect(try await site.call(.get, path).status == 404)
      let left = try await site.call(.get, Self.rules).json["security_group_rules"]?.array ?? []
      #expect(!left.contains { $0["security_group_id"] == .string(flat.id) })
    }
  }

  @Test func rulesAreReadAsUpstreamReadsThem() async throws {
    try await Site.run { site in
      let group = try await site.group("web")
      func make(_ more: JSONObject, as user: String = "alice") async throws -> Site.Answer {
        try await site.rule(group, more, as: user)
      }
      // What is kept is what was asked for, in one way of writing it.
      let kept: [(JSONObject, JSONObject)] = [
        (
          ["protocol": "tcp", "port_range_min": 77, "port_range_max": "78"],
          ["port_range_min": 77, "port_range_max": 78]
        ),
        (["protocol": 17], ["protocol": "17", "port_range_min": .null]),
        (
          ["protocol": "TCP", "port_range_min": 1, "port_range_max": 65535],
          ["protocol": "tcp", "port_range_max": .null]
        ),
        (["protocol": "any", "ethertype": "ipv6"], ["protocol": .null, "ethertype": "IPv6"]),
        (["protocol": "icmp", "ethertype": "IPv6"], ["protocol": "ipv6-icmp"]),
        (["protocol": "icmp", "port_range_min": 3, "port_range_max": 0], ["port_range_min": 3, "port_range_max": 0]),
        (["protocol": "icmp", "port_range_min": 11], ["port_range_max": .null]),
        (["remote_ip_prefix": "10.0.0.34/24"], ["remote_ip_prefix": "10.0.0.34/24", "normalized_cidr": "10.0.0.0/24"]),
        (["remote_ip_prefix": "10.0.0.9"], ["remote_ip_prefix": "10.0.0.9/32"]),
        (["remote_group_id": .string(group.id)], ["remote_group_id": .string(group.id), "normalized_cidr": .null]),
        (["protocol": "vrrp"], ["protocol": "vrrp"]), (["protocol": "0"], ["protocol": "0"]),
      ]
      for (asked, expected) in kept {
        let made = try await make(asked)
        #expect(made.status == 201, "\(asked): \(made.message)")
        for member in expected {
          #expect(made.json["security_group_rule"]?[member.key] == member.value, "\(asked)")
        }
      }
      let refused: [(JSONObject, String)] = [
        (["protocol": "nothing"], "SecurityGroupRuleInvalidProtocol"),
        (["protocol": 256], "SecurityGroupRuleInvalidProtocol"),
        (["protocol": "+6"], "SecurityGroupRuleInvalidProtocol"),
        (["protocol": "tcp;"], "SecurityGroupRuleInvalidProtocol"),
        (["protocol": "ipv6-icmp"], "SecurityGroupEthertypeConflictWithProtocol"),
        (["protocol": "60"], "SecurityGroupEthertypeConflictWithProtocol"),
        (["port_range_min": 1, "port_range_max": 2], "SecurityGroupProtocolRequiredWithPorts"),
        (["protocol": "tcp", "port_range_min": 2, "port_range_max": 1], "SecurityGroupInvalidPortRange"),
        (["protocol": "tcp", "port_range_min": 2], "SecurityGroupInvalidPortRange"),
        (["protocol": "tcp", "port_range_min": 0, "port_range_max": 1], "SecurityGroupInvalidPortValue"),
        (["protocol": "tcp", "port_range_min": 1, "port_range_max": 65536], "SecurityGroupInvalidPortValue"),
        (["protocol": "tcp", "port_range_min": "x"], "SecurityGroupInvalidPortValue"),
        (["protocol": "icmp", "port_range_min": 256], "SecurityGroupInvalidIcmpValue"),
        (["protocol": "icmp", "port_range_max": 1], "SecurityGroupMissingIcmpType"),
        (["protocol": "esp", "port_range_min": 1, "port_range_max": 2], "SecurityGroupInvalidProtocolForPort"),
        (["protocol": "dccp", "port_range_min": 1, "port_range_max": 2], "SecurityGroupInvalidProtocolForPort"),
        (["ethertype": "IPv5"], "SecurityGroupRuleInvalidEtherType"),
        (["remote_ip_prefix": "10.0.0.0/33"], "InvalidCIDR"),
        (["remote_ip_prefix": "fd00::/64"], "SecurityGroupRuleParameterConflict"),
        (
          ["remote_ip_prefix": "10.0.0.0/8", "remote_group_id": .string(group.id)], "SecurityGroupMultipleRemoteEntites"
        ),
        (["remote_address_group_id": "x"], "InvalidInput"), (["direction": "sideways"], "HTTPBadRequest"),
        (["what": 1], "HTTPBadRequest"),
      ]
      for (asked, type) in refused {
        let answer = try await make(asked)
        #expect(answer.status == 400 && answer.error == type, "\(asked): \(answer.error ?? "") \(answer.message)")
      }
      #expect(try await make(["remote_group_id": .string(Identifier.uuid())]).error == "SecurityGroupNotFound")

      // The same again, however it is written.
      for asked: JSONObject in [["protocol": "6", "port_range_min": 77, "port_range_max": 78], ["protocol": "udp"]] {
        let again = try await make(asked)
        #expect(again.status == 409 && again.error == "SecurityGroupRuleExists", "\(asked)")
      }
      // Not somebody else's to add to, nor seen.
      #expect(try await make(["protocol": "gre"], as: "bob").status == 404)
      #expect(try await make(["protocol": "gre"], as: "watcher").status == 403)
    }
  }

  @Test func rulesInBulkAreOneTransactionOfOneGroup() async throws {
    try await Site.run { site in
      let (one, two) = (try await site.group("one"), try await site.group("two"))
      func rule(_ group: JSON, _ port: Int) -> JSON {
        [
          "security_group_id": .string(group.id), "direction": "ingress", "protocol": "tcp",
          "port_range_min": .int(port),
          "port_range_max": .int(port),
        ]
      }
      func post(_ rules: [JSON]) async throws -> Site.Answer {
        try await site.call(.post, Self.rules, ["security_group_rules": .array(rules)])
      }
      let made = try await post([rule(one, 1), rule(one, 2)])
      #expect(made.status == 201 && made.json.ids("security_group_rules").count == 2)
      #expect(try await post([rule(one, 3), rule(two, 3)]).error == "SecurityGroupNotSingleGroupRules")
      #expect(try await post([rule(one, 3), rule(one, 3)]).error == "DuplicateSecurityGroupRuleInPost")
      #expect(try await post([rule(one, 4), rule(one, 1)]).error == "SecurityGroupRuleExists")
      let list = try await site.call(.get, "\(Self.rules)?security_group_id=\(one.id)&direction=ingress").json
      #expect(Set(list.ids("security_group_rules")) == Set(made.json.ids("security_group_rules")))
      #expect(
        try await site.call(.get, Self.rules + "?port_range_min=2&protocol=tcp").json.ids("security_group_rules").count
          == 1)
    }
  }

  @Test func limitsCountWhatIsAskedFor() async throws {
    try await Site.run { site in
      func limit(_ resource: String, _ value: JSON) async throws -> Int {
        try await site.call(
          .put, "/v2.0/quotas/\(Site.alpha)", as: "admin", ["quota": .object([resource: value])]
        ).status
      }
      #expect(try await limit("security_group", 2147483647) == 200)
      for wrong: JSON in [-2, 2147483648, "x"] { #expect(try await limit("security_group", wrong) == 400) }
      // The default group is there without being asked for, and counts.
      #expect(try await limit("security_group", 1) == 200)
      let over = try await site.call(.post, Self.groups, ["security_group": ["name": "one"]])
      #expect(over.status == 409 && over.error == "OverQuota")
      #expect(try await site.call(.get, Self.groups).json.ids("security_groups").count == 1)
      #expect(try await limit("security_group", -1) == 200)
      #expect(try await limit("security_group_rule", 5) == 200)
      let noRules = try await site.call(.post, Self.groups, ["security_group": ["name": "one"]])
      #expect(noRules.status == 409 && noRules.message.contains("security_group_rule"))
      #expect(try await limit("security_group_rule", 7) == 200)
      let group = try await site.group("one")
      #expect(try await site.rule(group, ["protocol": "tcp"]).status == 201)
      #expect(try await site.rule(group, ["protocol": "udp"]).error == "OverQuota")
    }
  }

  @Test func aGroupIsSharedWithAProjectUntilItIsUsedThere() async throws {
    try await Site.run { site in
      let group = try await site.group("web")
      let path = "\(Self.groups)/\(group.id)"
      #expect(try await site.share(group, "security_group", with: Site.beta, as: "bob").status == 404)
      let policy = try await site.share(group, "security_group", with: Site.beta)
      #expect(policy.status == 201)
      let shown = try await site.call(.get, path, as: "bob").json["security_group"]
      #expect(shown?["shared"] == true && shown?["security_group_rules"]?.array?.count == 2)
      #expect(
        try await site.call(.get, Self.groups + "?shared=true", as: "bob").json.ids("security_groups") == [group.id])
      #expect(try await site.call(.get, path, as: "carol").status == 404)
      // Used, not changed.
      #expect(try await site.call(.put, path, as: "bob", ["security_group": ["name": "x"]]).status == 403)
      #expect(try await site.rule(group, ["protocol": "tcp"], as: "bob").status == 403)
      #expect(try await site.share(group, "security_group", with: Site.gamma, as: "bob").status == 400)
      #expect(try await site.share(group, "security_group", with: Site.beta, "access_as_external").status == 400)

      let network = try await site.network("theirs", as: "bob", ["port_security_enabled": true])
      let port = try await site.port(network, as: "bob", ["security_groups": [.string(group.id)]])
      #expect(port.status == 201 && port.json["port"]?["security_groups"] == [.string(group.id)])
      let policyPath = "/v2.0/rbac-policies/\(policy.json["rbac_policy"]?.id ?? "")"
      #expect(try await site.call(.delete, policyPath).error == "RbacPolicyInUse")
      #expect(try await site.call(.delete, path).error == "SecurityGroupInUse")
      #expect(try await site.call(.delete, "/v2.0/ports/\(port.json["port"]?.id ?? "")", as: "bob").status == 204)
      #expect(try await site.call(.delete, policyPath).status == 204)
      #expect(try await site.call(.get, path, as: "bob").status == 404)
    }
  }

  @Test func theAdministratorsRuleInAProjectsGroupIsSeenThereAndMayGo() async throws {
    try await Site.run { site in
      let group = try await site.group("web")
      let made = try await site.rule(group, ["protocol": "tcp"], as: "admin")
      let rule = made.json["security_group_rule"] ?? .null
      #expect(rule["project_id"] == .string(Site.adminProject))
      #expect(try await site.call(.get, Self.rules).json.ids("security_group_rules").contains(rule.id))
      #expect(try await site.call(.delete, "\(Self.rules)/\(rule.id)", as: "bob").status == 404)
      #expect(try await site.call(.delete, "\(Self.rules)/\(rule.id)").status == 204)
      #expect(try await site.call(.get, "\(Self.rules)/\(rule.id)").status == 404)
    }
  }
}

extension Site {
  func group(_ name: String, as user: String = "alice", _ more: JSONObject = [:]) async throws -> JSON {
    var object = more
    object["name"] = .string(name)
    return try await call(.post, "/v2.0/security-groups", as: user, ["security_group": .object(object)]).json[
      "security_group"] ?? .null
  }
  /// A rule for what comes in, unless `more` says otherwise.
  func rule(_ group: JSON, _ more: JSONObject, as user: String = "alice") async throws -> Answer {
    var object: JSONObject = ["security_group_id": .string(group.id), "direction": "ingress"]
    for member in more { object[member.key] = member.value }
    return try await call(.post, "/v2.0/security-group-rules", as: user, ["security_group_rule": .object(object)])
  }
}
