import BlockMaps
import Wire

/// An image to write: what the server's command says of it (docs/agent-protocol.md).
struct DiskImage {
  /// Path of the image; its map and its blocks are below.
  var path: String
  /// The disk's size in bytes.
  var size: Int
  /// Of the map.
  var mapSize: Int
  /// Of the map, 64 lower-case hexadecimal digits: what is written is checked against the map, block by block.
  var mapSHA256: String
  /// Bytes that are read back at most.
  var verifyBytes: Int

  /// Enough to find a disk that does not keep what it is given, and little beside what is written.
  static let defaultVerifyBytes = 64 << 20

  /// - Throws: ``AgentError`` when a member is missing or cannot be what it should.
  init(_ json: JSON) throws {
    let what = "image"
    path = try ImageSource.path(json["url"], what: what)
    size = try ImageSource.size(json["size_bytes"], what: what)
    mapSize = try ImageSource.size(json["map_bytes"], what: "map of the image")
    mapSHA256 = try ImageSource.sha256(json["map_sha256"], what: "map of the image")
    verifyBytes = max(0, json["verify_bytes"]?.int ?? Self.defaultVerifyBytes)
    guard mapSize <= BlockMap.mostBytes(forDiskOf: size, blockSize: BlockMap.blockSize(forDiskOf: size)) ?? 0 else {
      throw AgentError(.refused, "The image's map has \(mapSize) bytes: more than a disk of \(size) bytes can have.")
    }
  }

  /// Fetches the map and checks it.
  func fetchMap(_ session: ServerSession) throws -> BlockMap {
    let source = ImageSource(path: path + "/map", size: mapSize, sha256: mapSHA256)
    let bytes = try source.fetch(session, what: "map of the image")
    do {
      let map = try BlockMap(parsing: bytes)
      guard map.size == size else {
        throw AgentError(.refused, "The image's map describes a disk of \(map.size) bytes instead of \(size).")
      }
      return map
    } catch let error as BlockFormatError { throw AgentError(.refused, error.description) }
  }
}

/// Something to fetch as a whole: where, how long and what its bytes must hash to.
struct ImageSource {
  var path: String
  /// In bytes.
  var size: Int
  /// 64 lower-case hexadecimal digits.
  var sha256: String

  init(path: String, size: Int, sha256: String) {
    (self.path, self.size, self.sha256) = (path, size, sha256)
  }

  /// - Throws: ``AgentError`` when a member is missing or cannot be what it should.
  init(_ json: JSON, what: String) throws {
    path = try Self.path(json["url"], what: what)
    size = try Self.size(json["size_bytes"], what: what)
    sha256 = try Self.sha256(json["sha256"], what: what)
  }

  static func path(_ json: JSON?, what: String) throws -> String {
    guard let path = json?.string, HTTPConnection.isSafePath(path), path.hasPrefix("/agent/v1/") else {
      throw AgentError(.refused, "The url of the \(what) is not a path below /agent/v1/.")
    }
    return path
  }
  static func size(_ json: JSON?, what: String) throws -> Int {
    guard let size = json?.int, size > 0, size < 1 << 50 else { throw AgentError(.refused, "The \(what) has no size.") }
    return size
  }
  static func sha256(_ json: JSON?, what: String) throws -> String {
    guard let digest = json?.string?.lowercased(), digest.utf8.count == 64,
      digest.utf8.allSatisfy({ (48...57).contains($0) || (97...102).contains($0) })
    else { throw AgentError(.refused, "The \(what) has no SHA-256, and nothing is written unverified.") }
    return digest
  }

  /// Fetches all of it, and again while the server is away.
  /// - Throws: ``AgentError`` `.refused` when it is not what it should be.
  func fetch(_ session: ServerSession, what: String) throws -> [UInt8] {
    let bytes: [UInt8] = try session.persistently("fetch the \(what)") {
      let connection = HTTPConnection(server: session.server)
      let request = HTTPRequest(method: "GET", path: path, headers: [("Authorization", "Bearer \(session.token)")])
      let response = try connection.send(request, timeout: session.timing.silence)
      let body = try connection.readWholeBody(limit: max(size, 65536))
      try ServerSession.check(response.status, body)
      return body
    }
    guard bytes.count == size else {
      throw AgentError(.refused, "The \(what) has \(bytes.count) bytes instead of \(size).")
    }
    var hash = SHA256()
    hash.update(bytes)
    let digest = hash.hexDigest()
    guard digest == sha256 else {
      throw AgentError(.refused, "The \(what)'s SHA-256 is \(digest) instead of \(sha256).")
    }
    return bytes
  }
}
