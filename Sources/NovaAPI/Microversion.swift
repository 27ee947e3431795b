import APISupport
import Domain
import HTTPTypes
import Wire

/// The version of the API that a request speaks: 2.N. Source: Nova, "REST API Version History".
struct Microversion: Sendable, Comparable {
  var minor: Int
  static let minimum = Microversion(minor: 1)
  static let maximum = Microversion(minor: 100)

  static func < (a: Microversion, b: Microversion) -> Bool { a.minor < b.minor }
  var text: String { "2.\(minor)" }

  init(minor: Int) { self.minor = minor }

  /// Reads `OpenStack-API-Version: compute 2.79` or `X-OpenStack-Nova-API-Version: 2.79`; none is the minimum.
  /// - Throws: 406 for what is not spoken, 400 for what is no version.
  init(_ headers: HTTPFields) throws {
    var asked = headers[.novaVersion]
    for part in (headers[.openstackVersion] ?? "").split(separator: ",") {
      let words = part.split(separator: " ")
      if words.count == 2, words[0].lowercased() == "compute" { asked = String(words[1]) }
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
    guard parts.count == 2, let major = Int(parts[0]), let minor = Int(parts[1]),
      asked.utf8.allSatisfy({ $0 == 0x2e || (0x30...0x39).contains($0) })
    else {
      throw APIError.badRequest(
        "API Version String '\(asked.prefix(20))' is of invalid format. It must be of format 'MajorNum.MinorNum'.")
    }
    guard major == 2, (Self.minimum.minor...Self.maximum.minor).contains(minor) else {
      throw APIError(
        .notAcceptable,
        "Version \(asked.prefix(20)) is not supported by the API. Minimum is \(Self.minimum.text) and maximum is \(Self.maximum.text)."
      )
    }
    self.minor = minor
  }

  /// Headers for every answer. The version documents answer whatever is asked, so that clients can find the range.
  static func decorate(_ request: APIRequest) throws -> HTTPFields {
    var headers: HTTPFields = [:]
    headers.append(HTTPField(name: .vary, value: "OpenStack-API-Version"))
    headers.append(HTTPField(name: .vary, value: "X-OpenStack-Nova-API-Version"))
    do {
      let spoken = try Microversion(request.headers)
      headers[.novaVersion] = spoken.text
      headers[.openstackVersion] = "compute \(spoken.text)"
    } catch {
      if ["", "/", "/v2.1"].contains(request.path) { return headers }
      throw error
    }
    return headers
  }

  /// - Throws: 404, as Nova does for what a version does not have yet.
  func require(_ version: Int) throws {
    guard minor >= version else { throw APIError.notFound("The resource could not be found.") }
  }
  /// - Throws: 404 for what went away in `version`.
  func requireBefore(_ version: Int) throws {
    guard minor < version else { throw APIError.notFound("The resource could not be found.") }
  }
}

extension HTTPField.Name {
  static let novaVersion = HTTPField.Name(known: "X-OpenStack-Nova-API-Version")
}
