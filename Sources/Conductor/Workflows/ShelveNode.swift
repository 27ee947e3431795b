import Domain
import Store
import Wire
import Workflows

extension Conductor {
  /// A server leaves its machine. What is on the disk becomes an image; then the server has no machine, and this one is erased by
  /// the agent that has read it. Until the server has left, everything can be undone: it runs again as before.
  ///
  /// Params: `image` (its id; queued), `disk` (a root device hint), `was_on`, `lease` (whose machine it is), `most_bytes`.
  static func shelveNode(_ parts: Parts) -> WorkflowDefinition {
    shelving(
      parts, "shelve-node",
      [parts.givingBack(), parts.powerOff(graceful: true)] + parts.readingDisk() + [
        parts.keepDisk(), parts.clearingUp(), parts.release(),
      ] + parts.erasingSteps())
  }

  /// The same with a server that runs from volumes, which are reserved for it: there is nothing to read.
  ///
  /// Params: `was_on`, `lease`, and what the hardware does without (``Without``).
  static func shelveVolume(_ parts: Parts) -> WorkflowDefinition {
    shelving(
      parts, "shelve-volume",
      [
        parts.givingBack(), parts.powerOff(graceful: true), parts.quarantine("detach-networks"), parts.release(),
      ] + parts.cleaningSteps())
  }

  private static func shelving(_ parts: Parts, _ kind: String, _ steps: [Step]) -> WorkflowDefinition {
    WorkflowDefinition(
      kind: kind, steps: steps,
      done: { context, session in
        try finish(context, session, after: cleaned, "The server is shelved; the machine is clean.")
        session.afterCommit { parts.wakeups.signal(serversName) }
      },
      undone: { context, session in
        if parts.isReleased(context) {
          try cleaningFailed(context, session)
        } else {
          try ImageStore.delete(context.params["image"]?.string ?? "", in: session)
          try finish(context, session, .fail, context.failure)
        }
        // A server that was deleted meanwhile waited for this.
        session.afterCommit { parts.wakeups.signal(serversName) }
      },
      stuck: giveToOperator)
  }
}

extension Parts {
  /// Whether the server has left: from then on nothing of it is undone.
  func isReleased(_ context: StepContext) -> Bool { context.outputs["release"] != nil }

  /// The image gets its content. Without it the server stays where it is.
  fileprivate func keepDisk() -> Step {
    Step(
      "take-image",
      run: { context in
        try await database.write { session in
          try change(context.subject, session) {
            $0.deployStep = ["step": "take-image", "interface": "deploy", "priority": 100]
          }
        }
        try await takeDisk(context)
        return .done
      },
      commit: { context, _, session in
        try Conductor.setLeastDisk(ofImage: context.params["image"]?.string ?? "", in: session)
      },
      undo: { context in
        guard !isReleased(context) else { return }
        try await images.discard(imageID: context.params["image"]?.string ?? "")
      })
  }

  /// The machine's volumes leave it; then, in one transaction, the server has no machine, and the machine no server.
  fileprivate func release() -> Step {
    Step(
      "release", retries: 10_000,
      run: { context in
        try await endExports(ofNode: context.subject)
        if let boot = try await volumeBoot(context.subject) { try await self.boot.ensureDenied([boot.mac]) }
        return .done
      },
      commit: { context, _, session in
        if var server = try ServerStore.on(node: context.subject, in: session) {
          server.shelvedAt = context.now
          server.shelvedImageID = context.params["image"]?.string
          try ServerStore.update(server, in: session)
        }
        try Conductor.forgetAttachments(ofNode: context.subject, self, at: context.now, session)
        try endServer(node: context.subject, at: context.now, in: session)
        try releaseVIFs(node: context.subject, at: context.now, in: session)
        try change(context.subject, session) { node in
          clearInstance(&node)
          _ = node.apply(.delete, at: context.now)
          _ = node.apply(.clean, at: context.now)
        }
      },
      undo: { context in
        guard !isReleased(context) else { return }
        try await exportAgain(context)
      })
  }

  /// What was taken off a machine that stays its server's.
  private func exportAgain(_ context: StepContext) async throws {
    let node = try await node(context.subject)
    guard node.leaseUUID == context.params["lease"]?.string else { return }
    for attachment in try await attachments(ofNode: context.subject) where attachment.status == .detaching {
      guard let (current, volume) = try await self.attachment(attachment.id) else { continue }
      let access = try await export(current, volume)
      try await database.write { session in
        try change(attachment: attachment.id, self, session) { attachment in
          attachment.access = access
          attachment.status = .attached
        }
      }
    }
    if let boot = try await volumeBoot(context.subject), needsAgent(context.params) {
      try await self.boot.ensureVolumeBoot(boot.mac, address: boot.address, label: boot.label)
    }
  }
}
