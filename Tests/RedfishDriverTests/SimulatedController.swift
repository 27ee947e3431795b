import Domain
import DriverInterfaces
import RedfishDriver
import Simulators
import Testing
import Wire

/// A simulated controller on a loopback port and a driver that speaks to it over a real socket.
struct SimulatedController: Sendable {
  let simulator: RedfishSimulator
  let log: EffectLog
  let port: Int
  let isTLS: Bool
  let hardware: RedfishHardware

  var bmc: SimulatedBMC { simulator.bmcs[0] }
  var address: String { "\(isTLS ? "https" : "http")://127.0.0.1:\(port)" }
  var fingerprint: String? { get async { await simulator.fingerprint(of: "r1") } }

  func info(_ more: JSONObject = [:]) -> JSONObject {
    var info: JSONObject = [
      "redfish_address": .string(address), "redfish_username": "admin", "redfish_password": "pa55-w0rd",
      "redfish_verify_ca": false,
    ]
    for member in more { info[member.key] = member.value }
    return info
  }
  func driver(_ more: JSONObject = [:], node: String = "n1") throws -> NodeDriver {
    try hardware.driver(node: node, driverInfo: info(more))
  }
  func fault(_ change: (inout RedfishFaults) -> Void) async {
    var faults = RedfishFaults()
    change(&faults)
    await bmc.setFaults(faults)
  }
  /// The values of the effects of one kind, oldest first: what reached the machine.
  func effects(_ kind: String) -> [String] {
    log.entries("effect").filter { $0["effect"]?.string == kind }.compactMap { $0["value"]?.string }
  }
  func requests(_ method: String, _ path: String = "") -> [JSONObject] {
    log.entries("request").filter {
      $0["method"]?.string == method && ($0["path"]?.string ?? "").hasSuffix(path)
    }
  }
}

func withController(
  tls: Bool = false, host: String = "127.0.0.1", port: Int = 0, requestLimit: Duration = .seconds(10),
  control: [String]? = nil,
  hardware: RedfishHardware? = nil, _ body: @escaping @Sendable (SimulatedController) async throws -> Void
) async throws {
  var configuration = BMCConfiguration(name: "r1", host: host, port: port, control: control)
  configuration.password = "pa55-w0rd"
  configuration.isTLS = tls
  let log = try EffectLog()
  let simulator = try RedfishSimulator([configuration], log: log)
  let driver = hardware ?? RedfishHardware(requestLimit: requestLimit)
  do {
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await simulator.run() }
      group.addTask {
        let port = await simulator.ports()["r1"] ?? 0
        try await body(
          SimulatedController(simulator: simulator, log: log, port: port, isTLS: tls, hardware: driver))
      }
      defer { group.cancelAll() }
      try await group.next()
    }
  } catch {
    if hardware == nil { await driver.shutdown() }
    throw error
  }
  if hardware == nil { await driver.shutdown() }
}

/// The driver error that `body` throws; a failed expectation when it throws none.
func driverError(
  _ location: SourceLocation = #_sourceLocation, _ body: () async throws -> Void
) async -> DriverError {
  do {
    try await body()
    Issue.record("nothing was thrown", sourceLocation: location)
  } catch let error as DriverError {
    #expect(!error.description.contains("pa55-w0rd"), "a secret in \(error)", sourceLocation: location)
    return error
  } catch { Issue.record("not a driver error: \(error)", sourceLocation: location) }
  return DriverError(.misconfigured, device: .node("none"), detail: "nothing was thrown")
}
