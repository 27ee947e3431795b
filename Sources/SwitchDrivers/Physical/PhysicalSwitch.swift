import Domain
import DriverInterfaces
import Logging

/// A switch with a configuration of its own, whatever the way in: what to change is decided here, and read back.
///
/// Quarantine is a port that is shut down: it has no link, so nothing passes in either direction, whatever VLANs it names.
final class PhysicalSwitch: BatchingSwitch {
  let name: String
  var capabilities: SwitchCapabilities { access.capabilities }
  var caution: String? { access.caution }
  var controlPlane: TunnelControlPlane? { capabilities.contains(.vni) ? fabric.map { .evpn(fabric: $0) } : nil }
  private let access: any SwitchAccess
  private let uplinks: Set<String>
  private let fabric: String?
  let savesChanges: Bool
  private let logger: Logger

  /// - Parameters:
  ///   - uplinks: ports that lead to other switches: never touched.
  ///   - fabric: the EVPN fabric that it belongs to; nil for none.
  ///   - savesChanges: whether every change is written to where the switch starts from.
  init(
    name: String, access: any SwitchAccess, uplinks: Set<String>, fabric: String?, savesChanges: Bool, logger: Logger
  ) {
    self.name = name
    self.access = access
    self.uplinks = uplinks
    self.fabric = fabric
    self.savesChanges = savesChanges
    self.logger = logger
  }

  // MARK: Reading

  func probe() async throws { _ = try await visit { try await $0.ports() } }
  func listPorts() async throws -> [String: PortConfiguration] {
    let uplinks = uplinks
    return try await visit { try await $0.ports() }.filter { !uplinks.contains($0.key) }.mapValues(\.configuration)
  }
  func readPort(_ port: String) async throws -> PortConfiguration {
    let ports = try await visit { try await $0.ports() }
    guard let found = ports[port], !uplinks.contains(port) else { throw unknown(port, among: ports) }
    return found.configuration
  }
  func macTable() async throws -> [(port: String, vlan: Int, mac: MACAddress)] {
    guard capabilities.contains(.macTable) else { return [] }
    return try await visit { try await $0.macTable() }
  }
  func neighbours() async throws -> [SwitchNeighbour] {
    guard capabilities.contains(.lldp) else { return [] }
    return try await visit { try await $0.neighbours() }
  }
  /// Ends at once: nobody here tells of changes. The audit looks.
  func watch() -> AsyncThrowingStream<Set<String>, any Error> { AsyncThrowingStream { $0.finish() } }

  // MARK: Changing

  func ensureNetwork(vlan: Int, name network: String?) async throws {
    guard (1...4094).contains(vlan) else {
      throw error(.refused, "VLAN \(vlan) is not between 1 and 4094")
    }
    let name = SwitchText.networkName(network)
    try await visit { try await $0.ensureNetwork(vlan: vlan, name: name) }
  }
  func save() async throws { try await visit { try await $0.save() } }

  func apply(_ requests: [SwitchRequest]) async -> [Result<Void, DriverError>] {
    do {
      return try await visit { try await self.carryOut(requests, in: $0) }
    } catch {
      return requests.map { _ in .failure(driverError(error)) }
    }
  }

  private func carryOut(_ requests: [SwitchRequest], in session: any SwitchSession) async throws
    -> [Result<Void, DriverError>]
  {
    let before = try await session.ports()
    var results: [Result<Void, DriverError>?] = requests.map { request in
      check(request, against: before).map { .failure($0) }
    }
    let fit = requests.indices.filter { results[$0] == nil }
    if session.isTransactional {
      do {
        for (index, result) in try await transact(fit, of: requests, before, in: session) { results[index] = result }
      } catch let error as DriverError where fit.count > 1 && !error.isTransient {
        // One of them it does not take: the others must not suffer for it.
        for index in fit {
          do {
            results[index] = try await transact([index], of: requests, before, in: session)[index]
          } catch let error as DriverError where !error.isTransient {
            results[index] = .failure(error)
          }
        }
      }
    } else {
      for index in fit {
        do {
          let changes = self.changes(for: requests[index], before, in: session)
          if !changes.isEmpty { try await session.change(changes) }
        } catch let error as DriverError where !error.isTransient {
          results[index] = .failure(error)
          await restore(requests[index], to: before, in: session)
        }
      }
      let after = try await session.ports()
      for index in fit where results[index] == nil {
        results[index] = difference(of: after, from: requests[index]).map { .failure($0) } ?? .success(())
      }
    }
    if savesChanges, fit.contains(where: { !changes(for: requests[$0], before, in: session).isEmpty }) {
      try await session.save()
    }
    return results.map { $0 ?? .failure(error(.badReply, "the visit gave no result")) }
  }

  /// The requests in one change of the switch; what is not in force afterwards is taken back where the switch can.
  private func transact(
    _ indices: [Int], of requests: [SwitchRequest], _ before: [String: SwitchPortState], in session: any SwitchSession
  ) async throws -> [Int: Result<Void, DriverError>] {
    let changes = indices.flatMap { self.changes(for: requests[$0], before, in: session) }
    guard !changes.isEmpty else { return Dictionary(uniqueKeysWithValues: indices.map { ($0, .success(())) }) }
    try await session.change(changes)
    let after = try await session.ports()
    var results: [Int: Result<Void, DriverError>] = [:]
    var failure: DriverError?
    for index in indices {
      let difference = difference(of: after, from: requests[index])
      results[index] = difference.map { .failure($0) } ?? .success(())
      failure = failure ?? difference
    }
    if let failure {
      // Of a request that shuts ports, what was shut stays so: it must not go back to what it carried.
      let shuts = indices.contains { requests[$0].ports.values.contains(.quarantine) }
      if indices.count == 1, shuts {
        try await session.confirm()
      } else if try await session.takeBack(), indices.count > 1 {
        throw failure
      }
    } else {
      try await session.confirm()
    }
    return results
  }

  private func changes(
    for request: SwitchRequest, _ before: [String: SwitchPortState], in session: any SwitchSession
  ) -> [PortChange] {
    request.ports.sorted { $0.key < $1.key }.compactMap { port, wanted in
      guard let state = before[port] else { return nil }
      let description =
        session.keepsDescriptions ? PortDescription.change(from: state.description, label: request.label) : nil
      guard state.configuration != wanted || description != nil else { return nil }
      return PortChange(port: port, before: state, wanted: wanted, description: description)
    }
  }

  /// Puts back what a refused request may have changed. A port that was to be shut stays as far shut as it came.
  private func restore(
    _ request: SwitchRequest, to before: [String: SwitchPortState], in session: any SwitchSession
  ) async {
    let changes: [PortChange] = request.ports.sorted { $0.key < $1.key }.compactMap { port, wanted in
      guard let old = before[port], wanted != .quarantine, old.configuration.problem == nil else { return nil }
      let now = SwitchPortState(configuration: wanted, description: old.description)
      return PortChange(port: port, before: now, wanted: old.configuration, description: nil)
    }
    do {
      if !changes.isEmpty { try await session.change(changes) }
    } catch {
      logger.warning("switch \(name): a refused change could not be taken back: \(error)")
    }
  }

  private func check(_ request: SwitchRequest, against ports: [String: SwitchPortState]) -> DriverError? {
    if let label = request.label, !SwitchText.isWord(label) {
      return error(.refused, "the label is no effect key")
    }
    for (port, configuration) in request.ports.sorted(by: { $0.key < $1.key }) {
      guard ports[port] != nil, !uplinks.contains(port), SwitchText.isPort(port) else {
        return unknown(port, among: ports)
      }
      if let problem = configuration.problem { return error(.refused, problem, port: port) }
      if !configuration.tagged.isEmpty, !capabilities.contains(.trunk) {
        return error(.unsupported, "its driver puts no tagged networks on a port", port: port)
      }
      if !configuration.accessLists.isEmpty, !capabilities.contains(.acl) {
        return error(
          .unsupported, "its driver filters nothing: a security group that does would not be in force", port: port)
      }
    }
    return nil
  }

  private func difference(of ports: [String: SwitchPortState], from request: SwitchRequest) -> DriverError? {
    for (port, wanted) in request.ports.sorted(by: { $0.key < $1.key }) {
      guard let found = ports[port] else { return error(.notInForce, "the port has gone", port: port) }
      guard found.configuration == wanted else {
        return error(
          .notInForce, "wanted \(wanted.summary), found \(found.configuration.summary)", port: port)
      }
    }
    return nil
  }

  // MARK: Visits and errors

  func visit<Value: Sendable>(_ body: (any SwitchSession) async throws -> Value) async throws -> Value {
    do {
      let session = try await access.open()
      do {
        let value = try await body(session)
        await session.close()
        return value
      } catch {
        await session.close()
        throw error
      }
    } catch { throw driverError(error) }
  }

  private func driverError(_ error: any Error) -> DriverError {
    if let error = error as? DriverError { return error }
    if error is CancellationError { return self.error(.unreachable, "the visit was broken off") }
    return self.error(.badReply, SwitchText.quoted("\(error)"))
  }
  func error(_ code: DriverError.Code, _ detail: String, port: String? = nil) -> DriverError {
    DriverError(code, device: .networkSwitch(name, port: port.map { SwitchText.quoted($0) }), detail: detail)
  }
  private func unknown(_ port: String, among ports: [String: SwitchPortState]) -> DriverError {
    if uplinks.contains(port) {
      return error(.misconfigured, "it is an uplink, not a machine's", port: port)
    }
    let names = ports.keys.filter { !uplinks.contains($0) }.sorted()
    let some = names.prefix(5).joined(separator: ", ")
    let more = names.count > 5 ? " and \(names.count - 5) more" : ""
    return error(
      .misconfigured, "the switch has no such port; it has \(names.isEmpty ? "none for machines" : some + more)",
      port: port)
  }
}
