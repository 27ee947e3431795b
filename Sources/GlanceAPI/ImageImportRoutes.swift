import APISupport
import Domain
import Store
import Wire

/// `/v2/images/{image}/import`: staged content becomes an image. Source: Glance API reference, "Interoperable image import".
///
/// What was staged was hashed and looked at as it came in, so that its import is one transaction: the task is a success by the
/// time that the answer comes, and nothing is half done when the server is killed. What comes from the web comes after the answer
/// (``ImageDownloads``).
struct ImageImportRoutes: Sendable {
  let glance: GlanceAPI

  var endpoints: [Endpoint] {
    [
      Endpoint(
        .post, "/v2/images/{image}/import", .member("import"),
        "Makes an image of staged content, or of what a URL names",
        handler: importContent)
    ]
  }

  private func importContent(_ request: APIRequest) async throws -> APIResponse {
    let method = try method(try await request.object(limit: 64 << 10))
    if method["name"] == "web-download" { try await download(method, request) } else { try await take(method, request) }
    return .accepted
  }

  private func take(_ method: JSONObject, _ request: APIRequest) async throws {
    let (actor, id, now) = (try request.actor(), try request.parameter("image"), request.now)
    try await glance.database.write { session in
      var image = try Self.image(id, actor, session)
      guard image.status == .uploading else {
        throw APIError.conflict("Image needs to be staged before 'glance-direct' method can be used")
      }
      image.status = .active
      image.updatedAt = now
      try ImageStore.update(image, in: session)
      try ImageTaskStore.insert(Self.task(method, .success, image, actor, request), in: session)
    }
  }

  private func download(_ method: JSONObject, _ request: APIRequest) async throws {
    guard let downloads = glance.downloads, let url = method["uri"]?.string else {
      throw APIError.badRequest("Import request requires a 'uri' field.")
    }
    do { try downloads.check(url) } catch {
      throw APIError.badRequest("URI for web-download does not pass filtering: \(error.description)")
    }
    let (actor, id, uploadID) = (try request.actor(), try request.parameter("image"), Identifier.uuid())
    let underway = glance.folder.uploadsUnderway
    underway.begin(uploadID)
    do {
      let content = try await glance.database.write { session in
        _ = try ImageStore.resetUploads(besides: underway.ids, in: session)
        var image = try Self.image(id, actor, session)
        guard image.status == .queued else {
          throw APIError.conflict("Image needs to be in 'queued' state to use 'web-download' method")
        }
        guard let declared = image.declared else {
          throw APIError.conflict("'disk_format' and 'container_format' need to be set before import")
        }
        let task = Self.task(method, .processing, image, actor, request)
        let content = try downloads.intake.admit(
          &image, declared: declared, uploadID: uploadID, as: .importing, becoming: .active, taskID: task.id,
          in: session)
        try ImageTaskStore.insert(task, in: session)
        return content
      }
      downloads.begin(content, from: url)
    } catch {
      underway.end(uploadID)
      throw ImageFileRoutes.apiError(error)
    }
  }

  private static func image(_ id: String, _ actor: Actor, _ session: any Session) throws -> Image {
    let image = try ImageLookup.changeable(id, actor, verb: "import data to", session)
    guard image.status != .active else {
      throw APIError.conflict("Image with status active cannot be target for import")
    }
    return image
  }

  private static func task(
    _ method: JSONObject, _ status: ImageTask.Status, _ image: Image, _ actor: Actor, _ request: APIRequest
  ) -> ImageTask {
    ImageTask(
      imageID: image.id, owner: image.owner, userID: actor.userID, requestID: request.requestID, method: method,
      status: status, createdAt: request.now)
  }

  /// The import method of a request, with what belongs to it.
  private func method(_ body: JSONObject) throws -> JSONObject {
    guard let method = body["method"]?.object else {
      throw APIError.badRequest("Import request requires a 'method' field.")
    }
    guard let name = method["name"]?.string else {
      throw APIError.badRequest("Import request requires a 'name' field.")
    }
    guard glance.importMethods.contains(name) else {
      throw APIError.badRequest(
        "Unknown import method name '\(name.prefix(64))': \(glance.importMethods.joined(separator: ", ")) is offered here."
      )
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
    return name == "web-download" ? ["name": .string(name), "uri": method["uri"] ?? .null] : ["name": .string(name)]
  }
}
