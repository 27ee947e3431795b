import Domain
import DriverInterfaces
import HTTPTypes
import Store
import Testing
import Wire

/// What a node's interfaces are, who chooses them, and what follows from the choice.
@Suite struct InterfaceTests {
  private func fake(_ name: String, _ site: Site, _ more: JSONObject = [:]) async throws -> String {
    var body: JSONObject = ["driver": "fake-hardware", "name": .string(name), "resource_class": "metal"]
    for member in more { body[member.key] = member.value }
    let made = try await site.call(.post, "/v1/nodes", .object(body))
    #expect(made.status == 201, "\(made.text)")
    return made.json["uuid"]?.string ?? ""
  }
  private func put(_ site: Site, _ uuid: String, _ state: ProvisionState, lessee: String? = nil) async throws {
    try await site.database.write { session in
      guard var node = try NodeStore.get(uuid, in: session) else { return }
      node.provisionState = state
      node.lessee = lessee
      node.powerState = .off
      try NodeStore.update(node, in: session)
    }
  }
  private func set(_ site: Site, _ uuid: String, _ field: String, _ value: JSON, as token: String? = nil) async throws
    -> Site.Answer
  {
    try await site.call(
      .patch, "/v1/nodes/\(uuid)", [["op": "add", "path": .string("/\(field)"), "value": value]], as: token)
  }

  @Test func aDriverListsItsInterfacesAndANodeShowsItsOwn() async throws {
    try await withSite { site in
      let driver = try await site.call(.get, "/v1/drivers/fake-hardware").json
      #expect(driver["default_network_interface"] == "noop")
      #expect(driver["enabled_network_interfaces"] == ["noop", "neutron", "flat"])
      #expect(driver["enabled_bios_interfaces"] == ["fake", "no-bios"])
      let node = try await site.call(.get, "/v1/nodes/\(try await fake("f1", site))").json
      for kind in InterfaceKind.allCases {
        #expect(driver["default_\(kind.field)"]?.string != nil)
        #expect(node[kind.field] == driver["default_\(kind.field)"], "\(kind)")
      }
      // Old clients see no more than they know.
      let old = try await site.call(.get, "/v1/drivers/fake-hardware", version: "1.30").json
      #expect(old["default_power_interface"] == "fake" && old["default_bios_interface"] == nil)

      let chosen = try await fake("f2", site, ["bios_interface": "no-bios", "network_interface": "neutron"])
      let shown = try await site.call(.get, "/v1/nodes/\(chosen)").json
      #expect(shown["bios_interface"] == "no-bios" && shown["network_interface"] == "neutron")
      #expect(shown["raid_interface"] == "fake")
      let listed = try await site.call(.get, "/v1/nodes?fields=name,bios_interface,power_interface&sort_key=name").json
      #expect(
        listed["nodes"]?.array?.map { "\($0["bios_interface"]?.string ?? "") \($0["power_interface"]?.string ?? "")" }
          == ["fake fake", "no-bios fake"])
    }
  }

  @Test func aChoiceIsKeptRefusedAndTakenBack() async throws {
    try await withSite { site in
      let uuid = try await fake("f1", site)
      #expect(try await set(site, uuid, "bios_interface", "no-bios").json["bios_interface"] == "no-bios")
      #expect(try await site.call(.get, "/v1/nodes/\(uuid)").json["bios_interface"] == "no-bios")
      let removed = try await site.call(
        .patch, "/v1/nodes/\(uuid)", [["op": "remove", "path": "/bios_interface"]])
      #expect(removed.json["bios_interface"] == "fake")

      for (field, value) in [
        ("bios_interface", "idrac"), ("power_interface", ""), ("network_interface", 5), ("deploy_interface", ["fake"]),
      ] as [(String, JSON)] {
        let refused = try await set(site, uuid, field, value)
        #expect(refused.status == 400 && refused.fault.contains("driver show fake-hardware"), "\(field)")
      }
      #expect(try await set(site, uuid, "colour_interface", "red").status == 400)
      #expect(
        try await site.call(.post, "/v1/nodes", ["driver": "fake-hardware", "bios_interface": "x"]).status == 400)

      // A machine at work keeps what it works with.
      try await put(site, uuid, .active)
      let busy = try await set(site, uuid, "raid_interface", "no-raid")
      #expect(busy.status == 409 && busy.fault.contains("raid_interface"))
      #expect(try await set(site, uuid, "raid_interface", "fake").status == 200)
    }
  }

  @Test func onlyWhoMayMakesADifference() async throws {
    try await withSite { site in
      let uuid = try await fake("f1", site, ["owner": .string(Site.owner)])
      try await put(site, uuid, .available, lessee: Site.lessee)
      let owner = site.token(Site.owner), lessee = site.token(Site.lessee), other = site.token(Site.other)

      #expect(try await set(site, uuid, "bios_interface", "no-bios", as: lessee).status == 403)
      #expect(try await set(site, uuid, "bios_interface", "fake", as: lessee).status == 200)
      #expect(try await set(site, uuid, "bios_interface", "fake", as: other).status == 404)
      #expect(try await set(site, uuid, "bios_interface", "no-bios", as: owner).status == 200)
      // Whether switches follow is the site's to decide.
      #expect(try await set(site, uuid, "network_interface", "neutron", as: owner).status == 403)
      #expect(try await set(site, uuid, "network_interface", "noop", as: owner).status == 200)
      #expect(try await set(site, uuid, "network_interface", "neutron").status == 200)
      #expect(try await site.call(.get, "/v1/nodes/\(uuid)", as: lessee).json["network_interface"] == "neutron")
    }
  }

  @Test func withAnotherDriverComeItsInterfaces() async throws {
    try await withSite { site in
      let uuid = try await fake("f1", site, ["bios_interface": "no-bios", "raid_interface": "fake"])
      let change: JSON = [["op": "replace", "path": "/driver", "value": "world"]]
      let refused = try await site.call(.patch, "/v1/nodes/\(uuid)", change)
      #expect(refused.status == 400 && refused.fault.contains("raid_interface fake is not of driver world"))
      #expect(
        try await site.call(.patch, "/v1/nodes/\(uuid)?reset_interfaces=true", change, version: "1.44").status == 406)
      let other: JSON = [["op": "add", "path": "/description", "value": "x"]]
      #expect(try await site.call(.patch, "/v1/nodes/\(uuid)?reset_interfaces=true", other).status == 400)

      let changed = try await site.call(.patch, "/v1/nodes/\(uuid)?reset_interfaces=true", change)
      #expect(changed.json["driver"] == "world" && changed.json["bios_interface"] == "no-bios")
      #expect(changed.json["raid_interface"] == "no-raid" && changed.json["power_interface"] == "world")
    }
  }

  @Test func switchesFollowOrDoNotAndNeverHalfWay() async throws {
    try await withSite { site in
      let uuid = try await fake("f1", site)
      try await put(site, uuid, .available)
      let place = SwitchPort(switchName: "sw0", port: "n1")
      try await site.database.write { session in
        var port = Port(uuid: Identifier.uuid(), nodeUUID: uuid, address: "52:54:00:00:00:01", createdAt: Site.now())
        port.localLinkConnection = ["switch_info": "sw0", "port_id": "n1"]
        try PortStore.insert(port, in: session)
        try SwitchPortStore.want(.quarantine, on: place, label: nil, at: Site.now(), in: session)
      }
      #expect(try await set(site, uuid, "network_interface", "neutron").status == 200)
      #expect(try await site.database.read { try SwitchPortStore.get(place, in: $0) } != nil)
      // Nobody asks anything of the port any more.
      #expect(try await set(site, uuid, "network_interface", "noop").status == 200)
      #expect(try await site.database.read { try SwitchPortStore.get(place, in: $0) } == nil)

      try await site.database.write { session in
        let network = Network(
          projectID: Site.owner, name: "net", physicalNetwork: "datacentre", vlan: 205, createdAt: Site.now())
        try NetworkStore.insert(network, in: session)
        let vif = NetworkPort(
          id: Identifier.uuid(), networkID: network.id, projectID: Site.owner, name: "vif", createdAt: Site.now())
        try NetworkPortStore.insert(vif, in: session)
        guard var port = try PortStore.list(node: uuid, in: session).first else { return }
        port.vifPortID = vif.id
        try PortStore.update(port, in: session)
      }
      let attached = try await set(site, uuid, "network_interface", "neutron")
      #expect(attached.status == 409 && attached.fault.contains("detach it first"))
    }
  }

  // MARK: What the interfaces can do

  @Test func stepsOfACleaningAreThoseOfTheInterfaces() async throws {
    try await withSite { site in
      let uuid = try await fake("f1", site)
      try await put(site, uuid, .manageable)
      func clean(_ steps: JSON?, target: JSON = "clean") async throws -> Site.Answer {
        var body: JSONObject = ["target": target]
        body["clean_steps"] = steps
        return try await site.call(.put, "/v1/nodes/\(uuid)/states/provision", .object(body))
      }
      let reset: JSON = ["interface": "bios", "step": "factory_reset"]
      for wrong: JSON? in [
        nil, [], "bios.factory_reset", [["step": "factory_reset"]], [["interface": "bios"]],
        [["interface": "colour", "step": "x"]], [["interface": "bios", "step": "factory_reset", "args": [1]]],
        [["interface": "bios", "step": "factory_reset", "command": "rm"]], .array(Array(repeating: reset, count: 51)),
      ] {
        #expect(try await clean(wrong).status == 400, "\(wrong?.description ?? "none")")
      }
      let unknown = try await clean([["interface": "bios", "step": "burn"]])
      #expect(unknown.status == 400 && unknown.fault.contains("bios.factory_reset, raid.delete_configuration"))
      let argument = try await clean([["interface": "bios", "step": "factory_reset", "args": ["x": 1]]])
      #expect(argument.status == 400 && argument.fault.contains("does not take the argument x"))
      #expect(try await clean([reset], target: "provide").status == 400)
      #expect(try await clean([reset], target: "colour").status == 400)

      // Who chose no-bios has no such step.
      #expect(try await set(site, uuid, "bios_interface", "no-bios").status == 200)
      #expect(try await clean([reset]).status == 400)
      #expect(try await set(site, uuid, "bios_interface", "fake").status == 200)
      try await put(site, uuid, .available)
      #expect(try await clean([reset]).status == 400)
      try await put(site, uuid, .manageable)
      #expect(try await site.call(.get, "/v1/nodes/\(uuid)").json["reservation"] == .null)

      #expect(try await clean([reset]).status == 202)
      let node = try await site.call(.get, "/v1/nodes/\(uuid)").json
      #expect(node["provision_state"] == "cleaning" && node["target_provision_state"] == "manageable")
      #expect(try await clean([reset]).status == 409)
    }
  }

  @Test func imagesFromElsewhereAreForHardwareThatReadsNone() async throws {
    try await withSite { site in
      let uuid = try await fake("f1", site)
      let real = try await site.node("n1")
      try await put(site, uuid, .available)
      func deploy(_ node: String, _ info: JSONObject) async throws -> Site.Answer {
        _ = try await set(site, node, "instance_info", .object(info))
        return try await site.call(.put, "/v1/nodes/\(node)/states/provision", ["target": "active"])
      }
      let url: JSON = "http://192.0.2.1/image.raw", sum: JSON = "d41d8cd98f00b204e9800998ecf8427e"
      _ = try await site.call(.post, "/v1/ports", ["node_uuid": .string(real), "address": "52:54:00:00:00:09"])
      let refused = try await deploy(real, ["image_source": url, "image_checksum": sum])
      #expect(refused.status == 400 && refused.fault.contains("image service only"))

      let unsure = try await deploy(uuid, ["image_source": url])
      #expect(unsure.status == 400 && unsure.fault.contains("image_checksum"))
      for wrong: JSON in ["http://", "http:///x", "http://a b/", "file:///etc/passwd", "ftp://h/x", "nowhere"] {
        #expect(try await deploy(uuid, ["image_source": wrong, "image_checksum": sum]).status == 400, "\(wrong)")
      }
      #expect(try await site.call(.get, "/v1/nodes/\(uuid)").json["provision_state"] == "available")
      #expect(try await deploy(uuid, ["image_source": url, "image_checksum": sum]).status == 202)
    }
  }

  @Test func whatAFakeIsToldNotToHaveItRefuses() async throws {
    try await withSite { site in
      let uuid = try await fake(
        "f1", site,
        ["inspect_interface": "no-inspect", "console_interface": "no-console", "rescue_interface": "no-rescue"])
      try await put(site, uuid, .manageable)
      let inspect = try await site.call(.put, "/v1/nodes/\(uuid)/states/provision", ["target": "inspect"])
      #expect(
        inspect.status == 400
          && inspect.fault == "Driver fake-hardware does not support inspect (disabled or not implemented).")
      let console = try await site.call(.put, "/v1/nodes/\(uuid)/states/console", ["enabled": true])
      #expect(console.status == 400 && console.fault.contains("does not support console"))
      let checks = try await site.call(.get, "/v1/nodes/\(uuid)/validate").json
      #expect(checks["inspect"]?["result"] == .null && checks["rescue"]?["result"] == .null)
      #expect(checks["console"]?["result"] == false)
    }
  }

  @Test func aFakeLacksNothing() async throws {
    try await withSite { site in
      let uuid = try await fake("f1", site)
      let checks = try await site.call(.get, "/v1/nodes/\(uuid)/validate").json
      for kind in ["power", "management", "console", "boot", "inspect", "network", "bios", "raid", "rescue"] {
        #expect(checks[kind]?["result"] == true, "\(kind): \(checks[kind]?.description ?? "")")
      }
      // Upstream's needs no image either.
      #expect(checks["deploy"]?["result"] == true)
      let wrong = try await fake("f2", site, ["driver_info": ["fake_power_delay": "slow"]])
      let broken = try await site.call(.get, "/v1/nodes/\(wrong)/validate").json
      #expect(broken["power"]?["result"] == false)
      #expect(broken["power"]?["reason"]?.string?.contains("fake_power_delay") == true)
    }
  }
}
