import APISupport
import Domain
import HTTPTypes
import Store
import Wire

/// Tags of projects. Source: Identity API reference v3, "Project tags".
extension KeystoneFacade {
  private static let readers = "those who see the project"

  var projectTagEndpoints: [Endpoint] {
    let path = "/v3/projects/{project}/tags"
    return [
      Endpoint(.get, path, anyRule("list_project_tags", Self.readers), "list tags") { request in
        let actor = try request.actor()
        let id = try request.parameter("project")
        let project = try await database.read { try visibleProject(id, actor, in: $0) }
        return tagsAnswer(project.tags, request)
      },
      Endpoint(.put, path, managerRule("update_project_tags"), "replace the tags") { request in
        guard let value = try await request.object()["tags"] else {
          throw APIError.badRequest("'tags' is a required property")
        }
        guard let tags = try Attributes("tags", ["tags": value]).strings("tags") else { return .noContent }
        return tagsAnswer(try await changeTags(request) { $0 = tags }, request)
      },
      Endpoint(.delete, path, managerRule("delete_project_tags"), "remove all tags") { request in
        _ = try await changeTags(request) { $0 = [] }
        return .noContent
      },
      Endpoint(.get, path + "/{tag}", anyRule("get_project_tag", Self.readers), "whether it has a tag") { request in
        let actor = try request.actor()
        let id = try request.parameter("project")
        let tag = try request.parameter("tag")
        let project = try await database.read { try visibleProject(id, actor, in: $0) }
        guard project.tags.contains(tag) else { throw APIError.missing("project tag", tag) }
        return .noContent
      },
      Endpoint(.put, path + "/{tag}", managerRule("create_project_tag"), "add a tag") { request in
        let tag = try request.parameter("tag")
        _ = try await changeTags(request) { if !$0.contains(tag) { $0.append(tag) } }
        return APIResponse(.created, headers: [.location: request.serviceURL + request.path])
      },
      Endpoint(.delete, path + "/{tag}", managerRule("delete_project_tag"), "remove a tag") { request in
        let tag = try request.parameter("tag")
        _ = try await changeTags(request) { tags in
          guard let index = tags.firstIndex(of: tag) else { throw APIError.missing("project tag", tag) }
          tags.remove(at: index)
        }
        return .noContent
      },
    ]
  }

  private func changeTags(_ request: APIRequest, _ body: @escaping @Sendable (inout [String]) throws -> Void)
    async throws -> [String]
  {
    let actor = try request.actor()
    let id = try request.parameter("project")
    return try await change { session in
      var project = try managedProject(id, actor, in: session)
      guard !project.isImmutable else {
        throw APIError.forbidden(
          "Unable to update immutable project resource: `\(id). Set resource option \"immutable\" to false first.")
      }
      try body(&project.tags)
      project.tags = try checked(project.tags)
      try ProjectStore.update(project, in: session)
      return project.tags
    }
  }
  private func tagsAnswer(_ tags: [String], _ request: APIRequest) -> APIResponse {
    APIResponse(
      json: [
        "tags": JSON(tags),
        "links": ["self": .string(request.serviceURL + request.path), "next": nil, "previous": nil],
      ])
  }
  func checked(_ tags: [String]) throws -> [String] {
    guard tags.count <= 80, Set(tags).count == tags.count else {
      throw APIError.badRequest("A project has at most 80 tags, each once.")
    }
    for tag in tags where tag.isEmpty || tag.count > 255 || tag.contains("/") || tag.contains(",") {
      throw APIError.badRequest("Invalid tag '\(tag)': 1 to 255 characters without '/' and ',' are expected.")
    }
    return tags
  }
}
