import Store
import Wire

/// What a step sees of its workflow.
public struct StepContext: Sendable {
  public let workflow: String
  /// What the workflow is about: a node's or lease's id.
  public let subject: String
  public let params: JSONObject
  /// Outputs of the steps that succeeded, by step name.
  public let outputs: [String: JSON]
  /// Names this step's effect for ever: "workflow/step". Everything made outside bears it.
  public let key: String
  /// How often the step was started before, after transient errors; 0 at first.
  public let attempt: Int
  /// When the step was first started: for time limits that survive a restart.
  public let startedAt: Timestamp
  public let now: Timestamp
  /// Why the workflow is being unwound; nil while it goes forward.
  public let failure: Reason?

  /// How long the step has been going on, restarts included.
  public var elapsed: Duration { now - startedAt }
}

/// What came of running a step.
public enum StepOutcome: Sendable {
  case done(JSON)
  /// Not yet: run the step again at `until`, or as soon as `on` is signalled. A row waits, not a task.
  case wait(until: Timestamp, on: String?)

  public static let done = StepOutcome.done(.null)
}

/// One step of a durable workflow: the effect, what becomes true with it, and its undo.
///
/// `run` may be cut short anywhere and run again from its top; `undo` relies on parameters and on earlier outputs, never
/// on its own step's output. `commit` and `uncommit` change what the API shows, in the transaction that records the step.
public struct Step: Sendable {
  public let name: String
  /// Whether a workflow with these parameters has this step at all: decided by what is stored, so the same after a restart.
  public let isPart: @Sendable (JSONObject) -> Bool
  public let run: @Sendable (StepContext) async throws -> StepOutcome
  public let commit: @Sendable (StepContext, JSON, any Session) throws -> Void
  public let undo: (@Sendable (StepContext) async throws -> Void)?
  public let uncommit: @Sendable (StepContext, any Session) throws -> Void
  /// How often a transient error (``TransientError``) is tried again before the step fails.
  public let retries: Int

  public init(
    _ name: String, retries: Int = 2, when isPart: @escaping @Sendable (JSONObject) -> Bool = { _ in true },
    run: @escaping @Sendable (StepContext) async throws -> StepOutcome = { _ in .done },
    commit: @escaping @Sendable (StepContext, JSON, any Session) throws -> Void = { _, _, _ in },
    undo: (@Sendable (StepContext) async throws -> Void)? = nil,
    uncommit: @escaping @Sendable (StepContext, any Session) throws -> Void = { _, _ in }
  ) {
    self.name = name
    self.isPart = isPart
    self.retries = retries
    self.run = run
    self.commit = commit
    self.undo = undo
    self.uncommit = uncommit
  }
}

/// A named, versioned list of steps. A stored workflow whose version is not this one is left alone and reported.
public struct WorkflowDefinition: Sendable {
  public let kind: String
  public let version: Int
  public let steps: [Step]
  /// In the transaction that ends the workflow whole.
  public let done: @Sendable (StepContext, any Session) throws -> Void
  /// In the transaction that ends it undone; `failure` says why.
  public let undone: @Sendable (StepContext, any Session) throws -> Void
  /// In the transaction that gives it to the operator, because an undo does not succeed.
  public let stuck: @Sendable (StepContext, Reason, any Session) throws -> Void

  public init(
    kind: String, version: Int = 1, steps: [Step],
    done: @escaping @Sendable (StepContext, any Session) throws -> Void = { _, _ in },
    undone: @escaping @Sendable (StepContext, any Session) throws -> Void = { _, _ in },
    stuck: @escaping @Sendable (StepContext, Reason, any Session) throws -> Void = { _, _, _ in }
  ) {
    self.kind = kind
    self.version = version
    self.steps = steps
    self.done = done
    self.undone = undone
    self.stuck = stuck
  }
}

/// An error that may not come again when the same is tried with nothing changed.
public protocol TransientError: Error { var isTransient: Bool { get } }

/// The workflow's owner may have changed: stop at once, touch nothing.
public struct Fenced: Error {}
