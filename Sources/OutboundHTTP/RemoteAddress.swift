import CLinux
import Domain
import Glibc

/// Where somebody else's URL leads, looked up once: the connection goes to the address that was looked at, whatever the name
/// says a moment later.
public struct RemoteAddress: Sendable, Hashable {
  /// Numeric: "192.0.2.7", "2001:db8::1".
  public let text: String
  /// 4 bytes, or 16.
  let bytes: [UInt8]

  public enum Kind: Sendable, Equatable {
    /// This machine, its links, everybody, or nobody.
    case local
    /// Not reachable from everywhere: networks of a site's own (where controllers and switches live), documentation, tunnels.
    case special
    case global
  }

  init?(bytes: [UInt8]) {
    var buffer = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN) + 1)
    let family = bytes.count == 4 ? AF_INET : AF_INET6
    guard bytes.count == 4 || bytes.count == 16,
      inet_ntop(family, bytes, &buffer, socklen_t(buffer.count)) != nil
    else { return nil }
    self.bytes = bytes
    text = String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// All addresses of a name, as the system's resolver gives them; blocks.
  /// - Parameter host: a name or an address in whatever spelling the resolver takes (also "0x7f.1" or "2130706433").
  public static func lookUp(_ host: String) throws(LookUpFailure) -> [RemoteAddress] {
    try find(host, flags: 0)
  }
  /// The address that `host` is in some spelling; nil for a name. Asks nobody.
  static func numeric(_ host: String) -> RemoteAddress? {
    (try? find(host, flags: AI_NUMERICHOST))?.first
  }
  /// The name has no address, in the resolver's words.
  public struct LookUpFailure: Error, Sendable, CustomStringConvertible {
    public let description: String
    public init(description: String) { self.description = description }
  }

  private static func find(_ host: String, flags: Int32) throws(LookUpFailure) -> [RemoteAddress] {
    var hints = addrinfo()
    hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    hints.ai_flags = flags
    var list: UnsafeMutablePointer<addrinfo>?
    let code = getaddrinfo(host, nil, &hints, &list)
    guard code == 0, let list else { throw LookUpFailure(description: String(cString: gai_strerror(code))) }
    defer { freeaddrinfo(list) }
    var found: [RemoteAddress] = []
    var next: UnsafeMutablePointer<addrinfo>? = list
    while let entry = next {
      next = entry.pointee.ai_next
      if let address = entry.pointee.ai_addr, let one = read(address) { found.append(one) }
    }
    return found
  }

  private static func read(_ address: UnsafeMutablePointer<sockaddr>) -> RemoteAddress? {
    switch Int32(address.pointee.sa_family) {
    case AF_INET:
      address.withMemoryRebound(to: sockaddr_in.self, capacity: 1) { v4 in
        RemoteAddress(bytes: withUnsafeBytes(of: v4.pointee.sin_addr) { Array($0) })
      }
    case AF_INET6:
      address.withMemoryRebound(to: sockaddr_in6.self, capacity: 1) { v6 in
        RemoteAddress(bytes: withUnsafeBytes(of: v6.pointee.sin6_addr) { Array($0) })
      }
    default: nil
    }
  }

  /// The addresses of this machine's interfaces.
  static func own() -> Set<RemoteAddress> {
    var list: UnsafeMutablePointer<ifaddrs>?
    guard getifaddrs(&list) == 0 else { return [] }
    defer { freeifaddrs(list) }
    var found: Set<RemoteAddress> = []
    var next = list
    while let entry = next {
      next = entry.pointee.ifa_next
      if let address = entry.pointee.ifa_addr, let one = read(address) { found.insert(one) }
    }
    return found
  }

  public var kind: Kind { bytes.count == 4 ? Self.kind(v4: bytes) : Self.kind(v6: bytes) }

  /// Source: RFC 6890 and IANA's registry of special-purpose addresses, RFC 3927 (link-local).
  static func kind(v4 bytes: [UInt8]) -> Kind {
    switch (bytes[0], bytes[1], bytes[2]) {
    case (0, _, _), (127, _, _), (169, 254, _), (224..., _, _): .local
    case (10, _, _), (100, 64...127, _), (172, 16...31, _), (192, 168, _), (198, 18...19, _): .special
    case (192, 0, 0), (192, 0, 2), (192, 88, 99), (198, 51, 100), (203, 0, 113): .special
    default: .global
    }
  }
  /// Also those that carry an IPv4 address in them (RFC 4291 §2.5.5, RFC 6052, RFC 3056).
  static func kind(v6 bytes: [UInt8]) -> Kind {
    let isZero = { (range: Range<Int>) in bytes[range].allSatisfy { $0 == 0 } }
    if isZero(0..<10), bytes[10] == bytes[11], bytes[10] == 0xff || bytes[10] == 0 {
      // The whole of ::/96 is nowhere but for what it carries.
      return kind(v4: Array(bytes[12...])) == .local ? .local : .special
    }
    if Array(bytes[0..<4]) == [0, 0x64, 0xff, 0x9b], isZero(4..<12) { return kind(v4: Array(bytes[12...])) }
    if bytes[0] == 0x20, bytes[1] == 0x02 { return kind(v4: Array(bytes[2..<6])) == .local ? .local : .special }
    // fe80::/10, fec0::/10 and multicast.
    if bytes[0] == 0xff || (bytes[0] == 0xfe && bytes[1] >= 0x80) { return .local }
    // Of the rest only 2000::/3 is anywhere, without 2001::/23 (Teredo and others), 2001:db8::/32 and 3fff::/20.
    guard bytes[0] & 0xe0 == 0x20 else { return .special }
    switch (bytes[0], bytes[1], bytes[2], bytes[3]) {
    case (0x20, 0x01, 0...1, _), (0x20, 0x01, 0x0d, 0xb8), (0x3f, 0xff, 0...0x0f, _): return .special
    default: return .global
    }
  }

  /// True when it lies in `network`.
  func isIn(_ network: CIDR) -> Bool { IPAddress(text).map { network.contains($0) } ?? false }
}
