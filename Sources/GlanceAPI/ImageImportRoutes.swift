import APISupport
import Domain
import Store
import Wire

/// `/v2/images/{image}/import`: staged content becomes an image. Source: Glance API reference, "Interoperable image import".
///
/// What was staged was hashed and looked at as it came in, so that the import is one transaction: its task is a success by the
/// time that the answer comes, and nothing is half done when the server is killed.
struct ImageImportRoutes: Sendable {
  let glance: GlanceAPI

  static let methods = ["glance-direct"]

  var endpoints: [Endpoint] {
    [
      Endpoint(
        .post, "/v2/images/{image}/import", .member("import"), "Makes an image of staged content",
        handler: importContent)
    ]
  }

  private func importContent(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id, now, requestID) = (
      try request.actor(), try request.parameter("image"), request.now, request.requestID
    )
    let method = try Self.method(try await request.object(limit: 64 << 10))
    try await glance.database.write { session in
      var image = try ImageLookup.changeable(id, actor, verb: "import data to", session)
      guard image.status != .active else {
        throw APIError.conflict("Image with status active cannot be target for import")
      }
      guard image.status == .uploading else {
        throw APIError.conflict("Image needs to be staged before 'glance-direct' method can be used")
      }
      image.status = .active
      image.updatedAt = now
      try ImageStore.update(image, in: session)
      try ImageTaskStore.insert(
        ImageTask(
          imageID: id, owner: image.owner, userID: actor.userID, requestID: requestID,
          method: ["name": .string(method)], status: .success, createdAt: now),
        in: session)
    }
    return .accepted
  }

  /// The name of the import method in a request.
  private static func method(_ body: JSONObject) throws -> String {
    guard let method = body["method"]?.object else {
      throw APIError.badRequest("Import request requires a 'method' field.")
    }
    guard let name = method["name"]?.string else {
      throw APIError.badRequest("Import request requires a 'name' field.")
    }
    guard methods.contains(name) else {
      throw APIError.badRequest(
        "Unknown import method name '\(name.prefix(64))': \(methods.joined(separator: ", ")) is offered here.")
    }
    for (key, value) in body.map({ ($0.key, $0.value) }) {
      switch key {
      case "method", "all_stores": break
      case "all_stores_must_succeed":
        guard value.bool != false else {
          throw APIError.badRequest("All_stores_must_succeed can only be set where there are several stores.")
        }
      case "stores":
        guard value.array?.isEmpty == true else {
          throw APIError.conflict("There are no stores to choose from: leave `stores` out.")
        }
      default: throw APIError.badRequest("Import request does not take '\(key.prefix(64))'.")
      }
    }
    return name
  }
}
