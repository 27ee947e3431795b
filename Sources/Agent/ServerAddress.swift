import Glibc

/// Where the server's provisioning listener is: a number, because a static program has no name service.
public struct ServerAddress: Sendable, Equatable, CustomStringConvertible {
  /// IPv4 or IPv6, as written (no brackets).
  public let host: String
  public let port: UInt16
  let isIPv6: Bool

  /// Reads `http://10.77.0.1:8077` or `http://[fd00::1]:8077`; the port is 80 when left out. Nil for anything else.
  public init?(_ url: String) {
    guard url.hasPrefix("http://") else { return nil }
    var rest = url.dropFirst(7)
    if rest.hasSuffix("/") { rest = rest.dropLast() }
    var port = UInt16(80)
    let host: Substring
    if rest.hasPrefix("[") {
      guard let end = rest.firstIndex(of: "]") else { return nil }
      host = rest[rest.index(after: rest.startIndex)..<end]
      let after = rest[rest.index(after: end)...]
      if !after.isEmpty {
        guard after.hasPrefix(":"), let number = UInt16(after.dropFirst()) else { return nil }
        port = number
      }
      isIPv6 = true
    } else {
      let parts = rest.split(separator: ":", omittingEmptySubsequences: false)
      guard parts.count <= 2 else { return nil }
      host = parts[0]
      if parts.count == 2 {
        guard let number = UInt16(parts[1]) else { return nil }
        port = number
      }
      isIPv6 = false
    }
    guard port > 0 else { return nil }
    self.host = String(host)
    self.port = port
    var binary = in6_addr()
    guard inet_pton(isIPv6 ? AF_INET6 : AF_INET, self.host, &binary) == 1 else { return nil }
  }

  public var description: String { isIPv6 ? "http://[\(host)]:\(port)" : "http://\(host):\(port)" }

  /// Calls `body` with the address as the socket calls want it.
  func withSocketAddress<R>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> R) -> R {
    if isIPv6 {
      var address = sockaddr_in6()
      address.sin6_family = sa_family_t(AF_INET6)
      address.sin6_port = port.bigEndian
      inet_pton(AF_INET6, host, &address.sin6_addr)
      return withUnsafePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          body($0, socklen_t(MemoryLayout<sockaddr_in6>.size))
        }
      }
    }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    inet_pton(AF_INET, host, &address.sin_addr)
    return withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
    }
  }
}
