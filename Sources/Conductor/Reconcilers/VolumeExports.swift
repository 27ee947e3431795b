import Domain
import DriverInterfaces
import Store
import Wire

extension Conductor {
  static let exportsName = "volume-exports"

  /// Brings back the targets of every attachment: after a restart of the machine, or the end of a daemon. One of a backend at a
  /// time is enough, because each costs a look; a backend that does not answer keeps no other waiting.
  func keepExports() async throws {
    try await keepVolumeNICs()
    let box = database.secrets
    let attached = try await database.read { session in
      let all = try VolumeAttachmentStore.list(.everything, box: box, in: session).filter {
        $0.status == .attached && !$0.access.isEmpty
      }
      return try Dictionary(grouping: all) { try VolumeStore.get($0.volumeID, in: session)?.backend ?? "" }
    }
    try await withThrowingTaskGroup(of: Void.self) { group in
      for attachments in attached.values { group.addTask { try await self.keep(attachments) } }
      try await group.waitForAll()
    }
  }
  private func keep(_ attachments: [VolumeAttachment]) async throws {
    let box = database.secrets
    for attachment in attachments {
      guard let (current, volume) = try await parts.attachment(attachment.id), current.status == .attached else {
        continue
      }
      do { _ = try await parts.export(current, volume) } catch let error as DriverError {
        logger.error("attachment \(attachment.id): its target is not there: \(error)")
      }
      // Detached while it was looked after: what was brought back must not stay.
      let now = try await database.read { try VolumeAttachmentStore.get(attachment.id, box: box, in: $0) }
      if now?.status != .attached { try await parts.endExport(current, volume) }
    }
  }

  /// At the end of the server: daemons that nobody's machine runs from end too; the others stay.
  public func restVolumes() async {
    for (name, backend) in parts.volumes {
      do {
        let inventory = try await backend.inventory()
        if inventory.exports.isEmpty && inventory.readings.isEmpty { try await backend.stop() }
      } catch { logger.warning("volumes \(name): \(error)") }
    }
  }

  /// What backends hold that no row knows; of one that does not answer nothing is known.
  func volumeLeftovers() async throws -> [Leftover] {
    var found: [Leftover] = []
    for (name, backend) in parts.volumes.sorted(by: { $0.key < $1.key }) {
      // The backend first: what is stored is then at least as new as what was found.
      let inventory: VolumeInventory
      do { inventory = try await backend.inventory() } catch let error as DriverError {
        logger.error("volumes \(name): not swept: \(error)")
        continue
      }
      // A backup that is being made has a snapshot of its own, and reads it.
      let (volumes, snapshots, attachments) = try await database.read { session in
        (
          try VolumeStore.ids(backend: name, in: session),
          try VolumeSnapshotStore.ids(in: session).union(try VolumeBackupStore.idsUnderWay(in: session)),
          try VolumeAttachmentStore.ids(in: session)
        )
      }
      found += inventory.exports.subtracting(attachments).sorted().map { .export(backend: name, attachment: $0) }
      found += inventory.snapshots.filter { !snapshots.contains($0.key) }.sorted { $0.key < $1.key }.map {
        .snapshot(backend: name, $0.key, of: $0.value)
      }
      found += inventory.volumes.subtracting(volumes).sorted().map { .volume(backend: name, $0) }
    }
    guard let backups = parts.backups else { return found }
    let kept = try await backups.backups()
    let known = try await database.read {
      try VolumeBackupStore.ids(in: $0).union(try DiskBackupStore.ids(in: $0))
    }
    found += kept.filter { !known.contains($0.key) }.sorted { $0.key < $1.key }.map {
      .backup($0.key, project: $0.value)
    }
    return found
  }
}
