import DriverInterfaces
import Logging
import SwitchDrivers

extension Configuration {
  /// What carries tenants' DHCP, routers and floating IPs.
  struct OVN: Codable, Sendable {
    /// The northbound database: "unix:/path" or "tcp:host:port".
    var northbound: String
    /// The southbound database, where there are several chassis. Absent: every chassis has to take a change.
    var southbound: String?
    /// Names of the chassis that carry routers and DHCP, the preferred one first.
    var chassis: [String]
    /// Those that the chassis are connected to; absent when it is that of `networks`.
    var physical_networks: [String]?
  }

  /// Nil where no OVN is configured.
  /// - Throws: ``DriverError`` `.misconfigured` for a value that cannot be meant.
  func routing(_ logger: Logger) throws -> (any RoutingInterface)? {
    guard let ovn else { return nil }
    return try OVNRouting(
      OVNConfiguration(
        northbound: ovn.northbound, southbound: ovn.southbound, chassis: ovn.chassis,
        physicalNetworks: Set(ovn.physical_networks ?? [networks.physical_network])), logger: logger)
  }
}
