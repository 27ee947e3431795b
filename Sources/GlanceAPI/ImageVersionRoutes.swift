import APISupport
import HTTPTypes
import Wire

/// The version documents: 300 where clients discover, 200 at `/versions` where the old `glance` shell insists on it.
struct ImageVersionRoutes: Sendable {
  var endpoints: [Endpoint] {
    [
      Endpoint(.get, "/", .open, "Lists the API versions") {
        Self.versions($0, .init(code: 300, reasonPhrase: "Multiple Choices"))
      },
      Endpoint(.get, "/versions", .open, "Lists the API versions") { Self.versions($0, .ok) },
      Endpoint(.get, "/v2", .open, "Lists the API versions") { Self.versions($0, .ok) },
      Endpoint(.get, "/v2/info/import", .authenticated, "Lists ways to import: none") { _ in
        APIResponse(json: [
          "import-methods": ["description": "Import methods available.", "type": "array", "value": []]
        ])
      },
    ]
  }
  private static func versions(_ request: APIRequest, _ status: HTTPResponse.Status) -> APIResponse {
    // 2.7: hidden images and multihash. Import (2.6) is answered with an empty list of methods.
    let versions: [JSON] = (0...7).reversed().map { minor in
      [
        "id": .string("v2.\(minor)"), "status": minor == 7 ? "CURRENT" : "SUPPORTED",
        "links": [["rel": "self", "href": .string("\(request.serviceURL)/v2/")]],
      ]
    }
    return APIResponse(status, json: ["versions": .array(versions)])
  }
}
