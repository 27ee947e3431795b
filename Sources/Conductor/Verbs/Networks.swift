import Domain
import Store
import Wire
import Workflows

extension Conductor {
  /// Attaches a network port (VIF) to a NIC of a node, in the caller's transaction.
  ///
  /// On a machine that is at rest or runs, the switch follows at once by a workflow; while it is provisioned the networks come
  /// into force at the end of that.
  /// - Parameter portUUID: the NIC; nil takes the first free one.
  /// - Throws: ``ConductorError`` `.conflict` when the VIF is attached or no NIC is free, `.badRequest` for an unknown VIF.
  public func attachVIF(
    networkPortID: String, node: inout Node, port portUUID: String?, by requester: Requester, in session: any Session
  ) throws {
    let isQueued = try isBeingRewired(node, in: session)
    if !isQueued { try requireFree(node) }
    guard let wanted = try NetworkPortStore.get(networkPortID, in: session), !wanted.isBeingDeleted else {
      throw ConductorError(.badRequest, "Port \(networkPortID) could not be found.")
    }
    if let trunk = try TrunkStore.ofSubport(networkPortID, in: session) {
      throw ConductorError(
        .conflict,
        "Unable to attach VIF \(networkPortID): it is a subport of trunk \(trunk.id); attach the trunk's port \(trunk.portID)."
      )
    }
    if let holder = try PortStore.holding(vif: networkPortID, in: session) {
      throw ConductorError(
        .conflict, "Unable to attach VIF because VIF \(networkPortID) is already attached to Ironic Port \(holder.uuid)"
      )
    }
    guard try !NetworkPortStore.isService(networkPortID, in: session) else {
      throw ConductorError(
        .conflict, "Unable to attach VIF \(networkPortID): the port is a router's or holds a floating IP.")
    }
    let ports = try PortStore.list(node: node.uuid, in: session)
    // Members of a bond that must not be used one by one.
    let bonds = try PortGroupStore.list(node: node.uuid, in: session).filter { !$0.supportsStandalonePorts }.map(\.uuid)
    let isBonded = { (port: Port) in port.portGroupUUID.map { bonds.contains($0) } ?? false }
    var port: Port
    if let portUUID {
      guard let found = ports.first(where: { $0.uuid == portUUID }) else {
        throw ConductorError(.badRequest, "Port \(portUUID) is not a port of node \(node.uuid).")
      }
      guard !isBonded(found) else {
        throw ConductorError(
          .badRequest,
          "Port \(portUUID) is a member of port group \(found.portGroupUUID ?? ""), which does not support standalone ports: choose another port, or set standalone_ports_supported."
        )
      }
      guard found.vifPortID == nil else {
        throw ConductorError(
          .conflict, "Unable to attach VIF \(networkPortID): port \(portUUID) already has a VIF attached.")
      }
      port = found
    } else {
      // The NIC that boots first, as Ironic prefers PXE-enabled ports.
      let free = ports.filter { $0.vifPortID == nil && !isBonded($0) }
      guard let first = free.first(where: \.isPXEEnabled) ?? free.first else {
        throw ConductorError(
          .badRequest,
          "Unable to attach VIF \(networkPortID) to node \(node.uuid), reason: not enough free physical ports: all \(ports.count) have one, or are bonded."
        )
      }
      port = first
    }
    guard let attachment = try Attachment(networkPortID, on: port.physicalNetwork, in: session) else {
      throw ConductorError(.badRequest, "Port \(networkPortID) could not be found.")
    }
    if parts.isWired(node) {
      guard let place = port.switchPort else {
        throw ConductorError(
          .badRequest,
          "Port \(port.uuid) does not say which switch port it is wired to: set it with `openstack baremetal port set --local-link-connection`, or inspect the node."
        )
      }
      let device = try parts.switches.switchNamed(place.switchName)
      if !attachment.tagged.isEmpty, !device.capabilities.contains(.trunk) {
        throw ConductorError(
          .conflict,
          "Unable to attach VIF \(networkPortID): it is the parent of a trunk, and switch \(place.switchName) cannot carry tagged networks."
        )
      }
      if let problem = attachment.problem {
        throw ConductorError(.conflict, "Unable to attach VIF \(networkPortID): \(problem)")
      }
    }
    for item in attachment.all { try requireFilters(for: item.port, on: port, of: node) }
    let now = clock()
    port.vifPortID = networkPortID
    port.updatedAt = now
    try PortStore.update(port, in: session)
    for item in attachment.all {
      // The machine's VLAN interfaces have their NIC's address, too.
      try NetworkPortStore.bind(item.port.id, hostID: node.uuid, macAddress: port.address, at: now, in: session)
    }
    routingChanged(in: session)
    if isQueued { return try networksChanged(attachment.all.map(\.port.id), in: session) }
    try change(networkPortID, port, "attach-network", &node, by: requester, in: session)
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
    guard let nic = try PortStore.holding(vif: trunk.portID, in: session),
      let attachment = try Attachment(nic, in: session), let node = try NodeStore.get(nic.nodeUUID, in: session)
    else { return }
    if parts.isWired(node), let problem = attachment.problem { throw ConductorError(.conflict, problem) }
    for item in attachment.tagged { try requireFilters(for: item.port, on: nic, of: node) }
    for id in added {
      try NetworkPortStore.bind(id, hostID: node.uuid, macAddress: nic.address, at: clock(), in: session)
    }
    routingChanged(in: session)
    try networksChanged(added, in: session)
  }

  /// Detaches a network port from a node, in the caller's transaction; it stays attached nowhere, DOWN, once the switch
  /// was read back.
  public func detachVIF(networkPortID: String, node: inout Node, by requester: Requester, in session: any Session)
    throws
  {
    guard var port = try PortStore.holding(vif: networkPortID, in: session), port.nodeUUID == node.uuid else {
      throw ConductorError(
        .badRequest, "Unable to detach VIF \(networkPortID) from node \(node.uuid) because it is not attached to it.")
    }
    let isQueued = try isBeingRewired(node, in: session)
    if !isQueued { try requireFree(node) }
    port.vifPortID = nil
    port.updatedAt = clock()
    try PortStore.update(port, in: session)
    if isQueued { return session.afterCommit { [wakeups] in wakeups.signal(Self.rewiringName) } }
    try change(networkPortID, port, "detach-network", &node, by: requester, in: session)
  }

  private func change(
    _ vif: String, _ port: Port, _ kind: String, _ node: inout Node, by requester: Requester, in session: any Session
  ) throws {
    let id = Identifier.uuid()
    node.reservation = id
    node.updatedAt = clock()
    try NodeStore.update(node, in: session)
    _ = try start(
      kind, id: id, subject: node.uuid, params: ["port": .string(port.uuid), "vif": .string(vif)], by: requester,
      in: session)
    // The network port has another MAC, or no machine, from now on.
    routingChanged(in: session)
  }

  /// Call it in the transaction that changes `admin_state_up` of network ports, or of their network, or what may pass at them:
  /// those that a machine's NIC has are shown as BUILD until the switch does what is wanted now.
  /// - Throws: ``ConductorError`` `.conflict` when one has port security now and its switch cannot filter.
  public func networksChanged(_ networkPortIDs: [String], in session: any Session) throws {
    let now = clock()
    for id in networkPortIDs {
      guard let holder = try PortStore.carrying(id, in: session) else { continue }
      if let networkPort = try NetworkPortStore.get(id, in: session), networkPort.isPortSecurityEnabled,
        let node = try NodeStore.get(holder.nodeUUID, in: session)
      {
        try requireFilters(for: networkPort, on: holder, of: node)
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
    try PortStore.list(node: node.uuid, in: session).compactMap(\.vifPortID)
  }
}
