import Cryptography
import Glibc

/// Signs requests to S3-compatible stores. Source: Amazon S3 API reference, "Authenticating Requests: Using the Authorization
/// Header (AWS Signature Version 4)".
struct SignatureV4: Sendable {
  let accessKey: String
  let secretKey: String
  let region: String

  /// The headers that a request needs, `host` among them.
  /// - Parameters:
  ///   - path: as it is sent, percent-encoded.
  ///   - query: names and values, not encoded.
  ///   - headers: others to sign, names in lower case.
  ///   - time: seconds since 1970.
  func headers(
    _ method: String, host: String, path: String, query: [(String, String)] = [], headers: [(String, String)] = [],
    payload: [UInt8], time: Int
  ) -> [(String, String)] {
    let (moment, hash) = (Self.basicFormat(time), Digest.hex(Digest.sha256(payload)))
    let day = String(moment.prefix(8))
    let signed =
      (headers + [("host", host), ("x-amz-content-sha256", hash), ("x-amz-date", moment)]).sorted { $0.0 < $1.0 }
    let names = signed.map(\.0).joined(separator: ";")
    let canonical = [
      method, path, Self.canonicalQuery(query), signed.map { "\($0.0):\($0.1)\n" }.joined(), names, hash,
    ].joined(separator: "\n")
    let scope = "\(day)/\(region)/s3/aws4_request"
    let text = ["AWS4-HMAC-SHA256", moment, scope, Digest.sha256Hex(canonical)].joined(separator: "\n")
    var key = Array("AWS4\(secretKey)".utf8)
    for part in [day, region, "s3", "aws4_request"] { key = Digest.hmacSHA256(key: key, Array(part.utf8)) }
    let signature = Digest.hex(Digest.hmacSHA256(key: key, Array(text.utf8)))
    let authorization =
      "AWS4-HMAC-SHA256 Credential=\(accessKey)/\(scope),SignedHeaders=\(names),Signature=\(signature)"
    return signed + [("authorization", authorization)]
  }

  /// Names and values encoded, in the order that is signed; the same text is sent.
  static func canonicalQuery(_ query: [(String, String)]) -> String {
    query.map { "\(encoded($0.0))=\(encoded($0.1))" }.sorted().joined(separator: "&")
  }
  /// - Parameter slash: whether slashes stay, as in paths.
  static func encoded(_ text: String, keepingSlashes slash: Bool = false) -> String {
    var out = ""
    for byte in text.utf8 {
      let isPlain =
        (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte)
        || [0x2d, 0x2e, 0x5f, 0x7e].contains(byte) || (slash && byte == 0x2f)
      out +=
        isPlain ? String(UnicodeScalar(byte)) : "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
    }
    return out
  }
  /// "20130524T000000Z".
  private static func basicFormat(_ time: Int) -> String {
    var (seconds, parts) = (time_t(time), tm())
    gmtime_r(&seconds, &parts)
    func two(_ number: Int32) -> String { (number < 10 ? "0" : "") + String(number) }
    return "\(parts.tm_year + 1900)\(two(parts.tm_mon + 1))\(two(parts.tm_mday))"
      + "T\(two(parts.tm_hour))\(two(parts.tm_min))\(two(parts.tm_sec))Z"
  }
}
