import Cryptography

/// The site's database: transactions on threads of their own, one writer and a few readers.
///
/// SQLite in WAL mode: readers never wait for the writer. Every write commits with `synchronous=FULL`, because a workflow
/// event that is lost after its effect happened would make the effect happen twice (docs/architecture.md, rule 10).
public final class Database: Sendable {
  private let readers: WorkerPool
  private let writer: WorkerPool
  /// Encrypts secrets at rest (BMC passwords); the key file lies beside the database.
  public let secrets: SecretBox
  public let path: String

  /// Opens the database and brings its schema up to date.
  /// - Throws: ``StoreError`` when the file is newer than this program, or its disk is full.
  public init(path: String, secrets: SecretBox, readers count: Int = 3) throws {
    self.path = path
    self.secrets = secrets
    do {
      writer = try WorkerPool(count: 1) {
        let session = try SQLiteSession(path: path, durable: true)
        try Migration.apply(to: session)
        return session
      }
      readers = try WorkerPool(count: count) { try SQLiteSession(path: path, durable: false) }
    } catch let error as StoreError where error.kind == .full {
      throw StoreError(.full, "the disk of \(path) is full: free space there and start again")
    }
  }

  /// Runs `body` in a read transaction: one consistent picture.
  public func read<T: Sendable>(_ body: @escaping @Sendable (any Session) throws -> T) async throws -> T {
    try await readers.run { session in
      try session.begin(write: false)
      do {
        let value = try body(session)
        _ = try session.commit()
        return value
      } catch {
        session.rollback()
        throw error
      }
    }
  }

  /// Runs `body` in a write transaction; all of it happens or none.
  public func write<T: Sendable>(_ body: @escaping @Sendable (any Session) throws -> T) async throws -> T {
    try await writer.run { session in
      try session.begin(write: true)
      do {
        let value = try body(session)
        for action in try session.commit() { action() }
        return value
      } catch {
        session.rollback()
        throw error
      }
    }
  }

  /// Copies the database to `path` while the server runs.
  public func backUp(to path: String) async throws {
    try await readers.run { session in try session.backUp(to: path) }
  }

  /// Lets running transactions finish and closes the files.
  public func close() {
    readers.stop()
    writer.stop()
  }
}
