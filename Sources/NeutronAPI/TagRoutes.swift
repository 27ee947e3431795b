import APISupport
import Domain
import HTTPTypes
import Store
import Wire

/// Tags of networks, subnets, ports, subnet pools, routers, floating IPs, trunks and security groups. Source: Neutron API
/// reference, "Tag extension (standard-attr-tag)".
struct TagRoutes: Sendable {
  let neutron: NeutronAPI

  /// A tagged resource inside a transaction.
  private struct Tagged {
    var id: String
    var tags: [String]
    var mayChange: Bool
  }

  var endpoints: [Endpoint] {
    ["networks", "subnets", "ports", "subnetpools", "routers", "floatingips", "trunks", "security-groups"].flatMap {
      kind in
      let path = "/v2.0/\(kind)/{id}/tags"
      return [
        Endpoint(.get, path, .authenticated, "Lists tags") { request in
          let (actor, id) = (try request.actor(), try request.parameter("id"))
          let tags = try await neutron.database.read { session in try Self.find(kind, id, actor, session).tags }
          return Self.answer(tags)
        },
        Endpoint(.put, path, .member("tags:update"), "Replaces all tags") { request in
          let tags = try await Self.named(request)
          return Self.answer(try await change(kind, request) { _ in tags })
        },
        Endpoint(.post, path, .member("tags:create"), "Adds tags") { request in
          let tags = try await Self.named(request)
          return Self.answer(try await change(kind, request) { $0 + tags }, .created)
        },
        Endpoint(.delete, path, .member("tags:delete"), "Removes all tags") { request in
          _ = try await change(kind, request) { _ in [] }
          return .noContent
        },
        Endpoint(.get, path + "/{tag}", .authenticated, "Checks a tag") { request in
          let (actor, id, tag) = (try request.actor(), try request.parameter("id"), try request.parameter("tag"))
          let tags = try await neutron.database.read { session in try Self.find(kind, id, actor, session).tags }
          guard tags.contains(tag) else { throw Self.tagNotFound(tag) }
          return .noContent
        },
        Endpoint(.put, path + "/{tag}", .member("tags:update"), "Adds a tag") { request in
          let tag = try request.parameter("tag")
          try AttributeReader.checkTags([tag])
          _ = try await change(kind, request) { $0 + [tag] }
          return APIResponse(.created)
        },
        Endpoint(.delete, path + "/{tag}", .member("tags:delete"), "Removes a tag") { request in
          let tag = try request.parameter("tag")
          _ = try await change(kind, request) { tags in
            guard tags.contains(tag) else { throw Self.tagNotFound(tag) }
            return tags.filter { $0 != tag }
          }
          return .noContent
        },
      ]
    }
  }

  private static func named(_ request: APIRequest) async throws -> [String] {
    guard let tags = try AttributeReader(object: try await request.object()).tags() else {
      throw APIError.badRequest("Unable to find 'tags' in request body")
    }
    return tags
  }
  private static func answer(_ tags: [String], _ status: HTTPResponse.Status = .ok) -> APIResponse {
    APIResponse(status, json: ["tags": JSON(tags)])
  }
  private static func tagNotFound(_ tag: String) -> APIError {
    .notFound("Tag \(tag) could not be found.", type: "TagNotFound")
  }

  private static func find(_ kind: String, _ id: String, _ actor: Actor, _ session: any Session) throws -> Tagged {
    switch kind {
    case "networks":
      let network = try Lookup.network(id, actor, session)
      return Tagged(id: id, tags: network.tags, mayChange: NetworkPolicy.mayChange(network, actor))
    case "subnets":
      let (subnet, network) = try Lookup.subnet(id, actor, session)
      return Tagged(id: id, tags: subnet.tags, mayChange: NetworkPolicy.mayChange(subnet, on: network, actor))
    case "subnetpools":
      let pool = try Lookup.subnetPool(id, actor, session)
      return Tagged(id: id, tags: pool.tags, mayChange: NetworkPolicy.mayChange(pool, actor))
    case "trunks":
      let trunk = try Lookup.trunk(id, actor, session)
      return Tagged(id: id, tags: trunk.tags, mayChange: NetworkPolicy.mayChange(trunk, actor))
    case "routers":
      let router = try Lookup.router(id, actor, session)
      return Tagged(id: id, tags: router.tags, mayChange: NetworkPolicy.mayChange(router, actor))
    case "floatingips":
      let floatingIP = try Lookup.floatingIP(id, actor, session)
      return Tagged(id: id, tags: floatingIP.tags, mayChange: NetworkPolicy.mayChange(floatingIP, actor))
    case "security-groups":
      let group = try Lookup.securityGroup(id, actor, session)
      return Tagged(id: id, tags: group.tags, mayChange: NetworkPolicy.mayChange(group, actor))
    default:
      let (port, _) = try Lookup.port(id, actor, session)
      return Tagged(id: id, tags: port.tags, mayChange: NetworkPolicy.mayChange(port, actor))
    }
  }

  private func change(
    _ kind: String, _ request: APIRequest, _ edit: @escaping @Sendable ([String]) throws -> [String]
  ) async throws -> [String] {
    let (actor, id, now) = (try request.actor(), try request.parameter("id"), request.now)
    return try await neutron.database.write { session in
      let found = try Self.find(kind, id, actor, session)
      guard found.mayChange else {
        throw APIError.disallowed("update_tags", "the resource belongs to another project.")
      }
      let tags = Set(try edit(found.tags)).sorted()
      guard tags.count <= 50 else { throw APIError.invalid("at most 50 tags on one resource.") }
      try NetworkTagStore.set(tags, of: id, in: session)
      // Tags count as a change of the resource.
      switch kind {
      case "networks":
        if var network = try NetworkStore.get(id, in: session) {
          try NetworkStore.update(&network, at: now, in: session)
        }
      case "subnets":
        if var subnet = try SubnetStore.get(id, in: session) { try SubnetStore.update(&subnet, at: now, in: session) }
      case "subnetpools":
        if var pool = try SubnetPoolStore.get(id, in: session) {
          try SubnetPoolStore.update(&pool, at: now, in: session)
        }
      case "trunks":
        if var trunk = try TrunkStore.get(id, in: session) { try TrunkStore.update(&trunk, at: now, in: session) }
      case "routers":
        if var router = try RouterStore.get(id, in: session) { try RouterStore.update(&router, at: now, in: session) }
      case "floatingips":
        if var floatingIP = try FloatingIPStore.get(id, in: session) {
          try FloatingIPStore.update(&floatingIP, at: now, in: session)
        }
      case "security-groups":
        if var group = try SecurityGroupStore.get(id, in: session) {
          try SecurityGroupStore.update(&group, at: now, in: session)
        }
      default:
        if var port = try NetworkPortStore.get(id, in: session) {
          try NetworkPortStore.update(&port, at: now, in: session)
        }
      }
      return tags
    }
  }
}
