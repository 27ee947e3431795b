import Cryptography
import Domain
import Store
import Synchronization
import Wire

/// Makes and checks tokens.
///
/// A token is its payload sealed under a key of the site (AES-256-GCM), so checking one costs microseconds and no
/// statement. What was revoked before its time is kept in memory and in the store, as are the access rules of application
/// credentials.
public final class TokenAuthority: Authenticator {
  /// How long a token lives unless it is revoked.
  public let lifetime: Duration
  /// Role `admin` in whatever project administers the site, as upstream's default has it (docs/decisions/0008).
  private let projectAdminsAreSiteAdmins: Bool
  private let keys: TokenKeyFile
  private let clock: @Sendable () -> Timestamp
  private let state: Mutex<State>

  private struct State {
    var revocations = RevocationTable()
    var adminProjectID: String?
    /// By application credential.
    var accessRules: [String: [AccessRule]] = [:]
  }

  /// - Parameters:
  ///   - keyFile: where `keys` came from; read again when it changes. Nil for keys that stay.
  ///   - clock: the current time; a revocation takes force at the moment of its commit, not of its request.
  public init(
    keys: TokenKeys, keyFile: String? = nil, lifetime: Duration = .seconds(3600),
    projectAdminsAreSiteAdmins: Bool = false, clock: @escaping @Sendable () -> Timestamp
  ) {
    self.keys = TokenKeyFile(keys, path: keyFile)
    self.lifetime = lifetime
    self.projectAdminsAreSiteAdmins = projectAdminsAreSiteAdmins
    self.clock = clock
    state = Mutex(State())
  }

  /// Reads the revocations, the access rules and the administrators' project: once, before the first request.
  public func load(in session: any Session) throws {
    let stored = try RevocationStore.list(in: session)
    let admin = try IdentitySettings.adminProjectID(in: session)
    let rules = try AccessRuleStore.byCredential(in: session)
    state.withLock { state in
      state.adminProjectID = admin
      state.accessRules = rules
      for revocation in stored { state.revocations.add(revocation) }
    }
  }

  /// The token's text: opaque, safe in a header and in a file name.
  public func seal(_ token: Token) -> String { keys.current.seal(token.encoded()) }

  /// - Returns: nil for a token that is expired, revoked or not ours.
  public func open(_ text: String, now: Timestamp) -> Token? {
    guard text.utf8.count <= 1024, let payload = keys.current.open(text), let token = Token(decoding: payload),
      now < token.expiresAt
    else { return nil }
    return state.withLock { $0.revocations.covers(token) } ? nil : token
  }

  public func actor(forToken text: String, now: Timestamp) throws -> Actor {
    guard let token = open(text, now: now) else {
      throw APIError(.unauthorized, "The request you have made requires authentication.")
    }
    return actor(of: token)
  }
  public func actor(of token: Token) -> Actor {
    var isAdminProject = false
    if case .project(let id, _) = token.scope {
      isAdminProject =
        state.withLock { $0.adminProjectID == id } || (projectAdminsAreSiteAdmins && token.roles.contains("admin"))
    }
    var actor = Actor(
      userID: token.userID, userName: token.userName, userDomainID: token.userDomainID, scope: token.scope,
      roles: Set(token.roles), isAdminProject: isAdminProject)
    // A credential whose rules are gone may do nothing: they go with it.
    if token.hasAccessRules, let id = token.applicationCredentialID {
      actor.accessRules = state.withLock { $0.accessRules[id] } ?? []
    }
    return actor
  }

  /// Makes tokens void with the transaction: not when it rolls back, and before its caller gets an answer when it commits.
  ///
  /// In memory the moment is that of the commit, so that one who read the old state just before cannot get a token that
  /// outlives it: a token counts as issued when its request came in.
  public func revoke(_ revocation: Revocation, in session: any Session) throws {
    let now = clock()
    var stored = revocation
    stored.issuedBefore = max(revocation.issuedBefore, now)
    try RevocationStore.insert(stored, in: session)
    try RevocationStore.deleteOlder(than: now - lifetime - .seconds(86_400), in: session)
    session.afterCommit { [self, stored] in
      var inForce = stored
      inForce.issuedBefore = max(stored.issuedBefore, clock())
      state.withLock { [inForce] state in
        state.revocations.prune(olderThan: now - lifetime - .seconds(86_400))
        state.revocations.add(inForce)
      }
    }
  }
  /// Tells what an application credential may do, before anybody can log in with it; nil when it is gone.
  public func set(accessRules rules: [AccessRule]?, of credentialID: String, in session: any Session) {
    session.afterCommit { [self] in state.withLock { $0.accessRules[credentialID] = rules } }
  }

  /// Tells that the administrators' project was made (by `init` in the same process).
  public func setAdminProject(_ id: String) { state.withLock { $0.adminProjectID = id } }
}

/// What is revoked, by what it names.
struct RevocationTable {
  private enum Key: Hashable {
    case audit(String)
    case user(String)
    case project(String)
    case userInProject(String, String)
    case userInDomain(String, String)
    case userInSystem(String)
    case domain(String)
    case usersOfDomain(String)
    case credential(String)
  }
  private var times: [Key: Timestamp] = [:]

  mutating func add(_ revocation: Revocation) {
    let key: Key
    if let audit = revocation.auditID {
      key = .audit(audit)
    } else if let credential = revocation.applicationCredentialID {
      key = .credential(credential)
    } else if let user = revocation.userID {
      if let project = revocation.projectID {
        key = .userInProject(user, project)
      } else if let domain = revocation.domainID {
        key = .userInDomain(user, domain)
      } else {
        key = revocation.isSystem ? .userInSystem(user) : .user(user)
      }
    } else if let project = revocation.projectID {
      key = .project(project)
    } else if let domain = revocation.domainID {
      key = .domain(domain)
    } else if let domain = revocation.userDomainID {
      key = .usersOfDomain(domain)
    } else {
      return
    }
    times[key] = max(times[key] ?? revocation.issuedBefore, revocation.issuedBefore)
  }

  func covers(_ token: Token) -> Bool {
    if times.isEmpty { return false }
    func hits(_ key: Key) -> Bool { times[key].map { token.issuedAt <= $0 } ?? false }
    if hits(.audit(token.auditID)) || hits(.user(token.userID)) || hits(.usersOfDomain(token.userDomainID)) {
      return true
    }
    if let credential = token.applicationCredentialID, hits(.credential(credential)) { return true }
    switch token.scope {
    case .project(let id, let domain):
      return hits(.project(id)) || hits(.userInProject(token.userID, id)) || hits(.domain(domain))
    case .domain(let id): return hits(.domain(id)) || hits(.userInDomain(token.userID, id))
    case .system: return hits(.userInSystem(token.userID))
    case .unscoped: return false
    }
  }

  mutating func prune(olderThan time: Timestamp) {
    if times.count > 256 { times = times.filter { $0.value >= time } }
  }
}
