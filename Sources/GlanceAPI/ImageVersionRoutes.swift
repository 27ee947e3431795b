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
    ]
  }
  private static func versions(_ request: APIRequest, _ status: HTTPResponse.Status) -> APIResponse {
    // 2.7: hidden images and multihash. 2.12: an image's tasks. Those between are of several stores and of copying between them.
    let minors = [12] + (0...7).reversed()
    let versions: [JSON] = minors.map { minor in
      [
        "id": .string("v2.\(minor)"), "status": minor == 12 ? "CURRENT" : "SUPPORTED",
        "links": [["rel": "self", "href": .string("\(request.serviceURL)/v2/")]],
      ]
    }
    return APIResponse(status, json: ["versions": .array(versions)])
  }
}
