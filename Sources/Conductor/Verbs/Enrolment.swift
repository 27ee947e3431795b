import Domain
import DriverInterfaces
import Store
import Wire
import Workflows

extension Conductor {
  /// Checks a node's driver and `driver_info` without touching hardware.
  /// - Throws: ``ConductorError`` `.badRequest` for an unknown driver.
  public func checkDriver(_ name: String) throws -> any HardwareType {
    guard let type = hardwareType(named: name) else {
      throw ConductorError(
        .badRequest,
        "No valid host was found. Reason: No conductor service registered which supports driver \(name) for conductor group \"\"; there are \(hardwareTypes.map(\.name).joined(separator: ", "))."
      )
    }
    return type
  }

  /// Members of `driver_info` that are kept sealed for this driver.
  public func secretNames(driver: String) -> Set<String> {
    Set(hardwareType(named: driver)?.properties.filter(\.isSecret).map(\.name) ?? [])
  }

  /// Whether each interface of a node could do its work, and why not. Source: Ironic API reference v1, "Validate Node".
  public func validate(_ node: Node, in session: any Session) throws -> [(
    interface: String, result: Bool?, reason: String?
  )] {
    let type = hardwareType(named: node.driver)
    let info = try NodeStore.driverInfoWithSecrets(of: node.uuid, box: database.secrets, in: session)
    let problems = type?.problems(in: info) ?? ["there is no driver '\(node.driver)'"]
    let hardware: (Bool?, String?) = problems.isEmpty ? (true, nil) : (false, problems.joined(separator: "; "))
    let hasConsole = try? type?.driver(node: node.uuid, driverInfo: info).console != nil
    let isChosen = type?.implementation(of: .console, for: node) != "no-console"
    let console = hasConsole == false || !isChosen ? (false, Self.lacksConsole(node)) : hardware
    let ports = try PortStore.list(node: node.uuid, in: session)
    let pxe: (Bool?, String?) =
      ports.contains(where: \.isPXEEnabled) || type?.needsAgent == false
      ? (true, nil) : (false, "no port of the node may boot over the network")
    let unwired = parts.isWired(node) ? ports.filter { $0.switchPort == nil }.map(\.address) : []
    let network: (Bool?, String?) =
      unwired.isEmpty
      ? (true, nil) : (false, "these ports have no local_link_connection: \(unwired.joined(separator: ", "))")
    let image = node.instanceInfo["image_source"]?.string
    let needsImage = type?.needsAgent != false
    let deploy: (Bool?, String?) =
      image == nil && needsImage ? (false, "instance_info has no image_source") : pxe
    let inspect = has(.inspect, node) ? pxe : (nil, "not supported")
    // "no-bios" and the like do nothing; the implementations that do something are the driver's own.
    func own(_ kind: InterfaceKind) -> (Bool?, String?) {
      type?.implementation(of: kind, for: node).hasPrefix("no-") ?? true ? (nil, "not supported") : hardware
    }
    return [
      ("bios", own(.bios).0, own(.bios).1), ("boot", pxe.0, pxe.1), ("console", console.0, console.1),
      ("deploy", deploy.0, deploy.1),
      ("firmware", own(.firmware).0, own(.firmware).1), ("inspect", inspect.0, inspect.1),
      ("management", hardware.0, hardware.1),
      ("network", network.0, network.1), ("power", hardware.0, hardware.1), ("raid", own(.raid).0, own(.raid).1),
      ("rescue", own(.rescue).0, own(.rescue).1), ("storage", true, nil), ("vendor", nil, "not supported"),
    ].map { (interface: $0.0, result: $0.1, reason: $0.2) }
  }

  /// Checks that a node's interfaces may become what they are in `node`, in the transaction that changes them.
  ///
  /// When its switch ports are nobody's business from now on, what they should carry is forgotten; in the other direction
  /// the drift reconciler finds them, and quarantines them.
  /// - Throws: ``ConductorError`` `.conflict` while the state, a lease, an attached network or a workflow does not allow it.
  public func interfacesChanged(from before: Node, to node: Node, in session: any Session) throws {
    if node.driver == before.driver, let type = hardwareType(named: node.driver),
      let kind = InterfaceKind.allCases.first(where: {
        type.implementation(of: $0, for: node) != type.implementation(of: $0, for: before)
      })
    {
      let allowed: [ProvisionState] = [.available, .cleanFailed, .enroll, .inspectFailed, .manageable]
      guard allowed.contains(before.provisionState) || before.maintenance else {
        throw ConductorError(
          .conflict,
          "Node \(node.uuid) can not have \(kind.field) updated unless it is in one of allowed (\(allowed.map(\.rawValue).joined(separator: ", "))) states or in maintenance mode."
        )
      }
    }
    guard parts.isWired(before) != parts.isWired(node) else { return }
    if before.leaseUUID != nil {
      throw ConductorError(.conflict, "Node \(node.uuid) is leased: its network_interface cannot change now.")
    }
    let ports = try PortStore.list(node: node.uuid, in: session)
    if let vif = ports.vifs.first {
      throw ConductorError(.conflict, "Node \(node.uuid) has VIF \(vif) attached: detach it first.")
    }
    if let open = try WorkflowStore.open(subject: node.uuid, in: session).first {
      throw ConductorError(
        .conflict,
        "Node \(node.uuid) is locked by workflow \(open.id), please retry after the current operation is completed.")
    }
    if !parts.isWired(node) {
      for place in ports.compactMap(\.switchPort) { try SwitchPortStore.forget(place, in: session) }
    }
  }

  /// Forgets what the server keeps of a node beside its row; call it in the transaction that deletes it.
  /// - Throws: ``ConductorError`` `.conflict` when the node may not be deleted now.
  public func nodeDeleted(_ node: Node, in session: any Session) throws {
    try requireFree(node)
    let allowed: Set<ProvisionState> = [.enroll, .manageable, .available, .inspectFailed, .cleanFailed, .adoptFailed]
    guard allowed.contains(node.provisionState) || node.maintenance else {
      throw ConductorError(
        .conflict,
        "Cannot delete node \"\(node.uuid)\" while it is in provision state \"\(node.provisionState.rawValue)\": undeploy it, or set maintenance."
      )
    }
    // One that is only assigned to a project may go, as upstream.
    if node.leaseUUID != nil {
      throw ConductorError(.conflict, "Node \(node.uuid) is leased: delete the lease first.")
    }
    try requireForgettable(node, in: session)
    if try StandByStore.isWaiting(node: node.uuid, in: session) {
      throw ConductorError(.conflict, "Node \(node.uuid) stands by for a deployment: switch it off first.")
    }
    let ports = try PortStore.list(node: node.uuid, in: session)
    if let vif = ports.vifs.first {
      throw ConductorError(.conflict, "Node \(node.uuid) has network port \(vif) attached: detach it first.")
    }
    for port in ports {
      if let place = port.switchPort { try SwitchPortStore.forget(place, in: session) }
    }
    session.afterCommit { [consoles] in
      if let consoles { Task { await consoles.stop(node: node.uuid) } }
    }
  }
}
