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
        var document: JSONObject = [
          "id": "v1",
          "links": [["href": .string("\(request.serviceURL)/v1/"), "rel": "self"]],
          "media_types": ["base": "application/json", "type": "application/vnd.openstack.ironic.v1+json"],
          "version": version(request),
        ]
        for name in [
          "chassis", "nodes", "ports", "drivers", "portgroups", "volume", "conductors", "allocations",
          "deploy_templates", "shards",
        ] {
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
