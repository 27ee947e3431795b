import Domain
import DriverInterfaces
import Store

/// What a node's controller offers beside power, boot device and console, while the caller waits.
extension Conductor {
  /// Source: Ironic, `UnsupportedDriverExtension`, which is a 400.
  static func unsupported(_ what: String, by node: Node) -> ConductorError {
    ConductorError(.badRequest, "Driver \(node.driver) does not support \(what) (disabled or not implemented).")
  }

  /// The lamps of a node; none where its driver has none.
  public func indicators(_ node: Node) async throws -> [Indicator] {
    try await driver(of: node).indicators?.indicators() ?? []
  }
  /// - Throws: ``ConductorError`` `.badRequest` when the node's driver has none.
  public func indicatorState(_ node: Node, _ name: Indicator.Name) async throws -> Indicator.State {
    guard let indicators = try await driver(of: node).indicators else {
      throw Self.unsupported("get_indicator_state", by: node)
    }
    return try await indicators.observeIndicator(name)
  }
  /// A lamp is nobody's business but the caller's, so a workflow at work is no obstacle.
  public func setIndicator(_ node: Node, _ name: Indicator.Name, _ state: Indicator.State) async throws {
    guard let indicators = try await driver(of: node).indicators else {
      throw Self.unsupported("set_indicator_state", by: node)
    }
    try await indicators.ensureIndicator(name, state)
  }

  /// - Throws: ``ConductorError`` `.conflict` while a workflow holds the node, `.badRequest` when its driver has no interrupt.
  public func sendInterrupt(_ node: Node, by requester: Requester) async throws {
    try requireFree(node)
    guard let interrupt = try await driver(of: node).interrupt else { throw Self.unsupported("inject_nmi", by: node) }
    try await endFastTrack(of: node.uuid, by: requester)
    try await interrupt.sendInterrupt()
    let now = clock()
    try await database.write { session in
      try NodeStore.addEvent(
        "A non-maskable interrupt was sent.", type: "management", user: requester.userID, of: node.uuid, at: now,
        in: session)
    }
  }

  /// What the controller measures now.
  /// - Throws: ``ConductorError`` `.badRequest` when the node's driver has no sensors.
  public func sensors(_ node: Node) async throws -> [Sensor] {
    guard let sensors = try await driver(of: node).sensors else { throw Self.unsupported("get_sensors_data", by: node) }
    return try await sensors.sensors()
  }

  // MARK: Boot mode

  /// Has the firmware boot in `mode` from the next boot on.
  /// - Throws: ``ConductorError`` `.conflict` while a workflow holds the node, `.badRequest` when its driver cannot.
  public func setBootMode(_ node: Node, _ mode: BootMode, by requester: Requester) async throws {
    try await setBoot(node, "set_boot_mode", "Boot mode set to \(mode.rawValue).", by: requester) { node in
      // The next tenant finds the machine as this one did.
      if node.lessee != nil, node.driverInternalInfo[Node.modeBeforeLease] == nil, let old = node.bootMode, old != mode
      {
        node.driverInternalInfo[Node.modeBeforeLease] = .string(old.rawValue)
      }
    } body: {
      try await $0.ensureBootMode(mode)
    } record: {
      $0.noteBootMode(mode)
    }
  }
  /// Turns Secure Boot on or off from the next boot on; otherwise as ``setBootMode(_:_:by:)``.
  public func setSecureBoot(_ node: Node, _ isOn: Bool, by requester: Requester) async throws {
    try await setBoot(node, "set_secure_boot_state", "Secure Boot turned \(isOn ? "on" : "off").", by: requester) {
      node in
      // Known before it is so: whoever boots the ramdisk next turns it off.
      if isOn { node.isSecureBoot = true }
    } body: {
      try await $0.ensureSecureBoot(isOn)
    } record: {
      $0.isSecureBoot = isOn
    }
  }
  /// - Parameters:
  ///   - before: what is written down before the controller is asked.
  ///   - record: what is so afterwards.
  private func setBoot(
    _ node: Node, _ what: String, _ words: String, by requester: Requester,
    before: @escaping @Sendable (inout Node) -> Void, body: (any BootModeInterface) async throws -> Void,
    record: @escaping @Sendable (inout Node) -> Void
  ) async throws {
    try requireFree(node)
    guard let boot = try await driver(of: node).bootMode else { throw Self.unsupported(what, by: node) }
    try await endFastTrack(of: node.uuid, by: requester)
    let now = clock(), uuid = node.uuid
    try await database.write { session in
      try change(uuid, session) { node in
        // A workflow may have taken it since it was read.
        try self.requireFree(node)
        before(&node)
      }
    }
    try await body(boot)
    try await database.write { session in
      try change(uuid, session) { node in
        record(&node)
        node.updatedAt = now
      }
      try NodeStore.addEvent(words, type: "management", user: requester.userID, of: uuid, at: now, in: session)
    }
  }

  // MARK: BIOS and firmware

  /// The BIOS settings that the controller shows now; none where the node's BIOS interface does nothing.
  public func biosSettings(_ node: Node, isDetailed: Bool) async throws -> [BIOSSetting] {
    guard has(.bios, node) else { return [] }
    return try await driver(of: node).bios?.biosSettings(isDetailed: isDetailed) ?? []
  }
  /// The firmware that the controller shows now, and what the node had when it was first verified.
  public func firmware(_ node: Node) async throws -> [(component: FirmwareComponent, initialVersion: String)] {
    guard has(.firmware, node) else { return [] }
    let first = node.driverInternalInfo["firmware"]
    return try await (driver(of: node).firmware?.firmware() ?? []).map {
      ($0, first?[$0.name]?.string ?? $0.version)
    }
  }
  /// Whether the implementation that holds for a node does something.
  func has(_ kind: InterfaceKind, _ node: Node) -> Bool {
    hardwareType(named: node.driver)?.implementation(of: kind, for: node).hasPrefix("no-") == false
  }
}
