import APISupport
import Domain
import Store
import Wire

/// `/v2/images/{image}/tags/{tag}`. Source: Glance API reference, "Image tags".
struct ImageTagRoutes: Sendable {
  let glance: GlanceAPI

  var endpoints: [Endpoint] {
    [
      Endpoint(.put, "/v2/images/{image}/tags/{tag}", .member("tag:create"), "Adds a tag to an image") { request in
        try await change(request) { image, tag in
          guard tag.utf8.count <= 255 else { throw APIError.badRequest("A tag has at most 255 bytes.") }
          guard image.tags.contains(tag) || image.tags.count < 128 else {
            throw APIError(.contentTooLarge, "An image has at most 128 tags.")
          }
          image.tags = Set(image.tags + [tag]).sorted()
        }
      },
      Endpoint(.delete, "/v2/images/{image}/tags/{tag}", .member("tag:delete"), "Removes a tag from an image") {
        request in
        try await change(request) { image, tag in
          guard image.tags.contains(tag) else { throw APIError.notFound("The tag \(tag) is not on the image.") }
          image.tags.removeAll { $0 == tag }
        }
      },
    ]
  }

  private func change(
    _ request: APIRequest, _ edit: @escaping @Sendable (inout Image, String) throws -> Void
  ) async throws -> APIResponse {
    let (actor, id, tag, now) = (
      try request.actor(), try request.parameter("image"), try request.parameter("tag"), request.now
    )
    try await glance.database.write { session in
      var image = try ImageLookup.changeable(id, actor, verb: "modify", session)
      try edit(&image, tag)
      image.updatedAt = now
      try ImageStore.update(image, in: session)
    }
    return .noContent
  }
}
