/// Everything that an engine which routes and gives out addresses has to know: what is wanted, whole.
public struct RoutingTopology: Sendable, Equatable {
  /// An address with the length of its subnet's prefix.
  public struct Address: Sendable, Equatable {
    public var subnetID: String
    public var address: IPAddress
    public var prefix: Int
    public init(subnetID: String, address: IPAddress, prefix: Int) {
      self.subnetID = subnetID
      self.address = address
      self.prefix = prefix
    }
  }
  /// A router's port on a network; the network is among ``RoutingTopology/networks``.
  public struct RouterPort: Sendable, Equatable {
    public var portID: String
    public var macAddress: String
    public var networkID: String
    public var addresses: [Address]
    /// The gateways of the subnets that the port has addresses in: next hops of the default route. Empty for an interface.
    public var nextHops: [IPAddress]
    public init(
      portID: String, macAddress: String, networkID: String, addresses: [Address], nextHops: [IPAddress]
    ) {
      self.portID = portID
      self.macAddress = macAddress
      self.networkID = networkID
      self.addresses = addresses
      self.nextHops = nextHops
    }
  }
  public struct FloatingAddress: Sendable, Equatable {
    public var floatingIPID: String
    public var address: IPAddress
    public var fixedAddress: IPAddress
    /// The port that has ``fixedAddress``.
    public var portID: String
    /// Of that port.
    public var macAddress: String
    /// The network of that port.
    public var networkID: String
    public var externalNetworkID: String
    public init(
      floatingIPID: String, address: IPAddress, fixedAddress: IPAddress, portID: String, macAddress: String,
      networkID: String, externalNetworkID: String
    ) {
      self.floatingIPID = floatingIPID
      self.address = address
      self.fixedAddress = fixedAddress
      self.portID = portID
      self.macAddress = macAddress
      self.networkID = networkID
      self.externalNetworkID = externalNetworkID
    }
  }
  public struct Forwarding: Sendable, Equatable {
    /// Of the floating IP.
    public var address: IPAddress
    public var externalNetworkID: String
    public var forwarding: PortForwarding
    public init(address: IPAddress, externalNetworkID: String, forwarding: PortForwarding) {
      self.address = address
      self.externalNetworkID = externalNetworkID
      self.forwarding = forwarding
    }
  }
  public struct Routing: Sendable, Equatable {
    public var routerID: String
    public var projectID: String
    public var isAdminStateUp: Bool
    public var isSNATEnabled: Bool
    public var isNextHopWatched: Bool
    public var areNextHopsShared: Bool
    public var interfaces: [RouterPort]
    public var gateways: [RouterPort]
    public var routes: [Router.Route]
    public var floatingIPs: [FloatingAddress]
    public var forwardings: [Forwarding]
    public init(_ router: Router) {
      routerID = router.id
      projectID = router.projectID
      isAdminStateUp = router.isAdminStateUp
      isSNATEnabled = router.isSNATEnabled
      isNextHopWatched = router.isNextHopWatched
      areNextHopsShared = router.areNextHopsShared
      interfaces = []
      gateways = []
      routes = router.routes
      floatingIPs = []
      forwardings = []
    }
  }
  /// A port of a machine, or one that a machine may get.
  public struct Port: Sendable, Equatable {
    public var id: String
    public var macAddress: String
    public var isAdminStateUp: Bool
    /// A machine's NIC has it.
    public var isBound: Bool
    public var addresses: [Address]
    public init(id: String, macAddress: String, isAdminStateUp: Bool, isBound: Bool, addresses: [Address] = []) {
      self.id = id
      self.macAddress = macAddress
      self.isAdminStateUp = isAdminStateUp
      self.isBound = isBound
      self.addresses = addresses
    }
  }
  /// A network with a router's port or with a subnet that gives out addresses (``Subnet/isDHCPEnabled``).
  public struct Segment: Sendable, Equatable {
    public var networkID: String
    public var projectID: String
    public var isAdminStateUp: Bool
    public var isExternal: Bool
    public var physicalNetwork: String
    public var vlan: Int
    /// Bytes.
    public var mtu: Int
    public var dnsDomain: String
    public var subnets: [Subnet]
    /// Without the ports of routers and floating IPs, and without those that are being deleted.
    public var ports: [Port]
    public init(_ network: Network) {
      networkID = network.id
      projectID = network.projectID
      isAdminStateUp = network.isAdminStateUp
      isExternal = network.isExternal
      physicalNetwork = network.physicalNetwork
      vlan = network.vlan
      mtu = network.mtu
      dnsDomain = network.dnsDomain
      subnets = []
      ports = []
    }
  }

  /// In the order of their ids.
  public var routers: [Routing]
  /// In the order of their ids.
  public var networks: [Segment]
  public init(routers: [Routing], networks: [Segment]) {
    self.routers = routers
    self.networks = networks
  }
}
