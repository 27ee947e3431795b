import Cryptography
import DriverInterfaces
import Glibc
import Processes
import Wire

/// Backups as pieces that those of a project share: PROJECT/pieces/XX/SHA256 holds a piece of 1 MiB, PROJECT/BACKUP.json lists the
/// pieces of a backup in order. The list is written last, so that what it names is there.
public final class BackupPieces: BackupInterface, Sendable {
  public static let pieceLength = 1 << 20
  static let device = DriverError.Device.volumes("backups")
  let objects: any BackupObjects
  /// One at a time of a project: a removal must not take a piece that another backup is about to name.
  let turns = Turns()

  /// - Parameter folder: made when it is not there; best on another disk than the volumes'.
  public init(folder: String) throws { objects = try FolderObjects(folder) }
  public init(bucket: S3Bucket) { objects = bucket }

  static func checked(_ words: String...) throws {
    for word in words
    where word.isEmpty || !word.utf8.allSatisfy({ ($0 >= 48 && $0 <= 57) || ($0 >= 97 && $0 <= 122) || $0 == 0x2d }) {
      throw DriverError(.refused, device: device, detail: "\"\(word)\" is not an identifier")
    }
  }
  private func list(_ backup: String, _ project: String) -> String { "\(project)/\(backup).json" }
  func piece(_ hash: some StringProtocol, _ project: String) -> String {
    "\(project)/pieces/\(hash.prefix(2))/\(hash)"
  }

  public func ensureBackup(_ backup: String, project: String, of path: String) async throws -> Int {
    try Self.checked(backup, project)
    return try await turns.take(project) { try await copy(path, backup, project) }
  }
  private func copy(_ path: String, _ backup: String, _ project: String) async throws -> Int {
    if let known = try await pieces(backup, project) { return known.new }
    let source = try await onThread("backup") { try PieceFile(reading: path) }
    var (hashes, fresh) = ([String](), 0)
    for index in 0..<source.pieces {
      guard let (hash, bytes) = try await onThread("backup", { try source.piece(index) }) else {
        hashes.append("")
        continue
      }
      hashes.append(hash)
      let name = piece(hash, project)
      if try await objects.has(name) { continue }
      try await objects.put(name, bytes)
      fresh += 1
    }
    let json: JSON = ["size_bytes": .int(source.size), "new_pieces": .int(fresh), "pieces": JSON(hashes)]
    try await objects.put(list(backup, project), Array(json.description.utf8))
    return fresh
  }

  /// What a backup consists of; nil when its list is not there.
  private func pieces(_ backup: String, _ project: String) async throws -> (size: Int, new: Int, hashes: [String])? {
    guard let bytes = try await objects.get(list(backup, project)) else { return nil }
    guard let json = try? JSON.parse(bytes), let size = json["size_bytes"]?.int, size >= 0,
      let hashes = json["pieces"]?.array?.compactMap(\.string),
      hashes.count == (size + Self.pieceLength - 1) / Self.pieceLength,
      hashes.allSatisfy({ $0.isEmpty || ($0.utf8.count == 64 && $0.utf8.allSatisfy(Self.isHex)) })
    else { throw DriverError(.refused, device: Self.device, detail: "the list of backup \(backup) is damaged") }
    return (size, json["new_pieces"]?.int ?? 0, hashes)
  }
  private static func isHex(_ byte: UInt8) -> Bool { (48...57).contains(byte) || (97...102).contains(byte) }

  public func restore(_ backup: String, project: String, to path: String) async throws {
    try Self.checked(backup, project)
    try await turns.take(project) {
      guard let known = try await pieces(backup, project) else {
        throw DriverError(.refused, device: Self.device, detail: "there is no backup \(backup)")
      }
      let target = try await onThread("restore") { try PieceFile(writing: path, size: known.size) }
      for (index, hash) in known.hashes.enumerated() where !hash.isEmpty {
        guard let bytes = try await objects.get(piece(hash, project)) else {
          throw DriverError(.refused, device: Self.device, detail: "a piece of backup \(backup) is not there")
        }
        try await onThread("restore") {
          guard bytes.count == target.length(index), Digest.hex(Digest.sha256(bytes)) == hash else {
            throw DriverError(
              .refused, device: Self.device, detail: "a piece of backup \(backup) is not what was copied")
          }
          try target.write(bytes, index)
        }
      }
      try await onThread("restore") { try target.sync() }
    }
  }

  public func removeBackup(_ backup: String, project: String) async throws {
    try Self.checked(backup, project)
    try await turns.take(project) {
      try await objects.remove(list(backup, project))
      try await removeMaps(of: backup, project)
      var needed = try await blocksNeeded(in: project)
      for other in try await objects.names("\(project)/", deep: false) where other.hasSuffix(".json") {
        let id = String(other.dropFirst(project.utf8.count + 1).dropLast(5))
        needed.formUnion(try await pieces(id, project)?.hashes ?? [])
      }
      // Also the pieces of a backup that was cut short, which no list names.
      for name in try await objects.names("\(project)/pieces/", deep: true) {
        if let hash = name.split(separator: "/").last, !needed.contains(String(hash)) { try await objects.remove(name) }
      }
    }
  }

  public func backups() async throws -> [String: String] {
    var found: [String: String] = [:]
    for project in try await objects.names("", deep: false) where project.hasSuffix("/") {
      for name in try await objects.names(project, deep: false) {
        let parts = name.dropFirst(project.utf8.count).split(separator: ".")
        guard parts.count == 2, ["json", "map", "part"].contains(parts[1]) else { continue }
        found[String(parts[0])] = String(project.dropLast())
      }
    }
    return found
  }
}
