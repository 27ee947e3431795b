import APISupport
import Domain
import Store
import Wire

/// Which block of addresses a new subnet gets: the one that is named, or one out of a subnet pool.
/// Source: Neutron API reference, "Create subnet": `cidr`, `subnetpool_id`, `use_default_subnetpool`, `prefixlen`.
struct CIDRChoice {
  let body: AttributeReader
  let network: Network
  /// Whose subnet it will be.
  let project: String
  let actor: Actor
  /// The network's subnets.
  let others: [Subnet]

  /// - Returns: the block, and the pool that it is taken from.
  func choose(in session: any Session) throws -> (cidr: CIDR, pool: String?) {
    let named = try self.named()
    let length = try body.int("prefixlen", 0...128)
    if named != nil && length != nil {
      throw APIError.badRequest("cidr and prefixlen must not be supplied together")
    }
    guard let pool = try pool(named, in: session) else {
      guard let named else {
        throw APIError.badRequest("a subnetpool must be specified in the absence of a cidr")
      }
      try requireAffinity(version: named.version, nil)
      return (named, nil)
    }
    try requireAffinity(version: pool.version, pool)
    if named == nil, try body.objects("allocation_pools") != nil {
      throw APIError.badRequest("allocation_pools allowed only for specific subnet requests.")
    }
    return (try taken(from: pool, named, length: length, in: session), pool.id)
  }

  /// Host bits are cleared, as upstream does: clients name a block by an address in it.
  private func named() throws -> CIDR? {
    guard let text = try body.text("cidr") else { return nil }
    guard let cidr = CIDR.recommended(for: text).flatMap({ CIDR($0) }) else {
      throw APIError.invalid("'\(text)' is not a recognized IP subnet cidr")
    }
    if let version = try body.int("ip_version", 4...6), version != cidr.version {
      throw APIError.invalid("cidr '\(text)' does not match the ip_version '\(version)'")
    }
    return cidr
  }

  private func pool(_ named: CIDR?, in session: any Session) throws -> SubnetPool? {
    let id = try body.text("subnetpool_id")
    guard try body.bool("use_default_subnetpool") == true else {
      guard let id else { return nil }
      let pool = try Lookup.subnetPool(id, actor, session)
      if let version = try body.int("ip_version", 4...6), version != pool.version {
        throw APIError.badRequest("Cannot allocate IPv\(version) subnet from IPv\(pool.version) subnet pool")
      }
      return pool
    }
    guard id == nil else {
      throw APIError.badRequest("subnetpool_id and use_default_subnetpool cannot both be specified")
    }
    guard let version = try named?.version ?? body.int("ip_version", 4...6) else {
      throw APIError.badRequest("ip_version must be specified in the absence of cidr and subnetpool_id")
    }
    guard let pool = try SubnetPoolStore.preset(version: version, in: session), NetworkPolicy.sees(pool, actor) else {
      throw APIError.badRequest("No default subnetpool found for IPv\(version)")
    }
    return pool
  }

  /// Subnets of one version on one network are from one pool, or of one address scope.
  private func requireAffinity(version: Int, _ pool: SubnetPool?) throws {
    let scope = network.addressScopes[version]
    if let scope, let pool, pool.addressScopeID != scope { throw Self.scopeAffinity }
    let isMixed = others.contains { other in
      guard other.version == version else { return false }
      return if let pool { other.poolID != pool.id && scope == nil } else { other.poolID != nil }
    }
    if isMixed {
      throw APIError(
        .badRequest, "Subnets hosted on the same network must be allocated from the same subnet pool.",
        type: "NetworkSubnetPoolAffinityError")
    }
  }
  static var scopeAffinity: APIError {
    APIError(
      .badRequest,
      "Subnets of the same address family hosted on the same network must all participate in the same address scope.",
      type: "NetworkAddressScopeAffinityError")
  }

  private func taken(
    from pool: SubnetPool, _ named: CIDR?, length asked: Int?, in session: any Session
  ) throws -> CIDR {
    let length = named?.prefix ?? asked ?? pool.bounds.preset
    if length > pool.bounds.longest {
      throw APIError(
        .badRequest,
        "Unable to allocate subnet with prefix length \(length), maximum allowed prefix is \(pool.bounds.longest).",
        type: "MaxPrefixSubnetAllocationError")
    }
    if length < pool.bounds.shortest {
      throw APIError(
        .badRequest,
        "Unable to allocate subnet with prefix length \(length), minimum allowed prefix is \(pool.bounds.shortest).",
        type: "MinPrefixSubnetAllocationError")
    }
    let allocations = try SubnetStore.allocations(pool: pool.id, in: session)
    let taken = allocations.map { $0.cidr }
    // Upstream answers 500 for both.
    func exhausted(_ why: String) -> APIError {
      .conflict("Failed to allocate subnet: \(why).", type: "SubnetAllocationError")
    }
    let chosen: CIDR
    if let named {
      guard pool.isFree(named, besides: taken) else {
        throw exhausted("Cannot allocate requested subnet from the available set of prefixes")
      }
      chosen = named
    } else {
      guard let free = pool.free(length: length, besides: taken) else {
        throw exhausted("Insufficient prefix space to allocate subnet size /\(length)")
      }
      chosen = free
    }
    if let quota = pool.defaultQuota {
      let own = allocations.filter { $0.projectID == project }.map { SubnetPool.quotaUnits($0.cidr) }.reduce(0, +)
      guard own + SubnetPool.quotaUnits(chosen) <= Double(quota) else {
        throw APIError.conflict("Per-project subnet pool prefix quota exceeded.", type: "SubnetPoolQuotaExceeded")
      }
    }
    return chosen
  }
}
