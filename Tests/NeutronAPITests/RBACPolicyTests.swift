import Domain
import NeutronAPI
import Store
import Testing
import Wire

@Suite struct RBACPolicyTests {
  @Test func aNetworkSharedWithAProjectIsSeenAndUsedByThatProjectAlone() async throws {
    try await Site.run { site in
      let network = try await site.network("mine")
      let subnet = try await site.subnet(network, "10.0.1.0/24")
      for path in ["/v2.0/networks/\(network.id)", "/v2.0/subnets/\(subnet.id)"] {
        #expect(try await site.call(.get, path, as: "bob").status == 404)
      }
      #expect(try await site.port(network, as: "bob").status == 404)

      let policy = try await site.share(network, with: Site.beta)

      #expect(policy.status == 201)
      let made = policy.json["rbac_policy"]
      #expect(made?["object_type"] == "network" && made?["object_id"] == .string(network.id))
      #expect(made?["action"] == "access_as_shared" && made?["target_tenant"] == .string(Site.beta))
      #expect(made?["project_id"] == .string(Site.alpha) && made?["tenant_id"] == .string(Site.alpha))
      let shown = try await site.call(.get, "/v2.0/networks/\(network.id)", as: "bob").json["network"]
      #expect(shown?["shared"] == true)
      #expect(shown?["provider:segmentation_id"] == network["provider:segmentation_id"])
      #expect(shown?["revision_number"] == 2)
      #expect(try await site.call(.get, "/v2.0/networks/\(network.id)").json["network"]?["shared"] == false)
      #expect(try await site.call(.get, "/v2.0/networks", as: "bob").json.ids("networks") == [network.id])
      #expect(try await site.call(.get, "/v2.0/networks?shared=true", as: "bob").json.ids("networks") == [network.id])
      #expect(try await site.call(.get, "/v2.0/networks?shared=false", as: "bob").json.ids("networks") == [])
      #expect(try await site.call(.get, "/v2.0/subnets", as: "bob").json.ids("subnets") == [subnet.id])
      #expect(try await site.call(.get, "/v2.0/subnets?shared=true", as: "bob").json.ids("subnets") == [subnet.id])
      #expect(try await site.call(.get, "/v2.0/subnets?shared=false", as: "bob").json.ids("subnets") == [])
      #expect(try await site.call(.get, "/v2.0/subnets?shared=false").json.ids("subnets") == [subnet.id])
      // Used, and not changed; addresses stay the owner's to choose.
      let port = try await site.port(network, as: "bob")
      #expect(port.status == 201 && port.json["port"]?["project_id"] == .string(Site.beta))
      let chosen: JSONObject = ["fixed_ips": [["ip_address": "10.0.1.77"]]]
      #expect(try await site.port(network, as: "bob", chosen).status == 403)
      #expect(
        try await site.call(.put, "/v2.0/networks/\(network.id)", as: "bob", ["network": ["name": "x"]]).status == 403)
      #expect(try await site.call(.delete, "/v2.0/networks/\(network.id)", as: "bob").status == 403)
      // The third project has nothing of it.
      #expect(try await site.call(.get, "/v2.0/networks/\(network.id)", as: "carol").status == 404)
      #expect(try await site.call(.get, "/v2.0/networks", as: "carol").json.ids("networks") == [])
      #expect(try await site.call(.get, "/v2.0/subnets", as: "carol").json.ids("subnets") == [])
      #expect(try await site.port(network, as: "carol").status == 404)
    }
  }

  @Test func listsAndSinglesAgreeOnWhoSeesWhat() async throws {
    try await Site.run { site in
      let plain = try await site.network("plain")
      let given = try await site.network("given")
      let external = try await site.network("external")
      let all = try await site.network("all", as: "admin", ["shared": true])
      let outside = try await site.network("outside", as: "admin", ["router:external": true])
      _ = try await site.share(given, with: Site.beta)
      _ = try await site.share(external, with: Site.gamma, "access_as_external")

      for user in ["admin", "alice", "watcher", "bob", "carol"] {
        let listed = Set(try await site.call(.get, "/v2.0/networks", as: user).json.ids("networks"))
        for network in [plain, given, external, all, outside] {
          let single = try await site.call(.get, "/v2.0/networks/\(network.id)", as: user)
          #expect(listed.contains(network.id) == (single.status == 200), "\(user): \(network["name"] ?? "")")
        }
      }
      let bob = Set(try await site.call(.get, "/v2.0/networks", as: "bob").json.ids("networks"))
      #expect(bob == [given.id, all.id, outside.id])
      let carol = Set(try await site.call(.get, "/v2.0/networks", as: "carol").json.ids("networks"))
      #expect(carol == [external.id, all.id, outside.id])
    }
  }

  @Test func sharedOfANetworkIsThePolicyWithEveryoneInBothDirections() async throws {
    try await Site.run { site in
      let network = try await site.network("all", as: "admin", ["shared": true])
      let path = "/v2.0/rbac-policies?object_id=\(network.id)"
      let policies = try await site.call(.get, path, as: "admin").json["rbac_policies"]?.array ?? []
      #expect(policies.map { $0["target_tenant"] } == ["*"])

      // The policy goes: the network is nobody else's any more.
      #expect(try await site.call(.delete, "/v2.0/rbac-policies/\(policies[0].id)", as: "admin").status == 204)
      #expect(
        try await site.call(.get, "/v2.0/networks/\(network.id)", as: "admin").json["network"]?["shared"] == false)
      #expect(try await site.call(.get, "/v2.0/networks/\(network.id)", as: "bob").status == 404)
      // The policy comes: it is shared.
      #expect(try await site.share(network, with: "*", as: "admin").status == 201)
      #expect(try await site.call(.get, "/v2.0/networks/\(network.id)", as: "bob").json["network"]?["shared"] == true)
      // `--no-share` removes it, `--share` makes it again; policies with single projects stay.
      #expect(try await site.share(network, with: Site.beta, as: "admin").status == 201)
      for (flag, targets) in [(false, [Site.beta]), (true, [Site.beta, "*"]), (true, [Site.beta, "*"])] {
        let changed = try await site.call(
          .put, "/v2.0/networks/\(network.id)", as: "admin", ["network": ["shared": .bool(flag)]])
        #expect(changed.json["network"]?["shared"] == .bool(flag))
        let left = try await site.call(.get, path, as: "admin").json["rbac_policies"]?.array ?? []
        #expect(Set(left.compactMap { $0["target_tenant"]?.string }) == Set(targets))
      }
      #expect(try await site.call(.delete, "/v2.0/networks/\(network.id)", as: "admin").status == 204)
      #expect(try await site.call(.get, "/v2.0/rbac-policies", as: "admin").json.ids("rbac_policies") == [])
    }
  }

  @Test func anExternalNetworkIsOneAsLongAsSomebodySeesItAsOne() async throws {
    try await Site.run { site in
      let network = try await site.network("mine")
      let path = "/v2.0/networks/\(network.id)"
      let policy = try await site.share(network, with: Site.beta, "access_as_external")
      #expect(policy.status == 201)

      let shown = try await site.call(.get, path, as: "bob").json["network"]
      #expect(shown?["router:external"] == true && shown?["shared"] == false)
      #expect(try await site.port(network, as: "bob").status == 403, "seen, not used")
      #expect(try await site.call(.get, path, as: "carol").status == 404)
      let second = try await site.share(network, with: Site.gamma, "access_as_external")
      #expect(try await site.call(.delete, "/v2.0/rbac-policies/\(second.json["rbac_policy"]?.id ?? "")").status == 204)
      #expect(try await site.call(.get, path).json["network"]?["router:external"] == true)
      #expect(try await site.call(.delete, "/v2.0/rbac-policies/\(policy.json["rbac_policy"]?.id ?? "")").status == 204)
      #expect(try await site.call(.get, path).json["network"]?["router:external"] == false)
      #expect(try await site.call(.get, path, as: "bob").status == 404)

      // The administrator's way: the policy with everyone.
      let outside = try await site.network("outside", as: "admin", ["router:external": true, "is_default": true])
      let list = "/v2.0/rbac-policies?action=access_as_external&target_tenant=*&object_id=\(outside.id)"
      let wildcard = try await site.call(.get, list, as: "admin").json.ids("rbac_policies")
      #expect(wildcard.count == 1)
      let kept = try await site.call(.delete, "/v2.0/rbac-policies/\(wildcard[0])", as: "admin")
      #expect(kept.status == 409 && kept.error == "RbacPolicyInUse")
      #expect(kept.message.contains("Default external networks must be shared to everyone."))
      _ = try await site.call(
        .put, "/v2.0/networks/\(outside.id)", as: "admin", ["network": ["router:external": false, "is_default": false]])
      #expect(try await site.call(.get, list, as: "admin").json.ids("rbac_policies") == [])
      #expect(try await site.call(.get, "/v2.0/networks/\(outside.id)", as: "bob").status == 404)
    }
  }

  @Test func nobodyLosesANetworkThatTheyHavePortsOn() async throws {
    try await Site.run { site in
      let network = try await site.network("mine")
      let single = try await site.share(network, with: Site.beta).json["rbac_policy"]?.id ?? ""
      let path = "/v2.0/rbac-policies/\(single)"
      let port = try await site.port(network, as: "bob").json["port"] ?? .null

      for refused in [
        try await site.call(.delete, path),
        try await site.call(.put, path, ["rbac_policy": ["target_tenant": .string(Site.gamma)]]),
      ] {
        #expect(refused.status == 409)
        #expect(refused.error == "RbacPolicyInUse")
        #expect(
          refused.message
            == "RBAC policy on object \(network.id) cannot be removed because other objects depend on it.\n"
            + "Details: Unable to reconfigure sharing settings for network \(network.id). Multiple projects are using it."
        )
      }
      // With everyone beside it, either may go, and not both.
      let wildcard = try await site.share(network, with: "*", as: "admin").json["rbac_policy"]?.id ?? ""
      #expect(try await site.call(.delete, path).status == 204)
      #expect(try await site.call(.delete, "/v2.0/rbac-policies/\(wildcard)", as: "admin").status == 409)
      let unshared = try await site.call(
        .put, "/v2.0/networks/\(network.id)", as: "admin", ["network": ["shared": false]])
      #expect(unshared.status == 409 && unshared.error == "InvalidSharedSetting")
      // From everyone to the one that uses it: nobody loses.
      let narrowed = try await site.call(
        .put, "/v2.0/rbac-policies/\(wildcard)", as: "admin", ["rbac_policy": ["target_tenant": .string(Site.beta)]])
      #expect(narrowed.json["rbac_policy"]?["target_tenant"] == .string(Site.beta))
      // Alice may remove bob's port from her network, and then the policy.
      #expect(try await site.call(.delete, "/v2.0/ports/\(port.id)").status == 204)
      #expect(try await site.call(.delete, "/v2.0/rbac-policies/\(wildcard)", as: "admin").status == 204)
      // An owner never loses their own network.
      let own = try await site.share(network, with: Site.alpha).json["rbac_policy"]?.id ?? ""
      _ = try await site.port(network)
      #expect(try await site.call(.delete, "/v2.0/rbac-policies/\(own)").status == 204)
    }
  }

  @Test func onlyTheOwnerSharesAndOnlyTheAdministratorWithEveryone() async throws {
    try await Site.run { site in
      let network = try await site.network("mine")
      for user in ["alice", "boss"] {
        let wild = try await site.share(network, with: "*", as: user)
        #expect(wild.status == 403 && wild.error == "PolicyNotAuthorized")
      }
      #expect(try await site.share(network, with: Site.beta, as: "watcher").status == 403)
      // Foreign is nonexistent, in the same words.
      let foreign = try await site.share(network, with: Site.beta, as: "bob")
      let none = try await site.share(["id": "00000000-0000-4000-8000-000000000000"], with: Site.beta, as: "bob")
      #expect(foreign.status == 404 && none.status == 404 && foreign.error == none.error)

      let policy = try await site.share(network, with: Site.beta).json["rbac_policy"] ?? .null
      let path = "/v2.0/rbac-policies/\(policy.id)"
      // Whom it is for neither sees the policy nor passes the network on.
      #expect(try await site.call(.get, path, as: "bob").status == 404)
      #expect(try await site.call(.get, "/v2.0/rbac-policies", as: "bob").json.ids("rbac_policies") == [])
      #expect(try await site.call(.delete, path, as: "bob").error == "RbacPolicyNotFound")
      let passedOn = try await site.share(network, with: Site.gamma, as: "bob")
      #expect(passedOn.status == 400)
      #expect(passedOn.message.contains("Only admins can manipulate policies on networks they do not own"))
      // Duplicates, by making and by changing.
      let again = try await site.share(network, with: Site.beta)
      #expect(again.status == 409 && again.error == "DuplicateRbacPolicy")
      let other = try await site.share(network, with: Site.gamma).json["rbac_policy"]?.id ?? ""
      let same = try await site.call(
        .put, "/v2.0/rbac-policies/\(other)", ["rbac_policy": ["target_tenant": .string(Site.beta)]])
      #expect(same.status == 409)
      #expect(try await site.call(.put, path, ["rbac_policy": ["target_tenant": "*"]]).status == 403)
      // The administrator's policy is the administrator's.
      let byAdmin = try await site.share(network, with: Site.adminProject, as: "admin").json["rbac_policy"]?.id ?? ""
      #expect(try await site.call(.get, "/v2.0/rbac-policies/\(byAdmin)").status == 404)
      #expect(
        Set(try await site.call(.get, "/v2.0/rbac-policies", as: "admin").json.ids("rbac_policies")) == [
          policy.id, other, byAdmin,
        ])
      #expect(try await site.call(.get, path, as: "watcher").json["rbac_policy"] == policy)
    }
  }

  @Test func whatIsNoPolicyIsRefusedInWords() async throws {
    try await Site.run { site in
      let network = try await site.network("mine")
      let good: JSONObject = [
        "object_type": "network", "object_id": .string(network.id), "action": "access_as_shared",
        "target_tenant": .string(Site.beta),
      ]
      let bad: [(String, JSON?, String)] = [
        ("object_type", "qos_policy", "'qos_policy' is not a valid RBAC object type"),
        ("object_type", nil, "object_type"), ("object_type", 5, "object_type"),
        ("action", "access_as_owner", "Valid actions: access_as_shared, access_as_external"),
        ("target_tenant", .null, "expected a UUID or '*'"), ("target_tenant", "", "expected a UUID or '*'"),
        ("target_tenant", nil, "target_tenant"), ("target_tenant", "beta", "expected a UUID or '*'"),
        ("target_tenant", .string(String(repeating: "1234", count: 100)), "length"),
        ("target_tenant", "１１111111111111111111111111", "expected a UUID or '*'"),
        ("target_tenant", ["*"], "string"), ("id", "x", "not allowed"), ("colour", "red", "Unrecognized"),
      ]
      for (name, value, words) in bad {
        var object = good
        object[name] = value
        let refused = try await site.call(.post, "/v2.0/rbac-policies", ["rbac_policy": .object(object)])
        #expect(refused.status == 400, "\(name): \(value ?? "absent")")
        #expect(refused.message.contains(words), "\(refused.message)")
      }
      #expect(try await site.call(.get, "/v2.0/rbac-policies").json.ids("rbac_policies") == [])

      // The newer name of the target, and several in one request.
      var named = good
      named["target_tenant"] = nil
      named["target_project"] = .string(Site.beta)
      var external = good
      external["action"] = "access_as_external"
      let made = try await site.call(
        .post, "/v2.0/rbac-policies", ["rbac_policies": [.object(named), .object(external)]])
      #expect(made.status == 201)
      #expect(
        made.json["rbac_policies"]?.array?.map { $0["target_tenant"] } == [.string(Site.beta), .string(Site.beta)])
      let ids = made.json.ids("rbac_policies")
      for (filter, found) in [
        ("action=access_as_external", [ids[1]]), ("target_project=\(Site.beta)", ids),
        ("target_tenant=\(Site.gamma)", []),
        ("object_type=network&id=\(ids[0])", [ids[0]]),
      ] {
        let listed = try await site.call(.get, "/v2.0/rbac-policies?\(filter)").json.ids("rbac_policies")
        #expect(Set(listed) == Set(found), "\(filter)")
      }
      #expect(
        try await site.call(.put, "/v2.0/rbac-policies/\(ids[0])", ["rbac_policy": ["action": "x"]]).status == 400)
    }
  }

  @Test func policiesAreCountedAgainstAQuota() async throws {
    var settings = NeutronAPI.Settings()
    settings.quotas.rbacPolicies = 1
    try await Site.run(settings: settings) { site in
      let network = try await site.network("mine")
      #expect(try await site.share(network, with: Site.beta).status == 201)
      let refused = try await site.share(network, with: Site.gamma)
      #expect(refused.status == 409 && refused.error == "OverQuota" && refused.message.contains("rbac_policy"))
      let details = try await site.call(.get, "/v2.0/quotas/\(Site.alpha)/details").json["quota"]
      #expect(details?["rbac_policy"] == ["limit": 1, "used": 1, "reserved": 0])
    }
  }
}
