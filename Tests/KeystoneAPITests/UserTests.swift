import Domain
import HTTPTypes
import Testing
import Wire

@Suite struct UserTests {
  @Test func aUserHasWhatClientsGiveItAndNoMore() async throws {
    let site = try await Site()
    let admin = try await site.admin()
    let answer = try await site.call(
      .post, "/v3/users",
      [
        "user": [
          "name": "alice", "password": "secret", "email": "a@example.org", "description": "one", "id": "mine",
          "links": ["self": "x"], "options": ["ignore_password_expiry": true], "federated": [],
        ]
      ], token: admin)
    let user = try #require(answer.body["user"]?.object)
    #expect(answer.status == 201 && user["id"]?.string != "mine")
    #expect(user["email"]?.string == "a@example.org" && user["description"]?.string == "one")
    #expect(user["password_expires_at"]?.isNull == true && user["password"] == nil && user["password_hash"] == nil)
    #expect(user["options"] == ["ignore_password_expiry": true] && user["enabled"]?.bool == true)
    let id = try #require(user["id"]?.string)
    let changed = try await site.call(
      .patch, "/v3/users/\(id)",
      ["user": ["email": nil, "phone": "1", "options": ["ignore_password_expiry": nil]]], token: admin)
    #expect(changed.body["user"]?["email"] == nil && changed.body["user"]?["phone"]?.string == "1")
    #expect(changed.body["user"]?["options"] == [:])
    for body: JSON in [
      ["options": ["multi_factor_auth_rules": [["totp"]]]], ["options": ["lock_password": "yes"]], ["enabled": "true"],
      ["name": ""], ["name": 7], ["domain_id": "elsewhere"], ["default_project_id": "default"],
    ] { #expect(try await site.call(.patch, "/v3/users/\(id)", ["user": body], token: admin).status == 400, "\(body)") }
    let nowhere = try await site.call(
      .post, "/v3/users", ["user": ["name": "x", "domain_id": "nothing"]], token: admin)
    #expect(nowhere.status == 404)
    #expect(try await site.call(.get, "/v3/users?name=alice&enabled=true", token: admin).ids("users") == [id])
    #expect(try await site.call(.get, "/v3/users?enabled=false", token: admin).ids("users") == [])
  }

  @Test func thePasswordFollowsTheSitesRules() async throws {
    let site = try await Site {
      $0.passwordRules.minimumLength = 6
      $0.passwordRules.pattern = "[0-9]"
      $0.passwordRules.patternDescription = "a digit is needed"
      $0.passwordRules.history = 3
    }
    let admin = try await site.admin()
    let weak = try await site.call(
      .post, "/v3/users", ["user": ["name": "alice", "password": "secret"]], token: admin)
    #expect(weak.status == 400)
    #expect(weak.message == "The password does not match the requirements: a digit is needed.")
    let user = try await site.make("user", "/v3/users", ["name": "alice", "password": "secret1"], admin)
    func change(_ old: String, _ new: String) async throws -> Site.Answer {
      try await site.call(
        .post, "/v3/users/\(user)/password",
        ["user": ["original_password": .string(old), "password": .string(new)]])
    }
    #expect(try await change("secret1", "x1").message.contains("at least 6 characters"))
    #expect(try await change("wrong", "secret2").status == 401)
    #expect(try await change("secret1", "secret2").status == 204)
    #expect(try await change("secret2", "secret3").status == 204)
    let repeated = try await change("secret3", "secret1")
    #expect(repeated.status == 400 && repeated.message.contains("cannot be identical to a previous password"))
    #expect(try await change("secret3", "secret4").status == 204)
    #expect(try await change("secret4", "secret1").status == 204, "three others came between")
    let foreign = try await site.call(
      .post, "/v3/users/nobody/password", ["user": ["original_password": "a", "password": "secret9"]])
    let wrong = try await change("wrong", "secret9")
    #expect(foreign.status == 401 && foreign.body == wrong.body)
  }

  @Test func aPasswordExpiresAndCanThenBeChangedWithoutAToken() async throws {
    let site = try await Site {
      $0.passwordRules.maximumAge = .seconds(86_400)
      $0.passwordRules.mustChangeAfterReset = true
      $0.passwordRules.minimumAge = .seconds(3600)
    }
    let admin = try await site.admin()
    let user = try await site.make("user", "/v3/users", ["name": "alice", "password": "secret"], admin)
    func change(_ old: String, _ new: String) async throws -> Site.Answer {
      try await site.call(
        .post, "/v3/users/\(user)/password",
        ["user": ["original_password": .string(old), "password": .string(new)]])
    }
    let first = try await site.logIn("alice")
    #expect(
      first.status == 401
        && first.message == "The password is expired and needs to be changed for user: \(user).")
    #expect(try await site.logIn("alice", "wrong").message == "The request you have made requires authentication.")
    #expect(try await change("secret", "better").status == 204)
    let login = try await site.logIn("alice", "better")
    #expect(login.status == 201)
    #expect(login.body["token"]?["user"]?["password_expires_at"]?.string?.hasPrefix("2027-") == true)
    let tooSoon = try await change("better", "best")
    #expect(tooSoon.status == 400 && tooSoon.message.contains("minimum password age"))
    site.clock.advance(by: .seconds(3601))
    #expect(try await change("better", "best").status == 204)
    site.clock.advance(by: .seconds(86_401))
    #expect(try await site.logIn("alice", "best").status == 401)
    let later = try await site.admin()
    let expired = try await site.call(
      .get, "/v3/users?password_expires_at=lt:2027-12-31T00:00:00Z", token: later)
    #expect(expired.names("users") == ["alice"])
    #expect(try await site.call(.get, "/v3/users?password_expires_at=sooner:x", token: later).status == 400)

    let exempt = try await site.call(
      .patch, "/v3/users/\(user)", ["user": ["options": ["ignore_password_expiry": true, "lock_password": true]]],
      token: later)
    #expect(exempt.status == 200)
    #expect(try await site.logIn("alice", "best").status == 201)
    #expect(try await change("best", "other").message.contains("disallowing password changes"))
  }
}

@Suite struct LockoutTests {
  @Test func theLockOutlivesTheServerAndEndsByTheAdministratorsHand() async throws {
    let site = try await Site { $0.lockout.failures = 3 }
    let admin = try await site.admin()
    let (_, user) = try await site.tenant("alice", admin)
    for _ in 0..<2 { _ = try await site.logIn("alice", "wrong") }

    let restarted = try await site.restarted()
    #expect(try await restarted.logIn("alice", "wrong").status == 401, "the third in a row, counted across the restart")
    let again = try await site.restarted()
    let locked = try await again.logIn("alice")
    #expect(locked.status == 401 && locked.message == "The request you have made requires authentication.")
    let change = try await again.call(
      .post, "/v3/users/\(user)/password", ["user": ["original_password": "secret", "password": "new"]])
    #expect(change.status == 401)

    let freed = try await again.call(.patch, "/v3/users/\(user)", ["user": ["enabled": true]], token: admin)
    #expect(freed.status == 200)
    #expect(try await again.logIn("alice").status == 201)
    #expect(try await again.restarted().logIn("alice").status == 201)
  }

  @Test func aRightPasswordForgetsTheWrongOnesBefore() async throws {
    let site = try await Site { $0.lockout.failures = 3 }
    let admin = try await site.admin()
    _ = try await site.tenant("alice", admin)
    for _ in 0..<4 {
      for _ in 0..<2 { #expect(try await site.logIn("alice", "wrong").status == 401) }
      #expect(try await site.logIn("alice").status == 201)
    }
    #expect(try await site.restarted().logIn("alice").status == 201)
  }

  @Test func oneWhoIsExemptIsNeverLocked() async throws {
    let site = try await Site { $0.lockout.failures = 2 }
    let admin = try await site.admin()
    let (_, user) = try await site.tenant("robot", admin)
    _ = try await site.call(
      .patch, "/v3/users/\(user)", ["user": ["options": ["ignore_lockout_failure_attempts": true]]], token: admin)
    for _ in 0..<4 { #expect(try await site.logIn("robot", "wrong").status == 401) }
    #expect(try await site.logIn("robot").status == 201)
  }

  @Test func aBurstOfGuessesGetsNoMoreTriesThanARow() async throws {
    let site = try await Site { $0.lockout.failures = 3 }
    let admin = try await site.admin()
    _ = try await site.tenant("alice", admin)
    await withTaskGroup(of: Int.self) { group in
      for number in 0..<12 { group.addTask { (try? await site.logIn("alice", "guess-\(number)").status) ?? 0 } }
      for await status in group { #expect(status == 401) }
    }
    #expect(try await site.logIn("alice").status == 401)
  }

  @Test func aStormWaitsInARowAndWhatIsTooMuchIsToldToComeBack() async throws {
    let site = try await Site {
      $0.hashThreads = 1
      $0.hashQueue = 4
    }
    let admin = try await site.admin()
    for number in 0..<12 {
      _ = try await site.make("user", "/v3/users", ["name": .string("u\(number)"), "password": "secret"], admin)
    }
    let statuses = await withTaskGroup(of: Int.self) { group in
      for number in 0..<12 { group.addTask { (try? await site.logIn("u\(number)").status) ?? 0 } }
      return await group.reduce(into: [Int]()) { $0.append($1) }
    }
    #expect(statuses.allSatisfy { $0 == 201 || $0 == 503 })
    #expect(statuses.filter { $0 == 201 }.count >= 5, "one at work and four who wait")
    #expect(statuses.contains(503))
    #expect(try await site.logIn("u0").status == 201)
  }
}
