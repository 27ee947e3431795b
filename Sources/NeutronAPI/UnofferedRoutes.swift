import APISupport
import HTTPTypes
import Wire

/// What clients look for and this site does not have yet: lists are empty, one by its id is unknown, and making one says so.
struct UnofferedRoutes: Sendable {
  private static let kinds: [(path: String, plural: String, singular: String, notFound: String, words: String)] = [
    ("agents", "agents", "Agent", "AgentNotFound", "Agents"),
    ("availability_zones", "availability_zones", "Availability zone", "AvailabilityZoneNotFound", "Availability zones"),
  ]

  var endpoints: [Endpoint] {
    Self.kinds.flatMap { kind -> [Endpoint] in
      let create = Endpoint(.post, "/v2.0/\(kind.path)", .authenticated, "Says that this is not offered") { _ in
        throw APIError.notFound("\(kind.words) are not offered by this site yet.", type: "HTTPNotFound")
      }
      return [
        create,
        Endpoint(.get, "/v2.0/\(kind.path)", .authenticated, "Lists \(kind.path): none") { _ in
          APIResponse(json: .object([kind.plural: []]))
        },
        Endpoint(.get, "/v2.0/\(kind.path)/{id}", .authenticated, "Knows none by that id") { request in
          throw APIError.notFound(
            "\(kind.singular) \(try request.parameter("id")) could not be found.", type: kind.notFound)
        },
      ]
    }
  }
}
