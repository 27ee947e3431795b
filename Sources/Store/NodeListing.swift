import Domain
import Wire

/// A column of `nodes` that an answer shows.
public struct NodeColumn: Sendable {
  let sql: StaticString
  private init(_ sql: StaticString) { self.sql = sql }

  public static let uuid = NodeColumn("uuid")
  public static let name = NodeColumn("name")
  public static let driver = NodeColumn("driver")
  public static let driverInfo = NodeColumn("driver_info")
  public static let properties = NodeColumn("properties")
  public static let extra = NodeColumn("extra")
  public static let instanceInfo = NodeColumn("instance_info")
  public static let driverInternalInfo = NodeColumn("driver_internal_info")
  public static let resourceClass = NodeColumn("resource_class")
  public static let owner = NodeColumn("owner")
  public static let lessee = NodeColumn("lessee")
  public static let provisionState = NodeColumn("provision_state")
  public static let targetProvisionState = NodeColumn("target_provision_state")
  public static let powerState = NodeColumn("power_state")
  public static let targetPowerState = NodeColumn("target_power_state")
  public static let maintenance = NodeColumn("maintenance")
  public static let maintenanceReason = NodeColumn("maintenance_reason")
  /// For whoever runs the node; the column above is for everyone.
  public static let maintenanceReasonWhole = NodeColumn("COALESCE(maintenance_reason_detail, maintenance_reason)")
  public static let fault = NodeColumn("fault")
  public static let lastError = NodeColumn("last_error")
  public static let lastErrorWhole = NodeColumn("COALESCE(last_error_detail, last_error)")
  public static let reservation = NodeColumn("reservation")
  public static let instanceUUID = NodeColumn("instance_uuid")
  public static let allocationUUID = NodeColumn("allocation_uuid")
  public static let consoleEnabled = NodeColumn("console_enabled")
  public static let automatedClean = NodeColumn("automated_clean")
  public static let isProtected = NodeColumn("is_protected")
  public static let protectedReason = NodeColumn("protected_reason")
  public static let isRetired = NodeColumn("is_retired")
  public static let retiredReason = NodeColumn("retired_reason")
  public static let description = NodeColumn("description")
  public static let conductorGroup = NodeColumn("conductor_group")
  public static let bootMode = NodeColumn("boot_mode")
  public static let isSecureBoot = NodeColumn("is_secure_boot")
  public static let traits = NodeColumn("traits")
  public static let deployStep = NodeColumn("deploy_step")
  public static let cleanStep = NodeColumn("clean_step")
  public static let networkData = NodeColumn("network_data")
  public static let createdAt = NodeColumn("created_at")
  public static let updatedAt = NodeColumn("updated_at")
  public static let provisionUpdatedAt = NodeColumn("provision_updated_at")
  public static let inspectionStartedAt = NodeColumn("inspection_started_at")
  public static let inspectionFinishedAt = NodeColumn("inspection_finished_at")
  public static let interfaces = NodeColumn("interfaces")
  public static let chassisUUID = NodeColumn("chassis_uuid")
  public static let shard = NodeColumn("shard")
  public static let parentNode = NodeColumn("parent_node")
  public static let targetRAIDConfig = NodeColumn("target_raid_config")
  /// Until when the machine's agent waits for a deployment, null if none does (``StandByStore``).
  public static let standByUntil = NodeColumn(
    """
    (SELECT stand_by_until FROM agent_sessions WHERE node_uuid = nodes.uuid AND workflow = '' AND session_hash IS NOT NULL)
    """)
}

/// What a list of nodes can be ordered by; never null, so that a marker has one place.
public enum NodeSortKey: String, SortKey {
  case uuid, name, driver, owner, lessee, fault, description, reservation, maintenance, protected, retired, shard
  case resourceClass = "resource_class"
  case provisionState = "provision_state"
  case targetProvisionState = "target_provision_state"
  case powerState = "power_state"
  case targetPowerState = "target_power_state"
  case instanceUUID = "instance_uuid"
  case conductorGroup = "conductor_group"
  case lastError = "last_error"
  case consoleEnabled = "console_enabled"
  case createdAt = "created_at"
  case updatedAt = "updated_at"
  case provisionUpdatedAt = "provision_updated_at"
  case inspectionStartedAt = "inspection_started_at"
  case inspectionFinishedAt = "inspection_finished_at"
  case chassisUUID = "chassis_uuid"
  case parentNode = "parent_node"
  case allocationUUID = "allocation_uuid"
  case maintenanceReason = "maintenance_reason"
  case protectedReason = "protected_reason"
  case retiredReason = "retired_reason"
  case automatedClean = "automated_clean"
  case bootMode = "boot_mode"
  case isSecureBoot = "secure_boot"

  public var sql: StaticString {
    switch self {
    case .uuid: "uuid"
    case .name: "COALESCE(name, '')"
    case .driver: "driver"
    case .owner: "COALESCE(owner, '')"
    case .lessee: "COALESCE(lessee, '')"
    case .fault: "COALESCE(fault, '')"
    case .description: "COALESCE(description, '')"
    case .reservation: "COALESCE(reservation, '')"
    case .maintenance: "maintenance"
    case .protected: "is_protected"
    case .retired: "is_retired"
    case .resourceClass: "COALESCE(resource_class, '')"
    case .provisionState: "provision_state"
    case .targetProvisionState: "COALESCE(target_provision_state, '')"
    case .powerState: "COALESCE(power_state, '')"
    case .targetPowerState: "COALESCE(target_power_state, '')"
    case .instanceUUID: "COALESCE(instance_uuid, '')"
    case .conductorGroup: "conductor_group"
    case .lastError: "COALESCE(last_error, '')"
    case .consoleEnabled: "console_enabled"
    case .createdAt: "created_at"
    case .updatedAt: "COALESCE(updated_at, 0)"
    case .provisionUpdatedAt: "COALESCE(provision_updated_at, 0)"
    case .inspectionStartedAt: "COALESCE(inspection_started_at, 0)"
    case .inspectionFinishedAt: "COALESCE(inspection_finished_at, 0)"
    case .shard: "COALESCE(shard, '')"
    case .chassisUUID: "COALESCE(chassis_uuid, '')"
    case .parentNode: "COALESCE(parent_node, '')"
    case .allocationUUID: "COALESCE(allocation_uuid, '')"
    case .maintenanceReason: "COALESCE(maintenance_reason, '')"
    case .protectedReason: "COALESCE(protected_reason, '')"
    case .retiredReason: "COALESCE(retired_reason, '')"
    case .automatedClean: "COALESCE(automated_clean, FALSE)"
    case .bootMode: "COALESCE(boot_mode, '')"
    case .isSecureBoot: "COALESCE(is_secure_boot, FALSE)"
    }
  }
}

/// Which nodes a list shows, and where it begins. The scope narrows everything else.
public struct NodeFilter: Sendable {
  public var scope: NodePolicy.Scope
  public var uuid: String?
  public var owner: String?
  public var lessee: String?
  /// Owner or lessee.
  public var project: String?
  public var provisionState: String?
  public var resourceClass: String?
  public var driver: String?
  public var fault: String?
  public var conductorGroup: String?
  public var instanceUUID: String?
  public var descriptionContains: String?
  public var isRetired: Bool?
  public var isMaintenance: Bool?
  /// Has an instance.
  public var isAssociated: Bool?
  public var chassisUUID: String?
  /// In one of these.
  public var shards: [String]?
  /// Has a shard.
  public var isSharded: Bool?
  public var parentNode: String?
  /// Shows nodes that are parts of others too; without, they are shown by their ``parentNode`` only.
  public var includesChildren = true
  /// Asks for what no node here has (another conductor).
  public var matchesNothing = false

  public var paging = Paging(by: NodeSortKey.createdAt)

  public init(scope: NodePolicy.Scope) { self.scope = scope }

  func apply(to query: inout Query) {
    query.append("WHERE 1 = 1")
    switch scope {
    case .everything: break
    case .project(let id): query.append("AND (owner = ? OR lessee = ?)", .text(id), .text(id))
    case .nothing: query.append("AND 1 = 0")
    }
    if matchesNothing { query.append("AND 1 = 0") }
    if let uuid { query.append("AND uuid = ?", .text(uuid)) }
    if let owner { query.append("AND owner = ?", .text(owner)) }
    if let lessee { query.append("AND lessee = ?", .text(lessee)) }
    if let project { query.append("AND (owner = ? OR lessee = ?)", .text(project), .text(project)) }
    if let provisionState { query.append("AND provision_state = ?", .text(provisionState)) }
    if let resourceClass { query.append("AND resource_class = ?", .text(resourceClass)) }
    if let driver { query.append("AND driver = ?", .text(driver)) }
    if let fault { query.append("AND fault = ?", .text(fault)) }
    if let conductorGroup { query.append("AND conductor_group = ?", .text(conductorGroup)) }
    if let instanceUUID { query.append("AND instance_uuid = ?", .text(instanceUUID)) }
    if let descriptionContains {
      query.append("AND description LIKE ? ESCAPE '\\'", .text("%\(escaped(descriptionContains))%"))
    }
    if let isRetired { query.append("AND is_retired = ?", .bool(isRetired)) }
    if let isMaintenance { query.append("AND maintenance = ?", .bool(isMaintenance)) }
    if let isAssociated {
      query.append(
        isAssociated ? "AND instance_uuid IS NOT NULL" as StaticString : "AND instance_uuid IS NULL")
    }
    if let chassisUUID { query.append("AND chassis_uuid = ?", .text(chassisUUID)) }
    if let shards { query.appendIn("AND shard IN", shards.map { .text($0) }) }
    if let isSharded {
      query.append(isSharded ? "AND shard IS NOT NULL" as StaticString : "AND shard IS NULL")
    }
    if let parentNode {
      query.append("AND parent_node = ?", .text(parentNode))
    } else if !includesChildren {
      query.append("AND parent_node IS NULL")
    }
    query.append(paging, of: "nodes")
  }
  private func escaped(_ text: String) -> String {
    var out = ""
    for character in text {
      if character == "%" || character == "_" || character == "\\" { out.append("\\") }
      out.append(character)
    }
    return out
  }
}

/// The columns that an answer reads, in their order. Made once and kept: the text of the statement is most of the work.
public struct NodeSelection: Sendable {
  let query: Query
  private let columns: [NodeColumn]

  public init(_ columns: [NodeColumn]) {
    self.columns = columns
    query = Self.query(columns)
  }
  private static func query(_ columns: [NodeColumn], and sortKey: NodeSortKey? = nil) -> Query {
    var query = Query("SELECT")
    for (index, column) in columns.enumerated() {
      if index > 0 { query.append(",") }
      query.append(column.sql)
    }
    if let sortKey {
      query.append(",")
      query.append(sortKey.sql)
    }
    query.append("FROM nodes")
    return query
  }
  /// With one more column, and where that is.
  func query(sortedBy key: NodeSortKey) -> (Query, column: Int) { (Self.query(columns, and: key), columns.count) }
}

extension NodeStore {
  /// Hands each row of one part of a list to `body`: answers are written straight from rows, because a list of a thousand
  /// nodes must not become a thousand objects first. The first column of the selection must be the UUID.
  /// - Returns: where it ended, for the ``Paging/end`` of the next part; nil when no row was left.
  public static func rows(
    _ selection: NodeSelection, partOf filter: NodeFilter, in session: any Session,
    _ body: (borrowing Row) throws -> Void
  ) throws -> PageEnd? {
    var (query, sorted) = selection.query(sortedBy: filter.paging.key)
    filter.apply(to: &query)
    var end: PageEnd?
    _ = try session.query(query) { row in
      try body(row)
      end = PageEnd(value: row.value(sorted), uuid: row.text(0))
    }
    return end
  }
  /// Hands the row of one node to `body`, if there is one of this UUID or name.
  public static func row(
    _ selection: NodeSelection, of uuidOrName: String, in session: any Session, _ body: (borrowing Row) throws -> Void
  ) throws {
    var query = selection.query
    if Identifier.isUUID(uuidOrName) {
      query.append("WHERE uuid = ?", .text(uuidOrName.lowercased()))
    } else {
      query.append("WHERE name = ?", .text(uuidOrName))
    }
    _ = try session.query(query) { try body($0) }
  }
  /// The shards that nodes are in, and how many are in each; the largest first.
  public static func shards(in session: any Session) throws -> [(name: String, count: Int)] {
    try session.query(
      "SELECT shard, COUNT(*) FROM nodes WHERE shard IS NOT NULL GROUP BY shard ORDER BY COUNT(*) DESC, shard", []
    ) { ($0.text(0), $0.int(1)) }
  }
  /// How many discovered nodes wait for an administrator.
  public static func discoveredWaiting(in session: any Session) throws -> Int {
    try session.first(
      """
      SELECT COUNT(*) FROM nodes WHERE provision_state = 'enroll' AND driver_internal_info LIKE '%"discovered":{%'
      """, []
    ) { $0.int(0) } ?? 0
  }
  /// The parts of a node.
  public static func children(of uuid: String, in session: any Session) throws -> [Node] {
    try list(in: session) { $0.append("WHERE parent_node = ? ORDER BY created_at, uuid", .text(uuid)) }
  }
  /// The nodes that a project's servers may be put on: those that it leases, or owns and nobody leases; in the order they were
  /// made, whatever their state.
  /// - Parameters:
  ///   - named: the administrator's choice, by name or UUID, whoever has it.
  ///   - includingUnowned: those of nobody, too.
  public static func usable(
    project: String, named: String?, includingUnowned: Bool, in session: any Session
  ) throws -> [Node] {
    try list(in: session) { query in
      query.append("WHERE (lessee = ? OR (owner = ? AND lessee IS NULL)", .text(project), .text(project))
      if includingUnowned { query.append("OR (owner IS NULL AND lessee IS NULL)") }
      if let named { query.append("OR uuid = ? OR name = ?", .text(named), .text(named)) }
      query.append(") ORDER BY created_at, uuid")
    }
  }
  public static func count(in session: any Session) throws -> Int {
    try session.first("SELECT COUNT(*) FROM nodes", []) { $0.int(0) } ?? 0
  }
  /// The nodes that an allocation may take, oldest first: available, powered, whole, and held by nobody, but for a
  /// change of its power.
  public static func allocatable(resourceClass: String, candidates: [String], in session: any Session) throws -> [Node]
  {
    try list(in: session) { query in
      query.append(
        """
        WHERE provision_state = 'available' AND instance_uuid IS NULL AND maintenance = ? AND is_retired = ? \
        AND power_state IS NOT NULL AND (reservation IS NULL OR target_power_state IS NOT NULL) AND resource_class = ?
        """, .bool(false), .bool(false), .text(resourceClass))
      if !candidates.isEmpty { query.appendIn("AND uuid IN", candidates.map { .text($0) }) }
      query.append("ORDER BY created_at, uuid")
    }
  }
}
