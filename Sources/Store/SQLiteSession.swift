import CSQLite
import Glibc

/// A SQLite connection. Owned by one thread of a ``WorkerPool``.
final class SQLiteSession: Session {
  private let handle: OpaquePointer
  /// Keyed by the address of the SQL literal: no hashing of the text.
  private var literals: [UnsafePointer<UInt8>: OpaquePointer] = [:]
  private var texts: [String: OpaquePointer] = [:]
  private var committed: [@Sendable () -> Void] = []
  /// Statements prepared at run time that are kept; filters come in few shapes.
  private static let textLimit = 256

  /// SQLite counts every piece of memory under one lock of the process unless it is told not to (SQLITE_CONFIG_MEMSTATUS).
  private static let hasNoStatistics = csqlite_forget_statistics() == SQLITE_OK

  /// - Parameter durable: commits reach the disk before they return (`synchronous=FULL`).
  init(path: String, durable: Bool) throws {
    _ = Self.hasNoStatistics
    var opened: OpaquePointer?
    let code = sqlite3_open_v2(path, &opened, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nil)
    guard code == SQLITE_OK, let opened else {
      sqlite3_close_v2(opened)
      throw StoreError(.other, "cannot open \(path): \(String(cString: sqlite3_errstr(code)))")
    }
    handle = opened
    sqlite3_busy_timeout(handle, 10_000)
    try script(
      "PRAGMA journal_mode=WAL; PRAGMA synchronous=\(durable ? "FULL" : "NORMAL"); PRAGMA foreign_keys=ON; "
        + "PRAGMA temp_store=MEMORY; PRAGMA cache_size=-8000;")
  }
  deinit {
    for statement in literals.values { sqlite3_finalize(statement) }
    for statement in texts.values { sqlite3_finalize(statement) }
    sqlite3_close_v2(handle)
  }

  /// Runs SQL of our own that has no arguments: pragmas and migrations.
  func script(_ sql: String) throws {
    guard sqlite3_exec(handle, sql, nil, nil, nil) == SQLITE_OK else { throw failure(sql) }
  }

  func begin(write: Bool) throws {
    committed.removeAll()
    try execute(write ? "BEGIN IMMEDIATE" : "BEGIN", [])
  }
  /// - Returns: what to run now that the transaction is in force.
  func commit() throws -> [@Sendable () -> Void] {
    try execute("COMMIT", [])
    defer { committed.removeAll() }
    return committed
  }
  func rollback() {
    committed.removeAll()
    _ = try? execute("ROLLBACK", [])
  }
  /// Whether a transaction is open: SQLite ends one by itself when it runs out of disk or memory.
  var isInTransaction: Bool { sqlite3_get_autocommit(handle) == 0 }
  /// Runs `body` so that an error of it takes back what it did, and nothing else of the transaction.
  func withSavepoint<T>(_ body: () throws -> T) throws -> T {
    let count = committed.count
    try execute("SAVEPOINT one", [])
    do {
      let value = try body()
      try execute("RELEASE one", [])
      return value
    } catch {
      committed.removeSubrange(count...)
      if isInTransaction {
        try execute("ROLLBACK TO one", [])
        try execute("RELEASE one", [])
      }
      throw error
    }
  }
  func afterCommit(_ action: @escaping @Sendable () -> Void) { committed.append(action) }

  private func failure(_ sql: String) -> StoreError {
    let code = sqlite3_extended_errcode(handle)
    let kind: StoreError.Kind =
      switch code {
      case csqlite_constraint_unique, csqlite_constraint_primarykey, csqlite_constraint_foreignkey,
        csqlite_constraint_trigger:
        .conflict
      default:
        switch code & 255 {
        case SQLITE_BUSY, SQLITE_LOCKED: .busy
        case SQLITE_FULL: .full
        // Growing the log's index fails as an I/O error on a full disk.
        case SQLITE_IOERR: [ENOSPC, EDQUOT].contains(sqlite3_system_errno(handle)) ? .full : .other
        default: .other
        }
      }
    return StoreError(kind, "\(String(cString: sqlite3_errmsg(handle))) in: \(sql.prefix(200))")
  }

  private func prepare(_ sql: String) throws -> OpaquePointer {
    var statement: OpaquePointer?
    let code = sqlite3_prepare_v3(handle, sql, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &statement, nil)
    guard code == SQLITE_OK, let statement else { throw failure(sql) }
    return statement
  }
  private func statement(_ sql: StaticString) throws -> OpaquePointer {
    if let known = literals[sql.utf8Start] { return known }
    let statement = try prepare("\(sql)")
    literals[sql.utf8Start] = statement
    return statement
  }
  private func statement(_ query: Query) throws -> OpaquePointer {
    if let known = texts[query.sql] { return known }
    if texts.count >= Self.textLimit {
      for statement in texts.values { sqlite3_finalize(statement) }
      texts.removeAll()
    }
    let statement = try prepare(query.sql)
    texts[query.sql] = statement
    return statement
  }

  private func bind(_ arguments: [Value], to statement: OpaquePointer) throws {
    // SQLite numbers $N by first appearance, PostgreSQL by N: the subset asks that they agree.
    for (index, value) in arguments.enumerated() {
      let position = Int32(index + 1)
      let code =
        switch value {
        case .null: sqlite3_bind_null(statement, position)
        case .int(let number): sqlite3_bind_int64(statement, position, Int64(number))
        case .real(let number): sqlite3_bind_double(statement, position, number)
        case .bool(let flag): sqlite3_bind_int64(statement, position, flag ? 1 : 0)
        case .text(var text):
          text.withUTF8 { utf8 in
            utf8.withMemoryRebound(to: CChar.self) { bytes in
              var empty: CChar = 0
              if let start = bytes.baseAddress {
                return csqlite_bind_text(statement, position, start, Int32(bytes.count))
              }
              return csqlite_bind_text(statement, position, &empty, 0)
            }
          }
        }
      guard code == SQLITE_OK else { throw failure("argument \(index + 1)") }
    }
  }
  private func run<T>(
    _ statement: OpaquePointer, _ arguments: [Value], _ sql: @autoclosure () -> String,
    _ body: (borrowing Row) throws -> T
  ) throws -> [T] {
    try bind(arguments, to: statement)
    defer { sqlite3_reset(statement) }
    var out: [T] = []
    while true {
      switch sqlite3_step(statement) {
      case SQLITE_ROW: out.append(try body(Row(source: .sqlite(statement))))
      case SQLITE_DONE: return out
      default: throw failure(sql())
      }
    }
  }
  private func change(_ statement: OpaquePointer, _ arguments: [Value], _ sql: @autoclosure () -> String) throws -> Int
  {
    _ = try run(statement, arguments, sql()) { _ in }
    return Int(sqlite3_changes(handle))
  }

  func query<T>(_ sql: StaticString, _ arguments: [Value], _ body: (borrowing Row) throws -> T) throws -> [T] {
    try run(statement(sql), arguments, "\(sql)", body)
  }
  @discardableResult func execute(_ sql: StaticString, _ arguments: [Value]) throws -> Int {
    try change(statement(sql), arguments, "\(sql)")
  }
  func query<T>(_ query: Query, _ body: (borrowing Row) throws -> T) throws -> [T] {
    try run(statement(query), query.arguments, query.sql, body)
  }
  @discardableResult func execute(_ query: Query) throws -> Int {
    try change(statement(query), query.arguments, query.sql)
  }

  /// Copies the database into a new file while others go on using it (SQLite, "Online Backup API").
  func backUp(to path: String) throws {
    var target: OpaquePointer?
    guard sqlite3_open_v2(path, &target, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nil) == SQLITE_OK, let target
    else {
      sqlite3_close_v2(target)
      throw StoreError(.other, "cannot write \(path)")
    }
    defer { sqlite3_close_v2(target) }
    // Sealed secrets, and everybody's names.
    chmod(path, 0o600)
    guard let backup = sqlite3_backup_init(target, "main", handle, "main") else {
      throw StoreError(.other, String(cString: sqlite3_errmsg(target)))
    }
    let code = sqlite3_backup_step(backup, -1)
    sqlite3_backup_finish(backup)
    guard code == SQLITE_DONE else {
      // Half a copy is none, and takes the room that is missing.
      unlink(path)
      let isFull = code == SQLITE_FULL || code & 255 == SQLITE_IOERR
      throw StoreError(isFull ? .full : .other, "no copy at \(path): \(String(cString: sqlite3_errstr(code)))")
    }
  }
}
