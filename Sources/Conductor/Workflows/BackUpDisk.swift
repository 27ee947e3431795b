import Cryptography
import Domain
import DriverInterfaces
import Store
import Wire
import Workflows

extension Conductor {
  /// A copy of a machine's whole disk in the backup store: off, read by the agent over the provisioning network, given back as it was. The
  /// state stays `active`.
  ///
  /// Params: `backup`, `disk` (a root device hint), `was_on`, `lease` (whose machine it is), `most_bytes`, and what the hardware does
  /// without (``Without``).
  static func backUpDisk(_ parts: Parts) -> WorkflowDefinition {
    WorkflowDefinition(
      kind: "back-up-disk",
      steps: [
        parts.givingBack(), parts.openingBackup(), parts.powerOff(graceful: true), parts.provisioningNetwork(),
      ] + parts.agentSteps() + [
        parts.work("back-up-disk", shownIn: \.deployStep) { context in
          [
            Parts.AgentCommand(
              "back-up-disk",
              [
                "disk": context.params["disk"] ?? .emptyObject, "most_bytes": context.params["most_bytes"] ?? 0,
                "url": .string("/agent/v1/disk-backup/\(context.workflow)"),
              ])
          ]
        } work: { context in
          throw DriverError(.unsupported, device: .node(context.subject), detail: "it boots no agent")
        },
        parts.closingBackup(),
        parts.endAgent(),
        parts.tenantNetworks(),
        parts.goingOn(),
        parts.clearingUp(),
      ],
      done: { context, session in
        try change(diskBackup: context, session) { backup in
          backup.status = .available
          backup.sentBytes = context.outputs["back-up-disk"]?["sent_bytes"]?.int
          backup.completedAt = context.now
        }
        try finish(context, session, .done, "The backup of the disk is whole.")
        session.afterCommit { parts.wakeups.signal(diskBackupsName) }
      },
      undone: { context, session in
        try change(diskBackup: context, session) { backup in
          backup.status = .error
          backup.fault = context.failure
          backup.dataBytes = nil
        }
        try finish(context, session, .fail, context.failure)
      },
      stuck: giveToOperator)
  }

  /// A machine's disk gets the content of a backup, and the machine boots it.
  ///
  /// Params: `backup` and its `project`, `map_sha256`, `disk` (a root device hint), `was_on`, `was_active` (what it was restored from before),
  /// `lease`, and what the hardware does without.
  static func restoreDisk(_ parts: Parts) -> WorkflowDefinition {
    WorkflowDefinition(
      kind: "restore-disk",
      steps: [parts.preparingRestore(), parts.provisioningNetwork()] + parts.agentSteps() + [
        parts.work("write-image", shownIn: \.deployStep) { context in
          let prepared = context.outputs["prepare-restore"]
          return [
            Parts.AgentCommand(
              "write-image",
              [
                "disk": context.params["disk"] ?? .emptyObject, "config_drive": nil,
                "image": [
                  "url": .string("/agent/v1/disk-backup/\(context.workflow)"),
                  "size_bytes": prepared?["size_bytes"] ?? 0, "map_bytes": prepared?["map_bytes"] ?? 0,
                  "map_sha256": context.params["map_sha256"] ?? "",
                ],
              ])
          ]
        } work: { context in
          throw DriverError(.unsupported, device: .node(context.subject), detail: "it boots no agent")
        },
        parts.endAgent(),
        parts.wiringCheck(),
        parts.tenantNetworks(),
        parts.bootRestored(),
      ],
      done: { context, session in
        try finish(context, session, .done, "The disk is what it was in the backup.") { node in
          node.powerState = context.params["was_on"]?.bool == false ? .off : .on
        }
        try ServerStore.launched(node: context.subject, at: context.now, in: session)
        session.afterCommit { parts.wakeups.signal(serversName) }
      },
      undone: { context, session in
        // A backup that turns out to be damaged costs nobody the system that runs: nothing was done to the machine.
        if let before = context.params["was_active"], context.outputs["prepare-restore"] == nil {
          try finish(context, session, .done, context.failure) { node in
            node.instanceInfo["disk_backup"] = before["disk_backup"] == .null ? nil : before["disk_backup"]
          }
        } else {
          try finish(context, session, .fail, context.failure)
        }
        session.afterCommit { parts.wakeups.signal(serversName) }
      },
      stuck: giveToOperator)
  }

  /// The subject is the backup.
  static func deleteDiskBackup(_ parts: Parts) -> WorkflowDefinition {
    WorkflowDefinition(
      kind: "delete-disk-backup",
      steps: [
        Step(
          "remove-backup", retries: 4,
          run: { context in
            guard let backup = try await parts.database.read({ try DiskBackupStore.get(context.subject, in: $0) })
            else { return .done }
            try await parts.backupStore().removeBackup(backup.uuid, project: backup.projectID)
            return .done
          })
      ],
      done: { context, session in try DiskBackupStore.delete(context.subject, in: session) },
      undone: { context, session in
        guard var backup = try DiskBackupStore.get(context.subject, in: session) else { return }
        backup.status = .errorDeleting
        backup.fault = context.failure
        try DiskBackupStore.update(backup, in: session)
      })
  }
}

extension Parts {
  private func diskBackup(_ context: StepContext) async throws -> DiskBackup {
    let id = context.params["backup"]?.string ?? ""
    guard let backup = try await database.read({ try DiskBackupStore.get(id, in: $0) }) else {
      throw ConductorError(.notFound, "Disk backup \(id) is gone.")
    }
    return backup
  }

  /// Nothing but its undo: what was copied so far goes, after the agent has gone.
  fileprivate func openingBackup() -> Step {
    Step(
      "open-backup",
      undo: { context in
        let backup = try await diskBackup(context)
        try await backupStore().removeBackup(backup.uuid, project: backup.projectID)
      })
  }
  /// What the agent says that it has read is what the store has.
  fileprivate func closingBackup() -> Step {
    Step(
      "close-backup",
      run: { context in
        let backup = try await diskBackup(context)
        let told = context.outputs["back-up-disk"]?["map_sha256"]?.string
        guard let told, told == backup.mapSHA256 else {
          throw ConductorError(.conflict, "What arrived is not what the agent has read; back the disk up again.")
        }
        _ = try await backupStore().wholeMap(of: backup.uuid, project: backup.projectID)
        return .done
      })
  }

  /// Every block is there, before anything is done to the machine. The map is kept at hand for the agent.
  fileprivate func preparingRestore() -> Step {
    Step(
      "prepare-restore",
      run: { context in
        let backup = try await diskBackup(context)
        let map = try await backupStore().wholeMap(of: backup.uuid, project: backup.projectID)
        guard Digest.hex(Digest.sha256(map)) == context.params["map_sha256"]?.string else {
          throw ConductorError(
            .conflict, "The map of backup \(backup.uuid) is not what was kept: it cannot be restored.")
        }
        try await captures.take(map: map, of: context.workflow)
        return .done([
          "backup": .string(backup.uuid), "project": .string(backup.projectID), "size_bytes": JSON(backup.size),
          "map_bytes": .int(map.count),
        ])
      },
      undo: { context in captures.remove(context.workflow) })
  }

  /// The machine boots what it has now, unless it was off before.
  fileprivate func bootRestored() -> Step {
    Step(
      "boot-restored",
      run: { context in
        try await resume(context)
        captures.remove(context.workflow)
        return .done
      },
      undo: { context in
        try await driver(of: context.subject).power.ensurePower(
          .off, graceful: false, patience: settings.powerPatience)
      })
  }
}

/// Changes the backup of a workflow if it still exists.
private func change(
  diskBackup context: StepContext, _ session: any Session, _ body: (inout DiskBackup) -> Void
) throws {
  guard var backup = try DiskBackupStore.get(context.params["backup"]?.string ?? "", in: session) else { return }
  body(&backup)
  try DiskBackupStore.update(backup, in: session)
}
