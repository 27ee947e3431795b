import APISupport
import Domain
import HTTPTypes
import Store
import Wire

/// What projects may have by default. Source: Identity API reference v3, "Unified Limits".
///
/// The identity service keeps the numbers; the services that know the resources hold to them.
extension KeystoneFacade {
  private static let readers = "anyone with a token"
  private static let registeredAttributes: Set<String> = [
    "service_id", "region_id", "resource_name", "default_limit", "description",
  ]

  var registeredLimitEndpoints: [Endpoint] {
    let path = "/v3/registered_limits"
    return [
      Endpoint(.get, path, anyRule("list_registered_limits", Self.readers), "list registered limits") { request in
        let filter = try ListFilter(request, ["service_id", "region_id", "resource_name"])
        let limits = try await database.read {
          try LimitStore.registered(
            service: filter.exact("service_id"), region: filter.exact("region_id"),
            resource: filter.exact("resource_name"), in: $0)
        }
        let shown = limits.filter { limit in filter.admits { $0 == "resource_name" ? limit.resourceName : nil } }
        return try listing("registered_limits", shown.map { registeredBody($0, request) }, request)
      },
      Endpoint(.post, path, adminRule("create_registered_limits"), "make registered limits") { request in
        let items = try await Self.items(request, "registered_limits")
        let limits = try await change { session in
          try items.map { attributes in
            try Self.refuseUnknown(attributes, Self.registeredAttributes)
            var limit = RegisteredLimit(
              id: Identifier.hex(), serviceID: try attributes.requiredText("service_id"), regionID: nil,
              resourceName: try attributes.requiredName("resource_name"), defaultLimit: 0, description: nil)
            guard attributes.values["default_limit"] != nil else {
              throw APIError.badRequest("'default_limit' is a required property")
            }
            try apply(attributes, to: &limit, in: session)
            try withConflict(Self.conflict("registered_limit")) { try LimitStore.insert(limit, in: session) }
            return limit
          }
        }
        return APIResponse(
          .created, json: ["registered_limits": .array(limits.map { registeredBody($0, request) })])
      },
      Endpoint(
        .get, path + "/{registered_limit}", anyRule("get_registered_limit", Self.readers), "show a registered limit"
      ) { request in
        let id = try request.parameter("registered_limit")
        let limit = try await database.read { try registered(id, in: $0) }
        return APIResponse(json: ["registered_limit": registeredBody(limit, request)])
      },
      Endpoint(
        .patch, path + "/{registered_limit}", adminRule("update_registered_limit"), "change a registered limit"
      ) { request in
        let id = try request.parameter("registered_limit")
        let attributes = try await Attributes(request, "registered_limit")
        try Self.refuseUnknown(attributes, Self.registeredAttributes)
        let changed = try await change { session in
          var limit = try registered(id, in: session)
          let isOther = ["service_id", "region_id", "resource_name"].contains { attributes.values[$0] != nil }
          if isOther { try refuseUsed(id, in: session) }
          try apply(attributes, to: &limit, in: session)
          try withConflict(Self.conflict("registered_limit")) { try LimitStore.update(limit, in: session) }
          return limit
        }
        return APIResponse(json: ["registered_limit": registeredBody(changed, request)])
      },
      Endpoint(
        .delete, path + "/{registered_limit}", adminRule("delete_registered_limit"), "delete a registered limit"
      ) { request in
        let id = try request.parameter("registered_limit")
        try await change { session in
          _ = try registered(id, in: session)
          try refuseUsed(id, in: session)
          try LimitStore.deleteRegistered(id, in: session)
        }
        return .noContent
      },
    ]
  }

  private static func items(_ request: APIRequest, _ name: String) async throws -> [Attributes] {
    guard let items = try await request.object()[name]?.array, !items.isEmpty, items.count <= 1000 else {
      throw APIError.badRequest("Expecting to find \(name), a list of 1 to 1000 objects, in the request body.")
    }
    return try items.map { item in
      guard let object = item.object else { throw APIError.badRequest("\(name) must be a list of objects.") }
      return Attributes(name, object)
    }
  }
  private static func refuseUnknown(_ attributes: Attributes, _ known: Set<String>) throws {
    for key in attributes.values.keys where !known.contains(key) {
      throw attributes.invalid(key, "there are only \(known.sorted().joined(separator: ", "))")
    }
  }
  private static func conflict(_ type: String) -> String {
    "Conflict occurred attempting to store \(type) - Duplicate entry."
  }
  private func registered(_ id: String, in session: any Session) throws -> RegisteredLimit {
    guard let limit = try LimitStore.registered(id, in: session) else {
      throw APIError.notFound("Could not find registered limit for \(id).")
    }
    return limit
  }
  private func refuseUsed(_ id: String, in session: any Session) throws {
    guard try !LimitStore.isUsed(id, in: session) else {
      throw APIError.forbidden(
        "Unable to update or delete registered limit \(id) because there are project limits associated with it.")
    }
  }
  private func apply(_ attributes: Attributes, to limit: inout RegisteredLimit, in session: any Session) throws {
    if let service = try attributes.text("service_id") {
      guard try CatalogSnapshot(ownServices, in: session).service(service) != nil else {
        throw APIError.badRequest("Could not find service: \(service).")
      }
      limit.serviceID = service
    }
    if let region = try attributes.optionalText("region_id") {
      if let region, try RegionStore.get(region, in: session) == nil {
        throw APIError.badRequest("Could not find region: \(region).")
      }
      limit.regionID = region
    }
    if let name = try attributes.entityName("resource_name") { limit.resourceName = name }
    if let number = try attributes.int("default_limit", in: RegisteredLimit.range) { limit.defaultLimit = number }
    if let description = try attributes.optionalText("description") { limit.description = description }
  }
  private func registeredBody(_ limit: RegisteredLimit, _ request: APIRequest) -> JSON {
    [
      "id": .string(limit.id), "service_id": .string(limit.serviceID), "region_id": JSON(limit.regionID),
      "resource_name": .string(limit.resourceName), "default_limit": .int(limit.defaultLimit),
      "description": JSON(limit.description),
      "links": ["self": .string("\(request.serviceURL)/v3/registered_limits/\(limit.id)")],
    ]
  }
}

/// What one project, or one domain, may have instead.
extension KeystoneFacade {
  private static let limitReaders = "one's project and domain; all for readers of the site and services"
  private static let limitAttributes: Set<String> = [
    "service_id", "region_id", "resource_name", "resource_limit", "description", "project_id", "domain_id",
  ]

  var limitEndpoints: [Endpoint] {
    let path = "/v3/limits"
    return [
      Endpoint(.get, path, anyRule("list_limits", Self.limitReaders), "list limits") { request in
        let actor = try request.actor()
        let filter = try ListFilter(request, ["service_id", "region_id", "resource_name", "project_id", "domain_id"])
        let limits = try await database.read {
          try LimitStore.list(
            service: filter.exact("service_id"), region: filter.exact("region_id"),
            resource: filter.exact("resource_name"),
            project: filter.exact("project_id") ?? filter.exact("domain_id"), in: $0)
        }
        let sees = try await limitVisibility(actor)
        let shown = limits.filter { limit in
          if filter.exact("domain_id") != nil && !limit.isForDomain { return false }
          if filter.exact("project_id") != nil && limit.isForDomain { return false }
          return sees(limit) && filter.admits { $0 == "resource_name" ? limit.registered.resourceName : nil }
        }
        return try listing("limits", shown.map { limitBody($0, request) }, request)
      },
      Endpoint(.get, path + "/model", anyRule("get_limit_model", Self.readers), "how limits add up") { _ in
        APIResponse(
          json: [
            "model": [
              "name": "flat",
              "description":
                "Limit enforcement and validation does not take project hierarchy into consideration.",
            ]
          ])
      },
      Endpoint(.post, path, adminRule("create_limits"), "make limits") { request in
        let items = try await Self.items(request, "limits")
        let limits = try await change { session in
          try items.map { attributes in
            let limit = try newLimit(attributes, in: session)
            try withConflict(Self.conflict("limit")) { try LimitStore.insert(limit, in: session) }
            return limit
          }
        }
        return APIResponse(.created, json: ["limits": .array(limits.map { limitBody($0, request) })])
      },
      Endpoint(.get, path + "/{limit}", anyRule("get_limit", Self.limitReaders), "show a limit") { request in
        let actor = try request.actor()
        let id = try request.parameter("limit")
        let sees = try await limitVisibility(actor)
        guard let limit = try await database.read({ try LimitStore.get(id, in: $0) }), sees(limit) else {
          throw actor.isSiteReader
            ? APIError.notFound("Could not find limit for \(id).") : APIError.unseen("limit", id, by: actor)
        }
        return APIResponse(json: ["limit": limitBody(limit, request)])
      },
      Endpoint(.patch, path + "/{limit}", adminRule("update_limit"), "change a limit") { request in
        let id = try request.parameter("limit")
        let attributes = try await Attributes(request, "limit")
        try Self.refuseUnknown(attributes, ["resource_limit", "description"])
        let number = try attributes.int("resource_limit", in: RegisteredLimit.range)
        let description = try attributes.optionalText("description")
        let changed = try await change { session in
          var limit = try self.limit(id, in: session)
          if let number { limit.resourceLimit = number }
          if let description { limit.description = description }
          try LimitStore.update(limit, in: session)
          return limit
        }
        return APIResponse(json: ["limit": limitBody(changed, request)])
      },
      Endpoint(.delete, path + "/{limit}", adminRule("delete_limit"), "delete a limit") { request in
        let id = try request.parameter("limit")
        try await change { session in
          _ = try limit(id, in: session)
          try LimitStore.delete(id, in: session)
        }
        return .noContent
      },
    ]
  }

  /// Services and readers of the site see all limits; a domain's readers those of the domain and its projects; everyone
  /// else those of the project that the token is for.
  private func limitVisibility(_ actor: Actor) async throws -> @Sendable (Limit) -> Bool {
    if actor.isSiteReader || (actor.has("service") && (actor.isAdminProject || actor.scope == .system)) {
      return { _ in true }
    }
    switch IdentityPolicy.read(by: actor) {
    case .site: return { _ in true }
    case .domain(let id):
      let projects = try await database.read { Set(try ProjectStore.list(domain: id, in: $0).map(\.id)) }
      return { $0.projectID == id || projects.contains($0.projectID) }
    case .nothing:
      let project = actor.projectID
      return { $0.projectID == project }
    }
  }
  private func limit(_ id: String, in session: any Session) throws -> Limit {
    guard let limit = try LimitStore.get(id, in: session) else {
      throw APIError.notFound("Could not find limit for \(id).")
    }
    return limit
  }
  private func newLimit(_ attributes: Attributes, in session: any Session) throws -> Limit {
    try Self.refuseUnknown(attributes, Self.limitAttributes)
    let service = try attributes.requiredText("service_id")
    let resource = try attributes.requiredName("resource_name")
    let (projectID, domainID) = (try attributes.text("project_id"), try attributes.text("domain_id"))
    guard let place = projectID ?? domainID, projectID == nil || domainID == nil else {
      throw APIError.badRequest("One of project_id and domain_id is a required property.")
    }
    guard let project = try ProjectStore.get(place, in: session), domainID == nil || project.isDomain else {
      throw APIError.badRequest("Could not find \(projectID == nil ? "domain" : "project"): \(place).")
    }
    guard let number = try attributes.int("resource_limit", in: RegisteredLimit.range) else {
      throw APIError.badRequest("'resource_limit' is a required property")
    }
    let region = try attributes.text("region_id")
    guard let registered = try LimitStore.registered(for: service, region, resource, in: session) else {
      throw APIError.forbidden("Unable to create a limit that has no corresponding registered limit.")
    }
    return Limit(
      id: Identifier.hex(), registered: registered, projectID: place, isForDomain: project.isDomain,
      resourceLimit: number, description: try attributes.text("description"))
  }
  private func limitBody(_ limit: Limit, _ request: APIRequest) -> JSON {
    [
      "id": .string(limit.id), "service_id": .string(limit.registered.serviceID),
      "region_id": JSON(limit.registered.regionID), "resource_name": .string(limit.registered.resourceName),
      "resource_limit": .int(limit.resourceLimit), "description": JSON(limit.description),
      "project_id": limit.isForDomain ? .null : .string(limit.projectID),
      "domain_id": limit.isForDomain ? .string(limit.projectID) : .null,
      "links": ["self": .string("\(request.serviceURL)/v3/limits/\(limit.id)")],
    ]
  }
}
