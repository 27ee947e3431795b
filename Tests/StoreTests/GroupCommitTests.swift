import Cryptography
import Synchronization
import TestSupport
import Testing

@testable import Store

@Suite struct GroupCommitTests {
  private struct Stop: Error {}

  /// What became of writes, in the order in which it was told.
  private final class Told: Sendable {
    private let list = Mutex<[String]>([])
    var words: [String] { list.withLock { $0 } }
    func add(_ word: String) { list.withLock { $0.append(word) } }

    /// Inserts a setting, then does something more.
    func write(
      _ name: String, size: Int = 1, then body: @escaping @Sendable (SQLiteSession) throws -> Void = { _ in }
    ) -> Write {
      Write { session in
        session.afterCommit { self.add("\(name) is in force") }
        try session.execute(
          "INSERT INTO settings (name, value) VALUES ($1, $2)",
          [.text(name), .text(String(repeating: "x", count: size))])
        try body(session)
        return { failure in self.add(failure == nil ? "\(name) done" : "\(name) lost") }
      } refuse: { _ in
        self.add("\(name) refused")
      }
    }
  }

  private func withSession(_ body: (SQLiteSession, String) throws -> Void) async throws {
    try await withFolder("group") { folder in
      let session = try SQLiteSession(path: "\(folder)/site.db", durable: true)
      try session.script("CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
      try body(session, "\(folder)/site.db")
    }
  }
  private func names(_ session: SQLiteSession) throws -> [String] {
    try session.query("SELECT name FROM settings ORDER BY name", []) { $0.text(0) }
  }

  @Test func oneThatFailsTakesNothingOfTheOthersAndNobodyIsToldBeforeAllAreInForce() async throws {
    try await withSession { session, path in
      let told = Told()
      let seen = Told()
      let writes = [
        told.write("a"), told.write("b") { _ in throw Stop() }, told.write("a"),
        told.write("c") { _ in
          let names = try self.names(SQLiteSession(path: path, durable: false))
          seen.add(names.joined(separator: " "))
        },
      ]

      GroupCommit.perform(writes, in: session)

      let kept = try names(session)
      #expect(kept == ["a", "c"])
      #expect(told.words == ["b refused", "a refused", "a is in force", "c is in force", "a done", "c done"])
      #expect(seen.words == [""], "the first was in force before the last had run")
    }
  }

  @Test func aDiskThatIsFullTakesBackAllThatShareTheCommitAndTheRestGoOn() async throws {
    try await withSession { session, _ in
      let told = Told()
      let pages = try session.query("PRAGMA page_count", []) { $0.int(0) }.first ?? 0
      try session.script("PRAGMA max_page_count=\(pages + 2)")

      GroupCommit.perform([told.write("a"), told.write("big", size: 1 << 20), told.write("b")], in: session)

      // Whether SQLite took back the statement or the transaction is its own affair: what is told is what is so.
      let kept = try names(session)
      #expect(told.words.contains("big refused") && !kept.contains("big"))
      for name in ["a", "b"] {
        #expect(told.words.contains(kept.contains(name) ? "\(name) done" : "\(name) lost"), "\(told.words) \(kept)")
        #expect(told.words.contains("\(name) is in force") == kept.contains(name))
      }
      #expect(kept.contains("b"))
      #expect(!session.isInTransaction)
    }
  }

  @Test func aTransactionThatSQLiteEndsIsLostToThoseBeforeAndNotToThoseBehind() async throws {
    try await withSession { session, _ in
      let told = Told()
      // As SQLite does on its own when the disk is full or memory is short.
      let ends = told.write("x") { session in
        try session.script("ROLLBACK")
        throw StoreError(.full, "the disk is full")
      }

      GroupCommit.perform([told.write("a"), ends, told.write("b"), told.write("c")], in: session)

      let kept = try names(session)
      #expect(kept == ["b", "c"])
      #expect(
        told.words == ["x refused", "a lost", "b is in force", "c is in force", "b done", "c done"], "\(told.words)")
    }
  }

  @Test func manyAtOnceAreEachToldTheTruth() async throws {
    try await withFolder("group") { folder in
      let database = try Database.fresh(
        at: "\(folder)/site.db", secrets: SecretBox(key: [UInt8](repeating: 7, count: 32)))
      let done = await withTaskGroup(of: (Int, Bool).self) { group in
        for number in 0..<500 {
          group.addTask {
            let result: Void? = try? await database.write { session in
              // Half of the names are taken twice.
              _ = try session.execute(
                "INSERT INTO settings (name, value) VALUES ($1, $2)",
                [.text("n\(number < 250 ? number : number - number % 2)"), .text("\(number)")])
              if number % 7 == 0 { throw Stop() }
            }
            return (number, result != nil)
          }
        }
        return await group.reduce(into: Set<Int>()) { if $1.1 { $0.insert($1.0) } }
      }
      let kept = try await database.read { session in
        Set(try session.query("SELECT value FROM settings WHERE name LIKE 'n%'", []) { Int($0.text(0)) ?? -1 })
      }
      #expect(kept == done && done.count > 250 && !done.contains { $0 % 7 == 0 })
      database.close()
    }
  }
}
