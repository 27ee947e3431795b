import AsyncHTTPClient
import Cryptography
import DriverInterfaces
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import Wire

/// The conversation with one controller: who we are, who it is, and one request at a time to be answered in time.
actor RedfishConnection {
  nonisolated let settings: RedfishSettings
  nonisolated let pin: CertificatePin?
  private nonisolated let client: HTTPClient
  private nonisolated let ownsClient: Bool
  private nonisolated let tls: TLSConfiguration?
  private nonisolated let logger: Logger

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
  private static let bodyLimit = 8 << 20
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
      (client, ownsClient, tls) = (pin.makeClient(), true, nil)
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

  // MARK: The wire

  private nonisolated func exchange(
    _ method: String, _ path: String, _ body: JSON?, _ headers: [(String, String)], limit: Duration
  ) async throws -> RedfishReply {
    guard RedfishSettings.isPath(path) else {
      throw DriverError(.badReply, device: settings.device, detail: "it names a resource that is no path.")
    }
    var request = HTTPClientRequest(url: settings.base + path)
    request.method = HTTPMethod(rawValue: method)
    request.tlsConfiguration = tls
    request.headers.add(name: "Accept", value: "application/json")
    request.headers.add(name: "OData-Version", value: "4.0")
    request.headers.add(name: "User-Agent", value: "steelyard")
    for (name, value) in headers { request.headers.add(name: name, value: value) }
    if let body {
      request.headers.add(name: "Content-Type", value: "application/json")
      request.body = .bytes(ByteBuffer(string: body.description))
    }
    let started = ContinuousClock.now
    do {
      let reply: RedfishReply
      do {
        reply = try await attempt(request, limit)
      } catch let error as HTTPClientError where error == .remoteConnectionClosed && method != "POST" {
        // It closed an idle connection as we took it up. Nothing but POST does more when it is done twice.
        reply = try await attempt(request, limit)
      }
      logger.debug(
        "redfish",
        metadata: [
          "bmc": "\(settings.device)", "request": "\(method) \(path)", "status": "\(reply.status)",
          "seconds": "\((ContinuousClock.now - started).inSeconds)",
        ])
      return reply
    } catch {
      throw try translated(error, limit)
    }
  }

  private nonisolated func attempt(_ request: HTTPClientRequest, _ limit: Duration) async throws -> RedfishReply {
    try await withThrowingTaskGroup(of: RedfishReply.self) { group in
      group.addTask { [client, settings] in
        let response = try await client.execute(request, deadline: .now() + .nanoseconds(limit.nanoseconds))
        let headers = response.headers
        var reply = RedfishReply(
          status: Int(response.status.code), etag: headers.first(name: "ETag"),
          location: headers.first(name: "Location"), token: headers.first(name: "X-Auth-Token"),
          retryAfter: headers.first(name: "Retry-After").flatMap { Int($0) }, body: .null)
        var bytes: [UInt8] = []
        for try await chunk in response.body {
          bytes.append(contentsOf: chunk.readableBytesView)
          if bytes.count > Self.bodyLimit {
            throw DriverError(
              .badReply, device: settings.device, detail: "its answer is larger than \(Self.bodyLimit >> 20) MiB.")
          }
        }
        if !bytes.isEmpty {
          do { reply.body = try JSON.parse(bytes) } catch {
            // The body of a failure is only for people; pages of proxies and web servers come here.
            if (200..<300).contains(reply.status) && request.method != .DELETE {
              throw DriverError(
                .badReply, device: settings.device,
                detail: "its answer is not JSON: \(error); is there a Redfish service at redfish_address?")
            }
          }
        }
        return reply
      }
      // The client's own limit ends with the head of the answer.
      group.addTask {
        try await Task.sleep(for: limit)
        throw HTTPClientError.readTimeout
      }
      defer { group.cancelAll() }
      guard let reply = try await group.next() else { throw CancellationError() }
      return reply
    }
  }

  private nonisolated func translated(_ error: any Error, _ limit: Duration) throws -> any Error {
    func failed(_ code: DriverError.Code, _ detail: String) -> DriverError {
      DriverError(code, device: settings.device, detail: detail)
    }
    switch error {
    case is DriverError, is CancellationError: return error
    case let changed as CertificateChanged:
      return failed(
        .refused,
        "its certificate changed: pinned is \(changed.expected), it shows \(changed.observed). Nothing was sent."
          + " If the certificate was replaced on purpose, set redfish_fingerprint to the new one; otherwise someone"
          + " stands between it and us.")
    case let error as HTTPClientError:
      switch error {
      case .connectTimeout, .getConnectionFromPoolTimeout:
        return failed(.unreachable, "no connection within 5 s; check redfish_address and the network to it.")
      case .readTimeout, .deadlineExceeded:
        return failed(.unreachable, "no answer within \(Int(limit.inSeconds)) s; is the controller overloaded?")
      case .remoteConnectionClosed: return failed(.unreachable, "it closed the connection without an answer.")
      case .cancelled where Task.isCancelled: return CancellationError()
      case .alreadyShutdown, .cancelled: return failed(.unreachable, "the connection to it was closed here.")
      case .tlsHandshakeTimeout: return failed(.unreachable, "no TLS handshake within 5 s.")
      default: return failed(.unreachable, "the request failed: \(error.shortDescription).")
      }
    case let error as NIOSSLError:
      if case .handshakeFailed(let reason) = error {
        let isTrust = "\(reason)".contains("CERTIFICATE_VERIFY_FAILED")
        return isTrust
          ? failed(
            .refused,
            "its certificate is not signed by a trusted authority for this address; set redfish_verify_ca to the"
              + " authority's file, or redfish_fingerprint to the certificate's sha256:…, or redfish_verify_ca to False"
              + " to pin the certificate that it shows first.")
          : failed(.unreachable, "the TLS handshake failed; is there an https service at redfish_address?")
      }
      return failed(.unreachable, "the TLS connection broke.")
    case is NIOSSLExtraError:
      return failed(
        .refused,
        "its certificate is for another name; set redfish_address to that name, or redfish_fingerprint to the"
          + " certificate's sha256:….")
    case let error as NIOConnectionError:
      // Without an attempt to connect there was no address to try.
      let reason = error.connectionErrors.first.map { "\($0.error)" } ?? "the name \(settings.host) is unknown"
      return failed(.unreachable, "no connection: \(reason); check redfish_address and the network to it.")
    case let error as IOError:
      return failed(.unreachable, "no connection: \(error); check redfish_address and the network to it.")
    default:
      return failed(.unreachable, "the connection failed: \(error)")
    }
  }

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

extension Duration {
  fileprivate var nanoseconds: Int64 { components.seconds * 1_000_000_000 + components.attoseconds / 1_000_000_000 }
}
