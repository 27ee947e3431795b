import APISupport
import Testing
import Wire

@Suite struct LogInTests {
  @Test func aPasswordGivesATokenWithRolesAndCatalog() async throws {
    let site = try await Site()

    let answer = try await site.logIn("admin", Site.adminPassword, scope: Site.inProject("admin"))

    #expect(answer.status == 201)
    let token = answer.body["token"]
    #expect(token?["user"]?["name"]?.string == "admin")
    #expect(token?["project"]?["domain"]?["name"]?.string == "Default")
    let roles = token?["roles"]?.array?.compactMap { $0["name"]?.string } ?? []
    #expect(roles == ["admin", "manager", "member", "reader"])
    let types = token?["catalog"]?.array?.compactMap { $0["type"]?.string } ?? []
    #expect(types == ["identity", "baremetal"])
    let text = answer.headers[.init(known: "X-Subject-Token")] ?? ""
    #expect(!text.isEmpty && text.utf8.count < 255)
    #expect(!"\(answer.body)".contains("password_hash"))
  }

  @Test func everyRefusalIsTheSame() async throws {
    let site = try await Site()
    let admin = try await site.admin()
    _ = try await site.tenant("alice", admin)
    _ = try await site.call(.post, "/v3/projects", ["project": ["name": "other"]], token: admin)

    let wrong = try await site.logIn("alice", "wrong")
    let unknown = try await site.logIn("nobody", "wrong")
    let noRole = try await site.logIn("alice", scope: Site.inProject("other"))
    let noProject = try await site.logIn("alice", scope: Site.inProject("nothing"))
    let system = try await site.logIn("alice", scope: ["system": ["all": true]])

    for answer in [wrong, unknown, noRole, noProject, system] {
      #expect(answer.status == 401)
      #expect(answer.body == wrong.body)
    }
  }

  @Test func aBodyThatIsNoLogInIsRefusedInWords() async throws {
    let site = try await Site()
    for body: JSON in [
      [:], ["auth": 1], ["auth": [:]], ["auth": ["identity": [:]]], ["auth": ["identity": ["methods": ["password"]]]],
    ] {
      let answer = try await site.call(.post, "/v3/auth/tokens", body)
      #expect(answer.status == 400 && answer.message.hasPrefix("Expecting to find"))
    }
  }

  @Test func aDomainIsFoundInAnotherCaseUnlessSeveralAreMeant() async throws {
    let site = try await Site()
    let admin = try await site.admin()
    func logIn(_ domain: String) async throws -> Int {
      let place: JSON = ["name": .string(domain)]
      let body: JSON = [
        "auth": [
          "identity": [
            "methods": ["password"],
            "password": ["user": ["name": "admin", "password": .string(Site.adminPassword), "domain": place]],
          ],
          "scope": ["project": ["name": "admin", "domain": place]],
        ]
      ]
      return try await site.call(.post, "/v3/auth/tokens", body).status
    }
    for domain in ["Default", "default", "DEFAULT"] { #expect(try await logIn(domain) == 201, "\(domain)") }
    for domain in ["defaul", "default ", "d%", ""] { #expect(try await logIn(domain) == 401, "\(domain)") }

    _ = try await site.make("domain", "/v3/domains", ["name": "DEFAULT"], admin)
    #expect(try await logIn("Default") == 201)
    #expect(try await logIn("DEFAULT") == 401, "another domain, without this user")
    #expect(try await logIn("default") == 401, "two are meant")
  }

  @Test func systemDomainAndDefaultScopesAndRescoping() async throws {
    let site = try await Site()
    let admin = try await site.admin()

    let system = try await site.logIn("admin", Site.adminPassword, scope: ["system": ["all": true]])
    #expect(system.body["token"]?["system"]?["all"]?.bool == true)
    let unscoped = try await site.logIn("admin", Site.adminPassword, scope: "unscoped")
    #expect(unscoped.body["token"]?["project"] == nil && unscoped.body["token"]?["catalog"] == nil)
    let byDefault = try await site.logIn("admin", Site.adminPassword)
    #expect(byDefault.body["token"]?["project"]?["name"]?.string == "admin")
    let text = unscoped.headers[.init(known: "X-Subject-Token")] ?? ""
    let rescoped = try await site.call(
      .post, "/v3/auth/tokens?nocatalog",
      ["auth": ["identity": ["methods": ["token"], "token": ["id": .string(text)]], "scope": Site.inProject("admin")]])
    #expect(rescoped.status == 201)
    #expect(rescoped.body["token"]?["expires_at"] == unscoped.body["token"]?["expires_at"])
    #expect(rescoped.body["token"]?["methods"] == ["password", "token"])
    #expect(rescoped.body["token"]?["audit_ids"]?.array?.count == 2)
    #expect(rescoped.body["token"]?["catalog"] == nil)
    #expect(!admin.isEmpty)
  }

  @Test func sixWrongPasswordsLockTheUserForHalfAnHour() async throws {
    let site = try await Site()
    let admin = try await site.admin()
    _ = try await site.tenant("alice", admin)
    for _ in 0..<6 { #expect(try await site.logIn("alice", "wrong").status == 401) }

    let right = try await site.logIn("alice")
    #expect(right.status == 401)
    site.clock.advance(by: .seconds(1801))
    #expect(try await site.logIn("alice").status == 201)
  }

  @Test func passwordsWithANulOrTooLongNeverPass() async throws {
    let site = try await Site()
    let admin = try await site.admin()
    _ = try await site.tenant("alice", admin)
    #expect(try await site.logIn("alice", "secret\u{0}x").status == 401)
    #expect(try await site.logIn("alice", String(repeating: "x", count: 100_000)).status >= 400)
    let created = try await site.call(
      .post, "/v3/users", ["user": ["name": "nul", "password": "a\u{0}b"]], token: admin)
    #expect(created.status == 400)
  }
}

@Suite struct RevocationTests {
  @Test func aTokenIsCheckedAndRevokedByItsUserAndUnknownToOthers() async throws {
    let site = try await Site()
    let admin = try await site.admin()
    _ = try await site.tenant("alice", admin)
    _ = try await site.tenant("bob", admin)
    let alice = try await site.token("alice", scope: Site.inProject("alice"))
    let second = try await site.token("alice", scope: Site.inProject("alice"))
    let bob = try await site.token("bob", scope: Site.inProject("bob"))

    let own = try await site.call(.get, "/v3/auth/tokens", token: alice, subject: second)
    #expect(own.status == 200 && own.body["token"]?["user"]?["name"]?.string == "alice")
    #expect(try await site.call(.get, "/v3/auth/tokens", token: admin, subject: alice).status == 200)
    let foreign = try await site.call(.get, "/v3/auth/tokens", token: bob, subject: alice)
    let nonexistent = try await site.call(.get, "/v3/auth/tokens", token: bob, subject: "nonsense")
    #expect(foreign.status == 403 && foreign.body == nonexistent.body)
    #expect(try await site.call(.delete, "/v3/auth/tokens", token: bob, subject: alice).status == 403)
    #expect(try await site.call(.get, "/v3/auth/tokens", token: admin, subject: "nonsense").status == 404)

    #expect(try await site.call(.delete, "/v3/auth/tokens", token: alice, subject: second).status == 204)
    #expect(try await site.call(.get, "/v3/auth/projects", token: second).status == 401)
    #expect(try await site.call(.get, "/v3/auth/projects", token: alice).status == 200)
  }

  @Test func losingTheRightToATokenVoidsIt() async throws {
    let site = try await Site()
    let admin = try await site.admin()
    let (project, user) = try await site.tenant("alice", admin)
    func works(_ token: String) async throws -> Bool {
      try await site.call(.get, "/v3/auth/projects", token: token).status == 200
    }
    func fresh() async throws -> String { try await site.token("alice", scope: Site.inProject("alice")) }

    var token = try await fresh()
    let member = try await site.roleID("member", admin)
    _ = try await site.call(.delete, "/v3/projects/\(project)/users/\(user)/roles/\(member)", token: admin)
    #expect(try await !works(token))
    try await site.grant("member", user: user, project: project, admin)

    token = try await fresh()
    #expect(try await works(token))
    _ = try await site.call(.patch, "/v3/users/\(user)", ["user": ["enabled": false]], token: admin)
    #expect(try await !works(token))
    #expect(try await site.logIn("alice").status == 401)
    _ = try await site.call(.patch, "/v3/users/\(user)", ["user": ["enabled": true]], token: admin)

    token = try await fresh()
    _ = try await site.call(.patch, "/v3/projects/\(project)", ["project": ["enabled": false]], token: admin)
    #expect(try await !works(token))
    #expect(try await site.logIn("alice", scope: Site.inProject("alice")).status == 401)
    _ = try await site.call(.patch, "/v3/projects/\(project)", ["project": ["enabled": true]], token: admin)

    token = try await fresh()
    let change = try await site.call(
      .post, "/v3/users/\(user)/password", ["user": ["original_password": "secret", "password": "better"]], token: token
    )
    #expect(change.status == 204)
    #expect(try await !works(token))
    #expect(try await site.logIn("alice", "secret").status == 401)
    #expect(try await site.logIn("alice", "better").status == 201)
  }

  @Test func revocationsOutliveTheServer() async throws {
    let site = try await Site()
    let admin = try await site.admin()
    _ = try await site.tenant("alice", admin)
    let alice = try await site.token("alice", scope: Site.inProject("alice"))
    _ = try await site.call(.delete, "/v3/auth/tokens", token: alice, subject: alice)

    let revocations = try await site.database.read { try RevocationRows.count(in: $0) }

    #expect(revocations == 1)
  }

  @Test func anExpiredTokenIsNone() async throws {
    let site = try await Site()
    let admin = try await site.admin()
    site.clock.advance(by: .seconds(3601))
    #expect(try await site.call(.get, "/v3/projects", token: admin).status == 401)
  }
}
