import APISupport
import Wire

extension IronicAPI {
  /// Collections that clients look into and that have nothing here: their lists are empty, what they hold is not found, and
  /// making something in them is refused with what to do instead.
  private static let collections: [(path: String, key: StaticString, since: Int, instead: String)] = [
    ("/v1/deploy_templates", "deploy_templates", 55, "The server chooses the steps of a deployment itself."),
    ("/v1/runbooks", "runbooks", 92, "The server chooses the steps of a deployment itself."),
  ]

  var emptyEndpoints: [Endpoint] {
    Self.collections.flatMap { collection in
      let (path, key, since, instead) = collection
      // Runbooks came after what we speak: a list of them is still harmless, and `openstack` asks for it.
      let offered = min(since, Microversion.maximum.minor)
      return [
        Endpoint(.get, path, since: offered, Self.read, "Always empty") { request in
          try ListQuery(request, filters: []).nothing(request, key)
        },
        Endpoint(.post, path, since: offered, missing: .methodNotAllowed, Self.act, "Refused") { _ in
          throw APIError.badRequest(instead)
        },
        Endpoint(.get, path + "/{id}", since: offered, Self.read, "Never found") { throw missing($0) },
        Endpoint(.patch, path + "/{id}", since: offered, missing: .methodNotAllowed, Self.act, "Never found") {
          throw missing($0)
        },
        Endpoint(.delete, path + "/{id}", since: offered, missing: .methodNotAllowed, Self.act, "Never found") {
          throw missing($0)
        },
      ]
    }
  }

  private func missing(_ request: APIRequest) -> APIError {
    .notFound("\(request.parameters["id"] ?? "It") could not be found.")
  }
}
