/// What a program left behind when it ended by itself.
public struct CommandResult: Sendable, Equatable {
  /// Exit status, 0 to 255.
  public var status: Int
  public var output: [UInt8]
  public var errorOutput: [UInt8]

  public init(status: Int, output: [UInt8], errorOutput: [UInt8]) {
    self.status = status
    self.output = output
    self.errorOutput = errorOutput
  }
  /// Standard output as text; bytes that are not UTF-8 become U+FFFD.
  public var text: String { String(decoding: output, as: UTF8.self) }
  /// Standard error as text; bytes that are not UTF-8 become U+FFFD.
  public var errorText: String { String(decoding: errorOutput, as: UTF8.self) }
  /// The last line of standard error that is not empty: where most programs say what went wrong.
  public var lastErrorLine: String {
    errorText.split(whereSeparator: \.isNewline).last { $0.contains { !$0.isWhitespace } }.map { String($0) } ?? ""
  }
}

/// A program could not be run to its end, or (``runChecked``) ended with a status other than 0.
///
/// Carries no arguments, environment or input: they may hold secrets.
public struct CommandError: Error, Sendable, Equatable, CustomStringConvertible {
  public enum Reason: Sendable, Equatable {
    /// No executable file of this name in the path.
    case notFound
    /// The kernel refused to start it (an errno).
    case notStarted(Int32)
    /// Not done in the time limit; it and everything in its process group has been killed.
    case timeout(Duration)
    /// Ended by a signal that was not ours.
    case signal(Int32)
    /// Printed more than the limit of bytes; killed.
    case outputLimit(Int)
    /// Ended with this status; the detail is the last line of its standard error.
    case failed(status: Int, detail: String)
    /// The namespace's name is not one.
    case badNamespace
  }
  /// The program's name as it was asked for.
  public let program: String
  public let reason: Reason

  public init(program: String, reason: Reason) {
    self.program = program
    self.reason = reason
  }
  public var description: String {
    switch reason {
    case .notFound: "\(program): not found; is it installed?"
    case .notStarted(let number): "\(program): cannot be started: \(errorText(number))"
    case .timeout(let limit): "\(program): not done after \(limit)"
    case .signal(let number): "\(program): ended by signal \(number)"
    case .outputLimit(let limit): "\(program): printed more than \(limit) bytes"
    case .failed(let status, let detail):
      detail.isEmpty ? "\(program): exit status \(status)" : "\(program): \(detail) (exit status \(status))"
    case .badNamespace: "\(program): not a name of a network namespace"
    }
  }
}

/// Runs a program to its end, on a thread of its own: nothing here blocks the cooperative pool.
///
/// The program leads a process group (and session) of its own, which is killed as a whole when the time is up or the
/// task is cancelled: SIGTERM, and a second later SIGKILL. When the program itself ends in time, processes that it left
/// in the background (daemons) live on, and what they hold open is not waited for.
/// - Parameters:
///   - program: a name looked up in the path, or a path.
///   - environment: added to a minimal inherited one (`PATH`, `HOME`, `USER`, `TMPDIR`; `LC_ALL` is `C.UTF-8`).
///     Secrets belong here, in `input` or in a file, never in `arguments`.
///   - namespace: name of a network namespace to run in, through `nsenter --net=/run/netns/NAME`.
///   - outputLimit: most bytes of standard output and, apart, of standard error.
/// - Throws: ``CommandError``; `CancellationError` when the task is cancelled. A status other than 0 is not an error.
public func run(
  _ program: String, _ arguments: [String], environment: [String: String] = [:], input: [UInt8] = [],
  namespace: String? = nil, timeout: Duration = .seconds(30), outputLimit: Int = 4 << 20
) async throws -> CommandResult {
  let launch = try Launch(program, arguments, environment: environment, namespace: namespace)
  let interruption = try Interruption()
  return try await withTaskCancellationHandler {
    try await withCheckedThrowingContinuation { continuation in
      startThread("run") {
        let command = RunningCommand(
          launch: launch, input: input, timeout: timeout, outputLimit: outputLimit, interruption: interruption)
        continuation.resume(with: Result { try command.finish() })
      }
    }
  } onCancel: {
    interruption.signal()
  }
}

/// As ``run(_:_:environment:input:namespace:timeout:outputLimit:)``, and a status other than 0 throws
/// ``CommandError/Reason/failed(status:detail:)`` with the last line of standard error.
@discardableResult
public func runChecked(
  _ program: String, _ arguments: [String], environment: [String: String] = [:], input: [UInt8] = [],
  namespace: String? = nil, timeout: Duration = .seconds(30), outputLimit: Int = 4 << 20
) async throws -> CommandResult {
  let result = try await run(
    program, arguments, environment: environment, input: input, namespace: namespace, timeout: timeout,
    outputLimit: outputLimit)
  guard result.status == 0 else {
    throw CommandError(program: program, reason: .failed(status: result.status, detail: result.lastErrorLine))
  }
  return result
}
