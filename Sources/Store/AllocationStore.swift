import Domain
import Wire

public enum AllocationStore {
  private static func allocation(_ row: borrowing Row) -> Allocation {
    var allocation = Allocation(uuid: row.text(0), createdAt: row.time(10))
    allocation.name = row.optionalText(1)
    allocation.nodeUUID = row.optionalText(2)
    allocation.state = Allocation.State(rawValue: row.text(3)) ?? .error
    allocation.resourceClass = row.optionalText(4)
    allocation.candidateNodes = row.strings(5)
    allocation.traits = row.strings(6)
    allocation.owner = row.optionalText(7)
    allocation.lastError = row.optionalText(8)
    allocation.extra = row.object(9)
    allocation.updatedAt = row.optionalTime(11)
    return allocation
  }
  public static func list(in session: any Session, _ narrow: (inout Query) -> Void = { _ in }) throws -> [Allocation] {
    var query = Query(
      """
      SELECT uuid, name, node_uuid, state, resource_class, candidate_nodes, traits, owner, last_error, extra, created_at, updated_at \
      FROM allocations
      """)
    narrow(&query)
    return try session.query(query) { allocation($0) }
  }
  public static func find(_ uuidOrName: String, in session: any Session) throws -> Allocation? {
    try list(in: session) { query in
      if Identifier.isUUID(uuidOrName) {
        query.append("WHERE uuid = ?", .text(uuidOrName.lowercased()))
      } else {
        query.append("WHERE name = ?", .text(uuidOrName))
      }
    }.first
  }
  /// - Throws: ``StoreError`` `.conflict` when the name is taken or the node already has an allocation.
  public static func insert(_ allocation: Allocation, in session: any Session) throws {
    try session.execute(
      """
      INSERT INTO allocations (uuid, name, node_uuid, state, resource_class, candidate_nodes, traits, owner, last_error, extra, created_at) \
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
      """,
      [
        .text(allocation.uuid), Value(allocation.name), Value(allocation.nodeUUID), .text(allocation.state.rawValue),
        Value(allocation.resourceClass), Value(allocation.candidateNodes), Value(allocation.traits),
        Value(allocation.owner),
        Value(allocation.lastError), Value(allocation.extra), Value(allocation.createdAt),
      ])
  }
  public static func update(_ allocation: Allocation, in session: any Session) throws {
    try session.execute(
      "UPDATE allocations SET name = $1, node_uuid = $2, state = $3, last_error = $4, extra = $5, updated_at = $6 WHERE uuid = $7",
      [
        Value(allocation.name), Value(allocation.nodeUUID), .text(allocation.state.rawValue),
        Value(allocation.lastError),
        Value(allocation.extra), Value(allocation.updatedAt), .text(allocation.uuid),
      ])
  }
  public static func delete(_ uuid: String, in session: any Session) throws {
    try session.execute("DELETE FROM allocations WHERE uuid = $1", [.text(uuid)])
  }
}
