import Wire

/// A pool of VLANs that the administrator lends to tenant networks.
///
/// Source: Neutron API v2, "Network Segment Ranges". Only VLANs here.
public struct SegmentRange: Sendable, Equatable {
  public var id: String
  public var name: String
  public var description: String
  /// Made from the configuration file: not changed by the API.
  public var isDefault: Bool
  /// The one project whose networks come from here; nil for all.
  public var projectID: String?
  public var physicalNetwork: String
  /// VLANs, 1 to 4094, both ends included.
  public var vlans: ClosedRange<Int>
  public var revision: Int
  public var createdAt: Timestamp
  public var updatedAt: Timestamp

  public init(
    id: String = Identifier.uuid(), name: String, description: String = "", isDefault: Bool = false,
    projectID: String? = nil,
    physicalNetwork: String, vlans: ClosedRange<Int>, revision: Int = 0, createdAt: Timestamp,
    updatedAt: Timestamp? = nil
  ) {
    self.id = id
    self.name = name
    self.description = description
    self.isDefault = isDefault
    self.projectID = projectID
    self.physicalNetwork = physicalNetwork
    self.vlans = vlans
    self.revision = revision
    self.createdAt = createdAt
    self.updatedAt = updatedAt ?? createdAt
  }

  /// The lowest VLAN that no network has.
  public func lowestFree(taken: Set<Int>) -> Int? { vlans.first { !taken.contains($0) } }

  /// "tenants (physnet1, VLANs 100 to 199)".
  public var words: String { "\(name) (\(physicalNetwork), VLANs \(vlans.lowerBound) to \(vlans.upperBound))" }
}
