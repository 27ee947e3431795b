import Wire

/// A person or a program that logs in. Source: Identity API reference v3, "Users".
public struct User: Sendable, Equatable {
  public var id: String
  /// Unique in its domain.
  public var name: String
  public var domainID: String
  public var isEnabled: Bool
  /// The project of a token that asks for none.
  public var defaultProjectID: String?
  public var description: String?
  /// What clients added, such as `email`.
  public var extra: JSONObject
  /// Of the resource: exceptions from the site's rules for passwords, such as `{"lock_password": true}`.
  /// Source: Identity API reference v3, "Users", "User options".
  public var options: JSONObject = [:]
  /// In crypt(5) form; nil for one who cannot log in with a password. Never shown.
  public var passwordHash: String?
  /// When the present password was set; nil when there is none, or it was set by an older version.
  public var passwordChangedAt: Timestamp?
  /// When the present password stops working; nil for never.
  public var passwordExpiresAt: Timestamp?
  public var createdAt: Timestamp

  public init(
    id: String, name: String, domainID: String, isEnabled: Bool = true, defaultProjectID: String? = nil,
    description: String? = nil, extra: JSONObject = [:], passwordHash: String? = nil, createdAt: Timestamp
  ) {
    self.id = id
    self.name = name
    self.domainID = domainID
    self.isEnabled = isEnabled
    self.defaultProjectID = defaultProjectID
    self.description = description
    self.extra = extra
    self.passwordHash = passwordHash
    self.createdAt = createdAt
  }
}

extension User {
  /// Names of the options that are taken, all of them flags.
  public static let knownOptions: Set<String> = [
    "ignore_change_password_upon_first_use", "ignore_password_expiry", "ignore_lockout_failure_attempts",
    "lock_password", "ignore_user_inactivity",
  ]
  public func has(option: String) -> Bool { options[option]?.bool == true }

  /// Whether the password must be changed before it can be used.
  public func isPasswordExpired(at now: Timestamp) -> Bool {
    guard let end = passwordExpiresAt, !has(option: "ignore_password_expiry") else { return false }
    return end <= now
  }
}

/// Users who are given roles together. Source: Identity API reference v3, "Groups".
public struct UserGroup: Sendable, Equatable {
  public var id: String
  public var name: String
  public var domainID: String
  public var description: String
  public var extra: JSONObject

  public init(id: String, name: String, domainID: String, description: String = "", extra: JSONObject = [:]) {
    self.id = id
    self.name = name
    self.domainID = domainID
    self.description = description
    self.extra = extra
  }
}
