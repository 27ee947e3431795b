import Wire

/// How a storage network knows a node. Source: Ironic API reference v1, "Volume Connector".
public struct VolumeConnector: Sendable, Equatable {
  public var uuid: String
  public var nodeUUID: String
  /// "iqn", "ip", "mac", "wwnn", "wwpn".
  public var type: String
  /// Unique in the site together with the type: "iqn.2017-08.org.example:n1".
  public var connectorID: String
  public var extra: JSONObject
  /// The project that made it; what a lessee made goes with the lease.
  public var projectID: String?
  public var createdAt: Timestamp
  public var updatedAt: Timestamp?

  public init(uuid: String, nodeUUID: String, createdAt: Timestamp) {
    self.uuid = uuid
    self.nodeUUID = nodeUUID
    type = ""
    connectorID = ""
    extra = [:]
    self.createdAt = createdAt
  }
}

/// A volume that a node is to boot from. Source: Ironic API reference v1, "Volume Target".
public struct VolumeTarget: Sendable, Equatable {
  public var uuid: String
  public var nodeUUID: String
  /// "iscsi", "fibre_channel".
  public var volumeType: String
  /// How to reach it: `target_iqn`, `target_portal`, `auth_password`. Sealed in the store.
  public var properties: JSONObject
  /// Unique on the node; the volume with 0 is the one that boots.
  public var bootIndex: Int
  /// As the volume service knows it.
  public var volumeID: String
  public var extra: JSONObject
  /// The project that made it; what a lessee made goes with the lease.
  public var projectID: String?
  public var createdAt: Timestamp
  public var updatedAt: Timestamp?

  public init(uuid: String, nodeUUID: String, createdAt: Timestamp) {
    self.uuid = uuid
    self.nodeUUID = nodeUUID
    volumeType = ""
    properties = [:]
    bootIndex = 0
    volumeID = ""
    extra = [:]
    self.createdAt = createdAt
  }
}
