import Domain
import Wire

/// Kinds of volumes, and the projects that may use those that are not everybody's.
public enum VolumeTypeStore {
  private static func type(_ row: borrowing Row) -> VolumeType {
    var type = VolumeType(id: row.text(0), name: row.text(1), isPublic: row.bool(3), createdAt: row.time(5))
    type.description = row.optionalText(2)
    type.extraSpecs = row.object(4)
    return type
  }
  /// - Parameter project: only what this project may use; nil is all of them.
  public static func list(visibleTo project: String?, in session: any Session) throws -> [VolumeType] {
    var query = Query("SELECT id, name, description, is_public, extra_specs, created_at FROM volume_types")
    if let project {
      query.append(
        "WHERE is_public = 1 OR id IN (SELECT type_id FROM volume_type_access WHERE project_id = ?)", .text(project))
    }
    query.append("ORDER BY created_at DESC, id DESC")
    return try session.query(query) { type($0) }
  }
  public static func get(_ id: String, in session: any Session) throws -> VolumeType? {
    try session.first(
      "SELECT id, name, description, is_public, extra_specs, created_at FROM volume_types WHERE id = $1", [.text(id)]
    ) { type($0) }
  }
  public static func named(_ name: String, in session: any Session) throws -> VolumeType? {
    try session.first(
      "SELECT id, name, description, is_public, extra_specs, created_at FROM volume_types WHERE name = $1",
      [.text(name)]
    ) { type($0) }
  }
  /// - Throws: ``StoreError`` `.conflict` when the name is taken.
  public static func insert(_ type: VolumeType, in session: any Session) throws {
    try session.execute(
      """
      INSERT INTO volume_types (id, name, description, is_public, extra_specs, created_at) VALUES ($1, $2, $3, $4, $5, $6)
      """,
      [
        .text(type.id), .text(type.name), Value(type.description), .bool(type.isPublic), Value(type.extraSpecs),
        Value(type.createdAt),
      ])
  }
  /// - Throws: ``StoreError`` `.conflict` when the name is taken.
  public static func update(_ type: VolumeType, in session: any Session) throws {
    try session.execute(
      "UPDATE volume_types SET name = $1, description = $2, is_public = $3, extra_specs = $4 WHERE id = $5",
      [.text(type.name), Value(type.description), .bool(type.isPublic), Value(type.extraSpecs), .text(type.id)])
  }
  /// - Throws: ``StoreError`` `.conflict` while a volume is of it.
  public static func delete(_ id: String, in session: any Session) throws {
    try session.execute("DELETE FROM volume_types WHERE id = $1", [.text(id)])
  }
  /// The type of volumes for which none is named; made on first use.
  public static func ensureDefault(at now: Timestamp, in session: any Session) throws -> VolumeType {
    if let known = try named(VolumeType.defaultName, in: session) { return known }
    var type = VolumeType(name: VolumeType.defaultName, createdAt: now)
    type.description = "Default Volume Type"
    try insert(type, in: session)
    return type
  }

  public static func projects(of id: String, in session: any Session) throws -> [String] {
    try session.query(
      "SELECT project_id FROM volume_type_access WHERE type_id = $1 ORDER BY project_id", [.text(id)]
    ) { $0.text(0) }
  }
  /// - Throws: ``StoreError`` `.conflict` when it may already.
  public static func allow(_ project: String, to id: String, in session: any Session) throws {
    try session.execute(
      "INSERT INTO volume_type_access (type_id, project_id) VALUES ($1, $2)", [.text(id), .text(project)])
  }
  /// - Returns: false when the project might not.
  public static func deny(_ project: String, to id: String, in session: any Session) throws -> Bool {
    try session.execute(
      "DELETE FROM volume_type_access WHERE type_id = $1 AND project_id = $2", [.text(id), .text(project)]) > 0
  }
}
