import APISupport
import Conductor
import Domain
import HTTPTypes
import Store
import Wire

/// `/servers/{server}/os-instance-actions`: what was asked of a server, and the steps that were taken. Source: Nova API reference,
/// "Servers actions".
struct InstanceActionRoutes: Sendable {
  let nova: NovaAPI

  var endpoints: [Endpoint] {
    [
      Endpoint(
        .get, "/v2.1/servers/{server}/os-instance-actions", .authenticated, "Lists what was asked of a server",
        handler: list),
      Endpoint(
        .get, "/v2.1/servers/{server}/os-instance-actions/{request}", .authenticated,
        "Shows what was asked of a server, with its steps", handler: show),
    ]
  }

  /// From 2.21 on also of a server that is deleted.
  private func actions(_ request: APIRequest, _ session: any Session) throws -> [ServerAction] {
    let (actor, id, version) = (
      try request.actor(), try request.parameter("server"), try nova.microversion(request)
    )
    guard let row = try ServerStore.get(id, in: session), ComputePolicy.sees(row.server, actor),
      version.minor >= 21 || row.server.deletedAt == nil
    else { throw APIError.serverNotFound(id) }
    return try ServerActionStore.list(server: id, in: session)
  }
  private func shown(_ action: ServerAction, _ ended: Timestamp?, _ version: Microversion) -> JSONObject {
    var out: JSONObject = [
      "action": .string(action.name), "instance_uuid": .string(action.serverID),
      "request_id": .string(action.requestID), "user_id": JSON(action.userID), "project_id": JSON(action.projectID),
      "start_time": .string(action.startedAt.iso8601Fraction), "message": JSON(action.message),
    ]
    if version.minor >= 58 { out["updated_at"] = .string((ended ?? action.startedAt).iso8601Fraction) }
    return out
  }

  private func list(_ request: APIRequest) async throws -> APIResponse {
    let version = try nova.microversion(request)
    let page = try version.minor >= 58 ? Page(request.query) : Page(QueryParameters(""))
    let actions = try await nova.database.read { session in try self.actions(request, session) }
    let (items, hasMore) = try page.cut(actions) { $0.requestID }
    var body: JSONObject = ["instanceActions": .array(items.map { .object(shown($0, nil, version)) })]
    if hasMore, version.minor >= 58, let last = items.last { body["links"] = Page.next(request, after: last.requestID) }
    return APIResponse(json: .object(body))
  }

  private func show(_ request: APIRequest) async throws -> APIResponse {
    let version = try nova.microversion(request)
    let wanted = try request.parameter("request")
    let actor = try request.actor()
    return try await nova.database.read { session in
      guard let action = try self.actions(request, session).first(where: { $0.requestID == wanted }) else {
        throw APIError.notFound("Action for request_id \(wanted.prefix(80)) on instance was not found")
      }
      let steps = try action.workflowID.map { try nova.conductor.steps(of: $0, in: session) } ?? []
      var out = shown(action, steps.compactMap(\.endedAt).last, version)
      if version.minor >= 51 || actor.isSiteReader {
        out["events"] = .array(
          steps.reversed().map { step in
            var event: JSONObject = [
              "event": .string(step.name), "start_time": .string(step.startedAt.iso8601Fraction),
              "finish_time": JSON(step.endedAt?.iso8601Fraction),
              "result": step.failure != nil ? "Error" : step.endedAt == nil ? .null : "Success",
            ]
            if actor.isSiteReader { event["traceback"] = .null }
            if version.minor >= 62 {
              event["hostId"] = ""
              if actor.isSiteReader { event["host"] = "steelyard" }
            }
            if version.minor >= 84 { event["details"] = JSON(step.failure) }
            return .object(event)
          })
      }
      return APIResponse(json: ["instanceAction": .object(out)])
    }
  }
}
