import CSQLite
import Domain
import DriverInterfaces
import Glibc
import Wire

/// What is outside the server, kept in a file of its own whatever happens to the server: power, boot devices, switch ports,
/// addresses, disks. Each change is in a ledger, so that a test can tell what was done how often.
///
/// It stands for hardware in the crash tests, which kill the server hundreds of times and need an outside that is exact to
/// the instruction. The drivers themselves are tested against servers that speak their protocols.
public final class World: @unchecked Sendable {
  private let handle: OpaquePointer
  /// SQLite serialises (`SQLITE_OPEN_FULLMUTEX`); a change and its ledger line are one transaction under this lock.
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>

  public struct Failure: Error, CustomStringConvertible {
    public let description: String
  }

  public init(_ path: String) throws {
    var opened: OpaquePointer?
    guard
      sqlite3_open_v2(path, &opened, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX, nil)
        == SQLITE_OK, let opened
    else { throw Failure(description: "cannot open \(path)") }
    handle = opened
    mutex = .allocate(capacity: 1)
    pthread_mutex_init(mutex, nil)
    _ = try rows(
      "PRAGMA synchronous=OFF; PRAGMA journal_mode=WAL; CREATE TABLE IF NOT EXISTS thing (name TEXT PRIMARY KEY, value TEXT NOT NULL);"
        + "CREATE TABLE IF NOT EXISTS ledger (seq INTEGER PRIMARY KEY, what TEXT NOT NULL)")
  }
  deinit {
    sqlite3_close_v2(handle)
    pthread_mutex_destroy(mutex)
    mutex.deallocate()
  }

  /// The value of a thing: "power/n1" → "power on"; nil when it is not there.
  public func value(_ name: String) -> String? {
    (try? rows("SELECT value FROM thing WHERE name = '\(quoted(name))'"))?.first?.first
  }
  public func values(prefix: String) -> [String: String] {
    let found = (try? rows("SELECT name, value FROM thing WHERE name GLOB '\(quoted(prefix))*'")) ?? []
    return Dictionary(found.map { (String($0[0].dropFirst(prefix.count)), $0[1]) }) { $1 }
  }
  /// Everything that was ever changed, in order: "power/n1=power on".
  public func ledger() -> [String] { ((try? rows("SELECT what FROM ledger ORDER BY seq")) ?? []).map { $0[0] } }

  /// Brings a thing to a value; nil removes it. The ledger tells real changes only.
  public func ensure(_ name: String, _ value: String?) throws { try ensure([(name, value)]) }
  /// The same for several things, all or none of them: a machine that loses power loses what ran on it at that moment.
  public func ensure(_ things: [(name: String, value: String?)]) throws {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    let changes = things.filter { self.value($0.name) != $0.value }.map { name, value in
      let change =
        value.map {
          "INSERT INTO thing VALUES ('\(quoted(name))', '\(quoted($0))') ON CONFLICT (name) DO UPDATE SET value = excluded.value"
        } ?? "DELETE FROM thing WHERE name = '\(quoted(name))'"
      return "\(change); INSERT INTO ledger (what) VALUES ('\(quoted(name))=\(quoted(value ?? ""))');"
    }
    guard !changes.isEmpty else { return }
    _ = try rows("BEGIN IMMEDIATE; \(changes.joined(separator: " ")) COMMIT")
  }

  private func quoted(_ text: String) -> String { text.replacing("'", with: "''") }

  private func rows(_ sql: String) throws -> [[String]] {
    final class Rows { var all: [[String]] = [] }
    let found = Rows()
    let code = sqlite3_exec(
      handle, sql,
      { context, count, values, _ in
        guard let context, let values else { return 0 }
        Unmanaged<Rows>.fromOpaque(context).takeUnretainedValue().all.append(
          (0..<Int(count)).map { index in values[index].map { String(cString: $0) } ?? "" })
        return 0
      }, Unmanaged.passUnretained(found).toOpaque(), nil)
    guard code == SQLITE_OK else { throw Failure(description: String(cString: sqlite3_errmsg(handle))) }
    return found.all
  }
}
