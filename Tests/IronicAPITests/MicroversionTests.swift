import Domain
import HTTPTypes
import Store
import Testing
import Wire

/// What an older version does not know. Source: Ironic, "REST API Version History".
@Suite struct MicroversionTests {
  struct Gate: Sendable, CustomTestStringConvertible {
    var method: HTTPRequest.Method
    var path: String
    var since: Int
    /// The answer to the version before.
    var before = 404
    var testDescription: String { "\(method) \(path) 1.\(since)" }
  }
  static let gates: [Gate] = [
    Gate(method: .put, path: "/v1/nodes/n1/states/raid", since: 12, before: 406),
    Gate(method: .post, path: "/v1/heartbeat/n1", since: 22), Gate(method: .get, path: "/v1/lookup", since: 22),
    Gate(method: .get, path: "/v1/portgroups", since: 23),
    Gate(method: .get, path: "/v1/nodes/n1/portgroups", since: 24),
    Gate(method: .get, path: "/v1/nodes/n1/vifs", since: 28), Gate(method: .post, path: "/v1/nodes/n1/vifs", since: 28),
    Gate(method: .delete, path: "/v1/nodes/n1/vifs/x", since: 28),
    Gate(method: .put, path: "/v1/nodes/n1/management/inject_nmi", since: 29),
    Gate(method: .get, path: "/v1/volume", since: 32), Gate(method: .get, path: "/v1/nodes/n1/volume", since: 32),
    Gate(method: .get, path: "/v1/volume/targets", since: 32),
    Gate(method: .get, path: "/v1/nodes/n1/traits", since: 37, before: 406),
    Gate(method: .put, path: "/v1/nodes/n1/traits", since: 37, before: 405),
    Gate(method: .put, path: "/v1/nodes/n1/traits/CUSTOM_A", since: 37, before: 405),
    Gate(method: .delete, path: "/v1/nodes/n1/traits", since: 37),
    Gate(method: .get, path: "/v1/nodes/n1/bios", since: 40), Gate(method: .get, path: "/v1/conductors", since: 49),
    Gate(method: .get, path: "/v1/allocations", since: 52),
    Gate(method: .post, path: "/v1/allocations", since: 52, before: 405),
    Gate(method: .delete, path: "/v1/allocations/x", since: 52, before: 405),
    Gate(method: .patch, path: "/v1/allocations/x", since: 57, before: 405),
    Gate(method: .get, path: "/v1/nodes/n1/allocation", since: 52),
    Gate(method: .get, path: "/v1/deploy_templates", since: 55),
    Gate(method: .post, path: "/v1/deploy_templates", since: 55, before: 405),
    Gate(method: .get, path: "/v1/nodes/n1/management/indicators", since: 63),
    Gate(method: .put, path: "/v1/nodes/n1/states/boot_mode", since: 76),
    Gate(method: .put, path: "/v1/nodes/n1/states/secure_boot", since: 76),
    Gate(method: .get, path: "/v1/nodes/n1/history", since: 78),
    Gate(method: .get, path: "/v1/nodes/n1/inventory", since: 81),
    Gate(method: .get, path: "/v1/shards", since: 82), Gate(method: .get, path: "/v1/nodes/n1/children", since: 83),
    Gate(method: .get, path: "/v1/nodes/n1/firmware", since: 86),
  ]

  @Test func everyEndpointBeginsWithItsVersion() async throws {
    try await withSite { site in
      try await site.node("n1")
      for gate in Self.gates {
        func call(_ minor: Int) async throws -> Site.Answer {
          try await site.call(
            gate.method, gate.path, gate.method == .get || gate.method == .delete ? nil : [:],
            version: "1.\(minor)")
        }
        let old = try await call(gate.since - 1)
        #expect(old.status == gate.before, "\(gate.testDescription): \(old.status)")
        #expect(old.fault.contains("it came with 1.\(gate.since)"), "\(gate.testDescription): \(old.fault)")
        let new = try await call(gate.since)
        #expect(!new.fault.contains("it came with"), "\(gate.testDescription): \(new.fault)")
      }
    }
  }

  /// Fields of a node by the version that brought them; those that every version has are left out.
  static let fields: [Int: [String]] = [
    3: ["driver_internal_info"], 5: ["name"], 6: ["inspection_started_at", "inspection_finished_at"],
    7: ["clean_step"], 12: ["raid_config", "target_raid_config"], 20: ["network_interface"], 21: ["resource_class"],
    31: ["boot_interface", "console_interface", "deploy_interface", "inspect_interface", "management_interface"],
    33: ["storage_interface"], 37: ["traits"], 38: ["rescue_interface"], 40: ["bios_interface"], 42: ["fault"],
    44: ["deploy_step"], 46: ["conductor_group"], 47: ["automated_clean"], 48: ["protected", "protected_reason"],
    49: ["conductor"], 50: ["owner"], 51: ["description"], 52: ["allocation_uuid"],
    61: ["retired", "retired_reason"], 65: ["lessee"], 66: ["network_data"], 75: ["boot_mode", "secure_boot"],
    82: ["shard"], 83: ["parent_node"], 86: ["firmware_interface"], 87: ["service_step"],
  ]

  @Test func everyFieldBeginsWithItsVersion() async throws {
    try await withSite { site in
      let uuid = try await site.node("n1")
      for (since, names) in Self.fields.sorted(by: { $0.key < $1.key }) {
        let old = try await site.call(.get, "/v1/nodes/\(uuid)", version: "1.\(since - 1)").json
        let new = try await site.call(.get, "/v1/nodes/\(uuid)", version: "1.\(since)").json
        for name in names {
          #expect(old[name] == nil, "\(name) in 1.\(since - 1)")
          #expect(new[name] != nil, "\(name) in 1.\(since)")
          guard since > 8 else { continue }
          let asked = try await site.call(.get, "/v1/nodes?fields=\(name)", version: "1.\(since - 1)")
          #expect(asked.status == 406, "fields=\(name) in 1.\(since - 1)")
          let set = try await site.call(
            .patch, "/v1/nodes/\(uuid)", [["op": "add", "path": .string("/\(name)"), "value": "x"]],
            version: "1.\(since - 1)")
          #expect(set.status == 406 || set.status == 400, "\(name) in 1.\(since - 1)")
        }
      }
      #expect(try await site.call(.get, "/v1/nodes?fields=uuid", version: "1.7").status == 406)
      #expect(try await site.call(.get, "/v1/nodes?sort_key=owner", version: "1.49").status == 406)
    }
  }

  @Test func everyFilterBeginsWithItsVersion() async throws {
    try await withSite { (site: Site) async throws in
      let filters: [(String, Int)] = [
        ("provision_state=active", 9), ("driver=world", 16), ("resource_class=x", 21), ("fault=clean%20failure", 42),
        ("conductor_group=", 46), ("conductor=x", 49), ("owner=x", 50), ("description_contains=x", 51),
        ("retired=true", 61), ("lessee=x", 65), ("project=x", 65), ("shard=x", 82), ("sharded=true", 82),
        ("parent_node=x", 83), ("include_children=true", 83),
      ]
      for (filter, since) in filters {
        #expect(try await site.call(.get, "/v1/nodes?\(filter)", version: "1.\(since - 1)").status == 406, "\(filter)")
        #expect(try await site.call(.get, "/v1/nodes?\(filter)", version: "1.\(since)").status == 200, "\(filter)")
      }
      #expect(try await site.call(.get, "/v1/nodes?detail=true", version: "1.42").status == 400)
      #expect(try await site.call(.get, "/v1/ports?shard=a", version: "1.81").status == 406)
    }
  }

  @Test func oldWordsForStatesAndNoNames() async throws {
    try await withSite { site in
      let uuid = try await site.node("n1")
      func state(_ version: String) async throws -> [JSON?] {
        [
          try await site.call(.get, "/v1/nodes/\(uuid)", version: version).json["provision_state"],
          try await site.call(.get, "/v1/nodes/\(uuid)/states", version: version).json["provision_state"],
          try await site.call(.get, "/v1/nodes", version: version).json["nodes"]?.array?.first?["provision_state"],
        ]
      }
      #expect(try await state("1.1") == [.null, .null, .null])
      #expect(try await state("1.2") == ["available", "available", "available"])
      _ = try await site.database.write { session in
        guard var node = try NodeStore.get(uuid, in: session) else { return }
        node.provisionState = .inspectWait
        try NodeStore.update(node, in: session)
      }
      #expect(try await state("1.38") == ["inspecting", "inspecting", "inspecting"])
      #expect(try await state("1.39") == ["inspect wait", "inspect wait", "inspect wait"])
      #expect(try await site.call(.get, "/v1/nodes/n1", version: "1.4").status == 404)
      #expect(try await site.call(.get, "/v1/nodes/n1", version: "1.5").status == 200)
      // A machine that boots the agent is erased before it is available, whatever the version.
      let made = try await site.call(.post, "/v1/nodes", ["driver": "world"], version: "1.10")
      #expect(made.json["provision_state"] == "enroll")
    }
  }

  @Test func endingsAndOddIdents() async throws {
    try await withSite { site in
      let uuid = try await site.node("n1")
      for ident in ["\(uuid).json", "n1.json", uuid.uppercased()] {
        #expect(try await site.call(.get, "/v1/nodes/\(ident)").json["uuid"]?.string == uuid, "\(ident)")
      }
      _ = try await site.call(.post, "/v1/nodes", ["driver": "world", "name": "n1.json"])
      #expect(try await site.call(.get, "/v1/nodes/n1.json").json["name"]?.string == "n1.json")
      for ident in ["a%20b", "a:b", "%C3%A4", "a%2Fb", String(repeating: "x", count: 300)] {
        let answer = try await site.call(.get, "/v1/nodes/\(ident)")
        #expect(answer.status == 400 && answer.fault.hasPrefix("Expected a logical name or UUID"), "\(ident)")
      }
      let root = try await site.call(.get, "/v1", version: "1.22").json
      #expect(root["portgroups"] == nil && root["nodes"] != nil)
      #expect(try await site.call(.get, "/v1", version: "1.82").json["shards"] != nil)
    }
  }
}
