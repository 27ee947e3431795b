import APISupport
import Domain
import HTTPTypes
import Store
import Wire

/// Regions. Source: Identity API reference v3, "Regions".
extension KeystoneFacade {
  private static let attributes: Set<String> = ["id", "description", "parent_region_id", "links"]

  var regionEndpoints: [Endpoint] {
    [
      Endpoint(.get, "/v3/regions", anyRule("list_regions", "anyone with a token"), "list regions") { request in
        let filter = try ListFilter(request, ["parent_region_id"])
        let items = try await database.read { try RegionStore.list(in: $0) }.map { regionBody($0, request) }
        return try listing("regions", items.filter { filter.admits($0) }, request)
      },
      Endpoint(.post, "/v3/regions", adminRule("create_region"), "make a region") { request in
        let attributes = try await Attributes(request, "region")
        let id = try attributes.text("id", limit: 255).flatMap { $0.isEmpty ? nil : $0 } ?? Identifier.hex()
        return try await createRegion(id, attributes, request)
      },
      Endpoint(.get, "/v3/regions/{region}", anyRule("get_region", "anyone with a token"), "show a region") { request in
        let id = try request.parameter("region")
        let found = try await database.read { try region(id, in: $0) }
        return APIResponse(json: ["region": regionBody(found, request)])
      },
      Endpoint(.put, "/v3/regions/{region}", adminRule("create_region"), "make a region of this id") { request in
        let id = try request.parameter("region")
        let attributes = try await Attributes(request, "region")
        guard try attributes.text("id") ?? id == id else {
          throw APIError.badRequest("The id in the body is not the one in the path.")
        }
        return try await createRegion(id, attributes, request)
      },
      Endpoint(.patch, "/v3/regions/{region}", adminRule("update_region"), "change a region") { request in
        let id = try request.parameter("region")
        let attributes = try await Attributes(request, "region")
        let description = try attributes.optionalText("description")
        let parent = try attributes.optionalText("parent_region_id")
        let changed = try await change { session in
          var region = try region(id, in: session)
          if let description { region.description = description ?? "" }
          if let parent {
            region.parentID = parent
            if let parent {
              _ = try self.region(parent, in: session)
              guard try !RegionStore.subtree(of: id, in: session).contains(parent) else {
                throw APIError.badRequest(
                  "The specified parent region \(parent) would create a circular region hierarchy.")
              }
            }
          }
          try attributes.merge(into: &region.extra, except: Self.attributes)
          try RegionStore.update(region, in: session)
          return region
        }
        return APIResponse(json: ["region": regionBody(changed, request)])
      },
      Endpoint(.delete, "/v3/regions/{region}", adminRule("delete_region"), "delete a region and those inside it") {
        request in
        let id = try request.parameter("region")
        try await change { session in
          let inside = try RegionStore.subtree(of: region(id, in: session).id, in: session)
          guard try !inside.contains(Region.own) && !RegionStore.isUsed(id, in: session) else {
            throw APIError.forbidden(
              "Unable to delete region \(id) because it or its child regions have associated endpoints or limits.")
          }
          try RegionStore.delete(id, in: session)
        }
        return .noContent
      },
    ]
  }

  private func createRegion(_ id: String, _ attributes: Attributes, _ request: APIRequest) async throws -> APIResponse {
    guard id.count <= 255, !id.contains("/") else {
      throw attributes.invalid("id", "1 to 255 characters without '/' are expected")
    }
    var region = Region(id: id, parentID: try attributes.text("parent_region_id"))
    region.description = try attributes.text("description") ?? ""
    try attributes.merge(into: &region.extra, except: Self.attributes)
    try await change { [region] session in
      if let parent = region.parentID { _ = try self.region(parent, in: session) }
      try withConflict("Conflict occurred attempting to store region - Duplicate ID, \(id).") {
        try RegionStore.insert(region, in: session)
      }
    }
    return APIResponse(.created, json: ["region": regionBody(region, request)])
  }
  func region(_ id: String, in session: any Session) throws -> Region {
    guard let region = try RegionStore.get(id, in: session) else { throw APIError.missing("region", id) }
    return region
  }
  private func regionBody(_ region: Region, _ request: APIRequest) -> JSON {
    var body: JSONObject = [
      "id": .string(region.id), "description": .string(region.description), "parent_region_id": JSON(region.parentID),
      "links": ["self": .string("\(request.serviceURL)/v3/regions/\(percentEncoded(region.id))")],
    ]
    for member in region.extra where body[member.key] == nil { body[member.key] = member.value }
    return .object(body)
  }
}
