import Domain
import DriverInterfaces

/// The one way to a switch: one visit at a time, and everyone who waits goes along on the next one.
///
/// A switch takes as long for one port as for a hundred, and many of them take one session only. So while a visit is
/// under way the requests that arrive wait here, and then go together; each caller gets the result of its own ports.
/// Requests for the same port never share a visit and keep their order. Knows nothing of any kind of switch.
///
/// While a switch that did not answer last time is being tried again, others are not kept waiting for it: they are told at once
/// what it did last, and come back later. So a dead switch costs one caller its time, not all of them.
public actor SwitchQueue: SwitchInterface {
  /// Callers that may wait; more are told to come back (``DriverError`` `.busy`).
  public static let waitingLimit = 10_000
  /// Ports in one visit.
  public static let portLimit = 4096

  private enum Turn: Sendable {
    /// The visit is yours to make.
    case lead
    /// Somebody's visit did your request too.
    case done(Result<Void, DriverError>)
  }
  private struct Waiter {
    /// Nil for a caller that wants the switch for itself: a read.
    let request: SwitchRequest?
    let continuation: CheckedContinuation<Turn, Never>
  }

  public nonisolated let name: String
  public nonisolated let capabilities: SwitchCapabilities
  public nonisolated let physicalNetwork: String?
  public nonisolated var controlPlane: TunnelControlPlane? { driver.controlPlane }
  private nonisolated let driver: any BatchingSwitch
  private var isBusy = false
  private var waiting: [Waiter] = []
  /// Why the last visit found nobody; nil when it did.
  private var silence: DriverError?
  /// Visits that changed something, for tests and metrics.
  public private(set) var visits = 0

  /// Callers that wait for their turn now.
  public var waitingCount: Int { waiting.count }

  /// - Parameter physicalNetwork: the one of the configuration, where the driver has none of its own.
  public init(_ driver: any BatchingSwitch, physicalNetwork: String? = nil) {
    self.driver = driver
    name = driver.name
    capabilities = driver.capabilities
    self.physicalNetwork = physicalNetwork ?? driver.physicalNetwork
  }

  public func apply(_ ports: [String: PortConfiguration], label: String?) async throws {
    guard !ports.isEmpty else { return }
    let request = SwitchRequest(ports: ports, label: label)
    switch try await turn(for: request) {
    case .done(let result): return try result.get()
    case .lead: break
    }
    let companions = takeCompanions(of: request)
    visits += 1
    // Not the caller's child: when it is cancelled the visit still has to end whole, for it and its companions.
    let driver = driver
    let batch = [request] + companions.compactMap(\.request)
    let results = await Task { await driver.apply(batch) }.value
    hear(results.lazy.compactMap { $0.failure }.first { $0.code == .unreachable })
    passOn()
    for (index, companion) in companions.enumerated() {
      companion.continuation.resume(returning: .done(result(index + 1, of: results)))
    }
    try result(0, of: results).get()
  }

  public func probe() async throws { try await alone { try await $0.probe() } }
  public func listPorts() async throws -> [String: PortConfiguration] { try await alone { try await $0.listPorts() } }
  public func readPort(_ port: String) async throws -> PortConfiguration {
    try await alone { try await $0.readPort(port) }
  }
  public func boundVNIs() async throws -> [Int: Int] { try await alone { try await $0.boundVNIs() } }
  public func bindVNI(_ vni: Int, vlan: Int) async throws { try await alone { try await $0.bindVNI(vni, vlan: vlan) } }
  public func unbindVNI(_ vni: Int) async throws { try await alone { try await $0.unbindVNI(vni) } }
  public func macTable() async throws -> [(port: String, vlan: Int, mac: MACAddress)] {
    try await alone { try await $0.macTable() }
  }
  public func ensureNetwork(vlan: Int, name: String?) async throws {
    try await alone { try await $0.ensureNetwork(vlan: vlan, name: name) }
  }
  public func neighbours() async throws -> [SwitchNeighbour] { try await alone { try await $0.neighbours() } }
  public func save() async throws { try await alone { try await $0.save() } }
  public nonisolated var caution: String? { driver.caution }
  /// Passed through: a stream is no visit.
  public nonisolated func watch() -> AsyncThrowingStream<Set<String>, any Error> { driver.watch() }

  func alone<Value: Sendable>(_ body: @Sendable (any BatchingSwitch) async throws -> Value) async throws
    -> Value
  {
    if case .done(let result) = try await turn(for: nil) { try result.get() }
    defer { passOn() }
    do {
      let value = try await body(driver)
      hear(nil)
      return value
    } catch {
      hear(error as? DriverError)
      throw error
    }
  }

  /// What a visit has shown of the switch. A refusal is an answer too.
  private func hear(_ error: DriverError?) {
    silence = error.flatMap { $0.code == .unreachable ? $0 : nil }
    guard let silence else { return }
    // Who waits would only find out the same, one after the other.
    let all = waiting
    waiting = []
    for waiter in all { waiter.continuation.resume(returning: .done(.failure(silence))) }
  }

  private func turn(for request: SwitchRequest?) async throws(DriverError) -> Turn {
    if !isBusy {
      isBusy = true
      return .lead
    }
    if let silence { throw silence }
    guard waiting.count < Self.waitingLimit else {
      throw DriverError(.busy, device: .networkSwitch(name), detail: "\(waiting.count) requests wait for it already")
    }
    return await withCheckedContinuation { waiting.append(Waiter(request: request, continuation: $0)) }
  }

  /// Ends a turn: the first in the line has the next.
  private func passOn() {
    if waiting.isEmpty {
      isBusy = false
    } else {
      waiting.removeFirst().continuation.resume(returning: .lead)
    }
  }

  /// Takes out of the line every request that can share the visit.
  private func takeCompanions(of request: SwitchRequest) -> [Waiter] {
    var taken: [Waiter] = []
    var left: [Waiter] = []
    // A port that is in the visit, or wanted by someone who stays behind: later requests for it must stay behind too.
    var closed = Set(request.ports.keys)
    var room = Self.portLimit - request.ports.count
    for waiter in waiting {
      guard let ports = waiter.request?.ports else {
        left.append(waiter)
        continue
      }
      if ports.count <= room, closed.isDisjoint(with: ports.keys) {
        taken.append(waiter)
        room -= ports.count
      } else {
        left.append(waiter)
      }
      closed.formUnion(ports.keys)
    }
    waiting = left
    return taken
  }

  private func result(_ index: Int, of results: [Result<Void, DriverError>]) -> Result<Void, DriverError> {
    guard results.indices.contains(index) else {
      return .failure(DriverError(.badReply, device: .networkSwitch(name), detail: "the driver gave no result"))
    }
    return results[index]
  }
}

extension Result {
  var failure: Failure? { if case .failure(let error) = self { error } else { nil } }
}
