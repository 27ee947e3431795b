import APISupport
import Cryptography
import Domain
import Glibc
import Logging
import Processes
import Store
import Synchronization
import Wire

/// Checks passwords without becoming a weapon.
///
/// Hashing costs 20 ms of CPU and 16 MiB, so it runs on threads of its own that yield to all others, a few at a time; a
/// bounded queue refuses the rest. An unknown user costs the same as a known one. Failures in a row lock the user for a
/// while; each is written down before its answer, so that starting the server again frees nobody. A password proven in
/// the last five minutes is not hashed again.
public final class PasswordChecker: Sendable {
  static let memory: Duration = .seconds(300)
  /// Of a random password that nobody has: verified in the place of the hash of a user that does not exist.
  private static let nobody = "$y$j9T$Wm4r0Tq0hZ3lq8vT1x0vQ1$Ip9iI1UJfpYfVVXaohOOuQH7TaI0/8xeLq0TjsRBQjA"
  /// libxcrypt takes no more (crypt(3), CRYPT_MAX_PASSPHRASE_SIZE).
  static let lengthLimit = 511

  private struct Proof {
    var mac: [UInt8]
    var hash: String
    var until: Timestamp
  }
  private struct State {
    var failures: [String: PasswordStore.Failures] = [:]
    var proofs: [String: Proof] = [:]
  }
  private let key = randomBytes(32)
  private let state = Mutex(State())
  private let gate: HashGate
  private let database: Database?
  private let lockout: LockoutRules
  private let logger: Logger

  /// - Parameters:
  ///   - database: where failures are written down; nil keeps them in memory only.
  ///   - threads: how many hash at a time.
  ///   - queue: how many more may wait.
  public init(
    database: Database? = nil, lockout: LockoutRules = LockoutRules(), logger: Logger, threads: Int = 2,
    queue: Int = 1000
  ) {
    self.database = database
    self.lockout = lockout
    self.logger = logger
    gate = HashGate(slots: threads, queue: queue)
  }

  /// Reads the failures of before: once, before the first request.
  public func load(in session: any Session) throws {
    let stored = try PasswordStore.failures(in: session)
    state.withLock { $0.failures = stored }
  }

  /// In crypt(5) form.
  /// - Throws: 400 for a password that cannot be one, 503 when too many wait.
  public func hash(_ password: String) async throws -> String {
    guard !password.isEmpty, password.utf8.count <= Self.lengthLimit, !password.utf8.contains(0) else {
      throw PasswordError.unusable
    }
    let hash = try await gate.run { Password.hash(password) }
    guard let hash else { throw PasswordError.unusable }
    return hash
  }

  private func isLocked(_ failures: PasswordStore.Failures?, at now: Timestamp) -> Bool {
    guard let failures, lockout.failures > 0, failures.count >= lockout.failures else { return false }
    return now < failures.at + lockout.duration
  }

  /// Whether the password is the user's. Nil for a user that does not exist or has no password: false, after the same time.
  /// - Throws: ``PasswordError/busy`` when too many wait.
  public func verify(_ password: String, of user: User?, now: Timestamp) async throws -> Bool {
    // crypt(3) reads up to a NUL: "secret\0x" must not pass for "secret".
    guard password.utf8.count <= Self.lengthLimit, !password.utf8.contains(0) else { return false }
    guard let user, let hash = user.passwordHash else {
      _ = try await gate.run { Password.verify(password, against: Self.nobody) }
      return false
    }
    let isExempt = user.has(option: "ignore_lockout_failure_attempts")
    let mac = Digest.hmacSHA256(key: key, Array("\(user.id)/\(password)".utf8))
    @Sendable func isProven() -> Bool {
      state.withLock { state in
        guard isExempt || !isLocked(state.failures[user.id], at: now), let proof = state.proofs[user.id] else {
          return false
        }
        return proof.hash == hash && now < proof.until && constantTimeEqual(proof.mac, mac)
      }
    }
    // Looks once more when its turn comes: of many who log in as one user at once, the first is enough.
    let matches =
      if isProven() { true } else { try await gate.run { isProven() || Password.verify(password, against: hash) } }
    enum Verdict { case right(hadFailures: Bool), wrong, counted(PasswordStore.Failures, isLocked: Bool) }
    let verdict: Verdict = state.withLock { state in
      // A locked user's right password takes as long and fails the same: the lock is told to the log only. Looked at after
      // the hashing, so that a burst of guesses gets no more tries than a row of them.
      let known = state.failures[user.id]
      if !isExempt, isLocked(known, at: now) { return .wrong }
      if matches {
        state.failures[user.id] = nil
        if state.proofs.count > 10_000 { state.proofs.removeAll() }
        state.proofs[user.id] = Proof(mac: mac, hash: hash, until: now + Self.memory)
        return .right(hadFailures: known != nil)
      }
      if isExempt || lockout.failures == 0 { return .wrong }
      // One whose lock has run out begins anew.
      let count = known.map { $0.count >= lockout.failures ? 0 : $0.count } ?? 0
      let failures = PasswordStore.Failures(count: count + 1, at: now)
      state.failures[user.id] = failures
      return .counted(failures, isLocked: failures.count >= lockout.failures)
    }
    switch verdict {
    case .right(let hadFailures):
      if hadFailures { try await write(nil, of: user.id) }
      return true
    case .wrong: return false
    case .counted(let failures, let isLocked):
      try await write(failures, of: user.id)
      if isLocked {
        logger.warning(
          "user \(user.name) is locked for \(Int(lockout.duration.inSeconds)) seconds after \(failures.count) wrong passwords",
          metadata: ["user": "\(user.id)"])
      }
      return false
    }
  }
  private func write(_ failures: PasswordStore.Failures?, of userID: String) async throws {
    try await database?.write { try PasswordStore.set(failures: failures, of: userID, in: $0) }
  }

  /// Verifies a secret that is not a user's present password: an application credential's, or a password of before.
  func verifySecret(_ secret: String, against hash: String) async throws -> Bool {
    guard secret.utf8.count <= Self.lengthLimit, !secret.utf8.contains(0) else { return false }
    return try await gate.run { Password.verify(secret, against: hash) }
  }
  /// Spends the time of a check, for a name that is not there.
  func verifyNothing(_ secret: String) async throws {
    _ = try await gate.run { Password.verify(String(secret.prefix(64)), against: Self.nobody) }
  }
  /// Forgets with the transaction that the user's password was proven, and its failures: when an administrator sets
  /// another, or the user does.
  func forget(_ userID: String, in session: any Session) throws {
    try PasswordStore.set(failures: nil, of: userID, in: session)
    session.afterCommit { [self] in
      state.withLock {
        $0.proofs[userID] = nil
        $0.failures[userID] = nil
      }
    }
  }
}

enum PasswordError: APIErrorConvertible, Sendable {
  case busy, unusable

  var apiError: APIError {
    switch self {
    case .busy: APIError(.serviceUnavailable, "Too many are logging in at this moment; try again.")
    case .unusable:
      .badRequest("The password must have 1 to \(PasswordChecker.lengthLimit) bytes and no NUL character.")
    }
  }
}

/// Lets a few run and a few more wait.
private actor HashGate {
  private var free: Int
  private let queue: Int
  private var waiting: [CheckedContinuation<Void, Never>] = []

  init(slots: Int, queue: Int) {
    free = slots
    self.queue = queue
  }
  func run<T: Sendable>(_ work: @escaping @Sendable () -> T) async throws -> T {
    if free > 0 {
      free -= 1
    } else {
      guard waiting.count < queue else { throw PasswordError.busy }
      await withCheckedContinuation { waiting.append($0) }
    }
    defer { if waiting.isEmpty { free += 1 } else { waiting.removeFirst().resume() } }
    return await withCheckedContinuation { continuation in
      startThread("password") {
        // Linux keeps a nice value for each thread: those who are logged in come first.
        setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, 10)
        continuation.resume(returning: work())
      }
    }
  }
}
