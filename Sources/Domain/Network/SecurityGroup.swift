import Wire

/// Rules for what may pass to and from the ports that have it; what no rule lets pass does not. Source: Neutron API v2,
/// "Security groups".
public struct SecurityGroup: Sendable, Equatable {
  public var id: String
  public var projectID: String
  public var name: String
  public var description: String
  /// Answers to what may pass also pass. A port's groups are all of them stateful, or none.
  public var isStateful: Bool
  /// The one that a project's ports have which name none; one per project, by a constraint.
  public var isDefault: Bool
  /// In the order in which they were made; filled in by the store.
  public var rules: [SecurityGroupRule]
  /// Who may put it on ports beside the owner; filled in by the store from the RBAC policies.
  public var sharing = Sharing()
  public var tags: [String]
  public var revision: Int
  public var createdAt: Timestamp
  public var updatedAt: Timestamp

  public init(
    id: String = Identifier.uuid(), projectID: String, name: String, description: String = "", isStateful: Bool = true,
    isDefault: Bool = false, rules: [SecurityGroupRule] = [], tags: [String] = [], revision: Int = 1,
    createdAt: Timestamp, updatedAt: Timestamp? = nil
  ) {
    self.id = id
    self.projectID = projectID
    self.name = name
    self.description = description
    self.isStateful = isStateful
    self.isDefault = isDefault
    self.rules = rules
    self.tags = tags
    self.revision = revision
    self.createdAt = createdAt
    self.updatedAt = updatedAt ?? createdAt
  }

  /// The name of every project's default group, and of no other.
  public static let defaultName = "default"

  /// What a new group lets pass, as upstream: everything that is sent; into the default group's ports what others of it send.
  public static func initialRules(of group: SecurityGroup) -> [SecurityGroupRule] {
    var rules: [SecurityGroupRule] = []
    for version in [4, 6] {
      var rule = SecurityGroupRule(
        groupID: group.id, projectID: group.projectID, direction: .egress, version: version, createdAt: group.createdAt)
      rules.append(rule)
      guard group.isDefault else { continue }
      rule.id = Identifier.uuid()
      rule.direction = .ingress
      rule.remoteGroupID = group.id
      rules.append(rule)
    }
    return rules
  }
}

/// What one rule of a security group lets pass. Source: Neutron API v2, "Security group rules".
public struct SecurityGroupRule: Sendable, Equatable {
  public enum Direction: String, Sendable, CaseIterable {
    /// To the machine.
    case ingress
    /// From the machine.
    case egress
  }
  public var id: String
  public var groupID: String
  /// Who made it: the group's owner, or the administrator.
  public var projectID: String
  public var direction: Direction
  /// 4 or 6.
  public var version: Int
  /// A name of ``IPProtocol/numbers`` or a number 0 to 255; nil for all of them.
  public var protocolName: String?
  /// The lowest port, or ICMP's type.
  public var portMinimum: Int?
  /// The highest port, or ICMP's code.
  public var portMaximum: Int?
  /// As the client wrote it, with its length: "10.0.0.34/24".
  public var remotePrefix: String?
  /// The group whose ports' addresses it is about.
  public var remoteGroupID: String?
  public var description: String
  public var revision: Int
  public var createdAt: Timestamp
  public var updatedAt: Timestamp

  public init(
    id: String = Identifier.uuid(), groupID: String, projectID: String, direction: Direction, version: Int,
    protocolName: String? = nil, portMinimum: Int? = nil, portMaximum: Int? = nil, remotePrefix: String? = nil,
    remoteGroupID: String? = nil, description: String = "", revision: Int = 1, createdAt: Timestamp,
    updatedAt: Timestamp? = nil
  ) {
    self.id = id
    self.groupID = groupID
    self.projectID = projectID
    self.direction = direction
    self.version = version
    self.protocolName = protocolName
    self.portMinimum = portMinimum
    self.portMaximum = portMaximum
    self.remotePrefix = remotePrefix
    self.remoteGroupID = remoteGroupID
    self.description = description
    self.revision = revision
    self.createdAt = createdAt
    self.updatedAt = updatedAt ?? createdAt
  }

  /// `remote_ip_prefix` without host bits: "10.0.0.0/24".
  public var normalizedPrefix: String? { remotePrefix.flatMap { CIDR.recommended(for: $0) } }
  /// Nil for every protocol; so is 0, which IPv4 calls "ip".
  public var protocolNumber: Int? {
    guard let number = protocolName.flatMap({ IPProtocol.number($0, version: version) }), number != 0 else {
      return nil
    }
    return number
  }

  /// Whether both let the same pass, however it is written: one of them is one too many.
  public func isSame(as other: SecurityGroupRule) -> Bool {
    func prefix(_ rule: SecurityGroupRule) -> String? {
      rule.remotePrefix.flatMap { ["0.0.0.0/0", "::/0"].contains($0) ? nil : $0 }
    }
    func number(_ rule: SecurityGroupRule) -> Int? {
      rule.protocolName.flatMap { IPProtocol.number($0, version: rule.version) }
    }
    return groupID == other.groupID && direction == other.direction && version == other.version
      && number(self) == number(other) && portMinimum == other.portMinimum && portMaximum == other.portMaximum
      && prefix(self) == prefix(other) && remoteGroupID == other.remoteGroupID
  }
}
