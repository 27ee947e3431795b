import APISupport
import HTTPTypes

/// Errors in Neutron's words: clients and their users search for these. Source: neutron-lib, `exceptions/`.
extension APIError {
  static func networkNotFound(_ id: String) -> APIError {
    .notFound("Network \(id) could not be found.", type: "NetworkNotFound")
  }
  static func invalid(_ sentence: String, type: String = "InvalidInput") -> APIError {
    APIError(.badRequest, "Invalid input for operation: \(sentence)", type: type)
  }
  /// 400 in upstream's own words.
  static func refused(_ sentence: String, type: String = "HTTPBadRequest") -> APIError {
    APIError(.badRequest, sentence, type: type)
  }
  static func disallowed(_ rule: String, _ why: String) -> APIError {
    APIError(.forbidden, "(rule:\(rule)) is disallowed by policy: \(why)", type: "PolicyNotAuthorized")
  }
  static func overQuota(_ resource: String) -> APIError {
    .conflict("Quota exceeded for resources: ['\(resource)'].", type: "OverQuota")
  }
}
