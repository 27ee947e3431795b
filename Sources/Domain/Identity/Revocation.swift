import Wire

/// Makes void every token that has all the values that are given and was issued up to a moment.
public struct Revocation: Sendable, Equatable, Hashable {
  /// One token.
  public var auditID: String?
  public var userID: String?
  public var projectID: String?
  /// Tokens scoped to the domain or to a project in it.
  public var domainID: String?
  public var applicationCredentialID: String?
  public var issuedBefore: Timestamp

  public init(
    auditID: String? = nil, userID: String? = nil, projectID: String? = nil, domainID: String? = nil,
    applicationCredentialID: String? = nil, issuedBefore: Timestamp
  ) {
    self.auditID = auditID
    self.userID = userID
    self.projectID = projectID
    self.domainID = domainID
    self.applicationCredentialID = applicationCredentialID
    self.issuedBefore = issuedBefore
  }
}
