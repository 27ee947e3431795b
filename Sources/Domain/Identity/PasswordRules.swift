import Wire

/// What the site demands of passwords. Source: Keystone's "Security compliance and PCI-DSS".
public struct PasswordRules: Sendable, Equatable {
  /// A regular expression that every new password must match somewhere; nil for none.
  public var pattern: String?
  /// What `pattern` asks for, in words for the user.
  public var patternDescription: String?
  /// Characters.
  public var minimumLength = 1
  /// The last this many passwords, the present one included, cannot be chosen again; 1 forbids only the present one.
  public var history = 1
  /// A user who has changed the password must keep it this long; administrators may set another at any time.
  public var minimumAge: Duration = .zero
  /// A password works for this long; nil for ever.
  public var maximumAge: Duration?
  /// A password that an administrator set must be changed before it can be used to log in.
  public var mustChangeAfterReset = false

  public init() {}

  /// Why a new password is refused, in words that can follow "The password does not match the requirements:"; nil when
  /// it is not.
  public func objection(to password: String) -> String? {
    if password.count < minimumLength { return "it must have at least \(minimumLength) characters" }
    guard let pattern, let expression = try? Regex(pattern) else { return nil }
    if (try? expression.firstMatch(in: password)) != nil { return nil }
    return patternDescription ?? "it must match \(pattern)"
  }
  /// When a password that is set now stops working.
  public func expiry(setAt now: Timestamp, byAdministrator: Bool, options: JSONObject) -> Timestamp? {
    if byAdministrator, mustChangeAfterReset, options["ignore_change_password_upon_first_use"]?.bool != true {
      return now
    }
    return maximumAge.map { now + $0 }
  }
}

/// When guessing a password locks its user out. Source: Keystone's "Security compliance and PCI-DSS".
public struct LockoutRules: Sendable, Equatable {
  /// So many wrong passwords in a row; 0 never locks.
  public var failures = 6
  public var duration: Duration = .seconds(1800)
  public init() {}
}
