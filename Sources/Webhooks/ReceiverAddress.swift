import CLinux
import Glibc

/// Where a webhook's receiver is, looked up once: the connection goes to the address that was looked at, whatever the name says
/// a moment later.
struct ReceiverAddress: Sendable, Equatable {
  /// Numeric: "192.0.2.7", "2001:db8::1".
  let text: String

  enum Kind: Sendable, Equatable {
    case ordinary
    /// This machine, its links, everybody, or nobody.
    case local
  }

  /// All addresses of a name, as the system's resolver gives them; blocks.
  /// - Parameter host: a name or an address in whatever spelling the resolver takes (also "0x7f.1" or "2130706433").
  static func lookUp(_ host: String) throws(LookUpFailure) -> [(ReceiverAddress, Kind)] {
    var hints = addrinfo()
    hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    var list: UnsafeMutablePointer<addrinfo>?
    let code = getaddrinfo(host, nil, &hints, &list)
    guard code == 0, let list else { throw LookUpFailure(description: String(cString: gai_strerror(code))) }
    defer { freeaddrinfo(list) }
    var found: [(ReceiverAddress, Kind)] = []
    var next: UnsafeMutablePointer<addrinfo>? = list
    while let entry = next {
      next = entry.pointee.ai_next
      guard let address = entry.pointee.ai_addr else { continue }
      if let one = read(address) { found.append(one) }
    }
    return found
  }
  struct LookUpFailure: Error { let description: String }

  private static func read(_ address: UnsafeMutablePointer<sockaddr>) -> (ReceiverAddress, Kind)? {
    var buffer = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN) + 1)
    switch Int32(address.pointee.sa_family) {
    case AF_INET:
      return address.withMemoryRebound(to: sockaddr_in.self, capacity: 1) { v4 in
        var number = v4.pointee.sin_addr
        guard inet_ntop(AF_INET, &number, &buffer, socklen_t(buffer.count)) != nil else { return nil }
        let bytes = withUnsafeBytes(of: number.s_addr) { Array($0) }
        return (ReceiverAddress(text: text(buffer)), kind(v4: bytes))
      }
    case AF_INET6:
      return address.withMemoryRebound(to: sockaddr_in6.self, capacity: 1) { v6 in
        var number = v6.pointee.sin6_addr
        guard inet_ntop(AF_INET6, &number, &buffer, socklen_t(buffer.count)) != nil else { return nil }
        let bytes = withUnsafeBytes(of: number) { Array($0) }
        return (ReceiverAddress(text: text(buffer)), kind(v6: bytes))
      }
    default: return nil
    }
  }

  private static func text(_ buffer: [CChar]) -> String {
    String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// Source: RFC 6890 (special-purpose addresses), RFC 3927 (link-local).
  static func kind(v4 bytes: [UInt8]) -> Kind {
    switch (bytes[0], bytes[1]) {
    case (0, _), (127, _), (169, 254), (224..., _): .local
    default: .ordinary
    }
  }
  /// Also those that carry an IPv4 address in them (RFC 4291 §2.5.5, RFC 6052, RFC 3056).
  static func kind(v6 bytes: [UInt8]) -> Kind {
    let isZero = { (range: Range<Int>) in bytes[range].allSatisfy { $0 == 0 } }
    if isZero(0..<10), bytes[10] == bytes[11], bytes[10] == 0xff || bytes[10] == 0 {
      return kind(v4: Array(bytes[12...]))
    }
    if Array(bytes[0..<4]) == [0, 0x64, 0xff, 0x9b], isZero(4..<12) { return kind(v4: Array(bytes[12...])) }
    if bytes[0] == 0x20, bytes[1] == 0x02 { return kind(v4: Array(bytes[2..<6])) }
    // fe80::/10, fec0::/10 and multicast.
    if bytes[0] == 0xff || (bytes[0] == 0xfe && bytes[1] >= 0x80) { return .local }
    return .ordinary
  }
}
