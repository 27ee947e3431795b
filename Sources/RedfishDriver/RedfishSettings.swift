import DriverInterfaces
import Wire

/// A node's `driver_info`, read and checked. Names of the keys: Ironic, "Redfish driver".
struct RedfishSettings: Sendable, Equatable {
  /// How the controller proves who it is. There is no way to trust anybody.
  enum Trust: Sendable, Equatable {
    /// A chain to an authority that the system knows, and the name.
    case system
    /// The same with the authorities of a PEM file or a folder of them.
    case authority(path: String)
    /// The certificate itself: this one, or the first one seen when nil.
    case fingerprint(String?)
  }
  enum Authentication: String, Sendable { case auto, basic, session }

  var isTLS: Bool
  /// A name or address; IPv6 in brackets.
  var host: String
  var port: Int
  /// Nil: the only system there is.
  var systemPath: String?
  var username: String?
  var password: String?
  var trust: Trust
  var authentication: Authentication

  /// How operators know it.
  var device: DriverError.Device { .controller(host + (port == (isTLS ? 443 : 80) ? "" : ":\(port)")) }
  /// Scheme and authority, without a slash at the end.
  var base: String { "\(isTLS ? "https" : "http")://\(host):\(port)" }

  static let properties: [DriverProperty] = [
    DriverProperty(
      "redfish_address", help: "Address of the controller: https://HOST[:PORT]; https when no scheme is given.",
      required: true),
    DriverProperty(
      "redfish_system_id",
      help: "Path of the system, such as /redfish/v1/Systems/1. Needed when the controller has more than one."),
    DriverProperty("redfish_username", help: "User name with administrator or operator rights."),
    DriverProperty("redfish_password", help: "Password of redfish_username.", secret: true),
    DriverProperty(
      "redfish_verify_ca",
      help: "True: the certificate must be signed by an authority that this system knows. A path: by an authority in"
        + " that file or folder. False: the certificate is pinned on first use. Default True."),
    DriverProperty(
      "redfish_fingerprint",
      help:
        "The only certificate to accept, as sha256: and 64 hexadecimal digits; takes the place of redfish_verify_ca."
    ),
    DriverProperty("redfish_auth_type", help: "auto (session, else Basic), session or basic. Default auto."),
  ]

  /// - Returns: the settings when there are no problems, and the problems, each a sentence that names the key.
  static func read(_ info: JSONObject) -> (RedfishSettings?, [String]) {
    var problems: [String] = []
    var address: (isTLS: Bool, host: String, port: Int)?
    switch info["redfish_address"] {
    case nil, .null?: problems.append("redfish_address is missing: set it to https://HOST of the controller.")
    case .string(let text)?:
      address = parse(address: text)
      if address == nil {
        problems.append(
          "redfish_address is not http://HOST[:PORT] or https://HOST[:PORT] without a path or a password.")
      }
    default: problems.append("redfish_address is not a string.")
    }
    func text(_ key: String) -> String? {
      switch info[key] {
      case nil, .null?: return nil
      case .string(let text)? where !text.utf8.contains(where: { $0 < 32 || $0 == 127 }): return text
      default:
        problems.append("\(key) is not a string of printable characters.")
        return nil
      }
    }
    let username = text("redfish_username")
    let password = text("redfish_password")
    if username != nil && password == nil { problems.append("redfish_password is missing for redfish_username.") }
    if username == nil && password != nil { problems.append("redfish_username is missing for redfish_password.") }
    if username?.contains(":") == true { problems.append("redfish_username must not contain a colon.") }

    var systemPath = text("redfish_system_id")
    if let path = systemPath {
      if !isPath(path) { problems.append("redfish_system_id is not a path such as /redfish/v1/Systems/1.") }
      while systemPath?.hasSuffix("/") == true { systemPath?.removeLast() }
      if systemPath?.isEmpty == true { systemPath = nil }
    }

    var authentication = Authentication.auto
    if let word = text("redfish_auth_type") {
      if let known = Authentication(rawValue: word.lowercased()) {
        authentication = known
      } else {
        problems.append("redfish_auth_type is none of auto, basic and session.")
      }
    }

    var trust = Trust.system
    switch info["redfish_verify_ca"] {
    case nil, .null?: break
    case .bool(let flag)?: trust = flag ? .system : .fingerprint(nil)
    case .string(let word)?:
      switch word.lowercased() {
      case "true", "yes", "1", "on", "t", "y": trust = .system
      case "false", "no", "0", "off", "f", "n": trust = .fingerprint(nil)
      default:
        if word.hasPrefix("/") {
          trust = .authority(path: word)
        } else {
          problems.append("redfish_verify_ca is neither True nor False nor an absolute path.")
        }
      }
    default: problems.append("redfish_verify_ca is neither True nor False nor a path.")
    }
    if let word = text("redfish_fingerprint") {
      if let fingerprint = parse(fingerprint: word) {
        trust = .fingerprint(fingerprint)
      } else {
        problems.append("redfish_fingerprint is not sha256: and 64 hexadecimal digits.")
      }
      if address?.isTLS == false { problems.append("redfish_fingerprint needs a redfish_address with https.") }
    }

    guard problems.isEmpty, let address else { return (nil, problems) }
    return (
      RedfishSettings(
        isTLS: address.isTLS, host: address.host, port: address.port, systemPath: systemPath, username: username,
        password: password, trust: trust, authentication: authentication), []
    )
  }

  /// "https://bmc7.example:8443/" as its parts; nil when there is anything else in it.
  static func parse(address: String) -> (isTLS: Bool, host: String, port: Int)? {
    var rest = Substring(address)
    var isTLS = true
    if let scheme = rest.range(of: "://") {
      switch rest[..<scheme.lowerBound].lowercased() {
      case "https": isTLS = true
      case "http": isTLS = false
      default: return nil
      }
      rest = rest[scheme.upperBound...]
    }
    while rest.hasSuffix("/") { rest.removeLast() }
    var host = rest
    var port = isTLS ? 443 : 80
    let afterBracket = rest.hasPrefix("[") ? rest.lastIndex(of: "]") : rest.startIndex
    guard let afterBracket else { return nil }
    if let colon = rest[afterBracket...].firstIndex(of: ":") {
      guard let number = Int(rest[rest.index(after: colon)...]), (1...65535).contains(number) else { return nil }
      port = number
      host = rest[..<colon]
    }
    let isHost =
      host.hasPrefix("[")
      ? host.hasSuffix("]") && host.count > 3
        && host.dropFirst().dropLast().allSatisfy { $0.isHexDigit || $0 == ":" || $0 == "." }
      : !host.isEmpty && !host.hasPrefix("-") && host.utf8.count <= 253
        && host.utf8.allSatisfy {
          (48...57).contains($0) || (97...122).contains($0) || (65...90).contains($0) || $0 == 45 || $0 == 46
            || $0 == 95
        }
    return isHost ? (isTLS, host.lowercased(), port) : nil
  }

  /// "SHA256:AA:BB…" in its one spelling: "sha256:" and lower-case digits.
  static func parse(fingerprint: String) -> String? {
    let text = fingerprint.lowercased()
    guard text.hasPrefix("sha256:") else { return nil }
    let digits = text.dropFirst(7).filter { $0 != ":" }
    guard digits.utf8.count == 64, digits.allSatisfy({ $0.isHexDigit }) else { return nil }
    return "sha256:" + digits
  }

  /// A path as a URL may carry it, from an operator or a controller: nothing that could become another request.
  static func isPath(_ text: String) -> Bool {
    text.hasPrefix("/") && !text.hasPrefix("//") && text.utf8.count <= 1024
      && text.utf8.allSatisfy { $0 > 32 && $0 < 127 && $0 != 0x22 && $0 != 0x5c && $0 != 0x23 }
  }
}

extension Substring {
  fileprivate func range(of text: String) -> Range<Index>? {
    var at = startIndex
    while at < endIndex {
      if self[at...].hasPrefix(text) { return at..<index(at, offsetBy: text.count) }
      at = index(after: at)
    }
    return nil
  }
}
