import APISupport
import Domain
import HTTPTypes
import Store
import Wire

/// Domains. Source: Identity API reference v3, "Domains".
extension KeystoneFacade {
  private static let readers = "those who are in it, and readers of the site"
  private static let attributes: Set<String> = [
    "id", "name", "description", "enabled", "tags", "options", "links", "explicit_domain_id", "domain_id", "parent_id",
    "is_domain",
  ]

  var domainEndpoints: [Endpoint] {
    [
      Endpoint(.get, "/v3/domains", anyRule("list_domains", Self.readers), "list domains") { request in
        let list = try ListFilter(request, ["name", "enabled"])
        let page = try ListPage(request)
        var filter = ProjectFilter(visibility(try request.actor()), isDomain: true)
        filter.name = list.exact("name")
        filter.isEnabled = try list.flag("enabled")
        filter.marker = page.marker
        if !list.needsLook { filter.limit = page.limit.map { $0 + 1 } }
        let domains = try await database.read { [filter] in try ProjectStore.list(filter, in: $0) }
        let shown = domains.filter { domain in list.admits { $0 == "name" ? domain.name : nil } }
        return try listing("domains", shown.map { domainBody($0, request) }, request, page: page)
      },
      Endpoint(.post, "/v3/domains", adminRule("create_domain"), "make a domain") { request in
        let attributes = try await Attributes(request, "domain")
        let id = try attributes.text("explicit_domain_id")
        if let id, id.utf8.count != 32 || !id.utf8.allSatisfy({ ($0 >= 48 && $0 <= 57) || ($0 >= 97 && $0 <= 102) }) {
          throw APIError.badRequest("Domain ID does not conform to required UUID format.")
        }
        var domain = Project(
          id: id ?? Identifier.hex(), name: try attributes.requiredName(limit: 64), domainID: nil, isDomain: true,
          createdAt: request.now)
        domain.isEnabled = try attributes.flag("enabled") ?? true
        domain.description = try attributes.text("description") ?? ""
        if let tags = try attributes.strings("tags") { domain.tags = try checked(tags) }
        try attributes.mergeOptions(into: &domain.options, known: Project.knownOptions)
        try await change { [domain] in try insert(domain, in: $0) }
        return APIResponse(.created, json: ["domain": domainBody(domain, request)])
      },
      Endpoint(.get, "/v3/domains/{domain}", anyRule("get_domain", Self.readers), "show a domain") { request in
        let actor = try request.actor()
        let id = try request.parameter("domain")
        let domain = try await database.read { session in
          let found = try visibleProject(id, actor, in: session, noun: "domain")
          guard found.isDomain else { throw APIError.unseen("domain", id, by: actor) }
          return found
        }
        return APIResponse(json: ["domain": domainBody(domain, request)])
      },
      Endpoint(.patch, "/v3/domains/{domain}", siteReaderRule("update_domain"), "change a domain") { request in
        let attributes = try await Attributes(request, "domain")
        let id = try request.parameter("domain")
        guard try request.actor().isSiteAdmin else {
          // Readers of the site may know that it is not there.
          let isDomain = try await database.read { try ProjectStore.get(id, in: $0)?.isDomain == true }
          throw isDomain ? APIError.unauthorized("update_domain") : APIError.missing("domain", id)
        }
        let domain = try await change(id, attributes, noun: "domain", request)
        return APIResponse(json: ["domain": domainBody(domain, request)])
      },
      Endpoint(
        .delete, "/v3/domains/{domain}", adminRule("delete_domain"), "delete a disabled domain and all that is in it"
      ) {
        request in
        let id = try request.parameter("domain")
        try await change { session in
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
    var body: JSONObject = [
      "id": .string(domain.id), "name": .string(domain.name), "description": .string(domain.description),
      "enabled": .bool(domain.isEnabled), "tags": JSON(domain.tags), "options": .object(domain.options),
      "links": ["self": .string("\(request.serviceURL)/v3/domains/\(domain.id)")],
    ]
    for member in domain.extra where body[member.key] == nil { body[member.key] = member.value }
    return .object(body)
  }
}
