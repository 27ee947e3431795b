import Cryptography
import Domain
import Glibc
import TestSupport
import Testing
import Wire

@testable import Store

@Suite struct DatabaseTests {
  private let box = SecretBox(key: [UInt8](repeating: 7, count: 32))

  @Test func migrationsAreNumberedWithoutAGap() {
    #expect(Migration.all.map(\.number) == Array(1...Migration.all.count))
  }

  @Test func aDatabaseOpensAgainAndKeepsWhatItHas() async throws {
    try await withFolder("store") { folder in
      let path = "\(folder)/site.db"
      let first = try Database(path: path, secrets: box)
      try await first.write { _ = try $0.execute("INSERT INTO settings (name, value) VALUES ('a', 'b')", []) }
      first.close()
      let second = try Database(path: path, secrets: box)
      #expect(try await second.read { try $0.query("SELECT value FROM settings", []) { $0.text(0) } } == ["b"])
      second.close()
    }
  }

  @Test func aDatabaseOfANewerProgramIsRefused() async throws {
    try await withFolder("store") { folder in
      let path = "\(folder)/site.db"
      let database = try Database(path: path, secrets: box)
      try await database.write {
        _ = try $0.execute("INSERT INTO schema_migrations (number, name) VALUES (999, 'later')", [])
      }
      database.close()
      #expect(throws: StoreError.self) { try Database(path: path, secrets: box) }
    }
  }

  @Test func aTransactionThatThrowsChangesNothingAndTellsNobody() async throws {
    try await withFolder("store") { folder in
      struct Stop: Error {}
      let database = try Database(path: "\(folder)/site.db", secrets: box)
      await #expect(throws: Stop.self) {
        try await database.write { session in
          _ = try session.execute("INSERT INTO settings (name, value) VALUES ('a', 'b')", [])
          session.afterCommit { Issue.record("called after a rollback") }
          throw Stop()
        }
      }
      #expect(try await database.read { try $0.query("SELECT value FROM settings", []) { $0.text(0) } }.isEmpty)
      database.close()
    }
  }

  @Test func aTakenNameIsAConflict() async throws {
    try await withFolder("store") { folder in
      let database = try Database(path: "\(folder)/site.db", secrets: box)
      let box = box
      try await database.write { session in
        let now = Timestamp(seconds: 1)
        try NodeStore.insert(
          Node(uuid: Identifier.uuid(), name: "n1", driver: "ipmi", createdAt: now), secrets: [], box: box, in: session)
      }
      await #expect(throws: StoreError.self) {
        try await database.write { session in
          let now = Timestamp(seconds: 1)
          try NodeStore.insert(
            Node(uuid: Identifier.uuid(), name: "n1", driver: "ipmi", createdAt: now), secrets: [], box: box,
            in: session)
        }
      }
      database.close()
    }
  }

  @Test func secretsAreSealedInTheFileMaskedWhenReadAndKeptByTheirMask() async throws {
    try await withFolder("store") { folder in
      let path = "\(folder)/site.db"
      let database = try Database(path: path, secrets: box)
      let box = box
      let id = Identifier.uuid()
      try await database.write { session in
        var node = Node(uuid: id, driver: "ipmi", createdAt: Timestamp(seconds: 1))
        node.driverInfo = ["ipmi_address": "10.0.0.1", "ipmi_password": "correct horse"]
        try NodeStore.insert(node, secrets: ["ipmi_password"], box: box, in: session)
        try NodeStore.setDriverInfo(
          ["ipmi_address": "10.0.0.2", "ipmi_password": .string(Node.mask)], of: id, secrets: ["ipmi_password"],
          box: box,
          in: session)
      }
      let (shown, clear) = try await database.read { session in
        (
          try NodeStore.get(id, in: session)?.driverInfo,
          try NodeStore.driverInfoWithSecrets(of: id, box: box, in: session)
        )
      }
      #expect(shown?["ipmi_password"]?.string == Node.mask)
      #expect(clear["ipmi_password"]?.string == "correct horse")
      #expect(clear["ipmi_address"]?.string == "10.0.0.2")
      try await database.backUp(to: path + ".copy")
      database.close()
      for file in [path, path + ".copy"] {
        let descriptor = open(file, O_RDONLY)
        var bytes = [UInt8](repeating: 0, count: 1 << 20)
        let count = read(descriptor, &bytes, bytes.count)
        close(descriptor)
        #expect(count > 0)
        #expect(!String(decoding: bytes.prefix(count), as: UTF8.self).contains("correct horse"))
      }
    }
  }
}
