import Glibc
import Processes
import Wire

/// Stands between sshd and a real NETCONF server, as its subsystem: writes down what is asked, and misbehaves on request.
///
/// In the folder: `faults.json` (``SwitchFaults``) and `log`.
public final class NETCONFRelay: Sendable {
  private let folder: String
  private let log: EffectLog
  private static let mark = Array("]]>]]>".utf8)

  public init(folder: String) throws {
    self.folder = folder
    log = try EffectLog(path: "\(folder)/log")
  }

  /// Runs the server's program until one side ends.
  public func run(_ program: String, _ arguments: [String]) async throws {
    var faults = SwitchFaults(Self.load("\(folder)/faults.json") ?? .emptyObject)
    if faults.sessionsRefused > 0 {
      faults.sessionsRefused -= 1
      try CommandLineSwitch.keep(faults.json, "\(folder)/faults.json")
      return
    }
    // What sshd tells its subsystems; netconfd takes only those of the port of RFC 6242.
    let server = try await PipedProgram.start(
      program, arguments, environment: ["SSH_CONNECTION": "127.0.0.1 40000 127.0.0.1 830"])
    let dropping = faults.dropsAfterObeying > 0
    let stall = faults.stallSeconds
    let answers = Task {
      while let bytes = try await server.read(within: .seconds(3600)) {
        if stall > 0 { try await Task.sleep(for: .seconds(stall)) }
        Self.write(bytes)
      }
      exit(0)
    }
    let input = AsyncStream<[UInt8]> { continuation in
      startThread("stdin") {
        var chunk = [UInt8](repeating: 0, count: 65536)
        while case let count = read(0, &chunk, chunk.count), count > 0 { continuation.yield(Array(chunk[..<count])) }
        continuation.finish()
      }
    }
    var unread: [UInt8] = []
    var hasGreeted = false
    for await bytes in input {
      unread += bytes
      while let length = Self.messageLength(unread, isChunked: hasGreeted) {
        let raw = Array(unread[..<length])
        unread.removeFirst(length)
        let isHello = !hasGreeted
        hasGreeted = true
        let text = String(decoding: raw, as: UTF8.self)
        log.write("typed", device: "netconf", ["line": .string(text)])
        if text.contains("<edit-config>") {
          if faults.lies {
            answer(text, "<ok/>")
            continue
          }
          if let port = faults.refusedPort, text.contains("<name>\(port)</name>") {
            answer(
              text,
              "<rpc-error><error-type>application</error-type><error-tag>operation-failed</error-tag>"
                + "<error-severity>error</error-severity><error-message>hardware resource</error-message></rpc-error>")
            continue
          }
          log.write("effect", device: "netconf", [:])
        }
        server.write(raw)
        // netconfd 2.13 loses a request that it reads together with the hello.
        if isHello { try await Task.sleep(for: .milliseconds(200)) }
        if dropping, text.contains("<commit") {
          faults.dropsAfterObeying -= 1
          try CommandLineSwitch.keep(faults.json, "\(folder)/faults.json")
          // The server has it; its answer goes nowhere.
          answers.cancel()
          try await Task.sleep(for: .milliseconds(300))
          server.end()
          exit(255)
        }
      }
    }
    server.end()
    answers.cancel()
  }

  private func answer(_ request: String, _ content: String) {
    let id = request.split(separator: "message-id=\"").dropFirst().first?.prefix { $0 != "\"" } ?? ""
    let reply =
      "<rpc-reply xmlns=\"urn:ietf:params:xml:ns:netconf:base:1.0\" message-id=\"\(id)\">\(content)</rpc-reply>"
    Self.write(Array("\n#\(reply.utf8.count)\n\(reply)\n##\n".utf8))
  }

  /// Bytes of the first whole message with its frame; nil when it is not all there.
  private static func messageLength(_ bytes: [UInt8], isChunked: Bool) -> Int? {
    let end = isChunked ? Array("\n##\n".utf8) : mark
    guard bytes.count >= end.count else { return nil }
    for start in 0...(bytes.count - end.count) where bytes[start..<(start + end.count)].elementsEqual(end) {
      return start + end.count
    }
    return nil
  }
  private static func write(_ bytes: [UInt8]) {
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { Glibc.write(1, $0.baseAddress, $0.count) }
      guard count > 0 else { return }
      rest = rest.dropFirst(count)
    }
  }
  private static func load(_ path: String) -> JSON? {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return nil }
    defer { close(file) }
    var bytes = [UInt8](repeating: 0, count: 4096)
    let count = read(file, &bytes, bytes.count)
    return try? JSON.parse(Array(bytes.prefix(max(count, 0))))
  }
}
