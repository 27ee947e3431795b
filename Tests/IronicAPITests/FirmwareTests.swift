import Domain
import DriverInterfaces
import HTTPTypes
import Store
import Testing
import Wire

/// BIOS settings and firmware components as the API shows them, and the clean steps that change them.
@Suite struct FirmwareTests {
  private func fake(_ site: Site, _ settings: [String: String] = [:]) async throws -> String {
    let uuid = try await site.node("f1", owner: Site.owner, state: .manageable, driver: "fake-hardware")
    let node = try #require(try await site.database.read { try NodeStore.get(uuid, in: $0) })
    let bios = try #require(try await site.conductor.driver(of: node).bios)
    try await bios.applyBIOSSettings(settings.map { BIOSSetting.Choice($0.key, $0.value) })
    return uuid
  }

  @Test func settingsAreListedOneByOneAndInTheFieldsAskedFor() async throws {
    try await withSite { site in
      let uuid = try await fake(site, ["turbo": "on", "SetupPassword": "hunter2", "numlock": "off"])
      let path = "/v1/nodes/\(uuid)/bios"
      let listed = try await site.call(.get, path)
      #expect(listed.json["bios"]?.array?.map { $0["name"] } == ["SetupPassword", "numlock", "turbo"])
      #expect(
        listed.json["bios"]?.array?[2]["value"] == "on" && listed.json["bios"]?.array?[2]["attribute_type"] == nil)
      #expect(!listed.text.contains("hunter2"))
      #expect(listed.json["bios"]?.array?[2]["links"]?.array?[0]["href"]?.string?.hasSuffix("/bios/turbo") == true)

      let detailed = try await site.call(.get, path + "?detail=true").json["bios"]?.array?[1]
      #expect(detailed?["attribute_type"] == .null && detailed?["allowable_values"] == [])
      let subset = try await site.call(.get, path + "?fields=value,read_only").json["bios"]?.array?[1]
      #expect(subset?["value"] == "off" && subset?["read_only"] == .null && subset?["name"] == nil)
      #expect(try await site.call(.get, path + "?fields=colour").status == 400)
      #expect(try await site.call(.get, path + "?fields=name&detail=true").status == 400)
      #expect(try await site.call(.get, path + "?detail=true", version: "1.73").status == 406)
      #expect(try await site.call(.get, path, version: "1.39").status == 404)

      let one = try await site.call(.get, path + "/turbo").json
      #expect(one["turbo"]?["value"] == "on" && one["turbo"]?["read_only"] == .null)
      #expect(try await site.call(.get, path + "/turbo", version: "1.73").json["turbo"]?["read_only"] == nil)
      let missing = try await site.call(.get, path + "/nothing")
      #expect(missing.status == 404 && missing.fault == "Node \(uuid) doesn't have a BIOS setting 'nothing'")
      #expect(try await site.call(.get, path, as: site.token(Site.other)).status == 404)
      #expect(try await site.call(.get, path, as: site.token(Site.owner, ["reader"])).status == 200)
    }
  }

  @Test func anInterfaceThatDoesNothingShowsNothing() async throws {
    try await withSite { site in
      let uuid = try await fake(site, ["turbo": "on"])
      for (field, value) in [("bios_interface", "no-bios"), ("firmware_interface", "no-firmware")] as [(String, JSON)] {
        let change: JSON = [["op": "add", "path": .string("/\(field)"), "value": value]]
        #expect(try await site.call(.patch, "/v1/nodes/\(uuid)", change).status == 200)
      }
      #expect(try await site.call(.get, "/v1/nodes/\(uuid)/bios").json == ["bios": []])
      #expect(try await site.call(.get, "/v1/nodes/\(uuid)/firmware").json == ["firmware": []])
      let plain = try await site.node("w1")
      #expect(try await site.call(.get, "/v1/nodes/\(plain)/bios").json == ["bios": []])
      #expect(try await site.call(.get, "/v1/nodes/\(plain)/firmware").json == ["firmware": []])
    }
  }

  @Test func firmwareIsWhatTheControllerSaysAndWhatTheNodeCameWith() async throws {
    try await withSite { site in
      let uuid = try await fake(site)
      let change: JSON = [["op": "add", "path": "/driver_info/fake_firmware", "value": ["bios": "2.0", "bmc": "7"]]]
      #expect(try await site.call(.patch, "/v1/nodes/\(uuid)", change).status == 200)
      try await site.database.write { session in
        guard var node = try NodeStore.get(uuid, in: session) else { return }
        node.driverInternalInfo["firmware"] = ["bios": "1.0"]
        try NodeStore.update(node, in: session)
      }
      let shown = try await site.call(.get, "/v1/nodes/\(uuid)/firmware").json["firmware"]
      #expect(
        shown?.array?[0] == [
          "component": "bios", "initial_version": "1.0", "current_version": "2.0", "last_version_flashed": nil,
        ])
      #expect(shown?.array?[1]["initial_version"] == "7")
      #expect(try await site.call(.get, "/v1/nodes/\(uuid)/firmware", version: "1.85").status == 404)
    }
  }

  @Test func stepsThatCannotBeDoneAreRefusedBeforeAnythingBegins() async throws {
    try await withSite { site in
      let uuid = try await fake(site)
      func clean(_ args: JSON, step: JSON = "apply_configuration") async throws -> Site.Answer {
        try await site.call(
          .put, "/v1/nodes/\(uuid)/states/provision",
          ["target": "clean", "clean_steps": [["interface": "bios", "step": step, "args": args]]])
      }
      let many = JSON.array((0...500).map { ["name": .string("s\($0)"), "value": "1"] })
      let long = JSON.string(String(repeating: "x", count: 4097))
      for args in [
        [:], ["settings": []], ["settings": "turbo"], ["settings": [["name": "turbo"]]],
        ["settings": [["name": "", "value": "on"]]], ["settings": [["name": "a", "value": ["b"]]]],
        ["settings": [["name": "a", "value": long]]], ["settings": many],
        ["settings": [["name": "a", "value": "b", "more": 1]]], ["settings": [["name": "a", "value": "b"]], "x": 1],
      ] as [JSON] {
        let refused = try await clean(args)
        #expect(
          refused.status == 400 && refused.fault.contains("apply_configuration"), "\(args.description.prefix(80))")
      }
      #expect(try await clean(["settings": []], step: "factory_reset").status == 400)
      #expect(try await site.call(.get, "/v1/nodes/\(uuid)").json["provision_state"] == "manageable")
      #expect(try await clean(["settings": [["name": "delay", "value": 5]]]).status == 202)
    }
  }
}
