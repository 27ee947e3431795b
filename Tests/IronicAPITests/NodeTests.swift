import APISupport
import Domain
import HTTPTypes
import Testing
import Wire

@Suite struct NodeTests {
  @Test func versionDocumentNeedsNoTokenAndNamesTheRange() async throws {
    try await withSite { site in
      for path in ["", "/"] {
        let answer = try await site.call(.get, path, as: "nobody", version: "9.9")
        #expect(answer.status == 200)
        #expect(answer.json["default_version"]?["version"] == "1.88")
        #expect(answer.json["versions"]?.array?.first?["min_version"] == "1.1")
      }
      #expect(try await site.call(.get, "/v1/", as: "nobody").json["id"] == "v1")
    }
  }

  @Test func aVersionThatIsNotSpokenIsRefusedWithTheRange() async throws {
    try await withSite { site in
      let answer = try await site.call(.get, "/v1/nodes", version: "1.115")
      #expect(answer.status == 406)
      #expect(answer.headers[HTTPField.Name(known: "X-OpenStack-Ironic-API-Maximum-Version")] == "1.88")
      #expect(answer.fault.contains("[1.1, 1.88]"))
      #expect(try await site.call(.get, "/v1/nodes", version: "latest").status == 200)
      let spoken = try await site.call(
        .get, "/v1/nodes", version: nil,
        headers: [HTTPField.Name(known: "OpenStack-API-Version"): "compute 2.1, baremetal 1.69"])
      #expect(spoken.headers[HTTPField.Name(known: "OpenStack-API-Version")] == "baremetal 1.69")
    }
  }

  @Test func aNodeIsMadeShownAndForgotten() async throws {
    try await withSite { site in
      let made = try await site.call(
        .post, "/v1/nodes",
        [
          "driver": "world", "name": "n1", "driver_info": ["address": "n1", "password": "hunter2"],
          "properties": ["cpus": "8"],
        ])
      #expect(made.status == 201)
      let uuid = made.json["uuid"]?.string ?? ""
      #expect(made.headers[.location]?.hasSuffix("/baremetal/v1/nodes/\(uuid)") == true)
      #expect(made.json["provision_state"] == "enroll")
      #expect(made.json["driver_info"]?["password"] == "******")

      let shown = try await site.call(.get, "/v1/nodes/n1", version: "1.69")
      #expect(shown.json["uuid"]?.string == uuid)
      #expect(shown.json["power_interface"] == "world")
      #expect(shown.json["boot_mode"] == nil)
      #expect(try await site.call(.get, "/v1/nodes/n1", version: nil).json["owner"] == nil)
      let few = try await site.call(.get, "/v1/nodes/\(uuid)?fields=uuid,name").json
      #expect(few.object?.keys == ["uuid", "name", "links"])
      #expect(try await site.call(.get, "/v1/nodes/\(uuid)?fields=nonsense").status == 400)
      #expect(try await site.call(.get, "/v1/nodes/\(uuid)?fields=owner", version: "1.10").status == 406)

      #expect(try await site.call(.post, "/v1/nodes", ["driver": "world", "name": "n1"]).status == 409)
      #expect(try await site.call(.post, "/v1/nodes", ["driver": "no-such"]).status == 400)
      #expect(try await site.call(.delete, "/v1/nodes/n1").status == 204)
      let gone = try await site.call(.get, "/v1/nodes/n1")
      #expect(gone.status == 404)
      #expect(gone.fault == "Node n1 could not be found.")
    }
  }

  @Test func abuse27_whatTheServerKeepsCannotBeSetByBody() async throws {
    try await withSite { site in
      for field in ["reservation", "provision_state", "power_state", "lease_uuid", "allocation_uuid", "created_at"] {
        let made = try await site.call(.post, "/v1/nodes", ["driver": "world", field: "x"])
        #expect(made.status == 400, "\(field)")
      }
      let uuid = try await site.node("n1")
      for field in ["uuid", "reservation", "provision_state", "power_state", "created_at", "traits"] {
        let patched = try await site.call(
          .patch, "/v1/nodes/\(uuid)", [["op": "add", "path": .string("/\(field)"), "value": "x"]])
        #expect(patched.status == 400, "\(field)")
      }
      #expect(
        try await site.call(
          .patch, "/v1/nodes/\(uuid)", [["op": "add", "path": "/properties/lease_uuid", "value": "x"]]
        ).status == 400)
    }
  }

  @Test func abuse34_aMaskWrittenBackKeepsTheSecret() async throws {
    try await withSite { site in
      let uuid = try await site.node("n1")
      let answer = try await site.call(
        .patch, "/v1/nodes/\(uuid)",
        [["op": "replace", "path": "/driver_info", "value": ["address": "n2", "password": "******"]]])
      #expect(answer.status == 200)
      #expect(answer.json["driver_info"] == ["address": "n2", "password": "******"])
      let clear = try await site.clearDriverInfo(uuid)
      #expect(clear["password"] == "hunter2")
      #expect(clear["address"] == "n2")
    }
  }

  @Test func abuse33_noSecretIsInAnyAnswer() async throws {
    try await withSite { site in
      let uuid = try await site.node("n1")
      _ = try await site.call(
        .patch, "/v1/nodes/\(uuid)",
        [
          ["op": "add", "path": "/instance_info/configdrive", "value": "U0VDUkVU"],
          ["op": "add", "path": "/instance_info/a", "value": ["admin_password": "S3cr"]],
        ])
      for path in ["/v1/nodes/\(uuid)", "/v1/nodes/detail", "/v1/nodes?fields=driver_info,instance_info"] {
        let text = try await site.call(.get, path).text
        #expect(!text.contains("hunter2") && !text.contains("U0VDUkVU") && !text.contains("S3cr"), "\(path)")
        #expect(text.contains("******"))
      }
    }
  }

  @Test func aPatchChangesRemovesAndEscapes() async throws {
    try await withSite { site in
      let uuid = try await site.node("n1")
      let set = try await site.call(
        .patch, "/v1/nodes/\(uuid)",
        [
          ["op": "add", "path": "/description", "value": "rack 7"],
          ["op": "add", "path": "/extra/osac~1labels", "value": "x"],
          ["op": "add", "path": "/properties/capabilities", "value": "boot_mode:uefi"],
          ["op": "add", "path": "/network_data", "value": [:]],
        ])
      #expect(set.json["description"] == "rack 7")
      #expect(set.json["extra"] == ["osac/labels": "x"])
      let unset = try await site.call(
        .patch, "/v1/nodes/\(uuid)",
        [
          ["op": "remove", "path": "/description"], ["op": "remove", "path": "/extra/osac~1labels"],
          ["op": "remove", "path": "/chassis_uuid"],
        ])
      #expect(unset.status == 200)
      #expect(unset.json["description"] == .null)
      #expect(unset.json["extra"] == [:])
      let large = try await site.call(
        .patch, "/v1/nodes/\(uuid)",
        [["op": "add", "path": "/extra/x", "value": .string(String(repeating: "x", count: 70_000))]])
      #expect(large.status == 400)
      #expect(
        try await site.call(.patch, "/v1/nodes/\(uuid)", [["op": "add", "path": "/bios_interface", "value": "fake"]])
          .status == 400)
      #expect(
        try await site.call(
          .patch, "/v1/nodes/\(uuid)", [["op": "add", "path": "/network_interface", "value": "noop"]]
        ).status == 200)
    }
  }

  @Test func listsFilterSortAndPage() async throws {
    try await withSite { site in
      var uuids: [String] = []
      for index in 0..<5 {
        uuids.append(
          try await site.node(
            "n\(index)", owner: index < 2 ? Site.owner : nil, state: index == 4 ? .manageable : .available))
      }
      func names(_ query: String) async throws -> [String] {
        try await site.call(.get, "/v1/nodes/?\(query)").json["nodes"]?.array?.compactMap { $0["name"]?.string } ?? [
          "none"
        ]
      }
      #expect(try await names("owner=\(Site.owner)") == ["n0", "n1"])
      #expect(try await names("provision_state=manageable") == ["n4"])
      #expect(try await names("sort_key=name&sort_dir=desc&limit=2") == ["n4", "n3"])
      #expect(try await names("maintenance=True") == [])
      #expect(try await names("associated=false&resource_class=metal&driver=world") == ["n0", "n1", "n2", "n3", "n4"])
      #expect(try await names("resource_class=%27%20OR%201=1--") == [])
      #expect(try await site.call(.get, "/v1/nodes?nonsense=1").status == 400)
      #expect(try await site.call(.get, "/v1/nodes?sort_key=driver_info").status == 400)
      #expect(try await site.call(.get, "/v1/nodes?provision_state=nonsense").status == 400)

      var seen: [String] = []
      var next: String? = "/v1/nodes?limit=2&sort_key=name"
      while let path = next {
        let page = try await site.call(.get, path).json
        seen += page["nodes"]?.array?.compactMap { $0["name"]?.string } ?? []
        next = page["next"]?.string.map {
          String($0.drop { $0 != "/" }.dropFirst(2).drop { $0 != "/" }.dropFirst("/baremetal".count))
        }
      }
      #expect(seen == ["n0", "n1", "n2", "n3", "n4"])
      let row = try await site.call(.get, "/v1/nodes?limit=1").json["nodes"]?.array?.first?.object?.keys
      #expect(
        Set(row ?? []) == ["uuid", "name", "instance_uuid", "maintenance", "power_state", "provision_state", "links"])
      #expect(try await site.call(.get, "/v1/nodes?marker=\(Identifier.uuid())").status == 404)
    }
  }

  @Test func statesPowerAndProvisionRefuseWhatTheStateDoesNotAllow() async throws {
    try await withSite { site in
      let uuid = try await site.node("n1", state: .enroll)
      _ = try await site.call(.post, "/v1/ports", ["node_uuid": .string(uuid), "address": "52:54:00:aa:00:01"])
      let early = try await site.call(.put, "/v1/nodes/\(uuid)/states/provision", ["target": "provide"])
      #expect(early.status == 400)
      #expect(early.fault.contains("can not be performed"))
      #expect(try await site.call(.put, "/v1/nodes/\(uuid)/states/provision", ["target": "nonsense"]).status == 400)
      #expect(
        try await site.call(
          .put, "/v1/nodes/\(uuid)/states/provision", ["target": "clean", "clean_steps": [["step": "x"]]]
        ).status == 400)
      #expect(
        try await site.call(
          .put, "/v1/nodes/\(uuid)/states/provision", ["target": "active", "configdrive": "http://x/y"]
        ).status == 400)
      #expect(try await site.call(.put, "/v1/nodes/\(uuid)/states/power", ["target": "sideways"]).status == 400)
      let accepted = try await site.call(
        .put, "/v1/nodes/\(uuid)/states/power", ["target": "power on", "timeout": "60"])
      #expect(accepted.status == 202)
      #expect(accepted.bytes.isEmpty)
      #expect(accepted.headers[.contentType] == nil)
      let states = try await site.call(.get, "/v1/nodes/\(uuid)/states").json
      #expect(states["target_power_state"] == "power on")
      let locked = try await site.call(.put, "/v1/nodes/\(uuid)/states/power", ["target": "power off"])
      #expect(locked.status == 409)
      #expect(locked.fault.contains("is locked"))
    }
  }

  @Test func maintenanceBootDeviceTraitsAndHistory() async throws {
    try await withSite { site in
      let uuid = try await site.node("n1")
      #expect(try await site.call(.put, "/v1/nodes/\(uuid)/maintenance", ["reason": "disk swap"]).status == 202)
      #expect(try await site.call(.get, "/v1/nodes/\(uuid)").json["maintenance_reason"] == "disk swap")
      #expect(try await site.call(.delete, "/v1/nodes/\(uuid)/maintenance").status == 202)
      #expect(
        try await site.call(
          .put, "/v1/nodes/\(uuid)/management/boot_device", ["boot_device": "pxe", "persistent": true]
        ).status == 204)
      #expect(try await site.call(.get, "/v1/nodes/\(uuid)/management/boot_device").json["boot_device"] == "pxe")
      #expect(
        try await site.call(.put, "/v1/nodes/\(uuid)/management/boot_device", ["boot_device": "floppy"]).status == 400)
      #expect(
        try await site.call(.get, "/v1/nodes/\(uuid)/management/boot_device/supported").json == [
          "supported_boot_devices": ["pxe", "disk"]
        ])
      #expect(try await site.call(.put, "/v1/nodes/\(uuid)/traits/CUSTOM_GPU").status == 204)
      #expect(try await site.call(.put, "/v1/nodes/\(uuid)/traits/not-a-trait").status == 400)
      #expect(try await site.call(.get, "/v1/nodes/\(uuid)/traits").json == ["traits": ["CUSTOM_GPU"]])
      #expect(try await site.call(.delete, "/v1/nodes/\(uuid)/traits/CUSTOM_GPU").status == 204)
      #expect(try await site.call(.delete, "/v1/nodes/\(uuid)/traits/CUSTOM_GPU").status == 404)
      #expect(try await site.call(.get, "/v1/nodes/\(uuid)/history").json["history"]?.array?.isEmpty == false)
      #expect(try await site.call(.get, "/v1/nodes/\(uuid)/inventory").status == 404)
      #expect(try await site.call(.get, "/v1/nodes/\(uuid)/vifs").json == ["vifs": []])
      #expect(try await site.call(.get, "/v1/nodes/\(uuid)/validate").json["power"]?["result"] == true)
      for path in [
        "/v1/portgroups", "/v1/chassis", "/v1/volume/connectors?node=\(uuid)", "/v1/volume/targets",
        "/v1/deploy_templates",
      ] {
        #expect(try await site.call(.get, path).status == 200, "\(path)")
      }
      #expect(try await site.call(.get, "/v1/chassis/x").status == 404)
      #expect(try await site.call(.get, "/v1/drivers").json["drivers"]?.array?.first?["name"] == "world")
      #expect(try await site.call(.get, "/v1/drivers/world/properties").json["password"] != nil)
      #expect(try await site.call(.get, "/v1/conductors").json["conductors"]?.array?.first?["alive"] == true)
    }
  }
}
