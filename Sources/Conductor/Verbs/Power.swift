import Domain
import DriverInterfaces
import Store
import Wire

extension Conductor {
  /// Starts a change of power in the caller's transaction.
  /// - Parameter timeout: seconds the machine may take; nil takes the site's.
  /// - Throws: ``ConductorError`` `.conflict` while a workflow holds the node.
  public func setPower(
    _ target: PowerTarget, node: inout Node, timeout: Int?, by requester: Requester, in session: any Session
  ) throws {
    try requireFree(node)
    if let timeout, timeout < 1 { throw ConductorError(.badRequest, "The timeout must be at least 1 second.") }
    let id = Identifier.uuid()
    node.reservation = id
    node.targetPowerState = target == .off || target == .softOff ? .off : .on
    node.lastError = nil
    node.updatedAt = clock()
    try NodeStore.update(node, in: session)
    var params: JSONObject = ["target": .string(target.rawValue)]
    if let timeout { params["patience_seconds"] = .int(timeout) }
    _ = try start("set-power", id: id, subject: node.uuid, params: params, by: requester, in: session)
    try NodeStore.addEvent(
      "Asked for \(target.rawValue).", type: "power", user: requester.userID, of: node.uuid, at: clock(), in: session)
  }

  /// What the controller says the next boot will use; nil when it does not tell.
  public func bootDevice(_ node: Node) async throws -> BootOverride? {
    try await driver(of: node).management.observeBootOverride()
  }
  /// - Throws: ``ConductorError`` `.conflict` while a workflow holds the node, ``DriverError`` from the controller.
  public func setBootDevice(_ node: Node, _ device: BootDevice, persistent: Bool, by requester: Requester) async throws
  {
    try requireFree(node)
    try await endFastTrack(of: node.uuid, by: requester)
    let management = try await driver(of: node).management
    let supported = try await management.supportedBootDevices()
    guard supported.contains(device) else {
      throw ConductorError(
        .badRequest,
        "Boot device \(device.rawValue) is not supported by node \(node.uuid): \(supported.map(\.rawValue).joined(separator: ", ")) are."
      )
    }
    try await management.ensureBootOverride(BootOverride(device, persistent: persistent))
    let now = clock(), uuid = node.uuid
    try await database.write { session in
      try change(uuid, session) { node in
        node.driverInternalInfo["boot_device"] = [
          "boot_device": .string(device.rawValue), "persistent": .bool(persistent),
        ]
        node.updatedAt = now
      }
    }
  }
  public func supportedBootDevices(_ node: Node) async throws -> [BootDevice] {
    try await driver(of: node).management.supportedBootDevices()
  }
}
