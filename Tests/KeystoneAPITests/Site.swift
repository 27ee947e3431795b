import APISupport
import Cryptography
import Domain
import Glibc
import Hummingbird
import HummingbirdTesting
import HTTPTypes
import KeystoneAPI
import Logging
import Store
import Synchronization
import Testing
import Wire

/// The Identity API on a real database, with a clock that tests move.
final class Site: Sendable {
  static let adminPassword = "correct horse battery staple"
  let database: Database
  let authority: TokenAuthority
  let responder: APIResponder
  let clock: Clock
  private let folder: String

  final class Clock: Sendable {
    private let time = Mutex(Timestamp(seconds: 1_800_000_000))
    var now: Timestamp {
      time.withLock {
        $0 = $0 + .microseconds(1)
        return $0
      }
    }
    func advance(by duration: Duration) { time.withLock { $0 = $0 + duration } }
  }

  init() async throws {
    var template = Array("/tmp/steelyard-keystone-XXXXXX".utf8CString)
    folder = try #require(mkdtemp(&template).map { String(cString: $0) })
    let clock = Clock()
    self.clock = clock
    let database = try Database(path: folder + "/site.db", secrets: SecretBox(key: randomBytes(32)))
    self.database = database
    let now = clock.now
    try await database.write { session in
      _ = try IdentityBootstrap.initialise(in: session, adminPassword: Site.adminPassword, now: now)
    }
    let authority = TokenAuthority(keys: try TokenKeys.fromFile(folder + "/token.keys"), clock: { clock.now })
    try await database.read { try authority.load(in: $0) }
    self.authority = authority
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    let facade = KeystoneFacade(
      database: database, authority: authority, passwords: PasswordChecker(logger: logger),
      catalog: [CatalogEntry(name: "ironic", type: "baremetal", path: "/baremetal")], clock: { clock.now })
    responder = APIResponder(services: [facade.service()], authenticator: authority, clock: { clock.now })
  }
  deinit {
    database.close()
    for name in ["site.db", "site.db-wal", "site.db-shm", "token.keys"] { unlink(folder + "/" + name) }
    rmdir(folder)
  }

  struct Answer {
    var status: Int
    var headers: HTTPFields
    var body: JSON
    var message: String { body["error"]?["message"]?.string ?? "" }
  }

  func call(
    _ method: HTTPRequest.Method, _ path: String, _ body: JSON? = nil, token: String? = nil, subject: String? = nil
  ) async throws -> Answer {
    var headers: HTTPFields = [:]
    if let token { headers[authToken] = token }
    if let subject { headers[HTTPField.Name(known: "X-Subject-Token")] = subject }
    let fields = headers
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    let app = Application(responder: responder, logger: logger)
    return try await app.test(.router) { client in
      try await client.execute(
        uri: "/identity" + path, method: method, headers: fields, body: body.map { ByteBuffer(string: $0.description) }
      ) { response in
        let text = String(buffer: response.body)
        return Answer(
          status: response.status.code, headers: response.headers, body: text.isEmpty ? .null : try JSON(parsing: text))
      }
    }
  }

  static func password(_ name: String, _ password: String, scope: JSON? = nil) -> JSON {
    var auth: JSONObject = [
      "identity": [
        "methods": ["password"],
        "password": ["user": ["name": .string(name), "domain": ["id": "default"], "password": .string(password)]],
      ]
    ]
    if let scope { auth["scope"] = scope }
    return ["auth": .object(auth)]
  }
  static func inProject(_ name: String) -> JSON { ["project": ["name": .string(name), "domain": ["id": "default"]]] }

  func logIn(_ name: String, _ password: String = "secret", scope: JSON? = nil) async throws -> Answer {
    try await call(.post, "/v3/auth/tokens", Site.password(name, password, scope: scope))
  }
  func token(_ name: String, _ password: String = "secret", scope: JSON? = nil) async throws -> String {
    let answer = try await logIn(name, password, scope: scope)
    #expect(answer.status == 201, "\(answer.body)")
    return answer.headers[HTTPField.Name(known: "X-Subject-Token")] ?? ""
  }
  func admin() async throws -> String { try await token("admin", Site.adminPassword, scope: Site.inProject("admin")) }

  /// Makes a project and a user with `role` in it; both have the name.
  func tenant(_ name: String, role: String = "member", _ admin: String) async throws -> (project: String, user: String)
  {
    let project = try await call(.post, "/v3/projects", ["project": ["name": .string(name)]], token: admin)
    let projectID = try #require(project.body["project"]?["id"]?.string)
    let user = try await call(
      .post, "/v3/users", ["user": ["name": .string(name), "password": "secret", "email": "a@example.org"]],
      token: admin)
    let userID = try #require(user.body["user"]?["id"]?.string)
    try await grant(role, user: userID, project: projectID, admin)
    return (projectID, userID)
  }
  func roleID(_ name: String, _ token: String) async throws -> String {
    let roles = try await call(.get, "/v3/roles?name=\(name)", token: token)
    return try #require(roles.body["roles"]?.array?.first?["id"]?.string)
  }
  func grant(_ role: String, user: String, project: String, _ admin: String) async throws {
    let id = try await roleID(role, admin)
    let answer = try await call(.put, "/v3/projects/\(project)/users/\(user)/roles/\(id)", token: admin)
    #expect(answer.status == 204)
  }
}
