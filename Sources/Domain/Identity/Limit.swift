/// How much of a resource every project may have unless a ``Limit`` says otherwise.
/// Source: Identity API reference v3, "Unified Limits".
public struct RegisteredLimit: Sendable, Equatable {
  public var id: String
  public var serviceID: String
  public var regionID: String?
  /// "baremetal_nodes". Unique with service and region.
  public var resourceName: String
  /// A count; -1 for no limit.
  public var defaultLimit: Int
  public var description: String?

  public init(
    id: String, serviceID: String, regionID: String?, resourceName: String, defaultLimit: Int, description: String?
  ) {
    self.id = id
    self.serviceID = serviceID
    self.regionID = regionID
    self.resourceName = resourceName
    self.defaultLimit = defaultLimit
    self.description = description
  }
  /// What a limit can be.
  public static let range = -1...0x7fff_ffff
}

/// How much of it one project, or one domain, may have.
public struct Limit: Sendable, Equatable {
  public var id: String
  public var registered: RegisteredLimit
  public var projectID: String
  /// `projectID` is a domain's.
  public var isForDomain: Bool
  public var resourceLimit: Int
  public var description: String?

  public init(
    id: String, registered: RegisteredLimit, projectID: String, isForDomain: Bool, resourceLimit: Int,
    description: String?
  ) {
    self.id = id
    self.registered = registered
    self.projectID = projectID
    self.isForDomain = isForDomain
    self.resourceLimit = resourceLimit
    self.description = description
  }
}
