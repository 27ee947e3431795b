import Wire

/// Forwards packets between subnets of a project, and from there to the outside. Source: Neutron API v2, "Routers".
public struct Router: Sendable, Equatable {
  public enum Status: String, Sendable, CaseIterable {
    /// It is taken, as upstream; what carries routers has found nothing wrong with it.
    case active = "ACTIVE"
    case down = "DOWN"
    /// What carries routers cannot carry this one.
    case error = "ERROR"
  }
  /// A port of a network that is the router's.
  public struct Attachment: Sendable, Equatable {
    public enum Kind: String, Sendable, CaseIterable {
      /// To a network of tenants.
      case interface = "network:router_interface"
      /// To an external network.
      case gateway = "network:router_gateway"
    }
    public var portID: String
    public var kind: Kind
    public var networkID: String
    public var macAddress: String
    public var fixedIPs: [NetworkPort.FixedIP]
    public init(
      portID: String, kind: Kind, networkID: String, macAddress: String, fixedIPs: [NetworkPort.FixedIP]
    ) {
      self.portID = portID
      self.kind = kind
      self.networkID = networkID
      self.macAddress = macAddress
      self.fixedIPs = fixedIPs
    }
  }
  /// `destination`, a block of addresses, through `nextHop`.
  public struct Route: Sendable, Hashable {
    public var destination: CIDR
    public var nextHop: IPAddress
    public init(destination: CIDR, nextHop: IPAddress) {
      self.destination = destination
      self.nextHop = nextHop
    }
  }

  public var id: String
  public var projectID: String
  public var name: String
  public var description: String
  public var isAdminStateUp: Bool
  public var status: Status
  /// Machines without a floating IP reach the outside under the gateway's address (`enable_snat`).
  public var isSNATEnabled: Bool
  /// `enable_default_route_bfd`, `enable_default_route_ecmp`: whether the next hops of several gateways are watched, and used
  /// together.
  public var isNextHopWatched: Bool
  public var areNextHopsShared: Bool
  public var routes: [Route]
  /// In the order in which they were made; filled in by the store. The first gateway is the one that `external_gateway_info` shows.
  public var attachments: [Attachment]
  public var tags: [String]
  public var revision: Int
  public var createdAt: Timestamp
  public var updatedAt: Timestamp

  public init(
    id: String = Identifier.uuid(), projectID: String, name: String = "", description: String = "",
    isAdminStateUp: Bool = true, status: Status = .active, isSNATEnabled: Bool = true, isNextHopWatched: Bool = false,
    areNextHopsShared: Bool = false, routes: [Route] = [], attachments: [Attachment] = [], tags: [String] = [],
    revision: Int = 0, createdAt: Timestamp, updatedAt: Timestamp? = nil
  ) {
    self.id = id
    self.projectID = projectID
    self.name = name
    self.description = description
    self.isAdminStateUp = isAdminStateUp
    self.status = status
    self.isSNATEnabled = isSNATEnabled
    self.isNextHopWatched = isNextHopWatched
    self.areNextHopsShared = areNextHopsShared
    self.routes = routes
    self.attachments = attachments
    self.tags = tags
    self.revision = revision
    self.createdAt = createdAt
    self.updatedAt = updatedAt ?? createdAt
  }

  public var interfaces: [Attachment] { attachments.filter { $0.kind == .interface } }
  public var gateways: [Attachment] { attachments.filter { $0.kind == .gateway } }

  /// Why the router cannot have its routes, in upstream's words, or nil.
  /// - Parameter subnets: the blocks that it has a port in.
  public func problem(withRoutesOver subnets: [CIDR]) -> String? {
    let own = attachments.flatMap(\.fixedIPs).map(\.address)
    for route in routes {
      if !subnets.contains(where: { $0.contains(route.nextHop) }) { return "the nexthop is not connected with router" }
      if own.contains(route.nextHop) { return "the nexthop is used by router" }
    }
    return nil
  }
}
