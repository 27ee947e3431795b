import Domain
import HTTPTypes
import Store
import Testing
import Wire

/// What the verbs rescue, unrescue and unhold want and refuse; what they do is in ConductorTests.
@Suite struct RescueTests {
  private func ask(_ site: Site, _ uuid: String, _ body: JSONObject, as token: String? = nil, version: String = "1.88")
    async throws -> Site.Answer
  {
    try await site.call(.put, "/v1/nodes/\(uuid)/states/provision", .object(body), as: token, version: version)
  }

  @Test func aRescueWantsAPasswordAndAMachineThatCan() async throws {
    try await withSite { site in
      let uuid = try await site.node(
        "f1", owner: Site.owner, lessee: Site.lessee, state: .active, driver: "fake-hardware")
      for body in [
        ["target": "rescue"], ["target": "rescue", "rescue_password": " "], ["target": "rescue", "rescue_password": 5],
        ["target": "rebuild", "rescue_password": "hunter2"], ["target": "unrescue", "rescue_password": "hunter2"],
      ] as [JSONObject] {
        let refused = try await ask(site, uuid, body)
        #expect(refused.status == 400 && refused.fault.contains("rescue_password"), "\(body)")
        #expect(!refused.text.contains("hunter2"))
      }
      let rescue: JSONObject = ["target": "rescue", "rescue_password": "hunter2"]
      #expect(try await ask(site, uuid, rescue, version: "1.37").status == 406)
      #expect(try await ask(site, uuid, ["target": "unrescue"]).fault.contains("while it is in state \"active\""))
      #expect(try await ask(site, uuid, rescue, as: site.token(Site.other)).status == 404)
      #expect(try await ask(site, uuid, rescue, as: site.token(Site.lessee, ["reader"])).status == 403)

      let plain = try await site.node("w1", state: .active)
      let refused = try await ask(site, plain, rescue)
      #expect(
        refused.status == 400
          && refused.fault == "Driver world does not support rescue (disabled or not implemented).")

      // Nobody keeps the password.
      #expect(try await ask(site, uuid, rescue, as: site.token(Site.lessee)).status == 202)
      let node = try await site.call(.get, "/v1/nodes/\(uuid)")
      #expect(node.json["provision_state"] == "rescuing" && node.json["target_provision_state"] == "rescue")
      #expect(!node.text.contains("hunter2"))
      let busy = try await ask(site, uuid, ["target": "unrescue"])
      #expect(busy.status == 409)
    }
  }

  @Test func machinesWithTheAgentAreRescuedWhereThereIsASystem() async throws {
    try await withSite { site in
      let uuid = try await site.node("w1", owner: Site.owner, lessee: Site.lessee, state: .active)
      _ = try await site.call(.put, "/v1/nodes/\(uuid)/maintenance", [:])
      let chosen = try await site.call(
        .patch, "/v1/nodes/\(uuid)", [["op": "add", "path": "/rescue_interface", "value": "agent"]], version: "1.88")
      _ = try await site.call(.delete, "/v1/nodes/\(uuid)/maintenance")
      let rescue: JSONObject = ["target": "rescue", "rescue_password": "hunter2"]
      let unbootable = try await ask(site, uuid, rescue)
      #expect(chosen.status == 200 && unbootable.fault.contains("no port that may boot"), "\(chosen.text)")
      _ = try await site.call(
        .post, "/v1/ports", ["address": "52:54:00:00:00:09", "node_uuid": .string(uuid)], version: "1.88")
      let without = try await ask(site, uuid, rescue)
      #expect(without.status == 409 && without.fault.contains("has no rescue system"))
      #expect(!without.text.contains("hunter2"))
    }
  }

  @Test func onlyWhatHoldsCanBeLetGo() async throws {
    try await withSite { site in
      let uuid = try await site.node("f1", owner: Site.owner, state: .manageable, driver: "fake-hardware")
      #expect(try await ask(site, uuid, ["target": "unhold"]).fault.contains("while it is in state \"manageable\""))
      #expect(try await ask(site, uuid, ["target": "unhold"], version: "1.84").status == 406)
      let hold: JSON = ["interface": "deploy", "step": "hold"]
      let argument: JSON = ["interface": "deploy", "step": "hold", "args": ["seconds": 5]]
      for steps in [[argument], [["step": "hold"]], Array(repeating: hold, count: 5)] as [[JSON]] {
        let refused = try await ask(site, uuid, ["target": "clean", "clean_steps": .array(steps)])
        #expect(refused.status == 400, "\(steps)")
      }
      #expect(try await ask(site, uuid, ["target": "clean", "clean_steps": [hold]]).status == 202)
    }
  }
}
