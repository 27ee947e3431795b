import Logging
import Store
import Wire

/// One workflow being moved forward, or unwound, as far as it goes now.
struct WorkflowExecution {
  enum Result {
    case waiting(until: Timestamp, on: String?)
    case ended
  }
  let record: WorkflowRecord
  let definition: WorkflowDefinition
  let epoch: Int
  let database: Database
  let settings: WorkflowRunner.Settings
  let probe: WorkflowRunner.Probe
  let clock: @Sendable () -> Timestamp
  let logger: Logger

  /// The log of one step, folded.
  private struct Progress {
    var startedAt: Timestamp?
    var output: JSON?
    var hasFailed = false
    var undoStarted = false
    var isUndone = false
    var undoFailures = 0
    /// The operator has undone it by hand.
    var isSkipped = false
  }

  func advance(_ events: [WorkflowEvent]) async throws -> Result {
    var progress: [String: Progress] = [:]
    var outputs: [String: JSON] = [:]
    var failure = record.state == .unwinding ? record.reason ?? "stopped" : nil
    var isAbandoned = false
    for event in events {
      switch event.kind {
      case .started:
        if progress[event.step]?.startedAt == nil { progress[event.step, default: Progress()].startedAt = event.at }
      case .succeeded:
        let output = event.data.flatMap { try? JSON(parsing: $0) } ?? .null
        progress[event.step, default: Progress()].output = output
        outputs[event.step] = output
      case .failed:
        progress[event.step, default: Progress()].hasFailed = true
        failure = failure ?? record.reason ?? Reason("The step \(event.step) failed.", detail: event.data)
      case .undoStarted: progress[event.step, default: Progress()].undoStarted = true
      case .undone: progress[event.step, default: Progress()].isUndone = true
      case .undoFailed: progress[event.step, default: Progress()].undoFailures += 1
      case .operator:
        switch event.data {
        case "retry": for name in progress.keys { progress[name]?.undoFailures = 0 }
        case "skip-step": progress[event.step]?.isSkipped = true
        case "abandon": isAbandoned = true
        default: break
        }
      }
    }
    var attempt = record.attempt

    if failure == nil {
      let steps = definition.steps.filter { $0.isPart(record.params) && progress[$0.name]?.output == nil }
      // Who wants it to stop was asked with the record, and then with each step's success.
      var stop = record.cancelRequested
      for (index, step) in steps.enumerated() {
        let next = index + 1 < steps.count ? steps[index + 1] : nil
        let startedAt = progress[step.name]?.startedAt
        switch try await forward(step, startedAt, attempt, outputs, next: next, stop: stop) {
        case .succeeded(let output, let startedAt, let onward):
          outputs[step.name] = output
          progress[step.name] = Progress(startedAt: startedAt, output: output)
          if let next, progress[next.name]?.startedAt == nil {
            progress[next.name] = Progress(startedAt: onward.startedAt)
          }
          stop = onward.stop
          attempt = 0
        case .waiting(let until, let on): return .waiting(until: until, on: on)
        case .failed(let reason, let startedAt):
          progress[step.name] = Progress(startedAt: startedAt ?? progress[step.name]?.startedAt)
          failure = reason
        }
        if failure != nil { break }
      }
    }
    guard let failure else {
      try await end(.done, reason: nil, context(nil, outputs, nil, 0, clock()), definition.done)
      return .ended
    }
    return try await unwind(failure, isAbandoned ? [:] : progress, outputs)
  }

  // MARK: Forward

  private enum Forward {
    case succeeded(JSON, Timestamp, Onward)
    case waiting(Timestamp, String?)
    case failed(Reason, Timestamp?)
  }

  /// What a step's success was recorded with: the start of the next one, or why there is to be none.
  private struct Onward {
    var startedAt: Timestamp?
    var stop: String?
  }

  /// - Parameters:
  ///   - next: the step behind it, whose start is recorded with this one's success: one wait for the disk instead of two.
  ///   - stop: who wants the workflow to stop, and why.
  private func forward(
    _ step: Step, _ firstStart: Timestamp?, _ attempt: Int, _ outputs: [String: JSON], next: Step?, stop: String?
  ) async throws -> Forward {
    let id = record.id, epoch = epoch
    if let stop {
      // Who asks for a stop says so in words for everyone.
      let reason = Reason(stop)
      try await fail(step, reason)
      return .failed(reason, firstStart)
    }
    var startedAt = firstStart ?? clock()
    if firstStart == nil {
      probe("\(step.name):before-started")
      let now = clock()
      startedAt = now
      try await database.write { session in
        try WorkflowStore.set(id, epoch: epoch, state: .running, reason: nil, attempt: attempt, at: now, in: session)
        try WorkflowStore.append(.started, step: step.name, data: nil, of: id, epoch: epoch, at: now, in: session)
      }
    }
    probe("\(step.name):after-started")
    let context = context(step, outputs, nil, attempt, startedAt)
    do {
      let outcome = try await step.run(context)
      probe("\(step.name):after-effect")
      switch outcome {
      case .wait(let until, let on):
        let now = clock()
        try await database.write { session in
          try WorkflowStore.set(
            id, epoch: epoch, state: .waiting, reason: nil, wakeAt: until, wakeOn: on, attempt: attempt, at: now,
            in: session)
        }
        probe("\(step.name):after-waiting")
        return .waiting(until, on)
      case .done(let output):
        let now = clock()
        let onward = try await database.write { session in
          try WorkflowStore.set(id, epoch: epoch, state: .running, reason: nil, at: now, in: session)
          try WorkflowStore.append(
            .succeeded, step: step.name, attempt: attempt, data: output.description, of: id, epoch: epoch, at: now,
            in: session)
          try step.commit(context, output, session)
          guard let next else { return Onward() }
          if let stop = try WorkflowStore.cancelRequested(id, in: session) { return Onward(stop: stop) }
          try WorkflowStore.append(.started, step: next.name, data: nil, of: id, epoch: epoch, at: now, in: session)
          return Onward(startedAt: now)
        }
        probe("\(step.name):after-succeeded")
        return .succeeded(output, startedAt, onward)
      }
    } catch let error where !(error is Fenced) && !(error is CancellationError) && !(error is StoreError) {
      let reason = Reason(error, doing: "do the step '\(step.name)'")
      if let transient = error as? any TransientError, transient.isTransient, attempt < step.retries {
        let now = clock()
        let until = now + min(settings.retryDelay * (1 << min(attempt, 8)), .seconds(300))
        logger.info("workflow \(id) \(step.name): \(error); tried again")
        try await database.write { session in
          try WorkflowStore.set(
            id, epoch: epoch, state: .waiting, reason: reason, wakeAt: until, attempt: attempt + 1, at: now,
            in: session)
        }
        probe("\(step.name):after-retry")
        return .waiting(until, nil)
      }
      try await fail(step, reason)
      return .failed(reason, startedAt)
    }
  }

  private func fail(_ step: Step, _ reason: Reason) async throws {
    let id = record.id, epoch = epoch, now = clock()
    logger.warning("workflow \(record.kind) \(id) of \(record.subject): \(step.name): \(reason.whole)")
    try await database.write { session in
      try WorkflowStore.append(.failed, step: step.name, data: reason.whole, of: id, epoch: epoch, at: now, in: session)
      try WorkflowStore.set(id, epoch: epoch, state: .unwinding, reason: reason, at: now, in: session)
    }
    probe("\(step.name):after-failed")
  }

  // MARK: Back

  /// Undoes, last first, every step that started: one that failed or was cut short may have had its effect.
  private func unwind(_ failure: Reason, _ progress: [String: Progress], _ outputs: [String: JSON]) async throws
    -> Result
  {
    let id = record.id, epoch = epoch
    for step in definition.steps.reversed() {
      guard let log = progress[step.name], let startedAt = log.startedAt, !log.isUndone else { continue }
      let context = context(step, outputs, failure, 0, startedAt)
      if !log.undoStarted {
        probe("\(step.name):before-undo-started")
        let now = clock()
        try await database.write { session in
          try WorkflowStore.append(.undoStarted, step: step.name, data: nil, of: id, epoch: epoch, at: now, in: session)
        }
      }
      probe("\(step.name):after-undo-started")
      do {
        if !log.isSkipped { try await step.undo?(context) }
        probe("\(step.name):after-undo-effect")
      } catch let error where !(error is Fenced) && !(error is CancellationError) && !(error is StoreError) {
        return try await undoFailed(step, error, log.undoFailures + 1, context, failure)
      }
      let now = clock()
      try await database.write { session in
        try WorkflowStore.append(.undone, step: step.name, data: nil, of: id, epoch: epoch, at: now, in: session)
        if log.output != nil { try step.uncommit(context, session) }
      }
      probe("\(step.name):after-undone")
    }
    try await end(.undone, reason: failure, context(nil, outputs, failure, 0, clock()), definition.undone)
    return .ended
  }

  private func undoFailed(_ step: Step, _ error: any Error, _ failures: Int, _ context: StepContext, _ failure: Reason)
    async throws -> Result
  {
    let id = record.id, epoch = epoch, now = clock(), definition = definition
    let isStuck = failures >= settings.undoAttempts
    let obstacle = Reason(error, doing: "undo the step '\(step.name)'")
    let delay = min(settings.undoDelay * (1 << min(failures - 1, 6)), .seconds(3600))
    logger.error("workflow \(record.kind) \(id): undo of \(step.name) failed (\(failures)): \(error)")
    try await database.write { session in
      try WorkflowStore.append(
        .undoFailed, step: step.name, attempt: failures, data: "\(error)", of: id, epoch: epoch, at: now, in: session)
      try WorkflowStore.set(
        id, epoch: epoch, state: isStuck ? .stuck : .unwinding, reason: failure, wakeAt: isStuck ? nil : now + delay,
        at: now, in: session)
      if isStuck { try definition.stuck(context, obstacle.following("undo of \(step.name) failed: "), session) }
    }
    probe("\(step.name):after-undo-failed")
    return isStuck ? .ended : .waiting(until: now + delay, on: nil)
  }

  private func end(
    _ state: WorkflowRecord.State, reason: Reason?, _ context: StepContext,
    _ hook: @escaping @Sendable (StepContext, any Session) throws -> Void
  ) async throws {
    let id = record.id, epoch = epoch, now = clock()
    probe("\(state.rawValue):before")
    try await database.write { session in
      try WorkflowStore.set(id, epoch: epoch, state: state, reason: reason, at: now, in: session)
      try hook(context, session)
    }
    probe("\(state.rawValue):after")
  }

  private func context(
    _ step: Step?, _ outputs: [String: JSON], _ failure: Reason?, _ attempt: Int, _ startedAt: Timestamp
  ) -> StepContext {
    StepContext(
      workflow: record.id, subject: record.subject, params: record.params, outputs: outputs,
      key: "\(record.id)/\(step?.name ?? "end")",
      attempt: attempt, startedAt: startedAt, now: clock(), failure: failure)
  }
}
