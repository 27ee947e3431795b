import CLinux
import Glibc
import Wire

/// How long the agent waits for things. Tests make it short.
public struct Timing: Sendable {
  /// Seconds for which a server that cannot be reached is tried again, before the agent gives up.
  public var patience = 900.0
  /// Seconds between two tries: the first pause, doubled up to the longest.
  public var firstPause = 0.5
  public var longestPause = 10.0
  /// Seconds for which the server may hold the request for a command.
  public var poll = 25
  /// Seconds without a byte after which a transfer counts as broken.
  public var silence = 30
  /// Of a machine that stands by: seconds between two looks whether the server is there, and for which one may take.
  public var standByPause = 1.0
  public var standByTimeout = 3
  public init() {}
}

/// The agent's calls to the server (docs/agent-protocol.md). Belongs to one thread.
final class ServerSession {
  let server: ServerAddress
  let timing: Timing
  let log: AgentLog
  private(set) var token = ""
  private(set) var node = ""
  private(set) var heartbeatSeconds = 10
  private let connection: HTTPConnection
  /// Made up here, so that a claim whose answer was lost can be made again by this agent and by no other.
  private let secret = base64URL((0..<32).map { _ in UInt8.random(in: 0...255) })

  init(server: ServerAddress, timing: Timing, log: AgentLog) {
    self.server = server
    self.timing = timing
    self.log = log
    connection = HTTPConnection(server: server)
  }

  static func headers(_ session: String) -> [(String, String)] {
    [("Authorization", "Bearer \(session)"), ("Content-Type", "application/json")]
  }

  struct Command {
    var id: String
    var kind: String
    var parameters: JSON
  }

  /// Trades the boot token for a session.
  /// - Throws: ``AgentError`` `.status(403)` when another agent has used the token.
  func claim(_ parameters: KernelParameters, inventory: JSON) throws {
    log.hide(secret)
    let body: JSON = [
      "token": .string(parameters.token), "mac": .string(parameters.mac), "secret": .string(secret),
      "version": .int(AgentProtocol.version),
      "inventory": inventory,
    ]
    let answer = try persistently("claim") {
      try self.call("POST", "/agent/v1/claim", headers: [("Content-Type", "application/json")], body: body)
    }
    guard let session = answer.body["session"]?.string, !session.isEmpty, session.utf8.count <= 512,
      session.utf8.allSatisfy({ (0x21...0x7e).contains($0) })
    else { throw AgentError(.refused, "The server's answer to the claim has no session.") }
    token = session
    node = printable(answer.body["node"]?.string ?? "", limit: 64)
    heartbeatSeconds = max(1, min(answer.body["heartbeat_seconds"]?.int ?? 10, 300))
  }

  /// Waits for the next command; nil when there was none for a while.
  func nextCommand() throws -> Command? {
    let path = "/agent/v1/command?wait=\(timing.poll)"
    let answer = try persistently("ask for a command") {
      try self.call("GET", path, headers: Self.headers(self.token), timeout: self.timing.poll + 15)
    }
    return try command(answer)
  }

  /// Looks once whether there is a command, as a machine does that stands by: for hours nobody is there to answer.
  /// - Returns: nil when there is none, or no server.
  /// - Throws: ``AgentError`` when a server is there that does not know this session.
  func commandIfReachable() throws -> Command? {
    // What is left of a connection of before is of no use on a network that the machine has left.
    connection.close()
    do {
      return try command(
        try call(
          "GET", "/agent/v1/command?wait=0", headers: Self.headers(token), timeout: timing.standByTimeout))
    } catch let error as AgentError where error.isTransient { return nil }
  }

  private func command(_ answer: (status: Int, body: JSON)) throws -> Command? {
    if answer.status == 204 { return nil }
    guard let id = answer.body["id"]?.string, let kind = answer.body["kind"]?.string else {
      throw AgentError(.unreachable, "The server's command has no id or no kind.")
    }
    return Command(id: id, kind: kind, parameters: answer.body["parameters"] ?? .emptyObject)
  }

  func pauseStandingBy() { usleep(UInt32(timing.standByPause * 1_000_000)) }
  /// The next command; nil when there was none for a while, but not at once: a server that does not hold the request must not be
  /// asked a thousand times a second.
  func commandOrPause() throws -> Command? {
    let asked = clinux_monotonic_seconds()
    if let command = try nextCommand() { return command }
    if clinux_monotonic_seconds() - asked < 1 { usleep(1_000_000) }
    return nil
  }

  func report(_ result: JSON) throws {
    _ = try persistently("report a result") {
      try self.call("POST", "/agent/v1/result", headers: Self.headers(self.token), body: result)
    }
  }

  /// Sends the log once; a failure to do so changes nothing.
  func uploadLog(_ text: String) {
    guard !token.isEmpty else { return }
    let request = HTTPRequest(
      method: "POST", path: "/agent/v1/log",
      headers: [("Authorization", "Bearer \(token)"), ("Content-Type", "text/plain; charset=utf-8")],
      body: Array(text.utf8))
    guard (try? connection.send(request, timeout: 10)) != nil else { return }
    _ = try? connection.readWholeBody(limit: 65536)
  }

  // MARK: - One call

  private func call(
    _ method: String, _ path: String, headers: [(String, String)], body: JSON? = nil, timeout: Int? = nil
  ) throws -> (status: Int, body: JSON) {
    let request = HTTPRequest(
      method: method, path: path, headers: headers, body: body.map { Array($0.description.utf8) })
    let response = try connection.send(request, timeout: timeout ?? timing.silence)
    let bytes = try connection.readWholeBody(limit: 1 << 20)
    try Self.check(response.status, bytes)
    if bytes.isEmpty { return (response.status, .null) }
    guard let json = try? JSON.parse(bytes) else {
      throw AgentError(.unreachable, "The server's answer is not JSON.")
    }
    return (response.status, json)
  }

  /// - Throws: ``AgentError`` for every status but 2xx, with the server's own words where it has any.
  static func check(_ status: Int, _ body: [UInt8]) throws {
    guard !(200..<300).contains(status) else { return }
    if status == 401 { throw AgentError(.sessionOver, "The server has ended the session.") }
    let reason = (try? JSON.parse(body))?["error"]?.string.map { ": " + printable($0, limit: 300) } ?? ""
    throw AgentError(.status(status), "The server answered \(status)\(reason).")
  }

  /// Calls again while the server is away: it may be restarting. Says so once, and once when it is back.
  func persistently<R>(_ what: String, _ call: () throws -> R) throws -> R {
    var pause = timing.firstPause
    var failedSince: Double?
    while true {
      do {
        let result = try call()
        if failedSince != nil { log.say("the server is back") }
        return result
      } catch let error as AgentError where error.isTransient {
        let now = clinux_monotonic_seconds()
        if failedSince == nil { log.say("cannot \(what), will try again for \(Int(timing.patience)) s: \(error)") }
        let since = failedSince ?? now
        failedSince = since
        guard now - since + pause <= timing.patience else {
          throw AgentError(error.code, "Gave up after \(Int(now - since)) s: \(error)")
        }
        usleep(UInt32(pause * 1_000_000))
        pause = min(pause * 2, timing.longestPause)
      }
    }
  }
}

/// Bytes as base64 for URLs, without padding (RFC 4648, section 5).
func base64URL(_ bytes: [UInt8]) -> String {
  let letters = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)
  var text: [UInt8] = []
  for start in stride(from: 0, to: bytes.count, by: 3) {
    let group = bytes[start..<min(start + 3, bytes.count)]
    let bits = group.reduce(0) { $0 << 8 | Int($1) } << ((3 - group.count) * 8)
    text += (0...group.count).map { letters[bits >> (18 - 6 * $0) & 63] }
  }
  return String(decoding: text, as: UTF8.self)
}
