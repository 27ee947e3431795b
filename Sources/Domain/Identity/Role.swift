import Wire

/// What a user may do somewhere. Source: Identity API reference v3, "Roles".
public struct Role: Sendable, Equatable {
  public var id: String
  /// Unique in the site.
  public var name: String
  public var description: String?
  public var extra: JSONObject

  public init(id: String, name: String, description: String? = nil, extra: JSONObject = [:]) {
    self.id = id
    self.name = name
    self.description = description
    self.extra = extra
  }

  /// Made when the site is made. The last six are ESI's: owners and lessees of nodes.
  public static let builtIn = [
    "admin", "manager", "member", "reader", "service", "owner", "lessee", "esi_leap_admin", "esi_leap_owner",
    "esi_leap_lessee",
  ]
  /// A role and the one that it implies. Source: Keystone's bootstrap, "default roles".
  public static let builtInImplications = [("admin", "manager"), ("manager", "member"), ("member", "reader")]
}

/// A role given to a user or a group on a project, a domain or the system.
public struct RoleAssignment: Sendable, Equatable, Hashable {
  public enum Holder: Sendable, Hashable {
    case user(String)
    case group(String)
  }
  public enum Target: Sendable, Hashable {
    case project(String)
    case domain(String)
    case system
  }
  public var holder: Holder
  public var target: Target
  public var roleID: String

  public init(holder: Holder, target: Target, roleID: String) {
    self.holder = holder
    self.target = target
    self.roleID = roleID
  }
}

/// A secret with which a program logs in as its user, in one project, with some of the user's roles.
/// Source: Identity API reference v3, "Application Credentials".
public struct ApplicationCredential: Sendable, Equatable {
  public var id: String
  /// Unique for its user.
  public var name: String
  public var description: String?
  public var userID: String
  public var projectID: String
  public var roleIDs: [String]
  public var expiresAt: Timestamp?
  /// May make and delete other application credentials.
  public var isUnrestricted: Bool
  /// Of the secret, which is shown once.
  public var secretHash: String

  public init(
    id: String, name: String, description: String?, userID: String, projectID: String, roleIDs: [String],
    expiresAt: Timestamp?, isUnrestricted: Bool, secretHash: String
  ) {
    self.id = id
    self.name = name
    self.description = description
    self.userID = userID
    self.projectID = projectID
    self.roleIDs = roleIDs
    self.expiresAt = expiresAt
    self.isUnrestricted = isUnrestricted
    self.secretHash = secretHash
  }
}
