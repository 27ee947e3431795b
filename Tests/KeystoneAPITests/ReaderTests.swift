import HTTPTypes
import Testing
import Wire

/// Who reads what of the identities, and what the others are told.
@Suite struct ReaderTests {
  @Test func rolesServicesAndEndpointsAreReadByThoseWhoHaveUseForThem() async throws {
    let site = try await Site()
    let admin = try await site.admin()
    let alpha = try await site.tenant("alpha", admin)
    let member = try await site.token("alpha", scope: Site.inProject("alpha"))
    let (domain, manager) = try await site.domain("d1", admin)
    let managing = try await site.token(user: manager, scope: Site.inDomain(domain))
    let reader = try await site.roleID("reader", admin)
    _ = try await site.call(.put, "/v3/system/users/\(alpha.user)/roles/\(reader)", token: admin)
    let auditor = try await site.token("alpha", scope: Site.system)

    let services = try await site.call(.get, "/v3/services", token: auditor).ids("services")
    let endpoints = try await site.call(.get, "/v3/endpoints", token: auditor).ids("endpoints")
    let service = try #require(services.first)
    let endpoint = try #require(endpoints.first)
    for path in [
      "services", "services/\(service)", "services/nothing", "endpoints", "endpoints/\(endpoint)", "endpoints/nothing",
      "role_inferences", "roles/\(reader)/implies", "roles",
    ] {
      #expect(try await site.call(.get, "/v3/\(path)", token: member).status == 403, "\(path)")
    }
    // Those who give roles in a domain find them; a role's name is in everybody's token, so that it is there is no secret.
    #expect(try await site.call(.get, "/v3/roles?name=member", token: managing).names("roles") == ["member"])
    #expect(try await site.call(.get, "/v3/roles/\(reader)", token: managing).status == 200)
    #expect(try await site.call(.get, "/v3/roles/\(reader)", token: member).status == 403)
    for method in [HTTPRequest.Method.get, .patch, .delete] {
      #expect(try await site.call(method, "/v3/roles/nothing", ["role": [:]], token: member).status == 404)
    }
    for (token, method) in [(member, HTTPRequest.Method.delete), (auditor, .patch), (managing, .delete)] {
      #expect(try await site.call(method, "/v3/roles/\(reader)", ["role": [:]], token: token).status == 403)
    }
    #expect(
      try await site.call(.get, "/v3/auth/catalog", token: member).body["catalog"]?.array?.isEmpty == false,
      "where the services are is in the catalog")
  }

  @Test func abuse32_aDomainsReaderLearnsNoNamesOfAnotherDomain() async throws {
    let site = try await Site()
    let admin = try await site.admin()
    let (mine, user) = try await site.domain("d1", role: "reader", admin)
    let (theirs, stranger) = try await site.domain("d2", admin)
    let token = try await site.token(user: user, scope: Site.inDomain(mine))
    let own = try await site.make("group", "/v3/groups", ["name": "own", "domain_id": .string(mine)], admin)
    let foreign = try await site.make("group", "/v3/groups", ["name": "foreign", "domain_id": .string(theirs)], admin)
    let alice = try await site.make("user", "/v3/users", ["name": "alice", "domain_id": .string(mine)], admin)
    for (group, member) in [(own, alice), (own, stranger), (foreign, alice), (foreign, user)] {
      #expect(try await site.call(.put, "/v3/groups/\(group)/users/\(member)", token: admin).status == 204)
    }
    let reading = try await site.token(user: user, scope: Site.inDomain(mine))

    #expect(try await site.call(.get, "/v3/users/\(alice)/groups", token: reading).names("groups") == ["own"])
    #expect(try await site.call(.get, "/v3/users/\(user)/groups", token: reading).names("groups") == ["foreign"])
    #expect(try await site.call(.get, "/v3/groups/\(own)/users", token: reading).names("users") == ["alice"])
    #expect(try await site.call(.head, "/v3/groups/\(own)/users/\(alice)", token: reading).status == 204)
    for path in [
      "groups/\(foreign)", "groups/\(foreign)/users", "groups/\(foreign)/users/\(alice)",
      "groups/\(own)/users/\(stranger)",
      "users/\(stranger)", "users/\(stranger)/groups", "domains/\(theirs)", "users/\(stranger)/projects",
    ] {
      let nothing = path.replacing(foreign, with: "nothing").replacing(stranger, with: "nothing").replacing(
        theirs, with: "nothing")
      let (told, none) = (
        try await site.call(.get, "/v3/\(path)", token: reading),
        try await site.call(.get, "/v3/\(nothing)", token: reading)
      )
      var words = told.message
      for id in [foreign, stranger, theirs] { words = words.replacing(id, with: "nothing") }
      #expect(told.status == 403 && none.status == 403 && words == none.message, "\(path)")
    }
    // Being put into a group voids no token: more roles need a new one.
    #expect(try await site.isGood(token))
  }

  @Test func aTreesAssignmentsAreForThoseWhoReadItsDomain() async throws {
    let site = try await Site()
    let admin = try await site.admin()
    let alpha = try await site.tenant("alpha", admin)
    let member = try await site.token("alpha", scope: Site.inProject("alpha"))
    let (domain, user) = try await site.domain("d1", role: "reader", admin)
    let project = try await site.make(
      "project", "/v3/projects", ["name": "top", "domain_id": .string(domain)], admin)
    let token = try await site.token(user: user, scope: Site.inDomain(domain))
    func tree(_ project: String, _ token: String) async throws -> Site.Answer {
      try await site.call(
        .get, "/v3/role_assignments?include_subtree=true&scope.project.id=\(project)", token: token)
    }

    #expect(try await tree(project, token).status == 200)
    let (foreign, none) = (try await tree(alpha.project, token), try await tree("nothing", token))
    #expect(foreign.status == 403 && foreign.body == none.body)
    #expect(try await tree(alpha.project, member).status == 403)
    #expect(try await tree(alpha.project, admin).body["role_assignments"]?.array?.count == 1)
  }

  @Test func aSitesReaderIsToldThatADomainIsMissing() async throws {
    let site = try await Site()
    let admin = try await site.admin()
    let alpha = try await site.tenant("alpha", admin)
    let reader = try await site.roleID("reader", admin)
    _ = try await site.call(.put, "/v3/system/users/\(alpha.user)/roles/\(reader)", token: admin)
    let auditor = try await site.token("alpha", scope: Site.system)
    let member = try await site.token("alpha", scope: Site.inProject("alpha"))
    for (token, domain, status) in [
      (auditor, "default", 403), (auditor, "nothing", 404), (member, "default", 403), (member, "nothing", 403),
    ] {
      let answer = try await site.call(
        .patch, "/v3/domains/\(domain)", ["domain": ["description": "x"]], token: token)
      #expect(answer.status == status, "\(domain)")
    }
  }
}
