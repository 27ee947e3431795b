import Cryptography
import Glibc
import Logging
import Store
import Synchronization
import TestSupport
import Testing
import Wire

@testable import Workflows

/// A real SQLite file, and a runner on it that can be ended and started again as a server is.
struct Bench: Sendable {
  let database: Database
  let journal = Journal()

  static func with(_ body: @Sendable (Bench) async throws -> Void) async throws {
    let folder = "/tmp/steelyard-workflows-\(getpid())-\(UInt32.random(in: 0 ... .max))"
    mkdir(folder, 0o700)
    let database = try Database.fresh(
      at: "\(folder)/site.db", secrets: SecretBox(key: [UInt8](repeating: 7, count: 32)), readers: 1)
    defer {
      database.close()
      for name in ["site.db", "site.db-wal", "site.db-shm"] { unlink("\(folder)/\(name)") }
      rmdir(folder)
    }
    try await body(Bench(database: database))
  }

  /// Delays short enough for a test, long enough to be seen.
  static var quick: WorkflowRunner.Settings {
    var settings = WorkflowRunner.Settings()
    settings.retryDelay = .milliseconds(20)
    settings.undoDelay = .milliseconds(5)
    settings.undoAttempts = 3
    return settings
  }

  /// One life of a server: `body` runs while the runner does.
  func life(
    _ definitions: [WorkflowDefinition], settings: WorkflowRunner.Settings = quick,
    probe: @escaping WorkflowRunner.Probe = { _ in }, _ body: @Sendable (WorkflowRunner) async throws -> Void
  ) async throws {
    let runner = WorkflowRunner(
      database: database, definitions: definitions, settings: settings,
      logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }, probe: probe, clock: { now() })
    let running = Task { try await runner.run() }
    do { try await body(runner) } catch {
      running.cancel()
      _ = await running.result
      throw error
    }
    running.cancel()
    try await running.value
  }

  @discardableResult
  func start(_ definition: WorkflowDefinition, on runner: WorkflowRunner? = nil, params: JSONObject = [:]) async throws
    -> String
  {
    try await database.write { session in
      let id = try WorkflowStore.insert(definition, subject: "node-1", params: params, at: now(), in: session)
      session.afterCommit { runner?.wake(workflow: id) }
      return id
    }
  }
  func record(_ id: String) async throws -> WorkflowRecord {
    let found = try await database.read { try WorkflowStore.get(id, in: $0) }
    return try #require(found)
  }
  /// The log as "step kind" or "step kind: data".
  func events(_ id: String) async throws -> [String] {
    try await database.read { try WorkflowStore.events(of: id, in: $0) }.map { event in
      "\(event.step) \(event.kind.rawValue)\(event.data.map { $0 == "null" ? "" : ": \($0)" } ?? "")"
    }
  }
  func intervene(_ intervention: WorkflowStore.Intervention, _ id: String) async throws -> Bool {
    try await database.write { try WorkflowStore.intervene(intervention, in: id, at: now(), session: $0) }
  }
  @discardableResult
  func wait(_ id: String, for state: WorkflowRecord.State) async throws -> WorkflowRecord {
    try await until("\(id) is \(state)") { try await record(id).state == state }
    return try await record(id)
  }
}

/// What happened outside, in order.
final class Journal: Sendable {
  private let entries = Mutex<[(what: String, at: ContinuousClock.Instant)]>([])
  func note(_ what: String) { entries.withLock { $0.append((what, .now)) } }
  var all: [String] { entries.withLock { $0.map(\.what) } }
  /// When each entry of this name was made.
  func times(_ what: String) -> [ContinuousClock.Instant] {
    entries.withLock { $0.filter { $0.what == what }.map(\.at) }
  }
  func count(_ what: String) -> Int { times(what).count }
}

/// What a test turns on and off.
final class Switch: Sendable {
  private let value: Mutex<Bool>
  init(_ isOn: Bool = false) { value = Mutex(isOn) }
  var isOn: Bool {
    get { value.withLock { $0 } }
    set { value.withLock { $0 = newValue } }
  }
}

/// A device that does not answer now, or one that refuses for good.
struct Trouble: TransientError, CustomStringConvertible {
  var isTransient: Bool
  var description: String { isTransient ? "no answer" : "refused" }
}

func now() -> Timestamp {
  var time = timespec()
  clock_gettime(CLOCK_REALTIME, &time)
  return Timestamp(microseconds: time.tv_sec * 1_000_000 + time.tv_nsec / 1000)
}

struct Late: Error { let what: String }
/// Waits for a condition, at most ten seconds.
func until(_ what: String, _ condition: () async throws -> Bool) async throws {
  let deadline = ContinuousClock.now + .seconds(10)
  while try await !condition() {
    guard ContinuousClock.now < deadline else { throw Late(what: what) }
    try await Task.sleep(for: .milliseconds(2))
  }
}
