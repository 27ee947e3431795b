import Wire

/// A block of addresses on a network. Source: Neutron API v2, "Subnets".
public struct Subnet: Sendable, Equatable {
  /// `destination` through `nextHop`.
  public struct Route: Sendable, Equatable {
    public var destination: String
    public var nextHop: String
    public init(destination: String, nextHop: String) {
      self.destination = destination
      self.nextHop = nextHop
    }
  }

  public var id: String
  public var networkID: String
  public var projectID: String
  public var name: String
  public var description: String
  public var cidr: CIDR
  /// The pool that `cidr` was taken from.
  public var poolID: String?
  /// Nil when machines get no default route.
  public var gateway: IPAddress?
  /// What the tenant asked for. Tenant networks have no DHCP server yet: machines get their addresses by config drive.
  public var isDHCPEnabled: Bool
  public var dnsNameservers: [String]
  public var hostRoutes: [Route]
  /// Where addresses are taken from; none overlaps another or holds the gateway.
  public var pools: [AddressPool]
  public var tags: [String]
  public var revision: Int
  public var createdAt: Timestamp
  public var updatedAt: Timestamp

  public init(
    id: String = Identifier.uuid(), networkID: String, projectID: String, name: String, description: String = "",
    cidr: CIDR, poolID: String? = nil, gateway: IPAddress?, isDHCPEnabled: Bool = true, dnsNameservers: [String] = [],
    hostRoutes: [Route] = [],
    pools: [AddressPool], tags: [String] = [], revision: Int = 0, createdAt: Timestamp, updatedAt: Timestamp? = nil
  ) {
    self.id = id
    self.networkID = networkID
    self.projectID = projectID
    self.name = name
    self.description = description
    self.cidr = cidr
    self.poolID = poolID
    self.gateway = gateway
    self.isDHCPEnabled = isDHCPEnabled
    self.dnsNameservers = dnsNameservers
    self.hostRoutes = hostRoutes
    self.pools = pools
    self.tags = tags
    self.revision = revision
    self.createdAt = createdAt
    self.updatedAt = updatedAt ?? createdAt
  }

  public var version: Int { cidr.version }

  /// The pools of a subnet whose creator named none: every host address but the gateway's.
  public static func defaultPools(_ cidr: CIDR, gateway: IPAddress?) -> [AddressPool] {
    gateway.map { cidr.hosts.without($0) } ?? [cidr.hosts]
  }
  /// The gateway of a subnet whose creator named none: the first host address.
  public static func defaultGateway(_ cidr: CIDR) -> IPAddress { cidr.hosts.start }

  /// Why these parts make no subnet, in upstream's words, or nil.
  public func problem() -> Problem? {
    if let gateway {
      guard gateway.version == version, cidr.contains(gateway), cidr.hosts.contains(gateway) else {
        return Problem(.invalid, "Gateway is not valid on subnet \(cidr): \(gateway).")
      }
    }
    for (index, pool) in pools.enumerated() {
      guard pool.start.version == version, pool.end.version == version else {
        return Problem(.invalid, "The allocation pool \(pool) is not of the subnet's IP version.")
      }
      guard pool.start <= pool.end else {
        return Problem(.invalid, "The start IP of the allocation pool \(pool) is greater than its end.")
      }
      guard cidr.hosts.contains(pool.start), cidr.hosts.contains(pool.end) else {
        return Problem(.invalid, "The allocation pool \(pool) spans beyond the subnet cidr \(cidr).")
      }
      if let other = pools[..<index].first(where: { $0.overlaps(pool) }) {
        return Problem(.conflict, "Found overlapping allocation pools: \(other) \(pool) for subnet \(cidr).")
      }
      if let gateway, pool.contains(gateway) {
        return Problem(.gatewayInPool, "Gateway ip \(gateway) conflicts with allocation pool \(pool).")
      }
    }
    return nil
  }

  public struct Problem: Sendable, Equatable {
    public enum Kind: Sendable { case invalid, conflict, gatewayInPool }
    public var kind: Kind
    public var message: String
    init(_ kind: Kind, _ message: String) {
      self.kind = kind
      self.message = message
    }
  }
}
