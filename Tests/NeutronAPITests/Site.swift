import APISupport
import Cryptography
import Domain
import Glibc
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import NIOCore
import NeutronAPI
import Store
import Synchronization
import TestSupport
import Wire

/// A server with the networking service on a loopback port, a real database in a folder of its own, and a caller per name.
struct Site: Sendable {
  let database: Database
  let detached: Detached
  /// The ids of attached ports whose administrative state changed.
  let rewired: Detached
  /// Trunks whose subports changed, each with the ids of those that were added.
  let retagged: Detached
  /// One entry for each transaction that told the engine of routers to look again.
  let routed: Detached
  let client: any TestClientProtocol

  /// What was asked of the conductor: the ids of ports to detach.
  final class Detached: Sendable {
    private let ids = Mutex<[String]>([])
    func add(_ id: String) { ids.withLock { $0.append(id) } }
    var all: [String] { ids.withLock { $0 } }
  }

  /// Tokens are names: "admin"; "watcher" reads in alpha; "alice" is a member of project alpha, "bob" of beta, "carol" of gamma.
  private struct Names: Authenticator {
    func actor(forToken token: String, now: Timestamp) throws -> Actor {
      let people: [String: (String, Set<String>)] = [
        "admin": (Site.adminProject, ["admin", "member", "reader"]), "alice": (Site.alpha, ["member", "reader"]),
        "watcher": (Site.alpha, ["reader"]), "boss": (Site.alpha, ["admin"]), "bob": (Site.beta, ["member", "reader"]),
        "carol": (Site.gamma, ["member", "reader"]),
      ]
      guard let (project, roles) = people[token] else { throw APIError(.unauthorized, "no") }
      return Actor(
        userID: token, userName: token, scope: .project(id: project, domainID: "default"), roles: roles,
        isAdminProject: token == "admin")
    }
  }
  static let adminProject = "a0000000000000000000000000000000"
  static let alpha = "aa000000000000000000000000000001"
  static let beta = "bb000000000000000000000000000002"
  static let gamma = "cc000000000000000000000000000003"
  static let now = Timestamp(seconds: 1_800_000_000)

  /// - Parameter vlans: the pool that is configured; nil for none.
  static func run(
    vlans: ClosedRange<Int>? = 200...209, settings: NeutronAPI.Settings = .init(),
    _ test: @escaping @Sendable (Site) async throws -> Void
  ) async throws {
    let folder = "/tmp/steelyard-neutron-\(Identifier.uuid())"
    mkdir(folder, 0o700)
    let database = try Database.fresh(
      at: folder + "/site.db", secrets: SecretBox(key: [UInt8](repeating: 7, count: 32)))
    if let vlans {
      try await database.write { session in
        try SegmentRangeStore.ensureConfigured(
          "tenants", physicalNetwork: "physnet1", vlans: vlans, at: now, in: session)
      }
    }
    let (detached, rewired, retagged, routed) = (Detached(), Detached(), Detached(), Detached())
    let neutron = NeutronAPI(
      database: database, settings: settings,
      rewire: { ports, session in
        for id in ports {
          rewired.add(id)
          try NetworkPortStore.setStatus(.build, of: id, at: now, in: session)
        }
      },
      segmentsChanged: { _ in },
      retag: { trunk, added, _ in retagged.add(([trunk.id] + added).joined(separator: " ")) },
      routing: { session in session.afterCommit { routed.add("look") } }
    ) { port, _, _, session in
      detached.add(port.id)
      guard let holder = try VIFStore.holder(of: port.id, in: session) else { return }
      try VIFStore.set(nil, on: holder, at: now, in: session)
    }
    let app = Application(
      responder: APIResponder(services: [neutron.service], authenticator: Names(), clock: { now }),
      configuration: .init(address: .hostname("127.0.0.1", port: 0)))
    try await app.test(.live) { client in
      try await test(
        Site(
          database: database, detached: detached, rewired: rewired, retagged: retagged, routed: routed, client: client))
    }
    database.close()
    for name in ["site.db", "site.db-wal", "site.db-shm"] { unlink("\(folder)/\(name)") }
    rmdir(folder)
  }

  struct Answer: Sendable {
    var status: Int
    var json: JSON
    var headers: HTTPFields
    /// `NeutronError.type`
    var error: String? { json["NeutronError"]?["type"]?.string }
    var message: String { json["NeutronError"]?["message"]?.string ?? "" }
  }
  @discardableResult
  func call(
    _ method: HTTPRequest.Method, _ path: String, as user: String? = "alice", _ body: JSON? = nil,
    headers more: HTTPFields = [:]
  ) async throws -> Answer {
    var headers = more
    if let user { headers[authToken] = user }
    return try await client.execute(
      uri: "/network" + path, method: method, headers: headers, body: body.map { ByteBuffer(string: $0.description) }
    ) { response in
      let bytes = Array(response.body.readableBytesView)
      return Answer(
        status: response.status.code, json: bytes.isEmpty ? .null : try JSON.parse(bytes), headers: response.headers)
    }
  }
  /// Shares an object: a policy of `user`'s.
  func share(
    _ object: JSON, _ type: String = "network", with target: String, _ action: String = "access_as_shared",
    as user: String = "alice"
  ) async throws -> Answer {
    try await call(
      .post, "/v2.0/rbac-policies", as: user,
      [
        "rbac_policy": [
          "object_type": .string(type), "object_id": .string(object.id), "action": .string(action),
          "target_tenant": .string(target),
        ]
      ])
  }
  func network(_ name: String, as user: String = "alice", _ more: JSONObject = [:]) async throws -> JSON {
    var object: JSONObject = ["name": .string(name)]
    for member in more { object[member.key] = member.value }
    return try await call(.post, "/v2.0/networks", as: user, ["network": .object(object)]).json["network"] ?? .null
  }
  func subnet(_ network: JSON, _ cidr: String, as user: String = "alice", _ more: JSONObject = [:]) async throws -> JSON
  {
    var object: JSONObject = ["network_id": network["id"] ?? .null, "cidr": .string(cidr), "ip_version": 4]
    for member in more { object[member.key] = member.value }
    return try await call(.post, "/v2.0/subnets", as: user, ["subnet": .object(object)]).json["subnet"] ?? .null
  }
  func port(_ network: JSON, as user: String = "alice", _ more: JSONObject = [:]) async throws -> Answer {
    var object: JSONObject = ["network_id": network["id"] ?? .null]
    for member in more { object[member.key] = member.value }
    return try await call(.post, "/v2.0/ports", as: user, ["port": .object(object)])
  }
}

extension JSON {
  var id: String { self["id"]?.string ?? "none" }
  /// The ids in a list answer.
  func ids(_ plural: String) -> [String] { (self[plural]?.array ?? []).map(\.id) }
}
