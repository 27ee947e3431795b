import Cryptography
import Domain
import Glibc
import Store
import Synchronization
import Wire

/// Makes and checks tokens.
///
/// A token is its payload sealed under a key of the site (AES-256-GCM), so checking one costs microseconds and no
/// statement. What was revoked before its time is kept in memory and in the store.
public final class TokenAuthority: Authenticator {
  /// How long a token lives unless it is revoked.
  public let lifetime: Duration
  private let keys: TokenKeys
  private let clock: @Sendable () -> Timestamp
  private let state: Mutex<State>

  private struct State {
    var revocations = RevocationTable()
    var adminProjectID: String?
  }

  /// - Parameter clock: the current time; a revocation takes force at the moment of its commit, not of its request.
  public init(keys: TokenKeys, lifetime: Duration = .seconds(3600), clock: @escaping @Sendable () -> Timestamp) {
    self.keys = keys
    self.lifetime = lifetime
    self.clock = clock
    state = Mutex(State())
  }

  /// Reads the revocations and the administrators' project: once, before the first request.
  public func load(in session: any Session) throws {
    let stored = try RevocationStore.list(in: session)
    let admin = try IdentitySettings.adminProjectID(in: session)
    state.withLock { state in
      state.adminProjectID = admin
      for revocation in stored { state.revocations.add(revocation) }
    }
  }

  /// The token's text: opaque, safe in a header and in a file name.
  public func seal(_ token: Token) -> String { keys.seal(token.encoded()) }

  /// - Returns: nil for a token that is expired, revoked or not ours.
  public func open(_ text: String, now: Timestamp) -> Token? {
    guard text.utf8.count <= 1024, let payload = keys.open(text), let token = Token(decoding: payload),
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
    if case .project(let id, _) = token.scope { isAdminProject = state.withLock { $0.adminProjectID == id } }
    return Actor(
      userID: token.userID, userName: token.userName, scope: token.scope, roles: Set(token.roles),
      isAdminProject: isAdminProject)
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
    case domain(String)
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
      key = revocation.projectID.map { .userInProject(user, $0) } ?? .user(user)
    } else if let project = revocation.projectID {
      key = .project(project)
    } else if let domain = revocation.domainID {
      key = .domain(domain)
    } else {
      return
    }
    times[key] = max(times[key] ?? revocation.issuedBefore, revocation.issuedBefore)
  }

  func covers(_ token: Token) -> Bool {
    if times.isEmpty { return false }
    func hits(_ key: Key) -> Bool { times[key].map { token.issuedAt <= $0 } ?? false }
    if hits(.audit(token.auditID)) || hits(.user(token.userID)) { return true }
    if let credential = token.applicationCredentialID, hits(.credential(credential)) { return true }
    switch token.scope {
    case .project(let id, let domain):
      return hits(.project(id)) || hits(.userInProject(token.userID, id)) || hits(.domain(domain))
    case .domain(let id): return hits(.domain(id))
    case .system, .unscoped: return false
    }
  }

  mutating func prune(olderThan time: Timestamp) {
    if times.count > 256 { times = times.filter { $0.value >= time } }
  }
}

/// The keys that seal tokens: the first seals, all of them open. Kept in a file that only its owner can read, one key of
/// 64 hexadecimal digits a line.
public struct TokenKeys: Sendable {
  private let boxes: [SecretBox]
  private let prefixes: [[UInt8]]

  /// - Parameter keys: of 32 bytes each, at least one.
  public init(_ keys: [[UInt8]]) {
    boxes = keys.map { SecretBox(key: $0) }
    prefixes = boxes.map { Array(Digest.sha256(Array($0.keyID.utf8)).prefix(4)) }
  }

  /// Reads the file, or makes one with a new key.
  /// - Throws: ``TokenKeyError`` when it cannot be read or written, holds something else, or others can read it.
  public static func fromFile(_ path: String) throws -> TokenKeys {
    var keys = try read(path)
    if keys.isEmpty {
      keys = [randomBytes(32)]
      try write(keys, to: path)
    }
    return TokenKeys(keys)
  }
  /// Puts a new key first and keeps the two before it, so that living tokens stay good; the server reads it at its start.
  public static func rotate(_ path: String) throws {
    try write([randomBytes(32)] + read(path).prefix(2), to: path)
  }

  private static func read(_ path: String) throws -> [[UInt8]] {
    let descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC)
    if descriptor < 0 {
      if errno == ENOENT { return [] }
      throw TokenKeyError("cannot read \(path): \(String(cString: strerror(errno)))")
    }
    defer { Glibc.close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_mode & 0o077 == 0 else {
      throw TokenKeyError("\(path) can be read by others: chmod 600 it")
    }
    var buffer = [UInt8](repeating: 0, count: 4096)
    let count = Glibc.read(descriptor, &buffer, buffer.count)
    guard count >= 0 else { throw TokenKeyError("cannot read \(path): \(String(cString: strerror(errno)))") }
    return try buffer.prefix(count).split(separator: 10).map { line in
      let digits = Array(line.filter { $0 > 32 })
      var key: [UInt8] = []
      for index in stride(from: 0, to: digits.count - 1, by: 2) {
        if let byte = UInt8(String(decoding: digits[index...index + 1], as: UTF8.self), radix: 16) { key.append(byte) }
      }
      guard digits.count == 64, key.count == 32 else {
        throw TokenKeyError("\(path) must hold lines of 64 hexadecimal digits")
      }
      return key
    }
  }
  private static func write(_ keys: [[UInt8]], to path: String) throws {
    let text = Array(keys.map { Digest.hex($0) + "\n" }.joined().utf8)
    let new = path + ".new"
    let descriptor = Glibc.open(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { throw TokenKeyError("cannot make \(new): \(String(cString: strerror(errno)))") }
    let written = Glibc.write(descriptor, text, text.count) == text.count && fsync(descriptor) == 0
    Glibc.close(descriptor)
    guard written, rename(new, path) == 0 else { throw TokenKeyError("cannot write \(path)") }
  }

  func seal(_ payload: [UInt8]) -> String {
    guard let box = boxes.first, let prefix = prefixes.first else { return "" }
    return Base64.urlText(prefix + box.seal(payload, context: "token"))
  }
  func open(_ text: String) -> [UInt8]? {
    guard let bytes = Base64.bytes(text), bytes.count > 32 else { return nil }
    for (box, prefix) in zip(boxes, prefixes) where bytes.starts(with: prefix) {
      if let payload = box.open(Array(bytes.dropFirst(4)), context: "token") { return payload }
    }
    return nil
  }
}

/// Why the token keys are of no use, in words for the operator.
public struct TokenKeyError: Error, Sendable, CustomStringConvertible {
  public var description: String
  init(_ description: String) { self.description = description }
}
