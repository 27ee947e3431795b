import Domain
import Store
import Wire
import Workflows

extension Server {
  /// Whether it stays when its machine is taken back: it is shelved, and nobody wants it gone.
  var isKept: Bool { shelvedAt != nil && deletionAskedAt == nil }
}

/// Servers that give their machine back and keep the rest: the content of the disk as an image, the network ports with their
/// addresses, the volumes, and all that the server is.
extension Conductor {
  /// Starts to shelve a server, in the caller's transaction: its machine is read (a server on its disk), cut off and erased, and is
  /// the project's to use for another.
  /// - Throws: ``ConductorError`` `.conflict` while the machine is being worked on, is protected, or its disk cannot be read.
  public func shelve(_ server: Server, by requester: Requester, in session: any Session) throws {
    var node = try machine(of: server, in: session)
    try requireFree(node)
    guard !node.isProtected else {
      throw ConductorError(
        .conflict, "The machine of server \(server.id) is protected: unset that before the server is shelved.")
    }
    let id = Identifier.uuid()
    let isOnDisk = imageSource(of: node) == .localDisk
    var params: JSONObject
    if isOnDisk {
      var image = Image(
        name: "\(server.name.prefix(240))-shelved", owner: server.projectID, visibility: .private,
        createdAt: clock())
      image.properties["user_id"] = .string(requester.userID ?? server.userID)
      params = try capturing(node, as: image, in: session)
    } else {
      params = without(node)
      params["boots_volume"] = true
      params["was_on"] = .bool(node.powerState != .off)
      params["lease"] = JSON(node.leaseUUID)
    }
    if node.consoleEnabled {
      node.consoleEnabled = false
      closeConsole(node.uuid, in: session)
    }
    node.reservation = id
    node.targetProvisionState = node.isRetired ? "manageable" : "available"
    node.lastError = nil
    node.updatedAt = clock()
    try NodeStore.update(node, in: session)
    _ = try start(
      isOnDisk ? "shelve-node" : "shelve-volume", id: id, subject: node.uuid, params: params, by: requester, in: session
    )
    try record("shelve", server.id, id, by: requester, in: session)
    try NodeStore.addEvent(
      "Asked to shelve its server.", type: "provision", user: requester.userID, of: node.uuid, at: clock(), in: session)
  }

  /// Finds a machine for a shelved server and starts its deployment there, in the caller's transaction.
  /// - Parameter order: the server as it shall be, and the network ports that it kept.
  /// - Throws: ``ConductorError`` `.conflict` when what was on its disk is gone, or no machine can be used, which names each and
  ///   why not. Nothing is changed then.
  public func unshelve(_ order: ServerOrder, by requester: Requester, in session: any Session) throws {
    var server = order.server
    if let id = server.shelvedImageID {
      guard let image = try ImageStore.get(id, in: session), image.status == .active else {
        throw ConductorError(
          .conflict, "Unshelve attempted but the image \(id) cannot be found: the server can only be deleted.")
      }
    }
    var demands = order.demands
    demands.ports = order.ports.count
    let candidates = try candidates(for: order, in: session)
    let (fitting, unfit) = Scheduling.sort(candidates, for: demands)
    var rejected = unfit
    let volumes = try ServerVolumeStore.list(of: server.id, in: session)
    let taken = try first(of: fitting, &rejected) { node in
      var node = node
      server.nodeUUID = node.uuid
      server.updatedAt = clock()
      try ServerStore.update(server, in: session)
      node.instanceUUID = server.id
      try deploy(server, image: server.shelvedImageID, volumes, on: &node, by: requester, in: session) { node in
        for port in order.ports { _ = try recordVIF(port.portID, on: node, at: .anyFree, in: session) }
      }
      try record("unshelve", server.id, node.reservation, by: requester, in: session)
    } orElse: { node in
      try releaseVIFs(node: node.uuid, of: order.ports, at: clock(), in: session)
      try Self.forgetAttachments(ofNode: node.uuid, parts, at: clock(), session)
      server.nodeUUID = nil
      try ServerStore.update(server, in: session)
    }
    guard taken != nil else {
      throw ConductorError(.conflict, try explanation(rejected, of: candidates.count, in: session))
    }
  }

  /// Takes the machine of a server back that is shelved and should have none: it could not be given back before.
  /// - Throws: ``ConductorError`` `.conflict` while the machine is being worked on, or is protected.
  public func offload(_ server: Server, by requester: Requester, in session: any Session) throws {
    var node = try machine(of: server, in: session)
    try provision(.deleted, node: &node, parameters: [:], by: requester, in: session)
    try record("shelveOffload", server.id, node.reservation, by: requester, in: session)
  }

  // MARK: What goes on without anybody asking

  /// Machines on which a shelved server could not run are given back; the server is shelved as before.
  func takeBackStranded() async throws {
    for row in try await database.read({ try ServerStore.stranded(in: $0) }) {
      let id = row.server.id
      do {
        try await database.write { session in
          guard let row = try ServerStore.stranded(in: session).first(where: { $0.server.id == id }) else { return }
          let requester = Requester(
            projectID: row.server.projectID, userID: nil, requestID: "req-\(Identifier.uuid())")
          try self.offload(row.server, by: requester, in: session)
        }
      } catch let error as ConductorError {
        logger.error("server \(id) is shelved and its machine cannot be given back: \(error.description)")
      }
    }
  }

  /// Deletes the images of servers that run again or are gone. One that its owner has protected meanwhile is theirs to keep.
  func deleteLeavingImages() async throws {
    for server in try await database.read({ try ServerStore.leavingImages(in: $0) }) {
      guard let id = server.shelvedImageID else { continue }
      let isProtected = try await database.read { try ImageStore.get(id, in: $0)?.isProtected ?? false }
      if !isProtected { try await parts.images.discard(imageID: id) }
      try await database.write { session in
        if !isProtected { try ImageStore.delete(id, in: session) }
        try ServerStore.forgetImage(id, of: server.id, in: session)
      }
    }
  }

  /// A system runs on a machine, in the transaction that ends its deployment: its server is shelved no more.
  static func serverRuns(node: String, at now: Timestamp, in session: any Session) throws {
    if let server = try ServerStore.on(node: node, in: session), server.shelvedImageID != nil {
      // What it was kept in goes; what it is made of is what it was.
      try change(node, session) { $0.instanceInfo["image_source"] = JSON(server.imageID) }
    }
    try ServerStore.launched(node: node, at: now, in: session)
  }
}

extension Parts {
  /// A shelved server leaves a node, before the NICs are freed.
  func keep(_ server: Server, from node: String, at now: Timestamp, in session: any Session) throws {
    let order = try VIFStore.places(node: node, in: session).compactMap(\.vifPortID)
    try ServerStore.setPortOrder(order, of: server.id, in: session)
    var server = server
    server.nodeUUID = nil
    server.updatedAt = now
    try ServerStore.update(server, in: session)
  }

  /// The volumes that a shelved server kept are free.
  func releaseReserved(of server: Server, at now: Timestamp, in session: any Session) throws {
    let volumes = Set(try ServerVolumeStore.list(of: server.id, in: session).map(\.volumeID))
    let attachments = try VolumeAttachmentStore.list(ofInstance: server.id, box: database.secrets, in: session)
    for attachment in attachments
    where attachment.nodeID == nil && attachment.status == .reserved && volumes.contains(attachment.volumeID) {
      try endReservation(attachment, at: now, in: session)
    }
  }
  /// An attachment without a target ends.
  func endReservation(_ attachment: VolumeAttachment, at now: Timestamp, in session: any Session) throws {
    try VolumeAttachmentStore.delete(attachment.id, in: session)
    try Conductor.settle(volume: attachment.volumeID, self, at: now, session)
    told(attachment: attachment.id, session)
  }
}

extension VolumeAttachment {
  /// Without a machine it is only reserved.
  mutating func leaveMachine() {
    nodeID = nil
    connector = [:]
    access = [:]
    status = .reserved
    attachedAt = nil
  }
}

/// Takes network ports off a node's NICs that they are on.
private func releaseVIFs(
  node: String, of ports: [ServerPort], at now: Timestamp, in session: any Session
) throws {
  let ids = Set(ports.map(\.portID))
  for place in try VIFStore.places(node: node, in: session) {
    guard let vif = place.vifPortID, ids.contains(vif) else { continue }
    try VIFStore.set(nil, on: place, at: now, in: session)
    try NetworkPortStore.release(vif, at: now, in: session)
  }
}
