import Domain
import DriverInterfaces
import Store
import Wire

extension Conductor {
  /// Brings about what changed of attached network ports and their networks (``networksChanged(_:in:)``): the switch ports of
  /// their machines are set, read back, and shown as they are.
  ///
  /// BUILD in the database is the work to do, and ports that are bound and no NIC has any more (queued, or taken out of a
  /// trunk), so a server that is killed goes on with it. A machine that a workflow holds is
  /// left alone until that is over: the workflow puts the networks in force itself, or has nothing to do with them.
  public func rewire() async throws {
    let nodes = try await database.read { session -> [String] in
      let waiting = try NetworkPortStore.list(in: session) { $0.append("WHERE p.status = 'BUILD'") }
      var nodes: Set<String> = []
      for port in waiting {
        if let holder = try PortStore.carrying(port.id, in: session) { nodes.insert(holder.nodeUUID) }
      }
      nodes.formUnion(try NetworkPortStore.stranded(in: session).map(\.bindingHostID))
      return nodes.sorted()
    }
    await forEachConcurrently(nodes, width: 8) { node in
      do { try await self.rewire(node) } catch { self.logger.error("networks of node \(node): \(error)") }
    }
  }

  private func rewire(_ node: String) async throws {
    let parts = parts
    let wanted = try await database.write { session -> Parts.WantedPorts? in
      guard let holder = try NodeStore.get(node, in: session), holder.reservation == nil else { return nil }
      return try parts.wantNetworks(.tenant, node: node, label: nil, in: session)
    }
    guard let wanted else { return }
    try await parts.apply(wanted, label: nil)
    let now = clock()
    try await database.write { session in
      // A workflow that took the node meanwhile shows what comes of it.
      guard try NodeStore.get(node, in: session)?.reservation == nil else { return }
      try parts.showVIFs(node: node, at: now, in: session)
      let stranded = try NetworkPortStore.stranded(in: session).filter { $0.bindingHostID == node }
      try parts.releaseStranded(stranded, of: node, at: now, in: session)
      self.routingChanged(in: session)
    }
  }
}
