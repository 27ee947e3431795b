import Domain
import DriverInterfaces
import Store

extension Conductor {
  /// ``requireFilters(for:on:of:)`` for every NIC of a place.
  func requireFilters(for networkPort: NetworkPort, at place: VIFHolder, of node: Node) throws {
    for nic in place.nics { try requireFilters(for: networkPort, on: nic, of: node) }
  }

  /// Refuses a network port with port security on a NIC whose switch cannot filter: what its owner was promised would not be so.
  /// - Throws: ``ConductorError`` `.conflict` with what to do.
  func requireFilters(for networkPort: NetworkPort, on port: Port, of node: Node) throws {
    guard networkPort.isPortSecurityEnabled else { return }
    let advice =
      "take them off (`openstack port set --no-security-group --disable-port-security \(networkPort.id)`), or use another NIC."
    guard parts.isWired(node), let place = port.switchPort else {
      throw ConductorError(
        .conflict,
        "Port \(networkPort.id) has port security, and no switch of this site is in front of NIC \(port.address) to filter it: "
          + advice)
    }
    guard try parts.switches.switchNamed(place.switchName).capabilities.contains(.acl) else {
      throw ConductorError(
        .conflict,
        "Port \(networkPort.id) has port security, and the switch that NIC \(port.address) is connected to cannot filter (no "
          + "access lists): " + advice)
    }
  }
}

extension SwitchInterface {
  /// A configuration that changed since: what cannot be filtered is not connected.
  /// - Throws: ``DriverError`` `.unsupported`.
  func requireFilters(for ports: [String: PortConfiguration]) throws {
    guard !capabilities.contains(.acl) else { return }
    for (port, configuration) in ports.sorted(by: { $0.key < $1.key }) where !configuration.accessLists.isEmpty {
      throw DriverError(
        .unsupported, device: .networkSwitch(name, port: port),
        detail: "it has no access lists, and the network port's security groups ask for them")
    }
  }
}
