import Domain
import Testing
import Wire

@Suite struct FlavorTests {
  @Test func aFlavorIsMadeListedGivenExtraSpecsAndDeleted() async throws {
    try await ComputeSite.run(isRunning: false) { site in
      let body: JSON = ["flavor": ["name": "big", "ram": "2048", "vcpus": 4, "disk": 20, "id": "auto"]]
      #expect(try await site.call(.post, "/v2.1/flavors", body).status == 403)
      let made = try await site.call(.post, "/v2.1/flavors", body, as: "admin")
      #expect(made.status == 200)
      let flavor = made.body["flavor"]
      let id = try #require(flavor?["id"]?.string)
      #expect(flavor?["ram"] == 2048)
      #expect(flavor?["os-flavor-access:is_public"] == true)
      #expect(try await site.call(.post, "/v2.1/flavors", body, as: "admin").status == 409)

      let specs = "/v2.1/flavors/\(id)/os-extra_specs"
      #expect(try await site.call(.post, specs, ["extra_specs": ["a": "1", "b": 2]], as: "admin").status == 200)
      #expect(try await site.call(.get, specs + "/b").body == ["b": "2"])
      #expect(try await site.call(.put, specs + "/a", ["b": "3"], as: "admin").status == 400)
      #expect(try await site.call(.delete, specs + "/a", as: "admin").status == 200)
      #expect(try await site.call(.delete, specs + "/a", as: "admin").status == 404)
      #expect(try await site.call(.get, "/v2.1/flavors/\(id)").body["flavor"]?["extra_specs"] == ["b": "2"])

      let old = try await site.call(.get, "/v2.1/flavors/\(id)", version: "2.1").body["flavor"]
      #expect(old?["swap"] == "" && old?["extra_specs"] == nil && old?["description"] == nil)
      #expect(try await site.call(.delete, "/v2.1/flavors/\(id)", as: "admin").status == 202)
      #expect(try await site.call(.get, "/v2.1/flavors/\(id)").status == 404)
    }
  }

  @Test func aFlavorThatIsNotPublicIsForThoseWhoHaveAccess() async throws {
    try await ComputeSite.run(isRunning: false) { site in
      let body: JSON = [
        "flavor": [
          "name": "secret", "id": "s", "ram": 1, "vcpus": 1, "disk": 1, "os-flavor-access:is_public": false,
        ]
      ]
      #expect(try await site.call(.post, "/v2.1/flavors", body, as: "admin").status == 200)
      #expect(try await site.call(.get, "/v2.1/flavors/s").status == 404)
      let action = "/v2.1/flavors/s/action"
      #expect(
        try await site.call(.post, action, ["addTenantAccess": ["tenant": "alpha"]], as: "admin").status == 200)
      #expect(
        try await site.call(.post, action, ["addTenantAccess": ["tenant": "alpha"]], as: "admin").status == 409)
      #expect(try await site.call(.get, "/v2.1/flavors/s").status == 200)
      let seen = try await site.call(.get, "/v2.1/flavors/detail?is_public=None")
      #expect(seen.body["flavors"]?.array?.count == 2)
      #expect(try await site.call(.get, "/v2.1/flavors/s", as: "bob").status == 404)
      #expect(
        try await site.call(.post, action, ["removeTenantAccess": ["tenant": "alpha"]], as: "admin").status == 200)
      #expect(try await site.call(.get, "/v2.1/flavors/s").status == 404)
    }
  }

  @Test func nonsenseIsRefused() async throws {
    try await ComputeSite.run(isRunning: false) { site in
      let good: JSONObject = ["name": "x", "ram": 1, "vcpus": 1, "disk": 1]
      for (key, value) in [
        ("ram", JSON.int(0)), ("ram", "x"), ("vcpus", -1), ("disk", 1_099_511_627_776), ("name", ""), ("name", "  "),
        ("id", .string(String(repeating: "a", count: 256))), ("surprise", 1), ("swap", "1.5"), ("rxtx_factor", 0),
      ] as [(String, JSON)] {
        var flavor = good
        flavor[key] = value
        let answer = try await site.call(.post, "/v2.1/flavors", ["flavor": .object(flavor)], as: "admin")
        #expect(answer.status == 400, "\(key) = \(value): \(answer.shown)")
        #expect(answer.body["badRequest"]?["code"] == 400)
      }
    }
  }
}
