import APISupport
import HTTPTypes
import Wire

/// The version of the API that a request speaks: 3.N. Source: Cinder, "REST API Version History".
struct VolumeMicroversion: Sendable, Comparable {
  var minor: Int
  static let maximum = 71
  static func < (a: VolumeMicroversion, b: VolumeMicroversion) -> Bool { a.minor < b.minor }
  var text: String { "3.\(minor)" }

  init(minor: Int) { self.minor = minor }

  /// Reads `OpenStack-API-Version: volume 3.27`; none is 3.0.
  /// - Throws: 406 for what is not spoken.
  init(_ request: APIRequest) throws {
    var asked: String?
    for part in (request.headers[.openstackVersion] ?? "").split(separator: ",") {
      let words = part.split(separator: " ")
      if words.count == 2, ["volume", "block-storage"].contains(words[0].lowercased()) { asked = String(words[1]) }
    }
    switch asked?.lowercased() {
    case nil: minor = 0
    case "latest": minor = Self.maximum
    case let text?:
      let parts = text.split(separator: ".", omittingEmptySubsequences: false)
      guard parts.count == 2, parts[0] == "3", let minor = Int(parts[1]), (0...Self.maximum).contains(minor) else {
        throw APIError(
          .notAcceptable,
          "Version \(text.prefix(20)) is not supported by the API. Minimum is 3.0 and maximum is 3.\(Self.maximum).",
          type: "computeFault")
      }
      self.minor = minor
    }
  }
  /// Headers for every answer. The version documents answer whatever is asked, so that clients can find the range.
  static func decorate(_ request: APIRequest) throws -> HTTPFields {
    do {
      return [.openstackVersion: "volume \(try VolumeMicroversion(request).text)", .vary: "OpenStack-API-Version"]
    } catch {
      if request.path.split(separator: "/").count < 2 { return [.vary: "OpenStack-API-Version"] }
      throw error
    }
  }
  /// - Throws: 404, as upstream answers where a path came in a later version.
  static func require(_ minor: Int, _ request: APIRequest) throws {
    guard try VolumeMicroversion(request).minor >= minor else {
      throw APIError.notFound(
        "This came in API version 3.\(minor): ask for it with OpenStack-API-Version: volume 3.\(minor).")
    }
  }
}
