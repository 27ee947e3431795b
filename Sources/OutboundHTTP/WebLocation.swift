/// A URL of http or https in its parts, read strictly: what two readers might read differently is none.
public struct WebLocation: Sendable, Equatable {
  public let isSecure: Bool
  /// A name in lower case, or a numeric address in its one spelling, without brackets.
  public let host: String
  public let port: Int
  /// Path and query as they were given: "/a/b?c".
  public let target: String

  private static let longest = 2048

  /// - Returns: nil for other schemes, users and passwords, and whatever is no plain URL.
  public init?(_ text: String) {
    guard text.utf8.count <= Self.longest, text.utf8.allSatisfy({ (0x21...0x7e).contains($0) }),
      let colon = text.firstIndex(of: ":"), text[colon...].hasPrefix("://")
    else { return nil }
    switch text[..<colon].lowercased() {
    case "http": isSecure = false
    case "https": isSecure = true
    default: return nil
    }
    let rest = text[text.index(colon, offsetBy: 3)...]
    let authority = rest.prefix { !"/?#".contains($0) }
    guard let (host, port) = Self.read(authority, standardPort: isSecure ? 443 : 80) else { return nil }
    self.host = host
    self.port = port
    let target = rest[authority.endIndex...].prefix { $0 != "#" }
    guard !target.contains("\\") else { return nil }
    self.target = target.hasPrefix("/") ? String(target) : "/" + target
  }

  private static func read(_ authority: Substring, standardPort: Int) -> (host: String, port: Int)? {
    var host = authority
    var rest: Substring = ""
    if authority.first == "[" {
      guard let end = authority.firstIndex(of: "]") else { return nil }
      host = authority[..<end].dropFirst()
      rest = authority[authority.index(after: end)...]
      guard host.contains(":"), host.utf8.allSatisfy({ $0 == 0x3a || $0 == 0x2e || isHexDigit($0) }),
        let address = RemoteAddress.numeric(String(host))
      else { return nil }
      return port(rest, standardPort).map { (address.text, $0) }
    }
    if let colon = authority.firstIndex(of: ":") { (host, rest) = (authority[..<colon], authority[colon...]) }
    let name = host.lowercased()
    guard !name.isEmpty, name.utf8.count <= 253,
      name.utf8.allSatisfy({ isHexDigit($0) || (0x67...0x7a).contains($0) || [0x2d, 0x2e, 0x5f].contains($0) })
    else { return nil }
    return port(rest, standardPort).map { (RemoteAddress.numeric(name)?.text ?? name, $0) }
  }
  private static func isHexDigit(_ byte: UInt8) -> Bool {
    (0x30...0x39).contains(byte) || (0x61...0x66).contains(byte) || (0x41...0x46).contains(byte)
  }
  /// The number of ":8080"; `standard` where there is none, nil for what is no port.
  private static func port(_ text: Substring, _ standard: Int) -> Int? {
    if text.isEmpty { return standard }
    guard text.first == ":", text.dropFirst().utf8.allSatisfy({ (0x30...0x39).contains($0) }),
      let number = Int(text.dropFirst()), (1...65_535).contains(number)
    else { return nil }
    return number
  }

  private var origin: String {
    "\(isSecure ? "https" : "http")://\(host.contains(":") ? "[\(host)]" : host):\(port)"
  }
  /// The URL again, in its one spelling.
  public var text: String { origin + target }

  /// Where a redirect leads. Source: RFC 3986, 5.2, without dots in paths.
  public func redirected(to location: String) -> WebLocation? {
    if location.hasPrefix("//") { return WebLocation((isSecure ? "https:" : "http:") + location) }
    if location.hasPrefix("/") { return WebLocation(origin + location) }
    if location.prefix(while: { !"/?#".contains($0) }).contains(":") { return WebLocation(location) }
    let path = target.prefix { $0 != "?" }
    return WebLocation(origin + path[...(path.lastIndex(of: "/") ?? path.startIndex)] + location)
  }
}
