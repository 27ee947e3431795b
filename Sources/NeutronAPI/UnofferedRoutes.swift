import APISupport
import HTTPTypes
import Wire

/// What clients look for and this site does not have yet: lists are empty, one by its id is unknown, and making one says so.
struct UnofferedRoutes: Sendable {
  private static let kinds: [(path: String, plural: String, singular: String, notFound: String, words: String)] = [
    ("agents", "agents", "Agent", "AgentNotFound", "Agents"),
    ("availability_zones", "availability_zones", "Availability zone", "AvailabilityZoneNotFound", "Availability zones"),
    ("security-groups", "security_groups", "Security group", "SecurityGroupNotFound", "Security groups of your own"),
    (
      "security-group-rules", "security_group_rules", "Security group rule", "SecurityGroupRuleNotFound",
      "Rules of security groups"
    ),
  ]

  var endpoints: [Endpoint] {
    Self.kinds.flatMap { kind -> [Endpoint] in
      let create = Endpoint(.post, "/v2.0/\(kind.path)", .authenticated, "Says that this is not offered") { _ in
        throw APIError.notFound("\(kind.words) are not offered by this site yet.", type: "HTTPNotFound")
      }
      // Security groups have a list of their own.
      if kind.path.hasPrefix("security") { return [create] }
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
