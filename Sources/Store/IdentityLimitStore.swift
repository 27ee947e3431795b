import Domain
import Wire

/// How much of what projects may have.
public enum LimitStore {
  private static func registered(_ row: borrowing Row, from first: Int = 0) -> RegisteredLimit {
    RegisteredLimit(
      id: row.text(first), serviceID: row.text(first + 1), regionID: row.optionalText(first + 2),
      resourceName: row.text(first + 3), defaultLimit: row.int(first + 4), description: row.optionalText(first + 5))
  }
  public static func registered(
    service: String? = nil, region: String? = nil, resource: String? = nil, in session: any Session
  ) throws -> [RegisteredLimit] {
    var query = Query(
      """
      SELECT id, service_id, region_id, resource_name, default_limit, description FROM identity_registered_limits \
      WHERE 1 = 1
      """)
    if let service { query.append("AND service_id = ?", .text(service)) }
    if let region { query.append("AND region_id = ?", .text(region)) }
    if let resource { query.append("AND resource_name = ?", .text(resource)) }
    query.append("ORDER BY resource_name, service_id, id")
    return try session.query(query) { registered($0) }
  }
  public static func registered(_ id: String, in session: any Session) throws -> RegisteredLimit? {
    try session.first(
      """
      SELECT id, service_id, region_id, resource_name, default_limit, description FROM identity_registered_limits \
      WHERE id = $1
      """, [.text(id)]
    ) { registered($0) }
  }
  /// The one for exactly this service, region (or none) and resource.
  public static func registered(
    for service: String, _ region: String?, _ resource: String, in session: any Session
  ) throws -> RegisteredLimit? {
    try session.first(
      """
      SELECT id, service_id, region_id, resource_name, default_limit, description FROM identity_registered_limits \
      WHERE service_id = $1 AND COALESCE(region_id, '') = $2 AND resource_name = $3
      """, [.text(service), .text(region ?? ""), .text(resource)]
    ) { registered($0) }
  }
  /// - Throws: ``StoreError`` `.conflict` when there is one for the same service, region and resource.
  public static func insert(_ limit: RegisteredLimit, in session: any Session) throws {
    try session.execute(
      """
      INSERT INTO identity_registered_limits (id, service_id, region_id, resource_name, default_limit, description) \
      VALUES ($1, $2, $3, $4, $5, $6)
      """,
      [
        .text(limit.id), .text(limit.serviceID), Value(limit.regionID), .text(limit.resourceName),
        .int(limit.defaultLimit), Value(limit.description),
      ])
  }
  public static func update(_ limit: RegisteredLimit, in session: any Session) throws {
    try session.execute(
      """
      UPDATE identity_registered_limits SET service_id = $1, region_id = $2, resource_name = $3, default_limit = $4, \
      description = $5 WHERE id = $6
      """,
      [
        .text(limit.serviceID), Value(limit.regionID), .text(limit.resourceName), .int(limit.defaultLimit),
        Value(limit.description), .text(limit.id),
      ])
  }
  public static func deleteRegistered(_ id: String, in session: any Session) throws {
    try session.execute("DELETE FROM identity_registered_limits WHERE id = $1", [.text(id)])
  }
  /// Whether projects have limits of their own for it.
  public static func isUsed(_ id: String, in session: any Session) throws -> Bool {
    try session.exists("SELECT 1 FROM identity_limits WHERE registered_limit_id = $1 LIMIT 1", [.text(id)])
  }
  public static func isUsed(service: String, in session: any Session) throws -> Bool {
    try session.exists("SELECT 1 FROM identity_registered_limits WHERE service_id = $1 LIMIT 1", [.text(service)])
  }

  private static func limit(_ row: borrowing Row) -> Limit {
    Limit(
      id: row.text(0), registered: registered(row, from: 5), projectID: row.text(1), isForDomain: row.bool(2),
      resourceLimit: row.int(3), description: row.optionalText(4))
  }
  private static let columns: StaticString =
    """
    SELECT l.id, l.project_id, p.is_domain, l.resource_limit, l.description, r.id, r.service_id, r.region_id, \
    r.resource_name, r.default_limit, r.description FROM identity_limits l \
    JOIN identity_registered_limits r ON r.id = l.registered_limit_id JOIN identity_projects p ON p.id = l.project_id
    """
  /// - Parameter domain: only those of the domain and of the projects in it.
  public static func list(
    service: String? = nil, region: String? = nil, resource: String? = nil, project: String? = nil,
    domain: String? = nil, in session: any Session
  ) throws -> [Limit] {
    var query = Query(columns)
    query.append("WHERE 1 = 1")
    if let service { query.append("AND r.service_id = ?", .text(service)) }
    if let region { query.append("AND r.region_id = ?", .text(region)) }
    if let resource { query.append("AND r.resource_name = ?", .text(resource)) }
    if let project { query.append("AND l.project_id = ?", .text(project)) }
    if let domain { query.append("AND (p.id = ? OR p.domain_id = ?)", .text(domain), .text(domain)) }
    query.append("ORDER BY r.resource_name, l.project_id, l.id")
    return try session.query(query) { limit($0) }
  }
  public static func get(_ id: String, in session: any Session) throws -> Limit? {
    var query = Query(columns)
    query.append("WHERE l.id = ?", .text(id))
    return try session.query(query) { limit($0) }.first
  }
  /// - Throws: ``StoreError`` `.conflict` when the project has one already.
  public static func insert(_ limit: Limit, in session: any Session) throws {
    try session.execute(
      """
      INSERT INTO identity_limits (id, registered_limit_id, project_id, resource_limit, description) \
      VALUES ($1, $2, $3, $4, $5)
      """,
      [
        .text(limit.id), .text(limit.registered.id), .text(limit.projectID), .int(limit.resourceLimit),
        Value(limit.description),
      ])
  }
  public static func update(_ limit: Limit, in session: any Session) throws {
    try session.execute(
      "UPDATE identity_limits SET resource_limit = $1, description = $2 WHERE id = $3",
      [.int(limit.resourceLimit), Value(limit.description), .text(limit.id)])
  }
  public static func delete(_ id: String, in session: any Session) throws {
    try session.execute("DELETE FROM identity_limits WHERE id = $1", [.text(id)])
  }
}
