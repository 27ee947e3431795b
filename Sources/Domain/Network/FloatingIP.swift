import Wire

/// An address of an external network that leads to one port of a project. Source: Neutron API v2, "Floating IPs".
public struct FloatingIP: Sendable, Equatable {
  public enum Status: String, Sendable, CaseIterable {
    /// Packets go to its port.
    case active = "ACTIVE"
    case down = "DOWN"
    case error = "ERROR"
  }
  /// Where it leads.
  public struct Association: Sendable, Equatable {
    public var portID: String
    /// An IPv4 address of the port.
    public var fixedAddress: IPAddress
    public init(portID: String, fixedAddress: IPAddress) {
      self.portID = portID
      self.fixedAddress = fixedAddress
    }
  }

  /// The owner of the port on the external network that holds the address.
  public static let deviceOwner = "network:floatingip"

  public var id: String
  public var projectID: String
  public var description: String
  /// The external network.
  public var networkID: String
  /// IPv4.
  public var address: IPAddress
  /// The port of the external network that holds ``address``.
  public var holderPortID: String
  public var association: Association?
  /// The router through which it leads; nil when it leads nowhere. With port forwardings it has a router and no association.
  public var routerID: String?
  public var status: Status
  public var dnsName: String
  public var dnsDomain: String
  public var tags: [String]
  public var revision: Int
  public var createdAt: Timestamp
  public var updatedAt: Timestamp

  public init(
    id: String = Identifier.uuid(), projectID: String, description: String = "", networkID: String, address: IPAddress,
    holderPortID: String, association: Association? = nil, routerID: String? = nil, status: Status = .down,
    dnsName: String = "", dnsDomain: String = "", tags: [String] = [], revision: Int = 0, createdAt: Timestamp,
    updatedAt: Timestamp? = nil
  ) {
    self.id = id
    self.projectID = projectID
    self.description = description
    self.networkID = networkID
    self.address = address
    self.holderPortID = holderPortID
    self.association = association
    self.routerID = routerID
    self.status = status
    self.dnsName = dnsName
    self.dnsDomain = dnsDomain
    self.tags = tags
    self.revision = revision
    self.createdAt = createdAt
    self.updatedAt = updatedAt ?? createdAt
  }
}
