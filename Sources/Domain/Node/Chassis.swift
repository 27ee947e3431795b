import Wire

/// A rack, row or enclosure that nodes stand in. Source: Ironic API reference v1, "Chassis".
public struct Chassis: Sendable, Equatable {
  public var uuid: String
  public var description: String?
  public var extra: JSONObject
  public var createdAt: Timestamp
  public var updatedAt: Timestamp?

  public init(uuid: String, createdAt: Timestamp) {
    self.uuid = uuid
    extra = [:]
    self.createdAt = createdAt
  }
}
