import APISupport
import Domain
import Store
import Wire

/// `/v2.0/network-ip-availabilities`. Source: Neutron API reference, "Network IP availability and usage stats".
struct IPAvailabilityRoutes: Sendable {
  let neutron: NeutronAPI

  var endpoints: [Endpoint] {
    [
      Endpoint(.get, "/v2.0/network-ip-availabilities", .siteReader, "Lists used addresses by network", handler: list),
      Endpoint(
        .get, "/v2.0/network-ip-availabilities/{network}", .siteReader, "Shows used addresses of a network",
        handler: show),
    ]
  }

  struct Availability: Sendable {
    let network: Network
    let subnets: [(subnet: Subnet, used: Int)]
  }
  private static let view = ResourceView<Availability>(
    singular: "network_ip_availability", plural: "network_ip_availabilities", path: "/v2.0/network-ip-availabilities",
    id: { $0.network.id },
    attributes: [
      .text("network_id") { $0.network.id }, .text("network_name") { $0.network.name },
      .text("tenant_id") { $0.network.projectID }, .text("project_id") { $0.network.projectID },
      .json("subnet_ip_availability") { availability in
        .array(
          availability.subnets.map { subnet, used in
            [
              "subnet_id": .string(subnet.id), "subnet_name": .string(subnet.name), "ip_version": .int(subnet.version),
              "cidr": .string(subnet.cidr.description), "total_ips": number(subnet.poolSize), "used_ips": .int(used),
            ]
          })
      },
      .json("total_ips") { number($0.subnets.map(\.subnet.poolSize).reduce(0, +)) },
      .json("used_ips") { .int($0.subnets.map(\.used).reduce(0, +)) },
    ], ownFilters: ["ip_version"])
  /// IPv6 subnets have more addresses than a machine's integers.
  private static func number(_ count: UInt128) -> JSON {
    Int(exactly: count).map { .int($0) } ?? .double(Double(count))
  }

  private func list(_ request: APIRequest) async throws -> APIResponse {
    let query = request.query
    let version = try query.int("ip_version")
    let found = try await neutron.database.read { session in
      try availabilities(version: version, in: session) { sql in
        sql.append("WHERE 1 = 1")
        sql.appendFilter("AND id IN", query.all("network_id"))
        sql.append("ORDER BY created_at, id")
      }
    }
    return try Self.view.list(found.filter { version == nil || !$0.subnets.isEmpty }, request)
  }
  private func show(_ request: APIRequest) async throws -> APIResponse {
    let id = try request.parameter("network")
    let found = try await neutron.database.read { session in
      try availabilities(version: nil, in: session) { $0.append("WHERE id = ?", .text(id)) }
    }
    guard let first = found.first else { throw APIError.networkNotFound(id) }
    return Self.view.show(first, request)
  }

  private func availabilities(
    version: Int?, in session: any Session, _ narrow: (inout Query) -> Void
  ) throws -> [Availability] {
    let networks = try NetworkStore.list(in: session, narrow)
    let used = try SubnetStore.usedAddresses(in: session)
    let subnets = Dictionary(
      grouping: try SubnetStore.list(in: session) { $0.append("ORDER BY created_at, id") }, by: \.networkID)
    return networks.map { network in
      Availability(
        network: network,
        subnets: (subnets[network.id] ?? []).filter { version == nil || $0.version == version }.map {
          ($0, used[$0.id] ?? 0)
        })
    }
  }
}

extension Subnet {
  /// Addresses that ports can get.
  fileprivate var poolSize: UInt128 { pools.map { $0.end.value - $0.start.value + 1 }.reduce(0, +) }
}
