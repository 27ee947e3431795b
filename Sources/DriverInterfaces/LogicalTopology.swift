import Domain

/// What tenants' networks need beside their VLANs: DHCP, routers, addresses translated. The whole wanted state of a site.
///
/// Says nothing of how it is brought about. Ids are those of the Networking API.
public struct LogicalTopology: Sendable, Equatable {
  public var networks: [Network]
  public var routers: [Router]
  public init(networks: [Network] = [], routers: [Router] = []) {
    self.networks = networks
    self.routers = routers
  }

  /// One VLAN, its DHCP service and who is on it.
  public struct Network: Sendable, Equatable {
    public var id: String
    public var physicalNetwork: String
    /// 1 to 4094.
    public var vlan: Int
    /// Those with DHCP.
    public var subnets: [Subnet]
    /// Machines' ports; not those of routers.
    public var ports: [Port]
    public init(id: String, physicalNetwork: String, vlan: Int, subnets: [Subnet] = [], ports: [Port] = []) {
      self.id = id
      self.physicalNetwork = physicalNetwork
      self.vlan = vlan
      self.subnets = subnets
      self.ports = ports
    }
  }

  /// What DHCP tells machines with an address in this subnet.
  public struct Subnet: Sendable, Equatable {
    public var id: String
    /// IPv4 only: there is no DHCPv6.
    public var cidr: CIDR
    /// Nil: machines get no default route.
    public var gateway: IPAddress?
    public var nameservers: [IPAddress]
    public var routes: [Route]
    /// Bytes.
    public var mtu: Int
    public init(
      id: String, cidr: CIDR, gateway: IPAddress?, nameservers: [IPAddress] = [], routes: [Route] = [], mtu: Int = 1500
    ) {
      self.id = id
      self.cidr = cidr
      self.gateway = gateway
      self.nameservers = nameservers
      self.routes = routes
      self.mtu = mtu
    }
  }

  public struct Route: Sendable, Hashable {
    public var destination: CIDR
    public var nextHop: IPAddress
    public init(_ destination: CIDR, via nextHop: IPAddress) {
      self.destination = destination
      self.nextHop = nextHop
    }
  }

  /// A machine's place on a network.
  public struct Port: Sendable, Equatable {
    public var id: String
    public var macAddress: MACAddress
    public var addresses: [IPAddress]
    /// False: DHCP does not answer it.
    public var isEnabled: Bool
    public init(id: String, macAddress: MACAddress, addresses: [IPAddress], isEnabled: Bool = true) {
      self.id = id
      self.macAddress = macAddress
      self.addresses = addresses
      self.isEnabled = isEnabled
    }
  }

  public struct Router: Sendable, Equatable {
    public var id: String
    /// False: it forwards nothing.
    public var isEnabled: Bool
    public var interfaces: [Interface]
    public var gateway: Gateway?
    public var routes: [Route]
    public var floatingIPs: [FloatingIP]
    public var forwardings: [PortForwarding]
    public init(
      id: String, isEnabled: Bool = true, interfaces: [Interface] = [], gateway: Gateway? = nil, routes: [Route] = [],
      floatingIPs: [FloatingIP] = [], forwardings: [PortForwarding] = []
    ) {
      self.id = id
      self.isEnabled = isEnabled
      self.interfaces = interfaces
      self.gateway = gateway
      self.routes = routes
      self.floatingIPs = floatingIPs
      self.forwardings = forwardings
    }
  }

  /// A router's place on a network.
  public struct Interface: Sendable, Equatable {
    /// Of the router's port.
    public var id: String
    public var networkID: String
    public var macAddress: MACAddress
    public var addresses: [Address]
    public init(id: String, networkID: String, macAddress: MACAddress, addresses: [Address]) {
      self.id = id
      self.networkID = networkID
      self.macAddress = macAddress
      self.addresses = addresses
    }
  }

  /// An address and the block that it is in.
  public struct Address: Sendable, Hashable {
    public var address: IPAddress
    public var subnet: CIDR
    public init(_ address: IPAddress, in subnet: CIDR) {
      self.address = address
      self.subnet = subnet
    }
  }

  /// A router's way outside.
  public struct Gateway: Sendable, Equatable {
    public var interface: Interface
    /// The gateways of the external subnets; one default route for each IP version.
    public var nextHops: [IPAddress]
    /// Machines behind the router go out under its first IPv4 address, and are not reached from outside under their own.
    public var translatesSources: Bool
    public init(interface: Interface, nextHops: [IPAddress], translatesSources: Bool = true) {
      self.interface = interface
      self.nextHops = nextHops
      self.translatesSources = translatesSources
    }
  }

  /// An outside address that is a machine's, both ways.
  public struct FloatingIP: Sendable, Equatable {
    public var id: String
    public var address: IPAddress
    /// The machine's own address, behind the router.
    public var fixedAddress: IPAddress
    public init(id: String, address: IPAddress, fixedAddress: IPAddress) {
      self.id = id
      self.address = address
      self.fixedAddress = fixedAddress
    }
  }

  /// One port of an outside address that is a port of a machine.
  public struct PortForwarding: Sendable, Equatable {
    public enum Transport: String, Sendable { case tcp, udp, sctp }
    public var transport: Transport
    /// The outside address and port, 1 to 65535.
    public var address: IPAddress
    public var port: Int
    /// The machine's.
    public var fixedAddress: IPAddress
    public var fixedPort: Int
    public init(_ transport: Transport, address: IPAddress, port: Int, fixedAddress: IPAddress, fixedPort: Int) {
      self.transport = transport
      self.address = address
      self.port = port
      self.fixedAddress = fixedAddress
      self.fixedPort = fixedPort
    }
  }
}
