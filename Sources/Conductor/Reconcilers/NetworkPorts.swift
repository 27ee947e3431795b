import Domain
import DriverInterfaces
import ServiceLifecycle
import Store
import Synchronization
import Wire

extension Conductor {
  /// Brings about what changed of attached network ports and their networks (``networksChanged(_:in:)``): the switch ports of
  /// their machines are set, read back, and shown as they are.
  ///
  /// BUILD in the database is the work to do, and ports that are bound and no NIC has any more (queued, or taken out of a
  /// trunk), so a server that is killed goes on with it. A machine that a workflow holds is
  /// left alone until that is over: the workflow puts the networks in force itself, or has nothing to do with them.
  ///
  /// All machines go at once: those on one switch share its visits (``SwitchQueue``), and a switch that does not answer costs its own
  /// machines their time.
  public func rewire() async throws {
    await forEachConcurrently(try await nodesToRewire(), width: 10_000) { await self.rewireOrSay($0) }
  }
  /// Machines with attached network ports that are BUILD.
  fileprivate func nodesToRewire() async throws -> [String] {
    try await database.read { session -> [String] in
      let waiting = try NetworkPortStore.list(in: session) { $0.append("WHERE p.status = 'BUILD'") }
      var nodes: Set<String> = []
      for port in waiting {
        if let holder = try PortStore.carrying(port.id, in: session) { nodes.insert(holder.nodeUUID) }
      }
      nodes.formUnion(try NetworkPortStore.stranded(in: session).map(\.bindingHostID))
      return nodes.sorted()
    }
  }
  fileprivate func rewireOrSay(_ node: String) async {
    do { try await rewire(node) } catch is CancellationError {} catch {
      logger.error("networks of node \(node): \(error)")
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
      // What was changed again since is BUILD, and stays so until that is in force.
      let isStale = try PortStore.list(node: node, in: session).contains { port in
        guard let place = port.switchPort, let intent = try SwitchPortStore.get(place, in: session) else {
          return false
        }
        return try intent.configuration != parts.configuration(of: port, .tenant, in: session)
      }
      guard !isStale else {
        return session.afterCommit { [wakeups = parts.wakeups] in wakeups.signal(Self.rewiringName) }
      }
      try parts.showVIFs(node: node, at: now, in: session)
      let stranded = try NetworkPortStore.stranded(in: session).filter { $0.bindingHostID == node }
      try parts.releaseStranded(stranded, of: node, at: now, in: session)
      self.routingChanged(in: session)
    }
  }
}

/// Rewires machines whose network ports changed (``Conductor/rewire()``), each on its own: one whose switch does not answer keeps no other
/// waiting, and none is worked on twice at a time.
struct Rewiring: Service {
  let conductor: Conductor

  func run() async throws {
    let busy = NodesAtWork()
    await cancelWhenGracefulShutdown {
      await withDiscardingTaskGroup { group in
        while !Task.isCancelled {
          let seen = conductor.wakeups.count(of: Conductor.rewiringName)
          do {
            for node in try await conductor.nodesToRewire() {
              guard busy.begin(node) else { continue }
              group.addTask {
                await conductor.rewireOrSay(node)
                busy.end(node)
              }
            }
          } catch is CancellationError { break } catch {
            conductor.logger.error("network ports: \(error)")
          }
          // Woken by the change; the period is for machines that a workflow held then, and switches that did not answer.
          await conductor.wakeups.wait(for: Conductor.rewiringName, limit: .seconds(5), since: seen)
        }
      }
    }
  }
}

/// Machines that a task is working on.
private final class NodesAtWork: Sendable {
  private let nodes = Mutex<Set<String>>([])
  /// - Returns: false when somebody is at it already.
  func begin(_ node: String) -> Bool { nodes.withLock { $0.insert(node).inserted } }
  func end(_ node: String) { nodes.withLock { _ = $0.remove(node) } }
}
