import BlockMaps
import Cryptography
import DriverInterfaces
import Glibc

/// Backups that live in a ``World``: "backup/ID" is "PROJECT". Of a disk's, "backup-map/ID" has the map and "piece/SHA256" the blocks,
/// in base64; nobody removes those.
public struct WorldBackups: BackupInterface {
  let world: World
  public init(_ world: World) { self.world = world }

  public func ensureBackup(_ backup: String, project: String, of path: String) async throws -> Int {
    try world.fail("back-up", .volumes("backups"))
    try world.ensure("backup/\(backup)", project)
    return 3
  }
  public func restore(_ backup: String, project: String, to path: String) async throws {
    try world.fail("restore", .volumes("backups"))
    guard world.value("backup/\(backup)") == project else {
      throw DriverError(.refused, device: .volumes("backups"), detail: "there is no backup \(backup)")
    }
    close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o600))
  }
  public func removeBackup(_ backup: String, project: String) async throws {
    try world.fail("remove-backup", .volumes("backups"))
    try world.ensure([("backup/\(backup)", nil), ("backup-map/\(backup)", nil)])
  }
  public func backups() async throws -> [String: String] { world.values(prefix: "backup/") }

  public func ensureBackup(_ backup: String, project: String, of map: BlockMap) async throws -> [Range<Int>] {
    try world.fail("back-up", .volumes("backups"))
    // The name first, as the store has a part before it has the whole.
    try world.ensure("backup/\(backup)", project)
    let lacking = map.runs { index in
      map.digest(of: index).map { world.value("piece/\(Digest.hex(Array($0)))") == nil } ?? false
    }
    if lacking.isEmpty { try world.ensure("backup-map/\(backup)", Base64.text(map.bytes)) }
    return lacking
  }
  public func keepBlock(_ block: [UInt8], project: String) async throws {
    try world.ensure("piece/\(Digest.hex(Digest.sha256(block)))", Base64.text(block))
  }
  public func wholeMap(of backup: String, project: String) async throws -> [UInt8] {
    guard world.value("backup/\(backup)") == project,
      let map = world.value("backup-map/\(backup)").flatMap({ Base64.bytes($0) })
    else { throw DriverError(.refused, device: .volumes("backups"), detail: "there is no backup \(backup)") }
    return map
  }
  public func block(_ digest: ArraySlice<UInt8>, project: String) async throws -> [UInt8] {
    guard let block = world.value("piece/\(Digest.hex(Array(digest)))").flatMap({ Base64.bytes($0) }) else {
      throw DriverError(.refused, device: .volumes("backups"), detail: "a block of a backup is not there")
    }
    return block
  }
}
