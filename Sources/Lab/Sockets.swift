import Glibc

/// Who listens on this host, as the kernel tells everybody.
enum Sockets {
  enum Kind: String {
    case udp, tcp
  }

  /// Whether something is bound to an IPv4 address and port (TCP: listens there).
  static func isTaken(_ kind: Kind, _ address: String, _ port: Int) -> Bool {
    guard let table = try? Files.read("/proc/net/\(kind.rawValue)") else { return false }
    let wanted = inProc(address, port: port)
    return table.split(separator: "\n").contains { line in
      let words = line.split(separator: " ")
      // Source: Linux, include/net/tcp_states.h; 0A is LISTEN.
      return words.count > 3 && words[1] == wanted && (kind == .udp || words[3] == "0A")
    }
  }

  /// Whether somebody takes connections at a Unix socket: its file is there a moment before that.
  static func answers(_ path: String) -> Bool {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let socket = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard socket >= 0 else { return false }
    defer { close(socket) }
    guard path.utf8.count < MemoryLayout.size(ofValue: address.sun_path) else { return false }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    return withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(socket, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) == 0
      }
    }
  }

  /// An address as /proc/net writes it: bytes from last to first, in hexadecimal.
  static func inProc(_ address: String, port: Int) -> String {
    func hex(_ number: Int, _ width: Int) -> String {
      let digits = String(number, radix: 16, uppercase: true)
      return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }
    return address.split(separator: ".").reversed().map { hex(Int($0) ?? 0, 2) }.joined() + ":" + hex(port, 4)
  }
}
