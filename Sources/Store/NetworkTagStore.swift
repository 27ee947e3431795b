/// Tags of whatever the networking service keeps. Ids are unique over all of it, so one table serves.
public enum NetworkTagStore {
  /// In ascending order, by resource.
  public static func tags(of ids: [String], in session: any Session) throws -> [String: [String]] {
    var tags: [String: [String]] = [:]
    let rows = try session.queryMany(
      "SELECT resource_id, tag FROM network_tags", "resource_id", ids, order: "ORDER BY tag"
    ) {
      ($0.text(0), $0.text(1))
    }
    for (resource, tag) in rows { tags[resource, default: []].append(tag) }
    return tags
  }
  /// Replaces all tags of a resource.
  public static func set(_ tags: [String], of id: String, in session: any Session) throws {
    try session.execute("DELETE FROM network_tags WHERE resource_id = $1", [.text(id)])
    for tag in Set(tags) {
      try session.execute("INSERT INTO network_tags (resource_id, tag) VALUES ($1, $2)", [.text(id), .text(tag)])
    }
  }
  static func remove(ofSubnetsOf network: String, in session: any Session) throws {
    try session.execute(
      "DELETE FROM network_tags WHERE resource_id IN (SELECT id FROM subnets WHERE network_id = $1)", [.text(network)])
  }
}
