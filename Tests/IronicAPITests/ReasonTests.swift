import Domain
import HTTPTypes
import Store
import Testing
import Wire

/// What went wrong is told to everyone, and where it went wrong to those only who run the machine.
@Suite struct ReasonTests {
  static let secretPlace = "10.9.8.7"

  /// A node that has failed, with the controller's address in what it said.
  private func failedNode(_ site: Site) async throws -> String {
    let uuid = try await site.node("n1", owner: Site.owner, lessee: Site.lessee, state: .deployFailed)
    try await site.database.write { session in
      guard var node = try NodeStore.get(uuid, in: session) else { return }
      node.lastError = Reason("The controller refused.", detail: "bmc \(Self.secretPlace): wrong password of root")
      node.maintenance = true
      node.maintenanceReason = Reason("Cleaning failed.", detail: "Cleaning failed: bmc \(Self.secretPlace): no answer")
      try NodeStore.update(node, in: session)
      try NodeStore.addEvent(
        "bmc \(Self.secretPlace): no answer", type: "provision", severity: "ERROR", of: uuid, at: Site.now(),
        in: session)
    }
    return uuid
  }

  @Test func aLesseeReadsASentenceAndWhoRunsTheMachineReadsTheAddress() async throws {
    try await withSite { site in
      let uuid = try await failedNode(site)
      let paths = [
        "/v1/nodes/\(uuid)", "/v1/nodes/\(uuid)?fields=last_error,maintenance_reason", "/v1/nodes/\(uuid)/states",
        "/v1/nodes/detail", "/v1/nodes?fields=uuid,last_error", "/v1/nodes?fields=maintenance_reason",
        "/v1/nodes/\(uuid)/history", "/v1/nodes/\(uuid)/history?detail=true", "/v1/nodes/\(uuid)/validate",
      ]
      // arrange: who may see driver_info, and who may not
      let lessees = [site.token(Site.lessee), site.token(Site.lessee, ["reader"]), site.token(Site.lessee, ["admin"])]
      let others = [site.adminToken, site.token(Site.owner), site.token(Site.owner, ["reader"])]

      for token in lessees {
        for path in paths {
          let answer = try await site.call(.get, path, as: token)
          #expect(!answer.text.contains(Self.secretPlace), "\(path): \(answer.text)")
          #expect(!answer.text.contains("wrong password"), "\(path)")
        }
        let node = try await site.call(.get, "/v1/nodes/\(uuid)", as: token).json
        #expect(node["last_error"] == "The controller refused.")
        #expect(node["maintenance_reason"] == "Cleaning failed.")
        let states = try await site.call(.get, "/v1/nodes/\(uuid)/states", as: token).json
        #expect(states["last_error"] == "The controller refused.")
      }
      for token in others {
        let node = try await site.call(.get, "/v1/nodes/\(uuid)", as: token).json
        #expect(node["last_error"] == .string("bmc \(Self.secretPlace): wrong password of root"))
        #expect(node["maintenance_reason"]?.string?.contains(Self.secretPlace) == true)
        for path in ["/v1/nodes/\(uuid)/states", "/v1/nodes/detail", "/v1/nodes/\(uuid)/history"] {
          #expect(try await site.call(.get, path, as: token).text.contains(Self.secretPlace), "\(path)")
        }
      }
    }
  }

  @Test func aRefusedDeploymentQuotesNoReasonOfTheSites() async throws {
    try await withSite { site in
      let uuid = try await failedNode(site)
      _ = try await site.call(
        .post, "/v1/ports", ["node_uuid": .string(uuid), "address": "52:54:00:aa:00:01"])
      let answer = try await site.call(
        .put, "/v1/nodes/\(uuid)/states/provision", ["target": "active"], as: site.token(Site.lessee))
      #expect(answer.status == 400)
      #expect(answer.fault.contains("in maintenance mode") && answer.fault.contains("Cleaning failed."))
      #expect(!answer.text.contains(Self.secretPlace))
    }
  }

  @Test func aReasonThatSomebodyWritesIsForEveryone() async throws {
    try await withSite { site in
      let uuid = try await failedNode(site)
      let owner = site.token(Site.owner)
      let set = try await site.call(.put, "/v1/nodes/\(uuid)/maintenance", ["reason": "new fans"], as: owner)
      #expect(set.status == 202)
      for token in [owner, site.token(Site.lessee)] {
        #expect(try await site.call(.get, "/v1/nodes/\(uuid)", as: token).json["maintenance_reason"] == "new fans")
      }
      #expect(try await site.call(.delete, "/v1/nodes/\(uuid)/maintenance", as: owner).status == 202)
      let node = try await site.call(.get, "/v1/nodes/\(uuid)", as: owner).json
      #expect(node["maintenance_reason"] == .null)
      // What an earlier failure said is gone with it.
      #expect(try await site.call(.put, "/v1/nodes/\(uuid)/maintenance", [:], as: owner).status == 202)
      #expect(try await site.call(.get, "/v1/nodes/\(uuid)", as: owner).json["maintenance_reason"] == .null)
    }
  }

  @Test func aControllerThatRefusesWhileTheCallerWaitsIsQuotedToTheOwnerOnly() async throws {
    try await withSite { site in
      let uuid = try await site.node("n1", owner: Site.owner, lessee: Site.lessee, state: .active)
      try site.world.ensure("fault/boot-disk", "refused: user root of \(Self.secretPlace) may not")
      let path = "/v1/nodes/\(uuid)/management/boot_device"
      let body: JSON = ["boot_device": "disk", "persistent": true]

      let lessee = try await site.call(.put, path, body, as: site.token(Site.lessee))
      #expect(lessee.status == 502)
      #expect(lessee.fault.hasPrefix("The machine's management controller refused what it was asked."))
      #expect(!lessee.text.contains(Self.secretPlace) && !lessee.text.contains("bmc"))
      let owner = try await site.call(.put, path, body, as: site.token(Site.owner))
      #expect(owner.status == 502 && owner.fault.contains("bmc n1: refused: user root of \(Self.secretPlace) may not"))
    }
  }

  @Test func theOrderOfAListTellsNothingOfWhatIsHidden() async throws {
    try await withSite { site in
      for (name, place) in [("n1", "10.0.0.9"), ("n2", "10.0.0.1")] {
        let uuid = try await site.node(name, owner: Site.owner, lessee: Site.lessee)
        try await site.database.write { session in
          guard var node = try NodeStore.get(uuid, in: session) else { return }
          node.lastError = Reason("\(name) failed.", detail: "bmc \(place)")
          try NodeStore.update(node, in: session)
        }
      }
      let list = try await site.call(.get, "/v1/nodes?sort_key=last_error", as: site.token(Site.lessee)).json
      #expect(list["nodes"]?.array?.compactMap { $0["name"]?.string } == ["n1", "n2"])
    }
  }
}
