import BlockMaps
import Cryptography
import DriverInterfaces

/// Backups of disks among the pieces: a piece is a block of the disk. PROJECT/BACKUP.map is the block map of a whole one,
/// PROJECT/BACKUP.part that of one whose blocks are still on their way; what either names is not removed with another.
extension BackupPieces {
  private func map(_ backup: String, _ project: String) -> String { "\(project)/\(backup).map" }
  private func part(_ backup: String, _ project: String) -> String { "\(project)/\(backup).part" }

  public func ensureBackup(_ backup: String, project: String, of map: BlockMap) async throws -> [Range<Int>] {
    try Self.checked(backup, project)
    return try await turns.take(project) {
      let bytes = map.bytes
      if try await objects.get(self.map(backup, project)) == bytes { return [] }
      if try await objects.get(part(backup, project)) != bytes { try await objects.put(part(backup, project), bytes) }
      let lacking = try await lacking(map, project)
      guard lacking.isEmpty else { return lacking }
      try await objects.put(self.map(backup, project), bytes)
      try await objects.remove(part(backup, project))
      return []
    }
  }
  /// Data blocks whose piece is not there.
  private func lacking(_ map: BlockMap, _ project: String) async throws -> [Range<Int>] {
    let kept = Set(
      try await objects.names("\(project)/pieces/", deep: true).compactMap { $0.split(separator: "/").last })
    return map.runs { index in map.digest(of: index).map { !kept.contains(Substring(Digest.hex(Array($0)))) } ?? false }
  }

  public func keepBlock(_ block: [UInt8], project: String) async throws {
    try Self.checked(project)
    let name = piece(Digest.hex(Digest.sha256(block)), project)
    try await turns.take(project) {
      if try await !objects.has(name) { try await objects.put(name, block) }
    }
  }

  public func wholeMap(of backup: String, project: String) async throws -> [UInt8] {
    try Self.checked(backup, project)
    return try await turns.take(project) {
      guard let bytes = try await objects.get(map(backup, project)) else {
        throw DriverError(.refused, device: Self.device, detail: "there is no backup \(backup)")
      }
      guard let map = try? BlockMap(parsing: bytes) else {
        throw DriverError(.refused, device: Self.device, detail: "the map of backup \(backup) is damaged")
      }
      let lacking = try await lacking(map, project).reduce(0) { $0 + $1.count }
      guard lacking == 0 else {
        throw DriverError(.refused, device: Self.device, detail: "\(lacking) blocks of backup \(backup) are not there")
      }
      return bytes
    }
  }

  public func block(_ digest: ArraySlice<UInt8>, project: String) async throws -> [UInt8] {
    try Self.checked(project)
    let name = piece(Digest.hex(Array(digest)), project)
    guard let bytes = try await objects.get(name) else {
      throw DriverError(.refused, device: Self.device, detail: "a block of a backup is not there")
    }
    return bytes
  }

  /// Digests of the blocks that disks' backups of a project need.
  func blocksNeeded(in project: String) async throws -> Set<String> {
    var needed: Set<String> = []
    for name in try await objects.names("\(project)/", deep: false)
    where name.hasSuffix(".map") || name.hasSuffix(".part") {
      guard let bytes = try await objects.get(name) else { continue }
      guard let map = try? BlockMap(parsing: bytes) else {
        // Half written cannot be: whoever cannot tell what it needs must not remove anything.
        throw DriverError(.refused, device: Self.device, detail: "the map \(name) is damaged")
      }
      for index in 0..<map.count { if let digest = map.digest(of: index) { needed.insert(Digest.hex(Array(digest))) } }
    }
    return needed
  }
  /// Not there: nothing is done.
  func removeMaps(of backup: String, _ project: String) async throws {
    try await objects.remove(map(backup, project))
    try await objects.remove(part(backup, project))
  }
}
