import APISupport
import Conductor
import Domain
import HTTPTypes
import Store
import Wire

/// `/os-server-groups`. Source: Nova API reference, "Server groups".
struct ServerGroupRoutes: Sendable {
  let nova: NovaAPI

  var endpoints: [Endpoint] {
    [
      Endpoint(.get, "/v2.1/os-server-groups", .authenticated, "Lists server groups", handler: list),
      Endpoint(
        .post, "/v2.1/os-server-groups", .member("server_groups:create"), "Makes a server group", handler: create),
      Endpoint(.get, "/v2.1/os-server-groups/{group}", .authenticated, "Shows a server group") { request in
        let version = try nova.microversion(request)
        let group = try await nova.database.read { try find(request, $0) }
        return APIResponse(json: ["server_group": Self.shown(group, version)])
      },
      Endpoint(
        .delete, "/v2.1/os-server-groups/{group}", .member("server_groups:delete"), "Deletes a server group"
      ) { request in
        try await nova.database.write { session in
          let group = try find(request, session)
          guard ComputePolicy.mayChange(group, try request.actor()) else {
            throw APIError.forbidden("Policy doesn't allow os_compute_api:os-server-groups:delete to be performed.")
          }
          try ServerGroupStore.delete(group.id, in: session)
        }
        return .noContent
      },
    ]
  }

  private func find(_ request: APIRequest, _ session: any Session) throws -> ServerGroup {
    let id = try request.parameter("group")
    guard let group = try ServerGroupStore.get(id, in: session), ComputePolicy.sees(group, try request.actor()) else {
      throw APIError.notFound("Instance group \(id.prefix(80)) could not be found.")
    }
    return group
  }
  private static func shown(_ group: ServerGroup, _ version: Microversion) -> JSON {
    var out: JSONObject = [
      "id": .string(group.id), "name": .string(group.name), "members": JSON(group.members),
    ]
    if version.minor >= 13 {
      out["project_id"] = .string(group.projectID)
      out["user_id"] = .string(group.userID)
    }
    if version.minor >= 64 {
      out["policy"] = .string(group.policy.rawValue)
      out["rules"] = .object(group.mostPerChassis.map { ["max_server_per_host": .int($0)] } ?? [:])
    } else {
      out["policies"] = [.string(group.policy.rawValue)]
      out["metadata"] = [:]
    }
    return .object(out)
  }

  private func list(_ request: APIRequest) async throws -> APIResponse {
    let (actor, version) = (try request.actor(), try nova.microversion(request))
    let allProjects = actor.isSiteReader && request.query["all_projects"] != nil
    let groups = try await nova.database.read { session in
      try ServerGroupStore.list(in: session) { sql in
        if !allProjects { sql.append("WHERE project_id = ?", .text(actor.projectID ?? "")) }
        sql.append("ORDER BY created_at, id")
      }
    }
    var rest = groups[...]
    let offset = try request.query.int("offset") ?? 0
    guard offset >= 0 else { throw APIError.badRequest("Invalid input for query parameters offset.") }
    rest = rest.dropFirst(offset)
    if let limit = try Page(request.query).limit { rest = rest.prefix(limit) }
    return APIResponse(json: ["server_groups": .array(rest.map { Self.shown($0, version) })])
  }

  private func create(_ request: APIRequest) async throws -> APIResponse {
    let (actor, version) = (try request.actor(), try nova.microversion(request))
    let input = try await ComputeInput(request, "server_group")
    try input.allow(version.minor >= 64 ? ["name", "policy", "rules"] : ["name", "policies"])
    guard let name = try input.name() else { throw APIError.badRequest("'name' is a required property") }
    let word: String
    if version.minor >= 64 {
      word = try input.required("policy")
    } else {
      guard let words = input.value("policies")?.array?.compactMap(\.string), words.count == 1 else {
        throw APIError.badRequest("Invalid input for field/attribute policies: one policy is expected.")
      }
      word = words[0]
    }
    guard !["affinity", "soft-affinity"].contains(word) else {
      throw APIError.badRequest(
        "A machine has one server, so servers are never together on one: '\(word)' is not offered, anti-affinity is.")
    }
    guard let policy = ServerGroup.Policy(rawValue: word) else {
      throw APIError.badRequest("Invalid input for field/attribute policy. Value: \(word.prefix(60)).")
    }
    guard let project = actor.projectID else { throw APIError.badRequest("The token has no project.") }
    var group = ServerGroup(
      name: name, projectID: project, userID: actor.userID, policy: policy, createdAt: request.now)
    if let rules = input.value("rules") {
      let input = ComputeInput(rules.object ?? [:])
      try input.allow(["max_server_per_host"])
      guard policy == .antiAffinity || rules.object?.isEmpty == true else {
        throw APIError.badRequest("Only anti-affinity policy supports rules.")
      }
      group.mostPerChassis = try input.int("max_server_per_host", 1...1000)
    }
    let limit = nova.quotas.serverGroups
    try await nova.database.write { [group] session in
      let own = try ComputeQuotaStore.limits(project: project, in: session)["server_groups"] ?? limit
      guard try own < 0 || ServerGroupStore.count(project: project, in: session) < own else {
        throw APIError.forbidden("Quota exceeded, too many server groups.")
      }
      try ServerGroupStore.insert(group, in: session)
    }
    return APIResponse(json: ["server_group": Self.shown(group, version)])
  }
}
