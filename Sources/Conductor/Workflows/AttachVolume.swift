import Domain
import DriverInterfaces
import Store
import Wire
import Workflows

extension Conductor {
  /// `attaching`: a target that one machine may log in to. The subject is the attachment.
  ///
  /// Params, for a server's: `node`; `wires` when the workflow holds the node, because a NIC is taken for its volumes; `awaits` when the
  /// server is being made, and the volume perhaps with it.
  static func attachVolume(_ parts: Parts) -> WorkflowDefinition {
    WorkflowDefinition(
      kind: "attach-volume",
      steps: [
        Step(
          "await-server", when: { $0["awaits"] != nil },
          run: { context in
            guard let (attachment, volume) = try await parts.attachment(context.subject) else { return .done }
            if case .wait(let until, let event) = try await parts.awaitVolumes([volume.id]) {
              return .wait(until: until, on: event)
            }
            return try await parts.awaitDeployment(of: attachment)
          }),
        Step(
          "export-volume",
          run: { context in
            guard let (attachment, volume) = try await parts.attachment(context.subject) else { return .done }
            let access = try await parts.export(attachment, volume)
            // The server went meanwhile: its volumes ended before this one began.
            let now = try await parts.attachment(context.subject)?.0
            guard let now, now.status != .detaching else {
              try await parts.endExport(attachment, volume)
              return .done
            }
            return .done(.object(access))
          },
          commit: { context, access, session in
            try change(attachment: context.subject, parts, session) { attachment in
              attachment.access = access.object ?? [:]
            }
          },
          undo: { context in
            guard let (attachment, volume) = try await parts.attachment(context.subject) else { return }
            try await parts.endExport(attachment, volume)
          },
          uncommit: { context, session in
            try change(attachment: context.subject, parts, session) { $0.access = [:] }
          }), reachVolume(parts),
      ],
      done: { context, session in
        try change(attachment: context.subject, parts, session) { attachment in
          guard attachment.status == .attaching else { return }
          attachment.status = .attached
          attachment.attachedAt = context.now
        }
        try freeNode(context.params["node"]?.string, context, session)
        try settleVolume(of: context.subject, parts, at: context.now, session)
        parts.told(attachment: context.subject, session)
      },
      undone: { context, session in
        if let node = context.params["node"]?.string {
          // A server has no attachments that failed: the volume is free again.
          try dropAttachment(context, parts, session)
          try freeNode(node, context, session)
        } else {
          try change(attachment: context.subject, parts, session) { $0.status = .error }
          try settleVolume(of: context.subject, parts, at: context.now, session)
        }
        parts.told(attachment: context.subject, session)
      },
      stuck: { context, reason, session in
        try freeNode(context.params["node"]?.string, context, session)
      })
  }

  /// `detaching`: the machine's session ends, the target goes, then the attachment. The subject is the attachment.
  static func detachVolume(_ parts: Parts) -> WorkflowDefinition {
    WorkflowDefinition(
      kind: "detach-volume",
      steps: [
        Step(
          "end-export", retries: 6,
          run: { context in
            guard let (attachment, volume) = try await parts.attachment(context.subject) else { return .done }
            try await parts.endExport(attachment, volume)
            return .done
          }),
        freeVolumeNIC(parts),
      ],
      done: { context, session in
        let found = try VolumeAttachmentStore.get(context.subject, box: parts.database.secrets, in: session)
        try VolumeAttachmentStore.delete(context.subject, in: session)
        if let found {
          if let server = found.instanceID {
            try ServerVolumeStore.delete(server: server, volume: found.volumeID, in: session)
          }
          try settle(volume: found.volumeID, parts, at: context.now, session)
        }
        try freeNode(context.params["node"]?.string, context, session)
        parts.told(attachment: context.subject, session)
      },
      undone: { context, session in
        // The target may still be there: the volume stays in use, and the detachment can be asked for again.
        try change(attachment: context.subject, parts, session) { $0.status = .error }
        try change(volume: context.params["volume"]?.string ?? "", session) { $0.fault = context.failure }
        try settleVolume(of: context.subject, parts, at: context.now, session)
        try freeNode(context.params["node"]?.string, context, session)
        parts.told(attachment: context.subject, session)
      })
  }

  private static func settleVolume(of attachment: String, _ parts: Parts, at now: Timestamp, _ session: any Session)
    throws
  {
    guard let found = try VolumeAttachmentStore.get(attachment, box: parts.database.secrets, in: session) else {
      return
    }
    try settle(volume: found.volumeID, parts, at: now, session)
  }
  /// The status of a volume that follows from its attachments.
  static func settle(volume id: String, _ parts: Parts, at now: Timestamp, _ session: any Session) throws {
    let attachments =
      try VolumeAttachmentStore.list(ofVolumes: [id], box: parts.database.secrets, in: session)[id] ?? []
    try change(volume: id, session) { volume in
      guard [.attaching, .detaching, .inUse, .reserved, .available].contains(volume.status) else { return }
      volume.status =
        attachments.contains { $0.status == .attached || $0.status == .detaching || !$0.access.isEmpty }
        ? .inUse
        : attachments.contains { $0.status == .attaching } ? .attaching : attachments.isEmpty ? .available : .reserved
      volume.updatedAt = now
    }
  }
}

extension Parts {
  func attachment(_ id: String) async throws -> (VolumeAttachment, Volume)? {
    let box = database.secrets
    return try await database.read { session in
      guard let attachment = try VolumeAttachmentStore.get(id, box: box, in: session),
        let volume = try VolumeStore.get(attachment.volumeID, in: session)
      else { return nil }
      return (attachment, volume)
    }
  }
  /// Lets the attachment's initiators log in. Safe to repeat.
  /// - Returns: `target_iqn`, `target_portals`, `target_lun`.
  func export(_ attachment: VolumeAttachment, _ volume: Volume) async throws -> JSONObject {
    let backend = try backend(volume)
    let export = VolumeExport(
      attachment: attachment.id, volume: volume.id, initiators: attachment.initiators, userName: attachment.userName,
      password: attachment.password, isReadOnly: attachment.isReadOnly || volume.isReadOnly)
    let access = try await backend.ensureExport(export)
    return [
      "target_iqn": .string(access.target), "target_portals": JSON(access.portals), "target_lun": .int(access.lun),
    ]
  }
  func endExport(_ attachment: VolumeAttachment, _ volume: Volume) async throws {
    let backend = try backend(volume)
    try await backend.removeExport(attachment.id)
  }
  /// Wakes those who wait for what becomes of an attachment.
  func told(attachment id: String, _ session: any Session) {
    session.afterCommit { [wakeups] in wakeups.signal("attachment/\(id)") }
  }
}

/// Changes an attachment if it still exists.
func change(
  attachment id: String, _ parts: Parts, _ session: any Session, _ body: (inout VolumeAttachment) throws -> Void
) throws {
  guard let before = try VolumeAttachmentStore.get(id, box: parts.database.secrets, in: session) else { return }
  var attachment = before
  try body(&attachment)
  if attachment != before { try VolumeAttachmentStore.update(attachment, in: session) }
}
