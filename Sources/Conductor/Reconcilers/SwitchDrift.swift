import Domain
import DriverInterfaces
import ServiceLifecycle
import Store
import Wire

/// What a switch shows that it should not, decided without touching it.
struct SwitchPlan: Equatable {
  /// Ports to change, to what they should carry.
  var repair: [String: PortConfiguration] = [:]
  /// Ports that are as they should be.
  var inForce: [String] = []
  /// Wired ports that the switch does not have.
  var missing: [String] = []

  init(intents: [String: PortConfiguration], actual: [String: PortConfiguration]) {
    for (port, wanted) in intents {
      switch actual[port] {
      case nil: missing.append(port)
      case wanted?: inForce.append(port)
      default: repair[port] = wanted
      }
    }
    inForce.sort()
    missing.sort()
  }
}

extension Conductor {
  /// Compares every wired port with what the switch shows, and repairs. A machine's port that nobody has asked anything of
  /// is quarantined.
  func repairSwitches() async throws {
    let now = clock()
    let intents = try await database.write { session -> [SwitchPortStore.Intent] in
      let known = Set(try SwitchPortStore.list(in: session).map(\.port))
      let unwired = try self.unwiredNodes(in: session)
      for port in try PortStore.list(in: session) {
        guard let place = port.switchPort, !known.contains(place), !unwired.contains(port.nodeUUID) else { continue }
        try SwitchPortStore.want(.quarantine, on: place, label: nil, at: now, in: session)
      }
      return try SwitchPortStore.list(in: session)
    }
    let bySwitch = Dictionary(grouping: intents, by: \.port.switchName)
    await forEachConcurrently(parts.switches.all, width: 8) { device in
      let wanted = Dictionary((bySwitch[device.name] ?? []).map { ($0.port.port, $0.configuration) }) { $1 }
      guard !wanted.isEmpty else { return }
      do {
        let plan = SwitchPlan(intents: wanted, actual: try await device.listPorts())
        try await self.parts.record(
          .inForce, plan.inForce.map { SwitchPort(switchName: device.name, port: $0) }, detail: nil)
        try await self.parts.record(
          .error, plan.missing.map { SwitchPort(switchName: device.name, port: $0) },
          detail: "the switch has no such port")
        guard !plan.repair.isEmpty else { return }
        // The intent is read again: a workflow may have changed it since.
        let current = try await self.database.read { try SwitchPortStore.list(in: $0) }
        let repair = plan.repair.filter { port, configuration in
          current.contains {
            $0.port == SwitchPort(switchName: device.name, port: port) && $0.configuration == configuration
          }
        }
        for port in repair.keys.sorted() {
          self.logger.warning("switch \(device.name) port \(port) had drifted: repaired")
        }
        try await self.parts.apply(repair, on: device.name, label: nil)
      } catch {
        self.logger.error("switch \(device.name): \(error)")
      }
    }
    try await releaseStranded()
  }

  /// The nodes whose switch ports are nobody's business.
  private func unwiredNodes(in session: any Session) throws -> Set<String> {
    let types = hardwareTypes.filter { !$0.unwiredNetworks.isEmpty }
    guard !types.isEmpty else { return [] }
    let nodes = try NodeStore.list(in: session) { $0.appendIn("WHERE driver IN", types.map { .text($0.name) }) }
    return Set(nodes.filter { !parts.isWired($0) }.map(\.uuid))
  }

  /// Frees network ports that no NIC holds any more, once every switch port of their machine was read back as it should be:
  /// what an attachment leaves that failed while its switch could not be reached.
  private func releaseStranded() async throws {
    let now = clock()
    try await database.write { session in
      let stranded = Dictionary(grouping: try NetworkPortStore.stranded(in: session), by: \.bindingHostID)
      for (host, ports) in stranded {
        guard let node = try NodeStore.get(host, in: session), node.reservation == nil else { continue }
        try self.parts.releaseStranded(ports, of: node.uuid, at: now, in: session)
      }
    }
  }

  /// Wakes the drift reconciler when a switch tells that a port changed.
  struct SwitchWatch: Service {
    let conductor: Conductor
    func run() async throws {
      await cancelWhenGracefulShutdown {
        await withTaskGroup(of: Void.self) { group in
          for device in conductor.parts.switches.all where device.capabilities.contains(.watch) {
            group.addTask {
              while !Task.isCancelled {
                do {
                  for try await _ in device.watch() { conductor.wakeups.signal("switch-drift") }
                } catch {
                  conductor.logger.info("switch \(device.name): \(error)")
                }
                try? await Task.sleep(for: .seconds(2))
              }
            }
          }
          await group.waitForAll()
        }
        // A site without switches has nothing to watch, and a service that ends would end the server.
        if !Task.isCancelled { try? await Task.sleep(for: .seconds(Int32.max)) }
      }
    }
  }
}
