import APISupport
import Domain
import HTTPTypes
import Wire

/// The version of the API that a request speaks: 1.N.
///
/// The maximum is 1.88 because every field and verb up to there has a true answer here: inventories (1.81), shards and parents
/// (1.82, 1.83), firmware components (1.86: none are read), port names (1.88). 1.89 would promise virtual media, 1.92 runbooks.
/// Source: Ironic, "REST API Version History".
struct Microversion: Sendable, Comparable {
  var minor: Int
  static let minimum = Microversion(minor: 1)
  static let maximum = Microversion(minor: 88)

  static func < (a: Microversion, b: Microversion) -> Bool { a.minor < b.minor }
  var text: String { "1.\(minor)" }

  init(minor: Int) { self.minor = minor }

  /// Reads `OpenStack-API-Version: baremetal 1.69` or `X-OpenStack-Ironic-API-Version: 1.69`; none is the minimum.
  /// - Throws: 406 for what is not spoken; the range is in the headers.
  init(_ headers: HTTPFields) throws {
    var asked = headers[.ironicVersion]
    for part in (headers[.openstackVersion] ?? "").split(separator: ",") {
      let words = part.split(separator: " ")
      if words.count == 2, words[0].lowercased() == "baremetal" { asked = String(words[1]) }
    }
    guard let asked else {
      self = .minimum
      return
    }
    if asked.lowercased() == "latest" {
      self = .maximum
      return
    }
    let parts = asked.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count == 2, parts[0] == "1", let minor = Int(parts[1]),
      (Self.minimum.minor...Self.maximum.minor).contains(minor)
    else {
      var error = APIError(
        .notAcceptable,
        "Version \(asked.prefix(20)) was requested but the minor version is not supported by this service. The supported version range is: [\(Self.minimum.text), \(Self.maximum.text)]."
      )
      error.headers = Self.headers(nil)
      throw error
    }
    self.minor = minor
  }

  static func headers(_ spoken: Microversion?) -> HTTPFields {
    var headers: HTTPFields = [
      .ironicMinimum: minimum.text, .ironicMaximum: maximum.text, .vary: "OpenStack-API-Version",
    ]
    if let spoken {
      headers[.ironicVersion] = spoken.text
      headers[.openstackVersion] = "baremetal \(spoken.text)"
    }
    return headers
  }

  /// Headers for every answer. The version documents answer whatever is asked, so that clients can find the range.
  static func decorate(_ request: APIRequest) throws -> HTTPFields {
    do {
      return headers(try Microversion(request.headers))
    } catch {
      if request.path.isEmpty || request.path == "/" { return headers(nil) }
      throw error
    }
  }

  /// How the version calls a state: what was `available` had no name before 1.2, and waiting was a part of inspecting before 1.39.
  func word(for state: ProvisionState) -> String? {
    switch state {
    case .available where minor < 2: nil
    case .inspectWait where minor < 39: ProvisionState.inspecting.rawValue
    default: state.rawValue
    }
  }

  /// - Throws: 406 when `field` came in a later version.
  func require(_ version: Int, _ what: String) throws {
    guard minor >= version else {
      throw APIError(
        .notAcceptable, "Request not acceptable: \(what) needs API version 1.\(version) and the request speaks \(text)."
      )
    }
  }
}
