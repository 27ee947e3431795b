import Wire

/// A NIC of a node: a baremetal port. Source: Ironic API reference v1, "Ports".
public struct Port: Sendable, Equatable {
  public var uuid: String
  public var nodeUUID: String
  /// The MAC address, lower case, unique in the site.
  public var address: String
  public var name: String?
  /// Which switch port it is wired to: `switch_id`, `port_id`, `switch_info`.
  public var localLinkConnection: JSONObject
  /// The bond that it is a member of.
  public var portGroupUUID: String?
  /// May boot over the provisioning network.
  public var isPXEEnabled: Bool
  public var physicalNetwork: String?
  public var extra: JSONObject
  /// The network port attached to it; shown as `internal_info.tenant_vif_port_id`.
  public var vifPortID: String?
  /// The network port attached to its port group, which the members carry together; written with the group, not here.
  public var groupVIFPortID: String?
  /// What LLDP said against `local_link_connection` when the machine was last in the ramdisk, as a sentence without its full
  /// stop; nil when nothing did, and when another wiring was recorded since.
  public var wiringProblem: String?
  public var createdAt: Timestamp
  public var updatedAt: Timestamp?

  public init(uuid: String, nodeUUID: String, address: String, createdAt: Timestamp) {
    self.uuid = uuid
    self.nodeUUID = nodeUUID
    self.address = address
    localLinkConnection = [:]
    isPXEEnabled = true
    extra = [:]
    self.createdAt = createdAt
  }

  /// The network port that its switch port carries: its own, or that of its group.
  public var carriedVIF: String? { vifPortID ?? groupVIFPortID }

  /// The switch port of `local_link_connection`; nil when it does not say.
  public var switchPort: SwitchPort? {
    guard let port = localLinkConnection["port_id"]?.string,
      let name = localLinkConnection["switch_info"]?.string ?? localLinkConnection["switch_id"]?.string
    else { return nil }
    return SwitchPort(switchName: name, port: port)
  }
}

/// A request for a node by class and candidates. Source: Ironic API reference v1, "Allocations".
public struct Allocation: Sendable, Equatable {
  public enum State: String, Sendable { case allocating, active, error }
  public var uuid: String
  public var name: String?
  public var nodeUUID: String?
  public var state: State
  public var resourceClass: String?
  public var candidateNodes: [String]
  public var traits: [String]
  public var owner: String?
  public var lastError: String?
  public var extra: JSONObject
  public var createdAt: Timestamp
  public var updatedAt: Timestamp?

  public init(uuid: String, createdAt: Timestamp) {
    self.uuid = uuid
    state = .allocating
    candidateNodes = []
    traits = []
    extra = [:]
    self.createdAt = createdAt
  }
}
