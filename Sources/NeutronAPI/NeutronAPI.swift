import APISupport
import Domain
import Store
import Wire

/// The networking service: Neutron's API v2.0 for what this site has. Source: Neutron API reference, v2.0.
public struct NeutronAPI: Sendable {
  /// Limits per project where the administrator has set none; -1 is no limit.
  public struct Quotas: Sendable {
    public var networks = 100
    public var subnets = 100
    public var ports = 500
    public var rbacPolicies = 10
    public var subnetPools = -1
    public var trunks = -1
    public var routers = 100
    public var floatingIPs = 50
    public var securityGroups = 100
    public var securityGroupRules = 1000
    public init() {}
  }
  public struct Settings: Sendable {
    public var quotas = Quotas()
    /// VLANs of the site itself (provisioning, quarantine), never a tenant's.
    public var reservedVLANs: Set<Int> = []
    /// What new networks have that do not say it themselves.
    public var isPortSecurityEnabled = false
    /// How the switches of each physical network that carry VNIs learn of each other.
    public var controlPlanes: [String: Set<TunnelControlPlane>] = [:]
    public init() {}
  }
  /// Called in the transaction that deletes a port on a machine's NIC: starts to take the machine off the network. The port
  /// stays in the store, unseen, until ``NetworkPortStore/release(_:at:in:)``.
  ///
  /// - Throws: what the caller should hear when it cannot be detached now.
  public typealias Unplug =
    @Sendable (_ port: NetworkPort, _ actor: Actor, _ requestID: String, _ session: any Session) throws -> Void

  /// Called in the transaction that changes `admin_state_up` of ports, or of the network that they are on, or what may pass at
  /// ports, with the ids of those that a machine is attached to: starts to have the switches follow.
  ///
  /// - Throws: what the caller should hear when a switch cannot filter.
  public typealias Rewire = @Sendable (_ ports: [String], _ session: any Session) throws -> Void

  /// Called in the transaction that changes the subports of a trunk: starts to have the switch of a machine on it follow.
  ///
  /// - Throws: what the caller should hear when the switch cannot carry them.
  public typealias Retag = @Sendable (_ trunk: Trunk, _ added: [String], _ session: any Session) throws -> Void
  /// Called in the transaction that changes what routers do, where floating IPs lead or which machine has which address: the
  /// engine that does it looks again.
  public typealias Routing = @Sendable (_ session: any Session) throws -> Void

  let database: Database
  let settings: Settings
  let retag: Retag
  /// Called in the transaction that makes or deletes a segment: the switches follow.
  let segmentsChanged: @Sendable (_ session: any Session) -> Void
  let rewire: Rewire
  let routing: Routing
  let unplug: Unplug

  public init(
    database: Database, settings: Settings = Settings(), rewire: @escaping Rewire,
    segmentsChanged: @escaping @Sendable (_ session: any Session) -> Void, retag: @escaping Retag,
    routing: @escaping Routing = { _ in }, unplug: @escaping Unplug
  ) {
    self.segmentsChanged = segmentsChanged
    self.retag = retag
    self.database = database
    self.settings = settings
    self.rewire = rewire
    self.routing = routing
    self.unplug = unplug
  }

  public var service: Service {
    Service(
      name: "neutron", type: "network", prefix: "/network", errorShape: .neutron,
      endpoints: VersionRoutes().endpoints + ExtensionRoutes().endpoints
        + NetworkRoutes(neutron: self).endpoints + SubnetRoutes(neutron: self).endpoints
        + PortRoutes(neutron: self).endpoints + RBACPolicyRoutes(neutron: self).endpoints
        + SubnetPoolRoutes(neutron: self).endpoints + AddressScopeRoutes(neutron: self).endpoints
        + RouterRoutes(neutron: self).endpoints + RouterInterfaceRoutes(neutron: self).endpoints
        + FloatingIPRoutes(neutron: self).endpoints + PortForwardingRoutes(neutron: self).endpoints
        + IPAvailabilityRoutes(neutron: self).endpoints + SegmentRangeRoutes(neutron: self).endpoints
        + TagRoutes(neutron: self).endpoints + TrunkRoutes(neutron: self).endpoints
        + SegmentRoutes(neutron: self).endpoints
        + QuotaRoutes(neutron: self).endpoints + SecurityGroupRoutes(neutron: self).endpoints
        + SecurityGroupRuleRoutes(neutron: self).endpoints + UnofferedRoutes().endpoints)
  }
}

extension EndpointRule {
  /// Members of a project, in their own project; what they may touch is ``NetworkPolicy``.
  static func member(_ name: String) -> EndpointRule {
    EndpointRule("network:\(name)", "a member, in their own project") { NetworkPolicy.isMember($0) }
  }
}

/// A resource that the caller may see, or 404 in the words of its kind.
enum Lookup {
  static func network(_ id: String, _ actor: Actor, _ session: any Session) throws -> Network {
    guard let network = try NetworkStore.get(id, in: session), NetworkPolicy.sees(network, actor) else {
      throw APIError.networkNotFound(id)
    }
    return network
  }
  static func subnet(_ id: String, _ actor: Actor, _ session: any Session) throws -> (Subnet, Network) {
    guard let subnet = try SubnetStore.get(id, in: session),
      let network = try NetworkStore.get(subnet.networkID, in: session), NetworkPolicy.sees(subnet, on: network, actor)
    else { throw APIError.notFound("Subnet \(id) could not be found.", type: "SubnetNotFound") }
    return (subnet, network)
  }
  static func subnetPool(_ id: String, _ actor: Actor, _ session: any Session) throws -> SubnetPool {
    guard let pool = try SubnetPoolStore.get(id, in: session), NetworkPolicy.sees(pool, actor) else {
      throw APIError.notFound("Subnet pool \(id) could not be found.", type: "SubnetPoolNotFound")
    }
    return pool
  }
  static func addressScope(_ id: String, _ actor: Actor, _ session: any Session) throws -> AddressScope {
    guard let scope = try AddressScopeStore.get(id, in: session), NetworkPolicy.sees(scope, actor) else {
      throw APIError.notFound("Address scope \(id) could not be found.", type: "AddressScopeNotFound")
    }
    return scope
  }
  static func trunk(_ id: String, _ actor: Actor, _ session: any Session) throws -> Trunk {
    guard let trunk = try TrunkStore.get(id, in: session), NetworkPolicy.sees(trunk, actor) else {
      throw APIError.notFound("Trunk \(id) could not be found.", type: "TrunkNotFound")
    }
    return trunk
  }
  static func port(_ id: String, _ actor: Actor, _ session: any Session) throws -> (NetworkPort, Network) {
    guard let port = try NetworkPortStore.get(id, in: session), !port.isBeingDeleted,
      let network = try NetworkStore.get(port.networkID, in: session), NetworkPolicy.sees(port, on: network, actor)
    else { throw APIError.notFound("Port \(id) could not be found.", type: "PortNotFound") }
    return (port, network)
  }
}
