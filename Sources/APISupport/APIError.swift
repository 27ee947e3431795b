import HTTPTypes
import Wire

/// A request that cannot be done, in words for the caller; each service spells it in its own shape (``ErrorShape``).
public struct APIError: Error, Sendable {
  public var status: HTTPResponse.Status
  /// A sentence that says what is wrong and, where it helps, what to do. Never a secret, never another tenant's name.
  public var message: String
  /// Neutron's `type` ("NetworkNotFound"), Nova's member ("itemNotFound"); nil takes the service's usual word.
  public var type: String?
  public var headers: HTTPFields = [:]

  public init(_ status: HTTPResponse.Status, _ message: String, type: String? = nil) {
    self.status = status
    self.message = message
    self.type = type
  }
  public static func badRequest(_ message: String) -> APIError { APIError(.badRequest, message) }
  public static func notFound(_ message: String, type: String? = nil) -> APIError {
    APIError(.notFound, message, type: type)
  }
  public static func conflict(_ message: String, type: String? = nil) -> APIError {
    APIError(.conflict, message, type: type)
  }
  public static func forbidden(_ message: String) -> APIError { APIError(.forbidden, message) }
}

/// How a service spells an error. Source: design notes, compat-openstack §2 "Errors", compat-esi §0 fact 4.
public enum ErrorShape: Sendable {
  /// `{"error": {"code", "message", "title"}}`: Keystone, Glance.
  case keystone
  /// `{"error_message": "<JSON text of faultcode, faultstring, debuginfo>"}`: a string, or the client dies.
  case ironic
  /// `{"NeutronError": {"message", "type", "detail"}}`
  case neutron
  /// `{"itemNotFound": {"code", "message"}}`: Nova, Cinder.
  case compute
  /// `{"faultcode", "faultstring", "debuginfo"}`: ESI-Leap.
  case lease
  /// `{"error": "…"}`: the agent's protocol.
  case plain

  public func body(_ error: APIError) -> JSON {
    let code = error.status.code
    let fault: JSON = [
      "faultcode": code < 500 ? "Client" : "Server", "faultstring": .string(error.message), "debuginfo": nil,
    ]
    switch self {
    case .keystone:
      return [
        "error": ["code": .int(code), "message": .string(error.message), "title": .string(error.status.reasonPhrase)]
      ]
    case .ironic: return ["error_message": .string(fault.description)]
    case .neutron:
      let type =
        error.type
        ?? (code == 404
          ? "HTTPNotFound" : code == 409 ? "Conflict" : code == 403 ? "PolicyNotAuthorized" : "HTTPBadRequest")
      return ["NeutronError": ["message": .string(error.message), "type": .string(type), "detail": ""]]
    case .compute:
      let words = [
        400: "badRequest", 401: "unauthorized", 403: "forbidden", 404: "itemNotFound", 409: "conflictingRequest",
        413: "overLimit",
      ]
      let word = error.type ?? words[code] ?? "computeFault"
      return .object([word: ["code": .int(code), "message": .string(error.message)]])
    case .lease: return fault
    case .plain: return ["error": .string(error.message)]
    }
  }
}
