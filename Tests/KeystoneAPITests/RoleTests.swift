import HTTPTypes
import Domain
import Testing
import Wire

@Suite struct RoleTests {
  @Test func theSiteStartsWithItsRolesAndWhatTheyImply() async throws {
    let site = try await Site()
    let admin = try await site.admin()
    #expect(try await site.call(.get, "/v3/roles", token: admin).names("roles") == Role.builtIn.sorted())
    let answer = try await site.call(.get, "/v3/role_inferences", token: admin)
    var rules: [String: [String]] = [:]
    for rule in answer.body["role_inferences"]?.array ?? [] {
      let prior = try #require(rule["prior_role"]?["name"]?.string)
      rules[prior] = rule["implies"]?.array?.compactMap { $0["name"]?.string }
    }
    #expect(
      rules == [
        "admin": ["manager"], "manager": ["member"], "member": ["reader"], "esi_leap_admin": ["esi_leap_owner"],
        "esi_leap_owner": ["esi_leap_lessee"], "owner": ["esi_leap_owner"], "lessee": ["esi_leap_lessee"],
      ])
    let id = try await site.roleID("member", admin)
    #expect(try await site.call(.delete, "/v3/roles/\(id)", token: admin).status == 403)
    #expect(try await site.call(.patch, "/v3/roles/\(id)", ["role": ["name": "x"]], token: admin).status == 403)
    let described = try await site.call(
      .patch, "/v3/roles/\(id)", ["role": ["description": "works here"]], token: admin)
    #expect(described.body["role"]?["description"]?.string == "works here")
  }

  @Test func anImpliedRoleComesAndGoesWithItsRule() async throws {
    let site = try await Site()
    let admin = try await site.admin()
    let (project, user) = try await site.tenant("alpha", admin)
    let prior = try await site.make("role", "/v3/roles", ["name": "operator", "description": "runs it"], admin)
    let implied = try await site.make("role", "/v3/roles", ["name": "viewer"], admin)
    let path = "/v3/roles/\(prior)/implies/\(implied)"
    try await site.grant("operator", user: user, project: project, admin)
    func roles() async throws -> [String] {
      let answer = try await site.logIn("alpha", scope: Site.inProject("alpha"))
      return answer.body["token"]?["roles"]?.array?.compactMap { $0["name"]?.string } ?? []
    }

    #expect(try await site.call(.head, path, token: admin).status == 404)
    let made = try await site.call(.put, path, token: admin)
    #expect(made.status == 201)
    #expect(made.body["role_inference"]?["implies"]?["name"]?.string == "viewer")
    #expect(try await site.call(.head, path, token: admin).status == 204)
    #expect(try await roles() == ["member", "operator", "reader", "viewer"])
    let token = try await site.token("alpha", scope: Site.inProject("alpha"))
    #expect(try await site.call(.delete, path, token: admin).status == 204)
    #expect(try await !site.isGood(token), "it carried the role")
    #expect(try await roles() == ["member", "operator", "reader"])

    let own = try await site.roleID("admin", admin)
    #expect(try await site.call(.put, "/v3/roles/\(prior)/implies/\(own)", token: admin).status == 403)
    #expect(try await site.call(.put, "/v3/roles/\(prior)/implies/\(prior)", token: admin).status == 400)
    #expect(try await site.call(.put, "/v3/roles/\(prior)/implies/nothing", token: admin).status == 404)
  }

  @Test func aRoleOfADomainStandsForWhatItImpliesAndNeverGetsIntoAToken() async throws {
    let site = try await Site()
    let admin = try await site.admin()
    let domain = try await site.make("domain", "/v3/domains", ["name": "d1"], admin)
    let project = try await site.make("project", "/v3/projects", ["name": "p", "domain_id": .string(domain)], admin)
    let user = try await site.make(
      "user", "/v3/users", ["name": "u", "domain_id": .string(domain), "password": "secret"], admin)
    let role = try await site.make("role", "/v3/roles", ["name": "member", "domain_id": .string(domain)], admin)
    #expect(
      try await site.call(.post, "/v3/roles", ["role": ["name": "member", "domain_id": .string(domain)]], token: admin)
        .status == 409)
    #expect(try await site.call(.get, "/v3/roles?domain_id=\(domain)", token: admin).ids("roles") == [role])
    #expect(try await site.call(.get, "/v3/roles", token: admin).ids("roles").contains(role) == false)
    #expect(
      try await site.call(.put, "/v3/projects/\(project)/users/\(user)/roles/\(role)", token: admin).status == 204)
    #expect(
      try await site.logIn(user: user, scope: ["project": ["id": .string(project)]]).status == 401,
      "it implies nothing yet")

    let reader = try await site.roleID("reader", admin)
    #expect(try await site.call(.put, "/v3/roles/\(role)/implies/\(reader)", token: admin).status == 201)
    #expect(try await site.call(.put, "/v3/roles/\(reader)/implies/\(role)", token: admin).status == 403)
    let member = try await site.roleID("member", admin)
    #expect(try await site.call(.put, "/v3/roles/\(member)/implies/\(role)", token: admin).status == 403)
    let service = try await site.roleID("service", admin)
    #expect(try await site.call(.put, "/v3/roles/\(service)/implies/\(role)", token: admin).status == 403)
    let login = try await site.logIn(user: user, scope: ["project": ["id": .string(project)]])
    #expect(login.body["token"]?["roles"]?.array?.compactMap { $0["name"]?.string } == ["reader"])
    let effective = try await site.call(
      .get, "/v3/role_assignments?effective&user.id=\(user)", token: admin)
    #expect(effective.body["role_assignments"]?.array?.compactMap { $0["role"]?["id"]?.string } == [reader])

    let foreign = try await site.make("project", "/v3/projects", ["name": "foreign"], admin)
    let mismatch = try await site.call(.put, "/v3/projects/\(foreign)/users/\(user)/roles/\(role)", token: admin)
    #expect(mismatch.status == 403 && mismatch.message.contains("must be in the same domain as the role"))
    #expect(try await site.call(.put, "/v3/system/users/\(user)/roles/\(role)", token: admin).status == 403)

    // A stranger does not learn of it.
    _ = try await site.tenant("alpha", admin)
    let stranger = try await site.token("alpha", scope: Site.inProject("alpha"))
    let hidden = try await site.call(.get, "/v3/roles/\(role)", token: stranger)
    let none = try await site.call(.get, "/v3/roles/\(String(role.reversed()))", token: stranger)
    #expect(hidden.status == 404 && none.status == 404)
    for path in ["roles?domain_id=\(domain)", "role_inferences"] {
      #expect(try await site.call(.get, "/v3/\(path)", token: stranger).status == 403)
    }
    for method in [HTTPRequest.Method.patch, .delete] {
      let hidden = try await site.call(method, "/v3/roles/\(role)", ["role": [:]], token: stranger)
      #expect(hidden.status == 404)
    }
  }

  @Test func systemRolesAreGivenListedAndTaken() async throws {
    let site = try await Site()
    let admin = try await site.admin()
    let (_, user) = try await site.tenant("alpha", admin)
    let group = try await site.make("group", "/v3/groups", ["name": "g"], admin)
    let role = try await site.roleID("reader", admin)
    for holder in ["users/\(user)", "groups/\(group)"] {
      let path = "/v3/system/\(holder)/roles"
      #expect(try await site.call(.put, path + "/\(role)", token: admin).status == 204)
      #expect(try await site.call(.head, path + "/\(role)", token: admin).status == 204)
      #expect(try await site.call(.get, path, token: admin).names("roles") == ["reader"])
    }
    let token = try await site.token("alpha", scope: Site.system)
    let own = try await site.token("alpha", scope: Site.inProject("alpha"))
    #expect(try await site.call(.get, "/v3/users", token: token).names("users").contains("admin"))
    #expect(try await site.call(.post, "/v3/users", ["user": ["name": "x"]], token: token).status == 403)
    #expect(try await site.call(.get, "/v3/auth/system", token: own).body["system"]?.array?.count == 1)
    #expect(try await site.call(.delete, "/v3/system/users/\(user)/roles/\(role)", token: admin).status == 204)
    #expect(try await !site.isGood(token))
    #expect(try await site.isGood(own), "the token for the project has nothing to do with it")
    #expect(try await site.logIn("alpha", scope: Site.system).status == 401)
  }
}
