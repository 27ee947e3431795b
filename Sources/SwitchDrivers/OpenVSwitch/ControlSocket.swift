import Domain
import Glibc
import Wire

/// The control socket of ovs-vswitchd: what `ovs-appctl` speaks to (ovs-appctl(8)), without its process.
struct ControlSocket: Sendable {
  /// The socket, or the run folder in which `ovs-vswitchd.pid` tells its name.
  let path: String

  /// - Returns: the daemon's text.
  func call(_ command: String, _ arguments: [String], limit: Duration) async throws(OVSDBError) -> String {
    let connection = try await open(limit: limit)
    defer { connection.close() }
    return try await connection.call(command, JSON(arguments), limit: limit).string ?? ""
  }

  func open(limit: Duration) async throws(OVSDBError) -> JSONRPCConnection {
    guard let endpoint = OVSDBEndpoint("unix:\(socketPath)") else { throw .notConnected("\(path) is no socket's path") }
    return try await JSONRPCConnection.open(endpoint, limit: limit, messageLimit: 32 << 20)
  }

  /// The daemon's number changes with every start, and with it the name of its socket in a run folder.
  var socketPath: String {
    let file = Glibc.open("\(path)/ovs-vswitchd.pid", O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return path }
    defer { close(file) }
    var bytes = [UInt8](repeating: 0, count: 32)
    let count = read(file, &bytes, bytes.count)
    let digits = bytes.prefix(max(count, 0)).prefix { (48...57).contains($0) }
    return "\(path)/ovs-vswitchd.\(String(decoding: digits, as: UTF8.self)).ctl"
  }

  /// Reads what `fdb/show` prints: " port  VLAN  MAC                Age" and one line per address.
  static func macTable(_ text: String, ports: [String: String]) -> [(port: String, vlan: Int, mac: MACAddress)] {
    text.split(separator: "\n").compactMap { line in
      let words = line.split(separator: " ")
      guard words.count >= 3, let vlan = Int(words[1]), let mac = MACAddress(String(words[2])),
        let port = ports[String(words[0])]
      else { return nil }
      return (port, vlan, mac)
    }
  }
}
