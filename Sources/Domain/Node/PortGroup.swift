import Wire

/// NICs of one node that are bonded. Source: Ironic API reference v1, "Portgroups".
public struct PortGroup: Sendable, Equatable {
  public var uuid: String
  public var nodeUUID: String
  public var name: String?
  /// The MAC address of the bond, lower case, unique among the site's port groups.
  public var address: String?
  /// How the operating system bonds: "active-backup", "802.3ad". Source: Linux, bonding.txt.
  public var mode: String
  /// Options of the bond: `{"miimon": "100"}`.
  public var properties: JSONObject
  /// Whether a member may also be used on its own: to boot from the network, to carry a tenant's network.
  public var supportsStandalonePorts: Bool
  public var extra: JSONObject
  /// The network port attached to it; shown as `internal_info.tenant_vif_port_id`.
  public var vifPortID: String?
  public var createdAt: Timestamp
  public var updatedAt: Timestamp?

  public static let defaultMode = "active-backup"

  public init(uuid: String, nodeUUID: String, createdAt: Timestamp) {
    self.uuid = uuid
    self.nodeUUID = nodeUUID
    mode = Self.defaultMode
    properties = [:]
    supportsStandalonePorts = true
    extra = [:]
    self.createdAt = createdAt
  }
}
