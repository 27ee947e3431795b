import Domain
import Store
import Wire
import Workflows

extension Conductor {
  /// Starts what `verb` asks for, in the caller's transaction.
  ///
  /// - Parameters:
  ///   - node: as read in this transaction; written back with its new state and reservation.
  ///   - parameters: `configdrive` with `active` and `rebuild`, `clean_steps` with `clean`, `rescue_password` with `rescue`.
  /// - Throws: ``ConductorError`` `.conflict` while another workflow holds the node, `.badRequest` when the state does not
  ///   allow the verb or what it needs is missing.
  public func provision(
    _ verb: ProvisionVerb, node: inout Node, parameters: JSONObject, by requester: Requester, in session: any Session
  ) throws {
    if verb == .abort { return try abort(&node, in: session) }
    if verb == .unhold { return try unhold(&node, by: requester, in: session) }
    try requireFree(node)
    if let event = Self.event(of: verb), node.provisionState.after(event) == nil { throw refusal(verb, node) }
    let now = clock()
    switch verb {
    case .manage:
      // From everywhere but enroll this is a matter of words: the credentials were verified before.
      if node.provisionState == .enroll {
        try begin("verify-node", .manage, "manageable", &node, [:], by: requester, in: session)
      } else {
        try step(.manage, verb, &node)
        node.lastError = nil
        if node.fault == "clean failure" { leaveMaintenance(&node) }
        node.updatedAt = now
        try NodeStore.update(node, in: session)
      }
    case .inspect:
      guard has(.inspect, node) else { throw Self.unsupported("inspect", by: node) }
      try requireNetworkBoot(node, in: session)
      node.inspectionStartedAt = now
      node.inspectionFinishedAt = nil
      try begin("inspect-node", .inspect, "manageable", &node, [:], by: requester, in: session)
    case .provide:
      try requireNetworkBoot(node, in: session)
      try begin("clean-node", .provide, "available", &node, [:], by: requester, in: session)
    case .clean:
      guard node.provisionState == .manageable else { throw refusal(verb, node) }
      let steps = try cleanSteps(node, parameters["clean_steps"])
      try requireNetworkBoot(node, in: session)
      try begin(
        "clean-node", .provide, "manageable", &node, ["clean_steps": .array(steps.map(\.json))], by: requester,
        in: session)
    case .active, .rebuild:
      try requireNotInMaintenance(node)
      try requireNetworkBoot(node, in: session)
      if node.instanceUUID == nil { node.instanceUUID = Identifier.uuid() }
      // Without an image, from the volume that is named.
      let ramdisk = try ramdiskImages(of: node, in: session)
      let isFromVolume =
        try verb == .active && ramdisk == nil && (node.instanceInfo["image_source"]?.string ?? "").isEmpty
        && (reserveServerVolumes(of: node, in: session) || reserveVolumes(of: node, by: requester, in: session))
      var (kind, params) = ("deploy-volume", JSONObject())
      if let ramdisk {
        (kind, params) = ("deploy-ramdisk", try ramdiskDeployment(node, ramdisk, parameters, in: session))
      } else if !isFromVolume {
        (kind, params) = ("deploy-node", try deployment(node, parameters, in: session))
        if try VolumeBootStore.get(node: node.uuid, in: session)?.ramdisk != nil { params["leaves_ramdisk"] = true }
      }
      try begin(kind, verb == .active ? .deploy : .rebuild, "active", &node, params, by: requester, in: session)
    case .deleted, .undeploy:
      guard !node.isProtected else {
        throw ConductorError(.conflict, "Node \(node.uuid) is protected and cannot be undeployed, rebuilt or deleted.")
      }
      try undeploy(&node, by: requester, in: session)
    case .adopt:
      try step(.adopt, verb, &node)
      _ = node.apply(.done, at: now)
      node.updatedAt = now
      try NodeStore.update(node, in: session)
    case .rescue, .unrescue:
      try requireNotInMaintenance(node)
      try requireRescue(of: node)
      if verb == .rescue { try requireNotTakenBack(node, in: session) }
      let params = verb == .rescue ? try rescue(&node, parameters, in: session) : [:]
      try begin(
        verb == .rescue ? "rescue-node" : "unrescue-node", verb == .rescue ? .rescue : .unrescue,
        verb == .rescue ? "rescue" : "active", &node, params, by: requester, in: session)
    case .abort, .unhold: break
    }
    try NodeStore.addEvent(
      "Asked to \(verb.rawValue).", type: "provision", user: requester.userID, of: node.uuid, at: now, in: session)
  }

  /// What a verb does to the state, for those of which the state decides; an undeployment is more lenient.
  private static func event(of verb: ProvisionVerb) -> ProvisionEvent? {
    switch verb {
    case .manage: .manage
    case .inspect: .inspect
    case .provide, .clean: .provide
    case .active: .deploy
    case .rebuild: .rebuild
    case .adopt: .adopt
    case .rescue: .rescue
    case .unrescue: .unrescue
    case .deleted, .undeploy, .abort, .unhold: nil
    }
  }

  /// Makes the workflow, the state and the reservation one change.
  func begin(
    _ kind: String, _ event: ProvisionEvent, _ target: String, _ node: inout Node, _ params: JSONObject,
    by requester: Requester,
    in session: any Session
  ) throws {
    guard node.apply(event, at: clock()) else { throw refusal(.deleted, node) }
    let id = Identifier.uuid()
    node.reservation = id
    node.targetProvisionState = target
    node.lastError = nil
    node.updatedAt = clock()
    try NodeStore.update(node, in: session)
    var params = params
    for member in without(node) { params[member.key] = member.value }
    _ = try start(kind, id: id, subject: node.uuid, params: params, by: requester, in: session)
  }

  private func undeploy(_ node: inout Node, by requester: Requester, in session: any Session) throws {
    let now = clock()
    if let allocation = node.allocationUUID {
      try AllocationStore.delete(allocation, in: session)
      node.allocationUUID = nil
    }
    if node.consoleEnabled {
      node.consoleEnabled = false
      closeConsole(node.uuid, in: session)
    }
    guard node.provisionState == .available else {
      let target = node.isRetired ? "manageable" : "available"
      try begin("undeploy-node", .delete, target, &node, [:], by: requester, in: session)
      return
    }
    // Nothing runs there: only what was recorded for a deployment is forgotten.
    try parts.endServer(node: node.uuid, at: now, in: session)
    clearInstance(&node)
    node.updatedAt = now
    try NodeStore.update(node, in: session)
  }

  /// Stops what waits for the agent; it unwinds to the failed state.
  private func abort(_ node: inout Node, in session: any Session) throws {
    let abortable: Set<ProvisionState> = [
      .deployWait, .cleanWait, .inspectWait, .cleanHold, .deploying, .cleaning, .inspecting,
    ]
    guard abortable.contains(node.provisionState), let workflow = node.reservation else { throw refusal(.abort, node) }
    try cancel(workflow, reason: "aborted on request", in: session)
  }

  /// Lets the steps of a manual cleaning go on that wait for this word.
  private func unhold(_ node: inout Node, by requester: Requester, in session: any Session) throws {
    guard node.provisionState == .cleanHold, let workflow = node.reservation else { throw refusal(.unhold, node) }
    _ = node.apply(.resume, at: clock())
    Hold.release(&node, workflow)
    node.updatedAt = clock()
    try NodeStore.update(node, in: session)
    try NodeStore.addEvent(
      "Asked to unhold.", type: "provision", user: requester.userID, of: node.uuid, at: clock(), in: session)
    session.afterCommit { [runner] in runner.wake(workflow: workflow) }
  }

  /// Asks a workflow to stop and unwind.
  func cancel(_ workflow: String, reason: String, in session: any Session) throws {
    try WorkflowStore.requestCancel(workflow, reason: reason, in: session)
    session.afterCommit { [runner] in runner.wake(workflow: workflow) }
  }

  private func step(_ event: ProvisionEvent, _ verb: ProvisionVerb, _ node: inout Node) throws {
    guard node.apply(event, at: clock()) else { throw refusal(verb, node) }
  }
  private func refusal(_ verb: ProvisionVerb, _ node: Node) -> ConductorError {
    ConductorError(
      .badRequest,
      "The requested action \"\(verb.rawValue)\" can not be performed on node \"\(node.uuid)\" while it is in state \"\(node.provisionState.rawValue)\"."
    )
  }
  private func leaveMaintenance(_ node: inout Node) {
    node.maintenance = false
    node.maintenanceReason = nil
    node.fault = nil
  }

  // MARK: Conditions

  func locked(_ node: Node) -> ConductorError {
    ConductorError(
      .conflict,
      "Node \(node.uuid) is locked by workflow \(node.reservation ?? ""), please retry after the current operation is completed."
    )
  }
  func requireFree(_ node: Node) throws {
    if node.reservation != nil { throw locked(node) }
  }
  /// What is on a machine that is being taken back is still who had it before's, and nobody's to read.
  /// - Throws: ``ConductorError`` `.conflict` from the end of a lease until the machine is clean.
  func requireNotTakenBack(_ node: Node, in session: any Session) throws {
    guard try !hasEndingLease(node: node.uuid, in: session) else {
      throw ConductorError(
        .conflict, "Node \(node.uuid) is being taken back from a lease: wait until that has ended and it is clean.")
    }
  }
  func requireNotInMaintenance(_ node: Node) throws {
    if node.maintenance {
      throw ConductorError(
        .badRequest,
        "The node \(node.uuid) is in maintenance mode and cannot be deployed: \(node.maintenanceReason?.sentence ?? "no reason given")."
      )
    }
  }
  /// Source: Ironic, `NoRescue`.
  private func requireRescue(of node: Node) throws {
    guard has(.rescue, node) else { throw Self.unsupported("rescue", by: node) }
  }
  func requireNetworkBoot(_ node: Node, in session: any Session) throws {
    guard hardwareType(named: node.driver)?.needsAgent ?? true else { return }
    guard try PortStore.list(node: node.uuid, in: session).contains(where: \.isPXEEnabled) else {
      throw ConductorError(
        .badRequest,
        "Node \(node.uuid) has no port that may boot over the network: create one with `openstack baremetal port create MAC --node \(node.uuid)`."
      )
    }
  }

  /// The steps of a manual cleaning, each one that the node's driver and its chosen interfaces have.
  private func cleanSteps(_ node: Node, _ json: JSON?) throws -> [CleanStep] {
    guard let items = json?.array, (1...50).contains(items.count) else {
      throw ConductorError(
        .badRequest,
        "\"clean_steps\" is required when setting target provision state to clean: 1 to 50 objects with interface and step."
      )
    }
    let type = try checkDriver(node.driver)
    let offers = type.cleanSteps.filter { $0.implementation == type.implementation(of: $0.interface, for: node) }
    let steps = try items.map { item in
      guard let step = CleanStep(item) else {
        throw ConductorError(
          .badRequest, "clean_steps: each step is an object with interface and step, and args if it takes some.")
      }
      if step.isHold {
        guard step.arguments.isEmpty else {
          throw ConductorError(.badRequest, "The clean step hold does not take arguments.")
        }
        return step
      }
      guard let offer = offers.first(where: { $0.interface == step.interface && $0.step == step.step }) else {
        let known = offers.map { "\($0.interface.rawValue).\($0.step)" }.joined(separator: ", ")
        throw ConductorError(
          .badRequest,
          "Node \(node.uuid) does not support the clean step \(step.interface.rawValue).\(step.step.prefix(80)); there are \(known.isEmpty ? "none" : known)."
        )
      }
      if let other = step.arguments.keys.first(where: { !offer.arguments.contains($0) }) {
        throw ConductorError(
          .badRequest,
          "The clean step \(step.interface.rawValue).\(step.step) does not take the argument \(other.prefix(80)).")
      }
      if let missing = offer.arguments.sorted().first(where: { step.arguments[$0] == nil }) {
        throw ConductorError(
          .badRequest, "The clean step \(step.interface.rawValue).\(step.step) needs the argument \(missing).")
      }
      if offer.arguments.contains("settings"), BIOSSetting.choices(step.arguments["settings"]) == nil {
        throw ConductorError(
          .badRequest,
          "The settings of the clean step bios.\(step.step) are 1 to \(BIOSSetting.mostChoices) objects with name and value."
        )
      }
      return step
    }
    guard steps.count(where: { $0.isHold }) <= CleanStep.mostHolds else {
      throw ConductorError(.badRequest, "A cleaning holds \(CleanStep.mostHolds) times at most.")
    }
    // Out of band, and in force before the ramdisk is up.
    let first = steps.firstIndex { $0.interface != .bios } ?? steps.endIndex
    guard !type.needsAgent || steps[first...].allSatisfy({ $0.interface != .bios }) else {
      throw ConductorError(.badRequest, "BIOS settings are made before anything else is done: put their steps first.")
    }
    return steps
  }

  /// Checks what a deployment needs and collects its parameters.
  func deployment(_ node: Node, _ parameters: JSONObject, in session: any Session) throws -> JSONObject {
    guard let source = node.instanceInfo["image_source"]?.string, !source.isEmpty else {
      // Upstream's fake deploys whatever it is told, also nothing.
      if hardwareType(named: node.driver)?.needsAgent == false { return [:] }
      throw ConductorError(
        .badRequest,
        "Node \(node.uuid) has no image: set it with `openstack baremetal node set --instance-info image_source=IMAGE_ID \(node.uuid)`."
      )
    }
    var params: JSONObject = [:]
    var needed: Int?
    if Self.isURL(source) {
      try checkImageURL(source, node)
      params["image"] = .string(source)
    } else {
      guard let image = try ImageStore.get(Self.imageID(source), in: session), image.status == .active else {
        throw ConductorError(.badRequest, "Image \(source) could not be found, or is not active.")
      }
      if let noted = try requireChecksum(of: image, in: node.instanceInfo) { params["image_sha256"] = .string(noted) }
      params["image"] = .string(image.id)
      if try !isWanted("grow_last_partition", node, image, usually: true) { params["keeps_partitions"] = true }
      if try isWanted(LoadedSystem.parameter, node, image, usually: parts.settings.startsByKexec) {
        params[LoadedSystem.parameter] = true
      }
      needed = image.virtualSize ?? image.size
    }
    if let drive = parameters["configdrive"], !drive.isNull { params["config_drive"] = drive }
    if let hint = diskHint(node) { params["disk"] = .object(hint) }
    let disks = try NodeStore.inventory(of: node.uuid, in: session)?["disks"]?.array ?? []
    let largest = disks.compactMap { $0["size_bytes"]?.int }.max()
    if let largest, let needed, needed > largest {
      throw ConductorError(
        .badRequest,
        "The image needs \(needed >> 20) MiB and the largest disk of node \(node.uuid) has \(largest >> 20) MiB: choose a smaller image or another node."
      )
    }
    return params
  }
  /// What a deployment does or does not: as the node's instance_info says, or else the image.
  /// - Throws: ``ConductorError`` `.badRequest` when that is neither true nor false.
  private func isWanted(_ name: String, _ node: Node, _ image: Image, usually: Bool) throws -> Bool {
    switch node.instanceInfo[name] ?? image.properties[name] ?? .bool(usually) {
    case .bool(let isWanted): return isWanted
    case .string(let word) where ["true", "false"].contains(word.lowercased()): return word.lowercased() == "true"
    default:
      throw ConductorError(.badRequest, "\(name) of the node's instance_info, or of the image, is true or false.")
    }
  }
  private static func isURL(_ source: String) -> Bool { source.hasPrefix("http://") || source.hasPrefix("https://") }

  /// Only hardware that reads no image takes one from elsewhere, and wants of it what upstream does.
  /// Source: Ironic, "Deploying without the Image service".
  private func checkImageURL(_ source: String, _ node: Node) throws {
    guard hardwareType(named: node.driver)?.needsAgent == false else {
      throw ConductorError(
        .badRequest,
        "Images are taken from the image service only: upload \(source.prefix(200)) with `openstack image create` and set image_source to its id."
      )
    }
    let host = source.drop { $0 != "/" }.dropFirst(2).prefix { $0 != "/" && $0 != ":" }
    guard !host.isEmpty, source.utf8.count <= 2048, source.utf8.allSatisfy({ (0x21...0x7e).contains($0) }) else {
      throw ConductorError(.badRequest, "image_source is not a URL of up to 2048 printable characters.")
    }
    let keys = ["image_checksum", "image_os_hash_value"]
    guard keys.contains(where: { node.instanceInfo[$0]?.string?.isEmpty == false }) else {
      throw ConductorError(
        .badRequest,
        "An image_source that is a URL needs image_checksum, or image_os_hash_algo and image_os_hash_value, in instance_info."
      )
    }
  }

  /// Refuses an image that is another than the one whose checksum the caller has written down. Source: Ironic,
  /// `instance_info`: `image_checksum` (by its length), `image_os_hash_algo` and `image_os_hash_value`.
  /// - Returns: a SHA-256, which is not known here: the deployment compares it.
  private func requireChecksum(of image: Image, in info: JSONObject) throws -> String? {
    let known = ["md5": image.md5, "sha512": image.sha512]
    var later: String?
    func require(_ noted: String, _ algorithm: String?, _ member: String) throws {
      if algorithm == "sha256", noted.utf8.count == 64, noted.allSatisfy(\.isHexDigit) {
        later = noted.lowercased()
        return
      }
      guard let algorithm, let actual = known[algorithm] ?? nil else {
        throw ConductorError(
          .badRequest,
          "instance_info/\(member) is no checksum that can be compared: MD5, SHA-256 and SHA-512 in hexadecimal digits can."
        )
      }
      guard noted.lowercased() == actual else {
        throw ConductorError(
          .badRequest,
          "instance_info/\(member) is not the checksum of image \(image.id), whose \(algorithm) is \(actual): choose the image that you mean, or correct or remove the checksum."
        )
      }
    }
    if let noted = info["image_checksum"]?.string {
      try require(noted, [32: "md5", 64: "sha256", 128: "sha512"][noted.utf8.count], "image_checksum")
    }
    if let noted = info["image_os_hash_value"]?.string {
      try require(noted, info["image_os_hash_algo"]?.string ?? "sha512", "image_os_hash_value")
    }
    return later
  }
}
