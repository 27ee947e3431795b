import Domain
import DriverInterfaces
import Processes
import Store
import Wire
import Workflows

extension Conductor {
  /// `active`: an image to the local disk, a config drive beside it, the tenant's networks, and the machine boots it.
  ///
  /// Params: `image` (id, or a URL for hardware that needs no agent), `config_drive` (what the caller gave), `disk` (a root
  /// device hint), `keeps_partitions` (its last partition does not grow), `leaves_ramdisk` (it ran from its memory before), `kexec` (the agent
  /// starts the system, where it can), and what the hardware does without (``Without``).
  static func deployNode(_ parts: Parts) -> WorkflowDefinition {
    WorkflowDefinition(
      kind: "deploy-node",
      steps: [
        prepareImage(parts),
        parts.provisioningNetwork(),
      ] + parts.agentSteps() + [
        parts.work("write-image", shownIn: \.deployStep) { context in
          let prepared = context.outputs["prepare-image"] ?? .null
          let image = prepared["image"] ?? .null
          var parameters: JSONObject = [
            "disk": context.params["disk"] ?? .emptyObject,
            "image": [
              "url": .string("/agent/v1/image/\(prepared["image_id"]?.string ?? "")"),
              "size_bytes": image["size_bytes"] ?? 0,
              "map_bytes": image["map_bytes"] ?? 0, "map_sha256": image["map_sha256"] ?? "",
            ],
            "config_drive": nil, "grow_last_partition": .bool(context.params["keeps_partitions"] == nil),
          ]
          if let drive = prepared["config_drive"], !drive.isNull {
            parameters["config_drive"] = [
              "url": .string("/agent/v1/config-drive/\(context.workflow)"), "size_bytes": drive["size_bytes"] ?? 0,
              "sha256": drive["sha256"] ?? "",
            ]
          }
          return [Parts.AgentCommand("write-image", parameters)]
        } work: { context in
          .deploy(image: context.params["image"]?.string ?? "")
        },
        parts.loadSystem(),
        // An agent that has loaded the system waits with its interfaces down: it sees nothing of the networks that follow.
        parts.endAgent(staysOn: LoadedSystem.isLoaded),
        leaveRamdisk(parts),
        parts.wiringCheck(),
        parts.tenantNetworks(),
        bootInstance(parts),
      ],
      done: { context, session in
        try finish(context, session, .done, "Deployment finished.") { node in
          node.powerState = .on
          if node.instanceUUID == nil { node.instanceUUID = context.workflow }
        }
        try serverRuns(node: context.subject, at: context.now, in: session)
        session.afterCommit { parts.wakeups.signal(serversName) }
      },
      undone: { context, session in
        try finish(context, session, .fail, context.failure)
        // A server that was deleted meanwhile waited for this.
        session.afterCommit { parts.wakeups.signal(serversName) }
      },
      stuck: giveToOperator)
  }

  /// The packed form of the image in the cache and the config drive on disk, before anything is done to the machine.
  private static func prepareImage(_ parts: Parts) -> Step {
    Step(
      "prepare-image", retries: 1, when: needsAgent,
      run: { context in
        let id = context.params["image"]?.string ?? ""
        if let noted = context.params["image_sha256"]?.string {
          try await parts.images.requireSHA256(noted, imageID: id)
        }
        let image = try await parts.packedImage(id, shownFor: context)
        var output: JSONObject = [
          "image_id": .string(id), "config_drive": nil,
          "image": [
            "map": .string(image.map), "map_bytes": .int(image.mapSize), "map_sha256": .string(image.mapSHA256),
            "blocks": .string(image.blocks), "size_bytes": .int(image.size),
          ],
        ]
        let content = try await parts.configDriveContent(context)
        if !content.isNull {
          output["config_drive"] = describe(
            try await parts.configDrives.make(content, at: "\(driveFolder(parts))/\(context.workflow).iso"))
        }
        return .done(.object(output))
      },
      commit: { context, _, session in try change(context.subject, session) { $0.deployStep = [:] } },
      undo: { context in
        removeDrive(parts, context)
        try await parts.database.write { session in try change(context.subject, session) { $0.deployStep = [:] } }
      })
  }

  private static func driveFolder(_ parts: Parts) -> String { "\(parts.settings.dataFolder)/config-drives" }
  /// The workflow's config drive, and what a server left that was killed while it made one: there are passwords in it.
  private static func removeDrive(_ parts: Parts, _ context: StepContext) {
    let folder = driveFolder(parts)
    for name in fileNames(in: folder) where name.hasPrefix(context.workflow) { removeTree("\(folder)/\(name)") }
  }

  private static func describe(_ image: RawImage) -> JSON {
    ["path": .string(image.path), "size_bytes": .int(image.size), "sha256": .string(image.digest)]
  }

  private static func bootInstance(_ parts: Parts) -> Step {
    Step(
      "boot-instance",
      run: { context in
        let driver = try await parts.driver(of: context.subject)
        if let word = LoadedSystem.word(context), let outcome = try await parts.startLoaded(word, driver, context) {
          if case .done = outcome { removeDrive(parts, context) }
          return outcome
        }
        // Off first: a step that runs again must not leave the machine in the middle of an earlier boot's choice.
        try await driver.power.ensurePower(.off, graceful: false, patience: parts.settings.powerPatience)
        try await driver.management.ensureBootOverride(BootOverride(.disk, persistent: true))
        await parts.markPowerOn(context.subject, driver)
        try await driver.power.ensurePower(.on, graceful: false, patience: parts.settings.powerPatience)
        removeDrive(parts, context)
        return .done(["boot": "firmware"])
      },
      commit: { context, output, session in
        try AgentStore.forget(workflow: context.workflow, in: session)
        try parts.noteStart(output, context, in: session)
      },
      undo: { context in
        try await parts.driver(of: context.subject).power.ensurePower(
          .off, graceful: false, patience: parts.settings.powerPatience)
      },
      uncommit: { context, session in try AgentStore.forget(workflow: context.workflow, in: session) })
  }
}

extension Parts {
  /// The packed form of an image; while it is made the node's deploy step shows how far it is.
  fileprivate func packedImage(_ id: String, shownFor context: StepContext) async throws -> PackedImage {
    let (heard, tell) = AsyncStream.makeStream(of: ImageProgress.self, bufferingPolicy: .bufferingNewest(1))
    return try await withThrowingTaskGroup(of: PackedImage?.self) { group in
      group.addTask {
        defer { tell.finish() }
        return try await images.ensurePacked(imageID: id) { tell.yield($0) }
      }
      group.addTask {
        var estimate = Estimate()
        // What cannot be shown (a full disk) must not stop what is done.
        for await progress in heard { try? await show(progress, remaining: estimate.seconds(to: progress), context) }
        return nil
      }
      var made: PackedImage?
      while let result = try await group.next() { if let result { made = result } }
      guard let made else { throw CancellationError() }
      return made
    }
  }

  private func show(_ progress: ImageProgress, remaining: Int?, _ context: StepContext) async throws {
    try await database.write { session in
      try change(context.subject, session) { node in
        guard node.reservation == context.workflow else { return }
        node.deployStep = [
          "step": "prepare-image", "interface": "deploy", "priority": 100,
          "percent": .int(Int(progress.fraction * 100)), "message": .string(progress.phase.rawValue),
          "remaining_seconds": JSON(remaining),
        ]
      }
    }
  }

  /// When an image will be ready, from how fast it went since it was first heard of.
  private struct Estimate {
    private var first: (fraction: Double, at: ContinuousClock.Instant)?
    /// - Returns: seconds; nil until there is something to go by.
    mutating func seconds(to progress: ImageProgress) -> Int? {
      let now = ContinuousClock.now
      guard progress.phase != .waiting, let first else {
        if progress.phase != .waiting { first = (progress.fraction, now) }
        return nil
      }
      let done = progress.fraction - first.fraction
      guard done > 0.02 else { return nil }
      return Int(((now - first.at) / .seconds(1) * (1 - progress.fraction) / done).rounded(.up))
    }
  }

  /// What goes on the config drive: what the caller gave, with the networks filled in where he left them out.
  func configDriveContent(_ context: StepContext) async throws -> JSON {
    let given = context.params["config_drive"] ?? .null
    if case .string = given { return given }
    let (node, networks) = try await database.read { session in
      (try NodeStore.get(context.subject, in: session), try networkData(of: context.subject, in: session))
    }
    guard let node else { throw ConductorError(.notFound, "Node \(context.subject) is gone.") }
    var content = given.object ?? [:]
    var meta = content["meta_data"]?.object ?? [:]
    if meta["uuid"] == nil { meta["uuid"] = .string(node.instanceUUID ?? node.uuid) }
    if meta["hostname"] == nil { meta["hostname"] = .string(hostname(node)) }
    if meta["name"] == nil { meta["name"] = meta["hostname"] }
    content["meta_data"] = .object(meta)
    if content["network_data"] == nil || content["network_data"]?.object?.isEmpty == true {
      content["network_data"] = node.networkData.isEmpty ? networks : .object(node.networkData)
    }
    return .object(content)
  }

  /// A host name made of the node's name: letters, digits and dashes only (RFC 1123).
  private func hostname(_ node: Node) -> String {
    let text = node.instanceInfo["display_name"]?.string ?? node.label
    let name = String(text.lowercased().map { $0.isASCII && ($0.isLetter || $0.isNumber) ? $0 : "-" }.prefix(63))
    return name.isEmpty ? node.uuid : name
  }

  func networkData(of node: String, in session: any Session) throws -> JSON {
    var attachments: [NetworkData.Attachment] = []
    for place in try VIFStore.places(node: node, in: session) {
      guard let vif = place.vifPortID, let attachment = try Attachment(vif, on: place.physicalNetwork, in: session)
      else { continue }
      for item in attachment.all {
        attachments.append(
          .init(
            macAddress: place.macAddress, port: item.port, network: item.network,
            subnets: try SubnetStore.list(network: item.network.id, in: session),
            parent: item.isTagged ? attachment.parent.port.id : nil, vlan: item.vlan,
            bond: item.isTagged ? nil : bond(place)))
      }
    }
    return NetworkData.make(attachments)
  }
  private func bond(_ place: VIFHolder) -> NetworkData.Bond? {
    guard case .portGroup(let group, let members) = place else { return nil }
    return NetworkData.Bond(
      mode: group.mode, options: group.bondOptions, members: members.map { ($0.uuid, $0.address) })
  }
}
