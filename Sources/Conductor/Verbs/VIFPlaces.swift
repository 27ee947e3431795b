import Domain
import DriverInterfaces
import Store

/// Where on a machine a network port (VIF) goes, and what is in the way.
extension Conductor {
  /// What the caller of ``attachVIF(networkPortID:node:at:by:in:)`` chose.
  public enum VIFPlace: Sendable, Equatable {
    /// The first free one: port groups before ports, ports that may boot over the network before others.
    case anyFree
    /// A NIC, by its UUID.
    case port(String)
    /// A port group, by its UUID.
    case portGroup(String)
  }

  /// - Throws: ``ConductorError`` `.badRequest` for a place that is not the node's or cannot have a network port by itself,
  ///   `.conflict` for one that has one.
  func place(_ wanted: VIFPlace, for vif: String, on node: Node, in session: any Session) throws -> VIFHolder {
    // A NIC that the machine reaches its boot volume by is not to be had.
    let boot = try VolumeBootStore.get(node: node.uuid, in: session)?.mac
    let places = try VIFStore.places(node: node.uuid, in: session).filter {
      $0.isPortGroup || boot == nil || MACAddress($0.macAddress) != boot
    }
    switch wanted {
    case .anyFree: return try freePlace(places, for: vif, on: node, in: session)
    case .port(let uuid):
      guard let found = places.first(where: { !$0.isPortGroup && $0.uuid == uuid }) else {
        throw ConductorError(.badRequest, "Port \(uuid) is not a port of node \(node.uuid).")
      }
      if let group = group(of: found, in: places) {
        guard group.supportsStandalonePorts else {
          throw ConductorError(
            .badRequest,
            "Port \(uuid) is a member of port group \(group.uuid), which does not support standalone ports: attach the VIF to the port group, choose another port, or set standalone_ports_supported."
          )
        }
        if group.vifPortID != nil {
          throw ConductorError(
            .conflict,
            "Unable to attach VIF \(vif): port \(uuid) is a member of port group \(group.uuid), which already has a VIF attached."
          )
        }
      }
      guard found.vifPortID == nil else {
        throw ConductorError(.conflict, "Unable to attach VIF \(vif): port \(uuid) already has a VIF attached.")
      }
      return found
    case .portGroup(let uuid):
      guard let found = places.first(where: { $0.isPortGroup && $0.uuid == uuid }) else {
        throw ConductorError(.badRequest, "Portgroup \(uuid) is not a port group of node \(node.uuid).")
      }
      if let problem = problem(of: found, on: node) {
        throw ConductorError(.badRequest, "Unable to attach VIF \(vif): \(problem)")
      }
      guard found.vifPortID == nil else {
        throw ConductorError(.conflict, "Unable to attach VIF \(vif): port group \(uuid) already has a VIF attached.")
      }
      if let used = found.nics.first(where: { $0.vifPortID != nil }) {
        throw ConductorError(
          .conflict,
          "Unable to attach VIF \(vif): port \(used.uuid), a member of port group \(uuid), has a VIF of its own attached: detach it first."
        )
      }
      return found
    }
  }

  /// The order is Ironic's (`get_free_port_like_object`): where the network is carried, then port groups, then NICs that may
  /// boot over the network. A group with a member that is used by itself leaves the choice to its other members.
  private func freePlace(
    _ places: [VIFHolder], for vif: String, on node: Node, in session: any Session
  ) throws -> VIFHolder {
    let free = places.filter { place in
      if place.vifPortID != nil { return false }
      if place.isPortGroup {
        return problem(of: place, on: node) == nil && !place.nics.contains { $0.vifPortID != nil }
      }
      guard let group = group(of: place, in: places) else { return true }
      return group.supportsStandalonePorts && group.vifPortID == nil
    }
    let isCarried = try Dictionary(
      Set(free.map(\.physicalNetwork)).map { network in
        (network, try Attachment(vif, on: network, in: session)?.problem == nil)
      }, uniquingKeysWith: { first, _ in first })
    func rank(_ place: VIFHolder) -> Int {
      (isCarried[place.physicalNetwork] == true ? 4 : 0) + (place.isPortGroup ? 2 : 0) + (place.isPXEEnabled ? 1 : 0)
    }
    // The first of the best, in the order they were made.
    guard let best = free.map(rank).max(), let first = free.first(where: { rank($0) == best }) else {
      let ports = places.count { !$0.isPortGroup }
      throw ConductorError(
        .badRequest,
        "Unable to attach VIF \(vif) to node \(node.uuid), reason: not enough free physical ports: all \(ports) have one, or are bonded."
      )
    }
    return first
  }

  /// The port group that a NIC is a member of.
  private func group(of place: VIFHolder, in places: [VIFHolder]) -> PortGroup? {
    guard case .port(let port) = place, let uuid = port.portGroupUUID else { return nil }
    for case .portGroup(let group, _) in places where group.uuid == uuid { return group }
    return nil
  }

  /// Why a port group can carry nothing, as a sentence.
  private func problem(of place: VIFHolder, on node: Node) -> String? {
    guard case .portGroup(let group, let members) = place else { return nil }
    if members.isEmpty {
      return
        "port group \(group.uuid) has no ports: make its NICs members with `openstack baremetal port set --port-group \(group.uuid) PORT`."
    }
    if parts.isWired(node), let loose = members.first(where: { $0.switchPort == nil }) {
      return
        "port \(loose.uuid), a member of port group \(group.uuid), does not say which switch port it is wired to: set it with `openstack baremetal port set --local-link-connection`, or inspect the node."
    }
    let networks = Set(members.map(\.physicalNetwork))
    if networks.count > 1 {
      return
        "the ports of port group \(group.uuid) are on different physical networks (\(networks.map { $0 ?? "None" }.sorted().joined(separator: ", "))): a bond has one."
    }
    return nil
  }

  /// Refuses an attachment that the switches in front of `place` cannot carry.
  func requireCarried(_ attachment: Attachment, at place: VIFHolder, of node: Node) throws {
    let vif = attachment.parent.port.id
    if parts.isWired(node) {
      for nic in place.nics {
        guard let wiring = nic.switchPort else {
          throw ConductorError(
            .badRequest,
            "Port \(nic.uuid) does not say which switch port it is wired to: set it with `openstack baremetal port set --local-link-connection`, or inspect the node."
          )
        }
        if let problem = nic.wiringProblem {
          throw ConductorError(
            .conflict, "Unable to attach VIF \(vif): wrong cabling: \(problem). \(Parts.wiringAdvice)")
        }
        let device = try parts.switches.switchNamed(wiring.switchName)
        if !attachment.tagged.isEmpty, !device.capabilities.contains(.trunk) {
          throw ConductorError(
            .conflict,
            "Unable to attach VIF \(vif): it is the parent of a trunk, and switch \(wiring.switchName) cannot carry tagged networks."
          )
        }
      }
      if let problem = attachment.problem {
        throw ConductorError(.conflict, "Unable to attach VIF \(vif): \(problem)")
      }
    }
    for item in attachment.all { try requireFilters(for: item.port, at: place, of: node) }
  }
}
