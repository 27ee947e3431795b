import BlockMaps
import Conductor
import Cryptography
import Domain
import Store
import Wire

/// The scenes of the crash tests that are about copies of machines' disks.
extension CrashSite {
  static let diskBackup = "dddddddd-dddd-4ddd-8ddd-dddddddddddd"
  private static let blockSize = 64 << 10

  /// What the API shows of copies of disks, and what counts in the quota.
  static func diskBackups(in session: any Session) throws -> [String] {
    let used = try [VolumeResource.backups, .backupGigabytes].map {
      "\($0.rawValue) \(try VolumeStore.used($0, project: "p", in: session))"
    }
    return try DiskBackupStore.list(.init(), in: session).map { backup in
      "\(backup.uuid) \(backup.status.rawValue) \(backup.size ?? 0) \(backup.dataBytes ?? 0) \(backup.mapSHA256 ?? "")"
    } + used
  }

  /// A disk of four blocks, whose first says "backed up".
  private static func content() throws -> (block: [UInt8], map: BlockMap) {
    var block = Array("backed up".utf8)
    block += [UInt8](repeating: 0, count: blockSize - block.count)
    var builder = try BlockMap.Builder(size: 4 * blockSize, blockSize: blockSize)
    builder.add(digest: Digest.sha256(block))
    return (block, builder.map)
  }
  /// What is outside before.
  func seedDiskBackup() throws {
    let (block, map) = try Self.content()
    try world.ensure([
      ("backup/\(Self.diskBackup)", "p"), ("backup-map/\(Self.diskBackup)", Base64.text(map.bytes)),
      ("piece/\(Digest.hex(Digest.sha256(block)))", Base64.text(block)),
    ])
  }

  func beginDiskBackup(_ scenario: Scenario, _ node: inout Node, at now: Timestamp, in session: any Session) throws {
    var backup = DiskBackup(uuid: Self.diskBackup, projectID: "p", nodeUUID: node.uuid, createdAt: now)
    if scenario == .backUpDisk { return try conductor.backUpDisk(&node, as: backup, by: .system, in: session) }
    let (_, map) = try Self.content()
    try DiskBackupStore.insert(backup, in: session)
    backup.status = .available
    backup.size = map.size
    backup.dataBytes = map.dataBytes
    backup.mapSHA256 = Digest.hex(Digest.sha256(map.bytes))
    try DiskBackupStore.update(backup, in: session)
    if scenario == .restoreDisk {
      try conductor.restoreDisk(backup, to: &node, by: .system, in: session)
    } else {
      try conductor.deleteDiskBackup(backup, by: .system, in: session)
    }
  }
}
