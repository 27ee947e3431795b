import Testing
import Wire

@Suite struct DomainTests {
  @Test func aDomainIsAProjectThatContainsOthers() async throws {
    let site = try await Site()
    let admin = try await site.admin()
    let id = try await site.make(
      "domain", "/v3/domains", ["name": "d1", "description": "one", "tags": ["blue"]], admin)

    #expect(try await site.call(.get, "/v3/projects/\(id)", token: admin).body["project"]?["is_domain"]?.bool == true)
    #expect(try await site.call(.get, "/v3/domains?name=d1", token: admin).ids("domains") == [id])
    #expect(try await site.call(.get, "/v3/projects", token: admin).ids("projects").contains(id) == false)
    #expect(try await site.call(.get, "/v3/projects?is_domain=true&name=d1", token: admin).ids("projects") == [id])
    let again = try await site.call(.post, "/v3/domains", ["domain": ["name": "d1"]], token: admin)
    #expect(again.status == 409)
    // The same name in two domains is two projects.
    for domain in [id, "default"] {
      _ = try await site.make("project", "/v3/projects", ["name": "same", "domain_id": .string(domain)], admin)
    }
    #expect(try await site.call(.get, "/v3/projects?name=same", token: admin).ids("projects").count == 2)
    #expect(
      try await site.call(.get, "/v3/projects?name=same&domain_id=\(id)", token: admin).ids("projects").count == 1)
  }

  @Test func aProjectMayBeMadeAsADomain() async throws {
    let site = try await Site()
    let admin = try await site.admin()
    let id = try await site.make("project", "/v3/projects", ["name": "acts", "is_domain": true], admin)
    let shown = try await site.call(.get, "/v3/domains/\(id)", token: admin)
    #expect(shown.body["domain"]?["name"]?.string == "acts")
    let inside = try await site.call(
      .post, "/v3/projects", ["project": ["name": "x", "is_domain": true, "domain_id": "default"]], token: admin)
    #expect(inside.status == 400)
  }

  @Test func onlyADisabledDomainGoesAndAllThatIsInItGoesWithIt() async throws {
    let site = try await Site()
    let admin = try await site.admin()
    let (domain, user) = try await site.domain("d1", admin)
    let project = try await site.make("project", "/v3/projects", ["name": "p", "domain_id": .string(domain)], admin)
    let group = try await site.make("group", "/v3/groups", ["name": "g", "domain_id": .string(domain)], admin)
    let role = try await site.make("role", "/v3/roles", ["name": "r", "domain_id": .string(domain)], admin)
    let token = try await site.token(user: user, scope: Site.inDomain(domain))

    #expect(try await site.call(.delete, "/v3/domains/\(domain)", token: admin).status == 403)
    #expect(try await site.isGood(token))
    let disabled = try await site.call(
      .patch, "/v3/domains/\(domain)", ["domain": ["enabled": false]], token: admin)
    #expect(disabled.body["domain"]?["enabled"]?.bool == false)
    #expect(try await !site.isGood(token), "its users are logged out")
    #expect(try await site.logIn(user: user).status == 401)

    #expect(try await site.call(.delete, "/v3/domains/\(domain)", token: admin).status == 204)
    for path in ["domains/\(domain)", "projects/\(project)", "groups/\(group)", "roles/\(role)", "users/\(user)"] {
      #expect(try await site.call(.get, "/v3/\(path)", token: admin).status == 404, "\(path)")
    }
  }

  @Test func theFirstDomainStays() async throws {
    let site = try await Site()
    let admin = try await site.admin()
    let disabled = try await site.call(
      .patch, "/v3/domains/default", ["domain": ["enabled": false]], token: admin)
    #expect(disabled.status == 403)
    #expect(try await site.isGood(admin))
  }

  @Test func anImmutableOneIsChangedByNobodyUntilItIsMutable() async throws {
    let site = try await Site()
    let admin = try await site.admin()
    let id = try await site.make(
      "project", "/v3/projects", ["name": "p", "options": ["immutable": true]], admin)
    func patch(_ body: JSON) async throws -> Int {
      try await site.call(.patch, "/v3/projects/\(id)", ["project": body], token: admin).status
    }
    #expect(try await patch(["name": "q"]) == 403)
    #expect(try await patch(["name": "q", "options": ["immutable": false]]) == 403)
    #expect(try await site.call(.put, "/v3/projects/\(id)/tags/x", token: admin).status == 403)
    #expect(try await site.call(.delete, "/v3/projects/\(id)", token: admin).status == 403)
    #expect(try await patch(["options": ["immutable": nil]]) == 200)
    #expect(try await patch(["name": "q"]) == 200)
    #expect(try await patch(["options": ["colour": true]]) == 400)
    #expect(try await site.call(.delete, "/v3/projects/\(id)", token: admin).status == 204)
  }
}

@Suite struct DomainManagerTests {
  @Test func aManagerRunsItsDomainAndSeesNoOther() async throws {
    let site = try await Site()
    let admin = try await site.admin()
    let (domain, user) = try await site.domain("d1", admin)
    let other = try await site.domain("d2", admin)
    let foreign = try await site.make(
      "project", "/v3/projects", ["name": "theirs", "domain_id": .string(other.id)], admin)
    let token = try await site.token(user: user, scope: Site.inDomain(domain))

    let project = try await site.make("project", "/v3/projects", ["name": "mine"], token)
    let alice = try await site.make("user", "/v3/users", ["name": "alice", "password": "secret"], token)
    let group = try await site.make("group", "/v3/groups", ["name": "staff"], token)
    let member = try await site.roleID("member", token)
    #expect(try await site.call(.put, "/v3/groups/\(group)/users/\(alice)", token: token).status == 204)
    #expect(
      try await site.call(.put, "/v3/projects/\(project)/groups/\(group)/roles/\(member)", token: token).status == 204)
    #expect(
      try await site.logIn(user: alice, scope: ["project": ["id": .string(project)]]).status == 201)

    #expect(try await site.call(.get, "/v3/projects", token: token).names("projects") == ["mine"])
    #expect(try await site.call(.get, "/v3/users", token: token).names("users") == ["alice", "d1-manager"])
    #expect(try await site.call(.get, "/v3/domains", token: token).names("domains") == ["d1"])
    for path in ["projects/\(foreign)", "users/\(other.user)", "domains/\(other.id)"] {
      #expect(try await site.call(.get, "/v3/\(path)", token: token).status == 403)
    }
    let renamed = try await site.call(
      .patch, "/v3/projects/\(foreign)", ["project": ["name": "stolen"]], token: token)
    #expect(renamed.status == 403)
    #expect(
      try await site.call(.put, "/v3/projects/\(foreign)/users/\(alice)/roles/\(member)", token: token).status == 403)
    #expect(
      try await site.call(.put, "/v3/projects/\(project)/users/\(other.user)/roles/\(member)", token: token).status
        == 403)
    // Whom the site's administrator put into the group from elsewhere stays there, logged in.
    #expect(try await site.call(.put, "/v3/groups/\(group)/users/\(other.user)", token: admin).status == 204)
    let stranger = try await site.token(user: other.user, scope: Site.inDomain(other.id))
    #expect(try await site.call(.delete, "/v3/groups/\(group)/users/\(other.user)", token: token).status == 403)
    #expect(try await site.call(.delete, "/v3/groups/\(group)/users/nobody", token: token).status == 403)
    #expect(try await site.isGood(stranger))
    for (member, id) in [("domain_id", other.id), ("domain_id", "nothing"), ("parent_id", foreign)] {
      let made = try await site.call(
        .post, "/v3/projects", ["project": ["name": "x", member: .string(id)]], token: token)
      #expect(made.status == 403 && made.message.hasSuffix("identity:create_project."), "\(member)")
    }
    let elsewhere = try await site.call(
      .post, "/v3/users", ["user": ["name": "x", "domain_id": .string(other.id)]], token: token)
    #expect(elsewhere.status == 403)
    #expect(
      try await site.call(.post, "/v3/projects", ["project": ["name": "x", "is_domain": true]], token: token).status
        == 403)
    let list = try await site.call(.get, "/v3/role_assignments?include_names", token: token)
    let scopes = list.body["role_assignments"]?.array?.compactMap { $0["scope"]?["domain"]?["name"]?.string }
    #expect(scopes == ["d1"], "\(list.body)")
  }

  @Test func abuse24_aManagerCannotRaiseItself() async throws {
    let site = try await Site()
    let admin = try await site.admin()
    // A manager of the domain that the administrators are in.
    let user = try await site.make("user", "/v3/users", ["name": "boss", "password": "secret"], admin)
    let manager = try await site.roleID("manager", admin)
    #expect(try await site.call(.put, "/v3/domains/default/users/\(user)/roles/\(manager)", token: admin).status == 204)
    let token = try await site.token(user: user, scope: Site.inDomain("default"))
    let root = try #require(try await site.call(.get, "/v3/users?name=admin", token: admin).ids("users").first)
    let adminProject = try #require(
      try await site.call(.get, "/v3/projects?name=admin", token: admin).ids("projects").first)
    let project = try await site.make("project", "/v3/projects", ["name": "own"], token)

    // Not by the administrators' passwords, names or state.
    for body: JSON in [["password": "mine"], ["enabled": false], ["name": "x"]] {
      #expect(try await site.call(.patch, "/v3/users/\(root)", ["user": body], token: token).status == 403)
    }
    #expect(try await site.call(.delete, "/v3/users/\(root)", token: token).status == 403)
    // Not by roles.
    for name in ["admin", "service", "esi_leap_admin"] {
      let role = try await site.roleID(name, token)
      #expect(
        try await site.call(.put, "/v3/projects/\(project)/users/\(user)/roles/\(role)", token: token).status == 403)
      #expect(
        try await site.call(
          .put, "/v3/OS-INHERIT/domains/default/users/\(user)/roles/\(role)/inherited_to_projects", token: token
        ).status == 403)
    }
    let member = try await site.roleID("member", token)
    #expect(
      try await site.call(.put, "/v3/projects/\(adminProject)/users/\(user)/roles/\(member)", token: token).status
        == 403)
    #expect(try await site.call(.put, "/v3/system/users/\(user)/roles/\(member)", token: token).status == 403)
    #expect(
      try await site.call(.patch, "/v3/projects/\(adminProject)", ["project": ["name": "x"]], token: token).status
        == 403)
    // Not by a role that implies one of them.
    let sly = try await site.make("role", "/v3/roles", ["name": "sly"], admin)
    let service = try await site.roleID("service", admin)
    #expect(try await site.call(.put, "/v3/roles/\(sly)/implies/\(service)", token: admin).status == 201)
    #expect(try await site.call(.put, "/v3/projects/\(project)/users/\(user)/roles/\(sly)", token: token).status == 403)
    // Not by a group that has more.
    let group = try await site.make("group", "/v3/groups", ["name": "operators"], admin)
    let adminRole = try await site.roleID("admin", admin)
    #expect(
      try await site.call(.put, "/v3/projects/\(adminProject)/groups/\(group)/roles/\(adminRole)", token: admin).status
        == 204)
    #expect(try await site.call(.put, "/v3/groups/\(group)/users/\(user)", token: token).status == 403)
    // Nor by one who inherits it.
    let heir = try await site.make("user", "/v3/users", ["name": "heir"], admin)
    #expect(
      try await site.call(
        .put, "/v3/OS-INHERIT/domains/default/users/\(heir)/roles/\(adminRole)/inherited_to_projects", token: admin
      ).status == 204)
    #expect(
      try await site.call(.patch, "/v3/users/\(heir)", ["user": ["password": "mine"]], token: token).status == 403)
  }

  @Test func aReaderOfADomainReadsItAndChangesNothing() async throws {
    let site = try await Site()
    let admin = try await site.admin()
    let (domain, user) = try await site.domain("d1", role: "reader", admin)
    let token = try await site.token(user: user, scope: Site.inDomain(domain))
    #expect(try await site.call(.get, "/v3/users", token: token).names("users") == ["d1-reader"])
    #expect(try await site.call(.get, "/v3/groups", token: token).status == 200)
    #expect(try await site.call(.post, "/v3/projects", ["project": ["name": "x"]], token: token).status == 403)
    #expect(try await site.call(.get, "/v3/policies", token: token).status == 403)
  }

  @Test func upstreamsDefaultCanBeHadForTests() async throws {
    let site = try await Site { $0.projectAdminsAreSiteAdmins = true }
    let admin = try await site.admin()
    _ = try await site.tenant("alpha", role: "admin", admin)
    _ = try await site.tenant("beta", admin)
    let alpha = try await site.token("alpha", scope: Site.inProject("alpha"))
    let beta = try await site.token("beta", scope: Site.inProject("beta"))
    #expect(try await site.call(.post, "/v3/users", ["user": ["name": "x"]], token: alpha).status == 201)
    #expect(try await site.call(.post, "/v3/users", ["user": ["name": "y"]], token: beta).status == 403)
  }
}
