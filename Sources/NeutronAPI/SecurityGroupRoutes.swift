import APISupport
import Domain
import Wire

/// The one security group of each project, read-only: it lets everything pass, which is the truth of these networks.
///
/// Clients list it before they do anything with ports. Source: Neutron API reference, "Security groups".
struct SecurityGroupRoutes: Sendable {
  var endpoints: [Endpoint] {
    [
      Endpoint(.get, "/v2.0/security-groups", .authenticated, "Lists security groups") { request in
        try Self.groups.list([try request.actor().projectID ?? ""].filter { !$0.isEmpty }, request)
      },
      Endpoint(.get, "/v2.0/security-groups/{group}", .authenticated, "Shows a security group") { request in
        let (project, id) = (try request.actor().projectID ?? "", try request.parameter("group"))
        guard !project.isEmpty, id == Self.groupID(project) else {
          throw APIError.notFound("Security group \(id) does not exist", type: "SecurityGroupNotFound")
        }
        return Self.groups.show(project, request)
      },
      Endpoint(.get, "/v2.0/security-group-rules", .authenticated, "Lists rules of security groups") { request in
        let project = try request.actor().projectID ?? ""
        return try Self.rules.list(project.isEmpty ? [] : Self.rules(of: project), request)
      },
      Endpoint(.get, "/v2.0/security-group-rules/{rule}", .authenticated, "Shows a rule of a security group") {
        request in
        let (project, id) = (try request.actor().projectID ?? "", try request.parameter("rule"))
        guard !project.isEmpty, let rule = Self.rules(of: project).first(where: { $0.id == id }) else {
          throw APIError.notFound("Security group rule \(id) does not exist", type: "SecurityGroupRuleNotFound")
        }
        return Self.rules.show(rule, request)
      },
    ]
  }

  /// The project's id written as a UUID: the same for ever without a row.
  static func groupID(_ projectID: String) -> String { uuid(projectID, last: nil) }
  private static func uuid(_ projectID: String, last: Int?) -> String {
    let hex = projectID.lowercased().filter { ("0"..."9").contains($0) || ("a"..."f").contains($0) }
    var digits = Array(String((hex + String(repeating: "0", count: 32)).prefix(32)))
    if let last { digits[31] = Character(String((digits[31].hexDigitValue ?? 0) ^ last, radix: 16)) }
    let parts = [0..<8, 8..<12, 12..<16, 16..<20, 20..<32].map { String(digits[$0]) }
    return parts.joined(separator: "-")
  }

  private struct Rule: Sendable {
    var id: String
    var projectID: String
    var direction: String
    var etherType: String
  }
  private static func rules(of project: String) -> [Rule] {
    var rules: [Rule] = []
    for direction in ["egress", "ingress"] {
      for type in ["IPv4", "IPv6"] {
        rules.append(
          Rule(id: uuid(project, last: rules.count + 1), projectID: project, direction: direction, etherType: type))
      }
    }
    return rules
  }
  private static func json(_ rule: Rule) -> JSON {
    var object = JSONObject()
    object["id"] = .string(rule.id)
    object["direction"] = .string(rule.direction)
    object["ethertype"] = .string(rule.etherType)
    object["security_group_id"] = .string(groupID(rule.projectID))
    for name in ["protocol", "port_range_min", "port_range_max", "remote_ip_prefix", "remote_group_id"] {
      object[name] = .null
    }
    object["project_id"] = .string(rule.projectID)
    object["tenant_id"] = .string(rule.projectID)
    return .object(object)
  }

  private static let epoch = Timestamp(seconds: 1_767_225_600)
  private static let groups = ResourceView<String>(
    singular: "security_group", plural: "security_groups", path: "/v2.0/security-groups", id: { groupID($0) },
    attributes: [
      .text("id") { groupID($0) }, .text("name") { _ in "default" },
      .text("description") { _ in "Everything passes: machines' ports are not filtered." }, .text("tenant_id") { $0 },
      .text("project_id") { $0 }, .bool("stateful") { _ in false }, .bool("shared") { _ in false },
      .json("security_group_rules") { .array(rules(of: $0).map { json($0) }) }, .json("tags") { _ in [] },
      .int("revision_number") { _ in 1 }, .time("created_at") { _ in epoch }, .time("updated_at") { _ in epoch },
    ], ownFilters: TagFilter.names)
  private static let rules = ResourceView<Rule>(
    singular: "security_group_rule", plural: "security_group_rules", path: "/v2.0/security-group-rules", id: { $0.id },
    attributes: [
      .text("id") { $0.id }, .text("direction") { $0.direction }, .text("ethertype") { $0.etherType },
      .text("security_group_id") { groupID($0.projectID) }, .text("tenant_id") { $0.projectID },
      .text("project_id") { $0.projectID }, .optionalText("protocol") { _ in nil },
      .json("port_range_min") { _ in nil },
      .json("port_range_max") { _ in nil }, .optionalText("remote_ip_prefix") { _ in nil },
      .optionalText("remote_group_id") { _ in nil }, .text("description") { _ in "" },
      .int("revision_number") { _ in 1 },
      .time("created_at") { _ in epoch }, .time("updated_at") { _ in epoch },
    ])
}
