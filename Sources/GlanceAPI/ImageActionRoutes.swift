import APISupport
import Domain
import Store

/// `/v2/images/{image}/actions`: an image that is not given out for a while. Source: Glance API reference, "Image actions".
struct ImageActionRoutes: Sendable {
  let glance: GlanceAPI

  var endpoints: [Endpoint] {
    let path = "/v2/images/{image}/actions"
    return [
      Endpoint(.post, path + "/deactivate", .member("deactivate"), "Keeps an image's content back") { request in
        try await change(request, from: .active, to: .deactivated, verb: "deactivate")
      },
      Endpoint(.post, path + "/reactivate", .member("reactivate"), "Gives an image's content out again") { request in
        try await change(request, from: .deactivated, to: .active, verb: "reactivate")
      },
    ]
  }

  /// Nothing happens to an image that is there already.
  private func change(_ request: APIRequest, from old: Image.Status, to new: Image.Status, verb: String) async throws
    -> APIResponse
  {
    let (actor, id, now) = (try request.actor(), try request.parameter("image"), request.now)
    try await glance.database.write { session in
      var image = try ImageLookup.changeable(id, actor, verb: verb, session)
      if image.status == new { return }
      guard image.status == old else {
        throw APIError.imageForbidden("Not allowed to \(verb) image in status '\(image.status.rawValue)'")
      }
      image.status = new
      image.updatedAt = now
      try ImageStore.update(image, in: session)
    }
    return .noContent
  }
}
