import HTTPTypes
import Testing
import Wire

@Suite struct ImagePatchTests {
  /// Tempest and old clients send them.
  @Test func patchesOfTheDraftAreTaken() async throws {
    try await Site.run { site in
      let image = try await site.make("i", ["os_distro": "debian"])
      func patch(_ operations: JSON) async throws -> Site.Answer {
        try await site.call(
          .patch, "/v2/images/\(image.id)", operations, type: "application/openstack-images-v2.0-json-patch")
      }

      let changed = try await patch([
        ["replace": "/name", "value": "new"], ["replace": "/os_hidden", "value": true],
        ["add": "/hw_cpu_cores", "value": "5"], ["remove": "/os_distro"],
      ])

      #expect(changed.status == 200)
      #expect(changed.json["name"] == "new" && changed.json["os_hidden"] == true)
      #expect(changed.json["hw_cpu_cores"] == "5" && changed.json["os_distro"] == nil)
      let refusals: [(JSON, Int)] = [
        ([["add": "/name", "value": "x"]], 409), ([["add": "/hw_cpu_cores", "value": "6"]], 409),
        ([["replace": "/absent", "value": "x"]], 409), ([["remove": "/absent"]], 409), ([["remove": "/name"]], 403),
        ([["replace": "/name"]], 400), ([["add": "/x", "remove": "/y", "value": "z"]], 400), ([["value": "z"]], 400),
        ([["op": "replace", "path": "/name", "value": "x"]], 400), ([1], 400), ([["add": 5, "value": "z"]], 400),
      ]
      for (operations, status) in refusals {
        #expect(try await patch(operations).status == status, "\(operations)")
      }
      #expect(try await site.call(.get, "/v2/images/\(image.id)").json["name"] == "new")
      let other = try await site.call(.patch, "/v2/images/\(image.id)", [], type: "application/json")
      #expect(other.status == 415)
      #expect(other.headers[.init("Accept-Patch") ?? .date]?.contains("v2.0-json-patch") == true)
    }
  }
}
