import APISupport
import CinderAPI
import Conductor
import Cryptography
import Domain
import FakeDriver
import GlanceAPI
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import Logging
import NeutronAPI
import NovaAPI
import Store
import TestSupport
import Testing
import Wire
import Workflows

/// The compute and the networking API, the real conductor and its workflows on a real database, with machines that do at once
/// what they are told.
struct ComputeSite: Sendable {
  let database: Database
  let conductor: Conductor
  let folder: String
  let world: World
  private let responder: APIResponder

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

  /// - Parameter isRunning: false for workflows that stand still.
  static func run(
    isRunning: Bool = true, quotas: NovaAPI.Quotas = .init(),
    _ test: @escaping @Sendable (ComputeSite) async throws -> Void
  ) async throws {
    try await withFolder("nova") { folder in
      let database = try Database.fresh(
        at: folder + "/site.db", secrets: SecretBox(key: [UInt8](repeating: 7, count: 32)))
      let world = try World("\(folder)/world.db")
      let images = WorldImages(world)
      var logger = Logger(label: "nova")
      logger.logLevel = .critical
      var settings = ConductorSettings()
      settings.dataFolder = folder
      let conductor = Conductor(
        database: database, settings: settings, hardwareTypes: [try FakeHardware(file: nil)],
        switches: WorldSwitch(world), boot: WorldBoot(world, machines: [:]), images: images, configDrives: images,
        volumes: ["local": WorldVolumes(world)], logger: logger, clock: CrashSite.now)
      let neutron = NeutronAPI(
        database: database, rewire: { ports, session in try conductor.networksChanged(ports, in: session) },
        segmentsChanged: { _ in }, retag: { _, _, _ in }
      ) { _, _, _, _ in }
      let glance = GlanceAPI(database: database, folder: try ImageFolder("\(folder)/images"))
      let cinder = CinderAPI(database: database, conductor: conductor, images: glance)
      let nova = NovaAPI(
        database: database, conductor: conductor, networks: neutron, volumes: cinder, images: glance, quotas: quotas,
        consoleURL: "ws://console.example")
      let responder = APIResponder(
        services: [nova.service, neutron.service, cinder.service], authenticator: Names(), clock: CrashSite.now)
      let site = ComputeSite(
        database: database, conductor: conductor, folder: folder, world: world, responder: responder)
      try await site.furnish()
      let runner = Task {
        guard isRunning else { return }
        try await withThrowingTaskGroup(of: Void.self) { group in
          group.addTask { try await conductor.runner.run() }
          group.addTask {
            while !Task.isCancelled {
              try await conductor.deleteServers()
              try await Task.sleep(for: .milliseconds(20))
            }
          }
          try await group.waitForAll()
        }
      }
      do { try await test(site) } catch {
        runner.cancel()
        _ = await runner.result
        database.close()
        throw error
      }
      runner.cancel()
      _ = await runner.result
      database.close()
    }
  }

  static let image = "70a599e0-31e7-49b7-b260-868f441e862b"
  static let network = "11111111-2222-4333-8444-555555555555"

  private func furnish() async throws {
    let now = CrashSite.now()
    try await database.write { session in
      try ProjectStore.insert(
        Project(id: "default", name: "Default", domainID: nil, isDomain: true, createdAt: now), in: session)
      for name in ["admins", "alpha", "beta"] {
        try ProjectStore.insert(
          Project(id: name, name: "the-\(name)", domainID: "default", createdAt: now), in: session)
      }
      var image = Image(id: Self.image, name: "debian", owner: "alpha", visibility: .public, createdAt: now)
      image.status = .active
      try ImageStore.insert(image, in: session)
      let network = Network(
        id: Self.network, projectID: "alpha", name: "lan", physicalNetwork: "datacentre", vlan: 201, createdAt: now)
      try NetworkStore.insert(network, in: session)
      let cidr = try #require(CIDR("10.0.1.0/24"))
      let (first, last) = (try #require(IPAddress("10.0.1.10")), try #require(IPAddress("10.0.1.99")))
      try SubnetStore.insert(
        Subnet(
          id: Identifier.uuid(), networkID: network.id, projectID: "alpha", name: "lan", cidr: cidr, gateway: nil,
          pools: [AddressPool(first, last)], createdAt: now), in: session)
      var flavor = Flavor(id: "metal", name: "metal", memory: 1024, vcpus: 2, disk: 10, createdAt: now)
      flavor.extraSpecs = ["resources:CUSTOM_METAL": "1"]
      try FlavorStore.insert(flavor, in: session)
    }
  }

  /// A machine that is available, with two NICs.
  @discardableResult
  func enrol(
    _ name: String, owner: String? = "alpha", _ adjust: @escaping @Sendable (inout Node) -> Void = { _ in }
  ) async throws -> String {
    let uuid = Identifier.uuid()
    let now = CrashSite.now()
    try await database.write { [database] session in
      var node = Node(uuid: uuid, name: name, driver: "fake-hardware", createdAt: now)
      node.owner = owner
      node.resourceClass = "metal"
      node.properties = ["cpus": 4, "memory_mb": 8192, "local_gb": 100]
      node.provisionState = .available
      node.powerState = .off
      adjust(&node)
      try NodeStore.insert(node, secrets: [], box: database.secrets, in: session)
      for index in 0..<2 {
        var port = Port(
          uuid: Identifier.uuid(), nodeUUID: uuid, address: NetworkPort.newMACAddress(),
          createdAt: now + .milliseconds(index))
        port.localLinkConnection = [
          "switch_info": "sw0", "port_id": .string("\(name)-\(index)"), "switch_id": "00:00:00:00:00:01",
        ]
        try PortStore.insert(port, in: session)
      }
    }
    return uuid
  }
  func node(_ uuid: String) async throws -> Node {
    try #require(try await database.read { try NodeStore.get(uuid, in: $0) })
  }

  struct Answer: Sendable {
    var status: Int
    var headers: HTTPFields
    var body: JSON
    /// Nova's sentence: of whatever member there is.
    var message: String { body.object?.members.first?.value["message"]?.string ?? "" }
    var shown: String { "\(status) \(body)" }
    var server: JSON { body["server"] ?? .null }
    var id: String { server["id"]?.string ?? "" }
  }
  @discardableResult
  func call(
    _ method: HTTPRequest.Method, _ path: String, _ body: JSON? = nil, as token: String? = "alice",
    version: String = "2.100", service: String = "/compute"
  ) async throws -> Answer {
    var headers: HTTPFields = [:]
    if let token { headers[authToken] = token }
    headers[HTTPField.Name(known: "OpenStack-API-Version")] =
      service == "/volume" ? "volume 3.71" : "compute \(version)"
    let fields = headers
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    return try await Application(responder: responder, logger: logger).test(.router) { client in
      try await client.execute(
        uri: service + path, method: method, headers: fields, body: body.map { ByteBuffer(string: $0.description) }
      ) { response in
        let text = String(buffer: response.body)
        return Answer(
          status: response.status.code, headers: response.headers,
          body: text.isEmpty ? .null : try JSON(parsing: text))
      }
    }
  }

  /// A request for a server on the network, to be adjusted.
  func order(_ name: String, _ more: JSONObject = [:]) -> JSON {
    var server: JSONObject = [
      "name": .string(name), "flavorRef": "metal", "imageRef": .string(Self.image),
      "networks": [["uuid": .string(Self.network)]],
    ]
    for member in more { server[member.key] = member.value }
    return ["server": .object(server)]
  }
  func create(_ name: String, _ more: JSONObject = [:], as token: String = "alice") async throws -> String {
    let answer = try await call(.post, "/v2.1/servers", order(name, more), as: token)
    #expect(answer.status == 202, "\(answer.shown)")
    return answer.id
  }
  /// The server as soon as it is so.
  @discardableResult
  func server(_ id: String, _ status: String, as token: String = "alice") async throws -> JSON {
    let limit = ContinuousClock.now + .seconds(20)
    while true {
      let answer = try await call(.get, "/v2.1/servers/\(id)", as: token)
      if answer.server["status"]?.string == status, answer.server["OS-EXT-STS:task_state"]?.isNull == true {
        return answer.server
      }
      if ContinuousClock.now > limit {
        Issue.record("the server is not \(status) but \(answer.shown)")
        return answer.server
      }
      try await Task.sleep(for: .milliseconds(5))
    }
  }
  func gone(_ id: String, as token: String = "alice") async throws {
    let limit = ContinuousClock.now + .seconds(20)
    while try await call(.get, "/v2.1/servers/\(id)", as: token).status != 404 {
      if ContinuousClock.now > limit {
        Issue.record("the server is still there: \(try await call(.get, "/v2.1/servers/\(id)", as: token).shown)")
        return
      }
      try await Task.sleep(for: .milliseconds(5))
    }
  }
  func settled(_ uuid: String, _ state: ProvisionState) async throws -> Node {
    let limit = ContinuousClock.now + .seconds(20)
    while true {
      let node = try await node(uuid)
      if node.provisionState == state, node.reservation == nil { return node }
      if ContinuousClock.now > limit {
        Issue.record("the node is \(node.provisionState) and not \(state)")
        return node
      }
      try await Task.sleep(for: .milliseconds(5))
    }
  }
  func ports(of id: String) async throws -> [NetworkPort] {
    try await database.read { try NetworkPortStore.list(in: $0) { $0.append("WHERE p.device_id = ?", .text(id)) } }
  }
}
