import DriverInterfaces

/// What carries routers and DHCP, in the ``World``: "routing/router/ID", "routing/floatingip/ID", "routing/dhcp/PORT".
public struct WorldRouting: RoutingInterface {
  public let physicalNetworks: Set<String> = ["datacentre"]
  let world: World
  public init(_ world: World) { self.world = world }

  private func things(_ topology: LogicalTopology) -> [String: String] {
    var things: [String: String] = [:]
    for router in topology.routers {
      things["router/\(router.id)"] = router.interfaces.flatMap(\.addresses).map { "\($0.address)" }.joined(
        separator: " ")
      for floating in router.floatingIPs {
        things["floatingip/\(floating.id)"] = "\(floating.address) \(floating.fixedAddress)"
      }
    }
    for port in topology.networks.flatMap(\.ports) {
      things["dhcp/\(port.id)"] =
        port.macAddress.description + " " + port.addresses.map(\.description).joined(separator: " ")
    }
    return things
  }

  public func probe() async throws { try world.fail("routing", .routing("world")) }
  public func differences(from topology: LogicalTopology) async throws -> [String] {
    let wanted = things(topology), found = world.values(prefix: "routing/")
    return Set(wanted.keys).union(found.keys).filter { wanted[$0] != found[$0] }.sorted()
  }
  public func apply(_ topology: LogicalTopology) async throws -> [String] {
    try world.fail("routing", .routing("world"))
    let changes = try await differences(from: topology)
    let wanted = things(topology)
    try world.ensure(changes.map { ("routing/\($0)", wanted[$0]) })
    try world.fail("heard-routing", .routing("world"))
    return changes
  }
}
