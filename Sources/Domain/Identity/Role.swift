import Wire

/// What a user may do somewhere. Source: Identity API reference v3, "Roles".
public struct Role: Sendable, Equatable {
  public var id: String
  /// Unique in its domain, or among the roles that are in none.
  public var name: String
  /// A role of a domain never gets into a token: it stands for the global roles that it implies. Nil for a global one.
  public var domainID: String?
  public var description: String?
  /// Of the resource, as a project's.
  public var options: JSONObject = [:]
  public var extra: JSONObject

  public init(id: String, name: String, domainID: String? = nil, description: String? = nil, extra: JSONObject = [:]) {
    self.id = id
    self.name = name
    self.domainID = domainID
    self.description = description
    self.extra = extra
  }
  public var isImmutable: Bool { options["immutable"]?.bool == true }
  /// One of those that the site starts with.
  public var isBuiltIn: Bool { domainID == nil && Self.builtIn.contains(name) }

  /// Made when the site is made. The last six are ESI's: owners and lessees of nodes.
  public static let builtIn = [
    "admin", "manager", "member", "reader", "service", "owner", "lessee", "esi_leap_admin", "esi_leap_owner",
    "esi_leap_lessee",
  ]
  /// A role and the one that it implies. Source: Keystone's bootstrap, "default roles".
  /// The last four: an administrator of leases does what owners and lessees of leases do, as owners and lessees of nodes do.
  public static let builtInImplications = [
    ("admin", "manager"), ("manager", "member"), ("member", "reader"), ("esi_leap_admin", "esi_leap_owner"),
    ("esi_leap_owner", "esi_leap_lessee"), ("owner", "esi_leap_owner"), ("lessee", "esi_leap_lessee"),
  ]
  /// Only the site's administrator gives these, or a role that implies one of them: they reach beyond a domain.
  public static let siteWide: Set<String> = ["admin", "service", "esi_leap_admin"]
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
  /// It counts in the projects below the target, and not on the target itself. Source: Identity API reference v3, "OS-INHERIT".
  public var isInherited: Bool

  public init(holder: Holder, target: Target, roleID: String, isInherited: Bool = false) {
    self.holder = holder
    self.target = target
    self.roleID = roleID
    self.isInherited = isInherited
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
  /// What it may do; empty for everything that its roles allow.
  public var accessRules: [AccessRule] = []
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
