import APISupport
import Conductor
import Cryptography
import Domain
import DriverInterfaces
import GlanceAPI
import Glibc
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import Logging
import NIOCore
import Processes
import Store
import TestSupport
import Wire

/// A server with the image service on a loopback port, a real database and files in a folder of its own.
struct Site: Sendable {
  let database: Database
  /// Removed with everything in it at the end.
  let path: String
  let folder: ImageFolder
  let client: any TestClientProtocol

  /// Tokens are names: "admin", "watcher" (reads in alpha), "alice" in alpha, "bob" in beta, "carol" in gamma.
  private struct Names: Authenticator {
    func actor(forToken token: String, now: Timestamp) throws -> Actor {
      let people: [String: (String, Set<String>)] = [
        "admin": ("admins", ["admin", "member", "reader"]), "alice": ("alpha", ["member", "reader"]),
        "watcher": ("alpha", ["reader"]), "bob": ("beta", ["member", "reader"]),
        "carol": ("gamma", ["member", "reader"]),
      ]
      guard let (project, roles) = people[token] else { throw APIError(.unauthorized, "no") }
      return Actor(
        userID: token, userName: token, scope: .project(id: project, domainID: "default"), roles: roles,
        isAdminProject: token == "admin")
    }
  }
  static let now = Timestamp(seconds: 1_800_000_000)

  static func run(
    settings: ImageSettings = .init(), imagesAt place: String? = nil, web: (any WebContentInterface)? = nil,
    _ test: @escaping @Sendable (Site) async throws -> Void
  ) async throws {
    let path = "/tmp/steelyard-glance-\(Identifier.uuid())"
    mkdir(path, 0o700)
    let database = try Database.fresh(at: path + "/site.db", secrets: SecretBox(key: [UInt8](repeating: 7, count: 32)))
    let folder = try ImageFolder(place ?? path + "/images", settings: settings)
    try await folder.prepare(database)
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    let downloads = web.map { web in
      ImageDownloads(
        intake: ImageIntake(database: database, folder: folder), web: web, logger: logger, clock: { now })
    }
    let app = Application(
      responder: APIResponder(
        services: [GlanceAPI(database: database, folder: folder, downloads: downloads).service],
        authenticator: Names(), clock: { now }),
      configuration: .init(address: .hostname("127.0.0.1", port: 0)))
    do {
      try await withThrowingTaskGroup(of: Void.self) { group in
        if let downloads { group.addTask { try await downloads.run() } }
        defer { group.cancelAll() }
        try await app.test(.live) { client in
          try await test(Site(database: database, path: path, folder: folder, client: client))
        }
      }
    } catch {
      database.close()
      _ = try await Processes.run("rm", ["-rf", path])
      throw error
    }
    database.close()
    _ = try await Processes.run("rm", ["-rf", path])
  }

  /// The same site with its images elsewhere.
  static func on(_ site: Site, folder: ImageFolder) throws -> Site {
    Site(database: site.database, path: site.path, folder: folder, client: site.client)
  }
  var cache: ImageCache { ImageCache(database: database, folder: folder, logger: Logger(label: "test")) }

  struct Answer: Sendable {
    var status: Int
    var headers: HTTPFields
    var bytes: [UInt8]
    var json: JSON { (try? JSON.parse(bytes)) ?? .null }
    var message: String { json["error"]?["message"]?.string ?? "" }
  }
  @discardableResult
  func call(
    _ method: HTTPRequest.Method, _ path: String, as user: String? = "alice", _ body: JSON? = nil,
    type: String = "application/json",
    headers more: HTTPFields = [:]
  ) async throws -> Answer {
    try await send(method, path, as: user, body.map { Array($0.description.utf8) }, type: type, headers: more)
  }
  func send(
    _ method: HTTPRequest.Method, _ path: String, as user: String? = "alice", _ body: [UInt8]?, type: String,
    headers more: HTTPFields = [:]
  ) async throws -> Answer {
    var headers = more
    if let user { headers[authToken] = user }
    if body != nil { headers[.contentType] = type }
    return try await client.execute(
      uri: "/image" + path, method: method, headers: headers, body: body.map { ByteBuffer(bytes: $0) }
    ) {
      Answer(status: $0.status.code, headers: $0.headers, bytes: Array($0.body.readableBytesView))
    }
  }
  func make(_ name: String, as user: String = "alice", format: String = "raw", _ more: JSONObject = [:]) async throws
    -> JSON
  {
    var body: JSONObject = ["name": .string(name), "disk_format": .string(format), "container_format": "bare"]
    for member in more { body[member.key] = member.value }
    return try await call(.post, "/v2/images", as: user, .object(body)).json
  }
  func upload(_ image: JSON, as user: String = "alice", _ bytes: [UInt8]) async throws -> Answer {
    try await send(.put, "/v2/images/\(image.id)/file", as: user, bytes, type: "application/octet-stream")
  }
  func patch(_ image: JSON, as user: String = "alice", _ operations: JSON) async throws -> Answer {
    try await call(
      .patch, "/v2/images/\(image.id)", as: user, operations, type: "application/openstack-images-v2.1-json-patch")
  }
  func list(_ query: String = "", as user: String = "alice") async throws -> [String] {
    (try await call(.get, "/v2/images\(query)", as: user).json["images"]?.array ?? []).map(\.id)
  }

  /// Files in a folder of the images: "uploads", "images", "cache".
  func files(_ name: String) async throws -> [String] {
    try await Processes.run("ls", ["-A", "\(folder.path)/\(name)"]).text.split(separator: "\n").map { String($0) }
  }

  /// A qcow2 image made by qemu-img of a raw file with these bytes at its start.
  func qcow2(_ content: [UInt8], size: String = "4M", options: [String] = []) async throws -> [UInt8] {
    let name = "\(path)/\(Identifier.uuid())"
    try write(content, to: name + ".raw")
    _ = try await runChecked("truncate", ["-s", size, name + ".raw"])
    _ = try await runChecked(
      "qemu-img", ["convert", "-f", "raw", "-O", "qcow2"] + options + [name + ".raw", name + ".qcow2"])
    return try read(name + ".qcow2")
  }
  func write(_ bytes: [UInt8], to path: String) throws {
    let file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    defer { close(file) }
    guard bytes.isEmpty || Glibc.write(file, bytes, bytes.count) == bytes.count else {
      throw APIError.badRequest("write \(path)")
    }
  }
  func read(_ path: String) throws -> [UInt8] {
    let file = open(path, O_RDONLY)
    defer { close(file) }
    var information = stat()
    guard file >= 0, fstat(file, &information) == 0 else { throw APIError.notFound(path) }
    var bytes = [UInt8](repeating: 0, count: Int(information.st_size))
    guard Glibc.read(file, &bytes, bytes.count) == bytes.count else { throw APIError.badRequest("read \(path)") }
    return bytes
  }
}

extension JSON { var id: String { self["id"]?.string ?? "none" } }

/// Waits until `condition` holds, at most ten seconds.
func eventually(_ condition: () async throws -> Bool) async throws -> Bool {
  for _ in 0..<200 {
    if try await condition() { return true }
    try await Task.sleep(for: .milliseconds(50))
  }
  return false
}

func sha256(_ bytes: [UInt8]) -> String { Digest.hex(Digest.sha256(bytes)) }
func sha512(_ bytes: [UInt8]) -> String {
  var digest = DigestStream(.sha512)
  bytes.withUnsafeBytes { digest.update($0) }
  return Digest.hex(digest.finish())
}

extension ImageStoreInterface {
  func ensureRaw(imageID: String) async throws -> RawImage { try await ensureRaw(imageID: imageID) { _ in } }
}
