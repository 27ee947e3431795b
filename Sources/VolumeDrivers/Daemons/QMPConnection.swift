import Wire

/// QEMU's machine protocol on a Unix socket: a JSON object a line. Source: docs/interop/qmp-spec.txt of QEMU 7.2.
final class QMPConnection {
  private let socket: ControlSocket
  private var received: [UInt8] = []
  /// The longest line taken, in bytes.
  private static let lineLimit = 8 << 20

  /// Connects and agrees on the protocol. Blocks; the server answers one client at a time.
  init(_ path: String, limit: Duration = .seconds(10)) throws(ControlError) {
    socket = try ControlSocket(path, limit: limit)
    guard try readLine()["QMP"] != nil else { throw .badReply("no greeting") }
    try call("qmp_capabilities")
  }

  /// The daemon's process.
  var process: Int32 { socket.peer }

  /// Runs a command and waits for its answer; events are passed over. Blocks.
  @discardableResult
  func call(_ command: String, _ arguments: JSON? = nil) throws(ControlError) -> JSON {
    var request: JSONObject = ["execute": .string(command)]
    if let arguments { request["arguments"] = arguments }
    try socket.send(Array("\(JSON.object(request))\n".utf8))
    while true {
      let answer = try readLine()
      if let result = answer["return"] { return result }
      if let error = answer["error"] { throw .refused(error["desc"]?.string ?? "\(error)") }
    }
  }

  private func readLine() throws(ControlError) -> JSON {
    while true {
      if let end = received.firstIndex(of: UInt8(ascii: "\n")) {
        let line = Array(received[..<end])
        received.removeSubrange(...end)
        do { return try JSON.parse(line) } catch { throw .badReply("\(error)") }
      }
      let bytes = try socket.receive()
      if bytes.isEmpty { throw .lost }
      received += bytes
      if received.count > Self.lineLimit { throw .badReply("a line of more than \(Self.lineLimit) bytes") }
    }
  }
}
