import APISupport
import Conductor
import Domain
import HTTPTypes
import Store
import Wire

/// `/servers/{server}/metadata` and `/servers/{server}/tags`. Source: Nova API reference, "Server metadata", "Server tags".
struct ServerMetadataRoutes: Sendable {
  let nova: NovaAPI

  var endpoints: [Endpoint] {
    let metadata = "/v2.1/servers/{server}/metadata"
    let tags = "/v2.1/servers/{server}/tags"
    return [
      Endpoint(.get, metadata, .authenticated, "Lists a server's metadata") { request in
        APIResponse(json: ["metadata": .object(try await server(request).metadata)])
      },
      Endpoint(.post, metadata, .member("metadata:create"), "Adds metadata to a server") { request in
        let given = try Self.given(try await request.object(), most: nova.quotas.metadataItems)
        return try await change(request) { metadata in for item in given { metadata[item.key] = item.value } }
      },
      Endpoint(.put, metadata, .member("metadata:update_all"), "Replaces a server's metadata") { request in
        let given = try Self.given(try await request.object(), most: nova.quotas.metadataItems)
        return try await change(request) { $0 = given }
      },
      Endpoint(.get, metadata + "/{key}", .authenticated, "Shows one of a server's metadata") { request in
        let key = try request.parameter("key")
        guard let value = try await server(request).metadata[key] else { throw Self.missing }
        return APIResponse(json: ["meta": .object([key: value])])
      },
      Endpoint(.put, metadata + "/{key}", .member("metadata:update"), "Sets one of a server's metadata") { request in
        let key = try request.parameter("key")
        let input = try await ComputeInput(request, "meta")
        let given = try ComputeInput.metadata(.object(input.object), "meta", most: nova.quotas.metadataItems)
        guard given.count == 1, let value = given[key] else {
          throw APIError.badRequest("Request body and URI mismatch")
        }
        _ = try await change(request) { $0[key] = value }
        return APIResponse(json: ["meta": .object(given)])
      },
      Endpoint(.delete, metadata + "/{key}", .member("metadata:delete"), "Removes one of a server's metadata") {
        request in
        let key = try request.parameter("key")
        _ = try await change(request) { metadata in
          guard metadata[key] != nil else { throw Self.missing }
          metadata[key] = nil
        }
        return .noContent
      },

      Endpoint(.get, tags, .authenticated, "Lists a server's tags") { request in
        try nova.microversion(request).require(26)
        return APIResponse(json: ["tags": JSON(try await server(request).tags)])
      },
      Endpoint(.put, tags, .member("tags:update_all"), "Replaces a server's tags") { request in
        let input = ComputeInput(try await request.object())
        try input.allow(["tags"])
        guard input.has("tags") else { throw APIError.badRequest("'tags' is a required property") }
        let given = try ServerDraft.tags(input.value("tags"))
        _ = try await changeTags(request) { $0 = Set(given) }
        return APIResponse(json: ["tags": JSON(given)])
      },
      Endpoint(.delete, tags, .member("tags:delete_all"), "Removes a server's tags") { request in
        _ = try await changeTags(request) { $0 = [] }
        return .noContent
      },
      Endpoint(.get, tags + "/{tag}", .authenticated, "Says whether a server has a tag") { request in
        try nova.microversion(request).require(26)
        let (tag, server) = (try request.parameter("tag"), try await server(request))
        guard server.tags.contains(tag) else { throw Self.noTag(server, tag) }
        return .noContent
      },
      Endpoint(.put, tags + "/{tag}", .member("tags:update"), "Adds a tag to a server") { request in
        let tag = try ServerDraft.tag(try request.parameter("tag"))
        let had = try await changeTags(request) { tags in
          tags.insert(tag)
          guard tags.count <= 50 else {
            throw APIError.badRequest("The number of tags exceeded the per-server limit 50")
          }
        }
        let id = try request.parameter("server")
        return had.contains(tag)
          ? .noContent
          : APIResponse(.created, headers: [.location: "\(request.serviceURL)/v2.1/servers/\(id)/tags/\(tag)"])
      },
      Endpoint(.delete, tags + "/{tag}", .member("tags:delete"), "Removes a tag from a server") { request in
        let tag = try request.parameter("tag")
        let id = try request.parameter("server")
        _ = try await changeTags(request) { tags in
          guard tags.remove(tag) != nil else {
            throw APIError.notFound("Server \(id) has no tag '\(tag.prefix(80))'")
          }
        }
        return .noContent
      },
    ]
  }

  private static let missing = APIError.notFound("Metadata item was not found")
  private static func noTag(_ server: Server, _ tag: String) -> APIError {
    .notFound("Server \(server.id) has no tag '\(tag.prefix(80))'")
  }
  private static func given(_ body: JSONObject, most: Int) throws -> JSONObject {
    let input = ComputeInput(body)
    try input.allow(["metadata"])
    guard let value = input.value("metadata") else { throw APIError.badRequest("'metadata' is a required property") }
    return try ComputeInput.metadata(value, most: most)
  }

  private func server(_ request: APIRequest) async throws -> Server {
    let (actor, id) = (try request.actor(), try request.parameter("server"))
    return try await nova.database.read { try Lookup.server(id, actor, $0).server }
  }
  private func change(
    _ request: APIRequest, _ body: @escaping @Sendable (inout JSONObject) throws -> Void
  ) async throws -> APIResponse {
    let (actor, id, now) = (try request.actor(), try request.parameter("server"), request.now)
    let most = nova.quotas.metadataItems
    return try await nova.database.write { session in
      var server = try Lookup.changeable(id, actor, session).server
      try body(&server.metadata)
      guard most < 0 || server.metadata.count <= most else {
        throw APIError.forbidden("Maximum number of metadata items exceeds \(most)")
      }
      server.updatedAt = now
      try ServerStore.update(server, in: session)
      return APIResponse(json: ["metadata": .object(server.metadata)])
    }
  }
  /// - Returns: the tags before.
  private func changeTags(
    _ request: APIRequest, _ body: @escaping @Sendable (inout Set<String>) throws -> Void
  ) async throws -> [String] {
    try nova.microversion(request).require(26)
    let (actor, id) = (try request.actor(), try request.parameter("server"))
    return try await nova.database.write { session in
      let server = try Lookup.changeable(id, actor, session).server
      var tags = Set(server.tags)
      try body(&tags)
      try ServerStore.setTags(tags.sorted(), of: id, in: session)
      return server.tags
    }
  }
}
