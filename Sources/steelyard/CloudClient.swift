import APISupport
import AsyncHTTPClient
import Cryptography
import Glibc
import NIOCore
import NIOPosix
import NIOSSL
import Processes
import Wire

/// A client of a site's own API for the short verbs: credentials as every OpenStack client takes them.
struct CloudClient {
  private let http: HTTPClient
  /// The header that says who asks, if anybody has to.
  private let authorization: (name: String, value: String)?
  private let catalog: [JSON]

  /// Logs in with `OS_CLOUD` and a clouds.yaml, or with `OS_AUTH_URL`, `OS_USERNAME`, `OS_PASSWORD`, `OS_PROJECT_NAME`.
  static func login() async throws -> CloudClient {
    try await connected(try CloudCredentials.read(), isVerified: true) { http, credentials in
      try await login(http, credentials)
    }
  }

  /// A client of another Ironic, with the variables of ``login()`` whose names begin with `FROM_`: `auth_type` `none`,
  /// `http_basic`, `token` or `password`, as keystoneauth has them; by default what the credentials are.
  static func other(token: String?, authority: String?, isVerified: Bool) async throws -> CloudClient {
    var credentials = try CloudCredentials.read(prefix: "FROM_")
    if let token { credentials.token = token }
    if let authority { credentials.authority = authority }
    return try await connected(credentials, isVerified: isVerified) { http, credentials in
      switch try credentials.kind {
      case .none: CloudClient(http: http, authorization: nil, catalog: [])
      case .token(let token): CloudClient(http: http, authorization: ("X-Auth-Token", token), catalog: [])
      case .basic(let user, let password):
        CloudClient(
          http: http, authorization: ("Authorization", "Basic " + Base64.text(Array("\(user):\(password)".utf8))),
          catalog: [])
      case .password: try await login(http, credentials)
      }
    }
  }

  private static func connected(
    _ credentials: CloudCredentials, isVerified: Bool,
    _ body: (HTTPClient, CloudCredentials) async throws -> CloudClient
  ) async throws -> CloudClient {
    var tls = TLSConfiguration.makeClientConfiguration()
    if let authority = credentials.authority { tls.trustRoots = .file(authority) }
    if !isVerified || !credentials.isVerified { tls.certificateVerification = .none }
    var configuration = HTTPClient.Configuration(tlsConfiguration: tls)
    // Whoever sits in front of it is told at once.
    configuration.connectionPool.retryConnectionEstablishment = false
    // Who is told to ask elsewhere would take the credentials there.
    configuration.redirectConfiguration = .disallow
    let http = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    do { return try await body(http, credentials) } catch {
      try? await http.shutdown()
      throw error
    }
  }

  private static func login(_ http: HTTPClient, _ credentials: CloudCredentials) async throws -> CloudClient {
    guard let url = credentials.url, let user = credentials.user, let password = credentials.password else {
      throw Failure(
        "no credentials: set OS_CLOUD (and OS_CLIENT_CONFIG_FILE), or OS_AUTH_URL, OS_USERNAME, OS_PASSWORD and OS_PROJECT_NAME"
      )
    }
    let body: JSON = [
      "auth": [
        "identity": [
          "methods": ["password"],
          "password": [
            "user": [
              "name": .string(user), "password": .string(password),
              "domain": credentials.userDomain,
            ]
          ],
        ],
        "scope": [
          "project": [
            "name": .string(credentials.project), "domain": credentials.projectDomain,
          ]
        ],
      ]
    ]
    do {
      var request = HTTPClientRequest(url: url + (url.hasSuffix("/v3") ? "" : "/v3") + "/auth/tokens")
      request.method = .POST
      request.headers.add(name: "Content-Type", value: "application/json")
      request.body = .bytes(ByteBuffer(string: body.description))
      let answer = try await http.execute(request, timeout: .seconds(30))
      let text = String(buffer: try await answer.body.collect(upTo: 1 << 20))
      let json = (try? JSON(parsing: text)) ?? .null
      guard answer.status == .created, let token = answer.headers.first(name: "X-Subject-Token") else {
        throw Failure("login at \(url): \(json["error"]?["message"]?.string ?? "\(answer.status)")")
      }
      return CloudClient(
        http: http, authorization: ("X-Auth-Token", token), catalog: json["token"]?["catalog"]?.array ?? [])
    } catch {
      throw error is Failure ? error : Failure("\(url) does not answer: \(error)")
    }
  }

  func close() async { try? await http.shutdown() }

  func endpoint(_ type: String) throws -> String {
    let service = catalog.first { $0["type"]?.string == type }
    guard let url = service?["endpoints"]?.array?.first(where: { $0["interface"]?.string == "public" })?["url"]?.string
    else {
      throw Failure("the cloud's catalog has no \(type) service")
    }
    return url
  }

  struct Answer {
    var status: Int
    var json: JSON
    /// The newest version of the service, of those that have versions.
    var newestVersion: String?
    /// An error in the service's own words.
    var fault: String {
      let inner = json["error_message"]?.string.flatMap { try? JSON(parsing: $0) }
      // Compute and block storage: {"itemNotFound": {"code", "message"}}.
      let other = json.object?.map(\.value).first?["message"]?.string
      return inner?["faultstring"]?.string ?? other ?? "HTTP status \(status)"
    }
  }
  /// Asks a service for something that is not long.
  func send(_ method: String, _ url: String, _ body: JSON? = nil, type: String = "application/json") async throws
    -> Answer
  {
    var request = HTTPClientRequest(url: url)
    request.method = .init(rawValue: method)
    if let authorization { request.headers.add(name: authorization.name, value: authorization.value) }
    request.headers.add(name: "X-OpenStack-Ironic-API-Version", value: "latest")
    if let body {
      request.headers.add(name: "Content-Type", value: type)
      request.body = .bytes(ByteBuffer(string: body.description))
    }
    let answer: HTTPClientResponse, text: String
    do {
      answer = try await http.execute(request, timeout: .seconds(60))
      text = String(buffer: try await answer.body.collect(upTo: 64 << 20))
    } catch is CancellationError { throw CancellationError() } catch {
      throw Failure("\(method) \(url): no answer: \(error)")
    }
    return Answer(
      status: Int(answer.status.code), json: (try? JSON(parsing: text)) ?? .null,
      newestVersion: answer.headers.first(name: "X-OpenStack-Ironic-API-Maximum-Version"))
  }

  /// Sends a file.
  func upload(_ path: String, to url: String) async throws -> Answer {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { throw Failure("\(path): \(errorText(errno))") }
    defer { Glibc.close(file) }
    let size = Int(lseek(file, 0, SEEK_END))
    lseek(file, 0, SEEK_SET)
    var request = HTTPClientRequest(url: url)
    request.method = .PUT
    if let authorization { request.headers.add(name: authorization.name, value: authorization.value) }
    request.headers.add(name: "Content-Type", value: "application/octet-stream")
    let pieces = AsyncThrowingStream<ByteBuffer, any Error> {
      try await NIOThreadPool.singleton.runIfActive {
        var piece = ByteBufferAllocator().buffer(capacity: 1 << 20)
        let count = piece.writeWithUnsafeMutableBytes(minimumWritableBytes: 1 << 20) {
          max(0, read(file, $0.baseAddress, 1 << 20))
        }
        return count > 0 ? piece : nil
      }
    }
    request.body = .stream(pieces, length: .known(Int64(size)))
    let answer = try await http.execute(request, timeout: .hours(2))
    let text = String(buffer: try await answer.body.collect(upTo: 1 << 20))
    return Answer(status: Int(answer.status.code), json: (try? JSON(parsing: text)) ?? .null)
  }

  /// All members of a list of the bare-metal service, page by page.
  func list(_ url: String, _ name: String) async throws -> [JSON] {
    var items: [JSON] = []
    var known: Set<String> = []
    var marker = ""
    while true {
      let answer = try await send("GET", url + (url.contains("?") ? "&" : "?") + "limit=200" + marker)
      guard answer.status == 200, let page = answer.json[name]?.array else {
        throw Failure("GET \(url): \(answer.status == 200 ? "it answers with no \(name)" : answer.fault)")
      }
      items += page
      // The link itself may name a host that is not reached from here, or that is nobody's to have the credentials.
      guard answer.json["next"]?.string != nil else { return items }
      guard let last = page.last?["uuid"]?.string, known.insert(last).inserted else {
        throw Failure("GET \(url): its pages come to no end")
      }
      marker = "&marker=\(percentEncoded(last))"
    }
  }

  /// Reads an answer as it comes.
  func stream(_ url: String, _ body: (ByteBuffer) throws -> Void) async throws {
    var request = HTTPClientRequest(url: url)
    if let authorization { request.headers.add(name: authorization.name, value: authorization.value) }
    // Without a version Ironic's first one is meant, in which nodes have no names.
    request.headers.add(name: "X-OpenStack-Ironic-API-Version", value: "latest")
    let answer = try await http.execute(request, deadline: .distantFuture)
    guard answer.status == .ok else {
      let text = String(buffer: try await answer.body.collect(upTo: 1 << 20))
      let inner = (try? JSON(parsing: text))?["error_message"]?.string.flatMap { try? JSON(parsing: $0) }
      throw Failure(inner?["faultstring"]?.string ?? "\(answer.status)")
    }
    for try await chunk in answer.body { try body(chunk) }
  }
}
