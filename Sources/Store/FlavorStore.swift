import Domain
import Wire

/// Flavors and the projects that may use those that are not public.
public enum FlavorStore {
  /// The flavors that `narrow` leaves (it appends `WHERE …`): two statements.
  public static func list(in session: any Session, _ narrow: (inout Query) -> Void = { _ in }) throws -> [Flavor] {
    var query = Query(
      """
      SELECT id, name, memory, vcpus, disk, ephemeral, swap, rxtx_factor, is_public, description, extra_specs, created_at, updated_at \
      FROM flavors
      """)
    narrow(&query)
    var flavors = try session.query(query) { row in
      var flavor = Flavor(
        id: row.text(0), name: row.text(1), memory: row.int(2), vcpus: row.int(3), disk: row.int(4),
        createdAt: row.time(11))
      flavor.ephemeral = row.int(5)
      flavor.swap = row.int(6)
      flavor.rxtxFactor = row.real(7)
      flavor.isPublic = row.bool(8)
      flavor.description = row.optionalText(9)
      flavor.extraSpecs = row.object(10)
      flavor.updatedAt = row.optionalTime(12)
      return flavor
    }
    if flavors.isEmpty { return [] }
    let rows = try session.query(
      "SELECT flavor_id, project_id FROM flavor_projects ORDER BY project_id", []
    ) { ($0.text(0), $0.text(1)) }
    let projects = Dictionary(grouping: rows, by: \.0)
    for index in flavors.indices { flavors[index].projectIDs = projects[flavors[index].id]?.map(\.1) ?? [] }
    return flavors
  }
  public static func get(_ id: String, in session: any Session) throws -> Flavor? {
    try list(in: session) { $0.append("WHERE id = ?", .text(id)) }.first
  }
  /// - Throws: ``StoreError`` `.conflict` when the id or name is taken.
  public static func insert(_ flavor: Flavor, in session: any Session) throws {
    try session.execute(
      """
      INSERT INTO flavors (id, name, memory, vcpus, disk, ephemeral, swap, rxtx_factor, is_public, description, extra_specs, created_at) \
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
      """,
      [
        .text(flavor.id), .text(flavor.name), .int(flavor.memory), .int(flavor.vcpus), .int(flavor.disk),
        .int(flavor.ephemeral), .int(flavor.swap), .real(flavor.rxtxFactor), .bool(flavor.isPublic),
        Value(flavor.description), Value(flavor.extraSpecs), Value(flavor.createdAt),
      ])
  }
  /// Writes the description and the extra specs: the rest of a flavor never changes.
  public static func update(_ flavor: Flavor, at now: Timestamp, in session: any Session) throws {
    try session.execute(
      "UPDATE flavors SET description = $1, extra_specs = $2, updated_at = $3 WHERE id = $4",
      [Value(flavor.description), Value(flavor.extraSpecs), Value(now), .text(flavor.id)])
  }
  public static func delete(_ id: String, in session: any Session) throws {
    try session.execute("DELETE FROM flavors WHERE id = $1", [.text(id)])
  }
  /// - Returns: false when the project had access.
  public static func addProject(_ project: String, to id: String, in session: any Session) throws -> Bool {
    try session.execute(
      "INSERT INTO flavor_projects (flavor_id, project_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
      [.text(id), .text(project)]) > 0
  }
  /// - Returns: false when the project had none.
  public static func removeProject(_ project: String, from id: String, in session: any Session) throws -> Bool {
    try session.execute(
      "DELETE FROM flavor_projects WHERE flavor_id = $1 AND project_id = $2", [.text(id), .text(project)]) > 0
  }
}
