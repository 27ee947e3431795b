import HTTPTypes
import Testing
import Wire

/// Those who had the story's machine before, and those who get it later: what is theirs is the lease, and nothing of the machine.
@Suite struct LesseeTests {
  @Test func aLeaseThatIsOverOrToComeIsSeenAndGivesNothingOfTheMachine() async throws {
    let site = try await MatrixSite()
    func ask(_ service: String, _ method: HTTPRequest.Method, _ path: String, _ body: JSON? = nil, as caller: Caller)
      async throws -> (status: Int, body: String)
    {
      let service = try #require(site.services.first { $0.name == service })
      return try await site.call(service, method, path, body, as: caller)
    }
    let node = MatrixSite.uuid("node-tenant")
    for (caller, own) in [(Caller.formerLessee, "lease-former"), (.subLessee, "lease-sub")] {
      let lease = "/v1/leases/\(MatrixSite.uuid(own))"
      let shown = try await ask("esi-leap", .get, lease, as: caller)
      #expect(shown.status == 200 && shown.body.contains(own))
      // The machine's other leases, and who has them, are none of theirs.
      let list = try await ask("esi-leap", .get, "/v1/leases?view=all", as: caller).body
      #expect(!list.contains(MatrixSite.uuid("lease-tenant")) && !list.contains("p-tenant"), "\(list)")
      #expect(!shown.body.contains("p-tenant") || own == "lease-sub", "\(shown.body)")
      for (service, method, path, body) in [
        ("ironic", HTTPRequest.Method.get, "/v1/nodes/\(node)", nil as JSON?),
        ("ironic", .put, "/v1/nodes/\(node)/states/power", ["target": "power off"]),
        ("ironic", .get, "/v1/nodes/\(node)/console", nil), ("ironic", .get, "/v1/nodes/\(node)/vifs", nil),
        ("esi-leap", .get, "/v1/nodes/\(node)", nil),
        ("esi-leap", .post, "/v1/console_auth_tokens", ["node_uuid_or_name": .string(node)]),
        ("esi-leap", .get, "/v1/leases/\(MatrixSite.uuid("lease-tenant"))", nil),
        ("esi-leap", .delete, "/v1/leases/\(MatrixSite.uuid("lease-tenant"))", nil),
      ] {
        let answer = try await ask(service, method, path, body, as: caller)
        #expect(answer.status == 404, "\(caller.rawValue) \(method) \(path): \(answer)")
      }
      #expect(!(try await ask("ironic", .get, "/v1/nodes", as: caller).body.contains(node)))
    }
    // What is over is not moved, and not ended again; what is to come is its lessee's and, above it, the tenant's to end.
    let former = "/v1/leases/\(MatrixSite.uuid("lease-former"))"
    for (method, body) in [
      (HTTPRequest.Method.patch, ["end_time": "2099-01-01T00:00:00"] as JSON?), (.delete, nil),
    ] {
      let answer = try await ask("esi-leap", method, former, body, as: .formerLessee)
      #expect((400..<500).contains(answer.status), "\(method): \(answer)")
    }
    let later = "/v1/leases/\(MatrixSite.uuid("lease-sub"))"
    #expect(try await ask("esi-leap", .delete, later, as: .stranger).status == 404)
    for caller in [Caller.subLessee, .lessee] {
      #expect(try await ask("esi-leap", .delete, later, as: caller).status == 200, "\(caller.rawValue)")
      try await site.reset()
    }
    site.removeAll()
  }
}
