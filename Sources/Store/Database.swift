import Cryptography

/// The site's database: transactions on threads of their own, one writer and a few readers.
///
/// SQLite in WAL mode: readers never wait for the writer. Every write commits with `synchronous=FULL`, because a workflow
/// event that is lost after its effect happened would make the effect happen twice (docs/architecture.md, rule 10). Writes
/// that wait for the disk at the same time share a commit (``GroupCommit``).
public final class Database: Sendable {
  private let readers: WorkerPool<Read>
  private let writer: WorkerPool<Write>
  private typealias Read = @Sendable (SQLiteSession) -> Void
  /// Encrypts secrets at rest (BMC passwords); the key file lies beside the database.
  public let secrets: SecretBox
  public let path: String

  /// Opens the database and brings its schema up to date, after a copy of the file beside it (`FILE.schema-NUMBER`).
  /// - Parameter upgrades: false for a command beside the server, which finds the schema as it must be or stops.
  /// - Throws: ``StoreError`` when the file is newer than this program, or its disk is full; the file is then as it was.
  public init(path: String, secrets: SecretBox, readers count: Int = 3, upgrades: Bool = true) throws {
    self.path = path
    self.secrets = secrets
    do {
      writer = try WorkerPool(count: 1, batch: GroupCommit.limit) {
        let session = try SQLiteSession(path: path, durable: true)
        try Migration.apply(to: session, path: path, isAllowed: upgrades)
        return session
      } perform: { writes, session in
        GroupCommit.perform(writes, in: session)
      }
      readers = try WorkerPool(count: count, batch: 1) {
        try SQLiteSession(path: path, durable: false)
      } perform: { reads, session in
        for read in reads { read(session) }
      }
    } catch let error as StoreError where error.kind == .full {
      throw StoreError(.full, "the disk of \(path) is full: free space there and start again")
    }
  }

  /// Runs `body` in a read transaction: one consistent picture.
  public func read<T: Sendable>(_ body: @escaping @Sendable (any Session) throws -> T) async throws -> T {
    try await onReader { session in
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
  private func onReader<T: Sendable>(_ body: @escaping @Sendable (SQLiteSession) throws -> T) async throws -> T {
    try await withCheckedThrowingContinuation { continuation in
      let isAccepted = readers.put { session in continuation.resume(with: Result { try body(session) }) }
      if !isAccepted { continuation.resume(throwing: Self.closed) }
    }
  }
  private static let closed = StoreError(.other, "the database is closed")

  /// Runs `body` in a write transaction; all of it happens or none, and it is on the disk when this returns.
  public func write<T: Sendable>(_ body: @escaping @Sendable (any Session) throws -> T) async throws -> T {
    try await withCheckedThrowingContinuation { continuation in
      let write = Write { session in
        let value = try body(session)
        return { failure in
          if let failure { continuation.resume(throwing: failure) } else { continuation.resume(returning: value) }
        }
      } refuse: {
        continuation.resume(throwing: $0)
      }
      if !writer.put(write) { continuation.resume(throwing: Self.closed) }
    }
  }

  /// Copies the database to `path` while the server runs.
  public func backUp(to path: String) async throws {
    try await onReader { session in try session.backUp(to: path) }
  }

  /// Lets running transactions finish and closes the files.
  public func close() {
    readers.stop()
    writer.stop()
  }
}
