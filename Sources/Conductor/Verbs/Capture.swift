import Domain
import DriverInterfaces
import Store
import Wire
import Workflows

extension Conductor {
  /// What a machine boots from, which decides how an image is made of it.
  public enum ImageSource: Sendable { case localDisk, volume }

  public func imageSource(of node: Node) -> ImageSource {
    // What was brought back from a backup has no image.
    ["image_source", "disk_backup"].allSatisfy { (node.instanceInfo[$0]?.string ?? "").isEmpty } ? .volume : .localDisk
  }

  /// - Parameters:
  ///   - done: what is done to the disk: "captured".
  ///   - withoutAgent: true where hardware that boots no agent will do.
  /// - Throws: ``ConductorError`` `.conflict` while a workflow holds the node, or when its disk cannot be read.
  func requireReadable(_ node: Node, _ done: String, withoutAgent: Bool = false, in session: any Session) throws {
    try requireFree(node)
    try requireNotTakenBack(node, in: session)
    guard node.provisionState == .active else {
      throw ConductorError(
        .conflict, "Node \(node.uuid) is \(node.provisionState.rawValue): only what was deployed (active) is \(done).")
    }
    guard withoutAgent || hardwareType(named: node.driver)?.needsAgent != false else {
      throw ConductorError(.conflict, "Hardware of the kind \(node.driver) boots no agent: its disk cannot be read.")
    }
    guard imageSource(of: node) == .localDisk else {
      throw ConductorError(.conflict, "Node \(node.uuid) boots from a volume: make a snapshot of the volume.")
    }
    guard try VolumeBootStore.get(node: node.uuid, in: session)?.ramdisk == nil else {
      throw ConductorError(.conflict, "Node \(node.uuid) runs from its memory: there is nothing on its disk.")
    }
    try requireNetworkBoot(node, in: session)
  }
  /// The disk that a deployment would choose.
  func diskHint(_ node: Node) -> JSONObject? {
    node.instanceInfo["root_device"]?.object ?? node.properties["root_device"]?.object
  }

  /// Starts to make an image of what is on a machine's disk, in the caller's transaction: the image is inserted `queued`, the machine is
  /// switched off, read by the agent, and given back as it was.
  ///
  /// - Parameters:
  ///   - node: as read in this transaction; written back with its reservation.
  ///   - image: new, of the project that asks; its format is set here.
  /// - Throws: ``ConductorError`` `.conflict` while a workflow holds the node, or when there is nothing that can be read.
  public func capture(
    _ node: inout Node, as image: Image, by requester: Requester, in session: any Session
  ) throws {
    let id = Identifier.uuid()
    let params = try capturing(node, as: image, in: session)
    node.reservation = id
    node.lastError = nil
    node.updatedAt = clock()
    try NodeStore.update(node, in: session)
    _ = try start("capture-disk", id: id, subject: node.uuid, params: params, by: requester, in: session)
    try NodeStore.addEvent(
      "Asked for an image of the disk: \(image.id).", type: "provision", user: requester.userID, of: node.uuid,
      at: clock(), in: session)
  }

  /// What can be known before the machine is switched off: that one more image fits, as large as the smallest disk that may be meant.
  /// - Throws: ``ConductorError`` `.conflict` with what is in the way.
  private func requireRoom(forImageOf node: Node, of project: String, in session: any Session) throws {
    let limits = parts.images.projectLimits
    guard try ImageStore.count(owner: project, in: session) < limits.count else {
      throw ConductorError(.conflict, "The project has \(limits.count) images, which is the most: delete some.")
    }
    guard hardwareType(named: node.driver)?.needsAgent != false else { return }
    let disks = try NodeStore.inventory(of: node.uuid, in: session)?["disks"]?.array ?? []
    guard let size = disks.compactMap({ $0["size_bytes"]?.int }).min() else { return }
    guard size <= parts.images.largestCapture else {
      throw ConductorError(
        .conflict,
        "The disk of node \(node.uuid) has \(size >> 30) GiB, and an image has \(parts.images.largestCapture >> 30) GiB at most: back it up instead (`steelyard disk-backup create`)."
      )
    }
    let used = try ImageStore.bytesUsed(owner: project, in: session)
    guard used + size <= limits.bytes else {
      throw ConductorError(
        .conflict,
        "The project's images have \(used >> 30) of \(limits.bytes >> 30) GiB, and an image of node \(node.uuid) has \(size >> 30) more: delete some."
      )
    }
  }

  /// Checks that the disk of a node can be read, inserts the image, and collects the parameters of a workflow that reads it.
  func capturing(_ node: Node, as image: Image, in session: any Session) throws -> JSONObject {
    try requireReadable(node, "captured", withoutAgent: true, in: session)
    try requireRoom(forImageOf: node, of: image.owner, in: session)
    var image = image
    image.diskFormat = "raw"
    image.containerFormat = "bare"
    image.properties["image_type"] = "snapshot"
    image.properties["base_image_ref"] = node.instanceInfo["image_source"]
    if let instance = node.instanceUUID { image.properties["instance_uuid"] = .string(instance) }
    try ImageStore.insert(image, in: session)
    var params: JSONObject = [
      "image": .string(image.id), "was_on": .bool(node.powerState != .off), "lease": JSON(node.leaseUUID),
      "most_bytes": .int(parts.images.largestCapture),
    ]
    if let hint = diskHint(node) { params["disk"] = .object(hint) }
    if hardwareType(named: node.driver)?.needsAgent == false {
      guard let source = node.instanceInfo["image_source"]?.string,
        let deployed = try ImageStore.get(Self.imageID(source), in: session), deployed.status == .active
      else {
        throw ConductorError(
          .conflict,
          "Hardware of the kind \(node.driver) holds the image that was deployed, which is not here any more.")
      }
      params["deployed"] = .string(deployed.id)
    }
    for member in without(node) { params[member.key] = member.value }
    return params
  }

  /// Where the agent of a node may send the disk's content now.
  private func captureFolder(_ node: String, _ workflow: String, size: Int) async throws -> CaptureFolder? {
    let command = try await database.read { try AgentStore.pending(node: node, workflow: workflow, in: $0) }
    guard let command, command.kind == "read-disk", size <= command.parameters["most_bytes"]?.int ?? 0 else {
      return nil
    }
    return CaptureFolder(path: "\(settings.dataFolder)/captures")
  }

  /// Blocks of a disk that is being captured, as whole frames.
  /// - Returns: false when this node's agent was not told to read a disk, or not one as large as this.
  public func agentBlocks(
    _ frames: [UInt8], size: Int, blockSize: Int, node: String, workflow: String
  ) async throws -> Bool {
    guard let folder = try await captureFolder(node, workflow, size: size) else { return false }
    try await folder.take(frames, size: size, blockSize: blockSize, of: workflow)
    return true
  }
  /// The map of a disk whose blocks have all been sent.
  public func agentMap(_ map: [UInt8], node: String, workflow: String) async throws -> Bool {
    guard let folder = try await captureFolder(node, workflow, size: 0) else { return false }
    try await folder.take(map: map, of: workflow)
    return true
  }
}
