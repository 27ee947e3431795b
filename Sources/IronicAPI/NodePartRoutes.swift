import APISupport
import Conductor
import Domain
import HTTPTypes
import Store
import Wire

extension IronicAPI {
  var nodePartEndpoints: [Endpoint] {
    [
      Endpoint(.get, "/v1/nodes/{node}/traits", Self.read, "List traits") { request in
        try Microversion(request.headers).require(37, "traits")
        return APIResponse(json: ["traits": JSON(try await seen(request).traits)])
      },
      Endpoint(.put, "/v1/nodes/{node}/traits", Self.act, "Replace all traits") { try await setTraits($0) },
      Endpoint(.put, "/v1/nodes/{node}/traits/{trait}", Self.act, "Add a trait") { request in
        let trait = try request.parameter("trait")
        return try await changeTraits(request) { $0.contains(trait) ? $0 : $0 + [trait] }
      },
      Endpoint(.delete, "/v1/nodes/{node}/traits", Self.act, "Remove all traits") { request in
        try await changeTraits(request) { _ in [] }
      },
      Endpoint(.delete, "/v1/nodes/{node}/traits/{trait}", Self.act, "Remove a trait") { request in
        let trait = try request.parameter("trait")
        return try await changeTraits(request) { traits in
          guard traits.contains(trait) else { throw APIError.notFound("The node has no trait \(trait).") }
          return traits.filter { $0 != trait }
        }
      },
      Endpoint(.get, "/v1/nodes/{node}/vifs", Self.read, "List attached network ports") { request in
        try Microversion(request.headers).require(28, "vifs")
        return try await database.read { session in
          let vifs = try conductor.vifs(try node(request, in: session), in: session)
          return APIResponse(json: ["vifs": .array(vifs.map { ["id": .string($0)] })])
        }
      },
      Endpoint(.post, "/v1/nodes/{node}/vifs", Self.act, "Attach a network port") { try await attach($0) },
      Endpoint(.delete, "/v1/nodes/{node}/vifs/{vif}", Self.act, "Detach a network port") { try await detach($0) },
      Endpoint(.get, "/v1/nodes/{node}/history", Self.read, "List what happened to a node") { try await history($0) },
      Endpoint(.get, "/v1/nodes/{node}/history/{event}", Self.read, "Show one event") { try await historyEvent($0) },
      Endpoint(.get, "/v1/nodes/{node}/inventory", Self.read, "Show the inspected hardware") {
        try await inventory($0)
      },
      Endpoint(.get, "/v1/nodes/{node}/bios", Self.read, "Always empty") { request in
        _ = try await seen(request)
        return APIResponse(json: ["bios": []])
      },
      Endpoint(.get, "/v1/nodes/{node}/firmware", Self.read, "Always empty") { request in
        try Microversion(request.headers).require(86, "firmware")
        _ = try await seen(request)
        return APIResponse(json: ["firmware": []])
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
    try Microversion(request.headers).require(37, "traits")
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

  /// POST /v1/nodes/{node}/vifs `{"id", "port_uuid"?}` → 204.
  ///
  /// Answers: 404 for a network port that the caller may not see, 409 when it is attached already.
  private func attach(_ request: APIRequest) async throws -> APIResponse {
    let version = try Microversion(request.headers)
    try version.require(28, "vifs")
    let body = try await request.object()
    guard let id = body["id"]?.string, !id.isEmpty else { throw APIError.badRequest("id of the VIF is required.") }
    let port = try FieldReading.uuid(body["port_uuid"], "port_uuid")
    if port != nil { try version.require(67, "port_uuid") }
    if body["portgroup_uuid"]?.isNull == false {
      throw APIError.badRequest("Switches do not bond here: attach the VIF to a single port.")
    }
    let requester = try requester(request)
    return try await database.write { session in
      let actor = try request.actor()
      var node = try node(request, to: .use, in: session)
      guard let vif = try NetworkPortStore.get(id, in: session),
        let network = try NetworkStore.get(vif.networkID, in: session),
        NetworkPolicy.sees(vif, on: network, actor)
      else { throw APIError.notFound("VIF \(id) could not be found.") }
      guard NetworkPolicy.mayChange(vif, actor) else {
        throw APIError.forbidden("You are not authorized to attach VIF \(id).")
      }
      try conductor.attachVIF(networkPortID: id, node: &node, port: port, by: requester, in: session)
      return .noContent
    }
  }
  private func detach(_ request: APIRequest) async throws -> APIResponse {
    try Microversion(request.headers).require(28, "vifs")
    let requester = try requester(request)
    return try await database.write { session in
      var node = try node(request, to: .use, in: session)
      try conductor.detachVIF(networkPortID: request.parameter("vif"), node: &node, by: requester, in: session)
      return .noContent
    }
  }

  // MARK: History and inventory

  private func history(_ request: APIRequest) async throws -> APIResponse {
    let query = try ListQuery(request, filters: [])
    return try await database.read { session in
      let node = try node(request, to: .readHistory, in: session)
      var events = try NodeStore.events(of: node.uuid, limit: 10_000, in: session)
      if let marker = query.marker, let index = events.firstIndex(where: { $0.uuid == marker }) {
        events.removeFirst(index + 1)
      }
      return query.answer(request, "history", Array(events.prefix(query.limit + 1)), id: \.uuid) { event, writer in
        writer.value(shown(event, request, node.uuid, isDetailed: query.isDetailed))
      }
    }
  }
  private func historyEvent(_ request: APIRequest) async throws -> APIResponse {
    try await database.read { session in
      let node = try node(request, to: .readHistory, in: session)
      let id = try request.parameter("event")
      guard let event = try NodeStore.events(of: node.uuid, limit: 10_000, in: session).first(where: { $0.uuid == id })
      else {
        throw APIError.notFound("Node history record \(id) could not be found.")
      }
      return APIResponse(json: shown(event, request, node.uuid, isDetailed: true))
    }
  }
  private func shown(_ event: NodeStore.Event, _ request: APIRequest, _ node: String, isDetailed: Bool) -> JSON {
    var out: JSONObject = [
      "uuid": .string(event.uuid), "created_at": .string(event.at.iso8601WithOffset),
      "severity": .string(event.severity),
      "event": .string(event.event), "event_type": .string(event.type),
    ]
    if isDetailed {
      out["conductor"] = .string(hostname)
      out["user"] = JSON(event.userID)
    }
    out["links"] = [
      ["href": .string("\(request.serviceURL)/v1/nodes/\(node)/history/\(event.uuid)"), "rel": "self"],
      ["href": .string("\(request.serviceURL)/nodes/\(node)/history/\(event.uuid)"), "rel": "bookmark"],
    ]
    return .object(out)
  }

  /// GET /v1/nodes/{node}/inventory → 200 `{"inventory", "plugin_data"}`; 404 before the first inspection.
  private func inventory(_ request: APIRequest) async throws -> APIResponse {
    try Microversion(request.headers).require(81, "the inventory")
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
