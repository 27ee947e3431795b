import Domain
import Wire

public enum ChassisSortKey: String, SortKey {
  case uuid, description
  case createdAt = "created_at"
  case updatedAt = "updated_at"

  public var sql: StaticString {
    switch self {
    case .uuid: "uuid"
    case .description: "COALESCE(description, '')"
    case .createdAt: "created_at"
    case .updatedAt: "COALESCE(updated_at, 0)"
    }
  }
}

public enum ChassisStore {
  private static func chassis(_ row: borrowing Row) -> Chassis {
    var chassis = Chassis(uuid: row.text(0), createdAt: row.time(3))
    chassis.description = row.optionalText(1)
    chassis.extra = row.object(2)
    chassis.updatedAt = row.optionalTime(4)
    return chassis
  }
  public static func list(_ paging: Paging<ChassisSortKey>, in session: any Session) throws -> [Chassis] {
    var query = Query("SELECT uuid, description, extra, created_at, updated_at FROM chassis WHERE 1 = 1")
    query.append(paging, of: "chassis")
    return try session.query(query) { chassis($0) }
  }
  public static func get(_ uuid: String, in session: any Session) throws -> Chassis? {
    try session.first(
      "SELECT uuid, description, extra, created_at, updated_at FROM chassis WHERE uuid = $1", [.text(uuid)]
    ) { chassis($0) }
  }
  public static func hasNodes(_ uuid: String, in session: any Session) throws -> Bool {
    try session.exists("SELECT 1 FROM nodes WHERE chassis_uuid = $1 LIMIT 1", [.text(uuid)])
  }

  /// - Throws: ``StoreError`` `.conflict` when the UUID is taken.
  public static func insert(_ chassis: Chassis, in session: any Session) throws {
    try session.execute(
      "INSERT INTO chassis (uuid, description, extra, created_at) VALUES ($1, $2, $3, $4)",
      [.text(chassis.uuid), Value(chassis.description), Value(chassis.extra), Value(chassis.createdAt)])
  }
  public static func update(_ chassis: Chassis, in session: any Session) throws {
    try session.execute(
      "UPDATE chassis SET description = $1, extra = $2, updated_at = $3 WHERE uuid = $4",
      [Value(chassis.description), Value(chassis.extra), Value(chassis.updatedAt), .text(chassis.uuid)])
  }
  public static func delete(_ uuid: String, in session: any Session) throws {
    try session.execute("DELETE FROM chassis WHERE uuid = $1", [.text(uuid)])
  }
}
