import Domain
import DriverInterfaces
import Store
import TestSupport
import Wire

@testable import Conductor
@testable import SwitchDrivers

/// Real switches, and the world's, from which the world's machine boots.
struct BesideTheWorld: SwitchRegistry {
  let real: any SwitchRegistry
  let world: WorldSwitch
  func switchNamed(_ name: String) throws -> any SwitchInterface {
    Both(real: try real.switchNamed(name), world: world)
  }
  var all: [any SwitchInterface] { real.all.map { Both(real: $0, world: world) } }

  private struct Both: SwitchInterface {
    let real: any SwitchInterface
    let world: WorldSwitch
    var name: String { real.name }
    var capabilities: SwitchCapabilities { real.capabilities }
    func probe() async throws { try await real.probe() }
    func listPorts() async throws -> [String: PortConfiguration] { try await real.listPorts() }
    func readPort(_ port: String) async throws -> PortConfiguration { try await real.readPort(port) }
    func apply(_ ports: [String: PortConfiguration], label: String?) async throws {
      try await real.apply(ports, label: label)
      try await world.apply(ports, label: label)
    }
    func macTable() async throws -> [(port: String, vlan: Int, mac: MACAddress)] { [] }
    func watch() -> AsyncThrowingStream<Set<String>, any Error> { real.watch() }
  }
}

/// One switch, whatever it is called.
struct OneSwitch: SwitchRegistry {
  let device: any SwitchInterface
  var all: [any SwitchInterface] { [device] }
  func switchNamed(_ name: String) throws -> any SwitchInterface { device }
}

/// A server whose machine n1 is leased, on its tenant's network (VLAN 205), and wired to port n1 of a real switch.
struct WiredSite: Sendable {
  let site: CrashSite
  let folder: String
  private let makeParts: @Sendable () throws -> SiteParts

  /// - Parameter limit: how long each part of a visit to the switch may take.
  init(_ home: VirtualSwitch, folder: String, limit: Duration = .seconds(5)) throws {
    self.folder = folder
    makeParts = {
      var parts = SiteParts()
      let queue = SwitchQueue(try home.driver(limit: limit))
      parts.switches = { BesideTheWorld(real: OneSwitch(device: queue), world: $0) }
      parts.port = { $0.localLinkConnection["switch_info"] = "tor-1" }
      return parts
    }
    site = try CrashSite(folder: folder, options: [:], parts: try makeParts())
  }
  var conductor: Conductor { site.conductor }
  var database: Database { site.database }

  func intent() async throws -> SwitchPortStore.Intent? {
    try await database.read { try SwitchPortStore.get(SwitchPort(switchName: "tor-1", port: "n1"), in: $0) }
  }
  func node() async throws -> Node? { try await database.read { try NodeStore.get(CrashSite.node, in: $0) } }
  func lease() async throws -> Lease? {
    var filter = LeaseStore.Filter()
    filter.resourceUUID = CrashSite.node
    return try await database.read { [filter] in try LeaseStore.list(filter, in: $0).first }
  }
}
