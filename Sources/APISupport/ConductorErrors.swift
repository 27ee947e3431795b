import Conductor
import DriverInterfaces

extension ConductorError: APIErrorConvertible {
  public var apiError: APIError {
    switch code {
    case .badRequest: .badRequest(description)
    case .conflict: .conflict(description)
    case .notFound: .notFound(description)
    }
  }
}

/// A device that did not do what a synchronous verb asked (boot device, console), in the words for everyone: a route that
/// knows more of its caller shows more.
extension DriverError: APIErrorConvertible {
  public var apiError: APIError {
    switch code {
    case .misconfigured, .unsupported: .badRequest(reason.sentence)
    case .busy: .conflict(reason.sentence)
    case .unreachable, .refused, .badReply, .notInForce: APIError(.badGateway, reason.sentence)
    }
  }
}
