import Domain
import DriverInterfaces
import Store
import Wire
import Workflows

extension Conductor {
  /// `active` from volumes: their targets, the machine's NIC where it reaches them, and the machine boots. Nothing is written to
  /// its disks, and no agent is needed. The attachments are the node's (``VolumeAttachmentStore``).
  ///
  /// Params: what the hardware does without (``Without``).
  static func deployVolume(_ parts: Parts) -> WorkflowDefinition {
    WorkflowDefinition(
      kind: "deploy-volume",
      steps: [
        Step(
          "await-volumes",
          run: { context in
            try await parts.awaitVolumes(try await parts.attachments(ofNode: context.subject).map(\.volumeID))
          }),
        Step(
          "export-volumes",
          run: { context in
            var output = JSONObject()
            for attachment in try await parts.attachments(ofNode: context.subject) {
              guard let (current, volume) = try await parts.attachment(attachment.id) else { continue }
              output[attachment.id] = .object(try await parts.export(current, volume))
            }
            return .done(.object(output))
          },
          commit: { context, output, session in
            for member in output.object ?? [:] {
              try change(attachment: member.key, parts, session) { attachment in
                attachment.access = member.value.object ?? [:]
                attachment.status = .attached
                attachment.attachedAt = context.now
              }
            }
            try settleVolumes(ofNode: context.subject, parts, at: context.now, session)
          },
          undo: { context in try await parts.endExports(ofNode: context.subject) }),
        parts.tenantNetworks(),
        parts.admitNetworkBoot("admit-volume-boot"),
        parts.bootFromNetwork("boot-volume"),
      ],
      done: { context, session in
        try finish(context, session, .done, "Booted from a volume.") { node in
          node.powerState = .on
          if node.instanceUUID == nil { node.instanceUUID = context.workflow }
        }
        try serverRuns(node: context.subject, at: context.now, in: session)
        session.afterCommit { parts.wakeups.signal(serversName) }
      },
      undone: { context, session in
        try forgetAttachments(ofNode: context.subject, parts, at: context.now, session)
        try finish(context, session, .fail, context.failure)
        // A server that was deleted meanwhile waited for this.
        session.afterCommit { parts.wakeups.signal(serversName) }
      },
      stuck: giveToOperator)
  }

  static func settleVolumes(ofNode node: String, _ parts: Parts, at now: Timestamp, _ session: any Session) throws {
    let attachments = try VolumeAttachmentStore.list(ofNode: node, box: parts.database.secrets, in: session)
    for attachment in attachments { try settle(volume: attachment.volumeID, parts, at: now, session) }
  }
  /// The node has no volumes any more. Those of a server that is shelved stay reserved for it.
  static func forgetAttachments(ofNode node: String, _ parts: Parts, at now: Timestamp, _ session: any Session) throws {
    try VolumeBootStore.delete(node: node, in: session)
    let shelved = try ServerStore.on(node: node, in: session).flatMap { $0.isKept ? $0.id : nil }
    let attachments = try VolumeAttachmentStore.list(ofNode: node, box: parts.database.secrets, in: session)
    for attachment in attachments {
      if let shelved, attachment.instanceID == shelved {
        try change(attachment: attachment.id, parts, session) { $0.leaveMachine() }
      } else {
        try VolumeAttachmentStore.delete(attachment.id, in: session)
      }
      try settle(volume: attachment.volumeID, parts, at: now, session)
      parts.told(attachment: attachment.id, session)
    }
  }
}

extension Parts {
  func attachments(ofNode node: String) async throws -> [VolumeAttachment] {
    let box = database.secrets
    return try await database.read { try VolumeAttachmentStore.list(ofNode: node, box: box, in: $0) }
  }
  /// Waits until volumes have their content.
  /// - Throws: ``ConductorError`` when one could not be made.
  func awaitVolumes(_ ids: [String]) async throws -> StepOutcome {
    let work = try await database.read { session -> String? in
      for id in ids {
        guard let volume = try VolumeStore.get(id, in: session) else { continue }
        if volume.status == .error {
          throw ConductorError(
            .conflict, "Volume \(id) could not be made: \(volume.fault?.sentence ?? "its status is error").")
        }
        if volume.status == .creating {
          return try WorkflowStore.open(subject: id, in: session).first?.id ?? ""
        }
      }
      return nil
    }
    guard let work else { return .done }
    return .wait(until: clock() + .seconds(2), on: "workflow/\(work)")
  }
  func volumeBoot(_ node: String) async throws -> VolumeBoot? {
    try await database.read { try VolumeBootStore.get(node: node, in: $0) }
  }
  func endExports(ofNode node: String) async throws {
    let attachments = try await attachments(ofNode: node)
    // Said first, so that nobody brings a target back that has just gone (``Conductor/keepExports()``).
    try await database.write { session in
      for attachment in attachments { try change(attachment: attachment.id, self, session) { $0.status = .detaching } }
    }
    for attachment in attachments {
      guard let (current, volume) = try await self.attachment(attachment.id) else { continue }
      try await endExport(current, volume)
    }
  }

  /// The machine's volumes leave it: sessions end, targets and the machine's address go; then they are free for others. So does what
  /// it ran from its memory.
  func endVolumes() -> Step {
    Step(
      "end-volumes", retries: 10_000,
      run: { context in
        try await endExports(ofNode: context.subject)
        if let boot = try await volumeBoot(context.subject) { try await self.boot.ensureDenied([boot.mac]) }
        removeRamdisks(of: context.subject)
        return .done
      },
      commit: { context, _, session in
        try Conductor.forgetAttachments(ofNode: context.subject, self, at: context.now, session)
      })
  }

  /// What the switch port of a NIC carries that a machine reaches its volume or its boot server by; nil for every other.
  func volumeNetwork(of port: Port, in session: any Session) throws -> PortConfiguration? {
    guard let volumeBoot = settings.volumeBoot, let boot = try VolumeBootStore.get(node: port.nodeUUID, in: session),
      MACAddress(port.address) == boot.mac
    else { return nil }
    let vlan = settings.provisioningVLAN
    return PortConfiguration(native: vlan, accessLists: [vlan: volumeBoot.accessList(of: boot)])
  }
}
