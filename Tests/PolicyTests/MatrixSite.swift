import APISupport
import AgentAPI
import CinderAPI
import Conductor
import Cryptography
import Domain
import Glibc
import GlanceAPI
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import IronicAPI
import KeystoneAPI
import LeapAPI
import Logging
import NIOCore
import NeutronAPI
import NovaAPI
import Processes
import Store
import TestSupport
import Wire

/// Who calls. The story's machine belongs to project `owner` and is leased to project `tenant`.
enum Caller: String, CaseIterable {
  case siteAdmin = "site admin"
  /// Role reader with system scope: sees everything, changes nothing.
  case systemReader = "system reader"
  /// Role manager with the scope of the domain that the story is in.
  case domainManager = "domain manager"
  /// Role admin in the tenant's project: an administrator of that project, not of the site.
  case projectAdmin = "project admin"
  /// Role manager in the tenant's project.
  case projectManager = "project manager"
  case owner
  case lessee
  case member
  case reader
  /// Role service, of a project that has nothing: what other services' accounts have.
  case service
  /// Of the project that had the story's machine before: its lease has expired.
  case formerLessee = "former lessee"
  /// Of the project that gets the story's machine later, by a sub-lease of the tenant's.
  case subLessee = "sub-lessee"
  case stranger
  case nobody = "no token"

  var token: Token? {
    switch self {
    case .siteAdmin: Self.token("admin", MatrixSite.admin, ["admin", "member", "reader"])
    case .systemReader: Self.token("system-reader", scope: .system, ["reader"])
    case .domainManager:
      Self.token("domain-manager", scope: .domain(id: "default"), ["manager", "member", "reader"])
    case .projectAdmin: Self.token("boss", MatrixSite.tenant, ["admin", "member", "reader"])
    case .projectManager: Self.token("manager", MatrixSite.tenant, ["manager", "member", "reader"])
    case .owner: Self.token("owner", MatrixSite.owner, ["owner", "member", "reader"])
    case .lessee: Self.token("tenant", MatrixSite.tenant, ["lessee", "member", "reader"])
    case .member: Self.token("member", MatrixSite.tenant, ["member", "reader"])
    case .service: Self.token("service", MatrixSite.id("project-service"), ["service"])
    case .formerLessee:
      Self.token("former", MatrixSite.id("project-former"), ["lessee", "member", "reader"])
    case .subLessee: Self.token("sub", MatrixSite.id("project-sub"), ["lessee", "member", "reader"])
    case .reader: Self.token("reader", MatrixSite.tenant, ["reader"])
    case .stranger: Self.token("stranger", MatrixSite.stranger, ["lessee", "owner", "member", "reader"])
    case .nobody: nil
    }
  }
  /// Is meant to see what is elsewhere.
  var seesEverything: Bool { self == .siteAdmin || self == .systemReader }

  /// Is of the project that the image is shared with.
  var isOfTenant: Bool {
    guard case .project(let id, _)? = token?.scope else { return false }
    return id == MatrixSite.tenant
  }

  private static func token(_ name: String, _ project: String, _ roles: [String]) -> Token {
    token(name, scope: .project(id: project, domainID: "default"), roles)
  }
  private static func token(_ name: String, scope: Actor.Scope, _ roles: [String]) -> Token {
    Token(
      userID: MatrixSite.id("user-\(name)"), userName: name, scope: scope, roles: roles,
      methods: [.password], issuedAt: MatrixSite.now(), expiresAt: MatrixSite.now() + .seconds(3600))
  }
}

/// Whose object the path names.
enum Column: String, CaseIterable {
  /// The story's: the tenant's, or the machine that the tenant leases from the owner.
  case story
  /// Another project's, which none of the callers but the site's administrator belongs to.
  case elsewhere
  case nonexistent
  /// A third project's, shared with the tenant's project or with everyone.
  case shared
}

/// A whole server over a database with the story's objects and the same again in a project elsewhere.
///
/// A call that changed something is followed by a fresh copy, so that every cell of the matrix sees the same site.
final class MatrixSite {
  static let admin = id("project-admin"), owner = id("project-owner"), tenant = id("project-tenant")
  static let stranger = id("project-stranger"), elsewhere = id("project-elsewhere")

  /// The same 32 digits for the same words, so that the golden file does not change from run to run.
  static func id(_ words: String) -> String { String(Digest.sha256Hex(words).prefix(32)) }
  static func uuid(_ words: String) -> String {
    let digits = Array(Digest.sha256Hex(words))
    return [0..<8, 8..<12, 12..<16, 16..<20, 20..<32].map { String(digits[$0]) }.joined(separator: "-")
  }
  static func now() -> Timestamp {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return Timestamp(microseconds: time.tv_sec * 1_000_000 + time.tv_nsec / 1000)
  }

  let folder: String
  private let secrets = SecretBox(key: randomBytes(32))
  private let keys = TokenKeys([randomBytes(32)])
  private var generation = 0
  private var database: Database
  private(set) var services: [Service] = []
  private var responder: APIResponder
  private var agents: APIResponder
  private var tokens: [Caller: String] = [:]

  init() async throws {
    folder = try makeTemporaryFolder("policy")
    for name in ["images", "images/images", "images/uploads", "images/cache"] { mkdir("\(folder)/\(name)", 0o700) }
    let seed = try Database(path: folder + "/seed.db", secrets: secrets, readers: 1)
    try await Fixtures.write(to: seed)
    try await seed.backUp(to: folder + "/template.db")
    seed.close()
    (database, responder, agents) = (
      seed, APIResponder(services: [], authenticator: Nobody(), clock: Self.now),
      APIResponder(services: [], authenticator: Nobody(), clock: Self.now)
    )
    for caller in Caller.allCases {
      tokens[caller] = caller.token.map { TokenAuthority(keys: keys, clock: Self.now).seal($0) }
    }
    try await reset(closing: false)
  }

  private struct Nobody: Authenticator {
    func actor(forToken token: String, now: Timestamp) throws -> Actor { throw APIError(.unauthorized, "no") }
  }

  /// A site as it was at first.
  func reset(closing: Bool = true) async throws {
    if closing { close() }
    generation += 1
    let path = "\(folder)/site-\(generation).db"
    try copy("\(folder)/template.db", to: path)
    database = try Database(path: path, secrets: secrets, readers: 1)
    let world = try World("\(folder)/world.db")
    let images = WorldImages(world)
    var logger = Logger(label: "policy")
    logger.logLevel = .critical
    var settings = ConductorSettings()
    settings.dataFolder = folder
    let conductor = Conductor(
      database: database, settings: settings, hardwareTypes: [WorldHardware(world)], switches: WorldSwitch(world),
      boot: WorldBoot(world, machines: [:]), images: images, configDrives: images,
      volumes: ["local": WorldVolumes(world)], backups: WorldBackups(world), logger: logger, clock: Self.now)
    let authority = TokenAuthority(keys: keys, clock: Self.now)
    try await database.read { try authority.load(in: $0) }
    // No workflow runs here: nobody waits for a target.
    var impatient = CinderAPI.Settings()
    impatient.attachPatience = .zero
    let cinder = CinderAPI(database: database, conductor: conductor, settings: impatient)
    let neutron = NeutronAPI(
      database: database, rewire: { _, _ in }, segmentsChanged: { _ in }, retag: { _, _, _ in },
      unplug: { _, _, _, _ in })
    let glance = try GlanceAPI(database: database, folder: ImageFolder("\(folder)/images"))
    let others = [
      IronicAPI(database: database, conductor: conductor).service,
      neutron.service,
      glance.service,
      cinder.service,
      NovaAPI(
        database: database, conductor: conductor, networks: neutron, volumes: cinder, images: glance,
        consoleURL: "ws://console"
      ).service,
      LeapAPI(database: database, conductor: conductor).service,
    ]
    let keystone = KeystoneFacade(
      database: database, authority: authority, passwords: PasswordChecker(logger: logger),
      catalog: others.compactMap { CatalogEntry($0) }, clock: Self.now)
    let agent = AgentAPI(
      conductor: conductor, settings: .init(kernel: "/nowhere", initrd: "/nowhere", logFolder: folder),
      bootScript: { _ in "exit" })
    services = [keystone.service()] + others + [agent.service]
    responder = APIResponder(services: [keystone.service()] + others, authenticator: authority, clock: Self.now)
    agents = APIResponder(services: [agent.service], authenticator: authority, clock: Self.now)
  }

  func close() {
    database.close()
    for suffix in ["", "-wal", "-shm"] { unlink("\(folder)/site-\(generation).db\(suffix)") }
  }

  func removeAll() {
    close()
    removeTree(folder)
  }

  private func copy(_ from: String, to path: String) throws {
    let source = open(from, O_RDONLY | O_CLOEXEC)
    let target = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    defer {
      Glibc.close(source)
      Glibc.close(target)
    }
    var buffer = [UInt8](repeating: 0, count: 1 << 20)
    while true {
      let count = read(source, &buffer, buffer.count)
      if count <= 0 { return }
      guard write(target, buffer, count) == count else { throw Broken() }
    }
  }
  struct Broken: Error {}

  /// One call, with the token of `caller`.
  func call(
    _ service: Service, _ method: HTTPRequest.Method, _ path: String, _ body: JSON?, as caller: Caller,
    headers extra: HTTPFields = [:]
  ) async throws -> (status: Int, body: String) {
    var headers = extra
    headers[authToken] = tokens[caller]
    if service.name == "ironic" { headers[HTTPField.Name(known: "X-OpenStack-Ironic-API-Version")] = "1.88" }
    if service.name == "cinder" { headers[HTTPField.Name(known: "OpenStack-API-Version")] = "volume 3.71" }
    if service.name == "nova" {
      // What went away later is asked for as it was; the rest as of now.
      let old = ["images", "os-tenant-networks", "uptime", "statistics"]
      let isOld = path.split(separator: "/").contains { old.contains(String($0)) }
      headers[HTTPField.Name(known: "X-OpenStack-Nova-API-Version")] = isOld ? "2.1" : "2.100"
    }
    if service.name == "glance" {
      let isPatch = method == .patch
      headers[.contentType] =
        isPatch
        ? "application/openstack-images-v2.1-json-patch"
        : path.hasSuffix("/file") || path.hasSuffix("/stage") ? "application/octet-stream" : "application/json"
    } else if body != nil {
      headers[.contentType] = "application/json"
    }
    let app = Application(responder: service.isInCatalog ? responder : agents)
    return try await app.test(.router) { [headers] client in
      try await client.execute(
        uri: service.prefix + path, method: method, headers: headers,
        body: body.map { ByteBuffer(string: $0.description) }
      ) { (status: $0.status.code, body: String(buffer: $0.body)) }
    }
  }
}
