import APISupport
import Conductor
import Cryptography
import Domain
import FakeDriver
import Glibc
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import LeapAPI
import Logging
import Processes
import Store
import Synchronization
import TestSupport
import Testing
import Wire
import Workflows

/// The lease API, the real conductor and its workflows on a real database, with machines that do at once what they are told.
/// Time stands still unless it is advanced.
final class LeaseSite: Sendable {
  let clock: Clock
  let folder: String
  let settings: LeaseSettings
  /// Where images are; nil where their content is only spoken of.
  let images: ImageFolder?
  private let box = SecretBox(key: randomBytes(32))
  private let keys = TokenKeys([randomBytes(32)])
  private let running: Mutex<Server>

  final class Clock: Sendable {
    private let time = Mutex(Timestamp(parsing: "2026-11-21T08:00:00") ?? Timestamp(seconds: 0))
    var now: Timestamp { time.withLock { $0 } }
    func advance(by duration: Duration) { time.withLock { $0 = $0 + duration } }
  }
  /// What a process is: it can be ended and begun again over the same file.
  private final class Server: Sendable {
    let database: Database
    let conductor: Conductor
    let responder: APIResponder
    let authority: TokenAuthority
    let runner: Task<Void, any Error>
    let world: World

    init(
      _ folder: String, _ box: SecretBox, _ keys: TokenKeys, _ clock: Clock, _ settings: LeaseSettings,
      _ imageFolder: ImageFolder?
    ) async throws {
      let path = "\(folder)/site.db"
      if access(path, F_OK) != 0 { try Database.writeEmpty(to: path) }
      let database = try Database(path: path, secrets: box)
      self.database = database
      let authority = TokenAuthority(keys: keys, clock: { clock.now })
      let world = try World("\(folder)/world.db")
      self.world = world
      let drives = WorldImages(world)
      try await imageFolder?.prepare(database)
      var logger = Logger(label: "lease")
      logger.logLevel = .critical
      var site = ConductorSettings()
      site.dataFolder = folder
      site.leases = settings
      let conductor = Conductor(
        database: database, settings: site, hardwareTypes: [try FakeHardware(file: nil), WorldHardware(world)],
        switches: WorldSwitch(world), boot: WorldBoot(world, machines: LeaseSite.mac.map { [$0: "n1"] } ?? [:]),
        images: imageFolder.map { ImageCache(database: database, folder: $0, logger: logger) } ?? drives,
        configDrives: drives, backups: WorldBackups(world), logger: logger, clock: { clock.now })
      self.conductor = conductor
      try await database.write { session in
        if try ProjectStore.get("owners", in: session) == nil {
          try ProjectStore.insert(
            Project(id: "default", name: "Default", domainID: nil, isDomain: true, createdAt: clock.now), in: session)
          for (name, parent) in [("owners", "default"), ("alpha", "default"), ("beta", "default"), ("below", "alpha")] {
            try ProjectStore.insert(
              Project(id: name, name: "the-\(name)", domainID: "default", parentID: parent, createdAt: clock.now),
              in: session)
          }
        }
        try authority.load(in: session)
      }
      self.authority = authority
      let facade = LeapAPI(
        database: database, conductor: conductor, settings: settings, consoleURL: "ws://console.example:6083")
      responder = APIResponder(services: [facade.service], authenticator: authority, clock: { clock.now })
      runner = Task { try await conductor.runner.run() }
    }
    func end() async {
      runner.cancel()
      _ = await runner.result
      database.close()
    }
  }

  /// - Parameter keepsImages: with files for the content of images, as a server has them.
  init(_ settings: LeaseSettings = LeaseSettings(), keepsImages: Bool = false) async throws {
    folder = try makeTemporaryFolder("leap")
    images = keepsImages ? try ImageFolder("\(folder)/images") : nil
    clock = Clock()
    self.settings = settings
    running = Mutex(try await Server(folder, box, keys, clock, settings, images))
  }
  deinit {
    let server = running.withLock { $0 }
    server.runner.cancel()
    server.database.close()
    removeTree(folder)
  }
  private var server: Server { running.withLock { $0 } }
  var world: World { server.world }
  /// The NIC of the one machine that boots an agent.
  static let mac = MACAddress("52:54:00:00:00:01")
  var database: Database { server.database }
  var conductor: Conductor { server.conductor }
  var authority: TokenAuthority { server.authority }
  var responder: APIResponder { server.responder }

  /// Ends the server wherever its workflows are, and begins another over the same file.
  func crash() async throws {
    await server.end()
    let next = try await Server(folder, box, keys, clock, settings, images)
    running.withLock { $0 = next }
  }

  /// Does what is due and waits until nothing more happens by itself.
  func settle() async throws {
    let conductor = conductor
    let limit = ContinuousClock.now + .seconds(30)
    while true {
      _ = try await conductor.runLeases()
      while try await isBusy() {
        if ContinuousClock.now > limit {
          let open = try await database.read { try WorkflowStore.open(in: $0) }
          Issue.record("the workflows do not come to rest: \(open)")
          return
        }
        try await Task.sleep(for: .microseconds(500))
        // The lease timer is woken when a machine is free; here it is this.
        _ = try await conductor.runLeases()
      }
      // What has just ended may be what another lease waited for.
      let before = try await lastEvent()
      _ = try await conductor.runLeases()
      if try await !isBusy(), try await lastEvent() == before { return }
    }
  }
  private func lastEvent() async throws -> Int { try await database.read { try EventStore.lastID(in: $0) } }
  /// Something is under way that is not waiting for a machine to be free.
  private func isBusy() async throws -> Bool {
    try await database.read { session in
      var waiting = LeaseStore.Filter()
      waiting.statuses = .only([.waitFulfill])
      for lease in try LeaseStore.list(waiting, in: session) where try Conductor.obstacle(to: lease, in: session) == nil
      {
        return true
      }
      return try WorkflowStore.open(in: session).contains { workflow in
        workflow.state != .stuck && !(workflow.state == .waiting && workflow.wakeOn == "machine-freed")
      }
    }
  }
  func advance(by duration: Duration) async throws {
    clock.advance(by: duration)
    try await settle()
  }

  func enrol(_ name: String, owner: String? = "owners") async throws -> String {
    let uuid = Identifier.uuid()
    let now = clock.now
    try await database.write { [database] session in
      var node = Node(uuid: uuid, name: name, driver: "fake-hardware", createdAt: now)
      node.owner = owner
      node.resourceClass = "metal"
      node.properties = ["cpus": 4, "capabilities": "secret:1"]
      node.provisionState = .available
      try NodeStore.insert(node, secrets: [], box: database.secrets, in: session)
    }
    return uuid
  }
  func change(_ uuid: String, _ body: @escaping @Sendable (inout Node) -> Void) async throws {
    try await database.write { session in
      var node = try #require(try NodeStore.get(uuid, in: session))
      body(&node)
      try NodeStore.update(node, in: session)
    }
  }
  func node(_ uuid: String) async throws -> Node {
    try #require(try await database.read { try NodeStore.get(uuid, in: $0) })
  }
  /// The types of the events that concern a lease or offer.
  func events(of uuid: String) async throws -> [String] {
    var filter = EventStore.Filter()
    filter.objectUUID = uuid
    return try await database.read { [filter] in try EventStore.list(filter, in: $0) }.map {
      String($0.type.dropFirst("esi_leap.".count))
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
    var shown: String { "\(status) \(body)" }
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
