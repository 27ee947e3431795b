import APISupport
import Conductor
import Domain
import HTTPTypes
import Store
import Wire

/// `/servers/{server}/os-volume_attachments`. Source: Nova API reference, "Servers with volume attachments".
///
/// No server has a volume yet: lists are empty, and attaching one is refused with the reason.
struct VolumeAttachmentRoutes: Sendable {
  let nova: NovaAPI

  var endpoints: [Endpoint] {
    let path = "/v2.1/servers/{server}/os-volume_attachments"
    return [
      Endpoint(.get, path, .authenticated, "Lists a server's volumes: there are none") { request in
        _ = try await server(request)
        return APIResponse(json: ["volumeAttachments": []])
      },
      Endpoint(.post, path, .member("volumes_attachments:create"), "Attaches a volume: refused") { request in
        try await changeable(request)
        throw APIError.conflict("Volumes are not attached to servers yet.")
      },
      Endpoint(.get, path + "/{volume}", .authenticated, "Shows a volume of a server", handler: missing),
      Endpoint(.put, path + "/{volume}", .member("volumes_attachments:update"), "Changes a volume of a server") {
        request in
        try await changeable(request)
        return try await missing(request)
      },
      Endpoint(.delete, path + "/{volume}", .member("volumes_attachments:delete"), "Takes a volume off a server") {
        request in
        try await changeable(request)
        return try await missing(request)
      },
    ]
  }

  private func server(_ request: APIRequest) async throws -> Server {
    let (actor, id) = (try request.actor(), try request.parameter("server"))
    return try await nova.database.read { try Lookup.server(id, actor, $0).server }
  }
  private func changeable(_ request: APIRequest) async throws {
    let (actor, id) = (try request.actor(), try request.parameter("server"))
    _ = try await nova.database.read { try Lookup.changeable(id, actor, $0) }
  }
  private func missing(_ request: APIRequest) async throws -> APIResponse {
    let (server, volume) = (try await server(request), try request.parameter("volume"))
    throw APIError.notFound("Instance \(server.id) is not attached to volume \(volume.prefix(80)).")
  }
}
