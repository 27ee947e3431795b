import Domain
import Testing
import Wire

@Suite struct AccessRuleTests {
  private func permits(_ pattern: String, _ path: String) -> Bool {
    AccessRule(id: "r", service: "baremetal", method: "GET", path: pattern).permits(
      service: "baremetal", method: "GET", path: path)
  }

  @Test func aPatternMatchesSegmentsAndWholePaths() {
    #expect(permits("/v1/nodes", "/v1/nodes"))
    #expect(!permits("/v1/nodes", "/v1/nodes/"))
    #expect(!permits("/v1/nodes", "/v1/nodesx"))
    for pattern in ["/v1/nodes/{node}", "/v1/nodes/*"] {
      #expect(permits(pattern, "/v1/nodes/n1"))
      #expect(!permits(pattern, "/v1/nodes/"), "a segment is never empty")
      #expect(!permits(pattern, "/v1/nodes/n1/states"))
    }
    #expect(permits("/v1/nodes/{node}/states/{what}", "/v1/nodes/n1/states/power"))
    #expect(permits("/v1/**", "/v1/nodes/n1/states"))
    #expect(permits("/v1/**", "/v1/"))
    #expect(!permits("/v1/**", "/v2/nodes"))
    #expect(permits("/v1/**/power", "/v1/nodes/n1/states/power"))
    #expect(permits("/v1/node-*-x", "/v1/node-7-x"))
    #expect(!permits("/v1/{node", "/v1/anything"), "a brace without an end is itself")
  }
  @Test func serviceAndMethodCountToo() {
    let rule = AccessRule(id: "r", service: "baremetal", method: "GET", path: "**")
    #expect(rule.permits(service: "baremetal", method: "GET", path: "/v1"))
    #expect(!rule.permits(service: "network", method: "GET", path: "/v1"))
    #expect(!rule.permits(service: "baremetal", method: "DELETE", path: "/v1"))
  }
  @Test func aHostilePatternCostsLittle() {
    let pattern = String(repeating: "**a", count: 80)
    let path = "/" + String(repeating: "a", count: 2000) + "b"
    let time = ContinuousClock().measure { #expect(!permits(pattern, path)) }
    #expect(time < .seconds(5), "\(time)")
  }
}

@Suite struct PasswordRulesTests {
  @Test func objectionsSayWhatIsAskedFor() {
    var rules = PasswordRules()
    #expect(rules.objection(to: "x") == nil)
    rules.minimumLength = 8
    #expect(rules.objection(to: "short") == "it must have at least 8 characters")
    rules.pattern = "^(?=.*[0-9])(?=.*[a-z]).+$"
    #expect(rules.objection(to: "longenough") == "it must match ^(?=.*[0-9])(?=.*[a-z]).+$")
    rules.patternDescription = "a letter and a digit"
    #expect(rules.objection(to: "longenough") == "a letter and a digit")
    #expect(rules.objection(to: "longenough1") == nil)
  }
  @Test func aResetMayForceAChangeExceptForThoseWhoAreExempt() {
    let now = Timestamp(seconds: 1_000)
    var rules = PasswordRules()
    #expect(rules.expiry(setAt: now, byAdministrator: true, options: [:]) == nil)
    rules.maximumAge = .seconds(60)
    #expect(rules.expiry(setAt: now, byAdministrator: false, options: [:]) == Timestamp(seconds: 1_060))
    rules.mustChangeAfterReset = true
    #expect(rules.expiry(setAt: now, byAdministrator: true, options: [:]) == now)
    #expect(rules.expiry(setAt: now, byAdministrator: false, options: [:]) == Timestamp(seconds: 1_060))
    let exempt: JSONObject = ["ignore_change_password_upon_first_use": true]
    #expect(rules.expiry(setAt: now, byAdministrator: true, options: exempt) == Timestamp(seconds: 1_060))
  }
}

@Suite struct CatalogEndpointTests {
  private func url(_ text: String, project: String? = "p") -> String? {
    CatalogEndpoint(id: "e", serviceID: "s", interface: .public, regionID: nil, url: text).url(
      project: project, user: "u")
  }
  @Test func aURLNamesItsCallersProjectAndUser() {
    #expect(url("http://x/v1") == "http://x/v1")
    #expect(url("http://x/$(project_id)s/$(user_id)s") == "http://x/p/u")
    #expect(url("http://x/%(tenant_id)s") == "http://x/p")
    #expect(url("http://x/$(tenant_id)s", project: nil) == nil)
    #expect(url("http://x/$(password)s") == nil)
    #expect(url("http://x/$()/%20") == "http://x/$()/%20")
  }
}

@Suite struct IdentityPolicyTests {
  private func actor(_ scope: Actor.Scope, _ roles: Set<String>) -> Actor {
    Actor(userID: "u", userName: "u", scope: scope, roles: roles)
  }
  @Test func aDomainsManagerReachesItsDomainAndNoFurther() {
    let manager = actor(.domain(id: "d1"), ["manager", "member", "reader"])
    #expect(IdentityPolicy.managed(by: manager) == .domain("d1"))
    #expect(IdentityPolicy.managed(by: manager).contains(domain: "d1"))
    #expect(!IdentityPolicy.managed(by: manager).contains(domain: "d2"))
    #expect(IdentityPolicy.managed(by: actor(.domain(id: "d1"), ["member", "reader"])) == .nothing)
    #expect(IdentityPolicy.managed(by: actor(.project(id: "p", domainID: "d1"), ["admin"])) == .nothing)
    #expect(IdentityPolicy.managed(by: actor(.system, ["admin"])) == .site)
    #expect(IdentityPolicy.read(by: actor(.system, ["reader"])) == .site)
    #expect(IdentityPolicy.managed(by: actor(.system, ["reader"])) == .nothing)
  }
  @Test func whatReachesBeyondADomainIsNotItsManagersToGive() {
    #expect(IdentityPolicy.mayGive(roleNames: ["member", "reader"], within: .domain("d1")))
    for name in Role.siteWide { #expect(!IdentityPolicy.mayGive(roleNames: ["x", name], within: .domain("d1"))) }
    #expect(IdentityPolicy.mayGive(roleNames: ["admin"], within: .site))
    #expect(!IdentityPolicy.mayGive(roleNames: ["reader"], within: .nothing))
  }
}
