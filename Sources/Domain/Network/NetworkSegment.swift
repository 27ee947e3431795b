import Wire

/// One carrier of a network beyond its first VLAN: another site's VLAN, or the VNI that joins sites which share no switch.
///
/// A network's first segment is its own `physicalNetwork` and `vlan`. Source: Neutron API v2, "Segments"; IEEE 802.1Q; RFC 7348.
public struct NetworkSegment: Sendable, Equatable {
  public enum Carrier: Sendable, Equatable {
    /// 1 to 4094, meant by the switches of one physical network.
    case vlan(Int, physicalNetwork: String)
    /// A VXLAN network identifier, 1 to 16777215, meant by the whole site.
    case vxlan(Int)

    /// `network_type`.
    public var networkType: String {
      switch self {
      case .vlan: "vlan"
      case .vxlan: "vxlan"
      }
    }
    /// `segmentation_id`.
    public var segmentationID: Int {
      switch self {
      case .vlan(let vlan, _): vlan
      case .vxlan(let vni): vni
      }
    }
    public var physicalNetwork: String? {
      switch self {
      case .vlan(_, let physicalNetwork): physicalNetwork
      case .vxlan: nil
      }
    }
  }
  public static let vnis = 1...16_777_215

  public var id: String
  public var networkID: String
  public var name: String
  public var description: String
  public var carrier: Carrier
  public var revision: Int
  public var createdAt: Timestamp
  public var updatedAt: Timestamp

  public init(
    id: String = Identifier.uuid(), networkID: String, name: String = "", description: String = "", carrier: Carrier,
    revision: Int = 0, createdAt: Timestamp, updatedAt: Timestamp? = nil
  ) {
    self.id = id
    self.networkID = networkID
    self.name = name
    self.description = description
    self.carrier = carrier
    self.revision = revision
    self.createdAt = createdAt
    self.updatedAt = updatedAt ?? createdAt
  }
}

extension Network {
  /// The network's own VLAN as a segment; it has the network's id.
  public var firstSegment: NetworkSegment {
    NetworkSegment(
      id: id, networkID: id, carrier: .vlan(vlan, physicalNetwork: physicalNetwork), revision: revision,
      createdAt: createdAt, updatedAt: updatedAt)
  }
  /// The VLAN that carries the network on the switches of `physicalNetwork`; nil where it is not carried.
  /// - Parameters:
  ///   - physicalNetwork: nil for a machine whose administrator named none: the network's own VLAN.
  ///   - segments: those beyond the first.
  public func vlan(on physicalNetwork: String?, segments: [NetworkSegment]) -> Int? {
    guard let physicalNetwork, physicalNetwork != self.physicalNetwork else { return vlan }
    for segment in segments {
      if case .vlan(let vlan, physicalNetwork) = segment.carrier { return vlan }
    }
    return nil
  }
}
