import Domain
import HTTPTypes
import Store
import Testing
import Wire

@Suite struct TrunkTests {
  private func trunk(_ site: Site, _ parent: JSON, as user: String = "alice", _ more: JSONObject = [:]) async throws
    -> Site.Answer
  {
    var object: JSONObject = ["port_id": parent["id"] ?? .null]
    for member in more { object[member.key] = member.value }
    return try await site.call(.post, "/v2.0/trunks", as: user, ["trunk": .object(object)])
  }
  private func port(_ site: Site, _ name: String, as user: String = "alice") async throws -> JSON {
    try await site.port(try await site.network(name, as: user), as: user).json["port"] ?? .null
  }
  private func change(_ site: Site, _ trunk: JSON, _ verb: String, _ items: JSON, as user: String = "alice")
    async throws -> Site.Answer
  {
    try await site.call(.put, "/v2.0/trunks/\(trunk.id)/\(verb)", as: user, ["sub_ports": items])
  }

  @Test func subportsAreAddedShownAndTakenOut() async throws {
    try await Site.run { site in
      let (parent, first, second) = (
        try await port(site, "a"), try await port(site, "b"), try await port(site, "c")
      )
      let made = try await trunk(
        site, parent,
        ["name": "sw1-Eth1/3", "sub_ports": [["port_id": first["id"] ?? .null, "segmentation_type": "inherit"]]])
      #expect(made.status == 201)
      let trunk = made.json["trunk"] ?? .null
      #expect(trunk["status"] == "DOWN" && trunk["admin_state_up"] == true && trunk["tags"] == [])
      // What is inherited is kept as the VLAN of the subport's network; a string is a number, too.
      #expect(
        trunk["sub_ports"] == [
          ["port_id": .string(first.id), "segmentation_type": "vlan", "segmentation_id": 201]
        ])
      let added = try await change(
        site, trunk, "add_subports",
        [["port_id": .string(second.id), "segmentation_type": "vlan", "segmentation_id": "55"]])
      #expect(added.status == 200)
      #expect(added.json["sub_ports"]?.array?.count == 2)
      #expect(site.retagged.all.last == "\(trunk.id) \(second.id)")

      let shown = try await site.call(.get, "/v2.0/ports/\(parent.id)").json["port"]
      #expect(shown?["trunk_details"]?["trunk_id"]?.string == trunk.id)
      #expect(shown?["trunk_details"]?["sub_ports"]?.array?.last?["mac_address"] == second["mac_address"])
      let sub = try await site.call(.get, "/v2.0/ports/\(second.id)").json["port"]
      #expect(sub?["device_owner"] == "trunk:subport" && sub?["device_id"]?.string == trunk.id)
      #expect(sub?["trunk_details"] == .null)

      let named = try await site.call(.get, "/v2.0/trunks/sw1-Eth1/3")
      #expect(named.status == 404)
      #expect(try await site.call(.get, "/v2.0/trunks?name=sw1-Eth1/3").json.ids("trunks") == [trunk.id])
      let listed = try await site.call(.get, "/v2.0/trunks/\(trunk.id)/get_subports").json["sub_ports"]
      #expect(listed == added.json["sub_ports"])

      let removed = try await change(site, trunk, "remove_subports", [["port_id": .string(first.id)]])
      #expect(removed.json["sub_ports"]?.array?.map { $0["port_id"] } == [second["id"]])
      #expect(removed.json["revision_number"] == 2)
      #expect(
        try await change(site, trunk, "remove_subports", [["port_id": .string(first.id)]]).error == "SubPortNotFound")
      #expect(try await site.call(.delete, "/v2.0/trunks/\(trunk.id)").status == 204)
      let free = try await site.call(.get, "/v2.0/ports/\(second.id)").json["port"]
      #expect(free?["device_owner"] == "" && free?["device_id"] == "")
    }
  }

  @Test func whatATrunkIsMadeOfIsInUse() async throws {
    try await Site.run { site in
      let (parent, sub, other) = (
        try await port(site, "a"), try await port(site, "b"), try await port(site, "c")
      )
      let tagged: JSON = [["port_id": .string(sub.id), "segmentation_type": "vlan", "segmentation_id": 7]]
      let made = try await trunk(site, parent, ["sub_ports": tagged]).json["trunk"] ?? .null

      #expect(try await site.call(.delete, "/v2.0/ports/\(parent.id)").error == "PortInUseAsTrunkParent")
      #expect(try await site.call(.delete, "/v2.0/ports/\(sub.id)").error == "PortInUseAsSubPort")
      #expect(try await trunk(site, parent).error == "ParentPortInUse")
      #expect(try await trunk(site, sub).error == "TrunkPortInUse")
      #expect(try await trunk(site, other, ["sub_ports": tagged]).error == "TrunkPortInUse")
      #expect(
        try await trunk(site, other, ["sub_ports": [["port_id": .string(parent.id), "segmentation_type": "inherit"]]])
          .status == 409)
      // Refused as a whole: the port is in no trunk.
      #expect(try await site.call(.get, "/v2.0/ports/\(other.id)").json["port"]?["trunk_details"] == .null)
      let twice = try await change(
        site, made, "add_subports", [["port_id": .string(other.id), "segmentation_type": "vlan", "segmentation_id": 7]])
      #expect(twice.status == 409 && twice.error == "DuplicateSubPort")
      for wrong: JSON in [
        [["port_id": .string(other.id)]], [["port_id": .string(other.id), "segmentation_type": "vxlan"]],
        [["port_id": .string(other.id), "segmentation_type": "vlan", "segmentation_id": 4095]],
        [["port_id": .string(other.id), "segmentation_type": "vlan", "segmentation_id": 8, "x": 1]], "no list", [[:]],
      ] { #expect(try await change(site, made, "add_subports", wrong).status == 400, "\(wrong)") }

      #expect(try await site.call(.put, "/v2.0/trunks/\(made.id)", ["trunk": ["admin_state_up": false]]).status == 200)
      #expect(
        try await change(site, made, "remove_subports", [["port_id": .string(sub.id)]]).error == "TrunkDisabled")
      try await site.database.write {
        try NetworkPortStore.bind(parent.id, hostID: "n", macAddress: "52:54:00:00:00:01", at: Site.now, in: $0)
      }
      #expect(try await site.call(.delete, "/v2.0/trunks/\(made.id)").error == "TrunkInUse")
    }
  }

  @Test func aTrunkIsItsProjects() async throws {
    try await Site.run { site in
      let (parent, mine) = (try await port(site, "a"), try await port(site, "b"))
      let made = try await trunk(site, parent).json["trunk"] ?? .null
      let foreign = try await port(site, "theirs", as: "bob")

      #expect(try await site.call(.get, "/v2.0/trunks", as: "bob").json["trunks"] == [])
      for (method, path) in [
        (HTTPRequest.Method.get, ""), (.put, ""), (.delete, ""), (.put, "/add_subports"), (.get, "/get_subports"),
      ] {
        let answer = try await site.call(
          method, "/v2.0/trunks/\(made.id)\(path)", as: "bob", ["trunk": [:], "sub_ports": []])
        #expect(answer.status == 404 && answer.error == "TrunkNotFound", "\(method) \(path)")
      }
      #expect(try await trunk(site, mine, as: "bob").error == "PortNotFound")
      #expect(
        try await change(
          site, made, "add_subports", [["port_id": .string(foreign.id), "segmentation_type": "inherit"]]
        ).error == "PortNotFound")
      #expect(try await trunk(site, mine, as: "watcher").status == 403)
      #expect(try await site.call(.delete, "/v2.0/trunks/\(made.id)", as: "watcher").status == 403)
      // A port on somebody's shared network is seen by the network's owner, who may not use it.
      let shared = try await site.network("open")
      _ = try await site.share(shared, with: Site.beta)
      let guest = try await site.port(shared, as: "bob").json["port"] ?? .null
      #expect(try await trunk(site, guest).status == 403)
    }
  }
}
