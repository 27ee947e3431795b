import APISupport
import Conductor
import Domain
import HTTPTypes
import Store
import Wire

/// `/servers`. Source: Nova API reference, "Servers".
struct ServerRoutes: Sendable {
  let nova: NovaAPI

  var endpoints: [Endpoint] {
    [
      Endpoint(.get, "/v2.1/servers", .authenticated, "Lists servers") { try await list($0, isDetailed: false) },
      Endpoint(.get, "/v2.1/servers/detail", .authenticated, "Lists servers with all they are") {
        try await list($0, isDetailed: true)
      },
      Endpoint(.post, "/v2.1/servers", .member("servers:create"), "Makes servers", handler: create),
      Endpoint(.get, "/v2.1/servers/{server}", .authenticated, "Shows a server", handler: show),
      Endpoint(.put, "/v2.1/servers/{server}", .member("servers:update"), "Changes a server", handler: update),
      Endpoint(.delete, "/v2.1/servers/{server}", .member("servers:delete"), "Deletes a server", handler: delete),
    ]
  }

  private func list(_ request: APIRequest, isDetailed: Bool) async throws -> APIResponse {
    let (query, page) = (try ServerQuery(request), try Page(request.query))
    let view = try ServerView(request, zone: nova.conductor.zone)
    return try await nova.database.read { session in
      var view = view
      let (rows, hasMore) = try page.cut(try query.servers(in: session)) { $0.server.id }
      if isDetailed { try view.gather(rows, in: session) }
      var body: JSONObject = [
        "servers": .array(
          rows.map { isDetailed ? .object(view.whole($0, showsGroup: false)) : view.brief($0.server) })
      ]
      if hasMore, let last = rows.last { body["servers_links"] = Page.next(request, after: last.server.id) }
      return APIResponse(json: .object(body))
    }
  }

  private func show(_ request: APIRequest) async throws -> APIResponse {
    let view = try ServerView(request, zone: nova.conductor.zone)
    let (actor, id) = (try request.actor(), try request.parameter("server"))
    return try await nova.database.read { session in
      APIResponse(json: ["server": .object(try Self.shown(try Lookup.server(id, actor, session), view, session))])
    }
  }
  static func shown(
    _ row: ServerRow, _ view: ServerView, _ session: any Session, isShort: Bool = false
  ) throws -> JSONObject {
    var view = view
    try view.gather([row], in: session)
    return isShort ? view.short(row) : view.whole(row, showsGroup: true)
  }

  private func create(_ request: APIRequest) async throws -> APIResponse {
    let (actor, version) = (try request.actor(), try nova.microversion(request))
    let draft = try ServerDraft(
      try await request.object(), version, mostMetadata: nova.quotas.metadataItems, zone: nova.conductor.zone,
      isSiteAdmin: actor.isSiteAdmin)
    guard actor.projectID != nil else {
      throw APIError.badRequest("The token has no project: a server belongs to one.")
    }
    let servers = try await nova.database.write { session in
      try ServerCreation(nova: nova, request: request, actor: actor, draft: draft).run(in: session)
    }
    guard let first = servers.first else { throw APIError.badRequest("No server was asked for.") }
    if draft.givesReservation {
      return APIResponse(.accepted, json: ["reservation_id": .string(first.reservationID)])
    }
    let view = try ServerView(request, zone: nova.conductor.zone)
    return APIResponse(
      .accepted,
      json: [
        "server": [
          "id": .string(first.id), "links": view.links(first.id), "OS-DCF:diskConfig": "AUTO",
          "security_groups": .array(
            (draft.securityGroups.isEmpty ? ["default"] : draft.securityGroups).map { ["name": .string($0)] }),
        ]
      ], headers: [.location: "\(request.serviceURL)/v2.1/servers/\(first.id)"])
  }

  private func update(_ request: APIRequest) async throws -> APIResponse {
    let (actor, version) = (try request.actor(), try nova.microversion(request))
    let id = try request.parameter("server")
    let input = try await ComputeInput(request, "server")
    var known: Set<String> = ["name", "accessIPv4", "accessIPv6", "OS-DCF:diskConfig"]
    if version.minor >= 19 { known.insert("description") }
    if version.minor >= 90 { known.insert("hostname") }
    try input.allow(known)
    if input.has("name"), input.value("name") == nil { throw input.wrong("name", .null, "a text is expected") }
    let name = try input.name(isStrict: true)
    let (v4, v6) = (
      try ServerDraft.address(input, "accessIPv4", version: 4), try ServerDraft.address(input, "accessIPv6", version: 6)
    )
    let description = try input.text("description", 0...255)
    let hostname = try input.text("hostname", 2...255).map { try ServerDraft.hostname($0, input, version) }
    let now = request.now
    let view = try ServerView(request, zone: nova.conductor.zone)
    return try await nova.database.write { session in
      var row = try Lookup.changeable(id, actor, session, evenLocked: true)
      if let name { row.server.name = name }
      if let v4 { row.server.accessIPv4 = v4 }
      if let v6 { row.server.accessIPv6 = v6 }
      if input.has("description") { row.server.description = description }
      if let hostname { row.server.hostname = hostname }
      row.server.updatedAt = now
      try ServerStore.update(row.server, in: session)
      let shown = try Self.shown(row, view, session, isShort: version.minor < 75)
      return APIResponse(json: ["server": .object(shown)])
    }
  }

  private func delete(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id) = (try request.actor(), try request.parameter("server"))
    let requester = Requester(actor, requestID: request.requestID)
    try await nova.database.write { session in
      let row = try Lookup.changeable(id, actor, session)
      try nova.conductor.deleteServer(row.server, by: requester, in: session)
    }
    return .noContent
  }
}
