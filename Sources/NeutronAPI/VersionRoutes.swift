import APISupport
import Wire

/// The version documents. Clients go to `/v2.0/…` straight away; `openstack versions show` reads these.
struct VersionRoutes: Sendable {
  var endpoints: [Endpoint] {
    [
      Endpoint(.get, "/", .open, "Lists the API versions", handler: versions),
      Endpoint(.get, "/v2.0", .open, "Shows the API version's resources", handler: resources),
    ]
  }
  private func versions(_ request: APIRequest) async throws -> APIResponse {
    APIResponse(json: [
      "versions": [
        [
          "id": "v2.0", "status": "CURRENT",
          "links": [["rel": "self", "href": .string("\(request.serviceURL)/v2.0/")]],
        ]
      ]
    ])
  }
  private func resources(_ request: APIRequest) async throws -> APIResponse {
    let names = [("network", "networks"), ("subnet", "subnets"), ("port", "ports"), ("quota", "quotas")]
    return APIResponse(json: [
      "resources": .array(
        names.map { name, collection in
          [
            "name": .string(name), "collection": .string(collection),
            "links": [["rel": "self", "href": .string("\(request.serviceURL)/v2.0/\(collection)")]],
          ]
        })
    ])
  }
}
