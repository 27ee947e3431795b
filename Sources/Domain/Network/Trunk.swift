import Wire

/// A port whose machine gets further networks tagged, beside the port's own untagged one.
///
/// Source: Neutron API v2, "Trunk networking".
public struct Trunk: Sendable, Equatable {
  /// A network that is carried with a tag, by a port of its own.
  public struct Subport: Sendable, Equatable {
    public var portID: String
    /// The 802.1Q VLAN in the machine's frames, 1 to 4094.
    public var segmentationID: Int
    public init(portID: String, segmentationID: Int) {
      self.portID = portID
      self.segmentationID = segmentationID
    }
    /// The only `segmentation_type`: what is asked for as `inherit` is kept as the VLAN of its network.
    public static let segmentationType = "vlan"
  }
  /// Made of what its ports are: nothing is stored.
  public enum Status: String, Sendable {
    /// Every port was read back from the switch.
    case active = "ACTIVE"
    /// No machine has the parent port.
    case down = "DOWN"
    /// The switch follows.
    case build = "BUILD"
    /// Some subports are in force and some are not.
    case degraded = "DEGRADED"
    case error = "ERROR"

    public init(parent: NetworkPort.Status, subports: [NetworkPort.Status]) {
      let all = subports + [parent]
      self =
        if all.contains(.error) { .error } else if all.contains(.build) {
          .build
        } else if parent == .down {
          .down
        } else { subports.allSatisfy { $0 == .active } ? .active : .degraded }
    }
  }

  public var id: String
  public var projectID: String
  public var name: String
  public var description: String
  /// False: its subports cannot be changed.
  public var isAdminStateUp: Bool
  /// The parent: its network is the untagged one.
  public var portID: String
  /// In the order in which they were added.
  public var subports: [Subport]
  public var status: Status
  public var tags: [String]
  public var revision: Int
  public var createdAt: Timestamp
  public var updatedAt: Timestamp

  public init(
    id: String = Identifier.uuid(), projectID: String, name: String = "", description: String = "",
    isAdminStateUp: Bool = true, portID: String, subports: [Subport] = [], status: Status = .down, tags: [String] = [],
    revision: Int = 0, createdAt: Timestamp, updatedAt: Timestamp? = nil
  ) {
    self.id = id
    self.projectID = projectID
    self.name = name
    self.description = description
    self.isAdminStateUp = isAdminStateUp
    self.portID = portID
    self.subports = subports
    self.status = status
    self.tags = tags
    self.revision = revision
    self.createdAt = createdAt
    self.updatedAt = updatedAt ?? createdAt
  }

  /// Neutron's `device_owner` of a subport; its `device_id` is the trunk.
  public static let subportOwner = "trunk:subport"

  /// Why no switch can carry these networks on one port, as a sentence; nil when it can.
  ///
  /// A switch carries a network under its VLAN, so the tag in the machine's frames is that VLAN.
  /// - Parameters:
  ///   - native: the VLAN of the parent's network.
  ///   - tagged: the subports with the VLAN of each one's network.
  public static func problem(native: Int, tagged: [(subport: Subport, vlan: Int)]) -> String? {
    var seen: Set<Int> = [native]
    for (subport, vlan) in tagged {
      guard subport.segmentationID == vlan else {
        return
          "Subport \(subport.portID) has segmentation_id \(subport.segmentationID), and the switch carries its network as VLAN \(vlan): "
          + "set segmentation_id to \(vlan), or segmentation_type to inherit."
      }
      guard seen.insert(vlan).inserted else {
        return vlan == native
          ? "The network of subport \(subport.portID), VLAN \(vlan), is the parent's already: a port carries it untagged or tagged, not both."
          : "Two subports are on the network with VLAN \(vlan)."
      }
    }
    return nil
  }
}

/// What a port shows of the trunk whose parent it is (`trunk_details`). Source: Neutron API v2, "Trunk networking", port extension.
public struct TrunkDetails: Sendable, Equatable {
  public struct Subport: Sendable, Equatable {
    public var subport: Trunk.Subport
    public var macAddress: String
    public init(_ subport: Trunk.Subport, macAddress: String) {
      self.subport = subport
      self.macAddress = macAddress
    }
  }
  public var trunkID: String
  public var subports: [Subport]
  public init(trunkID: String, subports: [Subport] = []) {
    self.trunkID = trunkID
    self.subports = subports
  }
}
