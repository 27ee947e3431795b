import Wire

/// A tenant, or a domain: a domain is a project that contains users and projects and is in no other.
/// Source: Identity API reference v3, "Projects", "Domains".
public struct Project: Sendable, Equatable {
  /// 32 hexadecimal digits; the first domain is `default`.
  public var id: String
  /// Unique among the projects of its domain, and among domains.
  public var name: String
  /// Nil for a domain.
  public var domainID: String?
  /// The project above, or the domain for one at the top. Nil for a domain.
  public var parentID: String?
  public var isDomain: Bool
  public var isEnabled: Bool
  public var description: String
  public var tags: [String]
  /// Of the resource: `{"immutable": true}` forbids changing and deleting it. Source: Identity API reference v3, "Resource Options".
  public var options: JSONObject = [:]
  /// What clients added, such as `email`, where lease notices go.
  public var extra: JSONObject
  public var createdAt: Timestamp

  public init(
    id: String, name: String, domainID: String?, parentID: String? = nil, isDomain: Bool = false,
    isEnabled: Bool = true,
    description: String = "", tags: [String] = [], extra: JSONObject = [:], createdAt: Timestamp
  ) {
    self.id = id
    self.name = name
    self.domainID = domainID
    self.parentID = parentID ?? domainID
    self.isDomain = isDomain
    self.isEnabled = isEnabled
    self.description = description
    self.tags = tags
    self.extra = extra
    self.createdAt = createdAt
  }

  public var isImmutable: Bool { options["immutable"]?.bool == true }
  /// Names of the options that a project, a domain and a role know.
  public static let knownOptions: Set<String> = ["immutable"]

  /// The id of the first domain.
  public static let defaultDomain = "default"
}
