import Logging
import Store
import Synchronization
import Wire

/// Runs stored workflows: claims them at the start, wakes them by time and by signal, and ends with the process.
///
/// The rules are in docs/architecture.md, "Durable workflows". A task exists only while a step runs; waiting is a row.
public actor WorkflowRunner {
  public struct Settings: Sendable {
    /// Steps that run at the same time: more than wait for one device that does not answer. Drivers keep limits of their own.
    public var concurrency = 256
    /// Delay before a transient error is tried again: doubled each time.
    public var retryDelay: Duration = .seconds(2)
    /// Delay before a failed undo is tried again: doubled each time up to an hour.
    public var undoDelay: Duration = .seconds(60)
    /// After so many failed undos the workflow is stuck.
    public var undoAttempts = 6
    public init() {}
  }
  /// Called with the name of each point between two instructions that matter ("write-image:after-effect"): the crash
  /// tests kill the process there.
  public typealias Probe = @Sendable (_ point: String) -> Void

  private let database: Database
  private let definitions: [String: WorkflowDefinition]
  private let settings: Settings
  private let clock: @Sendable () -> Timestamp
  private let logger: Logger
  private let probe: Probe
  private let owner = Identifier.uuid()

  private nonisolated let signals: AsyncStream<Signal>
  private nonisolated let signalled: AsyncStream<Signal>.Continuation
  private enum Signal: Sendable {
    case workflow(String)
    case event(String)
    case tick
    case finished(String)
  }
  /// Workflows that a task works on, and what was signalled meanwhile.
  private var busy: [String: Missed] = [:]
  private struct Missed {
    var isWoken = false
    var events: Set<String> = []
    /// An unrelated event must not cut the pause before a retry short.
    func concerns(_ event: String?) -> Bool { isWoken || event.map { events.contains($0) } ?? false }
  }
  /// Claimed and not busy, with what they wait for.
  private var waiting: [String: (at: Timestamp, on: String?)] = [:]
  private var epochs: [String: Int] = [:]
  private var ready: [String] = []
  private var ticks = 0
  /// Workflows of a version that this program does not know, reported once.
  private var strangers: Set<String> = []

  public init(
    database: Database, definitions: [WorkflowDefinition], settings: Settings = Settings(), logger: Logger,
    probe: @escaping Probe = { _ in }, clock: @escaping @Sendable () -> Timestamp
  ) {
    self.database = database
    self.definitions = Dictionary(definitions.map { ($0.kind, $0) }) { $1 }
    self.settings = settings
    self.logger = logger
    self.probe = probe
    self.clock = clock
    (signals, signalled) = AsyncStream.makeStream(bufferingPolicy: .unbounded)
  }

  /// Wakes a workflow that was inserted or changed. Call it from `session.afterCommit`.
  public nonisolated func wake(workflow id: String) { signalled.yield(.workflow(id)) }
  /// Wakes the workflows that wait for this event. A hint: the step looks for itself whether it is so.
  public nonisolated func signal(_ event: String) { signalled.yield(.event(event)) }

  /// Runs until the task is cancelled; running steps are then left to be run again by the next process.
  public func run() async throws {
    let open = try await database.read { session in try WorkflowStore.open(in: session) }
    for record in open { adopt(record) }
    await withDiscardingTaskGroup { group in
      group.addTask { [signalled] in
        // Deadlines need no precision beyond this; signals carry what is urgent.
        while !Task.isCancelled {
          try? await Task.sleep(for: .milliseconds(200))
          signalled.yield(.tick)
        }
      }
      launch(in: &group)
      for await signal in signals {
        if Task.isCancelled { break }
        switch signal {
        case .workflow(let id):
          if busy[id] != nil { busy[id]?.isWoken = true } else { enqueue(id) }
        case .event(let event):
          for (id, wait) in waiting where wait.on == event { enqueue(id) }
          // A step that is about to wait for this event must not miss it.
          for id in busy.keys { busy[id]?.events.insert(event) }
        case .tick:
          let now = clock()
          for (id, wait) in waiting where wait.at <= now { enqueue(id) }
          ticks += 1
          if ticks % 10 == 0 { await adoptUnknown() }
        case .finished(let id):
          guard let missed = busy.removeValue(forKey: id) else { break }
          // Woken between its decision to wait and this moment, it is in no list any more: only `missed` knows.
          let isWanted = waiting[id].map { missed.concerns($0.on) } ?? (missed.isWoken && epochs[id] != nil)
          if isWanted { enqueue(id) }
        }
        launch(in: &group)
      }
      group.cancelAll()
    }
  }

  private func adopt(_ record: WorkflowRecord) {
    guard let definition = definitions[record.kind], definition.version == record.version else {
      if strangers.insert(record.id).inserted {
        logger.error(
          "workflow \(record.id) is \(record.kind) version \(record.version), which this program does not know: left alone"
        )
      }
      return
    }
    guard record.state != .stuck else { return }
    if record.state == .waiting, let at = record.wakeAt {
      waiting[record.id] = (at, record.wakeOn)
    } else {
      ready.append(record.id)
    }
  }
  /// Finds workflows that nobody woke: an operator's `steelyard workflow retry` writes to the database from another process.
  private func adoptUnknown() async {
    guard let open = try? await database.read({ try WorkflowStore.open(in: $0) }) else { return }
    for record in open where busy[record.id] == nil && waiting[record.id] == nil && !ready.contains(record.id) {
      if record.state == .stuck || epochs[record.id] == nil { adopt(record) }
    }
  }
  private func enqueue(_ id: String) {
    waiting[id] = nil
    if !ready.contains(id) { ready.append(id) }
  }
  private func launch(in group: inout DiscardingTaskGroup) {
    while busy.count < settings.concurrency, let id = ready.first {
      ready.removeFirst()
      if busy[id] != nil {
        busy[id]?.isWoken = true
        continue
      }
      busy[id] = Missed()
      group.addTask {
        await self.work(on: id)
        self.signalled.yield(.finished(id))
      }
    }
  }

  private func work(on id: String) async {
    do {
      let epoch: Int, record: WorkflowRecord?, events: [WorkflowEvent]
      if let known = epochs[id] {
        epoch = known
        (record, events) = try await database.read { session in
          (try WorkflowStore.get(id, in: session), try WorkflowStore.events(of: id, in: session))
        }
      } else {
        let owner = owner, now = clock()
        let claimed = try await database.write { session in
          try WorkflowStore.claim(id, owner: owner, at: now, in: session).map { epoch in
            (epoch, try WorkflowStore.get(id, in: session), try WorkflowStore.events(of: id, in: session))
          }
        }
        guard let claimed else { return }
        (epoch, record, events) = claimed
        epochs[id] = epoch
      }
      guard let record, record.state.isOpen, record.state != .stuck, let definition = definitions[record.kind],
        definition.version == record.version
      else {
        epochs[id] = nil
        return
      }
      let execution = WorkflowExecution(
        record: record, definition: definition, epoch: epoch, database: database, settings: settings, probe: probe,
        clock: clock,
        logger: logger)
      switch try await execution.advance(events) {
      case .waiting(let at, let on): waiting[id] = (at, on)
      case .ended:
        epochs[id] = nil
        // Whoever waits for the end of this one ("take-node") is told.
        signalled.yield(.event("workflow/\(id)"))
      }
    } catch is Fenced {
      logger.warning("workflow \(id): another owner has it")
      epochs[id] = nil
    } catch is CancellationError {
    } catch {
      // The database could not record what happened. The step is run again from its top when it can.
      logger.error("workflow \(id): \(error)")
      waiting[id] = (clock() + .seconds(2), nil)
    }
  }
}
