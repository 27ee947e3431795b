import Cryptography
import Domain
import Store
import Wire

/// The identities that a site starts with. Source: Keystone's `bootstrap` command, and ESI's roles.
public enum IdentityBootstrap {
  public static let domainName = "Default"
  public static let adminName = "admin"

  /// Makes the domain, the roles, the project and the user `admin`, and its role on both project and system. What is there
  /// already stays, the password included, so it can be run again to put a lost assignment right.
  ///
  /// Hashing the password takes 20 ms: for the command `init`, not for a server.
  /// - Returns: true when the user was made now, and so `adminPassword` is its password.
  /// - Throws: ``CryptographyError`` when the password cannot be hashed.
  @discardableResult
  public static func initialise(in session: any Session, adminPassword: String, now: Timestamp) throws -> Bool {
    if try ProjectStore.get(Project.defaultDomain, in: session) == nil {
      try ProjectStore.insert(
        Project(
          id: Project.defaultDomain, name: domainName, domainID: nil, isDomain: true, description: "The default domain",
          createdAt: now), in: session)
    }
    var roles: [String: String] = [:]
    for name in Role.builtIn {
      if let role = try RoleStore.named(name, in: session) {
        roles[name] = role.id
      } else {
        let role = Role(id: Identifier.hex(), name: name)
        try RoleStore.insert(role, in: session)
        roles[name] = role.id
      }
    }
    for (prior, implied) in Role.builtInImplications {
      if let prior = roles[prior], let implied = roles[implied] {
        try RoleStore.addImplication(prior, implies: implied, in: session)
      }
    }

    let project: Project
    if let id = try IdentitySettings.adminProjectID(in: session), let known = try ProjectStore.get(id, in: session) {
      project = known
    } else {
      project = Project(
        id: Identifier.hex(), name: adminName, domainID: Project.defaultDomain,
        description: "The site's administrators",
        createdAt: now)
      try ProjectStore.insert(project, in: session)
      try IdentitySettings.setAdminProjectID(project.id, in: session)
    }

    let known = try UserStore.named(adminName, domain: Project.defaultDomain, in: session)
    let user: User
    if let known {
      user = known
    } else {
      guard let hash = Password.hash(adminPassword) else { throw BootstrapError.unusablePassword }
      user = User(
        id: Identifier.hex(), name: adminName, domainID: Project.defaultDomain, defaultProjectID: project.id,
        passwordHash: hash,
        createdAt: now)
      try UserStore.insert(user, in: session)
    }
    if let admin = roles["admin"] {
      for target in [RoleAssignment.Target.project(project.id), .system] {
        try RoleAssignmentStore.add(RoleAssignment(holder: .user(user.id), target: target, roleID: admin), in: session)
      }
    }
    return known == nil
  }
}

public enum BootstrapError: Error, Sendable, CustomStringConvertible {
  case unusablePassword
  public var description: String { "the administrator's password cannot be hashed: it must have 1 to 511 bytes" }
}
