import APISupport
import Conductor
import Domain
import HTTPTypes
import Store
import Wire

/// `/servers/{server}/os-interface`, `/ips` and `/os-security-groups`. Source: Nova API reference, "Port interfaces", "Servers IPs",
/// "Servers security groups".
struct ServerInterfaceRoutes: Sendable {
  let nova: NovaAPI

  var endpoints: [Endpoint] {
    let interfaces = "/v2.1/servers/{server}/os-interface"
    return [
      Endpoint(.get, interfaces, .authenticated, "Lists a server's network ports", handler: list),
      Endpoint(.post, interfaces, .member("attach_interfaces:create"), "Attaches a network or a port", handler: attach),
      Endpoint(.get, interfaces + "/{port}", .authenticated, "Shows a network port of a server", handler: show),
      Endpoint(
        .delete, interfaces + "/{port}", .member("attach_interfaces:delete"), "Takes a network port off a server",
        handler: detach),
      Endpoint(.get, "/v2.1/servers/{server}/ips", .authenticated, "Lists a server's addresses") { request in
        APIResponse(json: ["addresses": .object(try await addresses(request))])
      },
      Endpoint(
        .get, "/v2.1/servers/{server}/ips/{network}", .authenticated, "Lists a server's addresses on a network"
      ) { request in
        let name = try request.parameter("network")
        guard let list = try await addresses(request)[name] else { throw APIError.notFound("Network name not found") }
        return APIResponse(json: .object([name: list]))
      },
      Endpoint(
        .get, "/v2.1/servers/{server}/os-security-groups", .authenticated, "Lists the security groups of a server"
      ) { request in
        let (row, ports) = try await ports(request)
        let groups = try await nova.database.read { session in
          try SecurityGroupStore.list(ids: Set(ports.flatMap(\.securityGroupIDs)).sorted(), in: session)
        }
        return APIResponse(
          json: [
            "security_groups": .array(
              groups.sorted { $0.name < $1.name }.map { group in
                [
                  "id": .string(group.id), "name": .string(group.name), "description": .string(group.description),
                  "tenant_id": .string(row.server.projectID), "rules": [],
                ]
              })
          ])
      },
    ]
  }

  /// As of `show`, without the hardware's addresses.
  private func addresses(_ request: APIRequest) async throws -> JSONObject {
    let view = try ServerView(request, zone: nova.conductor.zone)
    let (actor, id) = (try request.actor(), try request.parameter("server"))
    return try await nova.database.read { session in
      var view = view
      let row = try Lookup.server(id, actor, session)
      try view.gather([row], in: session)
      return view.plainAddresses(row)
    }
  }
  private func ports(_ request: APIRequest) async throws -> (ServerRow, [NetworkPort]) {
    let (actor, id) = (try request.actor(), try request.parameter("server"))
    return try await nova.database.read { session in
      let row = try Lookup.server(id, actor, session)
      return (row, try Self.ports(of: row, in: session))
    }
  }
  static func ports(of row: ServerRow, in session: any Session) throws -> [NetworkPort] {
    try ServerStore.networkPorts(of: [row], in: session)[row.server.id] ?? []
  }

  private func shown(_ port: NetworkPort, tag: String?, _ version: Microversion) -> JSON {
    var out: JSONObject = [
      "net_id": .string(port.networkID), "port_id": .string(port.id), "mac_addr": .string(port.macAddress),
      "port_state": .string(port.status.rawValue),
      "fixed_ips": .array(
        port.fixedIPs.map {
          ["subnet_id": .string($0.subnetID), "ip_address": .string($0.address.description)]
        }),
    ]
    if version.minor >= 70 { out["tag"] = JSON(tag) }
    return .object(out)
  }

  private func list(_ request: APIRequest) async throws -> APIResponse {
    let (row, ports) = try await ports(request)
    let version = try nova.microversion(request)
    let tags = try await tags(row)
    return APIResponse(
      json: ["interfaceAttachments": .array(ports.map { shown($0, tag: tags[$0.id], version) })])
  }
  private func tags(_ row: ServerRow) async throws -> [String: String] {
    let id = row.server.id
    return try await nova.database.read { try ServerStore.ports(of: id, in: $0) }.reduce(into: [:]) {
      $0[$1.portID] = $1.tag
    }
  }
  private func show(_ request: APIRequest) async throws -> APIResponse {
    let (row, ports) = try await ports(request)
    let id = try request.parameter("port")
    guard let port = ports.first(where: { $0.id == id }) else { throw Self.missing(id, row) }
    return APIResponse(
      json: ["interfaceAttachment": shown(port, tag: try await tags(row)[id], try nova.microversion(request))])
  }
  private static func missing(_ port: String, _ row: ServerRow) -> APIError {
    .notFound("Instance \(row.server.id) does not have port with id \(port.prefix(80)).")
  }

  private func attach(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id, now) = (try request.actor(), try request.parameter("server"), request.now)
    let version = try nova.microversion(request)
    let body = try await request.object()
    // Without a body: the project's only network.
    let input = try body.isEmpty ? ComputeInput([:]) : ComputeInput(body, "interfaceAttachment")
    try input.allow(
      version.minor >= 49 ? ["net_id", "port_id", "fixed_ips", "tag"] : ["net_id", "port_id", "fixed_ips"])
    let (networkID, portID) = (try input.uuid("net_id"), try input.uuid("port_id"))
    let tag = try input.value("tag").map { try ServerDraft.tag($0.string) }
    let fixed = try input.objects("fixed_ips", most: 1)?.first?["ip_address"]?.string
    guard networkID == nil || portID == nil else {
      throw APIError.badRequest("Must not input both network_id and port_id")
    }
    guard fixed == nil || networkID != nil else {
      throw APIError.badRequest("Must input network_id when request IP address")
    }
    let requester = Requester(actor, requestID: request.requestID)
    let nova = nova
    let (port, made) = try await nova.database.write { session -> (NetworkPort, ServerPort) in
      let row = try Lookup.changeable(id, actor, session)
      let condition = row.condition
      guard [.active, .shutoff].contains(condition.status), condition.taskState == nil else {
        throw APIError.conflict(
          "Cannot 'attach_interface' instance \(id) while it is in vm_state \(condition.vmState)"
            + (condition.taskState.map { ", task_state \($0)" } ?? ""))
      }
      let made: ServerPort
      if let portID {
        let port: NetworkPort
        do { port = try nova.networks.port(portID, for: actor, in: session) } catch let error as APIError {
          throw APIError.notFound(error.message)
        }
        guard port.deviceID.isEmpty, !port.isBound else { throw APIError.badRequest("Port \(portID) is still in use.") }
        made = ServerPort(portID, isMade: false, tag: tag)
      } else {
        let own = networkID == nil ? try nova.networks.ownNetworks(actor, in: session) : []
        guard let network = networkID ?? (own.count == 1 ? own.first?.id : nil) else {
          throw APIError.badRequest(
            "Multiple possible networks found, use a Network ID to be more specific.")
        }
        let port = try translating {
          try nova.networks.makePort(
            PortOrder(networkID: network, fixedIP: fixed), for: actor, at: now, in: session)
        }
        made = ServerPort(port.id, isMade: true, tag: tag)
      }
      try nova.conductor.attach(made, to: row.server, by: requester, in: session)
      guard let port = try NetworkPortStore.get(made.portID, in: session) else { throw Self.missing(made.portID, row) }
      return (port, made)
    }
    return APIResponse(json: ["interfaceAttachment": shown(port, tag: made.tag, version)])
  }

  private func detach(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id, port) = (
      try request.actor(), try request.parameter("server"), try request.parameter("port")
    )
    let requester = Requester(actor, requestID: request.requestID)
    try await nova.database.write { session in
      let row = try Lookup.changeable(id, actor, session)
      guard try Self.ports(of: row, in: session).contains(where: { $0.id == port }) else {
        throw APIError.notFound("Port id \(port.prefix(80)) not found")
      }
      guard row.condition.taskState == nil else {
        throw APIError.conflict(
          "Cannot 'detach_interface' instance \(id) while it is in task_state \(row.condition.taskState ?? "")")
      }
      try nova.conductor.detach(port, from: row.server, by: requester, in: session)
    }
    return .accepted
  }

  /// `addFixedIp` of a network that the server is on, `removeFixedIp` of an address that it has.
  func changeFixedIP(
    _ row: ServerRow, _ isAdded: Bool, _ value: JSON, _ request: APIRequest, in session: any Session
  ) throws {
    let input = ComputeInput(value.object ?? [:])
    let ports = try Self.ports(of: row, in: session)
    func items(_ port: NetworkPort) -> [JSONObject] {
      port.fixedIPs.map { ["subnet_id": .string($0.subnetID), "ip_address": .string($0.address.description)] }
    }
    let (port, wanted): (NetworkPort, [JSONObject])
    if isAdded {
      try input.allow(["networkId"])
      let network = try input.required("networkId")
      guard let found = ports.first(where: { $0.networkID == network }) else {
        throw APIError.badRequest("Instance \(row.server.id) is not on network \(network).")
      }
      guard let subnet = try SubnetStore.list(network: network, in: session).first else {
        throw APIError.badRequest("Network \(network) has no subnet.")
      }
      (port, wanted) = (found, items(found) + [["subnet_id": .string(subnet.id)]])
    } else {
      try input.allow(["address"])
      let text = try input.required("address")
      guard let address = IPAddress(text),
        let found = ports.first(where: { $0.fixedIPs.contains { $0.address == address } })
      else { throw APIError.badRequest("Fixed IP \(text) is not of instance \(row.server.id).") }
      (port, wanted) = (found, items(found).filter { $0["ip_address"]?.string != address.description })
    }
    let actor = try request.actor()
    // Their addresses are kept by subnet: those that the port has are not chosen anew.
    try translating {
      try nova.networks.changePort(
        port.id, groups: nil, fixedIPs: wanted, for: actor, at: request.now, in: session)
    }
  }
}
