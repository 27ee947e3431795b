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

/// A device that did not do what a synchronous verb asked (boot device, console).
extension DriverError: APIErrorConvertible {
  public var apiError: APIError {
    switch code {
    case .misconfigured, .unsupported: .badRequest(description)
    case .busy: .conflict(description)
    case .unreachable, .refused, .badReply, .notInForce: APIError(.badGateway, description)
    }
  }
}
