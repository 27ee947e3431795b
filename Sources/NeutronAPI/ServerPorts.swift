import APISupport
import Conductor
import Domain
import Store
import Wire

/// What servers ask of the networking service: the same checks, rights and defaults as its own API.
extension NeutronAPI: ServerNetworks {
  public func makePort(
    _ order: PortOrder, for actor: Actor, at now: Timestamp, in session: any Session
  ) throws -> NetworkPort {
    var object: JSONObject = ["network_id": .string(order.networkID)]
    if !order.name.isEmpty { object["name"] = .string(order.name) }
    if let address = order.fixedIP { object["fixed_ips"] = [["ip_address": .string(address)]] }
    if !order.securityGroups.isEmpty {
      let network = try Lookup.network(order.networkID, actor, session)
      let groups = try groupIDs(order.securityGroups, actor, at: now, in: session)
      if network.isPortSecurityEnabled {
        object["security_groups"] = JSON(groups)
      } else if order.securityGroups != ["default"] {
        throw APIError.badRequest(
          "Network \(network.id) has no port security: security groups cannot be applied to its ports.")
      }
    }
    return try PortRoutes(neutron: self).make(AttributeReader(object: object), actor, at: now, in: session)
  }

  public func ownNetworks(_ actor: Actor, in session: any Session) throws -> [Network] {
    try NetworkStore.list(in: session) { query in
      query.append("WHERE project_id = ? ORDER BY created_at, id", .text(actor.projectID ?? ""))
    }.filter { NetworkPolicy.mayAttach(to: $0, actor) }
  }

  public func port(_ id: String, for actor: Actor, in session: any Session) throws -> NetworkPort {
    let (port, _) = try Lookup.port(id, actor, session)
    guard NetworkPolicy.mayChange(port, actor) else {
      throw APIError.notFound("Port \(id) could not be found.", type: "PortNotFound")
    }
    return port
  }

  public func changePort(
    _ id: String, groups: [String]?, fixedIPs: [JSONObject]?, for actor: Actor, at now: Timestamp,
    in session: any Session
  ) throws {
    var object: JSONObject = [:]
    if let groups { object["security_groups"] = JSON(try groupIDs(groups, actor, at: now, in: session)) }
    if let fixedIPs { object["fixed_ips"] = .array(fixedIPs.map { .object($0) }) }
    _ = try PortRoutes(neutron: self).change(id, AttributeReader(object: object), actor, at: now, in: session)
  }

  /// Ids of the project's groups by name or id.
  private func groupIDs(
    _ names: [String], _ actor: Actor, at now: Timestamp, in session: any Session
  ) throws -> [String] {
    if let project = actor.projectID { _ = try defaultGroup(project: project, at: now, in: session) }
    let groups = try SecurityGroupStore.list(in: session) { query in
      query.append("WHERE project_id = ?", .text(actor.projectID ?? ""))
    }
    return try Set(
      names.map { name in
        if let found = groups.first(where: { $0.id == name }) { return found.id }
        let named = groups.filter { $0.name == name }
        guard let first = named.first else {
          throw APIError.badRequest("Security group \(name) not found for project \(actor.projectID ?? "").")
        }
        guard named.count == 1 else {
          throw APIError.conflict("Multiple security groups found matching '\(name)'. Use an ID to be more specific.")
        }
        return first.id
      }
    ).sorted()
  }
}
