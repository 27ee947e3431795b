import Domain
import Wire

/// Subnets of tenant networks.
public enum SubnetStore {
  private static func subnet(_ row: borrowing Row) throws -> Subnet {
    guard let cidr = CIDR(row.text(5)) else {
      throw StoreError(.other, "subnet \(row.text(0)) has the cidr \(row.text(5))")
    }
    var subnet = Subnet(
      id: row.text(0), networkID: row.text(1), projectID: row.text(2), name: row.text(3), cidr: cidr,
      gateway: row.optionalText(6).flatMap { IPAddress($0) }, pools: pools(row.json(10)), revision: row.int(11),
      createdAt: row.time(12), updatedAt: row.time(13))
    subnet.description = row.text(4)
    subnet.isDHCPEnabled = row.bool(7)
    subnet.poolID = row.optionalText(14)
    subnet.dnsNameservers = row.strings(8)
    subnet.hostRoutes = (row.json(9).array ?? []).compactMap { route in
      guard let destination = route["destination"]?.string, let nextHop = route["nexthop"]?.string else { return nil }
      return Subnet.Route(destination: destination, nextHop: nextHop)
    }
    return subnet
  }
  private static func pools(_ json: JSON) -> [AddressPool] {
    (json.array ?? []).compactMap { pool in
      guard let start = pool["start"]?.string.flatMap({ IPAddress($0) }),
        let end = pool["end"]?.string.flatMap({ IPAddress($0) })
      else { return nil }
      return AddressPool(start, end)
    }
  }

  /// The subnets that `narrow` leaves (it appends `WHERE …`, `ORDER BY …`), with tags: two statements.
  public static func list(in session: any Session, _ narrow: (inout Query) -> Void = { _ in }) throws -> [Subnet] {
    var query = Query(
      """
      SELECT id, network_id, project_id, name, description, cidr, gateway, is_dhcp_enabled, dns_nameservers, host_routes, pools, \
      revision, created_at, updated_at, pool_id FROM subnets
      """)
    narrow(&query)
    var subnets = try session.query(query) { try subnet($0) }
    if subnets.isEmpty { return [] }
    let tags = try NetworkTagStore.tags(of: subnets.map(\.id), in: session)
    for index in subnets.indices { subnets[index].tags = tags[subnets[index].id] ?? [] }
    return subnets
  }
  public static func get(_ id: String, in session: any Session) throws -> Subnet? {
    try list(in: session) { $0.append("WHERE id = ?", .text(id)) }.first
  }
  /// Of one network, in the order they were made.
  public static func list(network id: String, in session: any Session) throws -> [Subnet] {
    try list(in: session) { $0.append("WHERE network_id = ? ORDER BY created_at, id", .text(id)) }
  }

  private static func stored(_ subnet: Subnet) -> [Value] {
    [
      Value(JSON.array(subnet.dnsNameservers.map { .string($0) })),
      Value(
        JSON.array(subnet.hostRoutes.map { ["destination": .string($0.destination), "nexthop": .string($0.nextHop)] })),
      Value(
        JSON.array(subnet.pools.map { ["start": .string($0.start.description), "end": .string($0.end.description)] })),
    ]
  }
  public static func insert(_ subnet: Subnet, in session: any Session) throws {
    try session.execute(
      """
      INSERT INTO subnets (id, network_id, project_id, name, description, cidr, gateway, is_dhcp_enabled, dns_nameservers, \
      host_routes, pools, revision, created_at, updated_at, pool_id) \
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
      """,
      [
        .text(subnet.id), .text(subnet.networkID), .text(subnet.projectID), .text(subnet.name),
        .text(subnet.description),
        .text(subnet.cidr.description), Value(subnet.gateway?.description), .bool(subnet.isDHCPEnabled),
      ] + stored(subnet) + [
        .int(subnet.revision), Value(subnet.createdAt), Value(subnet.updatedAt), Value(subnet.poolID),
      ])
    try NetworkTagStore.set(subnet.tags, of: subnet.id, in: session)
  }
  /// Writes what may change and counts the revision up.
  public static func update(_ subnet: inout Subnet, at now: Timestamp, in session: any Session) throws {
    subnet.revision += 1
    subnet.updatedAt = now
    try session.execute(
      """
      UPDATE subnets SET dns_nameservers = $1, host_routes = $2, pools = $3, name = $4, description = $5, gateway = $6, \
      is_dhcp_enabled = $7, revision = $8, updated_at = $9 WHERE id = $10
      """,
      stored(subnet) + [
        .text(subnet.name), .text(subnet.description), Value(subnet.gateway?.description), .bool(subnet.isDHCPEnabled),
        .int(subnet.revision), Value(subnet.updatedAt), .text(subnet.id),
      ])
  }
  /// - Throws: ``StoreError`` `.conflict` when a port has an address from it.
  public static func delete(_ id: String, in session: any Session) throws {
    try NetworkTagStore.set([], of: id, in: session)
    try session.execute("DELETE FROM subnets WHERE id = $1", [.text(id)])
  }

  public static func count(project id: String, in session: any Session) throws -> Int {
    try session.first("SELECT COUNT(*) FROM subnets WHERE project_id = $1", [.text(id)]) { $0.int(0) } ?? 0
  }
  /// What was taken from a subnet pool, and by whom.
  public static func allocations(
    pool id: String, in session: any Session
  ) throws -> [(cidr: CIDR, projectID: String)] {
    try session.query("SELECT cidr, project_id FROM subnets WHERE pool_id = $1", [.text(id)]) {
      (CIDR($0.text(0)), $0.text(1))
    }.compactMap { cidr, project in cidr.map { ($0, project) } }
  }
  /// How many addresses of each subnet ports have; a subnet without any is not among them.
  public static func usedAddresses(in session: any Session) throws -> [String: Int] {
    let rows = try session.query("SELECT subnet_id, COUNT(*) FROM network_addresses GROUP BY subnet_id", []) {
      ($0.text(0), $0.int(1))
    }
    return Dictionary(rows) { first, _ in first }
  }
  public static func isInUse(_ id: String, in session: any Session) throws -> Bool {
    try session.exists("SELECT 1 FROM network_addresses WHERE subnet_id = $1 LIMIT 1", [.text(id)])
  }
  /// Whether a port has `address`.
  public static func isTaken(_ address: IPAddress, of subnet: String, in session: any Session) throws -> Bool {
    try session.exists(
      "SELECT 1 FROM network_addresses WHERE subnet_id = $1 AND address_key = $2", [.text(subnet), .text(address.key)])
  }
  /// The lowest address of the subnet's pools that no port has; nil when they are used up.
  ///
  /// Addresses are given out in ascending order, so mostly there is no gap before the highest one: then two numbers tell.
  public static func freeAddress(of subnet: Subnet, in session: any Session) throws -> IPAddress? {
    for pool in subnet.pools {
      let run = try session.first(
        """
        SELECT COUNT(*), MAX(address_key) FROM network_addresses WHERE subnet_id = $1 AND address_key >= $2 \
        AND address_key <= $3
        """, [.text(subnet.id), .text(pool.start.key), .text(pool.end.key)]
      ) { row in (count: row.int(0), last: row.address(1, version: subnet.version)) }
      guard let run, let last = run.last else { return pool.start }
      if last.value - pool.start.value + 1 == UInt128(run.count) {
        if last == pool.end { continue }
        return IPAddress(version: subnet.version, value: last.value + 1)
      }
      let taken = try session.query(
        """
        SELECT address_key FROM network_addresses WHERE subnet_id = $1 AND address_key >= $2 AND address_key <= $3 \
        ORDER BY address_key
        """, [.text(subnet.id), .text(pool.start.key), .text(pool.end.key)]
      ) { row in row.address(0, version: subnet.version) }
      if let free = pool.lowestFree(taken: taken.compactMap { $0 }) { return free }
    }
    return nil
  }
}
