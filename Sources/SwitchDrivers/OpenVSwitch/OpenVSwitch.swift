import Domain
import DriverInterfaces
import Logging
import Synchronization
import Wire

/// One bridge of an Open vSwitch, through its database (OVSDB, RFC 7047).
///
/// A change is one transaction for all its ports. It counts once ovs-vswitchd says that it has taken it (`cur_cfg`) and
/// the database, read again, holds what was wanted.
public final class OpenVSwitch: BatchingSwitch {
  public let name: String
  public let capabilities: SwitchCapabilities
  let tunnels: TunnelEndpoint?
  let bridge: String
  let uplinks: Set<String>
  private let client: OVSDBClient
  let control: ControlSocket?
  private let doubleTags: DoubleTagGuard?
  private let filters: PortFilters?
  private let logger: Logger
  /// How long each of the three parts of a visit may take: the database, the daemon, reading back.
  let limit: Duration
  /// What we last asked of each port: so that a watcher is not told of our own changes.
  private let applied = Mutex<[String: PortSettings]>([:])
  /// Ports of a visit that was not seen to its end: flows of what they carried before may be left.
  private let unsettled = Mutex<Set<String>>([])

  private let warned = Mutex<[String]>([])

  static let database = "Open_vSwitch"

  /// - Parameters:
  ///   - control: ovs-vswitchd's control socket, or OVS's run folder; nil means no MAC table.
  ///   - uplinks: ports of the bridge that lead to other switches: never touched.
  init(
    name: String, endpoint: OVSDBEndpoint, bridge: String, uplinks: Set<String>, control: String?,
    tunnels: TunnelEndpoint? = nil, logger: Logger, limit: Duration = .seconds(5)
  ) {
    self.tunnels = tunnels
    self.name = name
    self.bridge = bridge
    self.uplinks = uplinks
    self.control = control.map { ControlSocket(path: $0) }
    doubleTags = control.map { DoubleTagGuard(control: $0, bridge: bridge, limit: limit) }
    filters = control.map { PortFilters(control: $0, bridge: bridge, limit: limit) }
    self.logger = logger
    self.limit = limit
    client = OVSDBClient(endpoint, limit: limit)
    let own: SwitchCapabilities = control == nil ? [.lldp, .watch] : [.trunk, .lldp, .watch, .macTable, .acl]
    capabilities = own.union(tunnels == nil ? [] : .vni)
  }

  // MARK: Reading

  public func probe() async throws {
    let hazards = try await snapshot().hazards
    // Probes come often: each hazard is logged when it is new.
    let new = warned.withLock { warned in
      defer { warned = hazards }
      return hazards.filter { !warned.contains($0) }
    }
    for hazard in new { logger.warning("switch \(name): \(hazard)") }
  }

  /// What an administrator should set right although the switch works, each a sentence: for `doctor`.
  public func hazards() async throws -> [String] { try await snapshot().hazards }

  public func listPorts() async throws -> [String: PortConfiguration] {
    let ports = try await observed(try await snapshot()).filter(\.value.isForMachines).mapValues(\.configuration)
    // A daemon that was started again has forgotten its rules.
    if doubleTags != nil, ports.values.contains(where: Self.needsGuard) { try await guardTrunks() }
    return ports
  }

  /// A port where a second tag would come out as a first one.
  private static func needsGuard(_ configuration: PortConfiguration) -> Bool {
    configuration.native.map { $0 > 0 } == true && !configuration.tagged.isEmpty
  }
  private func guardTrunks() async throws(DriverError) {
    guard let doubleTags else {
      throw DriverError(
        .unsupported, device: .networkSwitch(name),
        detail: "a port with a native and tagged networks needs the switch's `control` in the configuration: without "
          + "it frames with two tags cannot be kept from changing networks")
    }
    do { try await doubleTags.ensure() } catch {
      throw DriverError(.unreachable, device: .networkSwitch(name), detail: "\(error)")
    }
  }

  public func readPort(_ port: String) async throws -> PortConfiguration {
    let ports = try await observed(try await snapshot())
    guard let found = ports[port], found.isForMachines else { throw unknown(port, among: ports) }
    return found.configuration
  }

  /// The ports of the bridge; those that are filtered with what their rules are found to be.
  private func observed(_ replica: BridgeReplica) async throws(DriverError) -> [String: BridgeReplica.Port] {
    var ports = replica.portsByName
    guard let filters, ports.values.contains(where: { $0.filtered != nil }) else { return ports }
    do {
      for filtered in try await filters.observe(replica.filteredPorts) { ports[filtered.name]?.filtered = filtered }
    } catch { throw DriverError(.unreachable, device: .networkSwitch(name), detail: "\(error)") }
    return ports
  }

  func filteredPortNames() async throws -> Set<String> { Set(try await snapshot().filteredPorts.map(\.name)) }

  /// The labels of the ports that have one: for the sweeper.
  public func labels() async throws -> [String: String] {
    try await snapshot().machinePorts.compactMapValues(\.label)
  }

  public func macTable() async throws -> [(port: String, vlan: Int, mac: MACAddress)] {
    guard let control else { return [] }
    let ports = try await snapshot().portsByNumber
    do throws(OVSDBError) {
      return ControlSocket.macTable(try await control.call("fdb/show", [bridge], limit: limit), ports: ports)
    } catch { throw driverError(error) }
  }

  /// All rows at one moment: several selects in one transaction.
  private func snapshot() async throws(DriverError) -> BridgeReplica {
    let selects: [JSON] = BridgeReplica.columns.map { table, columns in
      ["op": "select", "table": .string(table), "where": [], "columns": JSON(["_uuid"] + columns)]
    }
    let results = try await patiently { client, limit throws(OVSDBError) in
      try await client.transact(Self.database, selects, limit: limit)
    }
    var replica = BridgeReplica(bridge: bridge, uplinks: uplinks)
    for (table, result) in zip(BridgeReplica.columns, results) {
      for row in result["rows"]?.array ?? [] {
        if let id = OVSDBValue.id(row["_uuid"]) { replica.set(table.table, id, row) }
      }
    }
    guard replica.hasBridge else {
      let names = replica.bridgeNames.joined(separator: ", ")
      throw DriverError(
        .misconfigured, device: .networkSwitch(name),
        detail: "it has no bridge \(bridge); it has \(names.isEmpty ? "none" : names)")
    }
    return replica
  }

  // MARK: Changing

  public func apply(_ requests: [SwitchRequest]) async -> [Result<Void, DriverError>] {
    do throws(DriverError) {
      return try await visit(requests)
    } catch {
      return requests.map { _ in .failure(error) }
    }
  }

  private func visit(_ requests: [SwitchRequest]) async throws(DriverError) -> [Result<Void, DriverError>] {
    let replica = try await snapshot()
    let before = replica.portsByName
    let checks = requests.map { check($0, against: before, replica) }
    var operations: [JSON] = []
    var filterChange = FilterChange(replica)
    var wanted: [String: PortSettings] = [:]
    for (request, failure) in zip(requests, checks) where failure == nil {
      for (port, configuration) in request.ports.sorted(by: { $0.key < $1.key }) {
        guard let found = before[port] else { continue }
        let settings = PortSettings(configuration)
        wanted[port] = settings
        if filterChange.take(port, found, to: configuration, label: request.label) { continue }
        operations += Self.operations(on: found.id, settings, label: request.label)
      }
    }
    guard !wanted.isEmpty else { return checks.map { $0.map { .failure($0) } ?? .success(()) } }
    // Before such a port is there.
    if zip(requests, checks).contains(where: { $1 == nil && $0.ports.values.contains(where: Self.needsGuard) }) {
      try await guardTrunks()
    }
    applied.withLock { $0.merge(wanted) { $1 } }
    // Out of quarantine no flow can have been left: nothing passed there. What stays as it is leaves none either: a machine's other
    // NICs are always among the ports.
    let changed = wanted.filter { port, settings in
      before[port].map { $0.settings != .quarantine && $0.settings != settings } ?? true
    }
    let leavesFlows = unsettled.withLock { unsettled in
      defer { unsettled.formUnion(wanted.keys) }
      return !changed.isEmpty || filterChange.touchesFilters || !unsettled.isDisjoint(with: wanted.keys)
    }
    try await waitUntilTaken(try await commit(operations + filterChange.all), leavesFlows: leavesFlows)
    unsettled.withLock { $0.subtract(wanted.keys) }
    let result = try await snapshot()
    if filterChange.touchesFilters { try await writeRules(of: result, before: replica) }
    let after = result.portsByName
    return zip(requests, checks).map { request, failure in
      if let failure { return .failure(failure) }
      return difference(of: after, from: request).map { .failure($0) } ?? .success(())
    }
  }

  private func writeRules(of replica: BridgeReplica, before: BridgeReplica) async throws(DriverError) {
    guard let filters, replica.filterBridge != nil else { return }
    do { try await filters.ensure(replica.filteredPorts, before: before.filteredPorts) } catch {
      throw DriverError(.notInForce, device: .networkSwitch(name), detail: "\(error)")
    }
  }

  /// Why the request cannot be done on these ports.
  private func check(
    _ request: SwitchRequest, against ports: [String: BridgeReplica.Port], _ replica: BridgeReplica
  ) -> DriverError? {
    for (port, configuration) in request.ports.sorted(by: { $0.key < $1.key }) {
      guard ports[port]?.isForMachines == true else { return unknown(port, among: ports) }
      if !configuration.accessLists.isEmpty {
        let problem =
          filters == nil
          ? "it needs the switch's `control` in the configuration to filter" : replica.problemOfFiltering(port)
        if let problem { return DriverError(.unsupported, device: device(port), detail: problem) }
      }
      if let problem = configuration.problem { return DriverError(.refused, device: device(port), detail: problem) }
    }
    return nil
  }

  private static func operations(on id: String, _ settings: PortSettings, label: String?) -> [JSON] {
    let row: JSON = [["_uuid", "==", OVSDBValue.uuid(id)]]
    let key = BridgeReplica.labelKey
    var mutations: [JSON] = [["external_ids", "delete", OVSDBValue.set([.string(key)])]]
    if let label { mutations.append(["external_ids", "insert", OVSDBValue.map([key: label])]) }
    return [
      ["op": "update", "table": "Port", "where": row, "row": .object(settings.row)],
      ["op": "mutate", "table": "Port", "where": row, "mutations": .array(mutations)],
    ]
  }

  /// Runs operations that may be repeated, and returns the result of each.
  func run(_ operations: [JSON]) async throws(DriverError) -> [JSON] {
    try await patiently { client, limit throws(OVSDBError) in
      try await client.transact(Self.database, operations, limit: limit)
    }
  }
  /// The same, and returns when ovs-vswitchd has taken what they change.
  func inForce(_ operations: [JSON]) async throws(DriverError) {
    try await waitUntilTaken(try await commit(operations), leavesFlows: false)
  }

  /// Runs the operations and asks ovs-vswitchd to confirm.
  /// - Returns: the configuration number to wait for.
  func commit(_ operations: [JSON]) async throws(DriverError) -> Int {
    let transaction: [JSON] =
      operations + [
        ["op": "mutate", "table": "Open_vSwitch", "where": [], "mutations": [["next_cfg", "+=", 1]]],
        ["op": "select", "table": "Open_vSwitch", "where": [], "columns": ["next_cfg"]],
      ]
    // Whole wanted state: a transaction whose answer was lost may be sent again.
    let results = try await patiently { client, limit throws(OVSDBError) in
      try await client.transact(Self.database, transaction, limit: limit)
    }
    guard let target = results.last?["rows"]?.array?.first?["next_cfg"]?.int else {
      throw DriverError(.badReply, device: .networkSwitch(name), detail: "its database has no row in Open_vSwitch")
    }
    return target
  }

  /// Waits for ovs-vswitchd to have taken configuration number `target`: the database alone moves no frame.
  ///
  /// - Parameter leavesFlows: whether what the ports could do before may go on for a moment.
  func waitUntilTaken(_ target: Int, leavesFlows: Bool) async throws(DriverError) {
    let deadline = ContinuousClock.now + limit
    let read: JSON = ["op": "select", "table": "Open_vSwitch", "where": [], "columns": ["cur_cfg"]]
    while true {
      let results = try await patiently { client, limit throws(OVSDBError) in
        try await client.transact(Self.database, [read], limit: limit)
      }
      let current = results.last?["rows"]?.array?.first?["cur_cfg"]?.int ?? 0
      if current >= target { break }
      let left = deadline - .now
      guard left > .zero else {
        throw DriverError(
          .unreachable, device: .networkSwitch(name),
          detail: "its daemon ovs-vswitchd has not taken the change in \(limit); is it running?")
      }
      let milliseconds = Int(left.components.seconds) * 1000 + Int(left.components.attoseconds / 1_000_000_000_000_000)
      let wait: JSON = [
        "op": "wait", "table": "Open_vSwitch", "where": [], "columns": ["cur_cfg"], "until": "!=",
        "rows": [["cur_cfg": .int(current)]], "timeout": .int(max(milliseconds, 1)),
      ]
      // Whatever it answers, the number is read again.
      _ = try? await client.transact(Self.database, [wait], limit: left + .milliseconds(200))
    }
    // Flows of the old configuration may live on in the datapath, for half a second at most: let them be gone.
    if leavesFlows, let control { _ = try? await control.call("revalidator/wait", [], limit: limit) }
  }

  /// What the database holds otherwise than was asked.
  private func difference(of ports: [String: BridgeReplica.Port], from request: SwitchRequest) -> DriverError? {
    for (port, configuration) in request.ports.sorted(by: { $0.key < $1.key }) {
      guard let found = ports[port] else {
        return DriverError(.notInForce, device: device(port), detail: "the port has gone from bridge \(bridge)")
      }
      guard found.settings == PortSettings(configuration) else {
        return DriverError(
          .notInForce, device: device(port),
          detail: "wanted \(configuration.summary), found \(found.settings.configuration.summary)")
      }
      guard found.configuration.accessLists == configuration.accessLists else {
        return DriverError(
          .notInForce, device: device(port), detail: "what filters it is not what was asked for")
      }
    }
    return nil
  }

  // MARK: Watching

  public func watch() -> AsyncThrowingStream<Set<String>, any Error> {
    let (stream, continuation) = AsyncThrowingStream.makeStream(of: Set<String>.self)
    let task = Task {
      do {
        try await withThrowingTaskGroup(of: Void.self) { group in
          group.addTask { try await self.follow { continuation.yield($0) } }
          group.addTask { try await self.followDaemon { continuation.yield($0) } }
          try await group.next()
          group.cancelAll()
        }
        continuation.finish()
      } catch {
        continuation.finish(throwing: (error as? OVSDBError).map { self.driverError($0) } ?? error)
      }
    }
    continuation.onTermination = { _ in task.cancel() }
    return stream
  }

  private func follow(_ report: (Set<String>) -> Void) async throws {
    var requests = JSONObject()
    for (table, columns) in BridgeReplica.columns { requests[table] = ["columns": JSON(columns)] }
    let (initial, updates) = try await client.monitor(Self.database, .object(requests))
    var replica = BridgeReplica(bridge: bridge, uplinks: uplinks)
    replica.update(initial)
    var before = replica.machinePorts
    for try await update in updates {
      replica.update(update)
      let after = replica.machinePorts
      let ours = applied.withLock { $0 }
      var changed: Set<String> = []
      for (port, state) in after where state.settings != before[port]?.settings && state.settings != ours[port] {
        changed.insert(port)
      }
      // Put back into the bridge, or its filter taken apart.
      for (port, state) in after where before[port]?.filtered?.isSound == true && state.filtered?.isSound != true {
        changed.insert(port)
      }
      changed.formUnion(before.keys.filter { after[$0] == nil })
      before = after
      if !changed.isEmpty { report(changed) }
    }
  }

  // MARK: Errors

  /// Tries again when the connection was lost, for a server that is restarting, until the limit.
  func patiently<Value: Sendable>(
    _ body: (OVSDBClient, Duration) async throws(OVSDBError) -> Value
  ) async throws(DriverError) -> Value {
    do throws(OVSDBError) {
      return try await client.patiently(limit, body)
    } catch { throw driverError(error) }
  }

  private func device(_ port: String) -> DriverError.Device { .networkSwitch(name, port: port) }

  private func unknown(_ port: String, among ports: [String: BridgeReplica.Port]) -> DriverError {
    if ports[port] != nil {
      return DriverError(
        .misconfigured, device: device(port), detail: "it is an uplink or the switch's own port, not a machine's")
    }
    let names = ports.filter(\.value.isForMachines).keys.sorted()
    let some = names.prefix(5).joined(separator: ", ")
    let detail =
      switch names.count {
      case 0: "bridge \(bridge) has no ports for machines"
      case ...5: "bridge \(bridge) has no such port; it has \(some)"
      default: "bridge \(bridge) has no such port; it has \(some) and \(names.count - 5) more"
      }
    return DriverError(.misconfigured, device: device(port), detail: detail)
  }

  private func driverError(_ error: OVSDBError) -> DriverError {
    DriverError(error.code, device: .networkSwitch(name), detail: "\(client.endpoint): \(error)")
  }
}
