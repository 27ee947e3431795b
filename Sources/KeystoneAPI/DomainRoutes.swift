import APISupport
import Domain
import HTTPTypes
import Store
import Wire

/// Domains. Source: Identity API reference v3, "Domains".
extension KeystoneFacade {
  private static let readers = "those who are in it, and readers of the site"

  var domainEndpoints: [Endpoint] {
    [
      Endpoint(.get, "/v3/domains", anyRule("list_domains", Self.readers), "list domains") { request in
        let actor = try request.actor()
        let name = request.query["name"]
        let domains = try await database.read { session in
          let ids = try actor.isSiteReader ? [] : reachable(by: actor, in: session)
          return try ProjectStore.list(name: name, isDomain: true, in: session).filter {
            IdentityPolicy.sees(project: $0, actor, reachable: ids)
          }
        }
        return listing(
          "domains", matching(domains.map { domainBody($0, request) }, request, ["name", "enabled"]), request)
      },
      Endpoint(.post, "/v3/domains", adminRule("create_domain"), "make a domain") { request in
        let attributes = try await Attributes(request, "domain")
        var domain = Project(
          id: Identifier.hex(), name: try attributes.requiredName(limit: 64), domainID: nil, isDomain: true,
          createdAt: request.now)
        domain.isEnabled = try attributes.flag("enabled") ?? true
        domain.description = try attributes.text("description") ?? ""
        try await database.write { [domain] in try insert(domain, in: $0) }
        return APIResponse(.created, json: ["domain": domainBody(domain, request)])
      },
      Endpoint(.get, "/v3/domains/{domain}", anyRule("get_domain", Self.readers), "show a domain") { request in
        let actor = try request.actor()
        let id = try request.parameter("domain")
        let domain = try await database.read { session in
          let found = try visibleProject(id, actor, in: session, noun: "domain")
          guard found.isDomain else { throw APIError.missing("domain", id) }
          return found
        }
        return APIResponse(json: ["domain": domainBody(domain, request)])
      },
      Endpoint(.patch, "/v3/domains/{domain}", adminRule("update_domain"), "change a domain") { request in
        let attributes = try await Attributes(request, "domain")
        let domain = try await change(try request.parameter("domain"), attributes, noun: "domain", request)
        return APIResponse(json: ["domain": domainBody(domain, request)])
      },
      Endpoint(
        .delete, "/v3/domains/{domain}", adminRule("delete_domain"), "delete a disabled domain and all that is in it"
      ) {
        request in
        let id = try request.parameter("domain")
        try await database.write { session in
          guard let domain = try ProjectStore.get(id, in: session), domain.isDomain else {
            throw APIError.missing("domain", id)
          }
          try delete(domain, at: request.now, in: session)
        }
        return .noContent
      },
    ]
  }

  func domainBody(_ domain: Project, _ request: APIRequest) -> JSON {
    [
      "id": .string(domain.id), "name": .string(domain.name), "description": .string(domain.description),
      "enabled": .bool(domain.isEnabled), "tags": JSON(domain.tags), "options": [:],
      "links": ["self": .string("\(request.serviceURL)/v3/domains/\(domain.id)")],
    ]
  }
}

/// Tags of projects. Source: Identity API reference v3, "Project tags".
extension KeystoneFacade {
  var projectTagEndpoints: [Endpoint] {
    @Sendable func change(_ request: APIRequest, _ body: @escaping @Sendable (inout [String]) throws -> Void)
      async throws
      -> [String]
    {
      let id = try request.parameter("project")
      return try await database.write { session in
        guard var project = try ProjectStore.get(id, in: session) else { throw APIError.missing("project", id) }
        try body(&project.tags)
        project.tags = try checked(project.tags)
        try ProjectStore.update(project, in: session)
        return project.tags
      }
    }
    @Sendable func links(_ request: APIRequest) -> JSON {
      ["self": .string(request.serviceURL + request.path), "next": nil, "previous": nil]
    }
    return [
      Endpoint(
        .get, "/v3/projects/{project}/tags", anyRule("list_project_tags", "those who see the project"), "list tags"
      ) {
        request in
        let actor = try request.actor()
        let id = try request.parameter("project")
        let project = try await database.read { try visibleProject(id, actor, in: $0) }
        return APIResponse(json: ["tags": JSON(project.tags), "links": links(request)])
      },
      Endpoint(.put, "/v3/projects/{project}/tags", adminRule("update_project_tags"), "replace the tags") { request in
        guard let tags = try await request.object()["tags"]?.array?.compactMap(\.string) else {
          throw APIError.badRequest("'tags' is a required property")
        }
        let now = try await change(request) { $0 = tags }
        return APIResponse(json: ["tags": JSON(now), "links": links(request)])
      },
      Endpoint(.delete, "/v3/projects/{project}/tags", adminRule("delete_project_tags"), "remove all tags") { request in
        _ = try await change(request) { $0 = [] }
        return .noContent
      },
      Endpoint(
        .get, "/v3/projects/{project}/tags/{tag}", anyRule("get_project_tag", "those who see the project"),
        "whether it has a tag"
      ) {
        request in
        let actor = try request.actor()
        let id = try request.parameter("project")
        let tag = try request.parameter("tag")
        let project = try await database.read { try visibleProject(id, actor, in: $0) }
        guard project.tags.contains(tag) else { throw APIError.missing("project tag", tag) }
        return .noContent
      },
      Endpoint(.put, "/v3/projects/{project}/tags/{tag}", adminRule("create_project_tag"), "add a tag") { request in
        let tag = try request.parameter("tag")
        _ = try await change(request) { if !$0.contains(tag) { $0.append(tag) } }
        return APIResponse(.created)
      },
      Endpoint(.delete, "/v3/projects/{project}/tags/{tag}", adminRule("delete_project_tag"), "remove a tag") {
        request in
        let tag = try request.parameter("tag")
        _ = try await change(request) { tags in
          guard let index = tags.firstIndex(of: tag) else { throw APIError.missing("project tag", tag) }
          tags.remove(at: index)
        }
        return .noContent
      },
    ]
  }
}
