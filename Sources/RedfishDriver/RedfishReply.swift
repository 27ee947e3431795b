import DriverInterfaces
import Wire

/// What a controller answered.
struct RedfishReply: Sendable {
  var status: Int
  var etag: String?
  var location: String?
  var token: String?
  /// Seconds of `Retry-After`.
  var retryAfter: Int?
  /// `.null` when there was no body.
  var body: JSON

  subscript(_ key: String) -> JSON? { body[key] }

  /// The controller's own words: DSP0266 1.15, 8.6 "Error responses".
  var message: String {
    let error = body["error"]
    let extended = (error?["@Message.ExtendedInfo"]?.array ?? []).compactMap { $0["Message"]?.string }
    let text = extended.isEmpty ? error?["message"]?.string ?? "" : extended.prefix(2).joined(separator: " ")
    return String(
      String.UnicodeScalarView(text.unicodeScalars.filter { $0.value >= 32 && $0.value != 127 }.prefix(300)))
  }

  /// - Parameter doing: what was asked, as the end of "it refused to …".
  /// - Throws: ``DriverError`` when the answer is not a success.
  func check(_ settings: RedfishSettings, _ doing: String) throws {
    if (200..<300).contains(status) { return }
    var words = message
    if let password = settings.password, !password.isEmpty {
      words = words.split(separator: password, omittingEmptySubsequences: false).joined(separator: "******")
    }
    let said = words.isEmpty ? "HTTP status \(status)" : "\"\(words)\" (HTTP status \(status))"
    let (code, sentence): (DriverError.Code, String) =
      switch status {
      case 401:
        (.refused, "it rejected the user name or password; check redfish_username and redfish_password")
      case 403: (.refused, "the user may not \(doing); give redfish_username the rights of an operator: \(said)")
      case 404, 405, 410, 501: (.unsupported, "it cannot \(doing): \(said)")
      case 400, 406, 411, 413, 415, 422: (.refused, "it refused to \(doing): \(said)")
      case 300..<400: (.refused, "it redirects elsewhere; set redfish_address to where it really is")
      case 409, 412, 423, 428, 429, 503: (.busy, "it cannot \(doing) now: \(said)")
      default: (.busy, "it failed to \(doing): \(said)")
      }
    throw DriverError(code, device: settings.device, detail: sentence)
  }
}
