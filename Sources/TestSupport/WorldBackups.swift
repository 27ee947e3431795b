import DriverInterfaces
import Glibc

/// Backups that live in a ``World``: "backup/ID" is "PROJECT".
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
    try world.ensure("backup/\(backup)", nil)
  }
  public func backups() async throws -> [String: String] { world.values(prefix: "backup/") }
}
