import Domain
import Store
import Testing
import Wire

@Suite struct ServerActionTests {
  @Test func aServerIsStoppedStartedRebootedAndRebuilt() async throws {
    try await ComputeSite.run { site in
      let node = try await site.enrol("n1")
      let id = try await site.create("web")
      let before = try await site.server(id, "ACTIVE")
      let action = "/v2.1/servers/\(id)/action"

      #expect(try await site.call(.post, action, ["os-start": nil]).status == 409)
      #expect(try await site.call(.post, action, ["os-stop": nil]).status == 202)
      let off = try await site.server(id, "SHUTOFF")
      #expect(off["OS-EXT-STS:power_state"] == 4 && off["OS-EXT-STS:vm_state"] == "stopped")
      #expect(try await site.call(.post, action, ["os-start": nil]).status == 202)
      try await site.server(id, "ACTIVE")
      #expect(try await site.call(.post, action, ["reboot": ["type": "HARD"]]).status == 202)
      try await site.server(id, "ACTIVE")
      #expect(try await site.call(.post, action, ["reboot": ["type": "odd"]]).status == 400)

      let rebuilt = try await site.call(
        .post, action, ["rebuild": ["imageRef": .string(ComputeSite.image), "name": "web2"]])
      #expect(rebuilt.status == 202, "\(rebuilt.shown)")
      let after = try await site.server(id, "ACTIVE")
      #expect(after["name"] == "web2")
      #expect(after["addresses"] == before["addresses"])
      #expect(try await site.settled(node, .active).instanceUUID == id)

      let actions = try await site.call(.get, "/v2.1/servers/\(id)/os-instance-actions").body["instanceActions"]
      #expect(
        actions?.array?.compactMap { $0["action"]?.string } == ["rebuild", "reboot", "start", "stop", "create"])
      let request = try #require(actions?.array?.last?["request_id"]?.string)
      let create = try await site.call(.get, "/v2.1/servers/\(id)/os-instance-actions/\(request)")
        .body["instanceAction"]
      let events = create?["events"]?.array ?? []
      #expect(events.contains { $0["event"] == "boot-instance" && $0["result"] == "Success" })
    }
  }

  @Test func aLockedServerIsItsOwnersToUnlock() async throws {
    try await ComputeSite.run { site in
      try await site.enrol("n1")
      let id = try await site.create("web")
      try await site.server(id, "ACTIVE")
      let action = "/v2.1/servers/\(id)/action"

      #expect(try await site.call(.post, action, ["lock": ["locked_reason": "payroll"]]).status == 202)
      let shown = try await site.call(.get, "/v2.1/servers/\(id)").server
      #expect(shown["locked"] == true && shown["locked_reason"] == "payroll")
      #expect(try await site.call(.post, action, ["os-stop": nil]).status == 409)
      #expect(try await site.call(.delete, "/v2.1/servers/\(id)").status == 409)
      #expect(try await site.call(.post, action, ["unlock": nil], as: "bob").status == 404)
      #expect(try await site.call(.post, action, ["unlock": nil]).status == 202)

      #expect(try await site.call(.post, action, ["lock": nil], as: "admin").status == 202)
      #expect(try await site.call(.post, action, ["unlock": nil]).status == 403)
      #expect(try await site.call(.post, action, ["unlock": nil], as: "admin").status == 202)
    }
  }

  @Test func whatMachinesDoNotDoIsRefusedWithAReason() async throws {
    try await ComputeSite.run { site in
      try await site.enrol("n1")
      let id = try await site.create("web")
      try await site.server(id, "ACTIVE")
      let action = "/v2.1/servers/\(id)/action"
      for name in ["resize", "pause", "suspend", "migrate", "changePassword"] {
        let answer = try await site.call(.post, action, .object([name: nil]))
        #expect(answer.status == 409, "\(name): \(answer.shown)")
        #expect(answer.message.count > 20)
        #expect(try await site.call(.post, action, .object([name: nil]), as: "bob").status == 404)
      }
      #expect(try await site.call(.post, action, ["no-such": nil]).status == 400)
      #expect(try await site.call(.post, action, ["lock": nil, "unlock": nil]).status == 400)
      #expect(try await site.call(.post, action, ["lock": nil], as: "watcher").status == 403)
    }
  }

  @Test func networksComeAndGoWhileAServerRuns() async throws {
    try await ComputeSite.run { site in
      try await site.enrol("n1")
      let id = try await site.create("web", ["networks": "none"])
      try await site.server(id, "ACTIVE")
      let path = "/v2.1/servers/\(id)/os-interface"
      #expect(try await site.call(.get, path).body["interfaceAttachments"] == [])

      let made = try await site.call(
        .post, path, ["interfaceAttachment": ["net_id": .string(ComputeSite.network), "tag": "lan"]])
      #expect(made.status == 200, "\(made.shown)")
      let port = try #require(made.body["interfaceAttachment"]?["port_id"]?.string)
      #expect(made.body["interfaceAttachment"]?["tag"] == "lan")
      let server = try await site.server(id, "ACTIVE")
      #expect(server["addresses"]?["lan"]?.array?.count == 1)
      let shown = try await site.call(.get, path + "/\(port)")
      #expect(shown.body["interfaceAttachment"]?["net_id"] == .string(ComputeSite.network))
      #expect(try await site.call(.get, path + "/\(port)", as: "bob").status == 404)

      // The switch is told of one change after the other.
      let limit = ContinuousClock.now + .seconds(10)
      while try await site.node(
        try #require(try await site.database.read { try ServerStore.get(id, in: $0)?.machine?.uuid })
      )
      .reservation != nil, ContinuousClock.now < limit { try await Task.sleep(for: .milliseconds(5)) }
      let gone = try await site.call(.delete, path + "/\(port)")
      #expect(gone.status == 202, "\(gone.shown)")
      while try await site.database.read({ try NetworkPortStore.get(port, in: $0) }) != nil, ContinuousClock.now < limit
      {
        try await Task.sleep(for: .milliseconds(5))
      }
      #expect(try await site.database.read { try NetworkPortStore.get(port, in: $0) } == nil)
      #expect(try await site.call(.get, "/v2.1/servers/\(id)/ips").body["addresses"] == [:])
    }
  }

  @Test func aPortOfOnesOwnStaysWhenTheServerGoes() async throws {
    try await ComputeSite.run { site in
      let node = try await site.enrol("n1")
      let made = try await site.call(
        .post, "/v2.0/ports", ["port": ["network_id": .string(ComputeSite.network), "name": "mine"]],
        service: "/network")
      let port = try #require(made.body["port"]?["id"]?.string)
      let foreign = try await site.call(
        .post, "/v2.1/servers", site.order("x", ["networks": [["port": .string(port)]]]), as: "bob")
      #expect(foreign.status == 400, "\(foreign.shown)")

      let id = try await site.create("web", ["networks": [["port": .string(port)]]])
      try await site.server(id, "ACTIVE")
      #expect(try await site.ports(of: id).map(\.id) == [port])
      let twice = try await site.call(
        .post, "/v2.1/servers", site.order("x", ["networks": [["port": .string(port)]]]))
      #expect(twice.status == 409, "\(twice.shown)")
      try await site.call(.delete, "/v2.1/servers/\(id)")
      try await site.gone(id)
      _ = try await site.settled(node, .available)

      let kept = try #require(try await site.database.read { try NetworkPortStore.get(port, in: $0) })
      #expect(kept.deviceID == "" && kept.deviceOwner == "" && !kept.isBound)
    }
  }
}
