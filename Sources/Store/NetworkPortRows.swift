import Domain
import Wire

/// Ports row by row, for long lists: nothing is kept of them.
extension NetworkPortStore {
  /// The columns of a row that ``rows(in:after:most:_:_:)`` hands out. The last three are those of its first address, NULL for none.
  public enum Column: Int, Sendable {
    case id, networkID, projectID, name, description, macAddress, isAdminStateUp, status, deviceID, deviceOwner, hostID
    case vnicType, profile, dnsName, revision, createdAt, updatedAt, isPortSecurityEnabled, addressPairs
    case subnetID, version, addressKey
  }
  /// Where a part of a list ended.
  public struct End: Sendable {
    let createdAt: Timestamp
    let id: String
  }

  /// Hands out the ports that `narrow` leaves (it appends `WHERE …` on columns of `network_ports p`) by age: one statement, which
  /// reads them in the order of an index.
  /// - Returns: where it ended; nil when fewer than `most` ports were left.
  public static func rows(
    in session: any Session, after end: End?, most: Int, _ narrow: (inout Query) -> Void,
    _ body: (borrowing Row) -> Void
  ) throws -> End? {
    var query = Query(
      """
      SELECT p.id, p.network_id, p.project_id, p.name, p.description, p.mac_address, p.is_admin_state_up, p.status, p.device_id, \
      p.device_owner, p.host_id, p.vnic_type, p.profile, p.dns_name, p.revision, p.created_at, p.updated_at, p.is_port_security, \
      p.address_pairs, a.subnet_id, a.version, a.address_key FROM network_ports p \
      LEFT JOIN network_addresses a ON a.port_id = p.id AND a.position = 0
      """)
    narrow(&query)
    if let end { query.append("AND (p.created_at, p.id) > (?, ?)", Value(end.createdAt), .text(end.id)) }
    query.append("ORDER BY p.created_at, p.id LIMIT ?", .int(most))
    var count = 0
    var last: End?
    _ = try session.query(query) { row in
      count += 1
      if count == most { last = End(createdAt: row.time(Column.createdAt.rawValue), id: row.text(Column.id.rawValue)) }
      body(row)
    }
    return last
  }

  /// The address pairs of a row that ``rows(in:after:most:_:_:)`` hands out.
  public static func addressPairs(in row: borrowing Row) -> [AddressPair] {
    // Nearly all have none.
    let isEmpty = row.withText(Column.addressPairs.rawValue) { $0.count <= 2 }
    return isEmpty ? [] : addressPairs(row.json(Column.addressPairs.rawValue))
  }

  /// What ports have beside their columns and first addresses, by port.
  public struct Extras: Sendable {
    public let addresses: [String: [NetworkPort.FixedIP]]
    public let tags: [String: [String]]
    public let trunks: [String: TrunkDetails]
    public let securityGroups: [String: [String]]
  }
  /// Of the ports that `narrow` leaves, as in ``rows(in:after:most:_:_:)``: at most nine statements, four where there are none.
  public static func extras(in session: any Session, _ narrow: (inout Query) -> Void) throws -> Extras {
    /// - Parameter any: finds a row at once, wherever there is one: most sites have none, and need no look at each port.
    func found<T>(
      _ any: StaticString, _ select: StaticString, _ order: StaticString, _ body: (borrowing Row) -> T
    ) throws -> [T] {
      guard try session.exists(any, []) else { return [] }
      var query = Query(select)
      narrow(&query)
      query.append(order)
      return try session.query(query, body)
    }
    func grouped<T>(_ pairs: [(String, T)]) -> [String: [T]] {
      var out: [String: [T]] = [:]
      for (port, value) in pairs { out[port, default: []].append(value) }
      return out
    }
    let parents = try found(
      "SELECT 1 FROM trunks LIMIT 1", "SELECT t.port_id, t.id FROM trunks t JOIN network_ports p ON p.id = t.port_id",
      ""
    ) { ($0.text(0), $0.text(1)) }
    let details = try TrunkStore.details(of: parents.map { $0.1 }, in: session)
    let trunks = parents.compactMap { port, trunk in details[trunk].map { (port, $0) } }
    let addresses = try found(
      "SELECT 1 FROM network_addresses WHERE position > 0 LIMIT 1",
      "SELECT a.port_id, a.subnet_id, a.version, a.address_key FROM network_addresses a JOIN network_ports p ON p.id = a.port_id",
      "AND a.position > 0 ORDER BY a.position"
    ) { row in
      (row.text(0), row.address(3, version: row.int(2)).map { NetworkPort.FixedIP(subnetID: row.text(1), address: $0) })
    }
    return Extras(
      addresses: grouped(addresses.compactMap { port, fixed in fixed.map { (port, $0) } }),
      tags: grouped(
        try found(
          "SELECT 1 FROM network_tags LIMIT 1",
          "SELECT t.resource_id, t.tag FROM network_tags t JOIN network_ports p ON p.id = t.resource_id",
          "ORDER BY t.tag"
        ) { ($0.text(0), $0.text(1)) }),
      trunks: Dictionary(trunks) { first, _ in first },
      securityGroups: grouped(
        try found(
          "SELECT 1 FROM network_port_groups LIMIT 1",
          "SELECT g.port_id, g.group_id FROM network_port_groups g JOIN network_ports p ON p.id = g.port_id",
          "ORDER BY g.group_id"
        ) { ($0.text(0), $0.text(1)) }))
  }
}
