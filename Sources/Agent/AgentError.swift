/// Why the agent could not do something, as a sentence that an operator reads.
public struct AgentError: Error, Sendable, Equatable, CustomStringConvertible {
  public enum Code: Sendable, Equatable {
    /// The machine, the disk or the parameters do not allow it: trying again cannot help.
    case refused
    /// The server could not be reached or its answer was cut short: trying again can help.
    case unreachable
    /// The server answered with this HTTP status.
    case status(Int)
    /// The session has ended (401): the machine must be switched off.
    case sessionOver
  }
  public let code: Code
  public let description: String

  public init(_ code: Code, _ description: String) {
    self.code = code
    self.description = description
  }

  /// An error of any kind as one of ours.
  init(wrapping error: any Error) { self = error as? AgentError ?? AgentError(.refused, "\(error)") }

  /// True when the same call may work later with nothing changed.
  public var isTransient: Bool {
    switch code {
    case .unreachable: true
    case .status(let status): status >= 500 || status == 429 || status == 408
    case .refused, .sessionOver: false
    }
  }
}
