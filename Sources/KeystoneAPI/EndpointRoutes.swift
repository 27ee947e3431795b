import APISupport
import Domain
import HTTPTypes
import Store
import Wire

/// Endpoints of the catalog. The site's own follow from the program: they can be read only.
/// Source: Identity API reference v3, "Service catalog and endpoints".
extension KeystoneFacade {
  private static let attributes: Set<String> = [
    "id", "service_id", "interface", "region", "region_id", "url", "enabled", "links",
  ]

  var endpointEndpoints: [Endpoint] {
    [
      Endpoint(.get, "/v3/endpoints", siteReaderRule("list_endpoints"), "list endpoints") { request in
        let filter = try ListFilter(request, ["interface", "service_id", "region_id", "region", "enabled"])
        let items = try await catalogSnapshot().endpoints.map { endpointBody($0, request) }
        return try listing("endpoints", items.filter { filter.admits($0) }, request)
      },
      Endpoint(.post, "/v3/endpoints", adminRule("create_endpoint"), "add an endpoint to the catalog") { request in
        let attributes = try await Attributes(request, "endpoint")
        _ = try attributes.requiredText("interface")
        _ = try attributes.requiredText("url", limit: 2048)
        _ = try attributes.requiredText("service_id")
        let endpoint = try await change { session in
          var endpoint = CatalogEndpoint(
            id: Identifier.hex(), serviceID: "", interface: .public, regionID: nil, url: "")
          try apply(attributes, to: &endpoint, in: session)
          try CatalogStore.insert(endpoint, in: session)
          return endpoint
        }
        return APIResponse(
          .created, json: ["endpoint": endpointBody(.init(record: endpoint, isOwn: false), request)])
      },
      Endpoint(.get, "/v3/endpoints/{endpoint}", siteReaderRule("get_endpoint"), "show an endpoint") {
        request in
        let id = try request.parameter("endpoint")
        guard let endpoint = try await catalogSnapshot().endpoint(id) else { throw APIError.missing("endpoint", id) }
        return APIResponse(json: ["endpoint": endpointBody(endpoint, request)])
      },
      Endpoint(.patch, "/v3/endpoints/{endpoint}", adminRule("update_endpoint"), "change an endpoint") { request in
        let id = try request.parameter("endpoint")
        let attributes = try await Attributes(request, "endpoint")
        let changed = try await change { session in
          var endpoint = try added(endpoint: id, in: session)
          try apply(attributes, to: &endpoint, in: session)
          try CatalogStore.update(endpoint, in: session)
          return endpoint
        }
        return APIResponse(json: ["endpoint": endpointBody(.init(record: changed, isOwn: false), request)])
      },
      Endpoint(.delete, "/v3/endpoints/{endpoint}", adminRule("delete_endpoint"), "delete an endpoint") { request in
        let id = try request.parameter("endpoint")
        try await change { session in
          _ = try added(endpoint: id, in: session)
          try CatalogStore.deleteEndpoint(id, in: session)
        }
        return .noContent
      },
    ]
  }

  private func apply(_ attributes: Attributes, to endpoint: inout CatalogEndpoint, in session: any Session) throws {
    if let text = try attributes.text("interface") {
      guard let interface = CatalogEndpoint.Interface(rawValue: text) else {
        throw attributes.invalid("interface", "'\(text)' is not one of admin, internal, public")
      }
      endpoint.interface = interface
    }
    if let url = try attributes.text("url", limit: 2048) {
      guard isURL(url) else { throw APIError.badRequest("Cannot create an endpoint with an invalid URL: \(url).") }
      endpoint.url = url
    }
    if let service = try attributes.text("service_id") {
      guard try CatalogSnapshot(ownServices, in: session).service(service) != nil else {
        throw APIError.badRequest("Could not find service: \(service).")
      }
      endpoint.serviceID = service
    }
    if let region = try attributes.optionalText("region_id") {
      if let region, try RegionStore.get(region, in: session) == nil {
        throw APIError.badRequest("Could not find region: \(region).")
      }
      endpoint.regionID = region
    } else if let region = try attributes.text("region", limit: 255) {
      // The older name of the attribute makes the region, as upstream.
      if try RegionStore.get(region, in: session) == nil {
        try RegionStore.insert(Region(id: region), in: session)
      }
      endpoint.regionID = region
    }
    if let enabled = try attributes.flag("enabled") { endpoint.isEnabled = enabled }
    try attributes.merge(into: &endpoint.extra, except: Self.attributes)
  }
  /// A scheme and something after it, without spaces; what is in `$(…)s` is known.
  private func isURL(_ text: String) -> Bool {
    guard let colon = text.firstRange(of: "://"), colon.lowerBound > text.startIndex, colon.upperBound < text.endIndex,
      !text.unicodeScalars.contains(where: { $0.value <= 32 || $0.value == 127 })
    else { return false }
    return CatalogEndpoint(id: "", serviceID: "", interface: .public, regionID: nil, url: text)
      .url(project: "p", user: "u") != nil
  }

  /// - Throws: 404, and 403 for one of the site's own.
  private func added(endpoint id: String, in session: any Session) throws -> CatalogEndpoint {
    guard let endpoint = try CatalogSnapshot(ownServices, in: session).endpoint(id) else {
      throw APIError.missing("endpoint", id)
    }
    guard !endpoint.isOwn else {
      throw APIError.forbidden(
        "The endpoint \(id) is this program's own: its address follows from the configuration (listen, public_url).")
    }
    return endpoint.record
  }
  func endpointBody(_ endpoint: CatalogSnapshot.Endpoint, _ request: APIRequest) -> JSON {
    let record = endpoint.record
    var body: JSONObject = [
      "id": .string(record.id), "interface": .string(record.interface.rawValue), "region": JSON(record.regionID),
      "region_id": JSON(record.regionID), "service_id": .string(record.serviceID),
      "url": .string(endpoint.url(origin: request.origin)), "enabled": .bool(record.isEnabled),
      "links": ["self": .string("\(request.serviceURL)/v3/endpoints/\(record.id)")],
    ]
    for member in record.extra where body[member.key] == nil { body[member.key] = member.value }
    return .object(body)
  }
}
