import Domain
import Store
import Wire
import Workflows

/// The block storage service as servers use it: with the rights of whoever asks, and the checks that a volume has there.
public protocol ServerVolumes: Sendable {
  /// Refuses an order that cannot be met: what it names is not there or not the caller's, or is in use.
  /// - Throws: an error of the API, in the words of the compute service.
  func check(_ order: ServerVolumeOrder, for actor: Actor, in session: any Session) throws
  /// Makes the volume of an order, in the caller's transaction; its content comes by a workflow.
  func makeVolume(
    _ order: ServerVolumeOrder, for actor: Actor, requestID: String, at now: Timestamp, in session: any Session
  ) throws -> Volume
  /// Makes a snapshot of a volume, in the caller's transaction.
  func snapshot(
    _ volume: String, name: String, for actor: Actor, requestID: String, at now: Timestamp, in session: any Session
  ) throws -> VolumeSnapshot
  /// A volume of the caller's project that no machine has.
  func freeVolume(_ id: String, for actor: Actor, in session: any Session) throws -> Volume
}

extension Conductor {
  // MARK: With the server

  /// The volumes of a server that is made now: its own are made, others are taken.
  func volumes(of order: ServerOrder, in session: any Session) throws -> [ServerVolume] {
    var taken = Set(order.volumes.compactMap(\.device))
    return try order.volumes.map { wanted in
      let id: String
      if case .volume(let named) = wanted.source {
        id = named
      } else {
        guard let make = order.makeVolume else {
          throw ConductorError(.conflict, "This site keeps no volumes for servers: ask the administrator.")
        }
        id = try make(wanted, session).id
      }
      var volume = ServerVolume(
        serverID: order.server.id, volumeID: id, bootIndex: wanted.bootIndex,
        deletesOnTermination: wanted.deletesOnTermination, createdAt: clock())
      volume.tag = wanted.tag
      volume.device = wanted.device ?? ServerVolume.freeDevice(besides: taken, isBoot: wanted.isBoot)
      if let device = volume.device { taken.insert(device) }
      return volume
    }
  }

  /// Reserves the volumes of the server on a node that boots from one, and the NIC for them. Those that are reserved stay so.
  /// - Returns: false when the node has no server, or that boots from its disk.
  @discardableResult
  func reserveServerVolumes(of node: Node, in session: any Session) throws -> Bool {
    guard let server = try ServerStore.on(node: node.uuid, in: session), server.id == node.instanceUUID else {
      return false
    }
    let volumes = try ServerVolumeStore.list(of: server.id, in: session)
    guard let boot = volumes.first(where: \.isBoot) else { return false }
    let attachments = try VolumeAttachmentStore.list(ofNode: node.uuid, box: database.secrets, in: session)
    for volume in volumes {
      let attachment =
        try attachments.first { $0.volumeID == volume.volumeID }
        ?? reserve(volume, of: server, for: node, in: session)
      if volume == boot, try VolumeBootStore.get(node: node.uuid, in: session) == nil {
        try reserveBoot(of: node, attachment, in: session)
      }
    }
    return true
  }
  private func reserve(
    _ item: ServerVolume, of server: Server, for node: Node, in session: any Session
  ) throws -> VolumeAttachment {
    guard let volume = try VolumeStore.get(item.volumeID, in: session), volume.projectID == server.projectID else {
      throw ConductorError(.badRequest, "Volume \(item.volumeID) could not be found: name one of the server's project.")
    }
    // A shelved server has kept it.
    let kept = try VolumeAttachmentStore.list(ofInstance: server.id, box: database.secrets, in: session).first {
      server.isKept && $0.volumeID == volume.id && $0.nodeID == nil && $0.status == .reserved
    }
    var attachment =
      try kept.map { try give($0, of: volume, to: node, in: session) } ?? reserve(volume, for: node, in: session)
    attachment.mountpoint = item.device
    try VolumeAttachmentStore.update(attachment, in: session)
    return attachment
  }

  /// Reserves the data volumes of a server that boots from its disk, and the NIC for them, before it is deployed.
  func reserveLater(
    _ volumes: [ServerVolume], of server: Server, on node: Node, in session: any Session
  ) throws -> [VolumeAttachment] {
    try volumes.map { item in
      let attachment = try reserve(item, of: server, for: node, in: session)
      try reserveNIC(of: node, nil, in: session)
      return attachment
    }
  }
  /// Has them attached as soon as the server is deployed and they are made.
  func attachLater(
    _ attachments: [VolumeAttachment], on node: Node, by requester: Requester, in session: any Session
  ) throws {
    for attachment in attachments {
      _ = try start(
        "attach-volume", subject: attachment.id,
        params: ["node": .string(node.uuid), "awaits": true], by: requester, in: session)
    }
  }

  // MARK: While it runs

  /// Attaches a volume to a server that is deployed, in the caller's transaction; the target, and where the machine needs one the
  /// NIC by which it reaches it, follow by a workflow.
  /// - Throws: ``ConductorError`` `.conflict` when the machine has no NIC left, or is being worked on.
  public func attach(_ item: ServerVolume, to server: Server, by requester: Requester, in session: any Session) throws
    -> ServerVolume
  {
    var item = item
    var node = try machine(of: server, in: session)
    let known = try ServerVolumeStore.list(of: server.id, in: session)
    item.device = item.device ?? ServerVolume.freeDevice(besides: Set(known.compactMap(\.device)), isBoot: false)
    try ServerVolumeStore.insert(item, in: session)
    let attachment = try reserve(item, of: server, for: node, in: session)
    let id = Identifier.uuid()
    var params: JSONObject = ["node": .string(node.uuid)]
    if try reserveNIC(of: node, nil, in: session) {
      try requireFree(node)
      params["wires"] = true
      node.reservation = id
      try NodeStore.update(node, in: session)
    }
    _ = try start("attach-volume", id: id, subject: attachment.id, params: params, by: requester, in: session)
    try record("attach_volume", server.id, id, by: requester, in: session)
    return item
  }

  /// Takes a volume off a server, in the caller's transaction: its target ends first, whatever the machine does with it then.
  /// - Throws: ``ConductorError`` `.conflict` while it is being attached.
  public func detach(_ item: ServerVolume, from server: Server, by requester: Requester, in session: any Session) throws
  {
    let attachments = try VolumeAttachmentStore.list(ofInstance: server.id, box: database.secrets, in: session)
    guard var attachment = attachments.first(where: { $0.volumeID == item.volumeID }) else {
      // It never came to it: a deployment that failed has let go of it.
      try ServerVolumeStore.delete(server: server.id, volume: item.volumeID, in: session)
      return try record("detach_volume", server.id, nil, by: requester, in: session)
    }
    if server.shelvedAt != nil, attachment.nodeID == nil, attachment.status == .reserved {
      try parts.endReservation(attachment, at: clock(), in: session)
      try ServerVolumeStore.delete(server: server.id, volume: item.volumeID, in: session)
      return try record("detach_volume", server.id, nil, by: requester, in: session)
    }
    guard attachment.status != .attaching else {
      throw ConductorError(.conflict, "Volume \(item.volumeID) is being attached: wait until it is.")
    }
    guard attachment.status != .detaching else { return }
    var params: JSONObject = [:]
    let id = Identifier.uuid()
    // The last one gives the NIC back, unless the machine is being worked on: then it goes with the server.
    if attachments.count == 1, let uuid = attachment.nodeID, var node = try NodeStore.get(uuid, in: session),
      node.reservation == nil, let nic = try VolumeBootStore.get(node: uuid, in: session), nic.isForDataAlone
    {
      params["node"] = .string(uuid)
      node.reservation = id
      try NodeStore.update(node, in: session)
    }
    try detachVolume(&attachment, id: id, params: params, by: requester, in: session)
    try record("detach_volume", server.id, id, by: requester, in: session)
  }

  // MARK: After it

  /// Deletes the volumes that go with servers that are gone, each as soon as nothing is done with it. One that has snapshots
  /// stays, as does one that somebody else has attached meanwhile. The rows are the work to do.
  func deleteLeavingVolumes() async throws {
    for item in try await database.read({ try ServerVolumeStore.leaving(in: $0) }) {
      try await database.write { try self.deleteLeaving(item, in: $0) }
    }
  }
  private func deleteLeaving(_ item: ServerVolume, in session: any Session) throws {
    guard var volume = try VolumeStore.get(item.volumeID, in: session) else { return }
    let attachments =
      try VolumeAttachmentStore.list(ofVolumes: [volume.id], box: database.secrets, in: session)[volume.id] ?? []
    if attachments.contains(where: { $0.instanceID == item.serverID }) { return }
    if attachments.isEmpty, try VolumeSnapshotStore.list(of: volume.id, in: session).isEmpty {
      guard Volume.deletable.contains(volume.status) else {
        // What is being done with it comes to an end; what its owner began with it (an offer) is theirs.
        if volume.status == .awaitingTransfer || volume.status == .deleting {
          try ServerVolumeStore.delete(server: item.serverID, volume: volume.id, in: session)
        }
        return
      }
      var requester = Requester.system
      requester.projectID = volume.projectID
      try deleteVolume(&volume, cascade: false, by: requester, in: session)
    }
    try ServerVolumeStore.delete(server: item.serverID, volume: volume.id, in: session)
  }
}
