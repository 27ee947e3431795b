import DriverInterfaces
import Glibc

/// Who we are to a switch. Secrets stay in their files and are read for each visit, so that a new one needs no restart.
struct SwitchCredentials: Sendable {
  let switchName: String
  let username: String?
  let passwordFile: String?

  /// - Throws: ``DriverError`` `.misconfigured` when the file cannot be read, or holds no password of one line.
  func password() throws(DriverError) -> String? {
    guard let passwordFile else { return nil }
    return try Self.secret(in: passwordFile, for: switchName)
  }

  static func secret(in path: String, for switchName: String) throws(DriverError) -> String {
    func wrong(_ why: String) -> DriverError {
      DriverError(.misconfigured, device: .networkSwitch(switchName), detail: "\(path) \(why)")
    }
    let file = Glibc.open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { throw wrong("cannot be read: \(String(cString: strerror(errno)))") }
    defer { Glibc.close(file) }
    var bytes = [UInt8](repeating: 0, count: 1025)
    let count = read(file, &bytes, bytes.count)
    guard count >= 0, count <= 1024 else { throw wrong("holds no secret of at most 1024 bytes") }
    var secret = bytes.prefix(count)
    while secret.last == 0x0a || secret.last == 0x0d { secret.removeLast() }
    guard !secret.isEmpty, !secret.contains(where: { $0 < 32 || $0 == 127 }) else {
      throw wrong("holds no secret of one line")
    }
    return String(decoding: secret, as: UTF8.self)
  }
}

/// "HOST" or "HOST:PORT" behind a scheme: "https://10.0.0.2", "ssh://10.0.0.2:2222", "netconf://[fd00::2]".
struct SwitchAddress: Sendable, Equatable {
  var host: String
  var port: Int
  /// As it stands in a URL.
  var authority: String { "\(host.contains(":") ? "[\(host)]" : host):\(port)" }

  /// Nil for anything but the scheme, a name or address and perhaps a port.
  init?(_ text: String, scheme: String, port usual: Int) {
    guard text.hasPrefix(scheme + "://") else { return nil }
    var rest = text.dropFirst(scheme.count + 3)
    if rest.hasSuffix("/") { rest.removeLast() }
    port = usual
    let end = rest.hasPrefix("[") ? rest.lastIndex(of: "]") : rest.startIndex
    guard let end else { return nil }
    if let colon = rest[end...].firstIndex(of: ":") {
      guard let number = Int(rest[rest.index(after: colon)...]), (1...65535).contains(number) else { return nil }
      port = number
      rest = rest[..<colon]
    }
    let isLiteral = rest.hasPrefix("[") && rest.hasSuffix("]")
    if isLiteral { rest = rest.dropFirst().dropLast() }
    let isHost =
      !rest.isEmpty && rest.utf8.count <= 253 && !rest.hasPrefix("-")
      && rest.utf8.allSatisfy {
        (0x30...0x39).contains($0) || (0x41...0x5a).contains($0) || (0x61...0x7a).contains($0) || $0 == 0x2e
          || (isLiteral ? $0 == 0x3a : $0 == 0x2d)
      }
    guard isHost else { return nil }
    host = String(rest)
  }
}
