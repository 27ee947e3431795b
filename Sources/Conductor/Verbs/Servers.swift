import Cryptography
import Domain
import Store
import Wire
import Workflows

extension Conductor {
  /// A server to be, with all that its machine must have and be given.
  public struct ServerOrder: Sendable {
    public var server: Server
    public var demands: MachineDemands
    /// Network ports of the project, in the order of the NICs; they are attached to nothing.
    public var ports: [ServerPort]
    public var volumes: [ServerVolumeOrder] = []
    /// Makes a volume that an order wants made; called once a machine was found.
    public var makeVolume: (@Sendable (ServerVolumeOrder, any Session) throws -> Volume)?
    /// The administrator may name any machine.
    public var isSiteAdmins: Bool
    public init(_ server: Server, demands: MachineDemands, ports: [ServerPort], isSiteAdmins: Bool) {
      self.server = server
      self.demands = demands
      self.ports = ports
      self.isSiteAdmins = isSiteAdmins
    }
  }

  /// Finds a machine and starts its deployment, in the caller's transaction: the claim, the network ports on its NICs, the
  /// server's row and the workflow are one change. Where no machine can be used the server is stored in error, its fault names
  /// each machine and why not, and the ports that it made are deleted.
  public func createServer(_ order: ServerOrder, by requester: Requester, in session: any Session) throws -> Server {
    var server = order.server
    var demands = order.demands
    demands.ports = order.ports.count
    let candidates = try candidates(for: order, in: session)
    let (fitting, unfit) = Scheduling.sort(candidates, for: demands)
    var rejected = unfit
    let volumes = fitting.isEmpty ? [] : try volumes(of: order, in: session)
    let node = try first(of: fitting, &rejected) { node in
      server.nodeUUID = node.uuid
      try ServerStore.insert(server, in: session)
      try deploy(server, order.ports, volumes, on: node, by: requester, in: session)
    } orElse: { node in
      try withdraw(server, order.ports, from: node, in: session)
    }
    if node != nil { return server }
    server.nodeUUID = nil
    server.fault = Server.Fault(
      message: try explanation(rejected, of: candidates.count, in: session), at: clock())
    try ServerStore.insert(server, in: session)
    // Those that were made go with it, if they are to.
    for volume in volumes where volume.deletesOnTermination { try ServerVolumeStore.insert(volume, in: session) }
    for port in order.ports where port.isMade { try NetworkPortStore.delete(port.portID, in: session) }
    var action = ServerAction("create", of: server.id, requestID: requester.requestID ?? "", startedAt: clock())
    action.userID = requester.userID
    action.projectID = requester.projectID
    action.message = "Error"
    try ServerActionStore.insert(action, in: session)
    return server
  }

  /// The first machine that can be had: what stands in the way of one does not of the next.
  func first(
    of fitting: [Node], _ rejected: inout [Scheduling.Rejection], _ claim: (Node) throws -> Void,
    orElse withdraw: (Node) throws -> Void
  ) throws -> Node? {
    for node in fitting {
      do {
        try claim(node)
        return node
      } catch let error as ConductorError {
        try withdraw(node)
        rejected.append((node.label, "cannot have it: \(error.description)"))
      }
    }
    return nil
  }
  /// Why there is no machine.
  /// - Parameter count: how many were looked at.
  func explanation(_ rejected: [Scheduling.Rejection], of count: Int, in session: any Session) throws -> String {
    Scheduling.explanation(rejected, foreign: max(0, try NodeStore.count(in: session) - count))
  }

  func candidates(for order: ServerOrder, in session: any Session) throws -> [MachineCandidate] {
    let project = order.server.projectID
    let nodes = try NodeStore.usable(
      project: project, named: order.isSiteAdmins ? order.demands.node : nil,
      includingUnowned: settings.unownedMachinesAreShared, in: session)
    let busy = try PortStore.freeCounts(nodes: nodes.map(\.uuid), in: session)
    let ready = try StandByStore.ready(at: clock(), in: session)
    return try nodes.map { node in
      MachineCandidate(
        node: node, freePorts: busy[node.uuid] ?? 0, endsBefore: try end(of: node, order.demands, in: session),
        standsBy: ready.contains(node.uuid))
    }
  }
  /// When the project has the machine no more, if that is before it is asked for.
  private func end(of node: Node, _ demands: MachineDemands, in session: any Session) throws -> Timestamp? {
    guard let until = demands.until, until > clock() else { return nil }
    if let lease = try node.leaseUUID.flatMap({ try LeaseStore.get($0, in: session) }), lease.time.end < until {
      return lease.time.end
    }
    let place = LeaseStore.Place(
      resourceType: Lease.defaultResourceType, resourceUUID: node.uuid, parentUUID: node.leaseUUID)
    return try LeaseStore.taken(at: place, within: TimeRange(clock(), until), in: session).first?.start
  }

  private func deploy(
    _ server: Server, _ ports: [ServerPort], _ volumes: [ServerVolume], on node: Node, by requester: Requester,
    in session: any Session
  ) throws {
    var node = node
    node.instanceUUID = server.id
    for volume in volumes { try ServerVolumeStore.insert(volume, in: session) }
    try deploy(server, image: server.imageID, volumes, on: &node, by: requester, in: session) { node in
      for port in ports {
        try recordVIF(port.portID, on: node, at: .anyFree, in: session)
        try NetworkPortStore.setDevice(
          server.id, owner: "compute:\(zone)", of: port.portID, at: clock(), in: session)
        try ServerStore.addPort(port, to: server.id, in: session)
      }
    }
    try record("create", server.id, node.reservation, by: requester, in: session)
  }
  /// - Parameters:
  ///   - image: for the machine's disk; nil for a server that boots from a volume.
  ///   - attachPorts: has the NICs have the server's network ports.
  func deploy(
    _ server: Server, image: String?, _ volumes: [ServerVolume], on node: inout Node, by requester: Requester,
    in session: any Session, attachPorts: (Node) throws -> Void
  ) throws {
    // Before the networks: not every NIC can boot.
    let isFromVolume = try reserveServerVolumes(of: node, in: session)
    node.instanceInfo = instanceInfo(server, image)
    if try ramdiskImages(of: node, in: session) != nil { try reserveBootNIC(of: node, in: session) }
    try attachPorts(node)
    let later = isFromVolume ? [] : try reserveLater(volumes, of: server, on: node, in: session)
    try provision(
      .active, node: &node, parameters: ["configdrive": try configDrive(server, in: session)], by: requester,
      in: session)
    try attachLater(later, on: node, by: requester, in: session)
  }
  private func instanceInfo(_ server: Server, _ image: String?) -> JSONObject {
    [
      "image_source": JSON(image), "display_name": .string(server.name),
      "nova_host_id": .string(zone), "vcpus": server.flavor["vcpus"] ?? 0, "memory_mb": server.flavor["ram"] ?? 0,
      "local_gb": server.flavor["disk"] ?? 0, "root_gb": server.flavor["disk"] ?? 0,
    ]
  }
  /// Takes back what ``deploy(_:_:on:by:in:)`` did before it threw.
  private func withdraw(_ server: Server, _ ports: [ServerPort], from node: Node, in session: any Session) throws {
    for port in ports {
      if let holder = try VIFStore.holder(of: port.portID, in: session) {
        try VIFStore.set(nil, on: holder, at: clock(), in: session)
        try NetworkPortStore.release(port.portID, at: clock(), in: session)
      }
      try NetworkPortStore.setDevice("", owner: "", of: port.portID, at: clock(), in: session)
    }
    try Self.forgetAttachments(ofNode: node.uuid, parts, at: clock(), session)
    try ServerStore.delete(server.id, in: session)
  }

  /// The zone that all machines are in.
  public var zone: String { "nova" }

  /// What the system on a server learns of itself. Source: Nova, "Metadata", format `openstack/latest`.
  func configDrive(_ server: Server, in session: any Session) throws -> JSON {
    var meta: JSONObject = [
      "uuid": .string(server.id), "name": .string(server.name), "hostname": .string(server.hostname),
      "launch_index": .int(server.launchIndex), "project_id": .string(server.projectID),
      "availability_zone": .string(server.pinnedZone ?? zone), "meta": .object(server.metadata),
    ]
    if let name = server.keyName, let key = server.publicKey {
      meta["public_keys"] = .object([name: .string(key)])
      meta["keys"] = [["name": .string(name), "type": "ssh", "data": .string(key)]]
    }
    let tagged = try ServerStore.ports(of: server.id, in: session).filter { $0.tag != nil }
    if !tagged.isEmpty {
      let ports = try NetworkPortStore.byID(tagged.map(\.portID), in: session)
      meta["devices"] = .array(
        tagged.compactMap { port in
          ports[port.portID].map { ["type": "nic", "mac": .string($0.macAddress), "tags": [JSON(port.tag)]] }
        })
    }
    var content: JSONObject = ["meta_data": .object(meta), "vendor_data": [:]]
    if let data = server.userData { content["user_data_base64"] = .string(data) }
    return .object(content)
  }

  /// Notes what was asked of a server.
  public func record(
    _ name: String, _ server: String, _ workflow: String?, by requester: Requester, in session: any Session
  ) throws {
    var action = ServerAction(name, of: server, requestID: requester.requestID ?? "", startedAt: clock())
    action.userID = requester.userID
    action.projectID = requester.projectID
    action.workflowID = workflow
    try ServerActionStore.insert(action, in: session)
  }

  // MARK: What a server is asked for

  /// The node of a server, to be changed in this transaction.
  /// - Throws: ``ConductorError`` `.conflict` when it has none.
  public func machine(of server: Server, in session: any Session) throws -> Node {
    guard let uuid = server.nodeUUID, let node = try NodeStore.get(uuid, in: session), node.instanceUUID == server.id
    else {
      throw ConductorError(
        .conflict,
        server.shelvedAt == nil
          ? "Server \(server.id) has no machine: it can only be deleted."
          : "Server \(server.id) is shelved: unshelve it first.")
    }
    return node
  }

  /// Writes another system on a server's machine; networks and addresses stay.
  /// - Parameter server: as it shall be.
  public func rebuild(_ server: Server, by requester: Requester, in session: any Session) throws {
    var node = try machine(of: server, in: session)
    node.instanceInfo["image_source"] = JSON(server.imageID)
    node.instanceInfo["display_name"] = .string(server.name)
    try provision(
      .rebuild, node: &node, parameters: ["configdrive": try configDrive(server, in: session)], by: requester,
      in: session)
    try ServerStore.update(server, in: session)
    try record("rebuild", server.id, node.reservation, by: requester, in: session)
  }

  /// Gives a server's machine back, in the caller's transaction. What holds the machine now is asked to stop, or waited for; then
  /// the reconciler ``serversName`` goes on. A server without a machine is deleted at once.
  /// - Throws: ``ConductorError`` `.conflict` when the machine is protected.
  public func deleteServer(_ server: Server, by requester: Requester, in session: any Session) throws {
    guard server.deletedAt == nil else { return }
    var server = server
    guard let uuid = server.nodeUUID, var node = try NodeStore.get(uuid, in: session), node.instanceUUID == server.id
    else {
      try record("delete", server.id, nil, by: requester, in: session)
      session.afterCommit { [wakeups] in wakeups.signal(Self.serversName) }
      return try parts.concludeServer(server, at: clock(), in: session)
    }
    guard !node.isProtected else {
      throw ConductorError(
        .conflict, "The machine of server \(server.id) is protected: unset that before the server is deleted.")
    }
    let isRepeated = server.deletionAskedAt != nil
    server.deletionAskedAt = server.deletionAskedAt ?? clock()
    server.updatedAt = clock()
    try ServerStore.update(server, in: session)
    if let holder = node.reservation {
      let kind = try WorkflowStore.get(holder, in: session)?.kind
      if let kind, ["deploy-node", "deploy-volume", "deploy-ramdisk"].contains(kind) {
        try cancel(holder, reason: "the server is deleted", in: session)
      }
      if !isRepeated { try record("delete", server.id, nil, by: requester, in: session) }
      return
    }
    try provision(.deleted, node: &node, parameters: [:], by: requester, in: session)
    try record("delete", server.id, node.reservation, by: requester, in: session)
  }
  static let serversName = "servers"
}

extension Parts {
  /// A server's end, in the transaction that takes its machine back, before the NICs are freed: the network ports that it made go with
  /// it (when they are released, if a NIC has them), others are free again. One that is shelved keeps them, and itself. Nothing
  /// happens on a node without a server.
  func endServer(node: String, at now: Timestamp, in session: any Session) throws {
    guard let server = try ServerStore.on(node: node, in: session) else { return }
    let groups = try NetworkPortStore.byID(ServerStore.ports(of: server.id, in: session).map(\.portID), in: session)
      .values.flatMap(\.securityGroupIDs)
    if server.isKept {
      try keep(server, from: node, at: now, in: session)
    } else {
      try concludeServer(server, at: now, in: session)
    }
    // Who is in a group decides what passes at the others.
    let others = try SecurityGroupStore.attachedPorts(naming: Set(groups), in: session)
    for port in others { try NetworkPortStore.setStatus(.build, of: port, at: now, in: session) }
    if !others.isEmpty { session.afterCommit { wakeups.signal(Conductor.rewiringName) } }
    session.afterCommit { wakeups.signal(Conductor.serversName) }
  }

  func concludeServer(_ server: Server, at now: Timestamp, in session: any Session) throws {
    for port in try ServerStore.ports(of: server.id, in: session) {
      try letGo(port, at: now, in: session)
    }
    if server.shelvedAt != nil { try releaseReserved(of: server, at: now, in: session) }
    try ServerVolumeStore.releaseKept(of: server.id, in: session)
    var server = server
    server.deletedAt = now
    server.updatedAt = now
    server.userData = nil
    try ServerStore.update(server, in: session)
  }
}

/// A port that leaves its server.
func letGo(_ port: ServerPort, at now: Timestamp, in session: any Session) throws {
  try ServerStore.removePort(port.portID, in: session)
  guard let found = try NetworkPortStore.get(port.portID, in: session) else { return }
  if !port.isMade { return try NetworkPortStore.setDevice("", owner: "", of: found.id, at: now, in: session) }
  // Of a machine that is not known any more nobody will say that it let go.
  if found.isBound, try NodeStore.get(found.bindingHostID, in: session) != nil {
    try NetworkPortStore.markBeingDeleted(found.id, at: now, in: session)
  } else {
    try NetworkPortStore.delete(found.id, in: session)
  }
}
