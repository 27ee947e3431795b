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
      var nodes = Set(try NetworkPortStore.nodesInBuild(in: session))
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
      try parts.showVIFs(node: node, at: now, in: session)
      let stranded = try NetworkPortStore.stranded(host: node, in: session)
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
                if busy.end(node) { conductor.wakeups.signal(Conductor.rewiringName) }
              }
            }
          } catch is CancellationError { break } catch {
            conductor.logger.error("network ports: \(error)")
          }
          // Changes come in crowds: a moment later they share a visit of each switch.
          try? await Task.sleep(for: .milliseconds(20))
          // Woken by the change; the period is for machines that a workflow held then, and switches that did not answer.
          await conductor.wakeups.wait(for: Conductor.rewiringName, limit: .seconds(5), since: seen)
        }
      }
    }
  }
}

/// Machines that a task is working on.
private final class NodesAtWork: Sendable {
  /// By node: whether it was asked for again meanwhile.
  private let nodes = Mutex<[String: Bool]>([:])
  /// - Returns: false when somebody is at it already.
  func begin(_ node: String) -> Bool {
    nodes.withLock { nodes in
      let isFree = nodes[node] == nil
      nodes[node] = !isFree
      return isFree
    }
  }
  /// - Returns: whether there is more to do.
  func end(_ node: String) -> Bool { nodes.withLock { $0.removeValue(forKey: node) ?? false } }
}
