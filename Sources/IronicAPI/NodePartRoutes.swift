import APISupport
import Conductor
import Domain
import HTTPTypes
import Store
import Wire

extension IronicAPI {
  var nodePartEndpoints: [Endpoint] {
    [
      Endpoint(.get, "/v1/nodes/{node}/traits", since: 37, missing: .notAcceptable, Self.read, "List traits") {
        APIResponse(json: ["traits": JSON(try await seen($0).traits)])
      },
      Endpoint(.put, "/v1/nodes/{node}/traits", since: 37, missing: .methodNotAllowed, Self.act, "Replace all traits") {
        try await setTraits($0)
      },
      Endpoint(
        .put, "/v1/nodes/{node}/traits/{trait}", since: 37, missing: .methodNotAllowed, Self.act, "Add a trait"
      ) { request in
        let trait = try request.parameter("trait")
        guard try await request.object(limit: 1 << 16).isEmpty else {
          throw APIError.badRequest("No body should be provided when adding a trait")
        }
        var answer = try await changeTraits(request) { $0.contains(trait) ? $0 : $0 + [trait] }
        answer.headers[.location] =
          "\(request.serviceURL)/v1/nodes/\(try request.parameter("node"))/traits/\(percentEncoded(trait))"
        return answer
      },
      Endpoint(.delete, "/v1/nodes/{node}/traits", since: 37, Self.act, "Remove all traits") { request in
        try await changeTraits(request) { _ in [] }
      },
      Endpoint(.delete, "/v1/nodes/{node}/traits/{trait}", since: 37, Self.act, "Remove a trait") { request in
        let trait = try request.parameter("trait")
        return try await changeTraits(request) { traits in
          guard traits.contains(trait) else { throw APIError.notFound("The node has no trait \(trait).") }
          return traits.filter { $0 != trait }
        }
      },
      Endpoint(.get, "/v1/nodes/{node}/vifs", since: 28, Self.read, "List attached network ports") { request in
        return try await database.read { session in
          let vifs = try conductor.vifs(try node(request, in: session), in: session)
          return APIResponse(json: ["vifs": .array(vifs.map { ["id": .string($0)] })])
        }
      },
      Endpoint(.post, "/v1/nodes/{node}/vifs", since: 28, Self.act, "Attach a network port") { try await attach($0) },
      Endpoint(.delete, "/v1/nodes/{node}/vifs/{vif}", since: 28, Self.act, "Detach a network port") {
        try await detach($0)
      },
      Endpoint(.get, "/v1/nodes/{node}/history", since: 78, Self.read, "List what happened to a node") {
        try await history($0)
      },
      Endpoint(.get, "/v1/nodes/{node}/history/{event}", since: 78, Self.read, "Show one event") {
        try await historyEvent($0)
      },
      Endpoint(.get, "/v1/nodes/{node}/inventory", since: 81, Self.read, "Show the inspected hardware") {
        try await inventory($0)
      },
    ]
  }

  // MARK: Traits

  /// The prefixes of the standard traits, and the administrator's own. Source: os-traits.
  private static let traitPrefixes = ["CUSTOM_", "HW_", "COMPUTE_", "STORAGE_", "MISC_", "OWNER_", "HAS_"]
  static func isTrait(_ text: String) -> Bool {
    text.utf8.count <= 255 && traitPrefixes.contains { text.hasPrefix($0) && text.utf8.count > $0.utf8.count }
      && text.utf8.allSatisfy { ($0 >= 65 && $0 <= 90) || ($0 >= 48 && $0 <= 57) || $0 == 0x5f }
  }
  static func requireTrait(_ text: String) throws {
    guard isTrait(text) else {
      throw APIError.badRequest(
        "'\(text.prefix(80))' is not a trait: a standard one, or CUSTOM_ with capital letters, digits and '_', at most 255 characters."
      )
    }
  }

  private func setTraits(_ request: APIRequest) async throws -> APIResponse {
    let body = try await request.object()
    guard let traits = body["traits"]?.array?.map(\.string), !traits.contains(nil) else {
      throw APIError.badRequest("traits must be an array of strings.")
    }
    var wanted: [String] = []
    for case let trait? in traits where !wanted.contains(trait) { wanted.append(trait) }
    return try await changeTraits(request) { [wanted] _ in wanted }
  }
  private func changeTraits(
    _ request: APIRequest, _ change: @escaping @Sendable ([String]) throws -> [String]
  ) async throws -> APIResponse {
    return try await database.write { session in
      var node = try node(request, to: .setTraits, in: session)
      let traits = try change(node.traits)
      for trait in traits { try Self.requireTrait(trait) }
      guard traits.count <= 50 else { throw APIError.badRequest("Node \(node.uuid) cannot have more than 50 traits.") }
      node.traits = traits
      node.updatedAt = request.now
      try NodeStore.update(node, in: session)
      return .noContent
    }
  }

  // MARK: Networks

  /// POST /v1/nodes/{node}/vifs `{"id", "port_uuid" or "portgroup_uuid"?}` → 204.
  ///
  /// Answers: 400 for a network port that the caller may not see, as for none, 409 when it is attached already.
  private func attach(_ request: APIRequest) async throws -> APIResponse {
    let version = try Microversion(request.headers)
    let body = try await request.object()
    guard let id = body["id"]?.string, !id.isEmpty else { throw APIError.badRequest("id of the VIF is required.") }
    let place = try Self.place(body, version)
    let requester = try requester(request)
    return try await database.write { session in
      let actor = try request.actor()
      var node = try node(request, to: .use, in: session)
      guard let vif = try NetworkPortStore.get(id, in: session),
        let network = try NetworkStore.get(vif.networkID, in: session),
        NetworkPolicy.sees(vif, on: network, actor)
      else { throw APIError.badRequest("VIF \(id) could not be found.") }
      guard NetworkPolicy.mayChange(vif, actor) else {
        throw APIError.forbidden("You are not authorized to attach VIF \(id).")
      }
      try conductor.attachVIF(networkPortID: id, node: &node, at: place, by: requester, in: session)
      return .noContent
    }
  }
  private static func place(_ body: JSONObject, _ version: Microversion) throws -> Conductor.VIFPlace {
    let port = try FieldReading.uuid(body["port_uuid"], "port_uuid")
    let group = try FieldReading.uuid(body["portgroup_uuid"], "portgroup_uuid")
    if port != nil { try version.require(67, "port_uuid") }
    if group != nil { try version.require(67, "portgroup_uuid") }
    switch (port, group) {
    case (nil, nil): return .anyFree
    case (let port?, nil): return .port(port)
    case (nil, let group?): return .portGroup(group)
    default: throw APIError.badRequest("Cannot specify both port_uuid and portgroup_uuid")
    }
  }
  private func detach(_ request: APIRequest) async throws -> APIResponse {
    let requester = try requester(request)
    return try await database.write { session in
      var node = try node(request, to: .use, in: session)
      try conductor.detachVIF(networkPortID: request.parameter("vif"), node: &node, by: requester, in: session)
      return .noContent
    }
  }

  // MARK: History and inventory

  /// GET /v1/nodes/{node}/history → 200 `{"history": […], "next"?}`, the newest first.
  private func history(_ request: APIRequest) async throws -> APIResponse {
    let query = try ListQuery(request, filters: [])
    return try await database.read { session in
      let node = try node(request, to: .readHistory, in: session)
      var filter = NodeEventFilter(node: node.uuid)
      filter.limit = query.limit + 1
      filter.isOldestFirst = query.sortKey != nil && !query.isDescending
      if let key = query.sortKey, key != "created_at", key != "id" {
        throw APIError.badRequest("The sort_key value \"\(key.prefix(80))\" is an invalid field for sorting")
      }
      if let marker = query.marker {
        guard let event = try NodeStore.event(marker.lowercased(), of: node.uuid, in: session) else {
          throw APIError.notFound("Node history record \(marker) could not be found.")
        }
        filter.after = event.sequence
      }
      let events = try NodeStore.events(filter, in: session)
      return query.answer(request, "history", events, id: \.uuid) { event, writer in
        writer.value(shown(event, request, node.uuid, isDetailed: query.isDetailed))
      }
    }
  }
  private func historyEvent(_ request: APIRequest) async throws -> APIResponse {
    try await database.read { session in
      let node = try node(request, to: .readHistory, in: session)
      let id = try request.parameter("event")
      guard let event = try NodeStore.event(id.lowercased(), of: node.uuid, in: session) else {
        throw APIError.notFound("Node history record \(id) could not be found.")
      }
      return APIResponse(json: shown(event, request, node.uuid, isDetailed: true))
    }
  }
  /// The members of an event; the last three of a detailed one are upstream's of 1.115, shown from the beginning.
  private func shown(_ event: NodeStore.Event, _ request: APIRequest, _ node: String, isDetailed: Bool) -> JSON {
    var out: JSONObject = [
      "uuid": .string(event.uuid), "created_at": .string(event.at.iso8601WithOffset),
      "severity": .string(event.severity), "event": .string(event.event),
    ]
    if isDetailed {
      out["event_type"] = .string(event.type)
      out["conductor"] = .string(hostname)
      out["user"] = JSON(event.userID)
      out["state"] = JSON(event.state)
      out["target_provision_state"] = JSON(event.targetState)
      out["duration_seconds"] = event.milliseconds.map { .double(Double($0) / 1000) } ?? .null
    } else if event.event.count > 255 {
      out["event"] = .string(event.event.prefix(251) + "...")
    }
    out["links"] = [
      ["href": .string("\(request.serviceURL)/v1/nodes/\(node)/history/\(event.uuid)"), "rel": "self"],
      ["href": .string("\(request.serviceURL)/nodes/\(node)/history/\(event.uuid)"), "rel": "bookmark"],
    ]
    return .object(out)
  }

  /// GET /v1/nodes/{node}/inventory → 200 `{"inventory", "plugin_data"}`; 404 before the first inspection.
  private func inventory(_ request: APIRequest) async throws -> APIResponse {
    return try await database.read { session in
      let node = try node(request, in: session)
      guard let stored = try NodeStore.inventory(of: node.uuid, in: session) else {
        throw APIError.notFound("Could not find inspection data for node \(node.uuid).")
      }
      let isHidden = !NodePolicy.seesSite(NodePolicy.relation(try request.actor(), to: node))
      return APIResponse(json: [
        "inventory": InventoryDocument.shown(stored, hidesController: isHidden), "plugin_data": [:],
      ])
    }
  }
}
