import Wire

/// Gives another project the use of one network, subnet pool, address scope or security group. Source: Neutron API v2, "RBAC policies".
public struct RBACPolicy: Sendable, Equatable {
  public enum ObjectType: String, Sendable, CaseIterable {
    case network
    case subnetPool = "subnetpool"
    case addressScope = "address_scope"
    case securityGroup = "security_group"

    /// What can be given of such an object.
    public var actions: [Action] { self == .network ? [.shared, .external] : [.shared] }
  }
  public enum Action: String, Sendable, CaseIterable {
    /// Seen, and used like an own one.
    case shared = "access_as_shared"
    /// Seen as a network that leads outside.
    case external = "access_as_external"
  }
  /// The target that stands for every project.
  public static let everyone = "*"

  public var id: String
  /// Who made it, and may change it: the owner of the object, or the administrator.
  public var projectID: String
  public var objectType: ObjectType
  public var objectID: String
  public var action: Action
  /// A project's id, or ``everyone``. Nobody checks that there is such a project: that would tell.
  public var target: String
  public var createdAt: Timestamp

  public init(
    id: String = Identifier.uuid(), projectID: String, objectType: ObjectType, objectID: String,
    action: Action = .shared,
    target: String, createdAt: Timestamp
  ) {
    self.id = id
    self.projectID = projectID
    self.objectType = objectType
    self.objectID = objectID
    self.action = action
    self.target = target
    self.createdAt = createdAt
  }
}

/// The projects that the policies of one object and one action name.
public struct Sharing: Sendable, Equatable {
  public private(set) var isWithEveryone = false
  public private(set) var projects: Set<String> = []

  public init() {}
  public init(_ targets: some Sequence<String>) {
    for target in targets { insert(target) }
  }
  public mutating func insert(_ target: String) {
    if target == RBACPolicy.everyone { isWithEveryone = true } else { projects.insert(target) }
  }
  public mutating func remove(_ target: String) {
    if target == RBACPolicy.everyone { isWithEveryone = false } else { projects.remove(target) }
  }
  public func without(_ target: String) -> Sharing {
    var rest = self
    rest.remove(target)
    return rest
  }

  /// - Parameter project: nil for a caller without a project.
  public func reaches(_ project: String?) -> Bool {
    isWithEveryone || project.map { projects.contains($0) } ?? false
  }
  /// Those of `users` who have the object by this and would not by `next`.
  public func losers(_ next: Sharing, of users: Set<String>) -> Set<String> {
    users.filter { reaches($0) && !next.reaches($0) }
  }
}
