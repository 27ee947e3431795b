import APISupport
import CinderAPI
import Conductor
import Cryptography
import Domain
import GlanceAPI
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import Logging
import NIOCore
import Store
import TestSupport
import Testing
import Wire
import Workflows

/// The block storage service with the real conductor and its workflows, over volumes that live in a ``World``.
struct Site: Sendable {
  let database: Database
  let world: World
  /// Of the backend "ceph".
  let second: World
  let conductor: Conductor
  let client: any TestClientProtocol

  /// Tokens are names: "admin", "watcher" (reads in alpha), "alice" in alpha, "bob" in beta.
  private struct Names: Authenticator {
    func actor(forToken token: String, now: Timestamp) throws -> Actor {
      let people: [String: (String, Set<String>)] = [
        "admin": ("admins", ["admin", "member", "reader"]), "alice": ("alpha", ["member", "reader"]),
        "watcher": ("alpha", ["reader"]), "bob": ("beta", ["member", "reader"]),
      ]
      guard let (project, roles) = people[token] else { throw APIError(.unauthorized, "no") }
      return Actor(
        userID: token, userName: token, scope: .project(id: project, domainID: "default"), roles: roles,
        isAdminProject: token == "admin")
    }
  }

  /// - Parameter hasTwoBackends: whether there is "ceph" beside "local".
  static func run(hasTwoBackends: Bool = false, _ test: @escaping @Sendable (Site) async throws -> Void) async throws {
    try await withFolder("cinder") { folder in
      let database = try Database.fresh(
        at: folder + "/site.db", secrets: SecretBox(key: [UInt8](repeating: 7, count: 32)))
      let world = try World("\(folder)/world.db")
      let second = try World("\(folder)/second.db")
      let images = WorldImages(world)
      var settings = ConductorSettings()
      settings.dataFolder = folder
      settings.volumeBoot = VolumeBootSettings(
        server: "10.77.0.1", port: 8078, first: "10.77.0.2", last: "10.77.0.3", portals: ["10.77.0.1:3260"])
      var logger = Logger(label: "test")
      logger.logLevel = .critical
      let conductor = Conductor(
        database: database, settings: settings, hardwareTypes: [WorldHardware(world)], switches: WorldSwitch(world),
        boot: WorldBoot(world, machines: [:]), images: images, configDrives: images,
        volumes: ["local": WorldVolumes(world)].merging(hasTwoBackends ? ["ceph": WorldVolumes(second)] : [:]) { $1 },
        backups: WorldBackups(world), logger: logger, clock: CrashSite.now)
      let glance = GlanceAPI(database: database, folder: try ImageFolder("\(folder)/images"))
      let facade = CinderAPI(database: database, conductor: conductor, images: glance)
      let app = Application(
        responder: APIResponder(services: [facade.service], authenticator: Names(), clock: CrashSite.now),
        configuration: .init(address: .hostname("127.0.0.1", port: 0)))
      let runner = Task { try await conductor.runner.run() }
      defer {
        runner.cancel()
        database.close()
      }
      try await app.test(.live) { client in
        try await test(Site(database: database, world: world, second: second, conductor: conductor, client: client))
      }
    }
  }

  struct Answer: Sendable {
    var status: Int
    var headers: HTTPFields
    var json: JSON
    /// What an error says, whatever its member is called.
    var message: String { json.object?.members.first?.value["message"]?.string ?? "" }
  }
  @discardableResult
  func call(
    _ method: HTTPRequest.Method, _ path: String, _ body: JSON? = nil, as person: String = "alice",
    version: String? = "3.71"
  ) async throws -> Answer {
    var headers: HTTPFields = [.contentType: "application/json"]
    headers[.init("X-Auth-Token") ?? .date] = person
    if let version { headers[.init("OpenStack-API-Version") ?? .date] = "volume \(version)" }
    return try await client.execute(
      uri: "/volume\(path)", method: method, headers: headers, body: body.map { ByteBuffer(string: $0.description) }
    ) { response in
      let bytes = Array(response.body.readableBytesView)
      return Answer(
        status: response.status.code, headers: response.headers, json: (try? JSON.parse(bytes)) ?? .null)
    }
  }

  /// A volume that is ready.
  func volume(_ members: JSONObject = [:], as person: String = "alice") async throws -> String {
    var body: JSONObject = ["size": 1]
    for member in members { body[member.key] = member.value }
    let made = try await call(.post, "/v3/volumes", ["volume": .object(body)], as: person)
    #expect(made.status == 202, "\(made.json)")
    let id = try #require(made.json["volume"]?["id"]?.string)
    try await become("available", "/v3/volumes/\(id)", "volume", as: person)
    return id
  }
  func snapshot(of volume: String) async throws -> String {
    let made = try await call(.post, "/v3/snapshots", ["snapshot": ["volume_id": .string(volume), "name": "s"]])
    #expect(made.status == 202, "\(made.json)")
    let id = try #require(made.json["snapshot"]?["id"]?.string)
    try await become("available", "/v3/snapshots/\(id)", "snapshot")
    return id
  }
  /// Waits for a status.
  func become(_ status: String, _ path: String, _ noun: String, as person: String = "alice") async throws {
    try await until("\(path) is \(status)") {
      try await call(.get, path, as: person).json[noun]?["status"]?.string == status
    }
  }
  func gone(_ path: String) async throws {
    try await until("\(path) is gone") { try await call(.get, path).status == 404 }
  }
}
