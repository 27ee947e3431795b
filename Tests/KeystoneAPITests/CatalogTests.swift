import HTTPTypes
import Testing
import Wire

@Suite struct CatalogTests {
  private func catalog(_ token: JSON?) -> [String] {
    (token?["catalog"]?.array ?? []).compactMap { $0["type"]?.string }
  }

  @Test func whatAnAdministratorAddsIsInEveryTokenAtOnce() async throws {
    let site = try await Site()
    let admin = try await site.admin()
    let region = try await site.make("region", "/v3/regions", ["id": "North", "description": "far"], admin)
    let service = try await site.make("service", "/v3/services", ["type": "object-store", "name": "swift"], admin)
    let endpoint = try await site.make(
      "endpoint", "/v3/endpoints",
      [
        "service_id": .string(service), "interface": "public", "region_id": .string(region),
        "url": "http://objects/v1/AUTH_$(project_id)s",
      ], admin)

    let answer = try await site.logIn("admin", Site.adminPassword, scope: Site.inProject("admin"))
    let token = answer.body["token"]
    let project = try #require(token?["project"]?["id"]?.string)
    let shown = token?["catalog"]?.array?.first { $0["type"]?.string == "object-store" }
    #expect(shown?["name"]?.string == "swift")
    #expect(shown?["endpoints"]?.array?.first?["url"]?.string == "http://objects/v1/AUTH_\(project)")
    #expect(shown?["endpoints"]?.array?.first?["region"]?.string == "North")
    let system = try await site.logIn("admin", Site.adminPassword, scope: Site.system)
    let withoutProject = system.body["token"]?["catalog"]?.array?.first { $0["type"]?.string == "object-store" }
    #expect(withoutProject?["endpoints"]?.array?.isEmpty == true, "there is no project to put into the URL")
    let list = try await site.call(
      .get, "/v3/endpoints?service_id=\(service)&interface=public&region_id=North", token: admin)
    #expect(list.ids("endpoints") == [endpoint])

    let disabled = try await site.call(
      .patch, "/v3/endpoints/\(endpoint)", ["endpoint": ["enabled": false]], token: admin)
    #expect(disabled.body["endpoint"]?["enabled"]?.bool == false)
    let after = try await site.call(.get, "/v3/auth/tokens", token: admin, subject: admin)
    let now = after.body["token"]?["catalog"]?.array?.first { $0["type"]?.string == "object-store" }
    #expect(now?["endpoints"]?.array?.isEmpty == true)
    #expect(try await site.call(.delete, "/v3/services/\(service)", token: admin).status == 204)
    #expect(try await site.call(.get, "/v3/endpoints/\(endpoint)", token: admin).status == 404)
    #expect(
      try await catalog(site.call(.get, "/v3/auth/tokens", token: admin, subject: admin).body["token"])
        == ["identity", "baremetal"])
  }

  @Test func theSitesOwnServicesFollowFromTheProgram() async throws {
    let site = try await Site()
    let admin = try await site.admin()
    let service = try #require(
      try await site.call(.get, "/v3/services?type=identity", token: admin).ids("services").first)
    let endpoint = try #require(
      try await site.call(.get, "/v3/endpoints?service_id=\(service)", token: admin).ids("endpoints").first)
    for (path, noun) in [("services/\(service)", "service"), ("endpoints/\(endpoint)", "endpoint")] {
      let changed = try await site.call(
        .patch, "/v3/\(path)", .object([noun: ["enabled": false]]), token: admin)
      #expect(changed.status == 403 && changed.message.contains("this program's own"))
      #expect(try await site.call(.delete, "/v3/\(path)", token: admin).status == 403)
    }
    #expect(try await site.call(.delete, "/v3/regions/RegionOne", token: admin).status == 403)
  }

  @Test func badEndpointsAreRefusedInWords() async throws {
    let site = try await Site()
    let admin = try await site.admin()
    let service = try await site.make("service", "/v3/services", ["type": "x"], admin)
    let good: JSONObject = [
      "service_id": .string(service), "interface": "public", "url": "http://x/", "region_id": "RegionOne",
    ]
    let bad: [(String, JSON)] = [
      ("interface", "private"), ("url", "nonsense"), ("url", "http://x/$(secret)s"), ("url", "http://x/\n"),
      ("service_id", "nothing"), ("region_id", "nowhere"), ("enabled", "False"), ("url", 7), ("interface", nil),
    ]
    for (key, value) in bad {
      var body = good
      body[key] = value
      let answer = try await site.call(.post, "/v3/endpoints", ["endpoint": .object(body)], token: admin)
      #expect(answer.status == 400, "\(key) \(value)")
    }
    let list = try await site.call(.get, "/v3/endpoints?service_id=\(service)", token: admin)
    #expect(list.ids("endpoints").isEmpty)
    // The older attribute makes the region.
    var old = good
    old["region_id"] = nil
    old["region"] = "Old"
    _ = try await site.make("endpoint", "/v3/endpoints", .object(old), admin)
    #expect(try await site.call(.get, "/v3/regions/Old", token: admin).status == 200)
    #expect(try await site.call(.delete, "/v3/regions/Old", token: admin).status == 403, "the endpoint is in it")
  }

  @Test func regionsAreATree() async throws {
    let site = try await Site()
    let admin = try await site.admin()
    let top = try await site.make("region", "/v3/regions", ["id": "top"], admin)
    _ = try await site.call(
      .put, "/v3/regions/inner", ["region": ["parent_region_id": .string(top)]], token: admin)
    #expect(try await site.call(.get, "/v3/regions?parent_region_id=top", token: admin).ids("regions") == ["inner"])
    #expect(try await site.call(.post, "/v3/regions", ["region": ["id": "top"]], token: admin).status == 409)
    let circle = try await site.call(
      .patch, "/v3/regions/top", ["region": ["parent_region_id": "inner"]], token: admin)
    #expect(circle.status == 400 && circle.message.contains("circular"))
    #expect(
      try await site.call(.post, "/v3/regions", ["region": ["parent_region_id": "nowhere"]], token: admin).status
        == 404)
    let made = try await site.make("region", "/v3/regions", ["description": "unnamed"], admin)
    #expect(made.utf8.count == 32)
    #expect(try await site.call(.delete, "/v3/regions/top", token: admin).status == 204)
    #expect(try await site.call(.get, "/v3/regions/inner", token: admin).status == 404)
  }

  @Test func aProjectWithAFilterFindsWhatItNamesAndNothingElse() async throws {
    let site = try await Site()
    let admin = try await site.admin()
    let (project, _) = try await site.tenant("alpha", admin)
    func types() async throws -> [String] {
      try await catalog(site.logIn("alpha", scope: Site.inProject("alpha")).body["token"])
    }
    let service = try #require(
      try await site.call(.get, "/v3/services?type=identity", token: admin).ids("services").first)
    let endpoint = try #require(
      try await site.call(.get, "/v3/endpoints?service_id=\(service)&interface=public", token: admin)
        .ids("endpoints").first)
    let root = "/v3/OS-EP-FILTER"
    #expect(try await types() == ["identity", "baremetal"])

    #expect(try await site.call(.put, "\(root)/projects/\(project)/endpoints/\(endpoint)", token: admin).status == 204)
    #expect(try await types() == ["identity"])
    #expect(
      try await site.call(.get, "\(root)/projects/\(project)/endpoints", token: admin).ids("endpoints") == [endpoint])
    #expect(
      try await site.call(.get, "\(root)/endpoints/\(endpoint)/projects", token: admin).names("projects") == ["alpha"])
    #expect(try await site.call(.head, "\(root)/projects/\(project)/endpoints/\(endpoint)", token: admin).status == 204)

    let group = try await site.make(
      "endpoint_group", "\(root)/endpoint_groups", ["name": "inner", "filters": ["interface": "internal"]], admin)
    #expect(
      try await site.call(.get, "\(root)/endpoint_groups/\(group)/endpoints", token: admin).ids("endpoints").count == 2)
    let member = "\(root)/endpoint_groups/\(group)/projects/\(project)"
    #expect(try await site.call(.put, member, token: admin).status == 204)
    #expect(try await types() == ["identity", "baremetal"])
    #expect(
      try await site.call(.get, "\(root)/projects/\(project)/endpoint_groups", token: admin).ids("endpoint_groups")
        == [group])
    #expect(try await site.call(.delete, member, token: admin).status == 204)
    #expect(
      try await site.call(.delete, "\(root)/projects/\(project)/endpoints/\(endpoint)", token: admin).status == 204)
    #expect(try await types() == ["identity", "baremetal"])
    for filters: JSON in [[:], ["colour": "red"], ["interface": "private"], "x"] {
      let refused = try await site.call(
        .post, "\(root)/endpoint_groups", ["endpoint_group": ["name": "g", "filters": filters]], token: admin)
      #expect(refused.status == 400, "\(filters)")
    }
  }

  @Test func policyDocumentsAreKeptAsTheyWereGiven() async throws {
    let site = try await Site()
    let admin = try await site.admin()
    let id = try await site.make(
      "policy", "/v3/policies", ["type": "application/json", "blob": "{\"a\": [1]}", "owner": "me"], admin)
    let shown = try await site.call(.get, "/v3/policies/\(id)", token: admin).body["policy"]
    #expect(shown?["blob"]?.string == "{\"a\": [1]}" && shown?["owner"]?.string == "me")
    #expect(try await site.call(.get, "/v3/policies?type=text/plain", token: admin).ids("policies") == [])
    let changed = try await site.call(.patch, "/v3/policies/\(id)", ["policy": ["type": "text/plain"]], token: admin)
    #expect(changed.body["policy"]?["type"]?.string == "text/plain")
    #expect(try await site.call(.delete, "/v3/policies/\(id)", token: admin).status == 204)
    #expect(try await site.call(.delete, "/v3/policies/\(id)", token: admin).status == 404)
  }
}

@Suite struct LimitTests {
  @Test func aLimitStandsInThePlaceOfTheDefaultForOneProject() async throws {
    let site = try await Site()
    let admin = try await site.admin()
    let (project, _) = try await site.tenant("alpha", admin)
    let (other, _) = try await site.tenant("beta", admin)
    let service = try #require(
      try await site.call(.get, "/v3/services?type=baremetal", token: admin).ids("services").first)
    func create(_ collection: String, _ body: JSON) async throws -> Site.Answer {
      try await site.call(.post, "/v3/\(collection)", .object([collection: [body]]), token: admin)
    }
    func limit(_ number: Int, _ place: (key: String, value: JSON)) -> JSON {
      var body: JSONObject = [
        "service_id": .string(service), "resource_name": "nodes", "resource_limit": .int(number),
      ]
      body[place.key] = place.value
      return .object(body)
    }
    let inAlpha = (key: "project_id", value: JSON.string(project))
    #expect(try await create("limits", limit(3, inAlpha)).status == 403, "there is no registered limit")

    let registered = try await create(
      "registered_limits", ["service_id": .string(service), "resource_name": "nodes", "default_limit": 10])
    #expect(registered.status == 201)
    let id = try #require(registered.ids("registered_limits").first)
    let again = try await create(
      "registered_limits", ["service_id": .string(service), "resource_name": "nodes", "default_limit": 1])
    #expect(again.status == 409)
    let made = try await create("limits", limit(3, inAlpha))
    #expect(made.status == 201 && made.body["limits"]?.array?.first?["resource_limit"]?.int == 3)
    let own = try #require(made.ids("limits").first)
    #expect(try await create("limits", limit(4, inAlpha)).status == 409)
    let domain = try await create("limits", limit(50, (key: "domain_id", value: "default")))
    #expect(domain.body["limits"]?.array?.first?["domain_id"]?.string == "default")
    #expect(try await create("limits", limit(5, (key: "project_id", value: .string(other)))).status == 201)

    // Each project reads its own.
    let token = try await site.token("alpha", scope: Site.inProject("alpha"))
    #expect(try await site.call(.get, "/v3/limits", token: token).ids("limits") == [own])
    #expect(try await site.call(.get, "/v3/limits", token: admin).ids("limits").count == 3)
    #expect(try await site.call(.get, "/v3/limits?project_id=\(project)", token: admin).ids("limits") == [own])
    #expect(try await site.call(.get, "/v3/limits?domain_id=default", token: admin).ids("limits").count == 1)
    #expect(try await site.call(.get, "/v3/registered_limits", token: token).ids("registered_limits") == [id])
    #expect(try await site.call(.get, "/v3/limits/model", token: token).body["model"]?["name"]?.string == "flat")

    let changed = try await site.call(
      .patch, "/v3/limits/\(own)", ["limit": ["resource_limit": 7, "description": "more"]], token: admin)
    #expect(changed.body["limit"]?["resource_limit"]?.int == 7)
    #expect(try await site.call(.delete, "/v3/registered_limits/\(id)", token: admin).status == 403)
    let moved = try await site.call(
      .patch, "/v3/registered_limits/\(id)", ["registered_limit": ["resource_name": "x"]], token: admin)
    #expect(moved.status == 403)
    let raised = try await site.call(
      .patch, "/v3/registered_limits/\(id)", ["registered_limit": ["default_limit": 20]], token: admin)
    #expect(raised.body["registered_limit"]?["default_limit"]?.int == 20)
    #expect(try await site.call(.delete, "/v3/services/\(service)", token: admin).status == 403)

    // They go with the project.
    #expect(try await site.call(.delete, "/v3/projects/\(project)", token: admin).status == 204)
    #expect(try await site.call(.get, "/v3/limits/\(own)", token: admin).status == 404)
  }

  @Test func whatRegisteredLimitsNameStays() async throws {
    let site = try await Site()
    let admin = try await site.admin()
    let service = try await site.call(
      .post, "/v3/services", ["service": ["type": "metering", "name": "m"]], token: admin)
    let id = try #require(service.body["service"]?["id"]?.string)
    for region: JSON in [["id": "outer"], ["id": "inner", "parent_region_id": "outer"]] {
      #expect(try await site.call(.post, "/v3/regions", ["region": region], token: admin).status == 201)
    }
    let made = try await site.call(
      .post, "/v3/registered_limits",
      [
        "registered_limits": [
          ["service_id": .string(id), "region_id": "inner", "resource_name": "meters", "default_limit": 1]
        ]
      ], token: admin)
    let limit = try #require(made.ids("registered_limits").first)

    for region in ["inner", "outer"] {
      #expect(try await site.call(.delete, "/v3/regions/\(region)", token: admin).status == 403)
      #expect(try await site.call(.get, "/v3/regions/\(region)", token: admin).status == 200)
    }
    #expect(try await site.call(.delete, "/v3/services/\(id)", token: admin).status == 409)
    #expect(try await site.call(.get, "/v3/services/\(id)", token: admin).status == 200)

    #expect(try await site.call(.delete, "/v3/registered_limits/\(limit)", token: admin).status == 204)
    #expect(try await site.call(.delete, "/v3/services/\(id)", token: admin).status == 204)
    #expect(try await site.call(.delete, "/v3/regions/outer", token: admin).status == 204)
    #expect(try await site.call(.get, "/v3/regions/inner", token: admin).status == 404)
  }

  @Test func nonsenseIsRefusedAndNothingIsMade() async throws {
    let site = try await Site()
    let admin = try await site.admin()
    let service = try #require(
      try await site.call(.get, "/v3/services?type=baremetal", token: admin).ids("services").first)
    let good: JSONObject = ["service_id": .string(service), "resource_name": "nodes", "default_limit": 10]
    for (key, value) in [
      ("default_limit", -2), ("default_limit", "10"), ("default_limit", 4_294_967_296), ("resource_name", ""),
      ("service_id", "nothing"), ("region_id", "nowhere"), ("colour", "red"), ("default_limit", nil),
    ] as [(String, JSON)] {
      var body = good
      body[key] = value
      let answer = try await site.call(
        .post, "/v3/registered_limits", ["registered_limits": [.object(good), .object(body)]], token: admin)
      #expect(answer.status == 400, "\(key) \(value)")
    }
    for body: JSON in [["registered_limits": []], ["registered_limits": [1]], [:], ["registered_limits": [:]]] {
      #expect(try await site.call(.post, "/v3/registered_limits", body, token: admin).status == 400)
    }
    let list = try await site.call(.get, "/v3/registered_limits", token: admin)
    #expect(list.ids("registered_limits").isEmpty, "all of a request or nothing")
  }
}
