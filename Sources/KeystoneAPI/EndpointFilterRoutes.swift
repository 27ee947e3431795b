import APISupport
import Domain
import HTTPTypes
import Store
import Wire

/// Which endpoints a project finds in its catalog: a project with an association sees those that it names and no others.
/// Source: Identity API reference v3-ext, "OS-EP-FILTER".
extension KeystoneFacade {
  private static let filterRoot = "/v3/OS-EP-FILTER"

  var endpointFilterEndpoints: [Endpoint] { projectEndpointEndpoints + endpointGroupEndpoints + projectGroupEndpoints }

  private func existingProject(_ id: String, in session: any Session) throws {
    guard try ProjectStore.get(id, in: session) != nil else { throw APIError.missing("project", id) }
  }

  private var projectEndpointEndpoints: [Endpoint] {
    let path = Self.filterRoot + "/projects/{project}/endpoints"
    return [
      Endpoint(.get, path, .siteReader, "endpoints that a project is shown") { request in
        let id = try request.parameter("project")
        let snapshot = try await database.read { session in
          try existingProject(id, in: session)
          return try catalogSnapshot(in: session, readAt: -1)
        }
        let items = snapshot.isFiltered(id) ? snapshot.endpoints(for: id) : []
        return try listing("endpoints", items.map { endpointBody($0, request) }, request)
      },
      Endpoint(.get, path + "/{endpoint}", .siteReader, "whether a project is shown an endpoint by itself") { request in
        let (id, endpoint) = (try request.parameter("project"), try request.parameter("endpoint"))
        guard try await catalogSnapshot().endpointsByProject[id]?.contains(endpoint) == true else {
          throw APIError.notFound("Endpoint \(endpoint) not found in project \(id).")
        }
        return .noContent
      },
      Endpoint(.put, path + "/{endpoint}", adminRule("add_endpoint_to_project"), "show a project an endpoint") {
        request in
        let (id, endpoint) = (try request.parameter("project"), try request.parameter("endpoint"))
        try await change { session in
          try existingProject(id, in: session)
          guard try CatalogSnapshot(ownServices, in: session).endpoint(endpoint) != nil else {
            throw APIError.missing("endpoint", endpoint)
          }
          try EndpointFilterStore.add(endpoint: endpoint, to: id, in: session)
        }
        return .noContent
      },
      Endpoint(
        .delete, path + "/{endpoint}", adminRule("remove_endpoint_from_project"), "no longer show a project an endpoint"
      ) { request in
        let (id, endpoint) = (try request.parameter("project"), try request.parameter("endpoint"))
        try await change { session in
          guard try EndpointFilterStore.remove(endpoint: endpoint, from: id, in: session) else {
            throw APIError.notFound("Endpoint \(endpoint) not found in project \(id).")
          }
        }
        return .noContent
      },
      Endpoint(
        .get, Self.filterRoot + "/endpoints/{endpoint}/projects", .siteReader, "projects that are shown an endpoint"
      ) { request in
        let endpoint = try request.parameter("endpoint")
        let items = try await database.read { session in
          let snapshot = try CatalogSnapshot(ownServices, in: session)
          guard snapshot.endpoint(endpoint) != nil else { throw APIError.missing("endpoint", endpoint) }
          let filtered = Set(snapshot.endpointsByProject.keys).union(snapshot.groupsByProject.keys)
          return try ProjectStore.list(in: session).filter { project in
            filtered.contains(project.id)
              && snapshot.endpoints(for: project.id).contains { $0.record.id == endpoint }
          }
        }
        return try listing("projects", items.map { projectBody($0, request) }, request)
      },
    ]
  }

  private var endpointGroupEndpoints: [Endpoint] {
    let path = Self.filterRoot + "/endpoint_groups"
    return [
      Endpoint(.get, path, .siteReader, "list endpoint groups") { request in
        let filter = try ListFilter(request, ["name"])
        let items = try await catalogSnapshot().groups.map { endpointGroupBody($0, request) }
        return try listing("endpoint_groups", items.filter { filter.admits($0) }, request)
      },
      Endpoint(.post, path, adminRule("create_endpoint_group"), "make an endpoint group") { request in
        let attributes = try await Attributes(request, "endpoint_group")
        guard attributes.values["filters"] != nil else { throw APIError.badRequest("'filters' is a required property") }
        let group = EndpointGroup(
          id: Identifier.hex(), name: try attributes.requiredName(), description: try attributes.text("description"),
          filters: try endpointFilters(attributes) ?? [:])
        try await change { try EndpointFilterStore.insert(group, in: $0) }
        return APIResponse(.created, json: ["endpoint_group": endpointGroupBody(group, request)])
      },
      Endpoint(.get, path + "/{endpoint_group}", .siteReader, "show an endpoint group") { request in
        let id = try request.parameter("endpoint_group")
        let group = try await database.read { try endpointGroup(id, in: $0) }
        return APIResponse(json: ["endpoint_group": endpointGroupBody(group, request)])
      },
      Endpoint(.patch, path + "/{endpoint_group}", adminRule("update_endpoint_group"), "change an endpoint group") {
        request in
        let id = try request.parameter("endpoint_group")
        let attributes = try await Attributes(request, "endpoint_group")
        let name = try attributes.entityName()
        let description = try attributes.optionalText("description")
        let filters = try endpointFilters(attributes)
        let changed = try await change { session in
          var group = try endpointGroup(id, in: session)
          if let name { group.name = name }
          if let description { group.description = description }
          if let filters { group.filters = filters }
          try EndpointFilterStore.update(group, in: session)
          return group
        }
        return APIResponse(json: ["endpoint_group": endpointGroupBody(changed, request)])
      },
      Endpoint(.delete, path + "/{endpoint_group}", adminRule("delete_endpoint_group"), "delete an endpoint group") {
        request in
        let id = try request.parameter("endpoint_group")
        try await change { session in
          _ = try endpointGroup(id, in: session)
          try EndpointFilterStore.deleteGroup(id, in: session)
        }
        return .noContent
      },
      Endpoint(.get, path + "/{endpoint_group}/endpoints", .siteReader, "the endpoints of a group") { request in
        let id = try request.parameter("endpoint_group")
        let items = try await database.read { session in
          try CatalogSnapshot(ownServices, in: session).endpoints(in: endpointGroup(id, in: session))
        }
        return try listing("endpoints", items.map { endpointBody($0, request) }, request)
      },
    ]
  }

  private var projectGroupEndpoints: [Endpoint] {
    let path = Self.filterRoot + "/endpoint_groups/{endpoint_group}/projects"
    return [
      Endpoint(.get, path, .siteReader, "projects that are shown a group") { request in
        let id = try request.parameter("endpoint_group")
        let items = try await database.read { session in
          _ = try endpointGroup(id, in: session)
          let shown = try EndpointFilterStore.groupsByProject(in: session)
          return try ProjectStore.list(in: session).filter { shown[$0.id]?.contains(id) == true }
        }
        return try listing("projects", items.map { projectBody($0, request) }, request)
      },
      Endpoint(.get, path + "/{project}", .siteReader, "whether a project is shown a group") { request in
        let (id, project) = (try request.parameter("endpoint_group"), try request.parameter("project"))
        let body = try await database.read { session in
          let group = try endpointGroup(id, in: session)
          guard try EndpointFilterStore.groupsByProject(in: session)[project]?.contains(id) == true else {
            throw APIError.notFound("Endpoint Group Project Association not found.")
          }
          return endpointGroupBody(group, request)
        }
        return APIResponse(json: ["endpoint_group": body])
      },
      Endpoint(.put, path + "/{project}", adminRule("add_endpoint_group_to_project"), "show a project a group") {
        request in
        let (id, project) = (try request.parameter("endpoint_group"), try request.parameter("project"))
        try await change { session in
          _ = try endpointGroup(id, in: session)
          try existingProject(project, in: session)
          try EndpointFilterStore.add(group: id, to: project, in: session)
        }
        return .noContent
      },
      Endpoint(
        .delete, path + "/{project}", adminRule("remove_endpoint_group_from_project"),
        "no longer show a project a group"
      ) { request in
        let (id, project) = (try request.parameter("endpoint_group"), try request.parameter("project"))
        try await change { session in
          _ = try endpointGroup(id, in: session)
          guard try EndpointFilterStore.remove(group: id, from: project, in: session) else {
            throw APIError.notFound("Endpoint Group Project Association not found.")
          }
        }
        return .noContent
      },
      Endpoint(
        .get, Self.filterRoot + "/projects/{project}/endpoint_groups", .siteReader, "groups that a project is shown"
      ) { request in
        let project = try request.parameter("project")
        let items = try await database.read { session in
          try existingProject(project, in: session)
          let shown = try EndpointFilterStore.groupsByProject(in: session)[project] ?? []
          return try EndpointFilterStore.groups(in: session).filter { shown.contains($0.id) }
        }
        return try listing("endpoint_groups", items.map { endpointGroupBody($0, request) }, request)
      },
    ]
  }

  private func endpointFilters(_ attributes: Attributes) throws -> JSONObject? {
    guard let value = attributes.values["filters"] else { return nil }
    guard let filters = value.object, !filters.isEmpty, filters.allSatisfy({ $0.value.string != nil }),
      filters.allSatisfy({ EndpointGroup.knownFilters.contains($0.key) })
    else {
      throw attributes.invalid(
        "filters", "an object is expected with at least one of interface, region_id, service_id")
    }
    if let interface = filters["interface"]?.string, CatalogEndpoint.Interface(rawValue: interface) == nil {
      throw attributes.invalid("filters", "'\(interface)' is not one of admin, internal, public")
    }
    return filters
  }
  private func endpointGroup(_ id: String, in session: any Session) throws -> EndpointGroup {
    guard let group = try EndpointFilterStore.group(id, in: session) else {
      throw APIError.missing("Endpoint Group", id)
    }
    return group
  }
  private func endpointGroupBody(_ group: EndpointGroup, _ request: APIRequest) -> JSON {
    [
      "id": .string(group.id), "name": .string(group.name), "description": JSON(group.description),
      "filters": .object(group.filters),
      "links": ["self": .string("\(request.serviceURL)\(Self.filterRoot)/endpoint_groups/\(group.id)")],
    ]
  }
}
