import Domain
import DriverInterfaces
import Store
import Wire
import Workflows

/// What the wired ports of one node carry.
enum NetworkMode: Sendable, Equatable {
  /// The provisioning VLAN on the NICs that may boot there, quarantine on the others.
  case provisioning
  /// Each NIC's attached network, quarantine where there is none.
  case tenant
  /// Nobody, in both directions.
  case quarantine
}

extension Parts {
  /// Brings every wired port of a node to `mode`: the intent is written first, then the switches are told (each once, for
  /// all its ports), read back, and what they show is recorded.
  ///
  /// The intent is computed in the transaction that writes it, so a lease that ended meanwhile leaves quarantine, not its
  /// network. A node whose network interface touches no switch has none to bring anywhere.
  /// - Throws: ``DriverError`` of the first switch that failed; the intent stays and the drift reconciler goes on trying.
  func applyNetworks(_ mode: NetworkMode, node: String, label: String?) async throws {
    try await apply(try await database.write { try wantNetworks(mode, node: node, label: label, in: $0) }, label: label)
  }

  /// Switch ports and what they should carry, by the name of the switch.
  typealias WantedPorts = [String: [String: PortConfiguration]]

  /// Writes what every wired port of a node should carry from now on.
  func wantNetworks(_ mode: NetworkMode, node: String, label: String?, in session: any Session) throws -> WantedPorts {
    let now = clock()
    var wanted: WantedPorts = [:]
    guard let record = try NodeStore.get(node, in: session), isWired(record) else { return wanted }
    // Nor does a tenant's network meet an agent that stands by.
    let isHeldBack =
      try hasEndingLease(node: node, in: session) || StandByStore.get(node: node, in: session) != nil
    let mode = mode == .tenant && isHeldBack ? .quarantine : mode
    for port in try PortStore.list(node: node, in: session) {
      guard let place = port.switchPort else { continue }
      let configuration = try configuration(of: port, mode, in: session)
      try noteChange(of: port, at: place, to: configuration, mode, label: label, at: now, in: session)
      try SwitchPortStore.want(configuration, on: place, label: label, at: now, in: session)
      wanted[place.switchName, default: [:]][place.port] = configuration
    }
    return wanted
  }

  func apply(_ wanted: WantedPorts, label: String?) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      for (name, ports) in wanted {
        group.addTask { try await self.apply(ports, on: name, label: label) }
      }
      try await group.waitForAll()
    }
  }

  /// The same as an undo: a switch or a port that does not exist carries nothing, so it is no obstacle.
  /// - Throws: ``DriverError`` when a port that exists could not be brought there.
  func applyNetworksWherePossible(_ mode: NetworkMode, node: String, label: String?) async throws {
    let wanted = try await database.write { try wantNetworks(mode, node: node, label: label, in: $0) }
    var failure: DriverError?
    for (name, ports) in wanted.sorted(by: { $0.key < $1.key }) {
      do {
        try await apply(ports, on: name, label: label)
      } catch let error as DriverError where error.code == .misconfigured {
        // One port that is not there must not keep the others on a network.
        for (port, configuration) in ports {
          do { try await apply([port: configuration], on: name, label: label) } catch let error as DriverError
            where error.code == .misconfigured
          {}
        }
      } catch let error as DriverError {
        // Nor must a switch that does not answer keep the ports of another one: a bond may have a member on each.
        failure = failure ?? error
      }
    }
    if let failure { throw failure }
  }
  /// The inverse of putting networks in force: quarantine, shown as it is.
  func withdrawNetworks(node: String) async throws {
    try await applyNetworksWherePossible(.quarantine, node: node, label: nil)
    let now = clock()
    try await database.write { try showVIFs(node: node, at: now, in: $0) }
  }

  /// Tells one switch, and records what came of it.
  ///
  /// When it returns, what is wanted *then* is in force: a lease that ended, or a network that was switched off, while the
  /// switch was told something else is told to it as well, whoever of the two comes last to the switch.
  func apply(_ ports: [String: PortConfiguration], on name: String, label: String?) async throws {
    var waiting = [(label: label, ports: ports)]
    while let (label, ports) = waiting.popLast() {
      do {
        let device = try switches.switchNamed(name)
        try device.requireFilters(for: ports)
        try await device.apply(ports, label: label)
        // A leaf of a fabric has a network where its machines are, and no longer: in force only when that is.
        if case .evpn? = device.controlPlane {
          if ports.values.contains(where: { $0.native != nil }) {
            try await joinNetworks(of: device)
          } else {
            // Nobody is on it here any more; the rest of the fabric can wait.
            wakeups.signal(Conductor.overlaysName)
          }
        }
      } catch let error as DriverError {
        try await record(.error, ports.keys.map { SwitchPort(switchName: name, port: $0) }, detail: error.description)
        try await noteFailure(of: ports, on: name, error, label: label)
        throw error
      }
      let now = clock()
      let overtaken = try await database.write { session -> [SwitchPortStore.Intent] in
        var overtaken: [SwitchPortStore.Intent] = []
        for (port, configuration) in ports {
          let place = SwitchPort(switchName: name, port: port)
          guard let intent = try SwitchPortStore.get(place, in: session) else { continue }
          if intent.configuration == configuration {
            try SwitchPortStore.record(.inForce, place, detail: nil, at: now, in: session)
            try noteReadBack(of: place, configuration, label: label, at: now, in: session)
          } else {
            overtaken.append(intent)
          }
        }
        return overtaken
      }
      // Each keeps the label of the step that wants it.
      for (label, intents) in Dictionary(grouping: overtaken, by: \.label) {
        waiting.append((label, Dictionary(intents.map { ($0.port.port, $0.configuration) }) { $1 }))
      }
    }
  }

  func record(_ state: SwitchPortStore.Intent.State, _ ports: [SwitchPort], detail: String?) async throws {
    let now = clock()
    try await database.write { session in
      for port in ports { try SwitchPortStore.record(state, port, detail: detail, at: now, in: session) }
    }
  }

  /// Shows the network ports attached to a node's NICs, and those that are tagged beside them, as they are: ACTIVE when the
  /// NIC's switch port was read back with the network on it, DOWN when not (a port or network that is administratively down,
  /// a machine in quarantine, or one that stands by for its deployment). One that waits for a change which the switch was not told of yet stays BUILD.
  func showVIFs(node: String, at now: Timestamp, in session: any Session) throws {
    let hasSwitches = try NodeStore.get(node, in: session).map { isWired($0) } ?? true
    let standsBy = try StandByStore.isWaiting(node: node, in: session)
    for place in try VIFStore.places(node: node, in: session) {
      guard let vif = place.vifPortID, let attached = try Attachment(vif, on: place.physicalNetwork, in: session)
      else { continue }
      // A bond has a network when all its members do.
      let intents = try place.nics.map { nic in
        try nic.switchPort.flatMap { try SwitchPortStore.get($0, in: session) }
      }
      let isTold = !hasSwitches || intents.allSatisfy { $0?.configuration == attached.configuration }
      for item in attached.all {
        let carries = !intents.isEmpty && intents.allSatisfy { $0?.carries(item) ?? false }
        if !isTold && !carries && !standsBy && item.port.status == .build { continue }
        // Where no switch follows, the machine is on its networks by other means.
        let status: NetworkPort.Status = (hasSwitches ? carries : item.isUp) ? .active : .down
        if item.port.status != status {
          try NetworkPortStore.setStatus(status, of: item.port.id, at: now, in: session)
        }
      }
    }
  }

  /// Frees the network ports that this node's NICs had and have no more, once every one of its switch ports was read back
  /// as it should be.
  func releaseStranded(_ ports: [NetworkPort], of node: String, at now: Timestamp, in session: any Session) throws {
    let isWired = try NodeStore.get(node, in: session).map { self.isWired($0) } ?? false
    let places = isWired ? try PortStore.list(node: node, in: session).compactMap(\.switchPort) : []
    guard try places.allSatisfy({ try SwitchPortStore.get($0, in: session)?.state == .inForce }) else { return }
    for port in ports { try NetworkPortStore.release(port.id, at: now, in: session) }
  }

  private func configuration(of port: Port, _ mode: NetworkMode, in session: any Session) throws -> PortConfiguration {
    switch mode {
    case .quarantine: return .quarantine
    case .provisioning: return port.isPXEEnabled ? PortConfiguration(native: settings.provisioningVLAN) : .quarantine
    case .tenant:
      return try volumeNetwork(of: port, in: session) ?? Attachment(port, in: session)?.configuration ?? .quarantine
    }
  }

  /// Puts the tenant's networks in force and shows the attached ports ACTIVE; the inverse is quarantine.
  func tenantNetworks() -> Step {
    Step(
      "tenant-networks",
      run: { context in
        try await applyNetworks(.tenant, node: context.subject, label: context.key)
        return .done
      },
      commit: { context, _, session in try showVIFs(node: context.subject, at: context.now, in: session) },
      undo: { context in try await withdrawNetworks(node: context.subject) })
  }
}

/// Takes the attached network ports off a node's NICs; the network ports themselves stay, DOWN and free.
func releaseVIFs(node: String, at now: Timestamp, in session: any Session) throws {
  for place in try VIFStore.places(node: node, in: session) {
    guard let vif = place.vifPortID else { continue }
    try VIFStore.set(nil, on: place, at: now, in: session)
    try NetworkPortStore.release(vif, at: now, in: session)
  }
}

extension SwitchPortStore.Intent {
  /// Whether the switch port was read back with a network on it.
  fileprivate func carries(_ item: Attachment.Item) -> Bool {
    guard state == .inForce, let vlan = item.vlan else { return false }
    return item.isTagged ? configuration.tagged.contains(vlan) : configuration.native == vlan
  }
}
