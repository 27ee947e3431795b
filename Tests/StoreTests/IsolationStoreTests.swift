import Cryptography
import Domain
import Glibc
import Processes
import TestSupport
import Testing
import Wire

@testable import Store

/// What isolation reports are made of cannot be changed behind anybody's back, and their signature is one that others can check.
@Suite struct IsolationStoreTests {
  private let now = Timestamp(seconds: 1_700_000_000)
  private let place = SwitchPort(switchName: "sw0", port: "n1")
  private func withDatabase(_ body: @escaping @Sendable (Database) async throws -> Void) async throws {
    try await withFolder("isolation") { folder in
      let database = try Database.fresh(
        at: "\(folder)/site.db", secrets: SecretBox(key: [UInt8](repeating: 7, count: 32)))
      let (now, place) = (now, place)
      try await database.write { session in
        var node = Node(uuid: "node", name: "n1", driver: "d", createdAt: now)
        node.leaseUUID = "lease"
        try NodeStore.insert(node, secrets: [], box: database.secrets, in: session)
        var port = Port(uuid: "port", nodeUUID: "node", address: "52:54:00:00:00:01", createdAt: now)
        port.localLinkConnection = ["switch_info": .string(place.switchName), "port_id": .string(place.port)]
        try PortStore.insert(port, in: session)
        try LeaseStore.insert(
          Lease(
            uuid: "lease", projectID: "t", ownerID: "o", resourceUUID: "node",
            time: TimeRange(now, now + .seconds(60)), createdAt: now), in: session)
        try LeaseStore.setActive("lease", at: now, in: session)
        try IsolationStore.note(.change, at: place, label: "w1/attach-port", ["k": 1], at: now, in: session)
      }
      try await body(database)
      database.close()
    }
  }
  private func records(_ database: Database) async throws -> [IsolationRecord] {
    try await database.read { try IsolationStore.list(lease: "lease", in: $0) }
  }

  @Test func aRecordIsTheLeasesThatHoldsTheMachine() async throws {
    try await withDatabase { database in
      let found = try await records(database)
      #expect(found.map(\.kind) == [.change])
      #expect(found.first?.workflow == "w1" && found.first?.step == "attach-port" && found.first?.data == ["k": 1])
      let (now, place) = (now, place)
      try await database.write { session in
        // No machine's port, and then a machine that nobody leases.
        try IsolationStore.note(
          .drift, at: SwitchPort(switchName: "sw0", port: "x"), label: nil, [:], at: now, in: session)
        var node = try #require(try NodeStore.get("node", in: session))
        node.leaseUUID = nil
        try NodeStore.update(node, in: session)
        try IsolationStore.note(.drift, at: place, label: nil, [:], at: now, in: session)
        #expect(try IsolationStore.list(lease: "lease", in: session).count == 1)
        // While it is taken back, it is still that lease's.
        try LeaseStore.setEnding(.deleted, of: "lease", at: now, in: session)
        try IsolationStore.note(.readBack, at: place, label: nil, [:], at: now, in: session)
      }
      #expect(try await records(database).map(\.kind) == [.change, .readBack])
    }
  }

  @Test func aRecordIsNeverChangedAndStaysWhileItsLeaseIsLive() async throws {
    try await withDatabase { database in
      let before = try await records(database)
      for sql: StaticString in [
        "UPDATE isolation_records SET data = '{}'", "UPDATE isolation_records SET lease_uuid = 'other'",
        "DELETE FROM isolation_records",
        "INSERT OR REPLACE INTO isolation_records SELECT id, 'lease', node_uuid, at, 'end', switch_name, port, NULL, NULL, NULL, '{}' FROM isolation_records",
      ] {
        let error = await #expect(throws: StoreError.self, "\(sql)") {
          try await database.write { _ = try $0.execute(sql, []) }
        }
        #expect(error?.description.contains("isolation record") == true)
      }
      let now = now
      try await database.write { try IsolationStore.prune(before: now + .seconds(1_000_000), in: $0) }
      #expect(try await records(database) == before)
    }
  }

  @Test func whatIsOverIsKeptAsLongAsWorkflowsAre() async throws {
    try await withDatabase { database in
      let now = now
      try await database.write { session in
        try SwitchAuditStore.record("sw0", at: now, pause: .seconds(120), in: session)
        try LeaseStore.setEnded(.deleted, of: "lease", at: now + .seconds(10), in: session)
        try IsolationStore.prune(before: now + .seconds(10), in: session)
      }
      #expect(try await records(database).count == 1)
      try await database.write { try IsolationStore.prune(before: now + .seconds(11), in: $0) }
      #expect(try await records(database).isEmpty)
      #expect(try await database.read { try SwitchAuditStore.lastReads(in: $0) }.isEmpty)
    }
  }

  @Test func theSitesKeyIsMadeOnceAndSealed() async throws {
    try await withDatabase { database in
      let first = try await database.signingKey(), again = try await database.signingKey()
      #expect(first.seed == again.seed && first.publicKey == again.publicKey)
      let stored = try await database.read { session in
        try session.query("SELECT value FROM settings WHERE name = 'isolation.signing_key'", []) { $0.text(0) }
      }
      #expect(stored.count == 1 && stored.first?.hasPrefix("sealed:") == true)
      #expect(stored.first?.contains(Base64.text(first.seed)) == false)
      let other = SecretBox(key: [UInt8](repeating: 8, count: 32))
      await #expect(throws: StoreError.self) { try await database.read { try SigningKeyStore.get(other, in: $0) } }
    }
  }

  @Test func aSignatureIsOursAloneAndOpenSSLAgrees() async throws {
    let key = try #require(SigningKey(seed: [UInt8](0..<32))), other = try #require(SigningKey(seed: randomBytes(32)))
    let message = Array("{\"lease\": 1}".utf8)
    let signature = key.signature(of: message)
    #expect(key.publicKey.isValid(signature, for: message))
    #expect(!other.publicKey.isValid(signature, for: message))
    #expect(!key.publicKey.isValid(signature, for: message + [32]) && !key.publicKey.isValid([], for: message))
    #expect(!key.publicKey.isValid(Array(signature.reversed()), for: message))
    // RFC 8032, section 7.1, test 1: the key of a known seed, and its signature of nothing.
    let known = try #require(
      SigningKey(
        seed: [
          0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4, 0x44, 0x49,
          0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60,
        ]))
    #expect(Digest.hex(known.publicKey.raw) == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    #expect(Digest.hex(known.signature(of: [])).hasPrefix("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974"))
    #expect(VerifyingKey(pem: key.publicKey.pem) == key.publicKey)
    for wrong in [
      "", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "-----BEGIN PUBLIC KEY-----",
      key.publicKey.pem.replacing("MCow", with: "MCox"),
    ] { #expect(VerifyingKey(pem: wrong) == nil, "\(wrong)") }
    #expect(SigningKey(seed: [1, 2]) == nil && VerifyingKey(raw: []) == nil)

    try await withFolder("signature") { folder in
      for (name, bytes) in [("m", message), ("s", signature), ("k", Array(key.publicKey.pem.utf8))] {
        _ = try await runChecked("sh", ["-c", "cat >\"$0\"", "\(folder)/\(name)"], input: bytes)
      }
      let verify = [
        "pkeyutl", "-verify", "-pubin", "-inkey", "\(folder)/k", "-rawin", "-in", "\(folder)/m", "-sigfile",
        "\(folder)/s",
      ]
      #expect(try await run("openssl", verify).text.contains("Verified Successfully"))
      _ = try await runChecked("sh", ["-c", "echo >>\"$0\"", "\(folder)/m"])
      #expect(try await run("openssl", verify).status != 0)
    }
  }
}
