import Domain
import Wire

/// Floating IPs.
public enum FloatingIPStore {
  private static func floatingIP(_ row: borrowing Row) throws -> FloatingIP {
    guard let address = IPAddress(row.text(4)) else {
      throw StoreError(.other, "floating IP \(row.text(0)) has the address \(row.text(4))")
    }
    var floatingIP = FloatingIP(
      id: row.text(0), projectID: row.text(1), description: row.text(2), networkID: row.text(3), address: address,
      holderPortID: row.text(5), routerID: row.optionalText(8),
      status: FloatingIP.Status(rawValue: row.text(9)) ?? .error,
      dnsName: row.text(10), dnsDomain: row.text(11), revision: row.int(12), createdAt: row.time(13),
      updatedAt: row.time(14))
    if let port = row.optionalText(6), let fixed = row.optionalText(7).flatMap({ IPAddress($0) }) {
      floatingIP.association = FloatingIP.Association(portID: port, fixedAddress: fixed)
    }
    return floatingIP
  }

  /// The floating IPs that `narrow` leaves (it appends `WHERE …`, `ORDER BY …`), with tags: two statements.
  public static func list(in session: any Session, _ narrow: (inout Query) -> Void = { _ in }) throws -> [FloatingIP] {
    var query = Query(
      """
      SELECT id, project_id, description, network_id, address, holder_port_id, port_id, fixed_address, router_id, status, \
      dns_name, dns_domain, revision, created_at, updated_at FROM floating_ips
      """)
    narrow(&query)
    var found = try session.query(query) { try floatingIP($0) }
    if found.isEmpty { return [] }
    let tags = try NetworkTagStore.tags(of: found.map(\.id), in: session)
    for index in found.indices { found[index].tags = tags[found[index].id] ?? [] }
    return found
  }
  public static func get(_ id: String, in session: any Session) throws -> FloatingIP? {
    try list(in: session) { $0.append("WHERE id = ?", .text(id)) }.first
  }
  public static func list(router id: String, in session: any Session) throws -> [FloatingIP] {
    try list(in: session) { $0.append("WHERE router_id = ? ORDER BY id", .text(id)) }
  }
  public static func list(port id: String, in session: any Session) throws -> [FloatingIP] {
    try list(in: session) { $0.append("WHERE port_id = ? ORDER BY id", .text(id)) }
  }

  private static func stored(_ floatingIP: FloatingIP) -> [Value] {
    [
      .text(floatingIP.description), Value(floatingIP.association?.portID),
      Value(floatingIP.association?.fixedAddress.description), Value(floatingIP.routerID),
      .text(floatingIP.status.rawValue), .text(floatingIP.dnsName), .text(floatingIP.dnsDomain),
      .int(floatingIP.revision), Value(floatingIP.updatedAt), .text(floatingIP.id),
    ]
  }
  /// - Throws: ``StoreError`` `.conflict` when the address is another's, or the port's address has one of that network.
  public static func insert(_ floatingIP: FloatingIP, in session: any Session) throws {
    try session.execute(
      """
      INSERT INTO floating_ips (description, port_id, fixed_address, router_id, status, dns_name, dns_domain, revision, \
      updated_at, id, project_id, network_id, address, holder_port_id, created_at) \
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
      """,
      stored(floatingIP) + [
        .text(floatingIP.projectID), .text(floatingIP.networkID), .text(floatingIP.address.description),
        .text(floatingIP.holderPortID), Value(floatingIP.createdAt),
      ])
    try NetworkTagStore.set(floatingIP.tags, of: floatingIP.id, in: session)
  }
  /// Writes what may change but tags, and counts the revision up.
  /// - Throws: ``StoreError`` `.conflict` when the port's address has one of that network.
  public static func update(_ floatingIP: inout FloatingIP, at now: Timestamp, in session: any Session) throws {
    floatingIP.revision += 1
    floatingIP.updatedAt = now
    try session.execute(
      """
      UPDATE floating_ips SET description = $1, port_id = $2, fixed_address = $3, router_id = $4, status = $5, \
      dns_name = $6, dns_domain = $7, revision = $8, updated_at = $9 WHERE id = $10
      """, stored(floatingIP))
  }
  /// Deletes it with the port that holds its address.
  /// - Throws: ``StoreError`` `.conflict` when it has port forwardings.
  public static func delete(_ floatingIP: FloatingIP, in session: any Session) throws {
    try NetworkTagStore.set([], of: floatingIP.id, in: session)
    try session.execute("DELETE FROM floating_ips WHERE id = $1", [.text(floatingIP.id)])
    try NetworkPortStore.delete(floatingIP.holderPortID, in: session)
  }
  /// Those of an external network that lead nowhere.
  public static func deleteIdle(of network: String, in session: any Session) throws {
    let idle = try list(in: session) { $0.append("WHERE network_id = ? AND router_id IS NULL", .text(network)) }
    for floatingIP in idle { try delete(floatingIP, in: session) }
  }
  public static func count(project id: String, in session: any Session) throws -> Int {
    try session.first("SELECT COUNT(*) FROM floating_ips WHERE project_id = $1", [.text(id)]) { $0.int(0) } ?? 0
  }
  /// The port goes: what led to it leads nowhere any more.
  static func letGo(ofPort id: String, in session: any Session) throws {
    try session.execute(
      """
      UPDATE floating_ips SET port_id = NULL, fixed_address = NULL, router_id = NULL, status = 'DOWN', \
      revision = revision + 1 WHERE port_id = $1
      """, [.text(id)])
    if try session.execute("DELETE FROM port_forwardings WHERE port_id = $1", [.text(id)]) > 0 {
      try PortForwardingStore.releaseRouters(in: session)
    }
  }
}

/// Port forwardings of floating IPs.
public enum PortForwardingStore {
  private static func forwarding(_ row: borrowing Row) throws -> PortForwarding {
    guard let transport = PortForwarding.TransportProtocol(rawValue: row.text(3)), let address = IPAddress(row.text(9)),
      row.int(4) <= row.int(5), row.int(6) <= row.int(7)
    else { throw StoreError(.other, "port forwarding \(row.text(0)) is \(row.text(3)) to \(row.text(9))") }
    return PortForwarding(
      id: row.text(0), floatingIPID: row.text(1), description: row.text(2), transport: transport,
      externalPorts: row.int(4)...row.int(5), internalPorts: row.int(6)...row.int(7), portID: row.text(8),
      internalAddress: address)
  }
  /// The forwardings that `narrow` leaves (it appends `WHERE …`, `ORDER BY …`).
  public static func list(
    in session: any Session, _ narrow: (inout Query) -> Void = { _ in }
  ) throws -> [PortForwarding] {
    var query = Query(
      """
      SELECT id, floating_ip_id, description, protocol, external_first, external_last, internal_first, internal_last, port_id, \
      internal_address FROM port_forwardings
      """)
    narrow(&query)
    return try session.query(query) { try forwarding($0) }
  }
  public static func list(floatingIP id: String, in session: any Session) throws -> [PortForwarding] {
    try list(in: session) { $0.append("WHERE floating_ip_id = ? ORDER BY id", .text(id)) }
  }
  public static func list(port id: String, in session: any Session) throws -> [PortForwarding] {
    try list(in: session) { $0.append("WHERE port_id = ? ORDER BY id", .text(id)) }
  }
  /// Those of each of these floating IPs: one statement.
  public static func of(
    floatingIPs ids: [String], in session: any Session
  ) throws -> [String: [PortForwarding]] {
    if ids.isEmpty { return [:] }
    let found = try list(in: session) { query in
      if ids.count <= manyLimit { query.appendIn("WHERE floating_ip_id IN", ids.map { .text($0) }) }
      query.append("ORDER BY floating_ip_id, id")
    }
    return Dictionary(grouping: found, by: \.floatingIPID)
  }
  public static func get(_ id: String, in session: any Session) throws -> PortForwarding? {
    try list(in: session) { $0.append("WHERE id = ?", .text(id)) }.first
  }

  private static func stored(_ forwarding: PortForwarding) -> [Value] {
    [
      .text(forwarding.description), .text(forwarding.transport.rawValue), .int(forwarding.externalPorts.lowerBound),
      .int(forwarding.externalPorts.upperBound), .int(forwarding.internalPorts.lowerBound),
      .int(forwarding.internalPorts.upperBound), .text(forwarding.portID),
      .text(forwarding.internalAddress.description),
      .text(forwarding.id),
    ]
  }
  public static func insert(_ forwarding: PortForwarding, in session: any Session) throws {
    try session.execute(
      """
      INSERT INTO port_forwardings (description, protocol, external_first, external_last, internal_first, internal_last, \
      port_id, internal_address, id, floating_ip_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
      """, stored(forwarding) + [.text(forwarding.floatingIPID)])
  }
  public static func update(_ forwarding: PortForwarding, in session: any Session) throws {
    try session.execute(
      """
      UPDATE port_forwardings SET description = $1, protocol = $2, external_first = $3, external_last = $4, \
      internal_first = $5, internal_last = $6, port_id = $7, internal_address = $8 WHERE id = $9
      """, stored(forwarding))
  }
  public static func delete(_ id: String, in session: any Session) throws {
    try session.execute("DELETE FROM port_forwardings WHERE id = $1", [.text(id)])
    try releaseRouters(in: session)
  }
  /// Floating IPs whose last forwarding has gone have no router any more.
  static func releaseRouters(in session: any Session) throws {
    try session.execute(
      """
      UPDATE floating_ips SET router_id = NULL, status = 'DOWN', revision = revision + 1 WHERE port_id IS NULL AND \
      router_id IS NOT NULL AND id NOT IN (SELECT floating_ip_id FROM port_forwardings)
      """, [])
  }
}
