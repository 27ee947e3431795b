import APISupport
import HTTPTypes
import Wire

/// The version documents. Source: Nova API reference, "API Versions".
struct VersionRoutes: Sendable {
  var endpoints: [Endpoint] {
    [
      Endpoint(.get, "/", .open, "Lists the versions of the API") { request in
        APIResponse(.ok, json: ["versions": [Self.version(request)]])
      },
      Endpoint(.get, "/v2.1", .open, "Shows version 2.1") { request in
        var version = Self.version(request)
        if case .object(var object) = version {
          object["media-types"] = [
            ["base": "application/json", "type": "application/vnd.openstack.compute+json;version=2.1"]
          ]
          version = .object(object)
        }
        return APIResponse(json: ["version": version])
      },
    ]
  }
  private static func version(_ request: APIRequest) -> JSON {
    [
      "id": "v2.1", "status": "CURRENT", "version": .string(Microversion.maximum.text),
      "min_version": .string(Microversion.minimum.text), "updated": "2013-07-23T11:33:21Z",
      "links": [["rel": "self", "href": .string("\(request.serviceURL)/v2.1/")]],
    ]
  }
}
