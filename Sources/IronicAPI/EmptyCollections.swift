import APISupport
import Wire

extension IronicAPI {
  /// Collections that clients look into and that have nothing here: their lists are empty, what they hold is not found, and
  /// making something in them is refused with what to do instead.
  private static let collections: [(path: String, key: StaticString, since: Int, instead: String)] = [
    ("/v1/portgroups", "portgroups", 23, "Link aggregation is not offered; attach networks to single ports."),
    ("/v1/chassis", "chassis", 1, "Chassis are not kept; use a node's description or properties."),
    ("/v1/volume/connectors", "connectors", 32, "Booting from volumes is not offered yet."),
    ("/v1/volume/targets", "targets", 32, "Booting from volumes is not offered yet."),
    ("/v1/deploy_templates", "deploy_templates", 55, "The server chooses the steps of a deployment itself."),
    ("/v1/runbooks", "runbooks", 92, "The server chooses the steps of a deployment itself."),
  ]
  private static let listFilters: Set<String> = ["node", "address", "shard", "detail", "conductor_groups", "portgroup"]

  var emptyEndpoints: [Endpoint] {
    let own: [Endpoint] = Self.collections.flatMap { collection in
      let (path, key, since, instead) = collection
      return [
        Endpoint(.get, path, Self.read, "Always empty") { try list($0, key, since) },
        Endpoint(.post, path, Self.act, "Refused") { _ in throw APIError.badRequest(instead) },
        Endpoint(.get, path + "/detail", Self.read, "Always empty") { try list($0, key, since) },
        Endpoint(.get, path + "/{id}", Self.read, "Never found") { throw missing($0) },
        Endpoint(.patch, path + "/{id}", Self.act, "Never found") { throw missing($0) },
        Endpoint(.delete, path + "/{id}", Self.act, "Never found") { throw missing($0) },
      ]
    }
    let ofNodes: [Endpoint] = [
      ("portgroups", "portgroups" as StaticString, 24), ("volume/connectors", "connectors", 32),
      ("volume/targets", "targets", 32),
    ]
    .map { path, key, since in
      Endpoint(.get, "/v1/nodes/{node}/\(path)", Self.read, "Always empty") { request in
        _ = try await seen(request)
        return try list(request, key, since)
      }
    }
    return own + ofNodes + [
      Endpoint(.get, "/v1/volume", Self.read, "What lies below") { request in
        APIResponse(
          json: [
            "connectors": links(request, "volume/connectors"), "targets": links(request, "volume/targets"),
            "links": links(request, "volume"),
          ])
      },
      Endpoint(.get, "/v1/nodes/{node}/volume", Self.read, "What lies below") { request in
        let node = try await seen(request)
        return APIResponse(
          json: [
            "connectors": links(request, "nodes/\(node.uuid)/volume/connectors"),
            "targets": links(request, "nodes/\(node.uuid)/volume/targets"),
            "links": links(request, "nodes/\(node.uuid)/volume"),
          ])
      },
      Endpoint(.get, "/v1/shards", Self.siteReader, "Always empty") { request in
        try Microversion(request.headers).require(82, "shards")
        return APIResponse(json: ["shards": []])
      },
    ]
  }

  private func list(_ request: APIRequest, _ key: StaticString, _ since: Int) throws -> APIResponse {
    // Runbooks came after what we speak: a list of them is still harmless, and `openstack` asks for it.
    if since <= Microversion.maximum.minor { try Microversion(request.headers).require(since, "\(key)") }
    let query = try ListQuery(request, filters: Self.listFilters)
    return query.answer(request, key, [String](), id: { $0 }) { _, _ in }
  }
  private func missing(_ request: APIRequest) -> APIError {
    .notFound("\(request.parameters["id"] ?? "It") could not be found.")
  }
}
