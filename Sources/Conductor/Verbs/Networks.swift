import Domain
import Store
import Wire
import Workflows

extension Conductor {
  /// Attaches a network port (VIF) to a NIC or a port group of a node, in the caller's transaction.
  ///
  /// On a machine that is at rest or runs, the switch follows at once by a workflow; while it is provisioned the networks come
  /// into force at the end of that.
  /// - Throws: ``ConductorError`` `.conflict` when the VIF is attached or the place is taken, `.badRequest` for an unknown VIF,
  ///   a place that cannot have it, or when none is free.
  public func attachVIF(
    networkPortID: String, node: inout Node, at wanted: VIFPlace = .anyFree, by requester: Requester,
    in session: any Session
  ) throws {
    let isQueued = try isBeingRewired(node, in: session)
    if !isQueued { try requireFree(node) }
    let (attachment, place) = try recordVIF(networkPortID, on: node, at: wanted, in: session)
    if isQueued { return try networksChanged(attachment.all.map(\.port.id), in: session) }
    try change(networkPortID, place, "attach-network", &node, by: requester, in: session)
  }
  /// Checks an attachment and writes it down; the switch follows by a workflow that the caller starts.
  /// - Throws: as ``attachVIF(networkPortID:node:at:by:in:)``; nothing was written then.
  @discardableResult
  func recordVIF(
    _ networkPortID: String, on node: Node, at wanted: VIFPlace, in session: any Session
  ) throws -> (Attachment, VIFHolder) {
    guard let port = try NetworkPortStore.get(networkPortID, in: session), !port.isBeingDeleted else {
      throw ConductorError(.badRequest, "Port \(networkPortID) could not be found.")
    }
    if let trunk = try TrunkStore.ofSubport(networkPortID, in: session) {
      throw ConductorError(
        .conflict,
        "Unable to attach VIF \(networkPortID): it is a subport of trunk \(trunk.id); attach the trunk's port \(trunk.portID)."
      )
    }
    if let holder = try VIFStore.holder(of: networkPortID, in: session) {
      throw ConductorError(
        .conflict, "Unable to attach VIF because VIF \(networkPortID) is already attached to \(holder.label)")
    }
    guard try !NetworkPortStore.isService(networkPortID, in: session) else {
      throw ConductorError(
        .conflict, "Unable to attach VIF \(networkPortID): the port is a router's or holds a floating IP.")
    }
    let place = try place(wanted, for: networkPortID, on: node, in: session)
    guard let attachment = try Attachment(networkPortID, on: place.physicalNetwork, in: session) else {
      throw ConductorError(.badRequest, "Port \(networkPortID) could not be found.")
    }
    try requireCarried(attachment, at: place, of: node)
    try VIFStore.set(networkPortID, on: place, at: clock(), in: session)
    for item in attachment.all { try bind(item.port.id, to: place, in: session) }
    routingChanged(in: session)
    return (attachment, place)
  }
  /// A network port at a place has its address there: the NIC's or the bond's, which the machine's VLAN interfaces have, too.
  private func bind(_ networkPort: String, to place: VIFHolder, in session: any Session) throws {
    try NetworkPortStore.bind(
      networkPort, hostID: place.nodeUUID, macAddress: place.macAddress, profile: place.bindingProfile, at: clock(),
      in: session)
  }

  /// Whether the node is held by nothing but another change of its networks: what is asked of its NICs meanwhile is written
  /// down, and comes into force after that.
  private func isBeingRewired(_ node: Node, in session: any Session) throws -> Bool {
    guard let id = node.reservation, let workflow = try WorkflowStore.get(id, in: session) else { return false }
    return ["attach-network", "detach-network"].contains(workflow.kind)
  }

  /// Call it in the transaction that changes the subports of a trunk. Where a machine has the parent, `added` are BUILD until
  /// the switch carries their networks, and those that were taken out stay bound until it was read back without them.
  /// - Throws: ``ConductorError`` `.conflict` when the switch cannot carry them; nothing was changed.
  public func subportsChanged(of trunk: Trunk, added: [String], in session: any Session) throws {
    guard let holder = try VIFStore.holder(of: trunk.portID, in: session),
      let attachment = try Attachment(trunk.portID, on: holder.physicalNetwork, in: session),
      let node = try NodeStore.get(holder.nodeUUID, in: session)
    else { return }
    if parts.isWired(node), let problem = attachment.problem { throw ConductorError(.conflict, problem) }
    for item in attachment.tagged { try requireFilters(for: item.port, at: holder, of: node) }
    for id in added { try bind(id, to: holder, in: session) }
    routingChanged(in: session)
    try networksChanged(added, in: session)
  }

  /// Detaches a network port from a node, in the caller's transaction; it stays attached nowhere, DOWN, once the switch
  /// was read back.
  public func detachVIF(networkPortID: String, node: inout Node, by requester: Requester, in session: any Session)
    throws
  {
    guard let holder = try VIFStore.holder(of: networkPortID, in: session), holder.nodeUUID == node.uuid else {
      throw ConductorError(
        .badRequest, "Unable to detach VIF \(networkPortID) from node \(node.uuid) because it is not attached to it.")
    }
    let isQueued = try isBeingRewired(node, in: session)
    if !isQueued { try requireFree(node) }
    try VIFStore.set(nil, on: holder, at: clock(), in: session)
    if isQueued { return session.afterCommit { [wakeups] in wakeups.signal(Self.rewiringName) } }
    try change(networkPortID, holder, "detach-network", &node, by: requester, in: session)
  }

  private func change(
    _ vif: String, _ place: VIFHolder, _ kind: String, _ node: inout Node, by requester: Requester,
    in session: any Session
  ) throws {
    let id = Identifier.uuid()
    node.reservation = id
    node.updatedAt = clock()
    try NodeStore.update(node, in: session)
    _ = try start(
      kind, id: id, subject: node.uuid,
      params: [place.isPortGroup ? "port_group" : "port": .string(place.uuid), "vif": .string(vif)],
      by: requester, in: session)
    // The network port has another MAC, or no machine, from now on.
    routingChanged(in: session)
  }

  /// Call it in the transaction that changes `admin_state_up` of network ports, or of their network, or what may pass at them:
  /// those that a machine's NIC has are shown as BUILD until the switch does what is wanted now.
  /// - Throws: ``ConductorError`` `.conflict` when one has port security now and its switch cannot filter.
  public func networksChanged(_ networkPortIDs: [String], in session: any Session) throws {
    let now = clock()
    for id in networkPortIDs {
      let nics = try VIFStore.nics(carrying: id, in: session)
      guard let first = nics.first else { continue }
      if let networkPort = try NetworkPortStore.get(id, in: session), networkPort.isPortSecurityEnabled,
        let node = try NodeStore.get(first.nodeUUID, in: session)
      {
        for nic in nics { try requireFilters(for: networkPort, on: nic, of: node) }
      }
      try NetworkPortStore.setStatus(.build, of: id, at: now, in: session)
    }
    session.afterCommit { [wakeups] in wakeups.signal(Self.rewiringName) }
  }
  static let rewiringName = "network-ports"

  /// Something that routers, floating IPs or the addresses of machines depend on changes in this transaction: the reconciler
  /// ``routingName`` looks again after the commit.
  public func routingChanged(in session: any Session) {
    session.afterCommit { [wakeups] in wakeups.signal(Self.routingName) }
  }
  public static let routingName = "routing"

  /// The network ports attached to a node.
  public func vifs(_ node: Node, in session: any Session) throws -> [String] {
    try PortStore.list(node: node.uuid, in: session).vifs
  }
}
