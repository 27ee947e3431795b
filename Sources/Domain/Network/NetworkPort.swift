import Wire

/// A place on a network that a machine may take: an address, and a name for the attachment (Ironic's VIF).
///
/// Not the machine's NIC: that is ``Port``. Source: Neutron API v2, "Ports".
public struct NetworkPort: Sendable, Equatable {
  public struct FixedIP: Sendable, Equatable {
    public var subnetID: String
    public var address: IPAddress
    public init(subnetID: String, address: IPAddress) {
      self.subnetID = subnetID
      self.address = address
    }
  }
  /// `active` means that the switch was read back with the network on the machine's port.
  public enum Status: String, Sendable, CaseIterable {
    case active = "ACTIVE"
    case down = "DOWN"
    case build = "BUILD"
    case error = "ERROR"
  }

  public var id: String
  public var networkID: String
  public var projectID: String
  public var name: String
  public var description: String
  /// Ours while nobody is attached, the NIC's while a machine is; unique in the network, by a constraint.
  public var macAddress: String
  public var isAdminStateUp: Bool
  public var status: Status
  public var deviceID: String
  public var deviceOwner: String
  /// `binding:host_id`: the node, once attached; before that whatever the client wrote.
  public var bindingHostID: String
  /// `binding:vnic_type`.
  public var vnicType: String
  /// `binding:profile`, kept for the client. Never believed: the wiring comes from the node's own port.
  public var bindingProfile: JSONObject
  public var dnsName: String
  /// In the order in which they were given.
  public var fixedIPs: [FixedIP]
  public var tags: [String]
  /// The trunk whose parent it is.
  public var trunk: TrunkDetails?
  /// The machine sends from its own addresses only, and its security groups say what passes (`port_security_enabled`).
  public var isPortSecurityEnabled = false
  /// In ascending order; none without port security.
  public var securityGroupIDs: [String] = []
  /// `allowed_address_pairs`; none without port security.
  public var addressPairs: [AddressPair] = []
  /// A machine's NIC has it, or had it until just now: true from the attachment until the switch was read back without it.
  public var isBound: Bool
  /// Deleted by its owner while the switch still carries it: the API shows it no more, its network and its VLAN stay taken.
  public var isBeingDeleted: Bool
  public var revision: Int
  public var createdAt: Timestamp
  public var updatedAt: Timestamp

  public init(
    id: String = Identifier.uuid(), networkID: String, projectID: String, name: String, description: String = "",
    macAddress: String = NetworkPort.newMACAddress(), isAdminStateUp: Bool = true, status: Status = .down,
    deviceID: String = "",
    deviceOwner: String = "", bindingHostID: String = "", vnicType: String = "normal",
    bindingProfile: JSONObject = JSONObject(), dnsName: String = "", fixedIPs: [FixedIP] = [], tags: [String] = [],
    isBound: Bool = false, isBeingDeleted: Bool = false, revision: Int = 1, createdAt: Timestamp,
    updatedAt: Timestamp? = nil
  ) {
    self.id = id
    self.networkID = networkID
    self.projectID = projectID
    self.name = name
    self.description = description
    self.macAddress = macAddress
    self.isAdminStateUp = isAdminStateUp
    self.status = status
    self.deviceID = deviceID
    self.deviceOwner = deviceOwner
    self.bindingHostID = bindingHostID
    self.vnicType = vnicType
    self.bindingProfile = bindingProfile
    self.dnsName = dnsName
    self.fixedIPs = fixedIPs
    self.tags = tags
    self.isBound = isBound
    self.isBeingDeleted = isBeingDeleted
    self.revision = revision
    self.createdAt = createdAt
    self.updatedAt = updatedAt ?? createdAt
  }

  /// A hardware address of our own: Neutron's `base_mac` fa:16:3e and three random bytes.
  public static func newMACAddress() -> String {
    var generator = SystemRandomNumberGenerator()
    let random = generator.next()
    let bytes = [16, 8, 0].map { UInt8(truncatingIfNeeded: random >> $0) }
    return "fa:16:3e:" + bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: ":")
  }
}
