import APISupport
import Wire

extension IronicAPI {
  var versionEndpoints: [Endpoint] {
    [
      Endpoint(.get, "/", .open, "The versions of the service") { request in
        let version = version(request)
        return APIResponse(
          json: [
            "name": "OpenStack Ironic API",
            "description":
              "Ironic is an OpenStack project which enables the provision and management of baremetal machines.",
            "default_version": version, "versions": [version],
          ])
      },
      Endpoint(.get, "/v1", .open, "What version 1 offers") { request in
        let version = try Microversion(request.headers)
        var document: JSONObject = [
          "id": "v1",
          "links": [["href": .string("\(request.serviceURL)/v1/"), "rel": "self"]],
          "media_types": ["base": "application/json", "type": "application/vnd.openstack.ironic.v1+json"],
          "version": self.version(request),
        ]
        let below = [
          ("chassis", 1), ("nodes", 1), ("ports", 1), ("drivers", 1), ("portgroups", 23), ("volume", 32),
          ("conductors", 49), ("allocations", 52), ("deploy_templates", 55), ("shards", 82),
        ]
        for (name, since) in below where since <= version.minor {
          document[name] = [
            ["href": .string("\(request.serviceURL)/v1/\(name)/"), "rel": "self"],
            ["href": .string("\(request.serviceURL)/\(name)/"), "rel": "bookmark"],
          ]
        }
        return APIResponse(json: .object(document))
      },
    ]
  }

  private func version(_ request: APIRequest) -> JSON {
    [
      "id": "v1", "links": [["href": .string("\(request.serviceURL)/v1/"), "rel": "self"]], "status": "CURRENT",
      "min_version": .string(Microversion.minimum.text), "version": .string(Microversion.maximum.text),
    ]
  }
}
