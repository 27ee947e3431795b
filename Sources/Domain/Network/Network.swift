import Wire

/// A tenant's layer-2 network: one VLAN of one physical network. Source: Neutron API v2, "Networks".
public struct Network: Sendable, Equatable {
  public var id: String
  public var projectID: String
  public var name: String
  public var description: String
  public var isAdminStateUp: Bool
  /// Who may attach machines to it beside the owner; filled in by the store from the RBAC policies.
  public var sharing: Sharing
  /// It leads outside (`router:external`).
  public var isExternal: Bool
  /// Who sees it because it leads outside; filled in by the store from the RBAC policies.
  public var externalAccess: Sharing
  public var isDefault: Bool
  /// Bytes, 68 to 9216.
  public var mtu: Int
  /// The set of switches on which `vlan` means one thing (`provider:physical_network`).
  public var physicalNetwork: String
  /// `provider:segmentation_id`, 1 to 4094; nobody else's on the same physical network, by a constraint.
  public var vlan: Int
  public var dnsDomain: String
  /// What ports have that do not say it themselves.
  public var isPortSecurityEnabled = false
  /// In ascending order.
  public var tags: [String]
  /// The ids of its subnets, filled in by the store.
  public var subnetIDs: [String]
  /// The address scope of its subnets, by IP version; filled in by the store.
  public var addressScopes: [Int: String] = [:]
  public var revision: Int
  public var createdAt: Timestamp
  public var updatedAt: Timestamp

  public init(
    id: String = Identifier.uuid(), projectID: String, name: String, description: String = "",
    isAdminStateUp: Bool = true,
    isExternal: Bool = false, isDefault: Bool = false, mtu: Int = 1500, physicalNetwork: String,
    vlan: Int, dnsDomain: String = "", tags: [String] = [], subnetIDs: [String] = [], revision: Int = 1,
    createdAt: Timestamp, updatedAt: Timestamp? = nil
  ) {
    self.id = id
    self.projectID = projectID
    self.name = name
    self.description = description
    self.isAdminStateUp = isAdminStateUp
    self.sharing = Sharing()
    self.isExternal = isExternal
    self.externalAccess = Sharing()
    self.isDefault = isDefault
    self.mtu = mtu
    self.physicalNetwork = physicalNetwork
    self.vlan = vlan
    self.dnsDomain = dnsDomain
    self.tags = tags
    self.subnetIDs = subnetIDs
    self.revision = revision
    self.createdAt = createdAt
    self.updatedAt = updatedAt ?? createdAt
  }
}
