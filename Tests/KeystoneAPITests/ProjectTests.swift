import Domain
import Store
import Testing
import Wire

enum RevocationRows {
  static func count(in session: any Session) throws -> Int { try RevocationStore.list(in: session).count }
}

@Suite struct ProjectTests {
  @Test func aNameIsLookedUpAsClientsDo() async throws {
    let site = try await Site()
    let admin = try await site.admin()
    let (project, _) = try await site.tenant("alpha", admin)

    let direct = try await site.call(.get, "/v3/projects/alpha", token: admin)
    #expect(direct.status == 404 && direct.message == "Could not find project: alpha.")
    #expect(try await site.call(.get, "/v3/projects/a/b/c", token: admin).status == 404)
    let named = try await site.call(.get, "/v3/projects?name=alpha", token: admin)
    #expect(named.body["projects"]?.array?.compactMap { $0["id"]?.string } == [project])
    #expect(named.body["links"]?["next"]?.isNull == true)
    let none = try await site.call(.get, "/v3/projects?name=gamma", token: admin)
    #expect(none.body["projects"]?.array?.isEmpty == true)
  }

  @Test func membersSeeTheirProjectAndNoOther() async throws {
    let site = try await Site()
    let admin = try await site.admin()
    let alpha = try await site.tenant("alpha", admin)
    let beta = try await site.tenant("beta", admin)
    let token = try await site.token("alpha", scope: Site.inProject("alpha"))

    #expect(try await site.call(.get, "/v3/projects/\(alpha.project)", token: token).status == 200)
    let foreign = try await site.call(.get, "/v3/projects/\(beta.project)", token: token)
    let none = try await site.call(.get, "/v3/projects/nothing", token: token)
    #expect(foreign.status == 403 && foreign.message.replacing(beta.project, with: "nothing") == none.message)
    // The one by name; a foreign name, none and the whole list are refused alike: clients then take a name for an id.
    #expect(try await site.call(.get, "/v3/projects?name=alpha", token: token).names("projects") == ["alpha"])
    let refused = try await site.call(.get, "/v3/projects", token: token)
    #expect(refused.status == 403 && refused.message.hasSuffix("identity:list_projects."))
    for query in ["name=beta", "name=nothing", "id=\(beta.project)", "enabled=true"] {
      let answer = try await site.call(.get, "/v3/projects?\(query)", token: token)
      #expect(answer.status == 403 && answer.body == refused.body, "\(query)")
    }
    #expect(try await site.call(.get, "/v3/auth/projects", token: token).names("projects") == ["alpha"])
    #expect(try await site.call(.get, "/v3/projects/default", token: token).body["project"]?["is_domain"]?.bool == true)
    #expect(try await site.call(.get, "/v3/users/\(beta.user)", token: token).status == 403)
    let users = try await site.call(.get, "/v3/users", token: token)
    #expect(users.body["users"]?.array?.compactMap { $0["name"]?.string } == ["alpha"])
    let forbidden = try await site.call(.post, "/v3/projects", ["project": ["name": "x"]], token: token)
    #expect(
      forbidden.status == 403
        && forbidden.message == "You are not authorized to perform the requested action: identity:create_project.")
    #expect(try await site.call(.patch, "/v3/users/\(alpha.user)", ["user": ["name": "x"]], token: token).status == 403)
    let assignments = try await site.call(.get, "/v3/role_assignments", token: token)
    #expect(assignments.body["role_assignments"]?.array?.count == 1)
  }

  @Test func projectAdminsOfTenantsAreNotTheSites() async throws {
    let site = try await Site()
    let admin = try await site.admin()
    let alpha = try await site.tenant("alpha", role: "admin", admin)
    let token = try await site.token("alpha", scope: Site.inProject("alpha"))
    #expect(try await site.call(.post, "/v3/users", ["user": ["name": "x"]], token: token).status == 403)
    let role = try await site.roleID("admin", admin)
    #expect(try await site.call(.put, "/v3/system/users/\(alpha.user)/roles/\(role)", token: token).status == 403)
  }

  @Test func duplicatesHierarchyTagsAndExtras() async throws {
    let site = try await Site()
    let admin = try await site.admin()
    let created = try await site.call(
      .post, "/v3/projects", ["project": ["name": "top", "email": "top@example.org", "tags": ["blue"], "id": "mine"]],
      token: admin)
    #expect(created.status == 201 && created.body["project"]?["email"]?.string == "top@example.org")
    let top = try #require(created.body["project"]?["id"]?.string)
    #expect(top != "mine" && created.body["project"]?["parent_id"]?.string == "default")
    let again = try await site.call(.post, "/v3/projects", ["project": ["name": "top"]], token: admin)
    #expect(again.status == 409 && again.message.contains("Duplicate entry found with name top at domain ID default"))
    let child = try await site.call(
      .post, "/v3/projects", ["project": ["name": "below", "parent_id": .string(top)]], token: admin)
    let childID = try #require(child.body["project"]?["id"]?.string)
    #expect(child.body["project"]?["domain_id"]?.string == "default")
    let shown = try await site.call(.get, "/v3/projects/\(childID)?parents_as_ids", token: admin)
    #expect(shown.body["project"]?["parents"]?.object?.keys == [top])
    #expect(try await site.call(.delete, "/v3/projects/\(top)", token: admin).status == 403)
    #expect(try await site.call(.get, "/v3/projects?tags=blue", token: admin).body["projects"]?.array?.count == 1)
    #expect(try await site.call(.put, "/v3/projects/\(top)/tags/red", token: admin).status == 201)
    #expect(try await site.call(.get, "/v3/projects/\(top)/tags", token: admin).body["tags"] == ["blue", "red"])
    #expect(try await site.call(.delete, "/v3/projects/\(childID)", token: admin).status == 204)
    #expect(try await site.call(.delete, "/v3/projects/\(top)", token: admin).status == 204)
    #expect(try await site.call(.get, "/v3/projects/\(top)", token: admin).status == 404)
    #expect(try await site.call(.delete, "/v3/domains/default", token: admin).status == 403)
  }

  @Test func lineageEndsInTheDomain() async throws {
    let site = try await Site()
    let admin = try await site.admin()
    let (project, _) = try await site.tenant("alpha", admin)
    let line = try await site.database.read { try ProjectStore.lineage(project, in: $0) }
    #expect(line == [project, "default"])
  }

  @Test func groupsGiveTheirRolesAndTakeThemAway() async throws {
    let site = try await Site()
    let admin = try await site.admin()
    let alpha = try await site.tenant("alpha", admin)
    let beta = try await site.tenant("beta", admin)
    let made = try await site.call(.post, "/v3/groups", ["group": ["name": "staff"]], token: admin)
    let group = try #require(made.body["group"]?["id"]?.string)
    #expect(try await site.call(.put, "/v3/groups/\(group)/users/\(alpha.user)", token: admin).status == 204)
    let role = try await site.roleID("reader", admin)
    #expect(
      try await site.call(.put, "/v3/projects/\(beta.project)/groups/\(group)/roles/\(role)", token: admin).status
        == 204)

    let token = try await site.token("alpha", scope: Site.inProject("beta"))
    #expect(try await site.call(.head, "/v3/groups/\(group)/users/\(alpha.user)", token: admin).status == 204)
    let effective = try await site.call(
      .get, "/v3/role_assignments?effective&user.id=\(alpha.user)&scope.project.id=\(beta.project)&include_names",
      token: admin)
    let shown = effective.body["role_assignments"]?.array
    #expect(shown?.count == 1 && shown?.first?["role"]?["name"]?.string == "reader")

    #expect(try await site.call(.delete, "/v3/groups/\(group)/users/\(alpha.user)", token: admin).status == 204)
    #expect(try await site.call(.get, "/v3/auth/projects", token: token).status == 401)
    #expect(try await site.logIn("alpha", scope: Site.inProject("beta")).status == 401)
  }

  @Test func anApplicationCredentialIsItsUserInOneProjectWithFewerRoles() async throws {
    let site = try await Site()
    let admin = try await site.admin()
    let alpha = try await site.tenant("alpha", admin)
    let token = try await site.token("alpha", scope: Site.inProject("alpha"))
    let path = "/v3/users/\(alpha.user)/application_credentials"
    let made = try await site.call(
      .post, path, ["application_credential": ["name": "ci", "roles": [["name": "reader"]]]], token: token)
    #expect(made.status == 201)
    let id = try #require(made.body["application_credential"]?["id"]?.string)
    let secret = try #require(made.body["application_credential"]?["secret"]?.string)
    func logIn(_ secret: String) async throws -> Site.Answer {
      try await site.call(
        .post, "/v3/auth/tokens",
        [
          "auth": [
            "identity": [
              "methods": ["application_credential"],
              "application_credential": ["id": .string(id), "secret": .string(secret)],
            ]
          ]
        ])
    }
    let login = try await logIn(secret)
    #expect(login.body["token"]?["roles"]?.array?.compactMap { $0["name"]?.string } == ["reader"])
    #expect(try await logIn("wrong").status == 401)
    let program = login.headers[.init(known: "X-Subject-Token")] ?? ""
    #expect(
      try await site.call(.post, path, ["application_credential": ["name": "more"]], token: program).status == 403)
    let list = try await site.call(.get, path, token: token)
    #expect(!"\(list.body)".contains(secret) && !"\(list.body)".contains("sha256"))
    let escalated = try await site.call(
      .post, path, ["application_credential": ["name": "up", "roles": [["name": "admin"]]]], token: token)
    #expect(escalated.status == 400)

    #expect(try await site.call(.delete, path + "/\(id)", token: token).status == 204)
    #expect(try await site.call(.get, "/v3/auth/projects", token: program).status == 401)
    #expect(try await logIn(secret).status == 401)
  }

  @Test func servicesAndEndpointsFilter() async throws {
    let site = try await Site()
    let admin = try await site.admin()
    let services = try await site.call(.get, "/v3/services?type=baremetal", token: admin)
    let id = try #require(services.body["services"]?.array?.first?["id"]?.string)
    #expect(services.body["services"]?.array?.count == 1)
    let endpoints = try await site.call(.get, "/v3/endpoints?interface=public&service_id=\(id)", token: admin)
    #expect(endpoints.body["endpoints"]?.array?.count == 1)
    #expect(endpoints.body["endpoints"]?.array?.first?["url"]?.string?.hasSuffix("/baremetal") == true)
    #expect(try await site.call(.get, "/v3/services/baremetal", token: admin).status == 404)
    #expect(try await site.call(.get, "/v3").body["version"]?["id"]?.string == "v3.14")
    #expect(try await site.call(.get, "").status == 300)
  }
}
