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
import TestSupport
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
  /// False for a server that was started again on another's database.
  private let ownsDatabase: Bool
  private let settings: Settings

  /// What `steelyard.yaml` may say.
  struct Settings: Sendable {
    var passwordRules = PasswordRules()
    var lockout = LockoutRules()
    var projectAdminsAreSiteAdmins = false
    var hashThreads = 2
    var hashQueue = 1000
    var complaints = Complaints(from: .critical)
  }

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

  convenience init(_ change: (inout Settings) -> Void = { _ in }) async throws {
    var settings = Settings()
    change(&settings)
    var template = Array("/tmp/steelyard-keystone-XXXXXX".utf8CString)
    let folder = try #require(mkdtemp(&template).map { String(cString: $0) })
    let clock = Clock()
    let database = try Database.fresh(at: folder + "/site.db", secrets: SecretBox(key: randomBytes(32)))
    let now = clock.now
    try await database.write { session in
      _ = try IdentityBootstrap.initialise(in: session, adminPassword: Site.adminPassword, now: now)
    }
    try await self.init(database: database, folder: folder, clock: clock, settings: settings, ownsDatabase: true)
  }
  private init(
    database: Database, folder: String, clock: Clock, settings: Settings, ownsDatabase: Bool
  ) async throws {
    (self.database, self.folder, self.clock) = (database, folder, clock)
    (self.settings, self.ownsDatabase) = (settings, ownsDatabase)
    let authority = TokenAuthority(
      keys: try TokenKeys.fromFile(folder + "/token.keys"),
      projectAdminsAreSiteAdmins: settings.projectAdminsAreSiteAdmins, clock: { clock.now })
    let passwords = PasswordChecker(
      database: database, lockout: settings.lockout, logger: settings.complaints.logger, threads: settings.hashThreads,
      queue: settings.hashQueue)
    try await database.read { session in
      try authority.load(in: session)
      try passwords.load(in: session)
    }
    self.authority = authority
    let facade = KeystoneFacade(
      database: database, authority: authority, passwords: passwords, passwordRules: settings.passwordRules,
      catalog: [CatalogEntry(name: "ironic", type: "baremetal", path: "/baremetal")], clock: { clock.now })
    responder = APIResponder(services: [facade.service()], authenticator: authority, clock: { clock.now })
  }
  /// The server started again, with nothing but what it wrote down.
  func restarted() async throws -> Site {
    try await Site(database: database, folder: folder, clock: clock, settings: settings, ownsDatabase: false)
  }
  deinit {
    guard ownsDatabase else { return }
    database.close()
    for name in ["site.db", "site.db-wal", "site.db-shm", "token.keys"] { unlink(folder + "/" + name) }
    rmdir(folder)
  }

  struct Answer {
    var status: Int
    var headers: HTTPFields
    var body: JSON
    var message: String { body["error"]?["message"]?.string ?? "" }
    /// The names of a list's items.
    func names(_ collection: String) -> [String] {
      body[collection]?.array?.compactMap { $0["name"]?.string } ?? []
    }
    func ids(_ collection: String) -> [String] { body[collection]?.array?.compactMap { $0["id"]?.string } ?? [] }
  }

  func call(
    _ method: HTTPRequest.Method, _ path: String, _ body: JSON? = nil, token: String? = nil, subject: String? = nil,
    headers extra: HTTPFields = [:]
  ) async throws -> Answer {
    var headers = extra
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

  /// The scope of a domain, and of the whole site.
  static func inDomain(_ id: String) -> JSON { ["domain": ["id": .string(id)]] }
  static let system: JSON = ["system": ["all": true]]

  /// Makes something and gives its id back.
  func make(_ noun: String, _ path: String, _ body: JSON, _ token: String) async throws -> String {
    let answer = try await call(.post, path, .object([noun: body]), token: token)
    #expect(answer.status == 201, "\(answer.body)")
    return try #require(answer.body[noun]?["id"]?.string)
  }
  /// Makes a domain with a user who has `role` in it.
  func domain(_ name: String, role: String = "manager", _ admin: String) async throws -> (id: String, user: String) {
    let id = try await make("domain", "/v3/domains", ["name": .string(name)], admin)
    let user = try await make(
      "user", "/v3/users", ["name": .string("\(name)-\(role)"), "domain_id": .string(id), "password": "secret"], admin)
    let roleID = try await roleID(role, admin)
    #expect(try await call(.put, "/v3/domains/\(id)/users/\(user)/roles/\(roleID)", token: admin).status == 204)
    return (id, user)
  }
  func logIn(user id: String, _ password: String = "secret", scope: JSON? = nil) async throws -> Answer {
    var auth: JSONObject = [
      "identity": [
        "methods": ["password"], "password": ["user": ["id": .string(id), "password": .string(password)]],
      ]
    ]
    if let scope { auth["scope"] = scope }
    return try await call(.post, "/v3/auth/tokens", ["auth": .object(auth)])
  }
  func token(user id: String, scope: JSON? = nil) async throws -> String {
    let answer = try await logIn(user: id, scope: scope)
    #expect(answer.status == 201, "\(answer.body)")
    return answer.headers[HTTPField.Name(known: "X-Subject-Token")] ?? ""
  }
  func isGood(_ token: String) async throws -> Bool {
    try await call(.get, "/v3/auth/projects", token: token).status == 200
  }

  /// Whether the database's files hold a text in the clear.
  func fileContains(_ text: String) -> Bool {
    for name in ["site.db", "site.db-wal"] {
      guard let file = fopen(folder + "/" + name, "r") else { continue }
      defer { fclose(file) }
      var bytes: [UInt8] = []
      var buffer = [UInt8](repeating: 0, count: 1 << 16)
      while case let count = fread(&buffer, 1, buffer.count, file), count > 0 { bytes += buffer[..<count] }
      if bytes.firstRange(of: Array(text.utf8)) != nil { return true }
    }
    return false
  }
}
