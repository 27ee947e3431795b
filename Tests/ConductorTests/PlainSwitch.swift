import Domain
import DriverInterfaces
import Synchronization

/// A switch that does what it is told, and can be told to misbehave: for the order of things between the server and its switches.
final class PlainSwitch: SwitchInterface {
  struct State {
    var ports: [String: PortConfiguration]
    /// Thrown by everything that is asked.
    var fault: DriverError.Code?
    /// How long everything takes.
    var delay: Duration = .zero
    var reads = 0
    /// Runs once, after the next read and before it is told of.
    var meanwhile: (@Sendable () async throws -> Void)?
  }
  let name: String
  let capabilities: SwitchCapabilities = []
  private let state: Mutex<State>

  init(_ name: String, _ ports: [String: PortConfiguration]) {
    self.name = name
    state = Mutex(State(ports: ports))
  }
  func with<Value: Sendable>(_ body: (inout sending State) -> sending Value) -> Value { state.withLock { body(&$0) } }
  subscript(_ port: String) -> PortConfiguration? { with { $0.ports[port] } }
  func set(_ port: String, _ configuration: PortConfiguration) { with { $0.ports[port] = configuration } }

  private func turn() async throws {
    let (delay, fault) = with { ($0.delay, $0.fault) }
    if delay > .zero { try await Task.sleep(for: delay) }
    if let fault { throw DriverError(fault, device: .networkSwitch(name), detail: "10.9.8.7 does not answer") }
  }
  func probe() async throws { try await turn() }
  func listPorts() async throws -> [String: PortConfiguration] {
    try await turn()
    let (found, meanwhile) = with { state in
      state.reads += 1
      defer { state.meanwhile = nil }
      return (state.ports, state.meanwhile)
    }
    try await meanwhile?()
    return found
  }
  func readPort(_ port: String) async throws -> PortConfiguration { try await listPorts()[port] ?? .quarantine }
  func apply(_ ports: [String: PortConfiguration], label: String?) async throws {
    try await turn()
    for (port, configuration) in ports { set(port, configuration) }
  }
  func macTable() async throws -> [(port: String, vlan: Int, mac: MACAddress)] { [] }
  func watch() -> AsyncThrowingStream<Set<String>, any Error> { AsyncThrowingStream { $0.finish() } }
}

struct PlainSwitches: SwitchRegistry {
  let all: [any SwitchInterface]
  func switchNamed(_ name: String) throws -> any SwitchInterface {
    guard let found = all.first(where: { $0.name == name }) else {
      throw DriverError(.misconfigured, device: .networkSwitch(name), detail: "no switch of this name is configured")
    }
    return found
  }
}
