import Domain
import HTTPTypes
import Store
import Testing
import Wire

/// Network ports (VIFs) on port groups.
@Suite struct BondTests {
  private struct Bond {
    var node: String
    var group: String
    /// The members, then the NIC that stands alone.
    var ports: [String]
  }

  /// Node n1 with a group of two wired NICs, a third NIC, and two network ports.
  private func bond(_ site: Site, alone: Bool = true, _ more: JSONObject = [:]) async throws -> Bond {
    let node = try await site.node("n1", owner: Site.owner)
    var body: JSONObject = ["node_uuid": .string(node), "name": "bond0", "mode": "802.3ad"]
    body["properties"] = ["miimon": "100"]
    for member in more { body[member.key] = member.value }
    let made = try await site.call(.post, "/v1/portgroups", .object(body))
    var bond = Bond(node: node, group: made.json["uuid"]?.string ?? "", ports: [])
    for number in 1...(alone ? 3 : 2) {
      let port = try await wired(site, bond, number, isMember: number < 3)
      #expect(port.status == 201, "\(port.text)")
      bond.ports.append(port.json["uuid"]?.string ?? "")
    }
    try await site.database.write { session in
      for (vif, vlan) in [("vif", 201), ("second", 202)] {
        let network = Network(
          projectID: Site.owner, name: "net", physicalNetwork: "datacentre", vlan: vlan, createdAt: Site.now())
        try NetworkStore.insert(network, in: session)
        try NetworkPortStore.insert(
          NetworkPort(id: vif, networkID: network.id, projectID: Site.owner, name: vif, createdAt: Site.now()),
          in: session)
      }
    }
    return bond
  }
  private func wired(
    _ site: Site, _ bond: Bond, _ number: Int, isMember: Bool, _ more: JSONObject = [:]
  ) async throws -> Site.Answer {
    var body: JSONObject = [
      "node_uuid": .string(bond.node), "address": .string("52:54:00:aa:00:0\(number)"),
      "local_link_connection": ["switch_info": "sw0", "port_id": .string("n\(number)")],
    ]
    if isMember { body["portgroup_uuid"] = .string(bond.group) }
    for member in more { body[member.key] = member.value }
    return try await site.call(.post, "/v1/ports", .object(body))
  }
  private func attach(_ site: Site, _ body: JSON) async throws -> Site.Answer {
    try await site.call(.post, "/v1/nodes/n1/vifs", body, as: site.token(Site.owner))
  }
  /// As if the workflow that attaches it were over.
  private func free(_ site: Site, _ bond: Bond) async throws {
    try await site.database.write { session in
      var node = try #require(try NodeStore.get(bond.node, in: session))
      node.reservation = nil
      try NodeStore.update(node, in: session)
    }
  }

  @Test func aNamedGroupGetsItAndShowsIt() async throws {
    try await withSite { site in
      let bond = try await bond(site)
      let both = try await attach(
        site, ["id": "vif", "port_uuid": .string(bond.ports[2]), "portgroup_uuid": .string(bond.group)])
      #expect(both.status == 400 && both.fault.contains("both port_uuid and portgroup_uuid"))
      let unknown = try await attach(site, ["id": "vif", "portgroup_uuid": .string(Identifier.uuid())])
      #expect(unknown.status == 400 && unknown.fault.contains("is not a port group of node"))

      #expect(try await attach(site, ["id": "vif", "portgroup_uuid": .string(bond.group)]).status == 204)
      let shown = try await site.call(.get, "/v1/portgroups/bond0").json
      #expect(shown["internal_info"] == ["tenant_vif_port_id": "vif"])
      // The members show what they carry: ESI's lists look there.
      let nics = try await site.call(.get, "/v1/ports/detail?node=n1").json["ports"]?.array ?? []
      let vif: JSON = ["tenant_vif_port_id": "vif"]
      #expect(nics.map { $0["internal_info"] } == [vif, vif, [:]])
      #expect(try await site.call(.get, "/v1/nodes/n1/vifs").json["vifs"] == [["id": "vif"]])
      let listed = try await site.call(.get, "/v1/nodes/n1/portgroups/detail").json["portgroups"]?.array?.first
      #expect(listed?["internal_info"] == ["tenant_vif_port_id": "vif"])
      let members = try await site.call(.get, "/v1/portgroups/\(bond.group)/ports").json["ports"]?.array ?? []
      #expect(members.map { $0["uuid"]?.string } == Array(bond.ports.prefix(2)))
      // Without an address of its own the bond has its first member's.
      let port = try #require(try await site.database.read { try NetworkPortStore.get("vif", in: $0) })
      #expect(port.macAddress == "52:54:00:aa:00:01" && port.bindingHostID == bond.node && port.vnicType == "baremetal")
      #expect(
        port.bindingProfile == [
          "local_link_information": [
            ["switch_info": "sw0", "port_id": "n1"], ["switch_info": "sw0", "port_id": "n2"],
          ],
          "local_group_information": [
            "id": .string(bond.group), "name": "bond0", "bond_mode": "802.3ad",
            "bond_properties": ["bond_miimon": "100"],
          ],
        ], "\(port.bindingProfile)")

      try await free(site, bond)
      let again = try await attach(site, ["id": "vif"])
      #expect(again.status == 409 && again.fault.contains("already attached to Ironic Portgroup \(bond.group)"))
      let taken = try await attach(site, ["id": "second", "portgroup_uuid": .string(bond.group)])
      #expect(taken.status == 409 && taken.fault.contains("already has a VIF attached"))
      let member = try await attach(site, ["id": "second", "port_uuid": .string(bond.ports[0])])
      #expect(member.status == 409 && member.fault.contains("which already has a VIF attached"))
      // What is left goes to the NIC that stands alone.
      #expect(try await attach(site, ["id": "second"]).status == 204)
      #expect(
        try await site.call(.get, "/v1/ports/\(bond.ports[2])").json["internal_info"] == [
          "tenant_vif_port_id": "second"
        ])
      try await free(site, bond)

      let gone = try await site.call(.delete, "/v1/nodes/n1/vifs/vif", as: site.token(Site.owner))
      #expect(gone.status == 204)
      #expect(try await site.call(.get, "/v1/portgroups/bond0").json["internal_info"] == [:])
    }
  }

  @Test func aFreeGroupIsPreferredToPorts() async throws {
    try await withSite { site in
      let bond = try await bond(site, ["address": "52:54:00:AA:00:0F"])
      #expect(try await attach(site, ["id": "vif"]).status == 204)
      #expect(
        try await site.call(.get, "/v1/portgroups/bond0").json["internal_info"] == ["tenant_vif_port_id": "vif"])
      let port = try #require(try await site.database.read { try NetworkPortStore.get("vif", in: $0) })
      #expect(port.macAddress == "52:54:00:aa:00:0f")
      try await free(site, bond)
    }
  }

  @Test func aGroupWithAMemberOfItsOwnIsLeftToItsOtherMembers() async throws {
    try await withSite { site in
      let bond = try await bond(site, alone: false)
      #expect(try await attach(site, ["id": "vif", "port_uuid": .string(bond.ports[1])]).status == 204)
      try await free(site, bond)
      let whole = try await attach(site, ["id": "second", "portgroup_uuid": .string(bond.group)])
      #expect(whole.status == 409 && whole.fault.contains("has a VIF of its own attached"))
      #expect(try await attach(site, ["id": "second"]).status == 204)
      #expect(
        try await site.call(.get, "/v1/ports/\(bond.ports[0])").json["internal_info"] == [
          "tenant_vif_port_id": "second"
        ])
    }
  }

  @Test func aGroupThatCannotCarryItIsRefusedWithTheReason() async throws {
    try await withSite { site in
      let bond = try await bond(site)
      let empty = try await site.call(.post, "/v1/portgroups", ["node_uuid": .string(bond.node)])
      let none = try await attach(site, ["id": "vif", "portgroup_uuid": empty.json["uuid"] ?? .null])
      #expect(none.status == 400 && none.fault.contains("has no ports"))

      let loose = try await wired(site, bond, 4, isMember: true, ["local_link_connection": [:]])
      #expect(loose.status == 201)
      let unwired = try await attach(site, ["id": "vif", "portgroup_uuid": .string(bond.group)])
      #expect(unwired.status == 400 && unwired.fault.contains("does not say which switch port it is wired to"))
      // And by itself the choice falls on a port.
      #expect(try await attach(site, ["id": "vif"]).status == 204)
      #expect(try await site.call(.get, "/v1/portgroups/bond0").json["internal_info"] == [:])
      try await free(site, bond)

      try await site.database.write { session in
        var member = try #require(try PortStore.get(bond.ports[0], in: session))
        member.physicalNetwork = "elsewhere"
        try PortStore.update(member, in: session)
        try PortStore.delete(loose.json["uuid"]?.string ?? "", in: session)
      }
      let split = try await attach(site, ["id": "second", "portgroup_uuid": .string(bond.group)])
      #expect(split.status == 400 && split.fault.contains("different physical networks (None, elsewhere)"))
    }
  }

  @Test func aBondWithANetworkIsNotTakenApart() async throws {
    try await withSite { site in
      let bond = try await bond(site)
      #expect(try await attach(site, ["id": "vif", "portgroup_uuid": .string(bond.group)]).status == 204)
      try await free(site, bond)

      let member = "/v1/ports/\(bond.ports[0])", alone = "/v1/ports/\(bond.ports[2])"
      let patches: [(String, JSON)] = [
        (member, ["op": "remove", "path": "/portgroup_uuid"]),
        (member, ["op": "replace", "path": "/local_link_connection/port_id", "value": "n9"]),
        (member, ["op": "replace", "path": "/address", "value": "52:54:00:aa:00:77"]),
        (alone, ["op": "add", "path": "/portgroup_uuid", "value": .string(bond.group)]),
        ("/v1/portgroups/bond0", ["op": "add", "path": "/address", "value": "52:54:00:aa:00:77"]),
        ("/v1/portgroups/bond0", ["op": "replace", "path": "/mode", "value": "balance-rr"]),
        ("/v1/portgroups/bond0", ["op": "remove", "path": "/properties/miimon"]),
      ]
      for (path, patch) in patches {
        let answer = try await site.call(.patch, path, [patch])
        #expect(answer.status == 409 && answer.fault.contains("VIF vif attached"), "\(path) \(patch): \(answer.text)")
      }
      let joining = try await wired(site, bond, 5, isMember: true)
      #expect(joining.status == 409 && joining.fault.contains("which has VIF vif attached"))
      let removed = try await site.call(.delete, member)
      #expect(removed.status == 409 && removed.fault.contains("VIF vif is attached to its port group"))
      #expect(try await site.call(.delete, "/v1/portgroups/bond0").status == 400)
      #expect(try await site.call(.delete, "/v1/nodes/n1").status == 409)
      let renamed = try await site.call(
        .patch, "/v1/portgroups/bond0", [["op": "replace", "path": "/name", "value": "uplink"]])
      #expect(renamed.status == 200)
    }
  }
}
