import APISupport
import Conductor
import Domain
import HTTPTypes
import Store
import Wire

/// Images of machines' disks for users without the compute API. The route is this server's own: upstream has none.
extension IronicAPI {
  var nodeCaptureEndpoints: [Endpoint] {
    [
      Endpoint(.post, "/v1/nodes/{node}/capture", Self.act, "Make an image of what is on a node's disk") {
        try await capture($0)
      }
    ]
  }

  /// POST /v1/nodes/{node}/capture `{"name"}` → 202 `{"image_id"}`.
  ///
  /// Answers: 403 for whoever is not the one that has the machine (its owner, while somebody leases it), 409 while a workflow holds the
  /// node, or when there is nothing to read.
  private func capture(_ request: APIRequest) async throws -> APIResponse {
    let body = try await request.object()
    try FieldReading.refuseOthers(body, than: ["name"], "capture")
    guard let name = body["name"]?.string, (1...255).contains(name.unicodeScalars.count) else {
      throw APIError.badRequest("name is expected: 1 to 255 characters, what the image is to be called.")
    }
    let requester = try requester(request)
    return try await database.write { session in
      let actor = try request.actor()
      var node = try node(request, to: .use, in: session)
      guard actor.isSiteAdmin || node.lessee == nil || node.lessee == actor.projectID else {
        throw APIError.forbidden("Node \(node.uuid) is leased: what is on its disk is its lessee's.")
      }
      guard let owner = actor.projectID ?? node.lessee ?? node.owner else {
        throw APIError.badRequest("The token has no project that the image could belong to.")
      }
      var image = Image(name: name, owner: owner, visibility: .private, createdAt: request.now)
      image.properties["user_id"] = .string(actor.userID)
      try conductor.capture(&node, as: image, by: requester, in: session)
      return APIResponse(
        .accepted, json: ["image_id": .string(image.id)],
        headers: [.location: "\(request.origin)/image/v2/images/\(image.id)"])
    }
  }
}
