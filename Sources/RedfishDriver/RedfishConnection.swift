import AsyncHTTPClient
import Cryptography
import DriverInterfaces
import Logging
import NIOSSL
import PinnedTLS
import Wire

/// The conversation with one controller: who we are, who it is, and one request at a time to be answered in time.
actor RedfishConnection {
  nonisolated let settings: RedfishSettings
  nonisolated let pin: CertificatePin?
  nonisolated let client: HTTPClient
  private nonisolated let ownsClient: Bool
  nonisolated let tls: TLSConfiguration?
  nonisolated let logger: Logger

  private struct Session {
    var token: String
    var path: String?
  }
  private enum Credential {
    case none
    case basic
    case session(String)
  }
  private var session: Session?
  private var usesBasic: Bool
  private var loggingIn: Task<Void, any Error>?
  private var knownSystemPath: String?
  private var isClosed = false

  private nonisolated let requestLimit: Duration
  private static let taskLimit = Duration.seconds(60)

  /// - Parameters:
  ///   - shared: used unless the controller's certificate is pinned.
  ///   - knownFingerprint: the pin of an earlier connection to the same address, when the settings have none.
  /// - Throws: ``DriverError`` `.misconfigured` when the authorities of `redfish_verify_ca` cannot be read.
  init(
    _ settings: RedfishSettings, shared: HTTPClient, knownFingerprint: String?, requestLimit: Duration, logger: Logger
  )
    throws
  {
    self.settings = settings
    self.requestLimit = requestLimit
    self.logger = logger
    usesBasic = settings.authentication == .basic
    guard settings.isTLS else {
      (pin, client, ownsClient, tls) = (nil, shared, false, nil)
      return
    }
    var configuration = TLSConfiguration.makeClientConfiguration()
    configuration.minimumTLSVersion = .tlsv12
    switch settings.trust {
    case .system: break
    case .authority(let path):
      configuration.trustRoots = .file(path)
      do { _ = try NIOSSLContext(configuration: configuration) } catch {
        throw DriverError(
          .misconfigured, device: settings.device,
          detail: "redfish_verify_ca: there are no certificates of authorities to read in \(path).")
      }
    case .fingerprint(let fingerprint):
      let pin = CertificatePin(expected: fingerprint ?? knownFingerprint)
      self.pin = pin
      (client, ownsClient, tls) = (pin.makeClient(Self.clientConfiguration()), true, nil)
      return
    }
    (pin, client, ownsClient, tls) = (nil, shared, false, configuration)
  }

  static func clientConfiguration() -> HTTPClient.Configuration {
    var configuration = HTTPClient.Configuration(
      redirectConfiguration: .disallow, timeout: .init(connect: .seconds(5), read: .seconds(10)))
    configuration.httpVersion = .http1Only
    configuration.connectionPool.idleTimeout = .seconds(120)
    // Controllers are small computers.
    configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = 2
    // The caller knows better whether to try again.
    configuration.connectionPool.retryConnectionEstablishment = false
    return configuration
  }

  deinit {
    guard ownsClient else { return }
    let client = client
    Task { try? await client.shutdown() }
  }

  /// Ends the session at the controller and the connections. Later requests fail.
  func close() async {
    guard !isClosed else { return }
    isClosed = true
    if let session, let path = session.path {
      // A controller has a handful of sessions. One that does not answer now keeps it until it runs out.
      _ = try? await exchange("DELETE", path, nil, [("X-Auth-Token", session.token)], limit: .seconds(3))
    }
    session = nil
    if ownsClient { try? await client.shutdown() }
  }

  // MARK: Requests

  /// - Throws: ``DriverError``; the answer is a success.
  func get(_ path: String, _ doing: String) async throws -> RedfishReply {
    let reply = try await request("GET", path, nil, etag: nil)
    try reply.check(settings, doing)
    return reply
  }

  /// POST, PATCH or DELETE; waits for the controller's task when it makes one of it.
  func send(_ method: String, _ path: String, _ body: JSON, etag: String? = nil, _ doing: String) async throws
    -> RedfishReply
  {
    let reply = try await request(method, path, body, etag: etag)
    try await finish(reply, doing)
    return reply
  }
  /// The rest of a change: throws when it was refused, waits when it became a task.
  func finish(_ reply: RedfishReply, _ doing: String) async throws {
    try reply.check(settings, doing)
    if reply.status == 202 { try await waitForTask(reply, doing) }
  }

  /// The answer whatever its status, but for credentials: these are renewed or refused here.
  func request(_ method: String, _ path: String, _ body: JSON?, etag: String?) async throws -> RedfishReply {
    var path = path
    var hasRenewed = false
    var redirects = 0
    while true {
      let credential = try await credential()
      var headers: [(String, String)] = []
      var token: String?
      switch credential {
      case .none: break
      case .basic:
        let pair = "\(settings.username ?? ""):\(settings.password ?? "")"
        headers.append(("Authorization", "Basic " + Base64.text(Array(pair.utf8))))
      case .session(let text):
        token = text
        headers.append(("X-Auth-Token", text))
      }
      if let etag { headers.append(("If-Match", etag)) }
      let reply = try await exchange(method, path, body, headers, limit: requestLimit)
      if reply.status == 401, let token, !hasRenewed {
        // Sessions run out, and are lost when the controller restarts.
        if session?.token == token { session = nil }
        hasRenewed = true
        continue
      }
      if reply.status == 401 { try reply.check(settings, "log in") }
      if [301, 302, 307, 308].contains(reply.status), method == "GET", redirects < 3,
        let target = reply.location.flatMap({ localPath($0) })
      {
        path = target
        redirects += 1
        continue
      }
      return reply
    }
  }

  /// A path of this controller out of its own answer: a path, or a URL with our scheme and authority. Nil for another
  /// host: credentials go nowhere else.
  nonisolated func localPath(_ text: String) -> String? {
    var path = text
    if let scheme = ["http://", "https://"].first(where: { text.lowercased().hasPrefix($0) }) {
      let rest = text.dropFirst(scheme.count)
      let slash = rest.firstIndex(of: "/") ?? rest.endIndex
      guard let other = RedfishSettings.parse(address: scheme + rest[..<slash]), other.isTLS == settings.isTLS,
        other.host == settings.host, other.port == settings.port
      else { return nil }
      path = String(rest[slash...])
    }
    return RedfishSettings.isPath(path) ? path : nil
  }

  /// DSP0266 1.15, 12.2 "Asynchronous operations".
  private func waitForTask(_ first: RedfishReply, _ doing: String) async throws {
    guard let path = (first.location ?? first["TaskMonitor"]?.string ?? first["@odata.id"]?.string).flatMap(localPath)
    else { return }
    let end = ContinuousClock.now + Self.taskLimit
    while true {
      let reply = try await request("GET", path, nil, etag: nil)
      try reply.check(settings, doing)
      switch reply["TaskState"]?.string {
      case "Completed": return
      case "Exception", "Killed", "Cancelled":
        let said = (reply["Messages"]?.array ?? []).compactMap { $0["Message"]?.string }.joined(separator: " ")
        throw DriverError(
          .refused, device: settings.device, detail: "its task to \(doing) failed: \(said.prefix(300))")
      case nil where reply.status != 202: return
      default: break
      }
      if ContinuousClock.now >= end {
        throw DriverError(
          .notInForce, device: settings.device, detail: "its task to \(doing) is not done after \(Self.taskLimit).")
      }
      try await Task.sleep(for: .milliseconds(min(reply.retryAfter ?? 1, 5) * 500))
    }
  }

  // MARK: Who we are

  private func credential() async throws -> Credential {
    if settings.username == nil { return .none }
    if usesBasic { return .basic }
    if session == nil { try await logInOnce() }
    if usesBasic { return .basic }
    guard let session else {
      throw DriverError(.busy, device: settings.device, detail: "its session ended while it was made; try again.")
    }
    return .session(session.token)
  }

  /// One log-in at a time, shared by everyone who waits for it.
  private func logInOnce() async throws {
    if let loggingIn { return try await loggingIn.value }
    let task = Task { try await logIn() }
    loggingIn = task
    defer { loggingIn = nil }
    try await task.value
  }

  private func logIn() async throws {
    let root = try await exchange("GET", "/redfish/v1/", nil, [], limit: requestLimit)
    // Some controllers want credentials even here.
    if root.status != 401 { try root.check(settings, "show its service root") }
    let path =
      (root["Links"]?["Sessions"]?["@odata.id"]?.string).flatMap { localPath($0) }
      ?? (root["SessionService"] != nil || root.status == 401 ? "/redfish/v1/SessionService/Sessions" : nil)
    guard let path else { return try withoutSession("has no session service") }
    let reply = try await exchange(
      "POST", path, ["UserName": JSON(settings.username), "Password": JSON(settings.password)], [],
      limit: requestLimit)
    if (200..<300).contains(reply.status), let token = reply.token, Self.isToken(token) {
      session = Session(
        token: token, path: (reply.location ?? reply["@odata.id"]?.string).flatMap { localPath($0) })
      logger.debug("logged in", metadata: ["bmc": "\(settings.device)"])
      return
    }
    if reply.status == 401 || reply.status == 403 {
      throw DriverError(
        .refused, device: settings.device,
        detail: "it rejected the user name or password; check redfish_username and redfish_password")
    }
    if settings.authentication == .session { try reply.check(settings, "make a session") }
    try withoutSession("gives no session (HTTP status \(reply.status))")
  }
  private func withoutSession(_ why: String) throws {
    if settings.authentication == .session {
      throw DriverError(
        .unsupported, device: settings.device, detail: "it \(why); set redfish_auth_type to basic or auto.")
    }
    usesBasic = true
  }
  private static func isToken(_ text: String) -> Bool { !text.isEmpty && text.utf8.allSatisfy { $0 > 32 && $0 < 127 } }

  var authenticationInUse: String { settings.username == nil ? "none" : usesBasic ? "basic" : "session" }

  // MARK: The system

  /// `redfish_system_id`, or the only system there is.
  func systemPath() async throws -> String {
    if let path = settings.systemPath ?? knownSystemPath { return path }
    let systems = try await get("/redfish/v1/Systems", "list its systems")
    let paths = (systems["Members"]?.array ?? []).compactMap { $0["@odata.id"]?.string }.compactMap { localPath($0) }
    guard paths.count == 1 else {
      throw DriverError(
        .misconfigured, device: settings.device,
        detail: paths.isEmpty
          ? "it has no systems."
          : "it has several systems; set redfish_system_id to one of \(paths.joined(separator: ", "))."
      )
    }
    knownSystemPath = paths[0]
    return paths[0]
  }

  func system() async throws -> RedfishReply {
    let path = try await systemPath()
    let reply = try await request("GET", path, nil, etag: nil)
    if reply.status == 404, settings.systemPath != nil {
      throw DriverError(
        .misconfigured, device: settings.device, detail: "it has no system \(path); check redfish_system_id.")
    }
    if reply.status == 404 { knownSystemPath = nil }
    try reply.check(settings, "show its system")
    return reply
  }
}
