import Wire

/// Subnet pools in which no address is twice, so that their subnets can be routed to each other.
/// Source: Neutron API v2, "Address scopes".
public struct AddressScope: Sendable, Equatable {
  public var id: String
  public var projectID: String
  public var name: String
  /// 4 or 6.
  public var version: Int
  /// Who may put pools into it beside the owner; filled in by the store from the RBAC policies.
  public var sharing = Sharing()
  public var createdAt: Timestamp

  public init(id: String = Identifier.uuid(), projectID: String, name: String, version: Int, createdAt: Timestamp) {
    self.id = id
    self.projectID = projectID
    self.name = name
    self.version = version
    self.createdAt = createdAt
  }
}

/// Blocks of addresses that subnets get theirs from. Source: Neutron API v2, "Subnet pools".
public struct SubnetPool: Sendable, Equatable {
  /// Lengths of prefixes that a subnet may have; `shortest` is the largest subnet.
  public struct Bounds: Sendable, Equatable {
    public var shortest: Int
    public var longest: Int
    /// Of a subnet that names none.
    public var preset: Int

    /// - Parameters: nil for upstream's: 8 to 32 for IPv4, 64 to 128 for IPv6, and the shortest for who names none.
    public init(version: Int, shortest: Int? = nil, longest: Int? = nil, preset: Int? = nil) {
      self.shortest = shortest ?? (version == 4 ? 8 : 64)
      self.longest = longest ?? (version == 4 ? 32 : 128)
      self.preset = preset ?? self.shortest
    }
    /// Why these are no bounds, in upstream's words, or nil.
    public func problem(version: Int) -> String? {
      let widest = version == 4 ? 32 : 128
      func illegal(_ name: String, _ value: Int, _ other: String, _ limit: Int) -> String {
        "Illegal prefix bounds: \(name)=\(value), \(other)=\(limit)."
      }
      if shortest > longest { return illegal("min_prefixlen", shortest, "max_prefixlen", longest) }
      if longest > widest { return illegal("max_prefixlen", longest, "ip_version_max", widest) }
      if preset < shortest { return illegal("default_prefixlen", preset, "min_prefixlen", shortest) }
      if preset > longest { return illegal("default_prefixlen", preset, "max_prefixlen", longest) }
      return nil
    }
  }

  public var id: String
  public var projectID: String
  public var name: String
  public var description: String
  /// 4 or 6.
  public let version: Int
  public var addressScopeID: String?
  /// The fewest blocks, in ascending order.
  public private(set) var prefixes: [CIDR]
  public var bounds: Bounds
  /// What one project may take: addresses for IPv4, blocks of /64 for IPv6; nil for no limit.
  public var defaultQuota: Int?
  /// The one of its IP version that subnets come from which ask for the default.
  public var isDefault: Bool
  /// Who may take subnets from it beside the owner; filled in by the store from the RBAC policies.
  public var sharing = Sharing()
  public var tags: [String]
  public var revision: Int
  public var createdAt: Timestamp
  public var updatedAt: Timestamp

  /// - Parameter prefixes: all of one version.
  public init(
    id: String = Identifier.uuid(), projectID: String, name: String, description: String = "", version: Int,
    addressScopeID: String? = nil, prefixes: [CIDR], bounds: Bounds, defaultQuota: Int? = nil, isDefault: Bool = false,
    tags: [String] = [], revision: Int = 0, createdAt: Timestamp, updatedAt: Timestamp? = nil
  ) {
    self.id = id
    self.projectID = projectID
    self.name = name
    self.description = description
    self.version = version
    self.addressScopeID = addressScopeID
    self.prefixes = AddressSet(prefixes).blocks
    self.bounds = bounds
    self.defaultQuota = defaultQuota
    self.isDefault = isDefault
    self.tags = tags
    self.revision = revision
    self.createdAt = createdAt
    self.updatedAt = updatedAt ?? createdAt
  }

  public var addresses: AddressSet { AddressSet(prefixes) }
  public mutating func setAddresses(_ addresses: AddressSet) { prefixes = addresses.blocks }

  /// A block of `length` that none of `taken` overlaps, out of the smallest hole that has room, so that large ones stay.
  public func free(length: Int, besides taken: [CIDR]) -> CIDR? {
    let holes = addresses.subtracting(AddressSet(taken)).blocks.filter { $0.prefix <= length }
    let smallest = holes.map(\.prefix).max()
    return holes.first { $0.prefix == smallest }.flatMap { CIDR(network: $0.network, prefix: length) }
  }
  /// Whether all of `block` is the pool's and none of `taken` overlaps it.
  public func isFree(_ block: CIDR, besides taken: [CIDR]) -> Bool {
    block.version == version && addresses.subtracting(AddressSet(taken)).isSuperset(of: AddressSet([block]))
  }
  /// How much of ``defaultQuota`` a subnet takes; less than 1 for an IPv6 subnet smaller than /64.
  public static func quotaUnits(_ block: CIDR) -> Double {
    Double(sign: .plus, exponent: (block.version == 4 ? 32 : 64) - block.prefix, significand: 1)
  }
}
