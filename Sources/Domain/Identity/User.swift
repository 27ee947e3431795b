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
  /// In crypt(5) form; nil for one who cannot log in with a password. Never shown.
  public var passwordHash: String?
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
