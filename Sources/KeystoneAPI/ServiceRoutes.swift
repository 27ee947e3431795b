import APISupport
import Domain
import HTTPTypes
import Store
import Wire

/// Services of the catalog. The site's own follow from the program: they can be read only.
/// Source: Identity API reference v3, "Service catalog and endpoints".
extension KeystoneFacade {
  private static let attributes: Set<String> = ["id", "type", "name", "description", "enabled", "links"]

  var serviceEndpoints: [Endpoint] {
    [
      Endpoint(.get, "/v3/services", siteReaderRule("list_services"), "list services") { request in
        let filter = try ListFilter(request, ["name", "type"])
        let items = try await catalogSnapshot().services.map { serviceBody($0.record, request) }
        return try listing("services", items.filter { filter.admits($0) }, request)
      },
      Endpoint(.post, "/v3/services", adminRule("create_service"), "add a service to the catalog") { request in
        let attributes = try await Attributes(request, "service")
        var service = CatalogService(
          id: Identifier.hex(), type: try attributes.requiredName("type"), name: try attributes.text("name", limit: 255)
        )
        service.description = try attributes.text("description")
        service.isEnabled = try attributes.flag("enabled") ?? true
        try attributes.merge(into: &service.extra, except: Self.attributes)
        try await change { [service] in try CatalogStore.insert(service, in: $0) }
        return APIResponse(.created, json: ["service": serviceBody(service, request)])
      },
      Endpoint(.get, "/v3/services/{service}", siteReaderRule("get_service"), "show a service") {
        request in
        let id = try request.parameter("service")
        guard let service = try await catalogSnapshot().service(id) else { throw APIError.missing("service", id) }
        return APIResponse(json: ["service": serviceBody(service.record, request)])
      },
      Endpoint(.patch, "/v3/services/{service}", adminRule("update_service"), "change a service") { request in
        let id = try request.parameter("service")
        let attributes = try await Attributes(request, "service")
        let type = try attributes.entityName("type")
        let name = try attributes.optionalText("name", limit: 255)
        let description = try attributes.optionalText("description")
        let enabled = try attributes.flag("enabled")
        let changed = try await change { session in
          var service = try added(service: id, in: session)
          if let type { service.type = type }
          if let name { service.name = name }
          if let description { service.description = description }
          if let enabled { service.isEnabled = enabled }
          try attributes.merge(into: &service.extra, except: Self.attributes)
          try CatalogStore.update(service, in: session)
          return service
        }
        return APIResponse(json: ["service": serviceBody(changed, request)])
      },
      Endpoint(.delete, "/v3/services/{service}", adminRule("delete_service"), "delete a service and its endpoints") {
        request in
        let id = try request.parameter("service")
        try await change { session in
          _ = try added(service: id, in: session)
          guard try !LimitStore.isUsed(service: id, in: session) else {
            throw APIError.conflict("The service \(id) has registered limits: delete them first.")
          }
          try CatalogStore.deleteService(id, in: session)
        }
        return .noContent
      },
    ]
  }

  /// - Throws: 404, and 403 for one of the site's own.
  private func added(service id: String, in session: any Session) throws -> CatalogService {
    guard let service = try CatalogSnapshot(ownServices, in: session).service(id) else {
      throw APIError.missing("service", id)
    }
    guard !service.isOwn else {
      throw APIError.forbidden(
        "The service \(service.record.name ?? id) is this program's own: it cannot be changed or deleted.")
    }
    return service.record
  }
  private func serviceBody(_ service: CatalogService, _ request: APIRequest) -> JSON {
    var body: JSONObject = [
      "id": .string(service.id), "type": .string(service.type), "name": JSON(service.name ?? ""),
      "description": JSON(service.description ?? ""), "enabled": .bool(service.isEnabled),
      "links": ["self": .string("\(request.serviceURL)/v3/services/\(service.id)")],
    ]
    for member in service.extra where body[member.key] == nil { body[member.key] = member.value }
    return .object(body)
  }
}
