import Cryptography
import Domain
import DriverInterfaces
import Processes
import Store
import Wire
import Workflows

extension Conductor {
  /// An image of what is on a machine's disk: off, read by the agent over the provisioning network, given back as it was. The state stays `active`.
  ///
  /// Params: `image` (its id; queued), `deployed` (the image on the disk of hardware that needs no agent), `disk` (a root device hint), `was_on`, `lease` (whose machine it is), `most_bytes`, and what the hardware
  /// does without (``Without``).
  static func captureDisk(_ parts: Parts) -> WorkflowDefinition {
    WorkflowDefinition(
      kind: "capture-disk",
      steps: [parts.givingBack(), parts.powerOff(graceful: true)] + parts.readingDisk() + [
        parts.endAgent(),
        parts.tenantNetworks(),
        parts.goingOn(),
        parts.takeImage(),
        parts.clearingUp(),
      ],
      done: { context, session in
        let failure = context.outputs["take-image"]?["failed"]?.string.map { Reason($0) }
        let id = context.params["image"]?.string ?? ""
        try noteScheduled(image: id, failure, parts, in: session)
        if failure != nil {
          try ImageStore.delete(id, in: session)
        } else {
          try setLeastDisk(ofImage: id, in: session)
        }
        try finish(context, session, .done, failure ?? "The image of the disk is there.") { $0.lastError = failure }
        // A server that was deleted meanwhile waited for this.
        session.afterCommit { parts.wakeups.signal(serversName) }
      },
      undone: { context, session in
        try noteScheduled(image: context.params["image"]?.string ?? "", context.failure, parts, in: session)
        try ImageStore.delete(context.params["image"]?.string ?? "", in: session)
        try finish(context, session, .fail, context.failure)
        session.afterCommit { parts.wakeups.signal(serversName) }
      },
      stuck: giveToOperator)
  }

  /// An image of a disk fits on no smaller one.
  static func setLeastDisk(ofImage id: String, in session: any Session) throws {
    guard var image = try ImageStore.get(id, in: session) else { return }
    image.minDisk = ((image.size ?? 0) + (1 << 30) - 1) >> 30
    try ImageStore.update(image, in: session)
  }
}

extension Parts {
  var captures: CaptureFolder { CaptureFolder(path: "\(settings.dataFolder)/captures") }

  /// From off to an agent that has sent what is on the disk, and waits.
  func readingDisk() -> [Step] {
    [provisioningNetwork()] + agentSteps() + [
      work("read-disk", shownIn: \.deployStep) { context in
        [
          AgentCommand(
            "read-disk",
            [
              "disk": context.params["disk"] ?? .emptyObject, "most_bytes": context.params["most_bytes"] ?? 0,
              "url": .string("/agent/v1/capture/\(context.workflow)"),
            ])
        ]
      } work: { _ in
        .capture
      }
    ]
  }

  /// Nothing but its undo, which is the last of all: the machine is its tenant's again, as it was, unless it is nobody's by now.
  func givingBack() -> Step {
    Step(
      "give-back",
      undo: { context in
        captures.remove(context.workflow)
        let node = try await node(context.subject)
        guard !isReleased(context), node.leaseUUID == context.params["lease"]?.string else { return }
        try await applyNetworks(.tenant, node: context.subject, label: context.key)
        let now = clock()
        try await database.write { try showVIFs(node: context.subject, at: now, in: $0) }
        try await resume(context)
      })
  }

  /// The machine boots its own system again, if it ran before.
  func goingOn() -> Step {
    Step(
      "resume",
      run: { context in
        try await resume(context)
        return .done
      })
  }
  func resume(_ context: StepContext) async throws {
    let driver = try await driver(of: context.subject)
    try await driver.power.ensurePower(.off, graceful: false, patience: settings.powerPatience)
    let bootsVolume = context.params["boots_volume"]?.bool == true
    try await driver.management.ensureBootOverride(BootOverride(bootsVolume ? .pxe : .disk, persistent: true))
    let wasOn = context.params["was_on"]?.bool ?? true
    if wasOn {
      await markPowerOn(context.subject, driver)
      try await driver.power.ensurePower(.on, graceful: false, patience: settings.powerPatience)
    }
    let now = clock()
    try await database.write {
      try NodeStore.setObservedPower(wasOn ? .on : .off, of: context.subject, at: now, in: $0)
    }
  }

  /// The image gets its content. A refusal does not touch the machine, which runs again by now: there is no image then, and the node says why.
  fileprivate func takeImage() -> Step {
    Step(
      "take-image",
      run: { context in
        do { try await takeDisk(context) } catch let error as ConductorError {
          return .done(["failed": .string(error.description)])
        }
        return .done
      },
      undo: { context in try await images.discard(imageID: context.params["image"]?.string ?? "") })
  }
  /// - Throws: ``ConductorError`` with why there is no image.
  func takeDisk(_ context: StepContext) async throws {
    let id = context.params["image"]?.string ?? ""
    do {
      if let deployed = context.params["deployed"]?.string {
        let raw = try await images.ensureRaw(imageID: deployed) { _ in }
        return try await images.take(file: raw.path, as: id, clock: clock)
      }
      let map = try await captures.readMap(context.workflow)
      guard .string(Digest.hex(Digest.sha256(map))) == context.outputs["read-disk"]?["map_sha256"] else {
        throw ConductorError(.conflict, "The map that arrived is not the agent's; capture the disk again.")
      }
      try await images.take(
        CapturedDisk(path: captures.disk(context.workflow), map: map), as: id, clock: clock)
    } catch let error as ConductorError {
      throw ConductorError(error.code, "No image was made: \(error.description)")
    } catch let error as UploadError {
      throw ConductorError(.conflict, "No image was made: \(error.description)")
    }
  }

  /// What was read is not needed any more. A step of its own: the one before may be run again.
  func clearingUp() -> Step {
    Step(
      "clear-up",
      run: { context in
        captures.remove(context.workflow)
        return .done
      })
  }
}
