/// What carries tenants' DHCP, routers and floating IPs. Takes the whole wanted state; every verb may be repeated.
public protocol RoutingInterface: Sendable {
  /// The physical networks that it is connected to. A network on another one has neither DHCP nor a way to a router.
  var physicalNetworks: Set<String> { get }

  /// Looks whether it answers and could carry something.
  /// - Throws: ``DriverError`` `.unreachable`, `.misconfigured`.
  func probe() async throws
  /// What is otherwise than wanted, each a sentence for the administrator; what others have put there is not looked at.
  func differences(from topology: LogicalTopology) async throws -> [String]
  /// Brings all of it about and returns once packets go that way.
  /// - Returns: what was changed, each a sentence; empty when all was so.
  /// - Throws: ``DriverError`` `.unreachable` also when the change is written down and nobody has taken it yet;
  ///   `.notInForce` when it was written and, read again, is not there.
  @discardableResult
  func apply(_ topology: LogicalTopology) async throws -> [String]
}
