import Domain
import DriverInterfaces
import Store
import Wire
import Workflows

/// The NIC by which a machine that boots from its disk reaches its volumes.
extension Conductor {
  /// Puts the volumes' network on that NIC and gives the machine its address there, once for all its volumes.
  static func reachVolume(_ parts: Parts) -> Step {
    Step(
      "reach-volume", when: { $0["node"] != nil },
      run: { context in
        guard let node = context.params["node"]?.string, let nic = try await parts.volumeBoot(node) else {
          return .done
        }
        if context.params["wires"] != nil {
          try await parts.applyNetworks(.tenant, node: node, label: context.key)
        }
        try await parts.boot.ensureVolumeBoot(nic.mac, address: nic.address, label: nic.label)
        return .done
      },
      undo: { context in
        guard let node = context.params["node"]?.string, context.params["wires"] != nil else { return }
        try await parts.cutVolumeNIC(of: node, label: context.key)
      },
      uncommit: { context, session in
        if context.params["wires"] != nil { try forgetVolumeNIC(context, session) }
      })
  }
  /// Takes that network off again. Safe to repeat.
  static func freeVolumeNIC(_ parts: Parts) -> Step {
    Step(
      "free-volume-nic", retries: 6, when: { $0["node"] != nil },
      run: { context in
        if let node = context.params["node"]?.string { try await parts.cutVolumeNIC(of: node, label: context.key) }
        return .done
      },
      // Its address is another machine's only when the switch was read back without it.
      commit: { context, _, session in try forgetVolumeNIC(context, session) })
  }
  private static func forgetVolumeNIC(_ context: StepContext, _ session: any Session) throws {
    guard let node = context.params["node"]?.string, let nic = try VolumeBootStore.get(node: node, in: session),
      nic.isForDataAlone
    else { return }
    try VolumeBootStore.delete(node: node, in: session)
  }

  /// The attachment of a server's volume is no more, as if it had not been asked for; a server that is being made keeps the
  /// volume, so that it can go with it.
  static func dropAttachment(_ context: StepContext, _ parts: Parts, _ session: any Session) throws {
    guard let found = try VolumeAttachmentStore.get(context.subject, box: parts.database.secrets, in: session) else {
      return
    }
    try VolumeAttachmentStore.delete(found.id, in: session)
    if let server = found.instanceID, context.params["awaits"] == nil {
      try ServerVolumeStore.delete(server: server, volume: found.volumeID, in: session)
    }
    try settle(volume: found.volumeID, parts, at: context.now, session)
  }

  /// Frees the node that a change of its volumes has held.
  static func freeNode(_ node: String?, _ context: StepContext, _ session: any Session) throws {
    guard let node else { return }
    try change(node, session) { node in
      guard node.reservation == context.workflow else { return }
      node.reservation = nil
      if let failure = context.failure { node.lastError = failure }
    }
  }
}

extension Conductor {
  /// Gives machines their addresses for volumes again where a rebuild or a rescue, which booted the agent by the same NIC, has taken
  /// them.
  func keepVolumeNICs() async throws {
    let nics = try await database.read { try VolumeBootStore.all(in: $0) }
    if nics.isEmpty { return }
    let admitted = try await parts.boot.admitted()
    for nic in nics where admitted[nic.mac] == nil {
      let node = try await database.read { try NodeStore.get(nic.nodeID, in: $0) }
      guard let node, node.provisionState == .active, node.reservation == nil else { continue }
      try await parts.boot.ensureVolumeBoot(nic.mac, address: nic.address, label: nic.label)
    }
  }
}

extension Parts {
  fileprivate func cutVolumeNIC(of node: String, label: String) async throws {
    guard let nic = try await volumeBoot(node), nic.isForDataAlone else { return }
    try await boot.ensureDenied([nic.mac])
    let now = clock()
    let wanted = try await database.write { session -> WantedPorts in
      let ports = try PortStore.list(node: node, in: session)
      guard let port = ports.first(where: { MACAddress($0.address) == nic.mac }), let place = port.switchPort else {
        return [:]
      }
      try noteChange(of: port, at: place, to: .quarantine, .quarantine, label: label, at: now, in: session)
      try SwitchPortStore.want(.quarantine, on: place, label: label, at: now, in: session)
      return [place.switchName: [place.port: .quarantine]]
    }
    try await apply(wanted, label: label)
  }

  /// Waits until the server of an attachment runs.
  /// - Throws: ``ConductorError`` when it was not deployed, or is not there any more.
  func awaitDeployment(of attachment: VolumeAttachment) async throws -> StepOutcome {
    let node = try await database.read { session in
      try attachment.nodeID.flatMap { try NodeStore.get($0, in: session) }
    }
    guard let node, node.instanceUUID == attachment.instanceID else {
      throw ConductorError(.conflict, "The server of volume \(attachment.volumeID) is not there any more.")
    }
    switch node.provisionState {
    case .active where node.reservation == nil: return .done
    case .active, .deploying, .deployWait:
      return .wait(until: clock() + .seconds(2), on: node.reservation.map { "workflow/\($0)" })
    default:
      throw ConductorError(
        .conflict, "The server of volume \(attachment.volumeID) was not deployed: the volume is free again.")
    }
  }
}
