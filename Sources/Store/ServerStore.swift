import Domain
import Wire

/// A server, and the node that it is on as it is now.
public struct ServerRow: Sendable, Equatable {
  public var server: Server
  public var machine: ServerMachine?
  public init(server: Server, machine: ServerMachine?) {
    self.server = server
    self.machine = machine
  }
  public var condition: ServerCondition { ServerCondition.of(server, on: machine) }
}

/// Servers. Rows stay when a server is deleted, for `deleted` and for usage.
public enum ServerStore {
  /// The servers that `narrow` leaves (it appends `WHERE …`; `s` is the server, `n` its node), with tags: two statements.
  public static func list(in session: any Session, _ narrow: (inout Query) -> Void) throws -> [ServerRow] {
    var query = Query(
      """
      SELECT s.id, s.reservation_id, s.launch_index, s.project_id, s.user_id, s.name, s.hostname, s.description, s.node_uuid, \
      s.image_id, s.flavor, s.key_name, s.public_key, s.metadata, s.user_data, s.pinned_zone, s.has_config_drive, s.access_ipv4, \
      s.access_ipv6, s.scheduler_hints, s.group_id, s.locked_by, s.locked_reason, s.fault_code, s.fault_message, s.fault_details, \
      s.fault_at, s.created_at, s.updated_at, s.launched_at, s.deletion_asked_at, s.deleted_at, n.uuid, n.name, n.provision_state, \
      n.power_state, n.target_power_state, n.reservation, n.maintenance, n.last_error, n.last_error_detail, n.deploy_step, \
      n.updated_at, w.kind, w.params, s.shelved_at, s.shelved_image_id \
      FROM servers s LEFT JOIN nodes n ON n.uuid = s.node_uuid AND n.instance_uuid = s.id \
      LEFT JOIN workflows w ON w.id = n.reservation
      """)
    narrow(&query)
    var rows = try session.query(query) { row($0) }
    if rows.isEmpty { return [] }
    let tags = Dictionary(
      grouping: try session.queryMany(
        "SELECT server_id, tag FROM server_tags", "server_id", rows.map(\.server.id), order: "ORDER BY tag"
      ) { ($0.text(0), $0.text(1)) }, by: \.0)
    for index in rows.indices { rows[index].server.tags = tags[rows[index].server.id]?.map(\.1) ?? [] }
    return rows
  }

  private static func row(_ row: borrowing Row) -> ServerRow {
    var server = Server(
      id: row.text(0), projectID: row.text(3), userID: row.text(4), name: row.text(5), flavor: row.object(10),
      createdAt: row.time(27))
    server.reservationID = row.text(1)
    server.launchIndex = row.int(2)
    server.hostname = row.text(6)
    server.description = row.optionalText(7)
    server.nodeUUID = row.optionalText(8)
    server.imageID = row.optionalText(9)
    server.keyName = row.optionalText(11)
    server.publicKey = row.optionalText(12)
    server.metadata = row.object(13)
    server.userData = row.optionalText(14)
    server.pinnedZone = row.optionalText(15)
    server.hasConfigDrive = row.bool(16)
    server.accessIPv4 = row.text(17)
    server.accessIPv6 = row.text(18)
    server.schedulerHints = row.object(19)
    server.groupID = row.optionalText(20)
    server.lock = row.optionalText(21).flatMap { Server.Lock(rawValue: $0) }
    server.lockedReason = row.optionalText(22)
    if let message = row.optionalText(24) {
      server.fault = Server.Fault(
        code: row.int(23), message: message, details: row.optionalText(25), at: row.time(26))
    }
    server.updatedAt = row.time(28)
    server.launchedAt = row.optionalTime(29)
    server.deletionAskedAt = row.optionalTime(30)
    server.deletedAt = row.optionalTime(31)
    server.shelvedAt = row.optionalTime(45)
    server.shelvedImageID = row.optionalText(46)
    return ServerRow(server: server, machine: machine(row))
  }
  private static func machine(_ row: borrowing Row) -> ServerMachine? {
    guard let uuid = row.optionalText(32) else { return nil }
    var machine = ServerMachine(
      uuid: uuid, name: row.optionalText(33), state: ProvisionState(rawValue: row.text(34)) ?? .error)
    machine.power = Power(rawValue: row.text(35))
    machine.targetPower = Power(rawValue: row.text(36))
    machine.isReserved = !row.isNull(37)
    machine.isInMaintenance = row.bool(38)
    machine.lastError = row.optionalText(39).map { Reason($0, detail: row.optionalText(40)) }
    machine.deployStep = row.object(41)
    machine.updatedAt = row.optionalTime(42)
    machine.isCaptured = row.text(43) == "capture-disk"
    machine.isShelved = ["shelve-node", "shelve-volume"].contains(row.text(43))
    if machine.isShelved { machine.wasOn = row.object(44)["was_on"]?.bool ?? true }
    if row.text(43) == "set-power" {
      let target = row.object(44)["target"]?.string.flatMap { PowerTarget(rawValue: $0) }
      machine.isRebooting = target == .reboot || target == .softReboot
    }
    return machine
  }

  public static func get(_ id: String, in session: any Session) throws -> ServerRow? {
    try list(in: session) { $0.append("WHERE s.id = ?", .text(id)) }.first
  }
  /// The server on a node.
  public static func on(node: String, in session: any Session) throws -> Server? {
    try list(in: session) { $0.append("WHERE s.node_uuid = ? AND s.deleted_at IS NULL", .text(node)) }.first?.server
  }
  /// Servers whose owner wants them gone, and that are not yet.
  public static func deletionsAsked(in session: any Session) throws -> [ServerRow] {
    try list(in: session) {
      $0.append("WHERE s.deletion_asked_at IS NOT NULL AND s.deleted_at IS NULL ORDER BY s.deletion_asked_at")
    }
  }

  /// Shelved servers that could not run on the machine that they were to have.
  public static func stranded(in session: any Session) throws -> [ServerRow] {
    try list(in: session) {
      $0.append(
        """
        WHERE s.shelved_at IS NOT NULL AND s.deleted_at IS NULL AND s.deletion_asked_at IS NULL \
        AND n.provision_state = 'deploy failed' AND n.reservation IS NULL
        """)
    }
  }
  /// Servers whose disk is kept in an image that nobody needs any more: they run again, or are deleted.
  public static func leavingImages(in session: any Session) throws -> [Server] {
    try list(in: session) {
      $0.append("WHERE s.shelved_image_id IS NOT NULL AND (s.shelved_at IS NULL OR s.deleted_at IS NOT NULL)")
    }.map(\.server)
  }

  /// - Throws: ``StoreError`` `.conflict` when the node has a server.
  public static func insert(_ server: Server, in session: any Session) throws {
    try session.execute(
      """
      INSERT INTO servers (id, reservation_id, launch_index, project_id, user_id, name, hostname, flavor, flavor_id, metadata, \
      has_config_drive, access_ipv4, access_ipv6, scheduler_hints, created_at, updated_at, public_key, user_data, pinned_zone, group_id) \
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)
      """,
      [
        .text(server.id), .text(server.reservationID), .int(server.launchIndex), .text(server.projectID),
        .text(server.userID), .text(server.name), .text(server.hostname), Value(server.flavor),
        .text(server.flavor["id"]?.string ?? ""), Value(server.metadata),
        .bool(server.hasConfigDrive), .text(server.accessIPv4), .text(server.accessIPv6), Value(server.schedulerHints),
        Value(server.createdAt), Value(server.updatedAt), Value(server.publicKey), Value(server.userData),
        Value(server.pinnedZone), Value(server.groupID),
      ])
    try update(server, in: session)
    try setTags(server.tags, of: server.id, in: session)
  }
  /// Writes what may change, but for tags.
  public static func update(_ server: Server, in session: any Session) throws {
    try session.execute(
      """
      UPDATE servers SET name = $1, hostname = $2, description = $3, node_uuid = $4, image_id = $5, key_name = $6, public_key = $7, \
      metadata = $8, user_data = $9, access_ipv4 = $10, access_ipv6 = $11, locked_by = $12, locked_reason = $13, fault_code = $14, \
      fault_message = $15, fault_details = $16, fault_at = $17, updated_at = $18, launched_at = $19, deletion_asked_at = $20, \
      deleted_at = $21, shelved_at = $22, shelved_image_id = $23, pinned_zone = $24 WHERE id = $25
      """,
      [
        .text(server.name), .text(server.hostname), Value(server.description), Value(server.nodeUUID),
        Value(server.imageID), Value(server.keyName), Value(server.publicKey), Value(server.metadata),
        Value(server.userData), .text(server.accessIPv4), .text(server.accessIPv6), Value(server.lock?.rawValue),
        Value(server.lockedReason), Value(server.fault?.code), Value(server.fault?.message),
        Value(server.fault?.details), Value(server.fault?.at), Value(server.updatedAt), Value(server.launchedAt),
        Value(server.deletionAskedAt), Value(server.deletedAt), Value(server.shelvedAt),
        Value(server.shelvedImageID), Value(server.pinnedZone), .text(server.id),
      ])
  }
  public static func setTags(_ tags: [String], of id: String, in session: any Session) throws {
    try session.execute("DELETE FROM server_tags WHERE server_id = $1", [.text(id)])
    for tag in Set(tags) {
      try session.execute("INSERT INTO server_tags (server_id, tag) VALUES ($1, $2)", [.text(id), .text(tag)])
    }
  }
  /// Notes that a system runs on a node's server, which is shelved no more; nothing happens to one that ran before.
  public static func launched(node: String, at now: Timestamp, in session: any Session) throws {
    try session.execute(
      """
      UPDATE servers SET launched_at = $1, updated_at = $2, shelved_at = NULL WHERE node_uuid = $3 AND deleted_at IS NULL \
      AND (launched_at IS NULL OR shelved_at IS NOT NULL)
      """, [Value(now), Value(now), .text(node)])
  }
  /// The owner of a server is asked again whether it shall go.
  public static func withdrawDeletion(_ id: String, in session: any Session) throws {
    try session.execute(
      "UPDATE servers SET deletion_asked_at = NULL WHERE id = $1 AND deleted_at IS NULL", [.text(id)])
  }
  /// What was on a server's disk is not kept any more.
  public static func forgetImage(_ image: String, of id: String, in session: any Session) throws {
    try session.execute(
      "UPDATE servers SET shelved_image_id = NULL WHERE id = $1 AND shelved_image_id = $2", [.text(id), .text(image)])
  }
  /// Forgets a server, as if it had never been.
  public static func delete(_ id: String, in session: any Session) throws {
    try session.execute("DELETE FROM servers WHERE id = $1", [.text(id)])
  }
  public static func isFlavorInUse(_ id: String, in session: any Session) throws -> Bool {
    try session.exists("SELECT 1 FROM servers WHERE flavor_id = $1 AND deleted_at IS NULL LIMIT 1", [.text(id)])
  }

  // MARK: Network ports

  public static func addPort(_ port: ServerPort, to id: String, in session: any Session) throws {
    try session.execute(
      "INSERT INTO server_ports (port_id, server_id, is_made, tag) VALUES ($1, $2, $3, $4)",
      [.text(port.portID), .text(id), .bool(port.isMade), Value(port.tag)])
  }
  public static func ports(of id: String, in session: any Session) throws -> [ServerPort] {
    try session.query(
      "SELECT port_id, is_made, tag FROM server_ports WHERE server_id = $1 ORDER BY position, port_id", [.text(id)]
    ) { ServerPort($0.text(0), isMade: $0.bool(1), tag: $0.optionalText(2)) }
  }
  public static func removePort(_ id: String, in session: any Session) throws {
    try session.execute("DELETE FROM server_ports WHERE port_id = $1", [.text(id)])
  }
  /// Notes in which order a server has its network ports, while no NICs say so.
  public static func setPortOrder(_ ports: [String], of id: String, in session: any Session) throws {
    for (index, port) in ports.enumerated() {
      try session.execute(
        "UPDATE server_ports SET position = $1 WHERE server_id = $2 AND port_id = $3",
        [.int(index), .text(id), .text(port)])
    }
  }
  /// The network ports of servers by the servers' ids: what is on the machine's NICs, and what a server without a machine keeps.
  public static func networkPorts(of rows: [ServerRow], in session: any Session) throws -> [String: [NetworkPort]] {
    let pairs = rows.compactMap { row in row.machine.map { ($0.uuid, row.server.id) } }
    let servers = Dictionary(pairs) { first, _ in first }
    var out = Dictionary(
      grouping: try attachedPorts(nodes: servers.keys.sorted(), in: session), by: { servers[$0.bindingHostID] ?? "" })
    let shelved = rows.filter { $0.machine == nil && $0.server.shelvedAt != nil }.map(\.server.id)
    out.merge(try keptPorts(ofServers: shelved, in: session)) { $1 }
    return out
  }
  /// The network ports that shelved servers keep, in the order of their NICs: those that are still there and that nothing else
  /// has; two statements.
  public static func keptPorts(ofServers ids: [String], in session: any Session) throws -> [String: [NetworkPort]] {
    if ids.isEmpty { return [:] }
    let kept = try session.queryMany(
      "SELECT port_id, server_id FROM server_ports", "server_id", ids, order: "ORDER BY position, port_id"
    ) { (port: $0.text(0), server: $0.text(1)) }
    let ports = try NetworkPortStore.list(in: session) { query in
      query.append("WHERE p.is_bound = 0 AND p.is_being_deleted = 0 AND p.id IN (SELECT port_id FROM server_ports")
      if ids.count <= manyLimit { query.appendIn("WHERE server_id IN", ids.map { .text($0) }) }
      query.append(")")
    }
    let found = Dictionary(ports.map { ($0.id, $0) }) { first, _ in first }
    return Dictionary(grouping: kept, by: \.server).mapValues { items in
      items.compactMap { item in found[item.port].flatMap { $0.deviceID == item.server ? $0 : nil } }
    }
  }
  /// The network ports that machines have on their NICs, of these nodes; two statements.
  public static func attachedPorts(nodes: [String], in session: any Session) throws -> [NetworkPort] {
    if nodes.isEmpty { return [] }
    return try NetworkPortStore.list(in: session) { query in
      query.append(
        "WHERE p.is_bound = 1 AND p.is_being_deleted = 0 AND p.id IN (SELECT vif_port_id FROM attached_nics)")
      if nodes.count <= manyLimit { query.appendIn("AND p.host_id IN", nodes.map { .text($0) }) }
      query.append("ORDER BY p.created_at, p.id")
    }
  }

  // MARK: Counting

  /// Servers that a project has, with the vCPUs and the memory (MiB) of their flavors.
  public static func usage(project id: String, in session: any Session) throws -> (
    servers: Int, vcpus: Int, memory: Int
  ) {
    let flavors = try session.query(
      "SELECT flavor FROM servers WHERE project_id = $1 AND deleted_at IS NULL", [.text(id)]
    ) { $0.object(0) }
    return (
      flavors.count, flavors.reduce(0) { $0 + ($1["vcpus"]?.int ?? 0) },
      flavors.reduce(0) { $0 + ($1["ram"]?.int ?? 0) }
    )
  }
}
