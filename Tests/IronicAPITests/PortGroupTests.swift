import Domain
import HTTPTypes
import Store
import Testing
import Wire

@Suite struct PortGroupTests {
  private func group(_ site: Site, _ body: JSONObject) async throws -> String {
    let made = try await site.call(.post, "/v1/portgroups", .object(body))
    #expect(made.status == 201, "\(made.text)")
    return made.json["uuid"]?.string ?? ""
  }
  private func port(_ site: Site, _ node: String, _ address: String, _ more: JSONObject = [:]) async throws
    -> Site.Answer
  {
    var body: JSONObject = ["node_uuid": .string(node), "address": .string(address)]
    for member in more { body[member.key] = member.value }
    return try await site.call(.post, "/v1/ports", .object(body))
  }

  @Test func aPortGroupIsMadeShownChangedAndRemoved() async throws {
    try await withSite { site in
      let node = try await site.node("n1")
      let made = try await site.call(
        .post, "/v1/portgroups",
        ["node_uuid": .string(node), "name": "bond", "address": "52-54-00-AA-00-01", "extra": ["a": 1]])
      #expect(made.status == 201)
      #expect(made.json["mode"]?.string == "active-backup")
      #expect(made.json["standalone_ports_supported"] == true)
      #expect(made.json["address"]?.string == "52:54:00:aa:00:01")
      #expect(made.json["properties"] == [:] && made.json["internal_info"] == [:])
      let uuid = made.json["uuid"]?.string ?? ""
      #expect(made.headers[.location]?.hasSuffix("/baremetal/v1/portgroups/\(uuid)") == true)
      #expect(made.json["ports"]?.array?.first?["href"]?.string?.hasSuffix("/v1/portgroups/\(uuid)/ports") == true)

      let changed = try await site.call(
        .patch, "/v1/portgroups/bond",
        [
          ["op": "replace", "path": "/mode", "value": "802.3ad"],
          ["op": "add", "path": "/properties/miimon", "value": "100"], ["op": "remove", "path": "/extra/a"],
          ["op": "remove", "path": "/name"], ["op": "add", "path": "/extra/x~1y~0z", "value": true],
        ])
      #expect(changed.status == 200)
      #expect(changed.json["mode"]?.string == "802.3ad" && changed.json["name"] == .null)
      #expect(changed.json["properties"] == ["miimon": "100"] && changed.json["extra"] == ["x/y~z": true])
      #expect(changed.json["updated_at"]?.string != nil)
      #expect(try await site.call(.get, "/v1/portgroups/\(uuid)").json == changed.json)

      #expect(try await site.call(.delete, "/v1/portgroups/\(uuid)").status == 204)
      let gone = try await site.call(.get, "/v1/portgroups/\(uuid)")
      #expect(gone.status == 404 && gone.fault == "Portgroup \(uuid) could not be found.")
    }
  }

  @Test func listsAreShortUnlessAskedAndFilterSortAndPage() async throws {
    try await withSite { site in
      let node = try await site.node("n1"), other = try await site.node("n2")
      var groups: [String] = []
      for name in ["b", "a", "c"] {
        groups.append(try await group(site, ["node_uuid": .string(node), "name": .string(name)]))
      }
      let far = try await group(site, ["node_uuid": .string(other), "address": "52:54:00:aa:00:09"])

      let list = try await site.call(.get, "/v1/portgroups?node=n1").json["portgroups"]?.array ?? []
      #expect(list.map { $0["uuid"]?.string ?? "" } == groups)
      #expect(list.first?.object?.keys.sorted() == ["address", "links", "name", "uuid"])
      for path in [
        "/v1/portgroups/detail", "/v1/portgroups?detail=true", "/v1/nodes/n2/portgroups/detail",
        "/v1/portgroups/detail?address=52:54:00:AA:00:09",
      ] {
        let last = try await site.call(.get, path).json["portgroups"]?.array?.last
        #expect(last?["uuid"]?.string == far && last?["mode"]?.string == "active-backup", "\(path)")
      }
      let byNode = try await site.call(.get, "/v1/nodes/n1/portgroups?fields=name").json["portgroups"]?.array ?? []
      #expect(byNode.map { $0["name"]?.string } == ["b", "a", "c"] && byNode.first?["uuid"] == nil)

      var names: [String] = []
      var path = "/v1/portgroups?sort_key=name&limit=2&node=\(node)"
      for _ in 0..<3 {
        let page = try await site.call(.get, path).json
        names += page["portgroups"]?.array?.compactMap { $0["name"]?.string } ?? []
        guard let next = page["next"]?.string, let at = next.range(of: "/v1/") else { break }
        path = String(next[at.lowerBound...])
      }
      #expect(names == ["a", "b", "c"])
      let descending = try await site.call(.get, "/v1/portgroups?sort_key=name&sort_dir=desc&limit=1").json
      #expect(descending["portgroups"]?.array?.first?["name"]?.string == "c")
      #expect(try await site.call(.get, "/v1/portgroups?sort_key=extra").status == 400)
      #expect(try await site.call(.get, "/v1/portgroups?fields=nonsense").status == 400)
      #expect(try await site.call(.get, "/v1/portgroups?detail=true&fields=uuid").status == 400)
      #expect(try await site.call(.get, "/v1/portgroups?marker=\(Identifier.uuid())").status == 404)
      #expect(try await site.call(.get, "/v1/portgroups?node=nowhere").status == 404)
      #expect(try await site.call(.get, "/v1/portgroups?address=zz").status == 400)
      #expect(try await site.call(.get, "/v1/portgroups?colour=red").status == 400)
    }
  }

  @Test func portsJoinAGroupOfTheirNode() async throws {
    try await withSite { site in
      let node = try await site.node("n1"), other = try await site.node("n2")
      let bond = try await group(site, ["node_uuid": .string(node), "name": "bond"])
      let foreign = try await group(site, ["node_uuid": .string(other)])
      let made = try await port(site, node, "52:54:00:aa:00:01", ["portgroup_uuid": .string(bond)])
      #expect(made.status == 201 && made.json["portgroup_uuid"]?.string == bond && made.json["pxe_enabled"] == true)
      let uuid = made.json["uuid"]?.string ?? ""
      for path in ["/v1/portgroups/bond/ports", "/v1/ports?portgroup=\(bond)", "/v1/portgroups/bond/ports/detail"] {
        let ports = try await site.call(.get, path).json["ports"]?.array ?? []
        #expect(ports.map { $0["uuid"]?.string } == [uuid], "\(path)")
      }
      #expect(try await site.call(.get, "/v1/ports?portgroup=\(foreign)").json["ports"] == [])
      #expect(try await site.call(.get, "/v1/portgroups/bond/ports?portgroup=\(foreign)").json["ports"] == [])

      let astray = try await port(site, node, "52:54:00:aa:00:02", ["portgroup_uuid": .string(foreign)])
      #expect(astray.status == 400 && astray.fault.contains("could not be found on node"))
      let full = try await site.call(.delete, "/v1/portgroups/bond")
      #expect(full.status == 400 && full.fault.hasSuffix("contains ports."))
      let moved = try await site.call(
        .patch, "/v1/portgroups/bond", [["op": "replace", "path": "/node_uuid", "value": .string(other)]])
      #expect(moved.status == 400 && moved.fault.contains("there are ports associated"))
      let left = try await site.call(.patch, "/v1/ports/\(uuid)", [["op": "remove", "path": "/portgroup_uuid"]])
      #expect(left.status == 200 && left.json["portgroup_uuid"] == .null)
      let empty = try await site.call(
        .patch, "/v1/portgroups/bond", [["op": "replace", "path": "/node_uuid", "value": .string(other)]])
      #expect(empty.status == 200 && empty.json["node_uuid"]?.string == other)
      // A node goes with its ports and their groups.
      _ = try await port(site, other, "52:54:00:aa:00:03", ["portgroup_uuid": .string(bond)])
      #expect(try await site.call(.delete, "/v1/nodes/n2").status == 204)
      #expect(try await site.call(.get, "/v1/portgroups/\(bond)").status == 404)
      #expect(try await site.call(.get, "/v1/ports?address=52:54:00:aa:00:03").json["ports"] == [])
    }
  }

  @Test func aBondThatWorksWholeTakesNoPortThatIsUsedAlone() async throws {
    try await withSite { site in
      let node = try await site.node("n1")
      let bond = try await group(site, ["node_uuid": .string(node), "standalone_ports_supported": false])
      let member: JSONObject = ["portgroup_uuid": .string(bond), "physical_network": "datacentre"]
      let made = try await port(site, node, "52:54:00:aa:00:01", member)
      #expect(made.status == 201 && made.json["pxe_enabled"] == false)
      var insisting = member
      insisting["pxe_enabled"] = true
      let refused = try await port(site, node, "52:54:00:aa:00:02", insisting)
      #expect(refused.status == 409 && refused.fault.contains("doesn't support standalone ports"))
      let uuid = made.json["uuid"]?.string ?? ""
      let later = try await site.call(
        .patch, "/v1/ports/\(uuid)", [["op": "replace", "path": "/pxe_enabled", "value": true]])
      #expect(later.status == 409)
      let elsewhere = try await port(
        site, node, "52:54:00:aa:00:03", ["portgroup_uuid": .string(bond), "physical_network": "other"])
      #expect(elsewhere.status == 409 && elsewhere.fault.contains("physical network"))

      let loose = try await group(site, ["node_uuid": .string(node)])
      _ = try await port(site, node, "52:54:00:aa:00:04", ["portgroup_uuid": .string(loose)])
      let tightened = try await site.call(
        .patch, "/v1/portgroups/\(loose)",
        [["op": "replace", "path": "/standalone_ports_supported", "value": "false"]])
      #expect(tightened.status == 409 && tightened.fault.contains("'pxe_enabled' was set to True"))
      #expect(try await site.call(.get, "/v1/portgroups/\(loose)").json["standalone_ports_supported"] == true)
    }
  }

  @Test func wrongInputIsRefusedAndChangesNothing() async throws {
    try await withSite { site in
      let node = try await site.node("n1")
      let known = try await group(
        site, ["node_uuid": .string(node), "name": "bond", "address": "52:54:00:aa:00:01"])
      let before = try await site.call(.get, "/v1/portgroups/detail").json
      let bodies: [(JSON, Int)] = [
        ([:], 400), (["node_uuid": "n1"], 400), (["node_uuid": .string(Identifier.uuid())], 400),
        (["node_uuid": .string(node), "colour": "red"], 400), (["node_uuid": .string(node), "address": "zz"], 400),
        (["node_uuid": .string(node), "address": 5], 400), (["node_uuid": .string(node), "mode": ["a"]], 400),
        (["node_uuid": .string(node), "name": "a b"], 400), (["node_uuid": .string(node), "properties": []], 400),
        (["node_uuid": .string(node), "standalone_ports_supported": "perhaps"], 400),
        (["node_uuid": .string(node), "uuid": "x"], 400), (["node_uuid": .string(node), "extra": "x"], 400),
        (["node_uuid": .string(node), "name": "bond"], 409),
        (["node_uuid": .string(node), "address": "52:54:00:AA:00:01"], 409),
        (["node_uuid": .string(node), "uuid": .string(known)], 409), ([], 400), ("x", 400),
      ]
      for (body, status) in bodies {
        let answer = try await site.call(.post, "/v1/portgroups", body)
        #expect(answer.status == status && !answer.fault.isEmpty, "\(body): \(answer.text)")
      }
      let patches: [JSON] = [
        [["op": "replace", "path": "/uuid", "value": "x"]], [["op": "remove", "path": "/mode"]],
        [["op": "replace", "path": "/mode", "value": ""]], [["op": "remove", "path": "/extra/none"]],
        [["op": "replace", "path": "/internal_info", "value": [:]]], [["op": "remove", "path": "/node_uuid"]],
        [["op": "replace", "path": "/node_uuid", "value": .string(Identifier.uuid())]],
        [["op": "replace", "path": "/address", "value": "x"]], [["op": "move", "path": "/name", "from": "/mode"]],
        [
          ["op": "replace", "path": "/mode", "value": "802.3ad"],
          ["op": "replace", "path": "/address", "value": "x"],
        ],
        [["op": "add", "path": "/properties/a/b", "value": 1]], "x", [1], [["op": "add"]],
      ]
      for patch in patches {
        let answer = try await site.call(.patch, "/v1/portgroups/bond", patch)
        #expect(answer.status == 400 && !answer.fault.isEmpty, "\(patch): \(answer.text)")
      }
      #expect(try await site.call(.get, "/v1/portgroups/a%20b").status == 400)
      #expect(try await site.call(.get, "/v1/portgroups/detail").json == before)
    }
  }

  @Test func olderVersionsDoNotKnowThem() async throws {
    try await withSite { site in
      let node = try await site.node("n1")
      let bond = try await group(site, ["node_uuid": .string(node), "name": "bond"])
      for (method, path) in [
        (HTTPRequest.Method.get, "/v1/portgroups"), (.get, "/v1/portgroups/detail"), (.post, "/v1/portgroups"),
        (.get, "/v1/portgroups/bond"), (.patch, "/v1/portgroups/bond"), (.delete, "/v1/portgroups/bond"),
      ] {
        #expect(try await site.call(method, path, [:], version: "1.22").status == 404, "\(method) \(path)")
      }
      for path in ["/v1/nodes/n1/portgroups", "/v1/portgroups/bond/ports"] {
        #expect(try await site.call(.get, path, version: "1.23").status == 404, "\(path)")
      }
      let old = try await site.call(.get, "/v1/portgroups/\(bond)", version: "1.25").json
      #expect(old["mode"] == nil && old["properties"] == nil && old["standalone_ports_supported"] == true)
      let body: JSON = ["node_uuid": .string(node), "mode": "802.3ad"]
      #expect(try await site.call(.post, "/v1/portgroups", body, version: "1.25").status == 406)
      #expect(try await site.call(.get, "/v1/portgroups?fields=mode", version: "1.25").status == 406)
      #expect(try await site.call(.get, "/v1/portgroups?detail=true", version: "1.42").status == 400)
      #expect(try await site.call(.get, "/v1/ports?portgroup=bond", version: "1.23").status == 406)
      let port = try await port(site, node, "52:54:00:aa:00:01", ["portgroup_uuid": .string(bond)])
      let uuid = port.json["uuid"]?.string ?? ""
      #expect(try await site.call(.get, "/v1/ports/\(uuid)", version: "1.23").json["portgroup_uuid"] == nil)
    }
  }

  @Test func ownersAndLesseesSeeTheirsAndTheAdministratorWires() async throws {
    try await withSite { site in
      let node = try await site.node("n1", owner: Site.owner, lessee: Site.lessee)
      let foreign = try await site.node("n2", owner: Site.other)
      let mine = try await group(site, ["node_uuid": .string(node), "name": "mine"])
      let hidden = try await group(site, ["node_uuid": .string(foreign), "name": "hidden"])
      for project in [Site.owner, Site.lessee] {
        let token = site.token(project)
        let list = try await site.call(.get, "/v1/portgroups", as: token).json["portgroups"]?.array ?? []
        #expect(list.map { $0["uuid"]?.string } == [mine])
        for ident in [hidden, "hidden", Identifier.uuid()] {
          #expect(try await site.call(.get, "/v1/portgroups/\(ident)", as: token).status == 404)
          #expect(try await site.call(.delete, "/v1/portgroups/\(ident)", as: token).status == 404)
          #expect(try await site.call(.get, "/v1/portgroups/\(ident)/ports", as: token).status == 404)
          #expect(try await site.call(.get, "/v1/ports?portgroup=\(ident)", as: token).status == 404)
        }
        #expect(try await site.call(.get, "/v1/portgroups?marker=\(hidden)", as: token).status == 404)
        #expect(try await site.call(.delete, "/v1/portgroups/mine", as: token).status == 403)
        let mode: JSON = [["op": "replace", "path": "/mode", "value": "802.3ad"]]
        #expect(try await site.call(.patch, "/v1/portgroups/mine", mode, as: token).status == 403)
        let note: JSON = [["op": "add", "path": "/extra/note", "value": "x"]]
        #expect(try await site.call(.patch, "/v1/portgroups/mine", note, as: token).status == 200)
        let body: JSON = ["node_uuid": .string(node)]
        #expect(try await site.call(.post, "/v1/portgroups", body, as: token).status == 403)
        // Another's node is none, in the same words.
        let far = try await site.call(.post, "/v1/portgroups", ["node_uuid": .string(foreign)], as: token)
        #expect(far.status == 400 && far.fault == "Node \(foreign) could not be found.")
      }
    }
  }

  @Test func aTenantsNetworkComesOutOfAPortThatWorksAlone() async throws {
    try await withSite { site in
      let node = try await site.node("n1", owner: Site.owner)
      let bond = try await group(site, ["node_uuid": .string(node), "standalone_ports_supported": false])
      func wired(_ address: String, _ place: String, _ more: JSONObject = [:]) async throws -> String {
        var body = more
        body["local_link_connection"] = ["switch_info": "sw0", "port_id": .string(place)]
        return try await port(site, node, address, body).json["uuid"]?.string ?? ""
      }
      let bonded = try await wired("52:54:00:aa:00:01", "n1", ["portgroup_uuid": .string(bond)])
      try await site.database.write { session in
        // A group whose place is taken leaves its members to nobody.
        let group = try #require(try PortGroupStore.get(bond, in: session))
        try VIFStore.set("other", on: .portGroup(group, members: []), at: Site.now(), in: session)
        let network = Network(
          projectID: Site.owner, name: "net", physicalNetwork: "datacentre", vlan: 201, createdAt: Site.now())
        try NetworkStore.insert(network, in: session)
        try NetworkPortStore.insert(
          NetworkPort(id: "vif", networkID: network.id, projectID: Site.owner, name: "vif", createdAt: Site.now()),
          in: session)
      }
      let owner = site.token(Site.owner)
      let none = try await site.call(.post, "/v1/nodes/n1/vifs", ["id": "vif"], as: owner)
      #expect(none.status == 400 && none.fault.contains("not enough free physical ports"))
      let named = try await site.call(
        .post, "/v1/nodes/n1/vifs", ["id": "vif", "port_uuid": .string(bonded)], as: owner)
      #expect(named.status == 400 && named.fault.contains("does not support standalone ports"))
      let alone = try await wired("52:54:00:aa:00:02", "n2", ["pxe_enabled": false])
      #expect(try await site.call(.post, "/v1/nodes/n1/vifs", ["id": "vif"], as: owner).status == 204)
      let info = try await site.call(.get, "/v1/ports/\(alone)").json["internal_info"]
      #expect(info == ["tenant_vif_port_id": "vif"])
    }
  }
}
