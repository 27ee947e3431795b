import Domain
import NeutronAPI
import Store
import Testing
import Wire

extension Site {
  func pool(_ prefixes: [String], as user: String = "alice", _ more: JSONObject = [:]) async throws -> Answer {
    var object: JSONObject = ["name": "pool", "prefixes": .array(prefixes.map { .string($0) })]
    for member in more { object[member.key] = member.value }
    return try await call(.post, "/v2.0/subnetpools", as: user, ["subnetpool": .object(object)])
  }
  func scope(as user: String = "alice", version: Int = 4, _ more: JSONObject = [:]) async throws -> JSON {
    var object: JSONObject = ["name": "scope", "ip_version": .int(version)]
    for member in more { object[member.key] = member.value }
    return try await call(.post, "/v2.0/address-scopes", as: user, ["address_scope": .object(object)])
      .json["address_scope"] ?? .null
  }
  func subnet(from pool: JSON, on network: JSON, as user: String = "alice", _ more: JSONObject = [:]) async throws
    -> Answer
  {
    var object: JSONObject = ["network_id": network["id"] ?? .null, "subnetpool_id": pool["id"] ?? .null]
    for member in more { object[member.key] = member.value }
    return try await call(.post, "/v2.0/subnets", as: user, ["subnet": .object(object)])
  }
}

@Suite struct SubnetPoolTests {
  @Test func aPoolIsMadeShownChangedAndDeleted() async throws {
    try await Site.run { site in
      let made = try await site.pool(
        ["10.12.0.0/16", "10.11.12.13/24", "10.13.0.0/16"], ["min_prefixlen": "24", "tags": ["b", "a"]])

      #expect(made.status == 201)
      let pool = made.json["subnetpool"] ?? .null
      // The fewest blocks; lengths as text, as upstream writes them.
      #expect(pool["prefixes"] == ["10.11.12.0/24", "10.12.0.0/15"])
      #expect(pool["min_prefixlen"] == "24" && pool["default_prefixlen"] == "24" && pool["max_prefixlen"] == "32")
      #expect(pool["ip_version"] == 4 && pool["is_default"] == false && pool["shared"] == false)
      #expect(pool["default_quota"] == .null && pool["address_scope_id"] == .null && pool["tags"] == ["a", "b"])
      let path = "/v2.0/subnetpools/\(pool.id)"
      #expect(try await site.call(.get, path).json["subnetpool"] == pool)
      for user in ["bob", "carol"] {
        #expect(try await site.call(.get, path, as: user).error == "SubnetPoolNotFound")
        #expect(try await site.call(.get, "/v2.0/subnetpools", as: user).json.ids("subnetpools") == [])
      }
      #expect(try await site.call(.get, "/v2.0/subnetpools?tags=a&name=pool").json.ids("subnetpools") == [pool.id])

      let changed = try await site.call(
        .put, path,
        [
          "subnetpool": [
            "name": "other", "min_prefixlen": 22, "max_prefixlen": 28, "default_prefixlen": 26, "default_quota": 1024,
            "prefixes": ["10.8.0.0/13"],
          ]
        ])
      #expect(changed.status == 200)
      #expect(changed.json["subnetpool"]?["prefixes"] == ["10.8.0.0/13"])
      #expect(changed.json["subnetpool"]?["default_prefixlen"] == "26")
      #expect(changed.json["subnetpool"]?["default_quota"] == 1024)
      #expect(changed.json["subnetpool"]?["revision_number"] == 1)
      let bad: [(JSONObject, String)] = [
        (["prefixes": ["10.8.0.0/16"]], "Existing prefixes must be a subset of the new prefixes"),
        (["prefixes": ["10.8.0.0/13", "2001:db8::/48"]], "Cannot mix"), (["shared": true], "not allowed in PUT"),
        (["project_id": .string(Site.beta)], "not allowed in PUT"),
        (["min_prefixlen": 27], "default_prefixlen=26, min_prefixlen=27"),
        (["max_prefixlen": 33], "max_prefixlen=33, ip_version_max=32"),
        (["max_prefixlen": 21], "min_prefixlen=22, max_prefixlen=21"), (["prefixes": ["nonsense"]], "cidr"),
        (["default_quota": -1], "range"), (["address_scope_id": "foo"], "not a valid UUID"), (["name": ""], "name"),
      ]
      for (attributes, words) in bad {
        let refused = try await site.call(.put, path, ["subnetpool": .object(attributes)])
        #expect(refused.status == 400, "\(attributes)")
        #expect(refused.message.contains(words), "\(refused.message)")
      }
      #expect(try await site.call(.put, path, as: "bob", ["subnetpool": ["name": "x"]]).status == 404)
      #expect(try await site.call(.put, path, as: "watcher", ["subnetpool": ["name": "x"]]).status == 403)
      #expect(try await site.call(.delete, path).status == 204)
      #expect(try await site.call(.get, path).status == 404)
    }
  }

  @Test func whatIsNoPoolIsRefusedInWords() async throws {
    try await Site.run { site in
      for (prefixes, more, words) in [
        ([], [:], "Empty subnet pool prefix list"), (["10.0.0.0/8", "2001:db8::/48"], [:], "Cannot mix"),
        (["10.0.0.0"], [:], "cidr"), (["10.0.0.0/8"], ["default_prefixlen": 4], "Illegal prefix bounds"),
        (["10.0.0.0/8"], ["colour": "red"], "Unrecognized"), (["10.0.0.0/8"], ["name": ""], "name"),
        (["10.0.0.0/8"], ["min_prefixlen": -1], "range"),
      ] as [([String], JSONObject, String)] {
        let refused = try await site.pool(prefixes, more)
        #expect(refused.status == 400 && refused.message.contains(words), "\(prefixes) \(more): \(refused.message)")
      }
      for name in ["shared", "is_default"] {
        let refused = try await site.pool(["10.0.0.0/8"], ["\(name)": true])
        #expect(refused.status == 403 && refused.error == "PolicyNotAuthorized")
      }
      #expect(try await site.call(.get, "/v2.0/subnetpools").json.ids("subnetpools") == [])
    }
  }

  @Test func subnetsComeOutOfAPoolUntilItIsUsedUp() async throws {
    try await Site.run { site in
      let network = try await site.network("mine")
      let pool =
        try await site.pool(["10.1.0.0/24"], ["min_prefixlen": 25, "max_prefixlen": 28]).json["subnetpool"] ?? .null

      // The length of the pool, one that is asked for out of the smallest hole, and a named block.
      let first = try await site.subnet(from: pool, on: network)
      #expect(first.status == 201)
      #expect(first.json["subnet"]?["cidr"] == "10.1.0.0/25")
      #expect(first.json["subnet"]?["gateway_ip"] == "10.1.0.1")
      #expect(first.json["subnet"]?["allocation_pools"] == [["start": "10.1.0.2", "end": "10.1.0.126"]])
      #expect(first.json["subnet"]?["subnetpool_id"] == pool["id"])
      let named = try await site.subnet(from: pool, on: network, ["cidr": "10.1.0.192/28"])
      #expect(named.json["subnet"]?["cidr"] == "10.1.0.192/28")
      let small = try await site.subnet(from: pool, on: network, ["prefixlen": 28])
      #expect(small.json["subnet"]?["cidr"] == "10.1.0.208/28", "the smallest hole")

      for (more, status, type, words) in [
        ([:], 409, "SubnetAllocationError", "Insufficient prefix space to allocate subnet size /25"),
        (["cidr": "10.1.0.192/27"], 409, "SubnetAllocationError", "Cannot allocate requested subnet"),
        (["cidr": "10.9.0.0/28"], 409, "SubnetAllocationError", "from the available set of prefixes"),
        (["prefixlen": 29], 400, "MaxPrefixSubnetAllocationError", "maximum allowed prefix is 28"),
        (["prefixlen": 24], 400, "MinPrefixSubnetAllocationError", "minimum allowed prefix is 25"),
        (["cidr": "10.1.0.0/24"], 400, "MinPrefixSubnetAllocationError", "minimum allowed"),
        (["prefixlen": 28, "cidr": "10.1.0.224/28"], 400, nil, "cidr and prefixlen must not be supplied together"),
        (["ip_version": 6], 400, nil, "Cannot allocate IPv6 subnet from IPv4 subnet pool"),
        (["use_default_subnetpool": true], 400, nil, "cannot both be specified"),
        (["prefixlen": 28, "allocation_pools": []], 400, nil, "allocation_pools allowed only for specific"),
      ] as [(JSONObject, Int, String?, String)] {
        let refused = try await site.subnet(from: pool, on: network, more)
        #expect(refused.status == status && (type == nil || refused.error == type), "\(more): \(refused.error ?? "")")
        #expect(refused.message.contains(words), "\(refused.message)")
      }
      // A subnet that does not come from the pool has no place beside those that do; of the other version it has.
      let beside = try await site.call(
        .post, "/v2.0/subnets", ["subnet": ["network_id": .string(network.id), "cidr": "10.77.0.0/24"]])
      #expect(beside.status == 400 && beside.error == "NetworkSubnetPoolAffinityError")
      #expect(try await site.subnet(network, "2001:db8::/64", ["ip_version": 6])["subnetpool_id"] == .null)

      let path = "/v2.0/subnetpools/\(pool.id)"
      let inUse = try await site.call(.delete, path)
      #expect(inUse.status == 400 && inUse.error == "SubnetPoolDeleteError")
      // What is given back is given out again.
      #expect(try await site.call(.delete, "/v2.0/subnets/\(first.json["subnet"]?.id ?? "")").status == 204)
      #expect(try await site.subnet(from: pool, on: network).json["subnet"]?["cidr"] == "10.1.0.0/25")
      #expect(try await site.call(.delete, "/v2.0/networks/\(network.id)").status == 204)
      #expect(try await site.call(.delete, path).status == 204)
    }
  }

  @Test func parallelSubnetsOfOnePoolNeverOverlap() async throws {
    try await Site.run { site in
      let pool = try await site.pool(["10.1.0.0/26"], ["min_prefixlen": 29]).json["subnetpool"] ?? .null
      let network = try await site.network("mine")
      let made = try await withThrowingTaskGroup(of: (Int, String?).self) { group in
        for _ in 0..<12 {
          group.addTask {
            let answer = try await site.subnet(from: pool, on: network)
            return (answer.status, answer.json["subnet"]?["cidr"]?.string)
          }
        }
        return try await group.reduce(into: []) { $0.append($1) }
      }

      #expect(made.filter { $0.0 == 201 }.count == 8 && made.filter { $0.0 == 409 }.count == 4)
      #expect(Set(made.compactMap { $0.1 }).count == 8)
    }
  }

  @Test func version6PoolsGiveBlocksOfSixtyFour() async throws {
    try await Site.run { site in
      let network = try await site.network("mine")
      let pool = try await site.pool(["2001:db8:3::/48"], ["default_quota": 2]).json["subnetpool"] ?? .null
      #expect(pool["ip_version"] == 6 && pool["default_prefixlen"] == "64" && pool["max_prefixlen"] == "128")

      for number in 0..<2 {
        let subnet = try await site.subnet(from: pool, on: network, ["ip_version": 6])
        #expect(subnet.json["subnet"]?["cidr"] == (number == 0 ? "2001:db8:3::/64" : "2001:db8:3:1::/64"))
      }
      let over = try await site.subnet(from: pool, on: network)
      #expect(over.status == 409 && over.error == "SubnetPoolQuotaExceeded")
    }
  }

  @Test func theDefaultPoolIsTheAdministratorsToName() async throws {
    try await Site.run { site in
      let network = try await site.network("mine")
      func byDefault(_ more: JSONObject) async throws -> Site.Answer {
        var object: JSONObject = ["network_id": .string(network.id), "use_default_subnetpool": true]
        for member in more { object[member.key] = member.value }
        return try await site.call(.post, "/v2.0/subnets", ["subnet": .object(object)])
      }
      #expect(try await byDefault(["ip_version": 4]).message.contains("No default subnetpool found for IPv4"))
      #expect(try await byDefault([:]).message.contains("ip_version must be specified"))
      let hidden = try await site.pool(["10.0.0.0/16"], as: "admin", ["is_default": true, "min_prefixlen": 24])
      #expect(hidden.status == 201)
      #expect(try await byDefault(["ip_version": 4]).message.contains("No default subnetpool found for IPv4"))
      let pool = hidden.json["subnetpool"] ?? .null
      #expect(try await site.share(pool, "subnetpool", with: "*", as: "admin").status == 201)
      #expect(try await byDefault(["ip_version": 4]).json["subnet"]?["cidr"] == "10.0.0.0/24")
      #expect(try await byDefault(["cidr": "10.0.9.0/24"]).json["subnet"]?["subnetpool_id"] == pool["id"])

      let second = try await site.pool(["10.2.0.0/16"], as: "admin", ["is_default": true])
      #expect(second.status == 400 && second.message.contains("Only one default may exist per IP family"))
      #expect(try await site.pool(["2001:db8::/48"], as: "admin", ["is_default": true]).status == 201)
      let path = "/v2.0/subnetpools/\(pool.id)"
      #expect(
        try await site.call(.put, path, as: "admin", ["subnetpool": ["is_default": true]]).status == 200,
        "it is already")
      #expect(try await site.call(.put, path, as: "admin", ["subnetpool": ["is_default": false]]).status == 200)
    }
  }

  @Test func aSharedPoolIsUsedAndNotTakenAway() async throws {
    try await Site.run { site in
      let pool = try await site.pool(["10.1.0.0/16"], ["min_prefixlen": 24]).json["subnetpool"] ?? .null
      let network = try await site.network("bobs", as: "bob")
      #expect(try await site.subnet(from: pool, on: network, as: "bob").error == "SubnetPoolNotFound")
      let policy = try await site.share(pool, "subnetpool", with: Site.beta).json["rbac_policy"] ?? .null

      #expect(
        try await site.call(.get, "/v2.0/subnetpools/\(pool.id)", as: "bob").json["subnetpool"]?["shared"] == true)
      #expect(try await site.subnet(from: pool, on: network, as: "bob").status == 201)
      #expect(
        try await site.call(.put, "/v2.0/subnetpools/\(pool.id)", as: "bob", ["subnetpool": ["name": "x"]]).status
          == 403)
      #expect(try await site.call(.get, "/v2.0/subnetpools", as: "carol").json.ids("subnetpools") == [])
      let refused = try await site.call(.delete, "/v2.0/rbac-policies/\(policy.id)")
      #expect(refused.status == 409 && refused.error == "RbacPolicyInUse")
      #expect(refused.message.contains("project_id=\(Site.beta)"))
      #expect(try await site.share(pool, "subnetpool", with: Site.gamma, "access_as_external").status == 400)
      #expect(try await site.share(pool, "subnetpool", with: Site.gamma, as: "bob").status == 400)
      #expect(try await site.call(.delete, "/v2.0/networks/\(network.id)", as: "bob").status == 204)
      #expect(try await site.call(.delete, "/v2.0/rbac-policies/\(policy.id)").status == 204)
    }
  }

  @Test func prefixesAreAddedAndRemoved() async throws {
    try await Site.run { site in
      let network = try await site.network("mine")
      let pool = try await site.pool(["10.1.0.0/24"], ["min_prefixlen": 24]).json["subnetpool"] ?? .null
      _ = try await site.subnet(from: pool, on: network)
      let path = "/v2.0/subnetpools/\(pool.id)"

      let added = try await site.call(.put, path + "/add_prefixes", ["prefixes": ["10.1.1.0/24", "10.3.0.0/24"]])
      #expect(added.json == ["prefixes": ["10.1.0.0/23", "10.3.0.0/24"]])
      let removed = try await site.call(.put, path + "/remove_prefixes", ["prefixes": ["10.1.1.0/24", "10.4.0.0/24"]])
      #expect(removed.json == ["prefixes": ["10.1.0.0/24", "10.3.0.0/24"]])
      let used = try await site.call(.put, path + "/remove_prefixes", ["prefixes": ["10.1.0.128/25"]])
      #expect(used.status == 400 && used.error == "IllegalSubnetPoolPrefixUpdate")
      #expect(used.message.contains("in use by a subnet"))
      for body: JSON in [[:], ["prefixes": []], ["prefixes": ["x"]], ["prefixes": ["2001:db8::/48"]], ["prefixes": 5]] {
        #expect(try await site.call(.put, path + "/add_prefixes", body).status == 400, "\(body)")
      }
      #expect(try await site.call(.put, path + "/add_prefixes", as: "bob", ["prefixes": ["10.5.0.0/24"]]).status == 404)
    }
  }
}

@Suite struct AddressScopeTests {
  @Test func aScopeIsMadeSharedAndDeleted() async throws {
    try await Site.run { site in
      let scope = try await site.scope()
      let path = "/v2.0/address-scopes/\(scope.id)"
      #expect(scope["ip_version"] == 4 && scope["shared"] == false && scope["project_id"] == .string(Site.alpha))
      #expect(try await site.call(.get, path, as: "bob").error == "AddressScopeNotFound")
      let renamed = try await site.call(.put, path, ["address_scope": ["name": "new"]])
      #expect(renamed.json["address_scope"]?["name"] == "new")
      #expect(try await site.call(.put, path, ["address_scope": ["shared": true]]).status == 403)
      #expect(try await site.call(.put, path, as: "admin", ["address_scope": ["shared": true]]).status == 200)
      #expect(try await site.call(.get, path, as: "bob").json["address_scope"]?["shared"] == true)
      let kept = try await site.call(.put, path, as: "admin", ["address_scope": ["shared": false]])
      #expect(kept.status == 400 && kept.error == "AddressScopeUpdateError")
      #expect(try await site.call(.delete, path, as: "bob").status == 403)
      #expect(try await site.call(.get, "/v2.0/address-scopes?ip_version=6").json.ids("address_scopes") == [])
      for version: JSON in [5, 0, "x", .null] {
        let refused = try await site.call(
          .post, "/v2.0/address-scopes", ["address_scope": ["name": "x", "ip_version": version]])
        #expect(refused.status == 400, "\(version)")
      }
      #expect(try await site.call(.delete, path).status == 204)
      #expect(try await site.call(.get, "/v2.0/rbac-policies", as: "admin").json.ids("rbac_policies") == [])
    }
  }

  @Test func noAddressIsTwiceInAScope() async throws {
    try await Site.run { site in
      let scope = try await site.scope()
      let inside: JSONObject = ["address_scope_id": .string(scope.id)]
      let first = try await site.pool(["20.0.0.0/18", "30.0.0.0/18"], inside).json["subnetpool"] ?? .null
      #expect(first["address_scope_id"] == scope["id"])
      let twice = try await site.pool(["40.0.0.0/18", "30.0.0.0/12"], inside)
      #expect(twice.status == 409 && twice.error == "AddressScopePrefixConflict")
      let second = try await site.pool(["20.10.0.0/24"], inside).json["subnetpool"] ?? .null
      let path = "/v2.0/subnetpools/\(first.id)"
      for grown in [["20.0.0.0/12", "30.0.0.0/18"], ["20.0.0.0/18", "30.0.0.0/18", "20.10.0.0/28"]] {
        let refused = try await site.call(
          .put, path, ["subnetpool": ["prefixes": .array(grown.map { .string($0) })]])
        #expect(refused.status == 409, "\(grown)")
      }
      let added = try await site.call(.put, path + "/add_prefixes", ["prefixes": ["20.10.0.128/25"]])
      #expect(added.status == 409)

      let six = try await site.scope(version: 6)
      let wrong = try await site.call(.put, path, ["subnetpool": ["address_scope_id": .string(six.id)]])
      #expect(wrong.status == 400 && wrong.message.contains("ip_version is not 6"))
      let foreign = try await site.scope(as: "bob")
      for id in [foreign.id, "00000000-0000-4000-8000-000000000000"] {
        let refused = try await site.call(.put, path, ["subnetpool": ["address_scope_id": .string(id)]])
        #expect(refused.status == 404 && refused.error == "AddressScopeNotFound")
      }
      let inUse = try await site.call(.delete, "/v2.0/address-scopes/\(scope.id)")
      #expect(inUse.status == 409 && inUse.error == "AddressScopeInUse")
      for id in [first.id, second.id] {
        let left = try await site.call(.put, "/v2.0/subnetpools/\(id)", ["subnetpool": ["address_scope_id": nil]])
        #expect(left.json["subnetpool"]?["address_scope_id"] == .null)
      }
      #expect(try await site.call(.delete, "/v2.0/address-scopes/\(scope.id)").status == 204)
    }
  }

  @Test func aNetworkIsInOneScope() async throws {
    try await Site.run { site in
      let network = try await site.network("mine")
      let (scope, other) = (try await site.scope(), try await site.scope())
      func pool(_ prefix: String, _ scope: JSON?) async throws -> JSON {
        let made = try await site.pool([prefix], ["min_prefixlen": 24, "address_scope_id": scope?["id"] ?? .null])
        return made.json["subnetpool"] ?? .null
      }
      let first = try await pool("10.1.0.0/16", scope)
      #expect(try await site.subnet(from: first, on: network).status == 201)
      #expect(try await site.subnet(from: pool("10.2.0.0/16", scope), on: network).status == 201)
      let shown = try await site.call(.get, "/v2.0/networks/\(network.id)").json["network"]
      #expect(shown?["ipv4_address_scope"] == scope["id"] && shown?["ipv6_address_scope"] == .null)
      for elsewhere in [other, nil] {
        let prefix = elsewhere == nil ? "10.4.0.0/16" : "10.3.0.0/16"
        let refused = try await site.subnet(from: pool(prefix, elsewhere), on: network)
        #expect(refused.status == 400 && refused.error == "NetworkAddressScopeAffinityError")
      }
      let moved = try await site.call(
        .put, "/v2.0/subnetpools/\(first.id)", ["subnetpool": ["address_scope_id": .string(other.id)]])
      #expect(moved.status == 400 && moved.error == "NetworkAddressScopeAffinityError")
    }
  }

  @Test func aScopeSharedWithAProjectTakesItsPools() async throws {
    try await Site.run { site in
      let scope = try await site.scope(as: "admin")
      let policy =
        try await site.share(scope, "address_scope", with: Site.alpha, as: "admin").json["rbac_policy"] ?? .null
      let made = try await site.pool(["10.0.0.0/8"], ["address_scope_id": .string(scope.id)])
      #expect(made.status == 201)
      let pool = made.json["subnetpool"] ?? .null

      // The pool is alice's, the scope is not: what is in it is the scope's owner's to change.
      let refused = try await site.call(
        .put, "/v2.0/subnetpools/\(pool.id)", ["subnetpool": ["prefixes": ["10.0.0.0/8", "11.0.0.0/8"]]])
      #expect(refused.status == 400 && refused.error == "IllegalSubnetPoolUpdate")
      let grown = try await site.call(
        .put, "/v2.0/subnetpools/\(pool.id)", as: "admin",
        ["subnetpool": ["prefixes": ["10.0.0.0/8", "11.0.0.0/8"]]])
      #expect(grown.json["subnetpool"]?["prefixes"] == ["10.0.0.0/7"])
      // Who does not have the scope does not get the pool.
      let noScope = try await site.share(pool, "subnetpool", with: Site.beta)
      #expect(noScope.status == 400 && noScope.error == "RbacPolicyInitError")
      let inUse = try await site.call(.delete, "/v2.0/rbac-policies/\(policy.id)", as: "admin")
      #expect(inUse.status == 409 && inUse.error == "RbacPolicyInUse")
      #expect(try await site.call(.delete, "/v2.0/subnetpools/\(pool.id)").status == 204)
      #expect(try await site.call(.delete, "/v2.0/rbac-policies/\(policy.id)", as: "admin").status == 204)
      #expect(try await site.call(.get, "/v2.0/address-scopes/\(scope.id)").status == 404)
    }
  }
}
