import Domain
import DriverInterfaces
import Store
import Wire
import Workflows

extension Conductor {
  /// `deleting`: the volume, with `cascade` its snapshots before it. The subject is the volume.
  static func deleteVolume(_ parts: Parts) -> WorkflowDefinition {
    WorkflowDefinition(
      kind: "delete-volume",
      steps: [
        Step(
          "remove-snapshots", retries: 4,
          run: { context in
            guard let volume = try await parts.volume(context.subject) else { return .done }
            let snapshots = try await parts.database.read { try VolumeSnapshotStore.list(of: volume.id, in: $0) }
            let backend = try parts.backend(volume)
            for snapshot in snapshots { try await backend.removeSnapshot(snapshot.id, of: volume.id) }
            return .done
          },
          commit: { context, _, session in
            for snapshot in try VolumeSnapshotStore.list(of: context.subject, in: session) {
              try VolumeSnapshotStore.delete(snapshot.id, in: session)
            }
          }),
        Step(
          "remove-volume", retries: 4,
          run: { context in
            guard let volume = try await parts.volume(context.subject) else { return .done }
            let backend = try parts.backend(volume)
            try await backend.removeVolume(volume.id)
            return .done
          }),
      ],
      done: { context, session in try VolumeStore.delete(context.subject, in: session) },
      undone: { context, session in
        try failVolume(context, .errorDeleting, session)
        for snapshot in try VolumeSnapshotStore.list(of: context.subject, in: session)
        where snapshot.status == .deleting {
          try change(snapshot: snapshot.id, session) { $0.status = .errorDeleting }
        }
      })
  }

  /// `extending`: the volume has its new size already, which counts. Params: `old_size` in GiB, `status` to go back to.
  static func extendVolume(_ parts: Parts) -> WorkflowDefinition {
    WorkflowDefinition(
      kind: "extend-volume",
      steps: [
        Step(
          "extend-volume", retries: 4,
          run: { context in
            guard let volume = try await parts.volume(context.subject) else { return .done }
            let backend = try parts.backend(volume)
            try await backend.ensureSize(volume.id, volume.length)
            return .done
          })
      ],
      done: { context, session in
        try change(volume: context.subject, session) { volume in
          volume.status = formerStatus(context)
          volume.updatedAt = context.now
        }
      },
      undone: { context, session in
        try change(volume: context.subject, session) { volume in
          volume.size = context.params["old_size"]?.int ?? volume.size
          volume.status = .errorExtending
          volume.fault = context.failure
          volume.updatedAt = context.now
        }
      })
  }

  /// What the volume was before, in the params.
  static func formerStatus(_ context: StepContext) -> Volume.Status {
    context.params["status"]?.string.flatMap { Volume.Status(rawValue: $0) } ?? .available
  }

  /// `reverting`: the volume's content becomes that of a snapshot. Params: `snapshot`.
  static func revertVolume(_ parts: Parts) -> WorkflowDefinition {
    WorkflowDefinition(
      kind: "revert-volume",
      steps: [
        Step(
          "revert-volume",
          run: { context in
            guard let volume = try await parts.volume(context.subject) else { return .done }
            let backend = try parts.backend(volume)
            let snapshot = context.params["snapshot"]?.string ?? ""
            try await backend.revert(volume.id, to: snapshot)
            return .done
          })
      ],
      done: { context, session in
        try change(volume: context.subject, session) { volume in
          volume.status = .available
          volume.updatedAt = context.now
        }
        try change(snapshot: context.params["snapshot"]?.string ?? "", session) { $0.status = .available }
      },
      undone: { context, session in
        try failVolume(context, .error, session)
        try change(snapshot: context.params["snapshot"]?.string ?? "", session) { $0.status = .available }
      })
  }
}
