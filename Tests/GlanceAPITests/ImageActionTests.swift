import Conductor
import DriverInterfaces
import HTTPTypes
import Testing
import Wire

/// Images that are kept back, and what the service tells of itself.
@Suite struct ImageActionTests {
  @Test func aDeactivatedImageIsNeitherGivenOutNorDeployed() async throws {
    try await Site.run { site in
      let image = try await site.make("i", ["visibility": "community"])
      let path = "/v2/images/\(image.id)"
      #expect(try await site.call(.post, path + "/actions/deactivate").status == 403, "it has no content")
      _ = try await site.upload(image, [1, 2, 3])
      #expect(try await site.call(.post, path + "/actions/deactivate", as: "bob").status == 403)
      #expect(try await site.call(.post, path + "/actions/deactivate", as: "watcher").status == 403)

      for _ in 0..<2 { #expect(try await site.call(.post, path + "/actions/deactivate").status == 204) }

      #expect(try await site.call(.get, path).json["status"] == "deactivated")
      #expect(try await site.list("?status=deactivated") == [image.id])
      for user in ["alice", "bob"] {
        let refused = try await site.call(.get, path + "/file", as: user)
        #expect(refused.status == 403)
        #expect(refused.message.contains("deactivated"))
      }
      #expect(try await site.call(.get, path + "/file", as: "admin").bytes == [1, 2, 3])
      await #expect(
        performing: { try await site.cache.ensureRaw(imageID: image.id) }, throws: { "\($0)".contains("deactivated") })
      #expect(try await site.upload(image, [1]).status == 409)
      // A restart does not take it for something left over.
      try await site.folder.prepare(site.database)
      #expect(try await site.cache.orphans() == [])

      for _ in 0..<2 { #expect(try await site.call(.post, path + "/actions/reactivate").status == 204) }
      #expect(try await site.call(.get, path).json["status"] == "active")
      #expect(try await site.call(.get, path + "/file", as: "bob").bytes == [1, 2, 3])
    }
  }

  @Test func theServiceTellsWhatItOffers() async throws {
    try await Site.run { site in
      #expect(
        try await site.call(.get, "/v2/info/import").json["import-methods"]?["value"] == ["glance-direct"])
      let stores = try await site.call(.get, "/v2/info/stores")
      #expect(stores.status == 404)
      #expect(stores.message == "Multi backend is not supported at this site.")
      for name in ["task", "tasks"] {
        #expect(try await site.call(.get, "/v2/schemas/\(name)").json["name"] == .string(name))
      }
      let versions = try await site.call(.get, "", as: nil).json["versions"]?.array ?? []
      #expect(versions.first?["id"] == "v2.12")
      #expect(versions.filter { $0["status"] == "CURRENT" }.count == 1)
      #expect(versions.contains { $0["id"] == "v2.7" })
      let usage = try await site.call(.get, "/v2/info/usage").json["usage"]
      #expect(usage?["image_count_uploading"] == ["usage": 0, "limit": 8])
    }
  }

  @Test func theServicesOwnNamesAreNobodys() async throws {
    try await Site.run { site in
      let image = try await site.make("i")
      let refused = try await site.patch(image, [["op": "add", "path": "/os_glance_import_task", "value": "x"]])
      #expect(refused.status == 403)
      #expect(refused.message.contains("reserved"))
      #expect(try await site.call(.post, "/v2/images", ["os_glance_x": "y"]).status == 403)
    }
  }
}
