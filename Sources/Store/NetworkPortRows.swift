import Domain
import Wire

/// Ports row by row, for long lists: nothing is kept of them.
extension NetworkPortStore {
  /// The columns of a row that ``rows(in:after:most:_:_:)`` hands out. The last three are those of one address, NULL for none.
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

  /// Hands out the ports that `narrow` leaves (it appends `WHERE …` on columns of `network_ports p`) by age, one row for each
  /// address of a port: one statement.
  /// - Returns: where it ended; nil when fewer than `most` ports were left.
  public static func rows(
    in session: any Session, after end: End?, most: Int, _ narrow: (inout Query) -> Void,
    _ body: (borrowing Row, _ isFirstOfPort: Bool) -> Void
  ) throws -> End? {
    var query = Query(
      """
      SELECT p.id, p.network_id, p.project_id, p.name, p.description, p.mac_address, p.is_admin_state_up, p.status, p.device_id, \
      p.device_owner, p.host_id, p.vnic_type, p.profile, p.dns_name, p.revision, p.created_at, p.updated_at, p.is_port_security, \
      p.address_pairs, a.subnet_id, a.version, a.address_key FROM (SELECT * FROM network_ports p
      """)
    narrow(&query)
    if let end { query.append("AND (p.created_at, p.id) > (?, ?)", Value(end.createdAt), .text(end.id)) }
    query.append("ORDER BY p.created_at, p.id LIMIT ?", .int(most))
    query.append(
      ") p LEFT JOIN network_addresses a ON a.port_id = p.id ORDER BY p.created_at, p.id, a.position")
    var count = 0
    var last = ""
    var lastTime = Timestamp(microseconds: 0)
    _ = try session.query(query) { row in
      let isFirst = row.withText(Column.id.rawValue) { id in
        var previous = last
        return !previous.withUTF8 { $0.elementsEqual(id) }
      }
      if isFirst {
        count += 1
        last = row.text(Column.id.rawValue)
        lastTime = row.time(Column.createdAt.rawValue)
      }
      body(row, isFirst)
    }
    return count < most ? nil : End(createdAt: lastTime, id: last)
  }

  /// The address pairs of a row that ``rows(in:after:most:_:_:)`` hands out.
  public static func addressPairs(in row: borrowing Row) -> [AddressPair] {
    // Nearly all have none.
    let isEmpty = row.withText(Column.addressPairs.rawValue) { $0.count <= 2 }
    return isEmpty ? [] : addressPairs(row.json(Column.addressPairs.rawValue))
  }

  /// What ports have beside their columns and addresses, by port.
  public struct Extras: Sendable {
    public let tags: [String: [String]]
    public let trunks: [String: TrunkDetails]
    public let securityGroups: [String: [String]]
  }
  /// Of the ports that `narrow` leaves, as in ``rows(in:after:most:_:_:)``: four statements.
  public static func extras(in session: any Session, _ narrow: (inout Query) -> Void) throws -> Extras {
    func pairs(_ select: StaticString, _ order: StaticString) throws -> [(String, String)] {
      var query = Query(select)
      narrow(&query)
      query.append(order)
      return try session.query(query) { ($0.text(0), $0.text(1)) }
    }
    func grouped(_ pairs: [(String, String)]) -> [String: [String]] {
      var out: [String: [String]] = [:]
      for (port, text) in pairs { out[port, default: []].append(text) }
      return out
    }
    let parents = try pairs("SELECT t.port_id, t.id FROM trunks t JOIN network_ports p ON p.id = t.port_id", "")
    let details = try TrunkStore.details(of: parents.map { $0.1 }, in: session)
    let trunks = parents.compactMap { port, trunk in details[trunk].map { (port, $0) } }
    return Extras(
      tags: grouped(
        try pairs(
          "SELECT t.resource_id, t.tag FROM network_tags t JOIN network_ports p ON p.id = t.resource_id",
          "ORDER BY t.tag")),
      trunks: Dictionary(trunks) { first, _ in first },
      securityGroups: grouped(
        try pairs(
          "SELECT g.port_id, g.group_id FROM network_port_groups g JOIN network_ports p ON p.id = g.port_id",
          "ORDER BY g.group_id")))
  }
}
