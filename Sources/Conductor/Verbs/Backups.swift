import Domain
import Store
import Wire
import Workflows

extension Conductor {
  /// Whether this site keeps backups of volumes.
  public var keepsBackups: Bool { parts.backups != nil }

  /// - Parameter volume: available or in use; it is what it was before when the copy is made.
  public func backUp(
    _ volume: inout Volume, as backup: VolumeBackup, by requester: Requester, in session: any Session
  ) throws {
    guard keepsBackups else {
      throw ConductorError(.conflict, "This site keeps no backups of volumes: ask the administrator.")
    }
    try VolumeBackupStore.insert(backup, in: session)
    let params: JSONObject = ["status": .string(volume.status.rawValue)]
    if let id = backup.snapshotID {
      try change(snapshot: id, session) { $0.status = .backingUp }
    } else {
      volume.status = .backingUp
      volume.updatedAt = clock()
      try VolumeStore.update(volume, in: session)
    }
    _ = try start("back-up-volume", subject: backup.id, params: params, by: requester, in: session)
  }

  /// - Parameter volume: as stored, available, or one that is not stored yet.
  public func restore(
    _ backup: inout VolumeBackup, to volume: inout Volume, isNew: Bool, by requester: Requester,
    in session: any Session
  ) throws {
    backup.status = .restoring
    try VolumeBackupStore.update(backup, in: session)
    volume.status = .restoringBackup
    if isNew {
      try VolumeStore.insert(volume, in: session)
    } else {
      volume.updatedAt = clock()
      try VolumeStore.update(volume, in: session)
    }
    _ = try start(
      "restore-volume", subject: volume.id, params: ["backup": .string(backup.id)], by: requester, in: session)
  }

  public func deleteBackup(_ backup: inout VolumeBackup, by requester: Requester, in session: any Session) throws {
    backup.status = .deleting
    backup.updatedAt = clock()
    try VolumeBackupStore.update(backup, in: session)
    _ = try start("delete-backup", subject: backup.id, params: [:], by: requester, in: session)
  }
}
