import Domain
import DriverInterfaces
import Store
import Wire
import Workflows

extension Conductor {
  /// The content of a volume now, also while a machine writes to it. The subject is the snapshot.
  static func createSnapshot(_ parts: Parts) -> WorkflowDefinition {
    WorkflowDefinition(
      kind: "create-snapshot",
      steps: [
        Step(
          "make-snapshot",
          run: { context in
            try await parts.withSnapshot(context.subject) { snapshot, backend in
              try await backend.ensureSnapshot(snapshot.id, of: snapshot.volumeID)
            }
            return .done
          },
          undo: { context in
            try await parts.withSnapshot(context.subject) { snapshot, backend in
              try await backend.removeSnapshot(snapshot.id, of: snapshot.volumeID)
            }
          })
      ],
      done: { context, session in
        try change(snapshot: context.subject, session) { snapshot in
          snapshot.status = .available
          snapshot.updatedAt = context.now
        }
      },
      undone: { context, session in
        try change(snapshot: context.subject, session) { snapshot in
          snapshot.status = .error
          snapshot.updatedAt = context.now
        }
      })
  }

  static func deleteSnapshot(_ parts: Parts) -> WorkflowDefinition {
    WorkflowDefinition(
      kind: "delete-snapshot",
      steps: [
        Step(
          "remove-snapshot", retries: 4,
          run: { context in
            try await parts.withSnapshot(context.subject) { snapshot, backend in
              try await backend.removeSnapshot(snapshot.id, of: snapshot.volumeID)
            }
            return .done
          })
      ],
      done: { context, session in try VolumeSnapshotStore.delete(context.subject, in: session) },
      undone: { context, session in
        try change(snapshot: context.subject, session) { snapshot in
          snapshot.status = .errorDeleting
          snapshot.updatedAt = context.now
        }
      })
  }
}

extension Parts {
  /// Does something to a snapshot's volume when it is the volume's turn; nothing when the snapshot is gone.
  fileprivate func withSnapshot(
    _ id: String, _ body: @escaping @Sendable (VolumeSnapshot, any VolumeInterface) async throws -> Void
  ) async throws {
    let found = try await database.read { session -> (VolumeSnapshot, Volume)? in
      guard let snapshot = try VolumeSnapshotStore.get(id, in: session),
        let volume = try VolumeStore.get(snapshot.volumeID, in: session)
      else { return nil }
      return (snapshot, volume)
    }
    guard let (snapshot, volume) = found else { return }
    let backend = try backend(volume)
    try await body(snapshot, backend)
  }
}
