/// Where an OVSDB server listens: "unix:/run/openvswitch/db.sock" or "tcp:10.0.0.2:6640" (as ovs-vsctl's `--db`).
public enum OVSDBEndpoint: Sendable, Equatable, CustomStringConvertible {
  case unix(path: String)
  case tcp(host: String, port: Int)

  /// Nil for anything else, also for TLS ("ssl:…"), which is not there yet.
  public init?(_ text: String) {
    if text.hasPrefix("unix:/") {
      let path = String(text.dropFirst(5))
      // The kernel's limit for a socket's path is 107 bytes and a null.
      guard path.utf8.count <= 107, !path.utf8.contains(0) else { return nil }
      self = .unix(path: path)
      return
    }
    guard text.hasPrefix("tcp:") else { return nil }
    let rest = text.dropFirst(4)
    guard let colon = rest.lastIndex(of: ":"), let port = Int(rest[rest.index(after: colon)...]),
      (1...65535).contains(port)
    else { return nil }
    var host = rest[..<colon]
    if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
    guard !host.isEmpty, !host.utf8.contains(where: { $0 <= 0x20 || $0 >= 0x7f }) else { return nil }
    self = .tcp(host: String(host), port: port)
  }
  public var description: String {
    switch self {
    case .unix(let path): "unix:\(path)"
    case .tcp(let host, let port): host.contains(":") ? "tcp:[\(host)]:\(port)" : "tcp:\(host):\(port)"
    }
  }
}
