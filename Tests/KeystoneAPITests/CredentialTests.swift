import APISupport
import HTTPTypes
import Testing
import Wire

@Suite struct ApplicationCredentialTests {
  private func logIn(_ site: Site, _ credential: JSON?, scope: JSON? = nil) async throws -> Site.Answer {
    var auth: JSONObject = [
      "identity": [
        "methods": ["application_credential"],
        "application_credential": [
          "id": credential?["id"] ?? nil, "secret": credential?["secret"] ?? nil,
        ],
      ]
    ]
    if let scope { auth["scope"] = scope }
    return try await site.call(.post, "/v3/auth/tokens", ["auth": .object(auth)])
  }
  private func token(_ answer: Site.Answer) -> String { answer.headers[HTTPField.Name(known: "X-Subject-Token")] ?? "" }

  @Test func accessRulesNameTheRequestsThatItMayMake() async throws {
    let site = try await Site()
    let admin = try await site.admin()
    let alpha = try await site.tenant("alpha", admin)
    let own = try await site.token("alpha", scope: Site.inProject("alpha"))
    let path = "/v3/users/\(alpha.user)"
    let made = try await site.call(
      .post, path + "/application_credentials",
      [
        "application_credential": [
          "name": "ci",
          "access_rules": [
            ["service": "identity", "method": "GET", "path": "/v3/projects/{project}"],
            ["service": "identity", "method": "GET", "path": "/v3/auth/**"],
          ],
        ]
      ], token: own)
    #expect(made.status == 201, "\(made.body)")
    let credential = made.body["application_credential"]
    let rules = credential?["access_rules"]?.array ?? []
    #expect(rules.count == 2)

    let login = try await logIn(site, credential)
    let program = token(login)
    #expect(login.body["token"]?["application_credential"]?["access_rules"]?.array?.count == 2)
    #expect(try await site.call(.get, "/v3/projects/\(alpha.project)", token: program).status == 200)
    #expect(try await site.call(.get, "/v3/auth/projects", token: program).status == 200)
    for refused in ["/v3/projects", "/v3/users/\(alpha.user)", "/v3/projects/\(alpha.project)/tags"] {
      let answer = try await site.call(.get, refused, token: program)
      #expect(answer.status == 403 && answer.message.contains("access rules"), "\(refused)")
    }
    #expect(try await site.call(.delete, "/v3/auth/tokens", token: program, subject: program).status == 403)

    // A service must say that it knows of such rules.
    #expect(try await site.call(.get, "/v3/auth/tokens", token: admin, subject: program).status == 404)
    let aware: HTTPFields = [HTTPField.Name(known: "OpenStack-Identity-Access-Rules"): "1.0"]
    #expect(try await site.call(.get, "/v3/auth/tokens", token: admin, subject: program, headers: aware).status == 200)

    // The rules hold after a restart and for a token made from the token.
    let restarted = try await site.restarted()
    #expect(try await restarted.call(.get, "/v3/projects", token: program).status == 403)
    #expect(try await restarted.call(.get, "/v3/projects/\(alpha.project)", token: program).status == 200)
    let again = try await site.call(
      .post, "/v3/auth/tokens",
      ["auth": ["identity": ["methods": ["token"], "token": ["id": .string(program)]]]])
    #expect(again.status == 201)
    #expect(try await site.call(.get, "/v3/projects", token: token(again)).status == 403)

    // Rules are the user's own, and stay as long as they are used.
    let list = try await site.call(.get, path + "/access_rules", token: own)
    #expect(list.ids("access_rules").sorted() == rules.compactMap { $0["id"]?.string }.sorted())
    let id = try #require(rules.first?["id"]?.string)
    #expect(try await site.call(.get, path + "/access_rules/\(id)", token: own).status == 200)
    #expect(try await site.call(.delete, path + "/access_rules/\(id)", token: own).status == 403)
    let second = try await site.call(
      .post, path + "/application_credentials",
      ["application_credential": ["name": "again", "access_rules": [["id": .string(id)]]]], token: own)
    #expect(second.body["application_credential"]?["access_rules"]?.array?.first?["id"]?.string == id)
    for credential in try await site.call(.get, path + "/application_credentials", token: own)
      .ids("application_credentials")
    {
      #expect(
        try await site.call(.delete, path + "/application_credentials/\(credential)", token: own).status == 204)
    }
    #expect(try await !site.isGood(program))
    #expect(try await site.call(.delete, path + "/access_rules/\(id)", token: own).status == 204)
  }

  @Test func badRulesAndForeignRulesAreRefused() async throws {
    let site = try await Site()
    let admin = try await site.admin()
    let alpha = try await site.tenant("alpha", admin)
    let beta = try await site.tenant("beta", admin)
    let own = try await site.token("alpha", scope: Site.inProject("alpha"))
    let theirs = try await site.token("beta", scope: Site.inProject("beta"))
    let made = try await site.call(
      .post, "/v3/users/\(beta.user)/application_credentials",
      [
        "application_credential": [
          "name": "b", "access_rules": [["service": "identity", "method": "GET", "path": "/v3/**"]],
        ]
      ], token: theirs)
    let foreign = try #require(made.body["application_credential"]?["access_rules"]?.array?.first?["id"])
    let good: JSONObject = ["service": "identity", "method": "GET", "path": "/v3/projects"]
    var bad: [JSON] = [1, [:], ["id": foreign], ["id": "nothing"]]
    for (key, value) in [("method", "BREW"), ("path", "v3"), ("service", nil), ("colour", "red"), ("method", "get")]
      as [(String, JSON)]
    {
      var rule = good
      rule[key] = value
      bad.append(.object(rule))
    }
    for rule in bad {
      let answer = try await site.call(
        .post, "/v3/users/\(alpha.user)/application_credentials",
        ["application_credential": ["name": "x", "access_rules": [rule]]], token: own)
      #expect(answer.status == 400, "\(rule) \(answer.body)")
    }
    let list = try await site.call(.get, "/v3/users/\(alpha.user)/application_credentials", token: own)
    #expect(list.ids("application_credentials").isEmpty)
    let id = foreign.string ?? ""
    let seen = try await site.call(.get, "/v3/users/\(alpha.user)/access_rules/\(id)", token: own)
    #expect(seen.status == 404)
    #expect(try await site.call(.get, "/v3/users/\(beta.user)/access_rules", token: own).status == 403)
    #expect(try await site.call(.get, "/v3/users/nobody/access_rules", token: own).status == 403)
  }

  @Test func itEndsOnTimeStaysInItsProjectAndLosesTheRolesThatItsUserLoses() async throws {
    let site = try await Site()
    let admin = try await site.admin()
    let alpha = try await site.tenant("alpha", admin)
    let other = try await site.make("project", "/v3/projects", ["name": "other"], admin)
    try await site.grant("member", user: alpha.user, project: other, admin)
    let own = try await site.token("alpha", scope: Site.inProject("alpha"))
    let path = "/v3/users/\(alpha.user)/application_credentials"
    let end = (site.clock.now + .seconds(600)).iso8601
    let made = try await site.call(
      .post, path, ["application_credential": ["name": "short", "expires_at": .string(end)]], token: own)
    let credential = made.body["application_credential"]
    #expect(made.status == 201 && credential?["expires_at"]?.string?.hasPrefix(String(end.prefix(19))) == true)

    let login = try await logIn(site, credential)
    #expect(login.body["token"]?["project"]?["name"]?.string == "alpha")
    #expect(login.body["token"]?["expires_at"]?.string?.hasPrefix(String(end.prefix(19))) == true)
    let elsewhere = try await logIn(site, credential, scope: ["project": ["id": .string(other)]])
    #expect(elsewhere.status == 401)
    #expect(try await logIn(site, credential, scope: ["project": ["id": .string(alpha.project)]]).status == 201)
    let past = try await site.call(
      .post, path, ["application_credential": ["name": "past", "expires_at": "2020-01-01T00:00:00"]], token: own)
    #expect(past.status == 400)

    let member = try await site.roleID("member", admin)
    #expect(
      try await site.call(
        .delete, "/v3/projects/\(alpha.project)/users/\(alpha.user)/roles/\(member)", token: admin
      ).status == 204)
    #expect(try await !site.isGood(token(login)))
    #expect(try await logIn(site, credential).status == 401)
    try await site.grant("reader", user: alpha.user, project: alpha.project, admin)
    let fewer = try await logIn(site, credential)
    #expect(fewer.body["token"]?["roles"]?.array?.compactMap { $0["name"]?.string } == ["reader"])
    site.clock.advance(by: .seconds(601))
    #expect(try await logIn(site, credential).status == 401)
  }
}

@Suite struct TokenBodyTests {
  @Test func whatIsRememberedOfATokenIsForgottenWithEveryChange() async throws {
    let site = try await Site()
    let admin = try await site.admin()
    let (project, user) = try await site.tenant("alpha", admin)
    let token = try await site.token("alpha", scope: Site.inProject("alpha"))
    func body() async throws -> JSON? {
      try await site.call(.get, "/v3/auth/tokens", token: admin, subject: token).body["token"]
    }
    let first = try await body()
    #expect(try await body() == first)

    _ = try await site.call(.patch, "/v3/projects/\(project)", ["project": ["name": "renamed"]], token: admin)
    #expect(try await body()?["project"]?["name"]?.string == "renamed")
    _ = try await site.call(.patch, "/v3/users/\(user)", ["user": ["name": "alfa"]], token: admin)
    #expect(try await body()?["user"]?["name"]?.string == "alfa")
    #expect(try await body()?["catalog"]?.array?.count == 2)
    let short = try await site.call(.get, "/v3/auth/tokens?nocatalog", token: admin, subject: token)
    #expect(short.body["token"]?["catalog"] == nil && short.body["token"]?["roles"]?.array?.count == 2)
    #expect(try await site.call(.head, "/v3/auth/tokens", token: admin, subject: token).status == 200)
  }

  @Test func aServiceMayAskForAnybodysToken() async throws {
    let site = try await Site()
    let admin = try await site.admin()
    _ = try await site.tenant("alpha", admin)
    let robot = try await site.tenant("robot", admin)
    let token = try await site.token("alpha", scope: Site.inProject("alpha"))
    try await site.grant("service", user: robot.user, project: robot.project, admin)
    let plain = try await site.token("robot", scope: Site.inProject("robot"))
    #expect(
      try await site.call(.get, "/v3/auth/tokens", token: plain, subject: token).status == 403,
      "a role in a tenant's project is nothing to the site")
    let service = try await site.roleID("service", admin)
    #expect(try await site.call(.put, "/v3/system/users/\(robot.user)/roles/\(service)", token: admin).status == 204)
    let trusted = try await site.token("robot", scope: Site.system)
    #expect(try await site.call(.get, "/v3/auth/tokens", token: trusted, subject: token).status == 200)
  }

  @Test func forgedHeadersGiveNothing() async throws {
    let site = try await Site()
    let admin = try await site.admin()
    _ = try await site.tenant("alpha", admin)
    let token = try await site.token("alpha", scope: Site.inProject("alpha"))
    let forged: HTTPFields = [
      HTTPField.Name(known: "X-Roles"): "admin", HTTPField.Name(known: "X-User-Id"): "admin",
      HTTPField.Name(known: "X-Is-Admin-Project"): "True", HTTPField.Name(known: "OpenStack-System-Scope"): "all",
    ]
    let answer = try await site.call(
      .post, "/v3/projects", ["project": ["name": "x"]], token: token, headers: forged)
    #expect(answer.status == 403)
    #expect(try await site.call(.get, "/v3/projects", headers: forged).status == 401)
  }
}
