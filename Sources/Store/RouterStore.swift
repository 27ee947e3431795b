import Domain
import Wire

/// Routers and the ports that are theirs.
public enum RouterStore {
  private static func router(_ row: borrowing Row) -> Router {
    Router(
      id: row.text(0), projectID: row.text(1), name: row.text(2), description: row.text(3), isAdminStateUp: row.bool(4),
      status: Router.Status(rawValue: row.text(5)) ?? .error, isSNATEnabled: row.bool(6), isNextHopWatched: row.bool(7),
      areNextHopsShared: row.bool(8), routes: routes(row.json(9)), revision: row.int(10), createdAt: row.time(11),
      updatedAt: row.time(12))
  }
  private static func routes(_ json: JSON) -> [Router.Route] {
    (json.array ?? []).compactMap { route in
      guard let destination = route["destination"]?.string.flatMap({ CIDR($0) }),
        let nextHop = route["nexthop"]?.string.flatMap({ IPAddress($0) })
      else { return nil }
      return Router.Route(destination: destination, nextHop: nextHop)
    }
  }

  /// The routers that `narrow` leaves (it appends `WHERE …`, `ORDER BY …`), with their ports and tags: four statements.
  public static func list(in session: any Session, _ narrow: (inout Query) -> Void = { _ in }) throws -> [Router] {
    var query = Query(
      """
      SELECT id, project_id, name, description, is_admin_state_up, status, is_snat_enabled, is_next_hop_watched, \
      are_next_hops_shared, routes, revision, created_at, updated_at FROM routers
      """)
    narrow(&query)
    var routers = try session.query(query) { router($0) }
    if routers.isEmpty { return [] }
    let ids = routers.map(\.id)
    let tags = try NetworkTagStore.tags(of: ids, in: session)
    let attachments = try attachments(of: ids, in: session)
    for index in routers.indices {
      routers[index].tags = tags[routers[index].id] ?? []
      routers[index].attachments = attachments[routers[index].id] ?? []
    }
    return routers
  }
  public static func get(_ id: String, in session: any Session) throws -> Router? {
    try list(in: session) { $0.append("WHERE id = ?", .text(id)) }.first
  }

  private static func attachments(
    of ids: [String], in session: any Session
  ) throws -> [String: [Router.Attachment]] {
    let rows = try session.queryMany(
      """
      SELECT r.router_id, r.port_id, r.kind, p.network_id, p.mac_address FROM router_ports r \
      JOIN network_ports p ON p.id = r.port_id
      """, "r.router_id", ids, order: "ORDER BY r.router_id, r.position"
    ) { row -> (String, Router.Attachment)? in
      Router.Attachment.Kind(rawValue: row.text(2)).map {
        (
          row.text(0),
          Router.Attachment(
            portID: row.text(1), kind: $0, networkID: row.text(3), macAddress: row.text(4), fixedIPs: [])
        )
      }
    }.compactMap { $0 }
    let addresses = try NetworkPortStore.addresses(of: rows.map(\.1.portID), in: session)
    var out: [String: [Router.Attachment]] = [:]
    for (router, attachment) in rows {
      var whole = attachment
      whole.fixedIPs = addresses[attachment.portID] ?? []
      out[router, default: []].append(whole)
    }
    return out
  }

  private static func stored(_ router: Router) -> [Value] {
    [
      .text(router.name), .text(router.description), .bool(router.isAdminStateUp), .text(router.status.rawValue),
      .bool(router.isSNATEnabled), .bool(router.isNextHopWatched), .bool(router.areNextHopsShared),
      Value(
        JSON.array(
          router.routes.map {
            ["destination": .string($0.destination.description), "nexthop": .string($0.nextHop.description)]
          })),
      .int(router.revision), Value(router.updatedAt), .text(router.id),
    ]
  }
  /// Without its ports: ``attach(_:as:to:in:)``.
  public static func insert(_ router: Router, in session: any Session) throws {
    try session.execute(
      """
      INSERT INTO routers (name, description, is_admin_state_up, status, is_snat_enabled, is_next_hop_watched, \
      are_next_hops_shared, routes, revision, updated_at, id, project_id, created_at) \
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
      """, stored(router) + [.text(router.projectID), Value(router.createdAt)])
    try NetworkTagStore.set(router.tags, of: router.id, in: session)
  }
  /// Writes what may change but ports and tags, and counts the revision up.
  public static func update(_ router: inout Router, at now: Timestamp, in session: any Session) throws {
    router.revision += 1
    router.updatedAt = now
    try session.execute(
      """
      UPDATE routers SET name = $1, description = $2, is_admin_state_up = $3, status = $4, is_snat_enabled = $5, \
      is_next_hop_watched = $6, are_next_hops_shared = $7, routes = $8, revision = $9, updated_at = $10 WHERE id = $11
      """, stored(router))
  }
  /// - Throws: ``StoreError`` `.conflict` when it has ports or floating IPs.
  public static func delete(_ id: String, in session: any Session) throws {
    try NetworkTagStore.set([], of: id, in: session)
    try session.execute("DELETE FROM routers WHERE id = $1", [.text(id)])
  }
  public static func count(project id: String, in session: any Session) throws -> Int {
    try session.first("SELECT COUNT(*) FROM routers WHERE project_id = $1", [.text(id)]) { $0.int(0) } ?? 0
  }

  // The ports that are routers'.

  /// Makes a port the router's; from then on the port cannot be deleted but by ``detach(_:in:)``.
  /// - Throws: ``StoreError`` `.conflict` when it is a router's already.
  public static func attach(
    _ portID: String, as kind: Router.Attachment.Kind, to router: String, in session: any Session
  ) throws {
    try session.execute(
      """
      INSERT INTO router_ports (port_id, router_id, kind, position) VALUES ($1, $2, $3, \
      (SELECT COALESCE(MAX(position), 0) + 1 FROM router_ports WHERE router_id = $2))
      """, [.text(portID), .text(router), .text(kind.rawValue)])
  }
  /// Deletes a router's port with its addresses.
  public static func detach(_ portID: String, in session: any Session) throws {
    try session.execute("DELETE FROM router_ports WHERE port_id = $1", [.text(portID)])
    try NetworkPortStore.delete(portID, in: session)
  }
  /// Makes a gateway the router's first one, which `external_gateway_info` shows.
  public static func putFirst(_ portID: String, in session: any Session) throws {
    try session.execute(
      """
      UPDATE router_ports SET position = (SELECT MIN(position) - 1 FROM router_ports WHERE router_id = \
      (SELECT router_id FROM router_ports WHERE port_id = $1)) WHERE port_id = $1
      """, [.text(portID)])
  }
  /// The port of a router that has an address of a subnet.
  public static func interface(at address: IPAddress, of subnet: String, in session: any Session) throws -> String? {
    try session.first(
      """
      SELECT a.port_id FROM network_addresses a JOIN router_ports r ON r.port_id = a.port_id \
      WHERE a.subnet_id = $1 AND a.address_key = $2
      """, [.text(subnet), .text(address.key)]
    ) { $0.text(0) }
  }
  /// The router through which a floating IP of an external network reaches a subnet: the one that is the subnet's gateway, else
  /// the one that was attached first.
  public static func connecting(
    _ subnet: Subnet, to externalNetwork: String, in session: any Session
  ) throws -> String? {
    let found = try session.query(
      """
      SELECT i.router_id, a.address_key FROM router_ports i JOIN network_addresses a ON a.port_id = i.port_id \
      WHERE i.kind = 'network:router_interface' AND a.subnet_id = $1 AND i.router_id IN \
      (SELECT g.router_id FROM router_ports g JOIN network_ports p ON p.id = g.port_id \
      WHERE g.kind = 'network:router_gateway' AND p.network_id = $2) ORDER BY i.router_id
      """, [.text(subnet.id), .text(externalNetwork)]
    ) { (router: $0.text(0), key: $0.text(1)) }
    return (found.first { $0.key == subnet.gateway?.key } ?? found.first)?.router
  }
  /// The projects that have routers or floating IPs on an external network.
  public static func projects(external network: String, in session: any Session) throws -> Set<String> {
    Set(
      try session.query(
        """
        SELECT project_id FROM floating_ips WHERE network_id = $1 UNION SELECT r.project_id FROM routers r \
        JOIN router_ports g ON g.router_id = r.id JOIN network_ports p ON p.id = g.port_id \
        WHERE g.kind = 'network:router_gateway' AND p.network_id = $1
        """, [.text(network)]
      ) { $0.text(0) })
  }
}
