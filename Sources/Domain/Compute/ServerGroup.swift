import Wire

/// Servers that shall stand apart. Source: Nova API v2.1, "Server groups".
///
/// Every server has a machine of its own, so anti-affinity holds always; where the chassis of machines are recorded it means
/// different chassis. Affinity would put several servers on one machine, and is refused.
public struct ServerGroup: Sendable, Equatable {
  public enum Policy: String, Sendable, CaseIterable {
    case antiAffinity = "anti-affinity"
    case softAntiAffinity = "soft-anti-affinity"
  }
  public var id: String
  public var name: String
  public var projectID: String
  public var userID: String
  public var policy: Policy
  /// Most servers on one chassis.
  public var mostPerChassis: Int?
  /// Ids of its servers.
  public var members: [String]
  public var createdAt: Timestamp

  public init(
    id: String = Identifier.uuid(), name: String, projectID: String, userID: String, policy: Policy,
    createdAt: Timestamp
  ) {
    self.id = id
    self.name = name
    self.projectID = projectID
    self.userID = userID
    self.policy = policy
    self.createdAt = createdAt
    members = []
  }
}
