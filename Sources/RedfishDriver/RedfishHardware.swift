import AsyncHTTPClient
import Domain
import DriverInterfaces
import Logging
import Synchronization
import Wire

/// The hardware type `redfish` (DMTF DSP0266): power, boot device, boot mode and inventory. No console: Redfish has no
/// byte stream.
///
/// One instance for the process. Connections, sessions and pinned certificates are kept per node for as long as its
/// `driver_info` stays the same; ``shutdown()`` ends the sessions at the controllers, which have only a handful each.
public final class RedfishHardware: HardwareType {
  public let name = "redfish"
  public var properties: [DriverProperty] { RedfishSettings.properties }
  public var interfaces: [InterfaceKind: [String]] {
    usualInterfaces.merging([
      .console: ["no-console"], .bios: ["redfish", "no-bios"], .firmware: ["redfish", "no-firmware"],
    ]) { $1 }
  }
  public var cleanSteps: [CleanStepOffer] { agentSteps + CleanStepOffer.bios("redfish") }

  private struct State {
    var connections: [String: RedfishConnection] = [:]
    /// Replaced; perhaps still in use by what began before.
    var retired: [RedfishConnection] = []
  }
  private let client: HTTPClient
  private let logger: Logger
  private let requestLimit: Duration
  private let state = Mutex(State())

  /// - Parameter requestLimit: how long a controller may take to answer one request.
  public init(logger: Logger = Logger(label: "redfish"), requestLimit: Duration = .seconds(10)) {
    self.requestLimit = requestLimit
    client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: RedfishConnection.clientConfiguration())
    self.logger = logger
  }

  deinit {
    // HTTPClient stops the process when it goes without this; harmless after `shutdown()`.
    let client = client
    Task { try? await client.shutdown() }
  }

  public func problems(in driverInfo: JSONObject) -> [String] { RedfishSettings.read(driverInfo).1 }

  public func driver(node: String, driverInfo: JSONObject) throws -> NodeDriver {
    let (settings, problems) = RedfishSettings.read(driverInfo)
    guard let settings else {
      throw DriverError(
        .misconfigured, device: .controller("of node \(node)"), detail: problems.first ?? "driver_info is incomplete.")
    }
    let (connection, replaced) = try state.withLock { state in
      let known = state.connections[node]
      if let known, known.settings == settings { return (known, RedfishConnection?.none) }
      let isSamePlace = known.map { $0.settings.base == settings.base } ?? false
      let new = try RedfishConnection(
        settings, shared: client, knownFingerprint: isSamePlace ? known?.pin?.expected : nil,
        requestLimit: requestLimit, logger: logger)
      state.connections[node] = new
      if let known { state.retired.append(known) }
      return (new, known)
    }
    if let replaced { retire(replaced) }
    let node = RedfishNode(connection: connection)
    return NodeDriver(
      power: node, management: node, console: nil, indicators: node, interrupt: node, bios: node, firmware: node,
      bootMode: node, sensors: node, powerButton: node)
  }

  /// Ends the session of a node that is gone.
  public func forget(node: String) async {
    let connection = state.withLock { $0.connections.removeValue(forKey: node) }
    await connection?.close()
  }

  /// Ends all sessions at the controllers and closes the connections. Nothing works after it.
  public func shutdown() async {
    let all = state.withLock { state in
      defer { state = State() }
      return Array(state.connections.values) + state.retired
    }
    await withTaskGroup(of: Void.self) { group in for each in all { group.addTask { await each.close() } } }
    try? await client.shutdown()
  }

  /// Closes a replaced connection once what began on it must be over.
  private func retire(_ connection: RedfishConnection) {
    Task { [weak self] in
      try? await Task.sleep(for: .seconds(120))
      await connection.close()
      self?.state.withLock { $0.retired.removeAll { $0 === connection } }
    }
  }
}
