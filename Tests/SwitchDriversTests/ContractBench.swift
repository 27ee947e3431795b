import Domain
import DriverInterfaces
import Glibc
import Processes
import Simulators
import TestSupport
import Testing
import Wire

@testable import SwitchDrivers

/// A stand-in for one kind of switch, with the driver's configuration for it.
struct ContractBench: Sendable {
  /// Four for machines and, last, an uplink.
  let ports: [String]
  let configuration: SwitchConfiguration
  let setFaults: @Sendable (SwitchFaults) async throws -> Void
  /// Opens the switch's own way to change a port by hand: it carries VLAN 666 then.
  let editByHand: @Sendable (_ port: String) async throws -> Void
  /// What somebody wrote on a port.
  let describe: @Sendable (_ port: String, _ text: String) async throws -> Void
  let description: @Sendable (_ port: String) async throws -> String
  /// Changes that reached the switch.
  let effects: @Sendable () async throws -> Int
  /// Everything that was ever sent to it.
  let transcript: @Sendable () async throws -> String
  /// The same switch, seen by one who trusts another certificate or host key, and one with another password or key.
  let distrusting: SwitchConfiguration
  let unknown: SwitchConfiguration
  /// Nothing listens there.
  let absent: SwitchConfiguration
  let isSaved: @Sendable () async throws -> Bool

  static let password = "pa55-w0rd"

  var registry: Switches { get throws { try Self.registry(configuration) } }
  static func registry(_ configuration: SwitchConfiguration) throws -> Switches {
    try Switches([configuration], logger: .init(label: "test"))
  }
  func device(_ configuration: SwitchConfiguration? = nil, limit: Duration? = nil) throws -> any SwitchInterface {
    var configuration = configuration ?? self.configuration
    if let limit { configuration.limit = limit }
    return try Self.registry(configuration).switchNamed(configuration.name)
  }
  func fault(_ change: (inout SwitchFaults) -> Void) async throws {
    var faults = SwitchFaults()
    change(&faults)
    try await setFaults(faults)
  }

  private static func environment(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }
  private static let isLong = environment("STEELYARD_SLOW") != nil
  /// The kinds to test: one for each way in and each feature that templates have; all of them in `scripts/test slow`, and those in
  /// `STEELYARD_SWITCH_KINDS`, separated by commas, where it is set. `openvswitch` and `linux-frr` have benches of their own.
  static let kinds: [String] = {
    let all = Switches.kinds.filter { $0 != "openvswitch" && $0 != "linux-frr" }
    if let chosen = environment("STEELYARD_SWITCH_KINDS") {
      return chosen.split(separator: ",").map { String($0) }.filter { all.contains($0) }
    }
    return isLong ? all : all.filter { chief.contains($0) || featured.contains($0) }
  }()
  /// Of them one for each way in and each way to change a configuration.
  static let engines: [String] = {
    environment("STEELYARD_SWITCH_KINDS") != nil || isLong ? kinds : kinds.filter { chief.contains($0) }
  }()
  private static let chief = [
    "arista-eapi", "cumulus-nvue", "restconf-openconfig", "netconf-openconfig", "cisco-nxos", "dell-os9",
    "juniper-junos", "sonic",
  ]
  /// What else templates have: ports under their networks without tags, another word than `shutdown`, lists that are added to
  /// with a candidate and questions, statements behind their header, networks that must be told from routing, a question at
  /// saving.
  private static let featured = ["brocade-fastiron", "huawei-vrpv8", "mellanox-mlnxos", "aruba-aoscx", "cisco-s300"]

  /// Most of the time of a bench goes by with waiting for a log-in: a few are used at a time, and not all, for others keep time
  /// on the same processors.
  private static let places = Places(3)
  private actor Places {
    private var free: Int
    private var waiting: [CheckedContinuation<Void, Never>] = []
    init(_ count: Int) { free = count }
    func take() async {
      if free > 0 {
        free -= 1
      } else {
        await withCheckedContinuation { waiting.append($0) }
      }
    }
    func leave() {
      if waiting.isEmpty {
        free += 1
      } else {
        waiting.removeFirst().resume()
      }
    }
  }

  static func with(_ kind: String, _ body: @escaping @Sendable (ContractBench) async throws -> Void) async throws {
    await places.take()
    do {
      try await start(kind, body)
    } catch {
      await places.leave()
      throw error
    }
    await places.leave()
  }
  private static func start(
    _ kind: String, _ body: @escaping @Sendable (ContractBench) async throws -> Void
  ) async throws {
    switch kind {
    case "arista-eapi":
      let ports = (1...5).map { "Ethernet\($0)" }
      try await withHTTPS(kind, ports) {
        SimulatedEAPI($0)
      } body: {
        try await body($0)
      }
    case "cumulus-nvue":
      try await withHTTPS(kind, (1...5).map { "swp\($0)" }) {
        SimulatedNVUE($0)
      } body: {
        try await body($0)
      }
    case "restconf-openconfig":
      try await withHTTPS(kind, (1...5).map { "Ethernet1/\($0)" }) {
        SimulatedRESTCONF($0)
      } body: {
        try await body($0)
      }
    case "netconf-openconfig": try await withNETCONF { try await body($0) }
    default:
      if let dialect = CommandLineDialect.all.first(where: { $0.vendor == kind }) {
        try await withCommandLine(dialect) { try await body($0) }
      } else {
        Issue.record("no stand-in for kind \(kind)")
      }
    }
  }

  static func withHTTPS(
    _ kind: String, _ ports: [String], api: (SimulatedSwitch) -> any SimulatedSwitchAPI,
    body: @escaping @Sendable (ContractBench) async throws -> Void
  ) async throws {
    let log = try EffectLog()
    let device = SimulatedSwitch(name: "tor-1", ports: ports, log: log)
    let simulator = try await SwitchHTTPSimulator(api(device), password: password)
    try await withFolder("contract") { folder in
      for (name, text) in [
        ("password", password), ("other", "wr0ng"), ("ca.pem", simulator.certificatePEM),
      ] { try write(text, to: "\(folder)/\(name)") }
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await simulator.run() }
        group.addTask {
          var site = SwitchConfiguration(
            name: "tor-1", kind: kind, endpoint: "https://127.0.0.1:\(await simulator.listeningPort())",
            uplinks: [ports[4]])
          site.username = "admin"
          site.passwordFile = "\(folder)/password"
          site.limit = .seconds(10)
          var distrusting = site, unknown = site, absent = site
          site.fingerprint = simulator.fingerprint
          distrusting.fingerprint = "sha256:" + String(repeating: "0", count: 64)
          unknown.fingerprint = simulator.fingerprint
          unknown.passwordFile = "\(folder)/other"
          absent.endpoint = "https://127.0.0.1:1"
          try await body(
            ContractBench(
              ports: ports, configuration: site, setFaults: { await device.setFaults($0) },
              editByHand: { name in
                var port = SimulatedSwitchPort()
                port.access = 666
                await device.setPort(name, port)
              },
              describe: { name, text in
                guard var port = await device.running.ports[name] else { return }
                port.description = text
                await device.setPort(name, port)
              }, description: { await device.running.ports[$0]?.description ?? "" },
              effects: { log.entries("effect").count },
              transcript: { log.entries("request").map { JSON.object($0).description }.joined(separator: "\n") },
              distrusting: distrusting, unknown: unknown, absent: absent,
              isSaved: { await device.saved == device.running }))
        }
        defer { group.cancelAll() }
        try await group.next()
      }
    }
  }

  static func write(_ text: String, to path: String, mode: mode_t = 0o600) throws {
    let file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode)
    try #require(file >= 0, "\(path)")
    defer { close(file) }
    let bytes = Array(text.utf8)
    #expect(Glibc.write(file, bytes, bytes.count) == bytes.count)
  }
}

/// The driver error that `body` throws; a failed expectation when it throws none.
func driverError(
  _ what: String, _ location: SourceLocation = #_sourceLocation, _ body: () async throws -> Void
) async -> DriverError {
  do {
    try await body()
    Issue.record("\(what): nothing was thrown", sourceLocation: location)
  } catch let error as DriverError {
    #expect(!error.description.contains(ContractBench.password), "a secret in \(error)", sourceLocation: location)
    #expect(!error.description.contains("wr0ng"), "a secret in \(error)", sourceLocation: location)
    return error
  } catch { Issue.record("\(what): not a driver error: \(error)", sourceLocation: location) }
  return DriverError(.misconfigured, device: .node("none"), detail: "nothing was thrown")
}
