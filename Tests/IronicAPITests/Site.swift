import APISupport
import AgentAPI
import Conductor
import Cryptography
import Domain
import DriverInterfaces
import FakeDriver
import Glibc
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import IronicAPI
import Logging
import NIOCore
import Processes
import Store
import TestSupport
import Wire

/// A server with a database of its own, and hardware that lives in a file; requests go through the real responder.
struct Site {
  let folder: String
  let database: Database
  let conductor: Conductor
  let world: World
  let authority: TokenAuthority
  let api: APIResponder
  let agents: APIResponder

  static let admin = "a0000000000000000000000000000000"
  static let owner = "b0000000000000000000000000000000"
  static let lessee = "c0000000000000000000000000000000"
  static let other = "d0000000000000000000000000000000"

  static func now() -> Timestamp {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return Timestamp(microseconds: time.tv_sec * 1_000_000 + time.tv_nsec / 1000)
  }

  /// - Parameter console: what machines of the driver "talking" say; they have no other hardware.
  init(
    console: (any ConsoleInterface)? = nil, discovery: DiscoverySettings? = nil, longestPage: Int = ListQuery.maximum,
    volumeBoot: VolumeBootSettings? = nil
  ) async throws {
    folder = "/tmp/steelyard-ironic-\(Identifier.uuid())"
    mkdir(folder, 0o700)
    database = try Database.fresh(at: folder + "/steelyard.db", secrets: SecretBox(key: randomBytes(32)))
    world = try World(folder + "/world.db")
    let images = WorldImages(world)
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    var settings = ConductorSettings()
    settings.dataFolder = folder
    settings.discovery = discovery
    settings.volumeBoot = volumeBoot
    let consoleFolder = folder + "/consoles"
    conductor = Conductor(
      database: database, settings: settings,
      hardwareTypes: [WorldHardware(world), try FakeHardware(file: nil)]
        + (console.map { [TalkingHardware(console: $0)] } ?? []),
      switches: WorldSwitch(world),
      boot: WorldBoot(world, machines: [:]), images: images, configDrives: images,
      consoles: try console.map { _ in try Consoles(settings: ConsoleSettings(folder: consoleFolder), logger: logger) },
      logger: logger, clock: { Site.now() })
    authority = TokenAuthority(keys: TokenKeys([randomBytes(32)]), clock: { Site.now() })
    authority.setAdminProject(Self.admin)
    api = APIResponder(
      services: [IronicAPI(database: database, conductor: conductor, longestPage: longestPage).service],
      authenticator: authority,
      clock: { Site.now() })
    let agentAPI = AgentAPI(
      conductor: conductor,
      settings: .init(kernel: folder + "/kernel", initrd: folder + "/initrd", logFolder: folder + "/logs/agent"),
      bootScript: { $0.map { "agent \($0.token) \($0.mac)" } ?? "local disk" })
    agents = APIResponder(services: [agentAPI.service], authenticator: authority, clock: { Site.now() })
  }

  func close() {
    database.close()
    removeTree(folder)
  }

  func token(_ project: String, _ roles: [String] = ["member"]) -> String {
    authority.seal(
      Token(
        userID: project, userName: "u", scope: .project(id: project, domainID: "default"), roles: roles,
        methods: [.password],
        issuedAt: Self.now(), expiresAt: Self.now() + .seconds(600)))
  }
  var adminToken: String { token(Self.admin, ["admin", "member", "reader"]) }

  struct Answer {
    var status: Int
    var headers: HTTPFields
    var bytes: [UInt8]
    var json: JSON { (try? JSON.parse(bytes)) ?? .null }
    var text: String { String(decoding: bytes, as: UTF8.self) }
    /// The sentence of an error in Ironic's shape.
    var fault: String {
      guard let inner = json["error_message"]?.string, let fault = try? JSON(parsing: inner) else { return "" }
      return fault["faultstring"]?.string ?? ""
    }
  }

  func call(
    _ method: HTTPRequest.Method, _ path: String, _ body: JSON? = nil, as token: String? = nil,
    version: String? = "1.88",
    headers extra: HTTPFields = [:]
  ) async throws -> Answer {
    var headers = extra
    headers[authToken] = token ?? adminToken
    headers[HTTPField.Name(known: "X-OpenStack-Ironic-API-Version")] = version
    return try await send(api, method, "/baremetal" + path, body.map { Array($0.description.utf8) }, headers)
  }
  func agent(
    _ method: HTTPRequest.Method, _ path: String, _ body: JSON? = nil, session: String? = nil,
    body bytes: [UInt8]? = nil, headers extra: HTTPFields = [:]
  ) async throws -> Answer {
    var headers = extra
    if let session { headers[.authorization] = "Bearer \(session)" }
    return try await send(agents, method, path, bytes ?? body.map { Array($0.description.utf8) }, headers)
  }
  func send(
    _ responder: APIResponder, _ method: HTTPRequest.Method, _ path: String, _ body: [UInt8]?, _ headers: HTTPFields
  ) async throws -> Answer {
    let app = Application(responder: responder)
    return try await app.test(.router) { client in
      try await client.execute(uri: path, method: method, headers: headers, body: body.map { ByteBuffer(bytes: $0) }) {
        response in
        Answer(status: response.status.code, headers: response.headers, bytes: Array(response.body.readableBytesView))
      }
    }
  }

  /// Enrols a node and leaves it in the state asked for, as its workflows would.
  @discardableResult
  func node(
    _ name: String, owner: String? = nil, lessee: String? = nil, state: ProvisionState = .available,
    resourceClass: String = "metal", driver: String = "world"
  ) async throws -> String {
    let made = try await call(
      .post, "/v1/nodes",
      [
        "driver": .string(driver), "name": .string(name),
        "driver_info": ["address": .string(name), "password": "hunter2"],
        "resource_class": .string(resourceClass), "owner": JSON(owner),
      ])
    let uuid = made.json["uuid"]?.string ?? ""
    _ = try await database.write { session in
      guard var node = try NodeStore.get(uuid, in: session) else { return }
      node.provisionState = state
      node.powerState = .off
      node.lessee = lessee
      node.driverInternalInfo = ["secret_place": "rack 7"]
      try NodeStore.update(node, in: session)
    }
    return uuid
  }
}

/// Runs `body` with a site that is gone afterwards.
func withSite<T>(
  console: (any ConsoleInterface)? = nil, discovery: DiscoverySettings? = nil, longestPage: Int = ListQuery.maximum,
  volumeBoot: VolumeBootSettings? = nil, _ body: (Site) async throws -> T
) async throws -> T {
  let site = try await Site(console: console, discovery: discovery, longestPage: longestPage, volumeBoot: volumeBoot)
  defer { site.close() }
  return try await body(site)
}
