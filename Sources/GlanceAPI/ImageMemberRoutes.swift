import APISupport
import Domain
import Store
import Wire

/// `/v2/images/{image}/members`: projects that a shared image is offered to. Source: Glance API reference, "Sharing".
struct ImageMemberRoutes: Sendable {
  let glance: GlanceAPI
  private static let most = 128

  var endpoints: [Endpoint] {
    let path = "/v2/images/{image}/members"
    return [
      Endpoint(.get, path, .authenticated, "Lists an image's members", handler: list),
      Endpoint(.post, path, .member("member:create"), "Offers an image to a project", handler: create),
      Endpoint(.get, path + "/{member}", .authenticated, "Shows an image's member", handler: show),
      Endpoint(.put, path + "/{member}", .member("member:update"), "Answers an offer", handler: update),
      Endpoint(.delete, path + "/{member}", .member("member:delete"), "Takes an offer back", handler: delete),
    ]
  }

  private static func json(_ member: ImageMember) -> JSON {
    [
      "image_id": .string(member.imageID), "member_id": .string(member.projectID),
      "status": .string(member.status.rawValue),
      "created_at": .string(member.createdAt.iso8601Zulu), "updated_at": .string(member.updatedAt.iso8601Zulu),
      "schema": "/v2/schemas/member",
    ]
  }
  private static func notFound(_ id: String, _ project: String) -> APIError {
    .notFound("\(project) not found in the member list of the image \(id).")
  }

  /// The owner sees all of them, a member itself only.
  private static func visible(_ image: Image, _ actor: Actor, _ session: any Session) throws -> [ImageMember] {
    guard image.visibility == .shared else { throw APIError.forbidden("Only shared images have members.") }
    let members = try ImageStore.members(of: image.id, in: session)
    if actor.isSiteReader || actor.projectID == image.owner { return members }
    return members.filter { $0.projectID == actor.projectID }
  }

  private func list(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id) = (try request.actor(), try request.parameter("image"))
    let members = try await glance.database.read { session in
      try Self.visible(try ImageLookup.visible(id, actor, session), actor, session)
    }
    return APIResponse(json: ["members": .array(members.map { Self.json($0) }), "schema": "/v2/schemas/members"])
  }
  private func show(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id, project) = (try request.actor(), try request.parameter("image"), try request.parameter("member"))
    let member = try await glance.database.read { session in
      try Self.visible(try ImageLookup.visible(id, actor, session), actor, session).first { $0.projectID == project }
    }
    guard let member else { throw Self.notFound(id, project) }
    return APIResponse(json: Self.json(member))
  }

  private func create(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id, now) = (try request.actor(), try request.parameter("image"), request.now)
    guard let project = try await request.object()["member"]?.string, !project.isEmpty, project.utf8.count <= 255 else {
      throw APIError.badRequest("Member to be added not specified")
    }
    let member = try await glance.database.write { session in
      let image = try ImageLookup.changeable(id, actor, verb: "share", session)
      guard image.visibility == .shared else { throw APIError.forbidden("Only shared images have members.") }
      let members = try ImageStore.members(of: id, in: session)
      guard !members.contains(where: { $0.projectID == project }) else {
        throw APIError.conflict("Member \(project) is duplicated for image \(id)")
      }
      guard members.count < Self.most else {
        throw APIError(.contentTooLarge, "An image has at most \(Self.most) members.")
      }
      let member = ImageMember(imageID: id, projectID: project, createdAt: now)
      try ImageStore.set(member, in: session)
      return member
    }
    return APIResponse(json: Self.json(member))
  }

  private func update(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id, project) = (try request.actor(), try request.parameter("image"), try request.parameter("member"))
    let now = request.now
    guard let status = try await request.object()["status"]?.string.flatMap({ ImageMember.Status(rawValue: $0) }) else {
      throw APIError.badRequest("Status not specified: pending, accepted or rejected is expected.")
    }
    let member = try await glance.database.write { session in
      let image = try ImageLookup.visible(id, actor, session)
      guard image.visibility == .shared, var member = try ImageStore.member(project, of: id, in: session),
        actor.isSiteAdmin || actor.projectID == image.owner || actor.projectID == project
      else { throw Self.notFound(id, project) }
      guard actor.projectID == project || actor.isSiteAdmin else {
        throw APIError.forbidden("Only the member itself answers the offer.")
      }
      member.status = status
      member.updatedAt = now
      try ImageStore.set(member, in: session)
      return member
    }
    return APIResponse(json: Self.json(member))
  }

  private func delete(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id, project) = (try request.actor(), try request.parameter("image"), try request.parameter("member"))
    try await glance.database.write { session in
      let image = try ImageLookup.changeable(id, actor, verb: "unshare", session)
      guard image.visibility == .shared else { throw APIError.forbidden("Only shared images have members.") }
      guard try ImageStore.member(project, of: id, in: session) != nil else { throw Self.notFound(id, project) }
      try ImageStore.removeMember(project, of: id, in: session)
    }
    return .noContent
  }
}
