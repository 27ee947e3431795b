import AsyncHTTPClient
import Glibc
import NIOCore
import NIOSSL
import Wire
import Yams

/// A client of a site's own API for the short verbs: credentials as every OpenStack client takes them.
struct CloudClient {
  private let http: HTTPClient
  private let token: String
  private let catalog: [JSON]

  /// Logs in with `OS_CLOUD` and a clouds.yaml, or with `OS_AUTH_URL`, `OS_USERNAME`, `OS_PASSWORD`, `OS_PROJECT_NAME`.
  static func login() async throws -> CloudClient {
    let settings = try credentials()
    guard let url = settings["auth_url"], let user = settings["username"], let password = settings["password"] else {
      throw Failure(
        "no credentials: set OS_CLOUD (and OS_CLIENT_CONFIG_FILE), or OS_AUTH_URL, OS_USERNAME, OS_PASSWORD and OS_PROJECT_NAME"
      )
    }
    var configuration = HTTPClient.Configuration()
    if let authority = settings["cacert"] {
      var tls = TLSConfiguration.makeClientConfiguration()
      tls.trustRoots = .file(authority)
      configuration.tlsConfiguration = tls
    }
    let http = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    let body: JSON = [
      "auth": [
        "identity": [
          "methods": ["password"],
          "password": [
            "user": [
              "name": .string(user), "password": .string(password),
              "domain": ["name": .string(settings["user_domain_name"] ?? "Default")],
            ]
          ],
        ],
        "scope": [
          "project": [
            "name": .string(settings["project_name"] ?? "admin"),
            "domain": ["name": .string(settings["project_domain_name"] ?? "Default")],
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
      return CloudClient(http: http, token: token, catalog: json["token"]?["catalog"]?.array ?? [])
    } catch {
      try? await http.shutdown()
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
    /// An error in the service's own words.
    var fault: String {
      let inner = json["error_message"]?.string.flatMap { try? JSON(parsing: $0) }
      return inner?["faultstring"]?.string ?? "HTTP status \(status)"
    }
  }
  /// Asks the bare-metal service for something short.
  func send(_ method: String, _ url: String, _ body: JSON? = nil) async throws -> Answer {
    var request = HTTPClientRequest(url: url)
    request.method = .init(rawValue: method)
    request.headers.add(name: "X-Auth-Token", value: token)
    request.headers.add(name: "X-OpenStack-Ironic-API-Version", value: "latest")
    if let body {
      request.headers.add(name: "Content-Type", value: "application/json")
      request.body = .bytes(ByteBuffer(string: body.description))
    }
    let answer = try await http.execute(request, timeout: .seconds(60))
    let text = String(buffer: try await answer.body.collect(upTo: 4 << 20))
    return Answer(status: Int(answer.status.code), json: (try? JSON(parsing: text)) ?? .null)
  }

  /// Reads an answer as it comes.
  func stream(_ url: String, _ body: (ByteBuffer) throws -> Void) async throws {
    var request = HTTPClientRequest(url: url)
    request.headers.add(name: "X-Auth-Token", value: token)
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

  private static func credentials() throws -> [String: String] {
    func environment(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }
    var settings: [String: String] = [:]
    if let cloud = environment("OS_CLOUD") {
      let home = environment("HOME") ?? "/root"
      let places = [
        environment("OS_CLIENT_CONFIG_FILE"), "clouds.yaml", "\(home)/.config/openstack/clouds.yaml",
        "/etc/openstack/clouds.yaml",
      ]
      guard let path = places.compactMap({ $0 }).first(where: { access($0, R_OK) == 0 }) else {
        throw Failure("OS_CLOUD is set and there is no clouds.yaml")
      }
      guard let file = try Yams.load(yaml: readFile(path)) as? [String: Any],
        let clouds = file["clouds"] as? [String: Any],
        let entry = clouds[cloud] as? [String: Any]
      else { throw Failure("\(path) has no cloud '\(cloud)'") }
      for (name, value) in entry["auth"] as? [String: Any] ?? [:] { settings[name] = "\(value)" }
      if let authority = entry["cacert"] as? String { settings["cacert"] = authority }
    }
    for name in [
      "auth_url", "username", "password", "project_name", "user_domain_name", "project_domain_name", "cacert",
    ] {
      if let value = environment("OS_" + name.uppercased()) { settings[name] = value }
    }
    return settings
  }
}
