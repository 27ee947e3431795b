import Domain
import DriverInterfaces
import Store
import Wire
import Workflows

extension Conductor {
  /// `creating`: a volume in constant time, blank or from a snapshot, another volume or an image. The subject is the volume.
  ///
  /// Params: `image` (its id), when it is made from one.
  static func createVolume(_ parts: Parts) -> WorkflowDefinition {
    WorkflowDefinition(
      kind: "create-volume",
      steps: [
        Step(
          "make-volume",
          run: { context in
            guard let volume = try await parts.volume(context.subject) else { return .done }
            let source = try await parts.source(of: volume, image: context.params["image"]?.string)
            let backend = try parts.backend(volume)
            try await backend.ensureVolume(volume.id, size: volume.length, from: source)
            return .done
          },
          undo: { context in
            guard let volume = try await parts.volume(context.subject) else { return }
            try await parts.backend(volume).removeVolume(volume.id)
          })
      ],
      done: { context, session in
        try change(volume: context.subject, session) { volume in
          volume.status = .available
          volume.updatedAt = context.now
        }
        // A machine may wait for it.
        try settle(volume: context.subject, parts, at: context.now, session)
      },
      undone: { context, session in try failVolume(context, .error, session) })
  }

  /// A volume's workflow did not succeed: the volume has an error state and says why.
  static func failVolume(_ context: StepContext, _ status: Volume.Status, _ session: any Session) throws {
    try change(volume: context.subject, session) { volume in
      volume.status = status
      volume.fault = context.failure
      volume.updatedAt = context.now
    }
  }
}

extension Parts {
  func volume(_ id: String) async throws -> Volume? { try await database.read { try VolumeStore.get(id, in: $0) } }

  func backend(_ volume: Volume) throws -> any VolumeInterface {
    guard let backend = volumes[volume.backend] else {
      throw DriverError(
        .misconfigured, device: .volumes(volume.backend), detail: "the configuration has no volume backend of this name"
      )
    }
    return backend
  }

  /// Where a new volume's content comes from.
  fileprivate func source(of volume: Volume, image: String?) async throws -> VolumeSource {
    if let id = volume.snapshotID {
      guard let snapshot = try await database.read({ try VolumeSnapshotStore.get(id, in: $0) }) else {
        throw ConductorError(.notFound, "Snapshot \(id) was deleted before the volume was made.")
      }
      return .snapshot(snapshot.id, of: snapshot.volumeID)
    }
    if let id = volume.sourceVolumeID { return .volume(id) }
    if let image {
      let raw = try await images.ensureRaw(imageID: image) { _ in }
      guard raw.size <= volume.length else {
        throw DriverError(
          .refused, device: .image(image),
          detail: "its disk has \(raw.size) bytes and the volume \(volume.size) GiB: make a larger volume")
      }
      return .image(raw, id: image)
    }
    return .blank
  }
}

/// Changes a volume if it still exists.
func change(volume id: String, _ session: any Session, _ body: (inout Volume) throws -> Void) throws {
  guard let before = try VolumeStore.get(id, in: session) else { return }
  var volume = before
  try body(&volume)
  if volume != before { try VolumeStore.update(volume, in: session) }
}

/// Changes a snapshot if it still exists.
func change(snapshot id: String, _ session: any Session, _ body: (inout VolumeSnapshot) throws -> Void) throws {
  guard let before = try VolumeSnapshotStore.get(id, in: session) else { return }
  var snapshot = before
  try body(&snapshot)
  if snapshot != before { try VolumeSnapshotStore.update(snapshot, in: session) }
}
