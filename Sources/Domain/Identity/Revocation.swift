import Wire

/// Makes void every token that has all the values that are given and was issued up to a moment.
public struct Revocation: Sendable, Equatable, Hashable {
  /// One token.
  public var auditID: String?
  public var userID: String?
  public var projectID: String?
  /// With `userID`: the user's tokens scoped to the domain itself. Alone: all tokens scoped to the domain or to a project
  /// in it.
  public var domainID: String?
  /// Tokens of all users of the domain.
  public var userDomainID: String?
  public var applicationCredentialID: String?
  /// With `userID`: the user's tokens with system scope.
  public var isSystem: Bool
  public var issuedBefore: Timestamp

  public init(
    auditID: String? = nil, userID: String? = nil, projectID: String? = nil, domainID: String? = nil,
    userDomainID: String? = nil, applicationCredentialID: String? = nil, isSystem: Bool = false,
    issuedBefore: Timestamp
  ) {
    self.auditID = auditID
    self.userID = userID
    self.projectID = projectID
    self.domainID = domainID
    self.userDomainID = userDomainID
    self.applicationCredentialID = applicationCredentialID
    self.isSystem = isSystem
    self.issuedBefore = issuedBefore
  }
}
