import Domain
import DriverInterfaces
import Glibc
import Store
import Wire
import Workflows

extension Conductor {
  /// A copy of a volume's content at one time, in the backup store. The subject is the backup.
  ///
  /// Params: `status` that the volume goes back to. The content stands still as a snapshot named like the backup, which goes.
  static func backUpVolume(_ parts: Parts) -> WorkflowDefinition {
    WorkflowDefinition(
      kind: "back-up-volume",
      steps: [
        Step(
          "still-volume",
          run: { context in
            guard let (backup, volume) = try await parts.backup(context.subject) else { return .done }
            if backup.snapshotID == nil {
              try await parts.backend(volume).ensureSnapshot(backup.id, of: volume.id)
            }
            return .done
          },
          undo: { context in
            guard let (backup, volume) = try await parts.backup(context.subject), backup.snapshotID == nil else {
              return
            }
            try await parts.backend(volume).removeSnapshot(backup.id, of: volume.id)
          }),
        Step(
          "copy-volume",
          run: { context in
            guard let (backup, volume) = try await parts.backup(context.subject) else { return .done }
            let backend = try parts.backend(volume)
            let path = try await backend.ensureReading(
              .snapshot(backup.snapshotID ?? backup.id, of: volume.id), reader: backup.id)
            let fresh = try await parts.backupStore().ensureBackup(backup.id, project: backup.projectID, of: path)
            return .done(["new_pieces": .int(fresh)])
          },
          undo: { context in
            guard let (backup, volume) = try await parts.backup(context.subject) else { return }
            try await parts.backend(volume).removeReading(backup.id)
            try await parts.backupStore().removeBackup(backup.id, project: backup.projectID)
          }),
        Step(
          "release-volume", retries: 6,
          run: { context in
            guard let (backup, volume) = try await parts.backup(context.subject) else { return .done }
            let backend = try parts.backend(volume)
            try await backend.removeReading(backup.id)
            if backup.snapshotID == nil { try await backend.removeSnapshot(backup.id, of: volume.id) }
            return .done
          }),
      ],
      done: { context, session in
        try change(backup: context.subject, session) { backup in
          backup.status = .available
          backup.objectCount = context.outputs["copy-volume"]?["new_pieces"]?.int ?? 0
          backup.updatedAt = context.now
        }
        try giveBack(context, session)
      },
      undone: { context, session in
        try change(backup: context.subject, session) { backup in
          backup.status = .error
          backup.fault = context.failure
          backup.updatedAt = context.now
        }
        try giveBack(context, session)
      })
  }
  /// The volume, or the snapshot, is what it was before.
  private static func giveBack(_ context: StepContext, _ session: any Session) throws {
    guard let backup = try VolumeBackupStore.get(context.subject, in: session) else { return }
    if let snapshot = backup.snapshotID { try change(snapshot: snapshot, session) { $0.status = .available } }
    try change(volume: backup.volumeID, session) { volume in
      guard volume.status == .backingUp else { return }
      volume.status = formerStatus(context)
      volume.updatedAt = context.now
    }
  }

  /// `restoring-backup`: a volume gets the content of a backup. The subject is the volume. Params: `backup`.
  static func restoreVolume(_ parts: Parts) -> WorkflowDefinition {
    @Sendable func path(_ context: StepContext) -> String {
      "\(parts.settings.dataFolder)/restores/\(context.subject).raw"
    }
    return WorkflowDefinition(
      kind: "restore-volume",
      steps: [
        Step(
          "fetch-backup",
          run: { context in
            guard let backup = try await parts.restored(context) else { return .done }
            mkdir("\(parts.settings.dataFolder)/restores", 0o700)
            try await parts.backupStore().restore(backup.id, project: backup.projectID, to: path(context))
            return .done
          },
          undo: { context in unlink(path(context)) }),
        Step(
          "fill-volume",
          run: { context in
            guard let volume = try await parts.volume(context.subject) else { return .done }
            let backend = try parts.backend(volume)
            // What it held before is given up: it was asked for.
            try await backend.removeVolume(volume.id)
            try await backend.ensureVolume(volume.id, size: volume.length, from: .file(path(context)))
            return .done
          }),
        // A step of its own: the one before may be run again, and needs the file.
        Step(
          "remove-copy",
          run: { context in
            unlink(path(context))
            return .done
          }),
      ],
      done: { context, session in
        try change(volume: context.subject, session) { volume in
          volume.status = .available
          volume.fault = nil
          volume.backupID = context.params["backup"]?.string
          volume.updatedAt = context.now
        }
        try change(backup: context.params["backup"]?.string ?? "", session) { $0.status = .available }
      },
      undone: { context, session in
        try failVolume(context, .errorRestoring, session)
        try change(backup: context.params["backup"]?.string ?? "", session) { $0.status = .available }
      })
  }

  static func deleteBackup(_ parts: Parts) -> WorkflowDefinition {
    WorkflowDefinition(
      kind: "delete-backup",
      steps: [
        Step(
          "remove-backup", retries: 4,
          run: { context in
            guard let backup = try await parts.database.read({ try VolumeBackupStore.get(context.subject, in: $0) })
            else { return .done }
            try await parts.backupStore().removeBackup(backup.id, project: backup.projectID)
            return .done
          })
      ],
      done: { context, session in try VolumeBackupStore.delete(context.subject, in: session) },
      undone: { context, session in
        try change(backup: context.subject, session) { backup in
          backup.status = .errorDeleting
          backup.fault = context.failure
        }
      })
  }
}

extension Parts {
  func backupStore() throws -> any BackupInterface {
    guard let backups else {
      throw DriverError(.misconfigured, device: .volumes("backups"), detail: "the configuration has no backup store")
    }
    return backups
  }
  fileprivate func backup(_ id: String) async throws -> (VolumeBackup, Volume)? {
    try await database.read { session in
      guard let backup = try VolumeBackupStore.get(id, in: session),
        let volume = try VolumeStore.get(backup.volumeID, in: session)
      else { return nil }
      return (backup, volume)
    }
  }
  fileprivate func restored(_ context: StepContext) async throws -> VolumeBackup? {
    let id = context.params["backup"]?.string ?? ""
    return try await database.read { try VolumeBackupStore.get(id, in: $0) }
  }
}

/// Changes a backup if it still exists.
func change(backup id: String, _ session: any Session, _ body: (inout VolumeBackup) throws -> Void) throws {
  guard let before = try VolumeBackupStore.get(id, in: session) else { return }
  var backup = before
  try body(&backup)
  if backup != before { try VolumeBackupStore.update(backup, in: session) }
}
