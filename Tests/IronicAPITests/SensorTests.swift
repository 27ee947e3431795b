import Domain
import HTTPTypes
import Testing
import Wire

/// What a machine's sensors show, through the API.
@Suite struct SensorTests {
  @Test func theOwnerAndTheSiteReadThemAndTheLesseeDoesNot() async throws {
    try await withSite { site in
      let uuid = try await site.node("f1", owner: Site.owner, lessee: Site.lessee, driver: "fake-hardware")
      let path = "/v1/nodes/\(uuid)/sensors"
      let shown = try await site.call(.get, path)
      #expect(shown.status == 200 && shown.json["sensors"]?.object?.keys == ["Fan", "Power", "Temperature"])
      #expect(shown.json["sensors"]?["Temperature"]?["inlet"]?["reading"] == 20)

      #expect(try await site.call(.get, path, as: site.token(Site.owner)).status == 200)
      #expect(try await site.call(.get, path, as: site.token(Site.owner, ["reader"])).status == 200)
      #expect(try await site.call(.get, path, as: site.token(Site.lessee)).status == 403)
      #expect(try await site.call(.get, path, as: site.token(Site.other)).status == 404)

      let plain = try await site.node("w1")
      let refused = try await site.call(.get, "/v1/nodes/\(plain)/sensors")
      #expect(refused.status == 400)
      #expect(refused.fault == "Driver world does not support get_sensors_data (disabled or not implemented).")
    }
  }
}
