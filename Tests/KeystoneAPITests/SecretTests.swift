import Glibc
import HTTPTypes
import Testing
import Wire

@Suite struct SecretTests {
  @Test func aCredentialIsItsOwnersAndSealedAtRest() async throws {
    let site = try await Site()
    let admin = try await site.admin()
    let alpha = try await site.tenant("alpha", admin)
    let beta = try await site.tenant("beta", admin)
    let own = try await site.token("alpha", scope: Site.inProject("alpha"))
    let theirs = try await site.token("beta", scope: Site.inProject("beta"))
    let id = try await site.make("credential", "/v3/credentials", ["type": "note", "blob": "hunter2-hunter2"], own)

    let shown = try await site.call(.get, "/v3/credentials/\(id)", token: own)
    #expect(shown.body["credential"]?["blob"]?.string == "hunter2-hunter2")
    #expect(shown.body["credential"]?["user_id"]?.string == alpha.user)
    let foreign = try await site.call(.get, "/v3/credentials/\(id)", token: theirs)
    let none = try await site.call(.get, "/v3/credentials/nothing", token: theirs)
    #expect(foreign.status == 403 && foreign.message.replacing(id, with: "nothing") == none.message)
    #expect(try await site.call(.get, "/v3/credentials", token: theirs).ids("credentials").isEmpty)
    #expect(try await site.call(.get, "/v3/credentials?user_id=\(alpha.user)", token: admin).ids("credentials") == [id])
    #expect(try await site.call(.delete, "/v3/credentials/\(id)", token: theirs).status == 403)
    let forAnother = try await site.call(
      .post, "/v3/credentials", ["credential": ["type": "x", "blob": "y", "user_id": .string(beta.user)]], token: own)
    #expect(forAnother.status == 403)
    let inAnother = try await site.call(
      .post, "/v3/credentials", ["credential": ["type": "x", "blob": "y", "project_id": .string(beta.project)]],
      token: own)
    #expect(inAnother.status == 400)

    let changed = try await site.call(
      .patch, "/v3/credentials/\(id)", ["credential": ["blob": "hunter3-hunter3", "type": "note"]], token: own)
    #expect(changed.body["credential"]?["blob"]?.string == "hunter3-hunter3")
    for body: JSON in [["type": "other"], ["user_id": .string(beta.user)], ["project_id": .string(alpha.project)]] {
      #expect(
        try await site.call(.patch, "/v3/credentials/\(id)", ["credential": body], token: own).status == 400)
    }
    #expect(!site.fileContains("hunter3-hunter3") && !site.fileContains("hunter2-hunter2"))
    // A reader of everything does not read secrets.
    let reader = try await site.roleID("reader", admin)
    _ = try await site.call(.put, "/v3/system/users/\(beta.user)/roles/\(reader)", token: admin)
    let auditor = try await site.token("beta", scope: Site.system)
    #expect(try await site.call(.get, "/v3/credentials/\(id)", token: auditor).status == 403)
    #expect(try await site.call(.get, "/v3/credentials/nothing", token: auditor).status == 403)
    #expect(try await site.call(.delete, "/v3/credentials/\(id)", token: own).status == 204)
  }

  @Test func keyPairsAreMadeForOnesOwnProjects() async throws {
    let site = try await Site()
    let admin = try await site.admin()
    let alpha = try await site.tenant("alpha", admin)
    let beta = try await site.tenant("beta", admin)
    let own = try await site.token("alpha", scope: Site.inProject("alpha"))
    let theirs = try await site.token("beta", scope: Site.inProject("beta"))
    let path = "/v3/users/\(alpha.user)/credentials/OS-EC2"
    let made = try await site.call(.post, path, ["tenant_id": .string(alpha.project)], token: own)
    #expect(made.status == 201)
    let access = try #require(made.body["credential"]?["access"]?.string)
    #expect(made.body["credential"]?["secret"]?.string?.utf8.count == 64)
    #expect(try await site.call(.get, path + "/\(access)", token: own).body["credential"] == made.body["credential"])
    #expect(try await site.call(.get, path, token: own).body["credentials"]?.array?.count == 1)
    #expect(try await site.call(.get, path, token: theirs).status == 403)
    #expect(
      try await site.call(.get, "/v3/users/\(beta.user)/credentials/OS-EC2/\(access)", token: theirs).status == 404)
    #expect(try await site.call(.post, path, ["tenant_id": .string(beta.project)], token: own).status == 400)
    #expect(try await site.call(.post, path, [:], token: own).status == 400)
    let member = try await site.roleID("member", admin)
    _ = try await site.call(.put, "/v3/domains/default/users/\(alpha.user)/roles/\(member)", token: admin)
    let inDomain = try await site.token("alpha", scope: Site.inDomain("default"))
    #expect(try await site.call(.get, path, token: inDomain).status == 403)
    #expect(try await site.call(.delete, path + "/\(access)", token: own).status == 204)
    #expect(try await site.call(.get, path + "/\(access)", token: own).status == 404)
  }

  @Test func aDomainsOptionsAreKeptAndItsPasswordNeverShown() async throws {
    let site = try await Site {
      $0.passwordRules.pattern = "[a-z]"
      $0.passwordRules.patternDescription = "a letter"
    }
    let admin = try await site.admin()
    let domain = try await site.make("domain", "/v3/domains", ["name": "d1"], admin)
    let path = "/v3/domains/\(domain)/config"
    #expect(try await site.call(.get, path, token: admin).status == 404)
    let config: JSON = ["identity": ["driver": "ldap"], "ldap": ["url": "ldap://x"]]
    var sent = config.object ?? [:]
    sent["ldap"] = ["url": "ldap://x", "password": "hunter2-hunter2"]
    let made = try await site.call(.put, path, ["config": .object(sent)], token: admin)
    #expect(made.status == 201 && made.body["config"] == config)
    #expect(!site.fileContains("hunter2-hunter2"))
    #expect(
      try await site.call(.get, path + "/ldap", token: admin).body["config"] == ["ldap": ["url": "ldap://x"]])
    #expect(try await site.call(.get, path + "/ldap/url", token: admin).body["config"] == ["url": "ldap://x"])
    #expect(try await site.call(.get, path + "/ldap/password", token: admin).status == 404)
    let changed = try await site.call(
      .patch, path + "/ldap/url", ["config": ["url": "ldap://y"]], token: admin)
    #expect(changed.body["config"]?["ldap"]?["url"]?.string == "ldap://y")
    for body: JSON in [["config": ["ldap": ["colour": 1]]], ["config": ["other": ["url": 1]]]] {
      #expect(try await site.call(.patch, path, body, token: admin).status == 403)
    }
    for body: JSON in [["config": [:]], [:], ["config": ["ldap": "x"]]] {
      #expect(try await site.call(.patch, path, body, token: admin).status == 400)
    }
    #expect(try await site.call(.delete, path + "/ldap/url", token: admin).status == 204)
    #expect(try await site.call(.get, path + "/ldap/url", token: admin).status == 404)
    #expect(try await site.call(.delete, path, token: admin).status == 204)
    #expect(try await site.call(.delete, path, token: admin).status == 404)
    // Everyone may read the rules that their passwords must follow.
    _ = try await site.tenant("alpha", admin)
    let own = try await site.token("alpha", scope: Site.inProject("alpha"))
    let rules = try await site.call(.get, "/v3/domains/default/config/security_compliance", token: own)
    #expect(rules.body["config"]?["security_compliance"]?["password_regex_description"]?.string == "a letter")
    #expect(try await site.call(.get, "/v3/domains/default/config", token: own).status == 403)
    #expect(try await site.call(.get, "/v3/domains/\(domain)/config/security_compliance", token: own).status == 403)
  }
}
