import Domain
import HTTPTypes
import Store
import Testing
import Wire

/// Boot mode and Secure Boot as the API sets and shows them.
@Suite struct BootModeTests {
  private func fields(_ site: Site, _ uuid: String) async throws -> JSON {
    try await site.call(.get, "/v1/nodes/\(uuid)?fields=boot_mode,secure_boot").json
  }

  @Test func theyAreReadWhenANodeIsManagedAndSetAfterwards() async throws {
    try await withSite { site in
      let uuid = try await site.node("f1", owner: Site.owner, driver: "fake-hardware")
      let path = "/v1/nodes/\(uuid)/states"
      #expect(try await fields(site, uuid)["boot_mode"] == .null)

      let mode = try await site.call(.put, path + "/boot_mode", ["target": "bios"])
      #expect(mode.status == 202 && mode.bytes.isEmpty)
      #expect(mode.headers[.location]?.hasSuffix("/v1/nodes/\(uuid)/states") == true)
      let refused = try await site.call(.put, path + "/secure_boot", ["target": true])
      #expect(refused.status == 502 && refused.fault.contains("uefi"))
      #expect(try await site.call(.put, path + "/boot_mode", ["target": "uefi"]).status == 202)
      #expect(try await site.call(.put, path + "/secure_boot", ["target": "true"]).status == 202)

      let states = try await site.call(.get, path).json
      #expect(states["boot_mode"] == "uefi" && states["secure_boot"] == true)
      let node = try await site.call(.get, "/v1/nodes/\(uuid)").json
      #expect(node["boot_mode"] == "uefi" && node["properties"]?["capabilities"] == "boot_mode:uefi")
      let history = try await site.call(.get, "/v1/nodes/\(uuid)/history").json["history"]?.array ?? []
      #expect(history.first?["event"] == "Secure Boot turned on.")
    }
  }

  @Test func notWhileWorkRunsAndNotByStrangers() async throws {
    try await withSite { site in
      let uuid = try await site.node("f1", owner: Site.owner, lessee: Site.lessee, driver: "fake-hardware")
      let path = "/v1/nodes/\(uuid)/states"
      for (name, target) in [("boot_mode", "bios"), ("secure_boot", true)] as [(String, JSON)] {
        let body: JSON = ["target": target]
        #expect(try await site.call(.put, path + "/\(name)", body, version: "1.75").status == 404)
        #expect(try await site.call(.put, path + "/\(name)", body, as: site.token(Site.other)).status == 404)
        #expect(
          try await site.call(.put, path + "/\(name)", body, as: site.token(Site.lessee, ["reader"])).status == 403)
        for odd: JSON in [[:], ["target": .null], ["target": 7], ["target": ["uefi"]], ["target": "UEFI "]] {
          #expect(try await site.call(.put, path + "/\(name)", odd).status == 400, "\(name) \(odd)")
        }
      }
      try await site.database.write { session in
        guard var node = try NodeStore.get(uuid, in: session) else { return }
        node.reservation = Identifier.uuid()
        try NodeStore.update(node, in: session)
      }
      for (name, target) in [("boot_mode", "bios"), ("secure_boot", true)] as [(String, JSON)] {
        #expect(try await site.call(.put, path + "/\(name)", ["target": target]).status == 409)
      }
      #expect(try await fields(site, uuid)["secure_boot"] == .null, "nothing was changed")
    }
  }
}
