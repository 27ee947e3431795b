import Domain
import HTTPTypes
import Store
import Testing
import Wire

/// Protection, retirement, instances: what may change when, and what goes with what.
@Suite struct NodeLifeTests {
  private func patch(_ site: Site, _ node: String, _ changes: [(String, JSON)], as token: String? = nil) async throws
    -> Site.Answer
  {
    let operations = changes.map { path, value -> JSON in
      value.isNull
        ? ["op": "remove", "path": .string(path)] : ["op": "replace", "path": .string(path), "value": value]
    }
    return try await site.call(.patch, "/v1/nodes/\(node)", .array(operations), as: token)
  }
  private func change(_ site: Site, _ node: String, _ body: @escaping @Sendable (inout Node) -> Void) async throws {
    _ = try await site.database.write { session in
      guard var found = try NodeStore.find(node, in: session) else { return }
      body(&found)
      try NodeStore.update(found, in: session)
    }
  }

  @Test func onlyAnActiveNodeIsProtectedAndThenItStays() async throws {
    try await withSite { site in
      let uuid = try await site.node("n1")
      let early = try await patch(site, "n1", [("/protected", true)])
      #expect(early.status == 409 && early.fault.contains("can only be made protected"))
      let alone = try await patch(site, "n1", [("/protected_reason", "x")])
      #expect(
        alone.status == 400 && alone.fault == "The protected_reason field can only be set when protected is True")
      try await change(site, "n1") { $0.provisionState = .active }
      let done = try await patch(site, "n1", [("/protected", "true"), ("/protected_reason", "exam week")])
      #expect(done.json["protected"] == true && done.json["protected_reason"]?.string == "exam week")
      for target in ["deleted", "undeploy", "rebuild"] {
        let answer = try await site.call(.put, "/v1/nodes/n1/states/provision", ["target": .string(target)])
        #expect(answer.status == 403, "\(target)")
        #expect(answer.fault == "Node \(uuid) is protected and cannot be undeployed, rebuilt or deleted", "\(target)")
      }
      _ = try await site.call(.put, "/v1/nodes/n1/maintenance", [:])
      #expect(try await site.call(.delete, "/v1/nodes/n1").status == 403)
      let off = try await patch(site, "n1", [("/protected", false)])
      #expect(off.json["protected"] == false && off.json["protected_reason"] == .null)
    }
  }

  @Test func aRetiredNodeIsNotProvided() async throws {
    try await withSite { site in
      _ = try await site.node("n1")
      let early = try await patch(site, "n1", [("/retired", true)])
      #expect(early.status == 409 && early.fault.contains("can not have 'retired' set"))
      #expect(try await patch(site, "n1", [("/retired_reason", "old")]).status == 400)
      try await change(site, "n1") { $0.provisionState = .manageable }
      let done = try await patch(site, "n1", [("/retired", true), ("/retired_reason", "old")])
      #expect(done.status == 200 && done.json["retired_reason"]?.string == "old")
      let provided = try await site.call(.put, "/v1/nodes/n1/states/provision", ["target": "provide"])
      #expect(provided.status == 400 && provided.fault.hasSuffix("because it is retired."))
      #expect(try await site.call(.get, "/v1/nodes/n1").json["provision_state"] == "manageable")
      #expect(try await patch(site, "n1", [("/retired", nil)]).json["retired_reason"] == .null)
      let born = try await site.call(
        .post, "/v1/nodes", ["driver": "world", "retired": true, "retired_reason": "spare"])
      #expect(born.status == 201 && born.json["retired_reason"]?.string == "spare")
      let odd = try await site.call(.post, "/v1/nodes", ["driver": "world", "retired_reason": "spare"])
      #expect(odd.status == 400)
    }
  }

  @Test func maintenanceByPatchTakesItsReasonAndFaultAlong() async throws {
    try await withSite { site in
      _ = try await site.node("n1")
      let on = try await patch(site, "n1", [("/maintenance", true), ("/maintenance_reason", "disk")])
      #expect(on.json["maintenance"] == true && on.json["maintenance_reason"]?.string == "disk")
      try await change(site, "n1") { $0.fault = "clean failure" }
      let off = try await patch(site, "n1", [("/maintenance", false)])
      #expect(off.json["maintenance_reason"] == .null && off.json["fault"] == .null)
    }
  }

  @Test func anInstanceStaysUntilItIsTakenAway() async throws {
    try await withSite { site in
      let uuid = try await site.node("n1"), first = Identifier.uuid()
      #expect(try await patch(site, "n1", [("/instance_uuid", .string(first))]).status == 200)
      let other = try await patch(site, "n1", [("/instance_uuid", .string(Identifier.uuid()))])
      #expect(other.status == 409 && other.fault == "Node \(uuid) is associated with instance \(first).")
      _ = try await site.node("n2")
      #expect(try await patch(site, "n2", [("/instance_uuid", .string(first))]).status == 409)
      #expect(try await site.call(.delete, "/v1/nodes/n1").status == 409)
      #expect(try await patch(site, "n1", [("/instance_uuid", nil)]).json["instance_uuid"] == .null)
    }
  }

  @Test func theClassOfANodeInUseStays() async throws {
    try await withSite { site in
      _ = try await site.node("n1", state: .active)
      let answer = try await patch(site, "n1", [("/resource_class", "other")])
      #expect(answer.status == 409 && answer.fault.contains("resource_class updated"))
      _ = try await site.call(.put, "/v1/nodes/n1/maintenance", [:])
      #expect(try await patch(site, "n1", [("/resource_class", "other")]).json["resource_class"]?.string == "other")
    }
  }

  @Test func historyTellsStateAndTimeAndPagesBothWays() async throws {
    try await withSite { site in
      let uuid = try await site.node("n1")
      _ = try await site.database.write { session in
        let now = Site.now()
        for index in 0..<5 {
          try NodeStore.addEvent(
            index == 4 ? String(repeating: "x", count: 300) : "event \(index)", type: "provision", of: uuid,
            at: now + .seconds(index), since: index == 3 ? now : nil, in: session)
        }
        try NodeStore.addEvent("of none", type: "provision", of: Identifier.uuid(), at: now, in: session)
      }
      let plain = try await site.call(.get, "/v1/nodes/n1/history").json["history"]?.array ?? []
      #expect(plain.count == 6)
      #expect(plain.first?.object?.keys.sorted() == ["created_at", "event", "links", "severity", "uuid"])
      #expect(plain.first?["event"]?.string?.count == 254)
      let detail = try await site.call(.get, "/v1/nodes/n1/history?detail=true").json["history"]?.array ?? []
      #expect(detail.first?["event"]?.string?.count == 300)
      #expect(detail[1]["duration_seconds"] == 3.0 && detail[1]["state"]?.string == "available")
      #expect(detail[2]["duration_seconds"] == .null)
      for order in ["sort_dir=desc&sort_key=created_at", "sort_key=created_at"] {
        let whole = try await site.call(.get, "/v1/nodes/n1/history?\(order)").json["history"]?.array ?? []
        let first = try await site.call(.get, "/v1/nodes/n1/history?\(order)&limit=4").json
        let marker = first["history"]?.array?.last?["uuid"]?.string ?? ""
        #expect(first["next"]?.string?.contains(marker) == true)
        let rest = try await site.call(.get, "/v1/nodes/n1/history?\(order)&limit=4&marker=\(marker)").json
        #expect((first["history"]?.array ?? []) + (rest["history"]?.array ?? []) == whole && rest["next"] == nil)
      }
      let one = detail[1]["uuid"]?.string ?? ""
      #expect(try await site.call(.get, "/v1/nodes/n1/history/\(one)").json["event"]?.string == "event 3")
      _ = try await site.node("n2")
      #expect(try await site.call(.get, "/v1/nodes/n2/history/\(one)").status == 404)
      #expect(try await site.call(.get, "/v1/nodes/n2/history?marker=\(one)").status == 404)
      #expect(try await site.call(.get, "/v1/nodes/n1/history?sort_key=event").status == 400)
    }
  }

  @Test func hardwareThatHasItNotSaysSo() async throws {
    try await withSite { site in
      let uuid = try await site.node("n1", owner: Site.owner)
      #expect(try await site.call(.get, "/v1/nodes/n1/bios").json == ["bios": []])
      #expect(try await site.call(.get, "/v1/nodes/n1/bios/virtualization").status == 404)
      #expect(try await site.call(.get, "/v1/nodes/n1/firmware").json == ["firmware": []])
      #expect(try await site.call(.get, "/v1/nodes/n1/management/indicators").json == ["indicators": []])
      #expect(try await site.call(.get, "/v1/nodes/n1/vendor_passthru/methods").json == [:])
      #expect(try await site.call(.get, "/v1/drivers/world/vendor_passthru/methods").json == [:])
      #expect(try await site.call(.get, "/v1/drivers/none/vendor_passthru/methods").status == 404)
      #expect(try await site.call(.get, "/v1/drivers/world/raid/logical_disk_properties").status == 404)
      let unsupported: [(HTTPRequest.Method, String, JSON?, Int)] = [
        (.put, "states/boot_mode", ["target": "uefi"], 400), (.put, "states/boot_mode", ["target": "odd"], 400),
        (.put, "states/boot_mode", [:], 400), (.put, "states/secure_boot", ["target": true], 400),
        (.put, "states/secure_boot", ["target": "perhaps"], 400), (.put, "states/raid", ["logical_disks": []], 404),
        (.put, "states/nonsense", [:], 405), (.put, "management/inject_nmi", [:], 400),
        (.get, "management/indicators/led@system", nil, 400), (.get, "management/indicators/led", nil, 400),
        (.put, "management/indicators/led@system", ["state": "ON"], 400),
        (.put, "management/indicators/led@system", ["state": "PINK"], 400),
        (.post, "vendor_passthru?method=x", [:], 400), (.get, "vendor_passthru", nil, 400),
      ]
      for (method, path, body, status) in unsupported {
        let answer = try await site.call(method, "/v1/nodes/n1/\(path)", body)
        #expect(answer.status == status && !answer.fault.isEmpty, "\(method) \(path): \(answer.text)")
      }
      let mode = try await site.call(.put, "/v1/nodes/n1/states/boot_mode", ["target": "uefi"])
      #expect(mode.fault == "Driver world does not support set_boot_mode (disabled or not implemented).")
      try await change(site, "n1") { $0.provisionState = .cleaning }
      #expect(try await site.call(.put, "/v1/nodes/n1/states/boot_mode", ["target": "uefi"]).status == 409)
      for path in ["/v1/lookup", "/v1/heartbeat/\(uuid)"] {
        let method: HTTPRequest.Method = path.hasSuffix("lookup") ? .get : .post
        let answer = try await site.call(method, path, method == .get ? nil : ["callback_url": "http://x"])
        #expect(answer.status == 400 && answer.fault.contains("its own agent"))
      }
    }
  }

  @Test func theEndOfAWorkflowTellsHowLongItTook() async throws {
    try await withSite { site in
      try await site.node("n1", state: .enroll)
      #expect(try await site.call(.put, "/v1/nodes/n1/states/provision", ["target": "manage"]).status == 202)
      let conductor = site.conductor
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await conductor.runner.run() }
        let limit = ContinuousClock.now + .seconds(30)
        while try await site.call(.get, "/v1/nodes/n1").json["provision_state"] != "manageable" {
          try #require(ContinuousClock.now < limit, "the node is not manageable")
          try await Task.sleep(for: .milliseconds(5))
        }
        group.cancelAll()
      }
      let events = try await site.call(.get, "/v1/nodes/n1/history?detail=true").json["history"]?.array ?? []
      #expect(events.first?["event"] == "The management controller answers.")
      #expect(events.first?["state"] == "manageable")
      guard case .double(let took)? = events.first?["duration_seconds"] else {
        Issue.record("no duration")
        return
      }
      #expect(took >= 0 && took < 30)
      #expect(events.dropFirst().first?["event"] == "Asked to manage.")
      #expect(events.dropFirst().first?["target_provision_state"] == "manageable")
    }
  }
}
