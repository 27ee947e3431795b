import APISupport
import Conductor
import Domain
import HTTPTypes
import Store
import Wire

/// `/v2/images`. Source: Glance API reference, "Images".
struct ImageRoutes: Sendable {
  let glance: GlanceAPI

  var endpoints: [Endpoint] {
    [
      Endpoint(.get, "/v2/images", .authenticated, "Lists images", handler: list),
      Endpoint(.post, "/v2/images", .member("create"), "Makes an image without content", handler: create),
      Endpoint(.get, "/v2/images/{image}", .authenticated, "Shows an image", handler: show),
      Endpoint(.patch, "/v2/images/{image}", .member("update"), "Changes an image", handler: update),
      Endpoint(.delete, "/v2/images/{image}", .member("delete"), "Deletes an image", handler: delete),
    ]
  }

  private static func answer(_ image: Image, _ status: HTTPResponse.Status = .ok, headers: HTTPFields = [:])
    -> APIResponse
  {
    var writer = JSONWriter(capacity: 2048)
    ImageView.write(image, to: &writer)
    return APIResponse(status, writer, headers: headers)
  }

  private func list(_ request: APIRequest) async throws -> APIResponse {
    let actor = try request.actor()
    let query = try ImageQuery(request.query)
    let (page, hasMore) = try await glance.database.read { session in
      func select(_ more: (inout Query) -> Void = { _ in }) throws -> [Image] {
        try ImageStore.list(in: session) { sql in
          sql.append("WHERE 1 = 1")
          Self.narrow(&sql, actor, query)
          if !query.names.isEmpty { sql.appendIn("AND name IN", query.names.map { .text($0) }) }
          if !query.ids.isEmpty { sql.appendIn("AND id IN", query.ids.map { .text($0) }) }
          more(&sql)
        }
      }
      guard let isNewestFirst = query.isNewestFirst else { return try query.page(of: try select()) }
      return try Self.page(query, isNewestFirst: isNewestFirst, select)
    }
    var writer = JSONWriter(capacity: 1024 * max(page.count, 1))
    writer.beginObject()
    writer.key("images")
    writer.beginArray()
    for image in page { ImageView.write(image, to: &writer) }
    writer.endArray()
    let kept = request.query.items.filter { $0.name != "marker" }
    writer.member("first", ImageLinks.path("/v2/images", kept))
    if hasMore, let last = page.last {
      writer.member("next", ImageLinks.path("/v2/images", kept + [("marker", last.id)]))
    }
    writer.member("schema", "/v2/schemas/images")
    writer.endObject()
    return APIResponse(.ok, writer)
  }

  /// A page that the database cuts.
  /// - Throws: 400 for a marker that is not in the list.
  private static func page(
    _ query: ImageQuery, isNewestFirst: Bool, _ select: ((inout Query) -> Void) throws -> [Image]
  ) throws -> (page: [Image], hasMore: Bool) {
    var last: Image?
    if let marker = query.marker {
      last = try select { $0.append("AND is_hidden = ? AND id = ?", .bool(query.isHidden), .text(marker)) }.first
      if last == nil { throw ImageQuery.invalidMarker(marker) }
    }
    let images = try select { sql in
      sql.append("AND is_hidden = ?", .bool(query.isHidden))
      if let last {
        let (time, id) = (Value(last.createdAt), Value.text(last.id))
        if isNewestFirst {
          sql.append("AND (created_at < ? OR (created_at = ? AND id < ?))", time, time, id)
        } else {
          sql.append("AND (created_at > ? OR (created_at = ? AND id > ?))", time, time, id)
        }
      }
      sql.append(isNewestFirst ? "ORDER BY created_at DESC, id DESC" : "ORDER BY created_at, id")
      sql.append("LIMIT ?", .int(query.limit + 1))
    }
    return (Array(images.prefix(query.limit)), images.count > query.limit)
  }

  /// Which images the caller's list has at all.
  private static func narrow(_ sql: inout Query, _ actor: Actor, _ query: ImageQuery) {
    let own = Value.text(actor.projectID ?? "")
    func shared(_ sql: inout Query) {
      if let status = query.memberStatus {
        sql.append(
          "(visibility = 'shared' AND id IN (SELECT image_id FROM image_members WHERE project_id = ? AND status = ?))",
          own,
          .text(status.rawValue))
      } else {
        sql.append("(visibility = 'shared' AND id IN (SELECT image_id FROM image_members WHERE project_id = ?))", own)
      }
    }
    switch query.audience {
    case .usual, .all:
      if actor.isSiteReader { return }
      sql.append("AND (owner = ? OR visibility = 'public' OR", own)
      shared(&sql)
      if case .all = query.audience { sql.append("OR visibility = 'community'") }
      sql.append(")")
    case .only(let visibility):
      sql.append("AND visibility = ?", .text(visibility.rawValue))
      if actor.isSiteReader { return }
      switch visibility {
      case .public, .community: return
      case .private: sql.append("AND owner = ?", own)
      case .shared:
        sql.append("AND (owner = ? OR", own)
        shared(&sql)
        sql.append(")")
      }
    }
  }

  private func show(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id) = (try request.actor(), try request.parameter("image"))
    return Self.answer(try await glance.database.read { session in try ImageLookup.visible(id, actor, session) })
  }

  private func create(_ request: APIRequest) async throws -> APIResponse {
    let (actor, now) = (try request.actor(), request.now)
    let body = try await request.object()
    let image = try await glance.database.write { try make(body, for: actor, at: now, in: $0) }
    return Self.answer(
      image, .created,
      headers: [
        .location: "\(request.serviceURL)/v2/images/\(image.id)",
        .init(known: "OpenStack-image-import-methods"): glance.importMethods.joined(separator: ","),
      ])
  }

  /// Makes an image without content.
  func make(_ body: JSONObject, for actor: Actor, at now: Timestamp, in session: any Session) throws -> Image {
    let limit = glance.folder.settings.mostPerProject
    guard let owner = body["owner"]?.string ?? actor.projectID else {
      throw APIError.badRequest("The token has no project: name one as owner.")
    }
    guard owner == actor.projectID || actor.isSiteAdmin else {
      throw APIError.forbidden("You are not permitted to create images owned by '\(owner)'.")
    }
    var edit = ImageEdit(actor: actor, image: Image(owner: owner, createdAt: now))
    if let id = body["id"] {
      guard let text = id.string, Identifier.isUUID(text), text == text.lowercased() else {
        throw APIError.badRequest("Invalid image id format: a UUID in lower case is expected.")
      }
      guard try ImageStore.get(text, in: session) == nil else {
        throw APIError.conflict("Image ID \(text) already exists!")
      }
      edit.image.id = text
    }
    for member in body where member.key != "id" { try edit.set(member.key, member.value) }
    guard try ImageStore.count(owner: edit.image.owner, in: session) < limit else {
      throw APIError(.contentTooLarge, "The project has \(limit) images, which is the most; delete some.")
    }
    try ImageStore.insert(edit.image, in: session)
    return edit.image
  }

  private func update(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id, now) = (try request.actor(), try request.parameter("image"), request.now)
    let type = request.headers[.contentType]?.split(separator: ";").first.map { String($0) } ?? ""
    guard let format = ImageEdit.PatchFormat(rawValue: type) else {
      var error = APIError(
        .unsupportedMediaType, "A patch is sent as \(ImageEdit.PatchFormat.final.rawValue), or as 2.0 of it.")
      error.headers[.init(known: "Accept-Patch")] = ImageEdit.PatchFormat.allCases.map(\.rawValue).joined(
        separator: ", ")
      throw error
    }
    let patch = try await request.json()
    let image = try await glance.database.write { session in
      var edit = ImageEdit(actor: actor, image: try ImageLookup.changeable(id, actor, verb: "modify", session))
      try edit.apply(patch: patch, format: format)
      edit.image.updatedAt = now
      try ImageStore.update(edit.image, in: session)
      return edit.image
    }
    return Self.answer(image)
  }

  private func delete(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id) = (try request.actor(), try request.parameter("image"))
    try await glance.database.write { try glance.deleteImage(id, for: actor, in: $0) }
    return .noContent
  }
}
