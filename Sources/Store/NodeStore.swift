import Cryptography
import Domain
import Wire

/// The nodes. Secrets of `driver_info` are split off and sealed under the node's id; every read shows them masked.
public enum NodeStore {
  /// Reads the columns in the order of ``query(_:)``.
  public static func node(_ row: borrowing Row) -> Node {
    var node = Node(uuid: row.text(0), name: row.optionalText(1), driver: row.text(2), createdAt: row.time(37))
    node.driverInfo = row.object(3)
    node.properties = row.object(4)
    node.extra = row.object(5)
    node.instanceInfo = row.object(6)
    node.driverInternalInfo = row.object(7)
    node.resourceClass = row.optionalText(8)
    node.owner = row.optionalText(9)
    node.lessee = row.optionalText(10)
    node.leaseUUID = row.optionalText(11)
    node.provisionState = ProvisionState(rawValue: row.text(12)) ?? .error
    node.targetProvisionState = row.optionalText(13)
    node.powerState = Power(rawValue: row.text(14))
    node.targetPowerState = Power(rawValue: row.text(15))
    node.maintenance = row.bool(16)
    node.maintenanceReason = reason(row, 17, detail: 44)
    node.fault = row.optionalText(18)
    node.lastError = reason(row, 19, detail: 45)
    node.reservation = row.optionalText(20)
    node.instanceUUID = row.optionalText(21)
    node.allocationUUID = row.optionalText(22)
    node.consoleEnabled = row.bool(23)
    node.automatedClean = row.optionalBool(24)
    node.isProtected = row.bool(25)
    node.protectedReason = row.optionalText(26)
    node.isRetired = row.bool(27)
    node.retiredReason = row.optionalText(28)
    node.description = row.optionalText(29)
    node.conductorGroup = row.text(30)
    node.bootMode = BootMode(rawValue: row.text(31))
    node.isSecureBoot = row.optionalBool(32)
    node.traits = row.strings(33)
    node.deployStep = row.object(34)
    node.cleanStep = row.object(35)
    node.networkData = row.object(36)
    node.updatedAt = row.optionalTime(38)
    node.provisionUpdatedAt = row.optionalTime(39)
    node.inspectionStartedAt = row.optionalTime(40)
    node.inspectionFinishedAt = row.optionalTime(41)
    node.powerObservedAt = row.optionalTime(42)
    node.interfaces = interfaces(row.object(43))
    node.chassisUUID = row.optionalText(46)
    node.shard = row.optionalText(47)
    node.parentNode = row.optionalText(48)
    node.targetRAIDConfig = row.object(49)
    return node
  }

  public static func get(_ uuid: String, in session: any Session) throws -> Node? {
    try list(in: session) { $0.append("WHERE uuid = ?", .text(uuid)) }.first
  }
  /// By UUID or by name, as every path of the API takes it.
  public static func find(_ uuidOrName: String, in session: any Session) throws -> Node? {
    try list(in: session) { query in
      if Identifier.isUUID(uuidOrName) {
        query.append("WHERE uuid = ?", .text(uuidOrName.lowercased()))
      } else {
        query.append("WHERE name = ?", .text(uuidOrName))
      }
    }.first
  }
  /// The nodes that `narrow` leaves: it appends `WHERE …`, `ORDER BY …`, `LIMIT …`.
  public static func list(in session: any Session, _ narrow: (inout Query) -> Void = { _ in }) throws -> [Node] {
    try session.query(query(narrow)) { node($0) }
  }
  /// The query behind ``list(in:_:)``, for those who write rows straight into an answer (columns as in ``node(_:)``).
  public static func query(_ narrow: (inout Query) -> Void) -> Query {
    var query = Query(
      """
      SELECT uuid, name, driver, driver_info, properties, extra, instance_info, driver_internal_info, resource_class, owner, lessee, \
      lease_uuid, provision_state, target_provision_state, power_state, target_power_state, maintenance, maintenance_reason, fault, \
      last_error, reservation, instance_uuid, allocation_uuid, console_enabled, automated_clean, is_protected, protected_reason, \
      is_retired, retired_reason, description, conductor_group, boot_mode, is_secure_boot, traits, deploy_step, clean_step, \
      network_data, created_at, updated_at, provision_updated_at, inspection_started_at, inspection_finished_at, power_observed_at, \
      interfaces, maintenance_reason_detail, last_error_detail, chassis_uuid, shard, parent_node, target_raid_config \
      FROM nodes
      """)
    narrow(&query)
    return query
  }

  private static func reason(_ row: borrowing Row, _ sentence: Int, detail: Int) -> Reason? {
    guard let text = row.optionalText(sentence) else { return nil }
    return Reason(text, detail: row.optionalText(detail))
  }
  private static func interfaces(_ object: JSONObject) -> [InterfaceKind: String] {
    var chosen: [InterfaceKind: String] = [:]
    for member in object { if let kind = InterfaceKind(rawValue: member.key) { chosen[kind] = member.value.string } }
    return chosen
  }

  /// Inserts a node; `secrets` are the members of `driver_info` that are kept sealed.
  /// - Throws: ``StoreError`` `.conflict` when the name or UUID is taken.
  public static func insert(_ node: Node, secrets: Set<String>, box: SecretBox, in session: any Session) throws {
    try session.execute(
      """
      INSERT INTO nodes (uuid, driver, driver_info, properties, extra, instance_info, driver_internal_info, provision_state, created_at) \
      VALUES ($1, $2, '{}', '{}', '{}', '{}', '{}', $3, $4)
      """, [.text(node.uuid), .text(node.driver), .text(node.provisionState.rawValue), Value(node.createdAt)])
    try update(node, in: session)
    try setDriverInfo(node.driverInfo, of: node.uuid, secrets: secrets, box: box, in: session)
  }

  /// Writes every field but `driver_info` (``setDriverInfo(_:of:secrets:box:in:)``).
  /// - Throws: ``StoreError`` `.conflict` when the name is taken, or another workflow holds the node.
  public static func update(_ node: Node, in session: any Session) throws {
    var properties = node.properties
    properties["lease_uuid"] = node.leaseUUID.map { .string($0) }
    try session.execute(
      """
      UPDATE nodes SET name = $1, driver = $2, properties = $3, extra = $4, instance_info = $5, driver_internal_info = $6, \
      resource_class = $7, owner = $8, lessee = $9, lease_uuid = $10, provision_state = $11, target_provision_state = $12, \
      power_state = $13, target_power_state = $14, maintenance = $15, maintenance_reason = $16, fault = $17, last_error = $18, \
      reservation = $19, instance_uuid = $20, allocation_uuid = $21, console_enabled = $22, automated_clean = $23, is_protected = $24, \
      protected_reason = $25, is_retired = $26, retired_reason = $27, description = $28, conductor_group = $29, boot_mode = $30, \
      is_secure_boot = $31, traits = $32, deploy_step = $33, clean_step = $34, network_data = $35, updated_at = $36, \
      provision_updated_at = $37, inspection_started_at = $38, inspection_finished_at = $39, power_observed_at = $40, \
      interfaces = $41, maintenance_reason_detail = $42, last_error_detail = $43, chassis_uuid = $44, shard = $45, \
      parent_node = $46, target_raid_config = $47 WHERE uuid = $48
      """,
      [
        Value(node.name), .text(node.driver), Value(properties), Value(node.extra), Value(node.instanceInfo),
        Value(node.driverInternalInfo), Value(node.resourceClass), Value(node.owner), Value(node.lessee),
        Value(node.leaseUUID),
        .text(node.provisionState.rawValue), Value(node.targetProvisionState), Value(node.powerState?.rawValue),
        Value(node.targetPowerState?.rawValue), .bool(node.maintenance), Value(node.maintenanceReason?.sentence),
        Value(node.fault),
        Value(node.lastError?.sentence), Value(node.reservation), Value(node.instanceUUID), Value(node.allocationUUID),
        .bool(node.consoleEnabled), Value(node.automatedClean), .bool(node.isProtected), Value(node.protectedReason),
        .bool(node.isRetired), Value(node.retiredReason), Value(node.description), .text(node.conductorGroup),
        Value(node.bootMode?.rawValue), Value(node.isSecureBoot), Value(node.traits), Value(node.deployStep),
        Value(node.cleanStep),
        Value(node.networkData), Value(node.updatedAt), Value(node.provisionUpdatedAt), Value(node.inspectionStartedAt),
        Value(node.inspectionFinishedAt), Value(node.powerObservedAt),
        Value(node.interfaces.reduce(into: JSONObject()) { $0[$1.key.rawValue] = .string($1.value) }),
        Value(node.maintenanceReason?.detail), Value(node.lastError?.detail), Value(node.chassisUUID),
        Value(node.shard),
        Value(node.parentNode), Value(node.targetRAIDConfig), .text(node.uuid),
      ])
  }

  /// Writes `driver_info`: secret members are sealed, a mask leaves the old secret as it is.
  public static func setDriverInfo(
    _ info: JSONObject, of uuid: String, secrets: Set<String>, box: SecretBox, in session: any Session
  ) throws {
    let old = try secretsOf(uuid, box: box, in: session)
    var shown = info
    var sealed: JSONObject = [:]
    for member in info where secrets.contains(member.key) {
      if member.value.string == Node.mask {
        sealed[member.key] = old[member.key]
        if old[member.key] == nil { shown[member.key] = nil }
      } else {
        sealed[member.key] = member.value
        shown[member.key] = .string(Node.mask)
      }
    }
    try session.execute(
      "UPDATE nodes SET driver_info = $1, driver_secrets = $2 WHERE uuid = $3",
      [
        Value(shown),
        sealed.isEmpty ? .null : .text(box.sealText(JSON.object(sealed).description, context: "node/\(uuid)")),
        .text(uuid),
      ])
  }
  /// Adds a member to `driver_info` that is no secret, unless the administrator has set it.
  public static func addDriverInfo(_ name: String, _ value: String, of uuid: String, in session: any Session) throws {
    guard
      var info = try session.first("SELECT driver_info FROM nodes WHERE uuid = $1", [.text(uuid)], { $0.object(0) }),
      info[name] == nil
    else { return }
    info[name] = .string(value)
    try session.execute("UPDATE nodes SET driver_info = $1 WHERE uuid = $2", [Value(info), .text(uuid)])
  }
  private static func secretsOf(_ uuid: String, box: SecretBox, in session: any Session) throws -> JSONObject {
    let sealed =
      try session.first("SELECT driver_secrets FROM nodes WHERE uuid = $1", [.text(uuid)]) { $0.optionalText(0) } ?? nil
    return secrets(sealed, of: uuid, box: box)
  }
  private static func secrets(_ sealed: String?, of uuid: String, box: SecretBox) -> JSONObject {
    guard let sealed, let text = box.openText(sealed, context: "node/\(uuid)"), let json = try? JSON(parsing: text)
    else { return [:] }
    return json.object ?? [:]
  }
  static func driverInfo(_ shown: JSONObject, sealed: String?, of uuid: String, box: SecretBox) -> JSONObject {
    var info = shown
    for member in secrets(sealed, of: uuid, box: box) { info[member.key] = member.value }
    return info
  }
  /// The hardware type, and `driver_info` with its secrets in the clear: for drivers only. Nil when there is no such node.
  public static func driver(of uuid: String, box: SecretBox, in session: any Session) throws -> (
    name: String, info: JSONObject
  )? {
    try session.first("SELECT driver, driver_info, driver_secrets FROM nodes WHERE uuid = $1", [.text(uuid)]) { row in
      (row.text(0), driverInfo(row.object(1), sealed: row.optionalText(2), of: uuid, box: box))
    }
  }
  /// `driver_info` with its secrets in the clear: for drivers only.
  public static func driverInfoWithSecrets(of uuid: String, box: SecretBox, in session: any Session) throws
    -> JSONObject
  {
    try driver(of: uuid, box: box, in: session)?.info ?? [:]
  }

  /// Records what the controller reported; no other field is touched.
  public static func setObservedPower(_ power: Power?, of uuid: String, at now: Timestamp, in session: any Session)
    throws
  {
    try session.execute(
      "UPDATE nodes SET power_state = $1, power_observed_at = $2 WHERE uuid = $3",
      [Value(power?.rawValue), Value(now), .text(uuid)])
  }

  public static func delete(_ uuid: String, in session: any Session) throws {
    try session.execute("DELETE FROM nodes WHERE uuid = $1", [.text(uuid)])
  }

  // MARK: Inventory and history

  public static func setInventory(_ inventory: JSON, of uuid: String, at now: Timestamp, in session: any Session) throws
  {
    try session.execute(
      "INSERT INTO node_inventories (node_uuid, inventory, at) VALUES ($1, $2, $3) ON CONFLICT (node_uuid) DO UPDATE SET inventory = excluded.inventory, at = excluded.at",
      [.text(uuid), Value(inventory), Value(now)])
  }
  public static func inventory(of uuid: String, in session: any Session) throws -> JSON? {
    try session.first("SELECT inventory FROM node_inventories WHERE node_uuid = $1", [.text(uuid)]) { $0.json(0) }
  }
}
