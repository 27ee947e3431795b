import Domain
import Store
import Testing
import Wire

@Suite struct HierarchyTests {
  private struct Tree {
    var top: String
    var middle: String
    var leaf: String
  }
  private func tree(_ site: Site, _ admin: String) async throws -> Tree {
    let top = try await site.make("project", "/v3/projects", ["name": "top"], admin)
    let middle = try await site.make("project", "/v3/projects", ["name": "middle", "parent_id": .string(top)], admin)
    let leaf = try await site.make("project", "/v3/projects", ["name": "leaf", "parent_id": .string(middle)], admin)
    return Tree(top: top, middle: middle, leaf: leaf)
  }

  @Test func aProjectTellsWhatIsAboveAndBelow() async throws {
    let site = try await Site()
    let admin = try await site.admin()
    let tree = try await tree(site, admin)
    func show(_ id: String, _ query: String) async throws -> JSON? {
      try await site.call(.get, "/v3/projects/\(id)?\(query)", token: admin).body["project"]
    }

    #expect(
      try await show(tree.leaf, "parents_as_ids")?["parents"]
        == .object([tree.middle: .object([tree.top: ["default": nil]])]))
    let parents = try await show(tree.leaf, "parents_as_list")?["parents"]?.array
    #expect(parents?.compactMap { $0["project"]?["name"]?.string } == ["middle", "top"])
    #expect(
      try await show(tree.top, "subtree_as_ids")?["subtree"] == .object([tree.middle: .object([tree.leaf: nil])]))
    let subtree = try await show(tree.top, "subtree_as_list")?["subtree"]?.array
    #expect(subtree?.compactMap { $0["project"]?["name"]?.string } == ["middle", "leaf"])
    #expect(try await show(tree.leaf, "subtree_as_ids")?["subtree"]?.isNull == true)
    let both = try await site.call(.get, "/v3/projects/\(tree.top)?subtree_as_ids&subtree_as_list", token: admin)
    #expect(both.status == 400)
    #expect(
      try await site.call(.get, "/v3/projects?parent_id=\(tree.top)", token: admin).names("projects") == ["middle"])
  }

  @Test func whatIsBelowIsDisabledFirstAndEnabledLast() async throws {
    let site = try await Site()
    let admin = try await site.admin()
    let tree = try await tree(site, admin)
    func set(_ id: String, _ enabled: Bool) async throws -> Int {
      try await site.call(.patch, "/v3/projects/\(id)", ["project": ["enabled": .bool(enabled)]], token: admin).status
    }
    #expect(try await set(tree.top, false) == 403)
    for id in [tree.leaf, tree.middle, tree.top] { #expect(try await set(id, false) == 200) }
    #expect(try await set(tree.leaf, true) == 403)
    let below = try await site.call(
      .post, "/v3/projects", ["project": ["name": "x", "parent_id": .string(tree.leaf)]], token: admin)
    #expect(below.status == 400 && below.message.contains("branch containing a disabled project"))
    for id in [tree.top, tree.middle, tree.leaf] { #expect(try await set(id, true) == 200) }
  }

  @Test func theTreeHasADepthAndAPlaceInItIsForLife() async throws {
    let site = try await Site()
    let admin = try await site.admin()
    var parent = "default"
    for depth in 1...5 {
      parent = try await site.make(
        "project", "/v3/projects", ["name": .string("p\(depth)"), "parent_id": .string(parent)], admin)
    }
    let tooDeep = try await site.call(
      .post, "/v3/projects", ["project": ["name": "p6", "parent_id": .string(parent)]], token: admin)
    #expect(tooDeep.status == 403)
    let moved = try await site.call(
      .patch, "/v3/projects/\(parent)", ["project": ["parent_id": "default"]], token: admin)
    #expect(moved.status == 403)
    let other = try await site.make("domain", "/v3/domains", ["name": "d1"], admin)
    let rehomed = try await site.call(
      .patch, "/v3/projects/\(parent)", ["project": ["domain_id": .string(other)]], token: admin)
    #expect(rehomed.status == 400)
    let mixed = try await site.call(
      .post, "/v3/projects",
      ["project": ["name": "x", "parent_id": .string(parent), "domain_id": .string(other)]], token: admin)
    #expect(mixed.status == 400)
    let nowhere = try await site.call(
      .post, "/v3/projects", ["project": ["name": "x", "domain_id": "nothing"]], token: admin)
    #expect(nowhere.status == 400 && nowhere.message == "Could not find domain: nothing.")
  }

  @Test func aListPagesFiltersAndRefusesWhatItDoesNotKnow() async throws {
    let site = try await Site()
    let admin = try await site.admin()
    for name in ["a1", "a2", "a3", "b1"] {
      _ = try await site.make(
        "project", "/v3/projects",
        ["name": .string(name), "tags": [.string(name), "all"], "colour": .string("\"\(name)\"")], admin)
    }
    func names(_ query: String) async throws -> [String] {
      try await site.call(.get, "/v3/projects?\(query)", token: admin).names("projects")
    }
    #expect(try await names("name__startswith=a") == ["a1", "a2", "a3", "admin"])
    #expect(try await names("name__icontains=A2") == ["a2"])
    #expect(try await names("tags=all,a1") == ["a1"])
    #expect(try await names("tags-any=a1,b1") == ["a1", "b1"])
    #expect(try await names("not-tags-any=all") == ["admin"])
    #expect(try await names("enabled=false") == [])

    let first = try await site.call(.get, "/v3/projects?limit=2", token: admin)
    #expect(first.names("projects") == ["a1", "a2"])
    #expect(first.body["projects"]?.array?.first?["colour"]?.string == "\"a1\"")
    let next = try #require(first.body["links"]?["next"]?.string)
    let path = try #require(next.firstRange(of: "/v3/").map { String(next[$0.lowerBound...]) })
    let second = try await site.call(.get, path, token: admin)
    #expect(second.names("projects") == ["a3", "admin"])
    let third = try await site.call(.get, "/v3/projects?limit=2&marker=\(second.ids("projects")[1])", token: admin)
    #expect(third.names("projects") == ["b1"] && third.body["links"]?["next"]?.isNull == true)
    #expect(try await names("limit=2&name__startswith=a") == ["a1", "a2"])

    for query in ["colour=red", "name__sounds=a", "enabled=perhaps", "limit=-1", "limit=x", "is_domain=maybe"] {
      let refused = try await site.call(.get, "/v3/projects?\(query)", token: admin)
      #expect(refused.status == 400, "\(query)")
    }
    // Metacharacters of SQL are characters (abuse 16).
    for text in ["'%20OR%201=1--", "%25", "_", "%22", "a1%00"] {
      #expect(try await names("name=\(text)") == [])
      #expect(try await names("tags=\(text)") == [])
    }
  }
}

@Suite struct InheritanceTests {
  @Test func aRoleOnADomainCountsInEveryProjectOfItAndNotOnItself() async throws {
    let site = try await Site()
    let admin = try await site.admin()
    let domain = try await site.make("domain", "/v3/domains", ["name": "d1"], admin)
    let project = try await site.make("project", "/v3/projects", ["name": "p", "domain_id": .string(domain)], admin)
    let below = try await site.make("project", "/v3/projects", ["name": "q", "parent_id": .string(project)], admin)
    let user = try await site.make("user", "/v3/users", ["name": "u", "password": "secret"], admin)
    let role = try await site.roleID("member", admin)
    let grant = "/v3/OS-INHERIT/domains/\(domain)/users/\(user)/roles/\(role)/inherited_to_projects"
    func scope(_ id: String) -> JSON { ["project": ["id": .string(id)]] }

    #expect(try await site.call(.head, grant, token: admin).status == 404)
    #expect(try await site.call(.put, grant, token: admin).status == 204)

    #expect(try await site.call(.head, grant, token: admin).status == 204)
    let list = "/v3/OS-INHERIT/domains/\(domain)/users/\(user)/roles/inherited_to_projects"
    #expect(try await site.call(.get, list, token: admin).names("roles") == ["member"])
    #expect(try await site.call(.get, "/v3/domains/\(domain)/users/\(user)/roles", token: admin).names("roles") == [])
    let token = try await site.token(user: user, scope: scope(below))
    #expect(try await site.logIn(user: user, scope: scope(project)).status == 201)
    #expect(try await site.logIn(user: user, scope: Site.inDomain(domain)).status == 401)
    #expect(try await site.call(.get, "/v3/auth/projects", token: token).names("projects") == ["p", "q"])
    #expect(try await site.call(.get, "/v3/auth/domains", token: token).names("domains") == [])
    #expect(try await site.call(.get, "/v3/projects?name=q", token: token).names("projects") == ["q"])
    #expect(try await site.call(.get, "/v3/domains", token: token).names("domains") == ["Default", "d1"])
    #expect(try await site.call(.get, "/v3/users/\(user)/projects", token: token).names("projects") == ["p", "q"])

    #expect(try await site.call(.delete, grant, token: admin).status == 204)
    #expect(try await !site.isGood(token))
    #expect(try await site.logIn(user: user, scope: scope(below)).status == 401)
    #expect(try await site.call(.delete, grant, token: admin).status == 404)
  }

  @Test func aRoleOnAProjectCountsBelowItForTheMembersOfAGroup() async throws {
    let site = try await Site()
    let admin = try await site.admin()
    let top = try await site.make("project", "/v3/projects", ["name": "top"], admin)
    let below = try await site.make("project", "/v3/projects", ["name": "below", "parent_id": .string(top)], admin)
    let beside = try await site.make("project", "/v3/projects", ["name": "beside"], admin)
    let user = try await site.make("user", "/v3/users", ["name": "u", "password": "secret"], admin)
    let group = try await site.make("group", "/v3/groups", ["name": "g"], admin)
    _ = try await site.call(.put, "/v3/groups/\(group)/users/\(user)", token: admin)
    let role = try await site.roleID("reader", admin)
    let grant = "/v3/OS-INHERIT/projects/\(top)/groups/\(group)/roles/\(role)/inherited_to_projects"
    #expect(try await site.call(.put, grant, token: admin).status == 204)
    for (id, status) in [(top, 401), (below, 201), (beside, 401)] {
      #expect(try await site.logIn(user: user, scope: ["project": ["id": .string(id)]]).status == status)
    }

    let direct = try await site.call(.get, "/v3/role_assignments?group.id=\(group)", token: admin)
    let shown = try #require(direct.body["role_assignments"]?.array?.first)
    #expect(shown["scope"]?["OS-INHERIT:inherited_to"]?.string == "projects")
    #expect(shown["links"]?["assignment"]?.string?.hasSuffix(grant) == true)
    let effective = try await site.call(
      .get, "/v3/role_assignments?effective&user.id=\(user)&include_names", token: admin)
    let items = effective.body["role_assignments"]?.array ?? []
    #expect(items.count == 1)
    #expect(items.first?["scope"]?["project"]?["name"]?.string == "below")
    #expect(items.first?["scope"]?["project"]?["domain"]?["name"]?.string == "Default")
    #expect(items.first?["user"]?["name"]?.string == "u")
    #expect(items.first?["links"]?["membership"]?.string?.hasSuffix("/v3/groups/\(group)/users/\(user)") == true)
  }
}

@Suite struct RoleAssignmentListTests {
  @Test func theListFiltersExpandsAndNames() async throws {
    let site = try await Site()
    let admin = try await site.admin()
    let top = try await site.make("project", "/v3/projects", ["name": "top"], admin)
    let below = try await site.make("project", "/v3/projects", ["name": "below", "parent_id": .string(top)], admin)
    let user = try await site.make("user", "/v3/users", ["name": "u", "password": "secret"], admin)
    let other = try await site.make("user", "/v3/users", ["name": "o"], admin)
    let group = try await site.make("group", "/v3/groups", ["name": "g"], admin)
    for id in [user, other] { _ = try await site.call(.put, "/v3/groups/\(group)/users/\(id)", token: admin) }
    let member = try await site.roleID("member", admin)
    let reader = try await site.roleID("reader", admin)
    for path in [
      "/v3/projects/\(top)/users/\(user)/roles/\(member)", "/v3/projects/\(below)/groups/\(group)/roles/\(reader)",
      "/v3/OS-INHERIT/domains/default/users/\(user)/roles/\(reader)/inherited_to_projects",
      "/v3/system/users/\(other)/roles/\(reader)", "/v3/domains/default/users/\(other)/roles/\(member)",
    ] { #expect(try await site.call(.put, path, token: admin).status == 204) }
    /// "user role place" of each item, sorted.
    func list(_ query: String) async throws -> [String] {
      let answer = try await site.call(.get, "/v3/role_assignments?include_names&\(query)", token: admin)
      #expect(answer.status == 200, "\(answer.body)")
      return (answer.body["role_assignments"]?.array ?? []).map { item in
        let who = item["user"]?["name"]?.string ?? item["group"]?["name"]?.string ?? "?"
        let place =
          item["scope"]?["project"]?["name"]?.string ?? item["scope"]?["domain"]?["name"]?.string ?? "system"
        return "\(who) \(item["role"]?["name"]?.string ?? "?") \(place)"
      }.sorted()
    }

    #expect(try await list("user.id=\(user)") == ["u member top", "u reader Default"])
    #expect(try await list("user.id=\(other)") == ["o member Default", "o reader system"])
    #expect(try await list("group.id=\(group)") == ["g reader below"])
    #expect(try await list("scope.project.id=\(top)") == ["u member top"])
    #expect(try await list("scope.project.id=\(top)&include_subtree") == ["g reader below", "u member top"])
    #expect(try await list("scope.system=all&user.id=\(other)") == ["o reader system"])
    #expect(try await list("scope.OS-INHERIT:inherited_to=projects") == ["u reader Default"])
    #expect(try await list("role.id=\(reader)&user.id=\(user)") == ["u reader Default"])
    #expect(
      try await list("effective&scope.project.id=\(below)") == ["o reader below", "u reader below", "u reader below"])
    #expect(
      try await list("effective&scope.project.id=\(top)&include_subtree") == [
        "o reader below", "u member top", "u reader below", "u reader below", "u reader top", "u reader top",
      ])
    #expect(
      try await list("effective&user.id=\(user)&role.id=\(reader)&scope.project.id=\(top)") == [
        "u reader top", "u reader top",
      ])
    #expect(try await list("effective&scope.domain.id=default") == ["o member Default", "o reader Default"])
    #expect(try await list("effective&user.id=\(other)&scope.system=all") == ["o reader system"])

    // A prior role and the source are told by links.
    let answer = try await site.call(
      .get, "/v3/role_assignments?effective&user.id=\(user)&scope.project.id=\(top)", token: admin)
    let links = (answer.body["role_assignments"]?.array ?? []).compactMap { $0["links"]?.object }
    #expect(links.contains { $0["prior_role"]?.string?.hasSuffix("/roles/\(member)/implies/\(reader)") == true })
    #expect(
      links.contains {
        $0["assignment"]?.string?.hasSuffix(
          "/OS-INHERIT/domains/default/users/\(user)/roles/\(reader)/inherited_to_projects") == true
      })

    for query in [
      "user.id=a&group.id=b", "scope.project.id=a&scope.domain.id=b", "scope.system=all&scope.domain.id=b",
      "effective&group.id=a", "include_subtree", "effective&scope.domain.id=a&scope.OS-INHERIT:inherited_to=projects",
      "colour=red",
    ] {
      #expect(try await site.call(.get, "/v3/role_assignments?\(query)", token: admin).status == 400, "\(query)")
    }
  }

  @Test func othersSeeOnlyTheirOwn() async throws {
    let site = try await Site()
    let admin = try await site.admin()
    let alpha = try await site.tenant("alpha", admin)
    let beta = try await site.tenant("beta", admin)
    let token = try await site.token("alpha", scope: Site.inProject("alpha"))
    func count(_ query: String) async throws -> Int? {
      try await site.call(.get, "/v3/role_assignments?\(query)", token: token).body["role_assignments"]?.array?.count
    }
    #expect(try await count("") == 1)
    #expect(try await count("user.id=\(alpha.user)") == 1)
    #expect(try await count("user.id=\(beta.user)") == 0)
    #expect(try await count("scope.project.id=\(beta.project)") == 0)
    #expect(try await count("effective&scope.project.id=\(alpha.project)") == 2)
  }
}
