import APISupport
import HTTPTypes
import Wire

/// The version documents: 300 at the root, 200 at `/v3`, where clients look for the range of microversions.
struct VersionRoutes: Sendable {
  var endpoints: [Endpoint] {
    [
      Endpoint(.get, "/", .open, "Lists the API versions") {
        Self.versions($0, .init(code: 300, reasonPhrase: "Multiple Choices"))
      },
      Endpoint(.get, "/v3", .open, "Shows the API version") { Self.versions($0, .ok) },
    ]
  }
  private static func versions(_ request: APIRequest, _ status: HTTPResponse.Status) -> APIResponse {
    APIResponse(
      status,
      json: [
        "versions": [
          [
            "id": "v3.0", "status": "CURRENT", "version": .string("3.\(VolumeMicroversion.maximum)"),
            "min_version": "3.0", "updated": "2026-11-22T00:00:00Z",
            "links": [
              ["rel": "describedby", "type": "text/html", "href": "https://docs.openstack.org/"],
              ["rel": "self", "href": .string("\(request.serviceURL)/v3/")],
            ],
            "media-types": [["base": "application/json", "type": "application/vnd.openstack.volume+json;version=3"]],
          ]
        ]
      ])
  }
}
