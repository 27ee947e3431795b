import APISupport
import Cryptography
import Domain
import Logging
import Processes
import Synchronization
import Wire

/// Checks passwords without becoming a weapon: hashing costs 20 ms of CPU, so it runs on threads of its own, two at a
/// time, and a short queue refuses the rest; an unknown user costs the same as a known one; six failures in a row lock the
/// user for half an hour; a password proven in the last five minutes is not hashed again.
public final class PasswordChecker: Sendable {
  public static let failureLimit = 6
  static let lockTime: Duration = .seconds(1800)
  static let memory: Duration = .seconds(300)
  /// Of a random password that nobody has: verified in the place of the hash of a user that does not exist.
  private static let nobody = "$y$j9T$Wm4r0Tq0hZ3lq8vT1x0vQ1$Ip9iI1UJfpYfVVXaohOOuQH7TaI0/8xeLq0TjsRBQjA"
  /// libxcrypt takes no more (crypt(3), CRYPT_MAX_PASSPHRASE_SIZE).
  static let lengthLimit = 511

  private struct Failures {
    var count = 0
    var lockedUntil: Timestamp?
  }
  private struct Proof {
    var mac: [UInt8]
    var hash: String
    var until: Timestamp
  }
  private struct State {
    var failures: [String: Failures] = [:]
    var proofs: [String: Proof] = [:]
  }
  private let key = randomBytes(32)
  private let state = Mutex(State())
  private let gate: HashGate
  private let logger: Logger

  public init(logger: Logger, threads: Int = 2, queue: Int = 64) {
    self.logger = logger
    gate = HashGate(slots: threads, queue: queue)
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

  /// Whether the password is the user's. Nil for a user that does not exist or has no password: false, after the same time.
  /// - Throws: ``PasswordError/busy`` when too many wait.
  public func verify(_ password: String, of user: User?, now: Timestamp) async throws -> Bool {
    // crypt(3) reads up to a NUL: "secret\0x" must not pass for "secret".
    guard password.utf8.count <= Self.lengthLimit, !password.utf8.contains(0) else { return false }
    guard let user, let hash = user.passwordHash else {
      _ = try await gate.run { Password.verify(password, against: Self.nobody) }
      return false
    }
    let mac = Digest.hmacSHA256(key: key, Array("\(user.id)/\(password)".utf8))
    enum Plan { case known, locked, check }
    let plan: Plan = state.withLock { state in
      if let until = state.failures[user.id]?.lockedUntil, now < until { return .locked }
      if let proof = state.proofs[user.id], proof.hash == hash, now < proof.until, constantTimeEqual(proof.mac, mac) {
        return .known
      }
      return .check
    }
    if plan == .known { return true }
    let matches = try await gate.run { Password.verify(password, against: hash) }
    // A locked user's right password takes as long and fails the same: the lock is told to the log only.
    if plan == .locked { return false }
    enum Verdict { case right, wrong, lockedNow }
    let verdict: Verdict = state.withLock { state in
      // Others may have failed meanwhile: a burst of guesses gets no more tries than a row of them.
      if let until = state.failures[user.id]?.lockedUntil, now < until { return .wrong }
      if matches {
        state.failures[user.id] = nil
        if state.proofs.count > 10_000 { state.proofs.removeAll() }
        state.proofs[user.id] = Proof(mac: mac, hash: hash, until: now + Self.memory)
        return .right
      }
      var failures = state.failures[user.id] ?? Failures()
      if let until = failures.lockedUntil, until <= now { failures = Failures() }
      failures.count += 1
      if failures.count >= Self.failureLimit { failures.lockedUntil = now + Self.lockTime }
      state.failures[user.id] = failures
      return failures.lockedUntil != nil ? .lockedNow : .wrong
    }
    if verdict == .lockedNow {
      logger.warning(
        "user \(user.name) is locked for \(Self.lockTime.inSeconds / 60) minutes after \(Self.failureLimit) wrong passwords",
        metadata: ["user": "\(user.id)"])
    }
    return verdict == .right
  }

  /// Verifies a secret that is not a user's password (an application credential's).
  func verifySecret(_ secret: String, against hash: String) async throws -> Bool {
    guard secret.utf8.count <= Self.lengthLimit, !secret.utf8.contains(0) else { return false }
    return try await gate.run { Password.verify(secret, against: hash) }
  }
  /// Spends the time of a check, for a name that is not there.
  func verifyNothing(_ secret: String) async throws {
    _ = try await gate.run { Password.verify(String(secret.prefix(64)), against: Self.nobody) }
  }
  /// Forgets that the user's password was proven, and its failures: when the administrator sets another.
  func forget(_ userID: String) {
    state.withLock {
      $0.proofs[userID] = nil
      $0.failures[userID] = nil
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
      startThread("password") { continuation.resume(returning: work()) }
    }
  }
}
