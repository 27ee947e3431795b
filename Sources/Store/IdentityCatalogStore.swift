import Domain
import Wire

/// Regions of the catalog.
public enum RegionStore {
  private static func region(_ row: borrowing Row) -> Region {
    Region(id: row.text(0), parentID: row.optionalText(1), description: row.text(2), extra: row.object(3))
  }
  public static func list(in session: any Session) throws -> [Region] {
    try session.query("SELECT id, parent_id, description, extra FROM identity_regions ORDER BY id", []) { region($0) }
  }
  public static func get(_ id: String, in session: any Session) throws -> Region? {
    try session.first("SELECT id, parent_id, description, extra FROM identity_regions WHERE id = $1", [.text(id)]) {
      region($0)
    }
  }
  /// - Throws: ``StoreError`` `.conflict` when there is one of this id.
  public static func insert(_ region: Region, in session: any Session) throws {
    try session.execute(
      "INSERT INTO identity_regions (id, parent_id, description, extra) VALUES ($1, $2, $3, $4)",
      [.text(region.id), Value(region.parentID), .text(region.description), Value(region.extra)])
  }
  public static func update(_ region: Region, in session: any Session) throws {
    try session.execute(
      "UPDATE identity_regions SET parent_id = $1, description = $2, extra = $3 WHERE id = $4",
      [Value(region.parentID), .text(region.description), Value(region.extra), .text(region.id)])
  }
  /// The region and those inside it, itself first.
  public static func subtree(of id: String, in session: any Session) throws -> [String] {
    try session.query(
      """
      WITH RECURSIVE below (id, depth) AS (SELECT id, 0 FROM identity_regions WHERE id = $1 \
      UNION ALL SELECT r.id, below.depth + 1 FROM identity_regions r JOIN below ON r.parent_id = below.id \
      WHERE below.depth < 64) SELECT id FROM below ORDER BY depth
      """, [.text(id)]
    ) { $0.text(0) }
  }
  /// Whether endpoints or limits name the region or one inside it.
  public static func isUsed(_ id: String, in session: any Session) throws -> Bool {
    try session.exists(
      """
      WITH RECURSIVE below (id) AS (SELECT id FROM identity_regions WHERE id = $1 \
      UNION SELECT r.id FROM identity_regions r JOIN below ON r.parent_id = below.id) \
      SELECT 1 FROM below WHERE id IN (SELECT region_id FROM identity_endpoints) \
      OR id IN (SELECT region_id FROM identity_registered_limits) LIMIT 1
      """, [.text(id)])
  }
  /// Deletes the region and those inside it.
  public static func delete(_ id: String, in session: any Session) throws {
    for region in try subtree(of: id, in: session).reversed() {
      try session.execute("DELETE FROM identity_regions WHERE id = $1", [.text(region)])
    }
  }
}

/// Services and endpoints that administrators added.
public enum CatalogStore {
  private static func service(_ row: borrowing Row) -> CatalogService {
    CatalogService(
      id: row.text(0), type: row.text(1), name: row.optionalText(2), description: row.optionalText(3),
      isEnabled: row.bool(4), extra: row.object(5))
  }
  private static func endpoint(_ row: borrowing Row) -> CatalogEndpoint {
    CatalogEndpoint(
      id: row.text(0), serviceID: row.text(1),
      interface: CatalogEndpoint.Interface(rawValue: row.text(2)) ?? .public, regionID: row.optionalText(3),
      url: row.text(4), isEnabled: row.bool(5), extra: row.object(6))
  }
  public static func services(in session: any Session) throws -> [CatalogService] {
    try session.query(
      "SELECT id, type, name, description, is_enabled, extra FROM identity_services ORDER BY type, name, id", []
    ) { service($0) }
  }
  public static func insert(_ service: CatalogService, in session: any Session) throws {
    try session.execute(
      "INSERT INTO identity_services (id, type, name, description, is_enabled, extra) VALUES ($1, $2, $3, $4, $5, $6)",
      [
        .text(service.id), .text(service.type), Value(service.name), Value(service.description),
        .bool(service.isEnabled), Value(service.extra),
      ])
  }
  public static func update(_ service: CatalogService, in session: any Session) throws {
    try session.execute(
      """
      UPDATE identity_services SET type = $1, name = $2, description = $3, is_enabled = $4, extra = $5 WHERE id = $6
      """,
      [
        .text(service.type), Value(service.name), Value(service.description), .bool(service.isEnabled),
        Value(service.extra), .text(service.id),
      ])
  }
  /// Deletes the service and its endpoints.
  public static func deleteService(_ id: String, in session: any Session) throws {
    try session.execute(
      """
      DELETE FROM identity_project_endpoints WHERE endpoint_id IN \
      (SELECT id FROM identity_endpoints WHERE service_id = $1)
      """, [.text(id)])
    try session.execute("DELETE FROM identity_endpoints WHERE service_id = $1", [.text(id)])
    try session.execute("DELETE FROM identity_services WHERE id = $1", [.text(id)])
  }

  public static func endpoints(in session: any Session) throws -> [CatalogEndpoint] {
    try session.query(
      """
      SELECT id, service_id, interface, region_id, url, is_enabled, extra FROM identity_endpoints \
      ORDER BY service_id, region_id, interface, id
      """, []
    ) { endpoint($0) }
  }
  public static func insert(_ endpoint: CatalogEndpoint, in session: any Session) throws {
    try session.execute(
      """
      INSERT INTO identity_endpoints (id, service_id, interface, region_id, url, is_enabled, extra) \
      VALUES ($1, $2, $3, $4, $5, $6, $7)
      """,
      [
        .text(endpoint.id), .text(endpoint.serviceID), .text(endpoint.interface.rawValue), Value(endpoint.regionID),
        .text(endpoint.url), .bool(endpoint.isEnabled), Value(endpoint.extra),
      ])
  }
  public static func update(_ endpoint: CatalogEndpoint, in session: any Session) throws {
    try session.execute(
      """
      UPDATE identity_endpoints SET service_id = $1, interface = $2, region_id = $3, url = $4, is_enabled = $5, extra = $6 \
      WHERE id = $7
      """,
      [
        .text(endpoint.serviceID), .text(endpoint.interface.rawValue), Value(endpoint.regionID), .text(endpoint.url),
        .bool(endpoint.isEnabled), Value(endpoint.extra), .text(endpoint.id),
      ])
  }
  public static func deleteEndpoint(_ id: String, in session: any Session) throws {
    try session.execute("DELETE FROM identity_project_endpoints WHERE endpoint_id = $1", [.text(id)])
    try session.execute("DELETE FROM identity_endpoints WHERE id = $1", [.text(id)])
  }
}

/// Which endpoints a project is shown, one by one and by groups.
public enum EndpointFilterStore {
  private static func group(_ row: borrowing Row) -> EndpointGroup {
    EndpointGroup(
      id: row.text(0), name: row.text(1), description: row.optionalText(2), filters: row.object(3))
  }
  public static func groups(in session: any Session) throws -> [EndpointGroup] {
    try session.query("SELECT id, name, description, filters FROM identity_endpoint_groups ORDER BY name, id", []) {
      group($0)
    }
  }
  public static func group(_ id: String, in session: any Session) throws -> EndpointGroup? {
    try session.first(
      "SELECT id, name, description, filters FROM identity_endpoint_groups WHERE id = $1", [.text(id)]
    ) { group($0) }
  }
  public static func insert(_ group: EndpointGroup, in session: any Session) throws {
    try session.execute(
      "INSERT INTO identity_endpoint_groups (id, name, description, filters) VALUES ($1, $2, $3, $4)",
      [.text(group.id), .text(group.name), Value(group.description), Value(group.filters)])
  }
  public static func update(_ group: EndpointGroup, in session: any Session) throws {
    try session.execute(
      "UPDATE identity_endpoint_groups SET name = $1, description = $2, filters = $3 WHERE id = $4",
      [.text(group.name), Value(group.description), Value(group.filters), .text(group.id)])
  }
  public static func deleteGroup(_ id: String, in session: any Session) throws {
    try session.execute("DELETE FROM identity_endpoint_groups WHERE id = $1", [.text(id)])
  }

  /// Endpoints by project.
  public static func endpointsByProject(in session: any Session) throws -> [String: Set<String>] {
    let pairs = try session.query("SELECT project_id, endpoint_id FROM identity_project_endpoints", []) {
      ($0.text(0), $0.text(1))
    }
    return Dictionary(grouping: pairs, by: \.0).mapValues { Set($0.map(\.1)) }
  }
  /// Endpoint groups by project.
  public static func groupsByProject(in session: any Session) throws -> [String: Set<String>] {
    let pairs = try session.query("SELECT project_id, group_id FROM identity_project_endpoint_groups", []) {
      ($0.text(0), $0.text(1))
    }
    return Dictionary(grouping: pairs, by: \.0).mapValues { Set($0.map(\.1)) }
  }
  public static func add(endpoint: String, to project: String, in session: any Session) throws {
    try session.execute(
      "INSERT INTO identity_project_endpoints (project_id, endpoint_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
      [.text(project), .text(endpoint)])
  }
  /// - Returns: false when it was not there.
  public static func remove(endpoint: String, from project: String, in session: any Session) throws -> Bool {
    try session.execute(
      "DELETE FROM identity_project_endpoints WHERE project_id = $1 AND endpoint_id = $2",
      [.text(project), .text(endpoint)]) > 0
  }
  public static func add(group: String, to project: String, in session: any Session) throws {
    try session.execute(
      "INSERT INTO identity_project_endpoint_groups (project_id, group_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
      [.text(project), .text(group)])
  }
  /// - Returns: false when it was not there.
  public static func remove(group: String, from project: String, in session: any Session) throws -> Bool {
    try session.execute(
      "DELETE FROM identity_project_endpoint_groups WHERE project_id = $1 AND group_id = $2",
      [.text(project), .text(group)]) > 0
  }
}

/// Documents that services keep in the identity service; it does not read them.
/// Source: Identity API reference v3, "Policies".
public enum PolicyDocumentStore {
  public struct Document: Sendable, Equatable {
    public var id: String
    /// Media type of `content`.
    public var type: String
    public var content: JSON
    public var extra: JSONObject
    public init(id: String, type: String, content: JSON, extra: JSONObject = [:]) {
      self.id = id
      self.type = type
      self.content = content
      self.extra = extra
    }
  }
  private static func document(_ row: borrowing Row) -> Document {
    Document(id: row.text(0), type: row.text(1), content: row.json(2), extra: row.object(3))
  }
  public static func list(type: String?, in session: any Session) throws -> [Document] {
    var query = Query("SELECT id, type, content, extra FROM identity_policies")
    if let type { query.append("WHERE type = ?", .text(type)) }
    query.append("ORDER BY id")
    return try session.query(query) { document($0) }
  }
  public static func get(_ id: String, in session: any Session) throws -> Document? {
    try session.first("SELECT id, type, content, extra FROM identity_policies WHERE id = $1", [.text(id)]) {
      document($0)
    }
  }
  public static func insert(_ document: Document, in session: any Session) throws {
    try session.execute(
      "INSERT INTO identity_policies (id, type, content, extra) VALUES ($1, $2, $3, $4)",
      [.text(document.id), .text(document.type), Value(document.content), Value(document.extra)])
  }
  public static func update(_ document: Document, in session: any Session) throws {
    try session.execute(
      "UPDATE identity_policies SET type = $1, content = $2, extra = $3 WHERE id = $4",
      [.text(document.type), Value(document.content), Value(document.extra), .text(document.id)])
  }
  /// - Returns: false when it was not there.
  public static func delete(_ id: String, in session: any Session) throws -> Bool {
    try session.execute("DELETE FROM identity_policies WHERE id = $1", [.text(id)]) > 0
  }
}
