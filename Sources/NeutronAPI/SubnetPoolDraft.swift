import APISupport
import Domain
import Store
import Wire

/// A subnet pool as a request wants it. Source: Neutron API reference, "Subnet pools".
struct SubnetPoolDraft {
  let body: AttributeReader
  let actor: Actor
  /// For messages: "create_subnetpool".
  let rule: String

  func made(project: String, at now: Timestamp) throws -> SubnetPool {
    guard let name = try body.text("name"), !name.isEmpty else {
      throw APIError.badRequest("Failed to parse request. Required attribute 'name' not specified")
    }
    guard let prefixes = try prefixes() else {
      throw APIError(.badRequest, "Empty subnet pool prefix list.", type: "EmptySubnetPoolPrefixList")
    }
    let version = prefixes[0].version
    guard prefixes.allSatisfy({ $0.version == version }) else { throw Self.mixedVersions }
    let shortest = try length("min_prefixlen")
    var pool = SubnetPool(
      projectID: project, name: name, version: version, prefixes: prefixes,
      bounds: .init(version: version, shortest: shortest, longest: try length("max_prefixlen")), createdAt: now)
    pool.tags = Set(try body.tags() ?? []).sorted()
    try applyRest(to: &pool)
    return pool
  }

  func apply(to pool: inout SubnetPool) throws {
    if body.has("name") {
      guard let name = try body.text("name"), !name.isEmpty else {
        throw APIError.badRequest("Invalid input for name. Reason: a subnet pool has a name.")
      }
      pool.name = name
    }
    if let shortest = try length("min_prefixlen") { pool.bounds.shortest = shortest }
    if let longest = try length("max_prefixlen") { pool.bounds.longest = longest }
    if let prefixes = try prefixes() {
      guard prefixes.allSatisfy({ $0.version == pool.version }) else { throw Self.mixedVersions }
      let addresses = AddressSet(prefixes)
      guard addresses.isSuperset(of: pool.addresses) else {
        throw Self.illegalUpdate("Existing prefixes must be a subset of the new prefixes")
      }
      pool.setAddresses(addresses)
    }
    try applyRest(to: &pool)
  }

  private func applyRest(to pool: inout SubnetPool) throws {
    if let text = try body.text("description") { pool.description = text }
    if let preset = try length("default_prefixlen") { pool.bounds.preset = preset }
    if body.has("default_quota") { pool.defaultQuota = try body.int("default_quota", 0...Int(Int32.max)) }
    if let scope = body.object["address_scope_id"] { pool.addressScopeID = try scope.isNull ? nil : identifier() }
    if let flag = try body.bool("is_default"), flag != pool.isDefault {
      guard NetworkPolicy.maySetSiteAttributes(actor) else {
        throw APIError.disallowed("\(rule):is_default", "only the administrator says which pool is the default.")
      }
      pool.isDefault = flag
    }
  }

  private func length(_ name: String) throws -> Int? { try body.int(name, 0...128) }
  private func identifier() throws -> String {
    let text = try body.text("address_scope_id") ?? ""
    guard Identifier.isUUID(text) else {
      throw APIError.badRequest("Invalid input for address_scope_id. Reason: '\(text)' is not a valid UUID.")
    }
    return text
  }

  /// The prefixes that are named, at least one; host bits are cleared, as upstream does; nil when none are named.
  func prefixes() throws -> [CIDR]? {
    guard let texts = try body.strings("prefixes"), !texts.isEmpty else { return nil }
    return try texts.map { text in
      guard let block = CIDR.recommended(for: text).flatMap({ CIDR($0) }) else {
        throw APIError.badRequest(
          "Invalid input for prefixes. Reason: '\(text.prefix(60))' isn't a recognized IP subnet cidr.")
      }
      return block
    }
  }

  // MARK: What it may be

  /// - Parameter before: nil for a new pool.
  func validate(_ pool: SubnetPool, before: SubnetPool?, in session: any Session) throws {
    if let problem = pool.bounds.problem(version: pool.version) {
      throw APIError(.badRequest, problem, type: "IllegalSubnetPoolPrefixBounds")
    }
    if pool.isDefault, before?.isDefault != true,
      try SubnetPoolStore.preset(version: pool.version, in: session) != nil
    {
      throw APIError.invalid(
        "A default subnetpool for this IP family has already been set. Only one default may exist per IP family")
    }
    if let old = before?.addressScopeID, let scope = try AddressScopeStore.get(old, in: session),
      !NetworkPolicy.mayChange(scope, actor)
    {
      throw APIError(
        .badRequest,
        "Illegal subnetpool update : subnetpool \(pool.id) cannot be updated when associated with shared address scope "
          + "\(old).", type: "IllegalSubnetPoolUpdate")
    }
    guard let id = pool.addressScopeID else { return }
    let scope = try Lookup.addressScope(id, actor, session)
    guard scope.version == pool.version else {
      throw APIError(
        .badRequest,
        "Illegal subnetpool association: subnetpool \(pool.id) cannot associate with address scope \(id) because "
          + "subnetpool ip_version is not \(scope.version).",
        type: "IllegalSubnetPoolIpVersionAssociationToAddressScope")
    }
    if let before, before.addressScopeID != id { try requireNetworksWhole(pool, in: session) }
    let addresses = pool.addresses
    for other in try SubnetPoolStore.list(scope: id, in: session)
    where other.id != pool.id && other.addresses.intersects(addresses) {
      throw APIError.conflict(
        "Failed to associate address scope: subnetpools within an address scope must have unique prefixes.",
        type: "AddressScopePrefixConflict")
    }
  }

  /// All subnets of one version on a network are in the same address scope: a pool is not moved away from under some.
  private func requireNetworksWhole(_ pool: SubnetPool, in session: any Session) throws {
    let beside = try SubnetStore.list(in: session) {
      $0.append("WHERE network_id IN (SELECT network_id FROM subnets WHERE pool_id = ?)", .text(pool.id))
      $0.append("AND COALESCE(pool_id, '') <> ?", .text(pool.id))
    }
    guard !beside.contains(where: { $0.version == pool.version }) else { throw CIDRChoice.scopeAffinity }
  }

  static var mixedVersions: APIError {
    APIError(.badRequest, "Cannot mix IPv4 and IPv6 prefixes in a subnet pool.", type: "PrefixVersionMismatch")
  }
  static func illegalUpdate(_ why: String) -> APIError {
    APIError(.badRequest, "Illegal update to prefixes: \(why).", type: "IllegalSubnetPoolPrefixUpdate")
  }
}
