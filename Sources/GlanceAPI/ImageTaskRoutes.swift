import APISupport
import Domain
import Store
import Wire

/// `/v2/tasks` and `/v2/images/{image}/tasks`: imports. Source: Glance API reference, "Tasks".
///
/// A project reads its own images' tasks, the site's readers all; upstream lists them for administrators only.
struct ImageTaskRoutes: Sendable {
  let glance: GlanceAPI
  private static let mostPerPage = 1000

  var endpoints: [Endpoint] {
    [
      Endpoint(.get, "/v2/tasks", .authenticated, "Lists imports of images", handler: list),
      Endpoint(.get, "/v2/tasks/{task}", .authenticated, "Shows an import", handler: show),
      Endpoint(.get, "/v2/images/{image}/tasks", .authenticated, "Lists an image's imports", handler: listOfImage),
    ]
  }

  private static func isVisible(_ task: ImageTask, _ actor: Actor) -> Bool {
    actor.isSiteReader || actor.projectID == task.owner
  }

  /// - Parameter whole: false for lists of tasks, which upstream keeps short.
  private static func json(_ task: ImageTask, whole: Bool = true) -> JSON {
    var object: JSONObject = [
      "id": .string(task.id), "type": "api_image_import", "status": .string(task.status.rawValue),
      "owner": .string(task.owner), "created_at": .string(task.createdAt.iso8601Zulu),
      "updated_at": .string(task.updatedAt.iso8601Zulu), "self": .string("/v2/tasks/\(task.id)"),
      "schema": "/v2/schemas/task",
    ]
    guard whole else { return .object(object) }
    object["input"] = [
      "image_id": .string(task.imageID), "import_req": ["method": .object(task.method)], "backend": [.null],
    ]
    object["result"] = task.status == .success ? ["image_id": .string(task.imageID)] : .null
    object["message"] = .string(task.message)
    object["image_id"] = .string(task.imageID)
    object["request_id"] = .string(task.requestID)
    object["user_id"] = .string(task.userID)
    return .object(object)
  }

  private func show(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id) = (try request.actor(), try request.parameter("task"))
    let task = try await glance.database.read { session in try ImageTaskStore.get(id, in: session) }
    guard let task, Self.isVisible(task, actor) else { throw APIError.notFound("Task not found with id \(id)") }
    return APIResponse(json: Self.json(task))
  }

  private func listOfImage(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id) = (try request.actor(), try request.parameter("image"))
    let tasks = try await glance.database.read { session in
      _ = try ImageLookup.visible(id, actor, session)
      return try ImageTaskStore.list(in: session) { $0.append("WHERE image_id = ?", .text(id)) }
    }
    // Those whom an image is shared with see the image, not who imported it from where.
    return APIResponse(json: ["tasks": .array(tasks.filter { Self.isVisible($0, actor) }.map { Self.json($0) })])
  }

  private func list(_ request: APIRequest) async throws -> APIResponse {
    let (actor, query) = (try request.actor(), request.query)
    for (name, value) in query {
      switch name {
      case "limit", "marker": break
      case "type":
        guard value == "import" || value == "api_image_import" else {
          throw APIError.badRequest("Invalid type value: \(value)")
        }
      case "status":
        guard ImageTask.Status(rawValue: value) != nil else {
          throw APIError.badRequest("Invalid status value: \(value)")
        }
      case "sort_key":
        guard value == "created_at" else { throw APIError.badRequest("Invalid sort key: \(value)") }
      case "sort_dir":
        guard value == "asc" || value == "desc" else { throw APIError.badRequest("Invalid sort direction: \(value)") }
      default: throw APIError.badRequest("Unknown parameter: \(name)")
      }
    }
    let wanted = try query.int("limit") ?? Self.mostPerPage
    guard wanted >= 0 else { throw APIError.badRequest("limit param must be positive") }
    let limit = min(wanted, Self.mostPerPage)
    var tasks = try await glance.database.read { session in
      try ImageTaskStore.list(in: session) { sql in
        if !actor.isSiteReader { sql.append("WHERE owner = ?", .text(actor.projectID ?? "")) }
      }
    }
    if let status = query["status"] { tasks = tasks.filter { $0.status.rawValue == status } }
    // All are of upstream's newer type.
    if query["type"] == "import" { tasks = [] }
    if query["sort_dir"] == "asc" { tasks.reverse() }
    if let marker = query["marker"], !marker.isEmpty {
      guard let index = tasks.firstIndex(where: { $0.id == marker }) else {
        throw APIError.badRequest("Invalid marker. Task \(marker) is not in this list.")
      }
      tasks = Array(tasks[(index + 1)...])
    }
    let page = Array(tasks.prefix(limit))
    var body: JSONObject = [
      "tasks": .array(page.map { Self.json($0, whole: false) }),
      "first": .string(ImageLinks.path("/v2/tasks", query.items.filter { $0.name != "marker" })),
      "schema": "/v2/schemas/tasks",
    ]
    if tasks.count > limit, let last = page.last {
      let kept = query.items.filter { $0.name != "marker" }
      body["next"] = .string(ImageLinks.path("/v2/tasks", kept + [("marker", last.id)]))
    }
    return APIResponse(json: .object(body))
  }
}
