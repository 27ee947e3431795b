import Cryptography
import Domain
import Glibc
import TestSupport
import Testing

@testable import Store

@Suite struct MigrationTests {
  private let box = SecretBox(key: [UInt8](repeating: 7, count: 32))

  private func inFolder(_ body: (String) throws -> Void) async throws {
    try await withFolder("migration") { try body("\($0)/site.db") }
  }
  private func schema(_ session: SQLiteSession) throws -> [String] {
    try session.query("SELECT name, COALESCE(sql, '') FROM sqlite_master ORDER BY name", []) {
      "\($0.text(0)): \($0.text(1))"
    }
  }
  private func number(of path: String) throws -> Int? {
    try SQLiteSession(path: path, durable: false)
      .query("SELECT MAX(number) FROM schema_migrations", []) { $0.int(0) }.first
  }
  private func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

  /// What a program of an earlier schema left: a user with a role, a workflow with its log.
  private func makeOld(_ path: String, schema count: Int) throws {
    let session = try SQLiteSession(path: path, durable: true)
    try Migration.apply(Array(Migration.all.prefix(count)), to: session, path: path)
    try session.script(
      """
      INSERT INTO workflows (id, kind, version, subject, params, state, created_at, updated_at)
        VALUES ('w', 'deploy-node', 1, 'n', '{"a":1}', 'waiting', 5, 6);
      INSERT INTO workflow_events (workflow, seq, step, kind, attempt, epoch, at) VALUES ('w', 1, 's', 'started', 0, 0, 5);
      """)
  }

  @Test func everyEarlierSchemaBecomesTheSameAndKeepsWhatItHadWithACopyBeside() async throws {
    var fresh: [String] = []
    try await inFolder { path in
      let session = try SQLiteSession(path: path, durable: true)
      try Migration.apply(to: session, path: path)
      fresh = try schema(session)
      #expect(!exists(Migration.copy(of: path, schema: 0)), "there was nothing to copy")
    }
    for count in 1..<Migration.all.count {
      try await inFolder { path in
        try makeOld(path, schema: count)

        try Database(path: path, secrets: box).close()

        let session = try SQLiteSession(path: path, durable: true)
        let became = try schema(session)
        #expect(became == fresh, "from schema \(count)")
        let kept = try session.query(
          "SELECT w.params, e.step FROM workflows w JOIN workflow_events e ON e.workflow = w.id", []
        ) { "\($0.text(0)) \($0.text(1))" }
        #expect(kept == ["{\"a\":1} s"], "from schema \(count)")
        let copy = Migration.copy(of: path, schema: count)
        #expect(try number(of: copy) == count)
        var information = stat()
        #expect(stat(copy, &information) == 0 && information.st_mode & 0o777 == 0o600)
        // The earlier program runs again on the copy.
        try Migration.apply(
          Array(Migration.all.prefix(count)), to: SQLiteSession(path: copy, durable: true), path: copy)
      }
    }
  }

  @Test func nothingFiltersWhatWasThereBeforeThereWereSecurityGroups() async throws {
    try await inFolder { path in
      let session = try SQLiteSession(path: path, durable: true)
      let before = Migration.all.prefix { $0.name != "security groups" }
      try Migration.apply(Array(before), to: session, path: path)
      try session.script(
        """
        INSERT INTO networks (id, project_id, name, description, is_admin_state_up, is_external, is_default, mtu,
            physical_network, vlan, dns_domain, revision, created_at, updated_at)
          VALUES ('n', 'p', 'net', '', 1, 0, 0, 1500, 'physnet1', 205, '', 1, 5, 6);
        INSERT INTO network_ports (id, network_id, project_id, name, description, mac_address, is_admin_state_up, status,
            device_id, device_owner, host_id, vnic_type, profile, dns_name, is_bound, revision, created_at, updated_at)
          VALUES ('v', 'n', 'p', 'vif', '', '52:54:00:00:00:01', 1, 'ACTIVE', '', '', 'node', 'baremetal', '{}', '', 1, 3, 5, 6);
        INSERT INTO switch_ports (switch_name, port, native, tagged, state, changed_at)
          VALUES ('sw0', 'n1', 205, '[]', 'in force', 6);
        """)

      try Migration.apply(to: session, path: path)

      let port = try #require(try NetworkPortStore.get("v", in: session))
      #expect(!port.isPortSecurityEnabled && port.securityGroupIDs.isEmpty && port.addressPairs.isEmpty)
      #expect(port.status == .active && port.revision == 3)
      #expect(try SecurityGroupStore.accessList(of: port, in: session) == nil)
      #expect(try NetworkStore.get("n", in: session)?.isPortSecurityEnabled == false)
      // The switch is not touched: the intent is the same, and still in force.
      let intent = try #require(try SwitchPortStore.list(in: session).first)
      #expect(intent.configuration == PortConfiguration(native: 205) && intent.state == .inForce)
      #expect(try SecurityGroupStore.list(in: session).isEmpty)
    }
  }

  @Test func aNetworkThatWasSharedOrExternalHasThePolicyThatSaysSo() async throws {
    try await inFolder { path in
      let session = try SQLiteSession(path: path, durable: true)
      try Migration.apply(Array(Migration.all.prefix(12)), to: session, path: path)
      for (vlan, shared, external) in [(1, 0, 0), (2, 1, 0), (3, 0, 1), (4, 1, 1)] {
        try session.execute(
          """
          INSERT INTO networks VALUES ('n' || $1, 'p' || $1, 'x', '', 1, $2, $3, 0, 1500, 'physnet1', $1, '', 1, 5, 6)
          """, [.int(vlan), .int(shared), .int(external)])
      }

      try Migration.apply(to: session, path: path)

      let policies = try session.query(
        "SELECT object_id, action, project_id, target_project, object_type, created_at FROM rbac_policies ORDER BY 1, 2",
        []
      ) { "\($0.text(0)) \($0.text(1)) \($0.text(2)) \($0.text(3)) \($0.text(4)) \($0.int(5))" }
      #expect(
        policies == [
          "n2 access_as_shared p2 * network 6", "n3 access_as_external p3 * network 6",
          "n4 access_as_external p4 * network 6", "n4 access_as_shared p4 * network 6",
        ])
      let ids = try session.query("SELECT id FROM rbac_policies", []) { $0.text(0) }
      let form = #/[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}/#
      #expect(Set(ids).count == 4 && ids.allSatisfy { $0.wholeMatch(of: form) != nil })
      let rest = try session.query("SELECT id, is_external, mtu, revision FROM networks ORDER BY id", []) {
        "\($0.text(0)) \($0.int(1)) \($0.int(2)) \($0.int(3))"
      }
      #expect(rest == ["n1 0 1500 1", "n2 0 1500 1", "n3 1 1500 1", "n4 1 1500 1"])
    }
  }

  @Test func anEarlierProgramRefusesALaterSchemaAndSaysWhereTheCopyIs() async throws {
    try await inFolder { path in
      try makeOld(path, schema: 11)
      try Database(path: path, secrets: box).close()
      let session = try SQLiteSession(path: path, durable: true)
      let before = try schema(session)

      let error = #expect(throws: StoreError.self) {
        try Migration.apply(Array(Migration.all.prefix(11)), to: session, path: path)
      }

      #expect(error?.description.contains("site.db.schema-11") == true)
      let after = try schema(session)
      #expect(after == before)
    }
  }

  @Test func aCommandBesideTheServerNeverChangesTheSchema() async throws {
    try await inFolder { path in
      try makeOld(path, schema: 3)
      let error = #expect(throws: StoreError.self) { try Database(path: path, secrets: box, upgrades: false) }
      #expect(error?.description.contains("steelyard serve") == true)
      #expect(try number(of: path) == 3 && !exists(Migration.copy(of: path, schema: 3)))
      try Database(path: path, secrets: box).close()
      try Database(path: path, secrets: box, upgrades: false).close()
    }
  }
}
