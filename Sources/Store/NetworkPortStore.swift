import Domain
import Wire

/// Ports of tenant networks (Neutron's; a machine's NICs are ``PortStore``'s).
public enum NetworkPortStore {
  private static func port(_ row: borrowing Row) -> NetworkPort {
    var port = NetworkPort(
      id: row.text(0), networkID: row.text(1), projectID: row.text(2), name: row.text(3), macAddress: row.text(5),
      createdAt: row.time(16), updatedAt: row.time(17))
    port.description = row.text(4)
    port.isAdminStateUp = row.bool(6)
    port.status = NetworkPort.Status(rawValue: row.text(7)) ?? .error
    port.deviceID = row.text(8)
    port.deviceOwner = row.text(9)
    port.bindingHostID = row.text(10)
    port.vnicType = row.text(11)
    port.bindingProfile = row.object(12)
    port.dnsName = row.text(13)
    port.isBeingDeleted = row.bool(14)
    port.revision = row.int(15)
    port.isBound = row.bool(18)
    port.trunk = row.optionalText(19).map { TrunkDetails(trunkID: $0) }
    port.isPortSecurityEnabled = row.bool(20)
    port.addressPairs = addressPairs(row.json(21))
    return port
  }

  static func addressPairs(_ json: JSON) -> [AddressPair] {
    (json.array ?? []).compactMap { item in
      guard let text = item["ip"]?.string else { return nil }
      return AddressPair(text, mac: item["mac"]?.string.flatMap { MACAddress($0) })
    }
  }
  private static func json(_ pairs: [AddressPair]) -> JSON {
    .array(pairs.map { ["ip": .string($0.text), "mac": $0.mac.map { .string($0.description) } ?? .null] })
  }

  /// The ports that `narrow` leaves (it appends `WHERE …` on columns of `network_ports p`, `ORDER BY …`), with their
  /// addresses, tags and security groups: four statements however many there are. Ports that are being deleted are among them.
  public static func list(in session: any Session, _ narrow: (inout Query) -> Void = { _ in }) throws -> [NetworkPort] {
    var query = Query(
      """
      SELECT p.id, p.network_id, p.project_id, p.name, p.description, p.mac_address, p.is_admin_state_up, p.status, p.device_id, \
      p.device_owner, p.host_id, p.vnic_type, p.profile, p.dns_name, p.is_being_deleted, p.revision, p.created_at, p.updated_at, \
      p.is_bound, t.id, p.is_port_security, p.address_pairs \
      FROM network_ports p LEFT JOIN trunks t ON t.port_id = p.id
      """)
    narrow(&query)
    var ports = try session.query(query) { port($0) }
    if ports.isEmpty { return [] }
    let ids = ports.map(\.id)
    let addresses = try addresses(of: ids, in: session)
    let tags = try NetworkTagStore.tags(of: ids, in: session)
    let trunks = try TrunkStore.details(of: ports.compactMap { $0.trunk?.trunkID }, in: session)
    let groups = try SecurityGroupStore.ids(ofPorts: ids, in: session)
    for index in ports.indices {
      if let trunk = ports[index].trunk { ports[index].trunk = trunks[trunk.trunkID] }
      ports[index].securityGroupIDs = groups[ports[index].id] ?? []
      ports[index].fixedIPs = addresses[ports[index].id] ?? []
      ports[index].tags = tags[ports[index].id] ?? []
    }
    return ports
  }
  /// The addresses of each of these ports, in their order: one statement.
  static func addresses(of ids: [String], in session: any Session) throws -> [String: [NetworkPort.FixedIP]] {
    if ids.isEmpty { return [:] }
    var found: [String: [(position: Int, fixed: NetworkPort.FixedIP)]] = [:]
    found.reserveCapacity(ids.count)
    let rows = try session.queryMany(
      "SELECT port_id, subnet_id, version, address_key, position FROM network_addresses", "port_id", ids
    ) { row in
      (row.text(0), row.text(1), row.address(3, version: row.int(2)), row.int(4))
    }
    for (port, subnet, address, position) in rows {
      if let address { found[port, default: []].append((position, .init(subnetID: subnet, address: address))) }
    }
    // Sorted here: nearly all ports have one, and the database would sort the whole table.
    return found.mapValues { addresses in
      addresses.count == 1 ? [addresses[0].fixed] : addresses.sorted { $0.position < $1.position }.map(\.fixed)
    }
  }
  /// Also one that is being deleted: look at ``NetworkPort/isBeingDeleted``.
  public static func get(_ id: String, in session: any Session) throws -> NetworkPort? {
    try list(in: session) { $0.append("WHERE p.id = ?", .text(id)) }.first
  }
  /// The ports with any of these ids, by id, whether or not they are being deleted.
  public static func byID(_ ids: [String], in session: any Session) throws -> [String: NetworkPort] {
    let found = try list(in: session) { $0.appendIn("WHERE p.id IN", ids.map { .text($0) }) }
    return Dictionary(found.map { ($0.id, $0) }) { first, _ in first }
  }

  /// Whether a port of the network has the MAC address.
  public static func isTaken(_ mac: MACAddress, on network: String, in session: any Session) throws -> Bool {
    try session.exists(
      "SELECT 1 FROM network_ports WHERE network_id = $1 AND mac_address = $2",
      [.text(network), .text(mac.description)])
  }

  /// A hardware address of our own that no port of the network has. Three random bytes meet one that is there on networks of
  /// some thousand ports: then it is drawn again.
  /// - Throws: ``StoreError`` `.conflict` when 16 draws in a row are taken (Neutron's `mac_generation_retries`).
  public static func newMACAddress(
    on network: String, in session: any Session, draw: () -> String = NetworkPort.newMACAddress
  ) throws -> String {
    for _ in 0..<16 {
      let drawn = draw()
      guard let mac = MACAddress(drawn), try isTaken(mac, on: network, in: session) else { return drawn }
    }
    throw StoreError(.conflict, "network \(network) has no MAC address left: 16 that were drawn are taken")
  }

  /// - Throws: ``StoreError`` `.conflict` when the MAC is on the network already, or an address is another port's.
  public static func insert(_ port: NetworkPort, in session: any Session) throws {
    try session.execute(
      """
      INSERT INTO network_ports (id, network_id, project_id, name, description, mac_address, is_admin_state_up, status, device_id, \
      device_owner, host_id, vnic_type, profile, dns_name, is_being_deleted, revision, created_at, updated_at, is_port_security, \
      address_pairs) \
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)
      """,
      [
        .text(port.id), .text(port.networkID), .text(port.projectID), .text(port.name), .text(port.description),
        .text(port.macAddress), .bool(port.isAdminStateUp), .text(port.status.rawValue), .text(port.deviceID),
        .text(port.deviceOwner), .text(port.bindingHostID), .text(port.vnicType), Value(port.bindingProfile),
        .text(port.dnsName), .bool(port.isBeingDeleted), .int(port.revision), Value(port.createdAt),
        Value(port.updatedAt), .bool(port.isPortSecurityEnabled), Value(json(port.addressPairs)),
      ])
    try setAddresses(of: port, in: session)
    if !port.securityGroupIDs.isEmpty { try SecurityGroupStore.setGroups(of: port, in: session) }
    try NetworkTagStore.set(port.tags, of: port.id, in: session)
  }
  /// Writes what may change but the addresses (``setAddresses(of:in:)``), security groups and tags, and counts the revision up.
  public static func update(_ port: inout NetworkPort, at now: Timestamp, in session: any Session) throws {
    port.revision += 1
    port.updatedAt = now
    try session.execute(
      """
      UPDATE network_ports SET name = $1, description = $2, mac_address = $3, is_admin_state_up = $4, status = $5, device_id = $6, \
      device_owner = $7, host_id = $8, vnic_type = $9, profile = $10, dns_name = $11, is_being_deleted = $12, revision = $13, \
      updated_at = $14, is_port_security = $15, address_pairs = $16 WHERE id = $17
      """,
      [
        .text(port.name), .text(port.description), .text(port.macAddress), .bool(port.isAdminStateUp),
        .text(port.status.rawValue), .text(port.deviceID), .text(port.deviceOwner), .text(port.bindingHostID),
        .text(port.vnicType), Value(port.bindingProfile), .text(port.dnsName), .bool(port.isBeingDeleted),
        .int(port.revision), Value(port.updatedAt), .bool(port.isPortSecurityEnabled), Value(json(port.addressPairs)),
        .text(port.id),
      ])
  }
  /// Replaces the port's addresses.
  /// - Throws: ``StoreError`` `.conflict` when one is another port's.
  public static func setAddresses(of port: NetworkPort, in session: any Session) throws {
    try session.execute("DELETE FROM network_addresses WHERE port_id = $1", [.text(port.id)])
    for (position, fixed) in port.fixedIPs.enumerated() {
      try session.execute(
        "INSERT INTO network_addresses (subnet_id, address_key, version, port_id, position) VALUES ($1, $2, $3, $4, $5)",
        [.text(fixed.subnetID), .text(fixed.address.key), .int(fixed.address.version), .text(port.id), .int(position)])
    }
  }
  /// Deletes it and frees its addresses; floating IPs lead to it no more. For one that a machine is attached to,
  /// ``markBeingDeleted(_:at:in:)`` comes first.
  /// - Throws: ``StoreError`` `.conflict` when it is a router's or holds a floating IP.
  public static func delete(_ id: String, in session: any Session) throws {
    try FloatingIPStore.letGo(ofPort: id, in: session)
    try NetworkTagStore.set([], of: id, in: session)
    try session.execute("DELETE FROM network_ports WHERE id = $1", [.text(id)])
  }

  // What the conductor does with a port when it attaches and detaches machines.

  /// Ties the port to a node's NIC: its MAC becomes the NIC's, as Ironic does it. The status stays `DOWN` until the switch
  /// was read back (``setStatus(_:of:at:in:)``).
  /// - Parameter profile: what `binding:profile` says of the place from now on (``VIFHolder/bindingProfile``).
  /// - Throws: ``StoreError`` `.conflict` when the NIC is on the same network through another port.
  public static func bind(
    _ id: String, hostID: String, macAddress: String, profile: JSONObject = [:], at now: Timestamp,
    in session: any Session
  ) throws {
    if !profile.isEmpty { try setPlace(profile, of: id, in: session) }
    try session.execute(
      """
      UPDATE network_ports SET host_id = $1, mac_address = $2, vnic_type = 'baremetal', is_bound = 1, revision = revision + 1, updated_at = $3 \
      WHERE id = $4
      """, [.text(hostID), .text(macAddress), Value(now), .text(id)])
  }
  /// Writes the site's members of `binding:profile`; what the client has written beside them stays.
  private static func setPlace(_ place: JSONObject, of id: String, in session: any Session) throws {
    guard
      let before = try session.first("SELECT profile FROM network_ports WHERE id = $1", [.text(id)], { $0.object(0) })
    else { return }
    var profile = before
    for key in VIFHolder.bindingProfileKeys { profile[key] = place[key] }
    guard profile != before else { return }
    try session.execute("UPDATE network_ports SET profile = $1 WHERE id = $2", [Value(profile), .text(id)])
  }
  /// Says whose the port is: `device_id` and `device_owner`; empty for nobody's.
  public static func setDevice(
    _ device: String, owner: String, of id: String, at now: Timestamp, in session: any Session
  ) throws {
    try session.execute(
      "UPDATE network_ports SET device_id = $1, device_owner = $2, revision = revision + 1, updated_at = $3 WHERE id = $4",
      [.text(device), .text(owner), Value(now), .text(id)])
  }
  public static func setStatus(
    _ status: NetworkPort.Status, of id: String, at now: Timestamp, in session: any Session
  ) throws {
    try session.execute(
      "UPDATE network_ports SET status = $1, revision = revision + 1, updated_at = $2 WHERE id = $3",
      [.text(status.rawValue), Value(now), .text(id)])
  }
  /// The switch was read back without the network: the port is free again under a MAC of its own, or gone when its owner
  /// has deleted it meanwhile. Nothing happens for a port that does not exist.
  /// What its trunk had tagged is free with it.
  public static func release(_ id: String, at now: Timestamp, in session: any Session) throws {
    guard let port = try get(id, in: session) else { return }
    for tagged in port.trunk?.subports ?? [] { try release(tagged.subport.portID, at: now, in: session) }
    if port.isBeingDeleted { return try delete(id, in: session) }
    try setPlace([:], of: id, in: session)
    try session.execute(
      """
      UPDATE network_ports SET status = 'DOWN', host_id = '', is_bound = 0, mac_address = $1, revision = revision + 1, updated_at = $2 \
      WHERE id = $3
      """, [.text(try newMACAddress(on: port.networkID, in: session)), Value(now), .text(id)])
  }
  /// Ports that were on a machine's NIC, which has them no more, neither by themselves nor by a trunk: to be released when
  /// the switch was read back.
  /// - Parameter host: of one machine; nil for all.
  public static func stranded(host: String? = nil, in session: any Session) throws -> [NetworkPort] {
    try list(in: session) { query in
      query.append(
        """
        WHERE p.is_bound = 1 AND NOT EXISTS (SELECT 1 FROM attached_nics b WHERE b.vif_port_id = p.id) AND NOT EXISTS (\
        SELECT 1 FROM trunk_subports s JOIN trunks o ON o.id = s.trunk_id JOIN attached_nics b ON b.vif_port_id = o.port_id \
        WHERE s.port_id = p.id)
        """)
      if let host { query.append("AND p.host_id = ?", .text(host)) }
    }
  }
  /// Nodes with a NIC that carries a port in BUILD, by itself or tagged.
  public static func nodesInBuild(in session: any Session) throws -> [String] {
    try session.query(
      """
      SELECT b.node_uuid FROM network_ports p JOIN attached_nics b ON b.vif_port_id = p.id WHERE p.status = 'BUILD' UNION \
      SELECT b.node_uuid FROM network_ports p JOIN trunk_subports s ON s.port_id = p.id JOIN trunks t ON t.id = s.trunk_id \
      JOIN attached_nics b ON b.vif_port_id = t.port_id WHERE p.status = 'BUILD'
      """, []
    ) { $0.text(0) }
  }
  /// The API shows it no more, and floating IPs lead to it no more; it goes away with ``release(_:at:in:)``.
  public static func markBeingDeleted(_ id: String, at now: Timestamp, in session: any Session) throws {
    try FloatingIPStore.letGo(ofPort: id, in: session)
    try session.execute(
      "UPDATE network_ports SET is_being_deleted = 1, updated_at = $1 WHERE id = $2", [Value(now), .text(id)])
  }

  public static func count(project id: String, in session: any Session) throws -> Int {
    try session.first(
      "SELECT COUNT(*) FROM network_ports WHERE project_id = $1 AND is_being_deleted = 0", [.text(id)]
    ) { $0.int(0) } ?? 0
  }
  /// Whether the port is a router's or holds a floating IP: it changes and goes with that, and no machine gets it.
  public static func isService(_ id: String, in session: any Session) throws -> Bool {
    try session.exists(
      "SELECT 1 FROM router_ports WHERE port_id = $1 UNION SELECT 1 FROM floating_ips WHERE holder_port_id = $1",
      [.text(id)])
  }
  /// The projects that have ports on a network, those that are being deleted included. The ports of gateways and floating IPs are
  /// no project's.
  public static func projects(network id: String, in session: any Session) throws -> Set<String> {
    Set(
      try session.query(
        "SELECT DISTINCT project_id FROM network_ports WHERE network_id = $1 AND project_id <> ''", [.text(id)]
      ) {
        $0.text(0)
      })
  }
  /// The ports on a network, those that are being deleted included.
  public static func list(network id: String, in session: any Session) throws -> [NetworkPort] {
    try list(in: session) { $0.append("WHERE p.network_id = ? ORDER BY p.created_at, p.id", .text(id)) }
  }
}
