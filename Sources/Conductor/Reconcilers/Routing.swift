import Domain
import DriverInterfaces
import Store
import Synchronization
import Wire

/// What the last round found, so that a log line is written when it is new.
final class RoutingReport: Sendable {
  private let last = Mutex("")
  func isNew(_ text: String) -> Bool {
    last.withLock { last in
      defer { last = text }
      return last != text
    }
  }
}

extension Conductor {
  /// Brings routers, floating IPs and DHCP about as the database wants them, and shows what came of it.
  ///
  /// It is the whole wanted state each time, so a server that is killed anywhere goes on with its first round. What is shown
  /// is ACTIVE only once packets go that way; when that cannot be found out, it stays as it is.
  /// - Returns: false when it must be tried again soon.
  func carryRouting() async throws -> Bool {
    guard let routing else {
      guard try await database.read({ try RoutingStore.hasRouters(in: $0) }) else { return true }
      let wanted = try await database.read { try RoutingStore.topology(in: $0) }
      try await show(
        wanted, RoutingPlan(RoutingTopology(routers: [], networks: []), physicalNetworks: []), nothing: true)
      return true
    }
    let wanted = try await database.read { try RoutingStore.topology(in: $0) }
    let plan = RoutingPlan(wanted, physicalNetworks: routing.physicalNetworks)
    do {
      let changes = try await routing.apply(plan.topology)
      if !changes.isEmpty { logger.info("routing: \(changes.count) changes: \(changes[0])") }
      let found = problems(plan).joined(separator: "; ")
      if routingReport.isNew(found), !found.isEmpty { logger.warning("routing: \(found)") }
    } catch let error as CancellationError {
      throw error
    } catch {
      if routingReport.isNew("\(error)") { logger.error("routing: \(error)") }
      return false
    }
    try await show(wanted, plan, nothing: false)
    return true
  }
  /// The reconciler's round: until it succeeds.
  func routingRound() async throws {
    while try await !carryRouting(), !Task.isCancelled {
      await wakeups.wait(for: Self.routingName, limit: .seconds(3))
    }
  }

  /// Writes the statuses that are others than shown.
  /// - Parameter nothing: nothing is there that carries anything.
  private func show(_ wanted: RoutingTopology, _ plan: RoutingPlan, nothing: Bool) async throws {
    var routers: [String: Router.Status] = [:]
    var leads: [RoutingStatusStore.Lead: FloatingIP.Status] = [:]
    for router in wanted.routers {
      // Where nothing carries routers they are kept, ACTIVE as upstream; `doctor` tells, and floating IPs are DOWN.
      routers[router.routerID] = plan.routerProblems[router.routerID] == nil ? .active : .error
      func lead(_ id: String, _ fixed: IPAddress?) {
        leads[.init(id: id, routerID: router.routerID, fixedAddress: fixed)] =
          nothing ? .down : plan.floatingIPProblems[id] == nil ? .active : .error
      }
      for floating in router.floatingIPs { lead(floating.floatingIPID, floating.fixedAddress) }
      let whole = Set(router.floatingIPs.map(\.floatingIPID))
      for id in Set(router.forwardings.map(\.forwarding.floatingIPID)).subtracting(whole) { lead(id, nil) }
    }
    let (shownRouters, shownLeads) = try await database.read { session in
      (try RoutingStatusStore.routers(in: session), try RoutingStatusStore.floatingIPs(in: session))
    }
    let changedRouters = routers.filter { shownRouters[$0.key] != nil && shownRouters[$0.key] != $0.value }
    let changedLeads = leads.filter { shownLeads[$0.key] != nil && shownLeads[$0.key] != $0.value }
    guard !changedRouters.isEmpty || !changedLeads.isEmpty else { return }
    try await database.write { session in
      for (id, status) in changedRouters { try RoutingStatusStore.set(status, router: id, in: session) }
      for (lead, status) in changedLeads { try RoutingStatusStore.set(status, lead, in: session) }
    }
  }

  private func problems(_ plan: RoutingPlan) -> [String] {
    plan.routerProblems.sorted { $0.key < $1.key }.map { "router \($0.key): \($0.value)" }
      + plan.floatingIPProblems.sorted { $0.key < $1.key }.map { "floating IP \($0.key): \($0.value)" }
  }

  /// For `doctor`: what is otherwise than wanted, each a sentence.
  func examineRouting() async throws -> [String] {
    let wanted = try await database.read { try RoutingStore.topology(in: $0) }
    guard let routing else {
      let routers = wanted.routers.count
      let floating = wanted.routers.reduce(0) { $0 + $1.floatingIPs.count }
      guard routers + floating > 0 else { return [] }
      return [
        "\(routers) routers and \(floating) floating IPs are kept and nothing carries them, nor DHCP on tenants' networks: configure `ovn`"
      ]
    }
    let plan = RoutingPlan(wanted, physicalNetworks: routing.physicalNetworks)
    do {
      try await routing.probe()
      return problems(plan) + (try await routing.differences(from: plan.topology)).map { "OVN: \($0)" }
    } catch {
      return problems(plan) + ["\(error)"]
    }
  }
}
