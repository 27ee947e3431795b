import Domain
import Store
import TestSupport
import Testing
import Wire
import Workflows

@testable import Conductor

extension FakeLifeTests {
  /// A server with one fake node in `enroll`, its workflows running.
  struct Life {
    let site: CrashSite
    var conductor: Conductor { site.conductor }
    var database: Database { site.database }

    func node() async throws -> Node {
      try #require(try await database.read { try NodeStore.get(CrashSite.node, in: $0) })
    }
    func ask(_ verb: ProvisionVerb, _ parameters: JSONObject = [:]) async throws {
      try await database.write { [conductor] session in
        guard var node = try NodeStore.get(CrashSite.node, in: session) else { return }
        try conductor.provision(verb, node: &node, parameters: parameters, by: .system, in: session)
      }
    }
    func set(_ change: @escaping @Sendable (inout Node) -> Void) async throws {
      try await database.write { session in
        guard var node = try NodeStore.get(CrashSite.node, in: session) else { return }
        change(&node)
        try NodeStore.update(node, in: session)
        try NodeStore.setDriverInfo(node.driverInfo, of: node.uuid, secrets: [], box: database.secrets, in: session)
      }
    }
    /// The node once no workflow holds it.
    @discardableResult func settled() async throws -> Node {
      try #require(
        try await eventually { () -> Node? in
          let open = try await database.read { try WorkflowStore.open(in: $0) }
          let node = try await self.node()
          return open.isEmpty && node.reservation == nil ? node : nil
        })
    }
    func does(_ verb: ProvisionVerb, _ parameters: JSONObject = [:]) async throws -> Node {
      try await ask(verb, parameters)
      return try await settled()
    }
    func power(_ target: PowerTarget) async throws -> Node {
      try await database.write { [conductor] session in
        guard var node = try NodeStore.get(CrashSite.node, in: session) else { return }
        try conductor.setPower(target, node: &node, timeout: nil, by: .system, in: session)
      }
      return try await settled()
    }
    /// A lease of the node that has begun; the workflow that hands it over may still run.
    func lease() async throws -> Lease {
      let now = CrashSite.now()
      let lease = Lease(
        uuid: Identifier.uuid(), projectID: "tenant", ownerID: "p", resourceUUID: CrashSite.node,
        time: TimeRange(now - .seconds(1), now + .seconds(3600)), createdAt: now)
      try await database.write { try LeaseStore.insert(lease, in: $0) }
      _ = try await conductor.runLeases()
      return lease
    }
    func end(_ lease: Lease) async throws {
      try await database.write { [conductor] session in
        if let active = try LeaseStore.get(lease.uuid, in: session) {
          try conductor.endLease(active, reason: .deleted, in: session)
        }
      }
    }
  }
}
