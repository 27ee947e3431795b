import APISupport
import Domain
import HTTPTypes
import Store
import Wire

/// `/images/{image}/metadata`, through which old clients read and write an image's properties (until 2.38). Source: Nova API
/// reference, "Images (deprecated)".
struct ImageMetadataRoutes: Sendable {
  let nova: NovaAPI

  var endpoints: [Endpoint] {
    let metadata = "/v2.1/images/{image}/metadata"
    return [
      Endpoint(.get, metadata, .authenticated, "Lists an image's properties (until 2.38)") { request in
        APIResponse(json: ["metadata": .object(try await image(request).properties)])
      },
      Endpoint(.post, metadata, .member("image-metadata:create"), "Adds properties to an image (until 2.38)") {
        request in
        let given = try await self.given(request)
        return try await change(request) { for item in given { $0[item.key] = item.value } }
      },
      Endpoint(.put, metadata, .member("image-metadata:update_all"), "Replaces an image's properties (until 2.38)") {
        request in
        let given = try await self.given(request)
        return try await change(request) { $0 = given }
      },
      Endpoint(.get, metadata + "/{key}", .authenticated, "Shows one of an image's properties (until 2.38)") {
        request in
        let key = try request.parameter("key")
        guard let value = try await image(request).properties[key] else { throw Self.missing }
        return APIResponse(json: ["meta": .object([key: value])])
      },
      Endpoint(
        .put, metadata + "/{key}", .member("image-metadata:update"), "Sets one of an image's properties (until 2.38)"
      ) { request in
        let key = try request.parameter("key")
        let input = try await ComputeInput(request, "meta")
        let given = try Self.properties(.object(input.object), "meta")
        guard given.count == 1, let value = given[key] else {
          throw APIError.badRequest("Request body and URI mismatch")
        }
        _ = try await change(request) { $0[key] = value }
        return APIResponse(json: ["meta": .object(given)])
      },
      Endpoint(
        .delete, metadata + "/{key}", .member("image-metadata:delete"),
        "Removes one of an image's properties (until 2.38)"
      ) { request in
        let key = try request.parameter("key")
        _ = try await change(request) { properties in
          guard properties[key] != nil else { throw Self.missing }
          properties[key] = nil
        }
        return .noContent
      },
    ]
  }

  private static let missing = APIError.notFound("Metadata item was not found")

  private func given(_ request: APIRequest) async throws -> JSONObject {
    let input = ComputeInput(try await request.object())
    try input.allow(["metadata"])
    guard let value = input.value("metadata") else { throw APIError.badRequest("'metadata' is a required property") }
    return try Self.properties(value, "metadata")
  }
  private static func properties(_ value: JSON, _ field: String) throws -> JSONObject {
    let given = try ComputeInput.metadata(value, field, most: Image.mostProperties)
    for member in given where Image.attributes.contains(member.key) || member.key.hasPrefix("os_glance_") {
      throw APIError.badRequest("'\(member.key)' is no property: it has a meaning of its own in the image service.")
    }
    return given
  }

  private func image(_ request: APIRequest) async throws -> Image {
    try nova.microversion(request).requireBefore(39)
    let (actor, id) = (try request.actor(), try request.parameter("image"))
    return try await nova.database.read { try OldRoutes.image(id, actor, $0) }
  }
  private func change(
    _ request: APIRequest, _ body: @escaping @Sendable (inout JSONObject) throws -> Void
  ) async throws -> APIResponse {
    try nova.microversion(request).requireBefore(39)
    let (actor, id, now) = (try request.actor(), try request.parameter("image"), request.now)
    return try await nova.database.write { session in
      var image = try OldRoutes.image(id, actor, session)
      guard ImagePolicy.mayChange(image, actor) else {
        throw APIError.forbidden("You are not allowed to change image \(id): it is another project's.")
      }
      try body(&image.properties)
      guard image.properties.count <= Image.mostProperties else {
        throw APIError.forbidden("Maximum number of metadata items exceeds \(Image.mostProperties)")
      }
      image.updatedAt = now
      try ImageStore.update(image, in: session)
      return APIResponse(json: ["metadata": .object(image.properties)])
    }
  }
}
