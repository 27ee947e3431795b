import APISupport
import Cryptography
import Domain
import Glibc
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import KeystoneAPI
import LeapAPI
import Logging
import Store
import Synchronization
import Testing
import Wire

/// The lease API on a real database. The conductor is a stand-in that does to leases, in the same transaction, what the real
/// one does with workflows (the real one is tested with them).
final class LeaseSite: Sendable {
  let database: Database
  let responder: APIResponder
  let authority: TokenAuthority
  let clock: Clock
  private let folder: String

  final class Clock: Sendable {
    private let time = Mutex(Timestamp(parsing: "2026-11-21T08:00:00") ?? Timestamp(seconds: 0))
    var now: Timestamp { time.withLock { $0 } }
    func advance(by duration: Duration) { time.withLock { $0 = $0 + duration } }
  }
  struct StandIn: LeaseConductor {
    let clock: Clock
    func leaseChanged(in session: any Session) {}
    func endLease(_ lease: Lease, reason: LeaseEnd, in session: any Session) throws {
      guard lease.status.isLive, !lease.status.isEnding else { return }
      for child in try LeaseStore.children(of: lease.uuid, in: session) {
        try endLease(child, reason: reason, in: session)
      }
      try EventStore.append("delete.start", lease: lease, at: clock.now, in: session)
      try LeaseStore.setEnded(reason, of: lease.uuid, at: clock.now, in: session)
      try EventStore.append("delete.end", lease: lease, at: clock.now, in: session)
    }
  }

  init() async throws {
    var template = Array("/tmp/steelyard-leap-XXXXXX".utf8CString)
    folder = try #require(mkdtemp(&template).map { String(cString: $0) })
    let clock = Clock()
    self.clock = clock
    let database = try Database(path: folder + "/site.db", secrets: SecretBox(key: randomBytes(32)))
    self.database = database
    let authority = TokenAuthority(keys: TokenKeys([randomBytes(32)]), clock: { clock.now })
    try await database.write { session in
      try IdentityBootstrap.initialise(in: session, adminPassword: "secret", now: clock.now)
      for (name, parent) in [("owners", "default"), ("alpha", "default"), ("beta", "default")] {
        try ProjectStore.insert(
          Project(id: name, name: "the-\(name)", domainID: "default", parentID: parent, createdAt: clock.now),
          in: session)
      }
      try ProjectStore.insert(
        Project(id: "below", name: "the-below", domainID: "default", parentID: "alpha", createdAt: clock.now),
        in: session)
      try authority.load(in: session)
    }
    self.authority = authority
    let facade = LeapAPI(database: database, conductor: StandIn(clock: clock))
    responder = APIResponder(services: [facade.service], authenticator: authority, clock: { clock.now })
  }
  deinit {
    database.close()
    for name in ["site.db", "site.db-wal", "site.db-shm"] { unlink(folder + "/" + name) }
    rmdir(folder)
  }

  func node(_ name: String, owner: String? = "owners") async throws -> String {
    let uuid = Identifier.uuid()
    let now = clock.now
    try await database.write { [database] session in
      var node = Node(uuid: uuid, name: name, driver: "ipmi", createdAt: now)
      node.owner = owner
      node.resourceClass = "metal"
      node.properties = ["cpus": 4, "capabilities": "secret:1"]
      node.provisionState = .available
      try NodeStore.insert(node, secrets: [], box: database.secrets, in: session)
    }
    return uuid
  }
  /// What the lease timer does when a lease's time has come.
  func start(_ lease: String) async throws {
    let now = clock.now
    try await database.write { session in
      try LeaseStore.setActive(lease, at: now, in: session)
      guard let lease = try LeaseStore.get(lease, in: session),
        var node = try NodeStore.get(lease.resourceUUID, in: session)
      else { return }
      node.lessee = lease.projectID
      node.leaseUUID = lease.uuid
      try NodeStore.update(node, in: session)
    }
  }

  func token(_ project: String, roles: [String] = ["member", "reader"]) -> String {
    authority.seal(
      Token(
        userID: "user-of-\(project)", userName: project, scope: .project(id: project, domainID: "default"),
        roles: roles,
        methods: [.password], issuedAt: clock.now, expiresAt: clock.now + .seconds(100_000_000)))
  }
  func admin() -> String {
    authority.seal(
      Token(
        userID: "root", userName: "root", scope: .system, roles: ["admin", "manager", "member", "reader"],
        methods: [.password],
        issuedAt: clock.now, expiresAt: clock.now + .seconds(100_000_000)))
  }

  struct Answer: Sendable {
    var status: Int
    var body: JSON
    var fault: String { body["faultstring"]?.string ?? "" }
    var uuid: String { body["uuid"]?.string ?? "" }
    func uuids(_ collection: String) -> [String] { body[collection]?.array?.compactMap { $0["uuid"]?.string } ?? [] }
  }
  func call(_ method: HTTPRequest.Method, _ path: String, _ body: JSON? = nil, as token: String?) async throws -> Answer
  {
    var headers: HTTPFields = [:]
    if let token { headers[authToken] = token }
    let fields = headers
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    return try await Application(responder: responder, logger: logger).test(.router) { client in
      try await client.execute(
        uri: "/lease" + path, method: method, headers: fields, body: body.map { ByteBuffer(string: $0.description) }
      ) { response in
        let text = String(buffer: response.body)
        return Answer(status: response.status.code, body: text.isEmpty ? .null : try JSON(parsing: text))
      }
    }
  }
}
