import APISupport
import Cryptography
import Domain
import Store
import Wire

/// Logging in: proving who one is, choosing a scope, and the roles that follow.
/// Source: Identity API reference v3, "Authentication and token management".
///
/// Every refusal is the same 401: which part was wrong is nobody's business.
extension KeystoneFacade {
  /// Who was proven to be there.
  struct Proven {
    var user: User
    var methods: [Token.Method]
    /// The token that proved it.
    var parent: Token?
    var credential: ApplicationCredential?
  }

  enum ScopeRequest {
    case project(id: String)
    case projectNamed(String, domain: JSONObject)
    case domain(JSONObject)
    case system
    case unscoped
    /// The user's default project, else none.
    case none
  }

  /// - Throws: 400 for a body that is not a log-in, 401.
  func prove(_ auth: JSONObject, now: Timestamp) async throws -> Proven {
    guard let identity = auth["identity"]?.object else { throw malformed("identity", in: "auth") }
    guard let methods = identity["methods"]?.array?.compactMap(\.string), let method = methods.first else {
      throw malformed("methods", in: "identity")
    }
    guard methods.count == 1, let method = Token.Method(rawValue: method) else {
      throw APIError(.unauthorized, "Attempted to authenticate with an unsupported method.")
    }
    guard let proof = identity[method.rawValue]?.object else { throw malformed(method.rawValue, in: "identity") }
    let proven: Proven
    switch method {
    case .password: proven = try await provePassword(proof, now: now)
    case .token: proven = try await proveToken(proof, now: now)
    case .applicationCredential: proven = try await proveCredential(proof, now: now)
    }
    guard proven.user.isEnabled else { throw APIError.unauthenticated }
    return proven
  }

  private func malformed(_ what: String, in place: String) -> APIError {
    .badRequest(
      "Expecting to find \(what) in \(place). The server could not comply with the request since it is either malformed "
        + "or otherwise incorrect. The client is assumed to be in error.")
  }

  /// The user that `{"id"}` or `{"name", "domain": {"id" | "name"}}` names, in an enabled domain.
  func user(_ reference: JSONObject) async throws -> User? {
    let id = reference["id"]?.string
    let name = reference["name"]?.string
    let domain = reference["domain"]?.object
    guard id != nil || (name != nil && domain != nil) else { throw malformed("id or name and domain", in: "user") }
    return try await database.read { session in
      let user: User?
      if let id {
        user = try UserStore.get(id, in: session)
      } else if let name, let domain, let place = try Self.domain(domain, in: session) {
        user = try UserStore.named(name, domain: place.id, in: session)
      } else {
        user = nil
      }
      guard let user, try ProjectStore.get(user.domainID, in: session)?.isEnabled == true else { return nil }
      return user
    }
  }
  /// The domain that `{"id"}` or `{"name"}` names.
  static func domain(_ reference: JSONObject, in session: any Session) throws -> Project? {
    if let id = reference["id"]?.string {
      let found = try ProjectStore.get(id, in: session)
      return found?.isDomain == true ? found : nil
    }
    guard let name = reference["name"]?.string else { return nil }
    return try ProjectStore.domain(named: name, in: session)
  }

  private func provePassword(_ proof: JSONObject, now: Timestamp) async throws -> Proven {
    guard let reference = proof["user"]?.object else { throw malformed("user", in: "password") }
    guard let password = reference["password"]?.string else { throw malformed("password", in: "user") }
    let user = try await user(reference)
    guard try await passwords.verify(password, of: user, now: now), let user else { throw APIError.unauthenticated }
    guard !user.isPasswordExpired(at: now) else {
      // Told to one who knows the password: it can be changed without a token.
      throw APIError(
        .unauthorized, "The password is expired and needs to be changed for user: \(user.id).")
    }
    return Proven(user: user, methods: [.password])
  }

  private func proveToken(_ proof: JSONObject, now: Timestamp) async throws -> Proven {
    guard let text = proof["id"]?.string else { throw malformed("id", in: "token") }
    guard let token = authority.open(text, now: now) else { throw APIError.unauthenticated }
    var methods = token.methods
    if !methods.contains(.token) { methods.append(.token) }
    let (user, credential) = try await database.read { session in
      guard let user = try UserStore.get(token.userID, in: session) else { throw APIError.unauthenticated }
      guard let id = token.applicationCredentialID else { return (user, ApplicationCredential?.none) }
      guard let credential = try ApplicationCredentialStore.get(id, in: session) else {
        throw APIError.unauthenticated
      }
      return (user, credential)
    }
    return Proven(user: user, methods: methods, parent: token, credential: credential)
  }

  private func proveCredential(_ proof: JSONObject, now: Timestamp) async throws -> Proven {
    guard let secret = proof["secret"]?.string else { throw malformed("secret", in: "application_credential") }
    let owner: User? =
      if let reference = proof["user"]?.object { try await user(reference) } else { nil }
    let id = proof["id"]?.string
    let name = proof["name"]?.string
    let found = try await database.read { session -> (ApplicationCredential, User)? in
      let credential: ApplicationCredential?
      if let id {
        credential = try ApplicationCredentialStore.get(id, in: session)
      } else if let name, let owner {
        credential = try ApplicationCredentialStore.list(user: owner.id, name: name, in: session).first
      } else {
        credential = nil
      }
      guard let credential, let user = try UserStore.get(credential.userID, in: session),
        try ProjectStore.get(user.domainID, in: session)?.isEnabled == true
      else { return nil }
      return (credential, user)
    }
    guard let (credential, user) = found else {
      if secret.utf8.count < CredentialSecret.length { try await passwords.verifyNothing(secret) }
      throw APIError.unauthenticated
    }
    let matches: Bool =
      if let answer = CredentialSecret.matches(secret, credential.secretHash) {
        answer
      } else {
        try await passwords.verifySecret(secret, against: credential.secretHash)
      }
    guard matches, credential.expiresAt.map({ now < $0 }) ?? true else { throw APIError.unauthenticated }
    return Proven(user: user, methods: [.applicationCredential], credential: credential)
  }

  /// - Throws: 400 for what is no scope.
  func scopeRequest(_ auth: JSONObject) throws -> ScopeRequest {
    guard let scope = auth["scope"], !scope.isNull else { return .none }
    if scope.string == "unscoped" { return .unscoped }
    guard let scope = scope.object else { throw malformed("an object or \"unscoped\"", in: "scope") }
    if scope["unscoped"] != nil { return .unscoped }
    if let project = scope["project"]?.object {
      if let id = project["id"]?.string { return .project(id: id) }
      guard let name = project["name"]?.string, let domain = project["domain"]?.object else {
        throw malformed("id or name and domain", in: "project")
      }
      return .projectNamed(name, domain: domain)
    }
    if let domain = scope["domain"]?.object { return .domain(domain) }
    if let system = scope["system"]?.object, system["all"]?.bool == true { return .system }
    throw malformed("project, domain or system", in: "scope")
  }

  /// The scope and the names of the roles there, implied ones included.
  /// - Throws: 401 when it is not there, is disabled, or the user has no role in it.
  func resolve(_ request: ScopeRequest, for proven: Proven, in session: any Session) throws -> (Actor.Scope, [String]) {
    if let credential = proven.credential { return try resolve(credential, request, for: proven, in: session) }
    switch request {
    case .unscoped: return (.unscoped, [])
    case .none:
      guard proven.parent == nil, let id = proven.user.defaultProjectID,
        let project = try ProjectStore.get(id, in: session), let found = try? roles(in: project, for: proven, session)
      else { return (.unscoped, []) }
      return found
    case .project(let id):
      guard let project = try ProjectStore.get(id, in: session) else { throw APIError.unauthenticated }
      return try roles(in: project, for: proven, session)
    case .projectNamed(let name, let reference):
      guard let domain = try Self.domain(reference, in: session),
        let project = try ProjectStore.named(name, domain: domain.id, in: session)
      else { throw APIError.unauthenticated }
      return try roles(in: project, for: proven, session)
    case .domain(let reference):
      guard let domain = try Self.domain(reference, in: session), domain.isEnabled else {
        throw APIError.unauthenticated
      }
      return (.domain(id: domain.id), try names(proven.user.id, .domain(domain.id), session))
    case .system: return (.system, try names(proven.user.id, .system, session))
    }
  }

  private func roles(in project: Project, for proven: Proven, _ session: any Session) throws -> (Actor.Scope, [String])
  {
    guard project.isEnabled, let domainID = project.domainID,
      try ProjectStore.get(domainID, in: session)?.isEnabled == true
    else { throw APIError.unauthenticated }
    return (.project(id: project.id, domainID: domainID), try names(proven.user.id, .project(project.id), session))
  }
  /// The names of a user's roles on a target, with implied ones; roles of domains stand for what they imply.
  private func names(_ user: String, _ target: RoleAssignment.Target, _ session: any Session) throws -> [String] {
    let given = try RoleAssignmentStore.roleIDs(of: user, on: target, in: session)
    guard !given.isEmpty else { throw APIError.unauthenticated }
    let ids = try RoleStore.expanded(given, in: session)
    let names = try RoleStore.globalNames(in: session).filter { ids.contains($0.id) }.map(\.name)
    guard !names.isEmpty else { throw APIError.unauthenticated }
    return names
  }

  /// An application credential is bound to its project, and to those of its roles that its user still has there.
  private func resolve(
    _ credential: ApplicationCredential, _ request: ScopeRequest, for proven: Proven, in session: any Session
  ) throws -> (Actor.Scope, [String]) {
    guard let project = try ProjectStore.get(credential.projectID, in: session) else { throw APIError.unauthenticated }
    switch request {
    case .none: break
    case .project(let id) where id == project.id: break
    case .projectNamed(let name, let domain)
    where name == project.name && (domain["id"]?.string ?? project.domainID) == project.domainID: break
    default:
      throw APIError(
        .unauthorized, "Invalid authentication request: application credentials cannot request a scope.")
    }
    let allowed = try RoleStore.expanded(Set(credential.roleIDs), in: session)
    let (scope, held) = try roles(in: project, for: proven, session)
    let names = Set(try RoleStore.globalNames(in: session).filter { allowed.contains($0.id) }.map(\.name))
    let both = held.filter { names.contains($0) }
    guard !both.isEmpty else { throw APIError.unauthenticated }
    return (scope, both)
  }
}

/// Secrets of application credentials. Those that we make cannot be guessed, so a plain hash keeps them; one that the user
/// chose is treated as a password.
enum CredentialSecret {
  static let length = 86

  static func make() -> String { Base64.urlText(randomBytes(64)) }
  static func hash(_ secret: String) -> String {
    let salt = Digest.hex(randomBytes(8))
    return "sha256:\(salt):\(Digest.sha256Hex(salt + secret))"
  }
  /// Nil when the hash is of the other kind.
  static func matches(_ secret: String, _ hash: String) -> Bool? {
    let parts = hash.split(separator: ":")
    guard parts.count == 3, parts[0] == "sha256" else { return nil }
    return constantTimeEqual(Array(Digest.sha256Hex(String(parts[1]) + secret).utf8), Array(parts[2].utf8))
  }
}
