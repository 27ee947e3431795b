/// Who is asking, as the token says: a user with roles in one scope.
public struct Actor: Sendable, Equatable {
  public enum Scope: Sendable, Equatable {
    case project(id: String, domainID: String)
    case domain(id: String)
    /// The whole deployment (`scope: {"system": {"all": true}}`).
    case system
    case unscoped
  }
  public var userID: String
  public var userName: String
  /// The domain that the user is in.
  public var userDomainID: String
  public var scope: Scope
  /// Role names in that scope, with implied roles.
  public var roles: Set<String>
  /// The scope's project administers the site: it is the administrators' own (`admin` in the default domain), or the
  /// site's configuration makes every project's administrators the site's (docs/decisions/0008).
  public var isAdminProject: Bool
  /// What the application credential behind the token may do; nil for everything that its roles allow.
  public var accessRules: [AccessRule]?

  public init(
    userID: String, userName: String, userDomainID: String = Project.defaultDomain, scope: Scope, roles: Set<String>,
    isAdminProject: Bool = false, accessRules: [AccessRule]? = nil
  ) {
    self.userID = userID
    self.userName = userName
    self.userDomainID = userDomainID
    self.scope = scope
    self.roles = roles
    self.isAdminProject = isAdminProject
    self.accessRules = accessRules
  }

  public var projectID: String? { if case .project(let id, _) = scope { id } else { nil } }

  /// The site's administrator: role `admin` with system scope or in the administrators' project.
  ///
  /// Upstream's default would let `admin` in any project do it; here another project's admin is an administrator of that
  /// project only, because tenants are strangers to each other. Source: design notes, "Facts from genuine Keystone and Ironic".
  public var isSiteAdmin: Bool { roles.contains("admin") && (scope == .system || isAdminProject) }
  /// Reads everything: the administrator, or a reader with system scope.
  public var isSiteReader: Bool { isSiteAdmin || (scope == .system && roles.contains("reader")) }

  public func has(_ role: String) -> Bool { roles.contains(role) }
  public func hasAny(_ names: String...) -> Bool { names.contains { roles.contains($0) } }
}
