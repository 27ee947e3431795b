import Cryptography
import Wire

/// A request as the simulated controller sees it.
struct RedfishRequest: Sendable {
  var method: String
  /// Without the query and a trailing slash.
  var path: String
  var authorization: String?
  var token: String?
  var ifMatch: String?
  var body: [UInt8]

  /// The body as an object; nil when it is none.
  var object: JSONObject? { body.isEmpty ? [:] : (try? JSON.parse(body))?.object }
}

struct RedfishAnswer: Sendable {
  var status: Int
  var headers: [(String, String)] = []
  var body: JSON?
  /// Cut the connection instead of answering.
  var isDropped = false

  static let done = RedfishAnswer(status: 204)
  static let dropped = RedfishAnswer(status: 204, isDropped: true)

  static func document(_ body: JSON) -> RedfishAnswer {
    RedfishAnswer(status: 200, headers: [("ETag", etag(of: body))], body: body)
  }
  static func etag(of body: JSON) -> String { "\"\(Digest.sha256Hex(body.description).prefix(16))\"" }

  /// An error body: DSP0266 1.15, 8.6 "Error responses".
  static func error(_ status: Int, _ messageID: String, _ message: String, _ arguments: [String] = []) -> RedfishAnswer
  {
    let extended: JSON = [
      "@odata.type": "#Message.v1_1_1.Message",
      "MessageId": .string("Base.1.18." + messageID),
      "Message": .string(message),
      "MessageArgs": JSON(arguments),
      "Severity": "Critical",
      "Resolution": "None",
    ]
    let error: JSON = [
      "code": .string("Base.1.18." + messageID), "message": .string(message),
      "@Message.ExtendedInfo": .array([extended]),
    ]
    return RedfishAnswer(status: status, body: ["error": error])
  }
  static func notFound(_ path: String) -> RedfishAnswer {
    error(404, "ResourceMissingAtURI", "The resource at the URI \(path) was not found.", [path])
  }
  static let unauthorized: RedfishAnswer = {
    var answer = error(401, "NoValidSession", "There is no valid session established with the implementation.")
    answer.headers = [("WWW-Authenticate", "Basic realm=\"Redfish\"")]
    return answer
  }()
  static func missing(_ property: String) -> RedfishAnswer {
    error(400, "PropertyMissing", "The property \(property) is required and was not in the request.", [property])
  }
  static func notInList(_ property: String, _ value: String) -> RedfishAnswer {
    error(
      400, "PropertyValueNotInList",
      "The value '\(value)' for the property \(property) is not in the list of"
        + " acceptable values.", [value, property])
  }
}
