import APISupport
import Domain
import Store
import Wire

extension IronicAPI {
  /// What lies below `/v1/volume` and `/v1/nodes/{node}/volume`, and the connectors.
  var volumeConnectorEndpoints: [Endpoint] {
    [
      Endpoint(.get, "/v1/volume", since: 32, Self.read, "What lies below") { request in
        APIResponse(
          json: [
            "connectors": links(request, "volume/connectors"), "targets": links(request, "volume/targets"),
            "links": links(request, "volume"),
          ])
      },
      Endpoint(.get, "/v1/nodes/{node}/volume", since: 32, Self.read, "What lies below") { request in
        let path = "nodes/\(try await seen(request).uuid)/volume"
        return APIResponse(
          json: [
            "connectors": links(request, path + "/connectors"), "targets": links(request, path + "/targets"),
            "links": links(request, path),
          ])
      },
      Endpoint(.get, "/v1/volume/connectors", since: 32, Self.read, "List volume connectors") {
        try await listConnectors($0)
      },
      Endpoint(.get, "/v1/nodes/{node}/volume/connectors", since: 32, Self.read, "List a node's connectors") {
        try await listConnectors($0, node: try await seen($0).uuid)
      },
      Endpoint(.post, "/v1/volume/connectors", since: 32, Self.act, "Say how a storage network knows a node") {
        try await createConnector($0)
      },
      Endpoint(.get, "/v1/volume/connectors/{connector}", since: 32, Self.read, "Show a connector") { request in
        let view = try connectorView(request, asked: askedFields(request))
        return try await database.read { session in
          APIResponse(json: shown(try connector(request, in: session).0, view))
        }
      },
      Endpoint(.patch, "/v1/volume/connectors/{connector}", since: 32, Self.act, "Change a connector (JSON patch)") {
        try await patchConnector($0)
      },
      Endpoint(.delete, "/v1/volume/connectors/{connector}", since: 32, Self.act, "Remove a connector") { request in
        try await database.write { session in
          let (connector, node) = try connector(request, in: session)
          try require(.use, node, try request.actor())
          try requireRest(node, to: "volume connector deletion", isRemoval: true)
          try VolumeConnectorStore.delete(connector.uuid, in: session)
          return .noContent
        }
      },
    ]
  }

  /// - Throws: 409 while a workflow works with the node; 400 unless it is powered off: what it boots from must not change
  ///   under its feet. A node that is not in use yet may lose its volumes in any case.
  func requireRest(_ node: Node, to action: String, isRemoval: Bool) throws {
    try requireFree(node)
    if isRemoval, [.manageable, .enroll, .adoptFailed].contains(node.provisionState) { return }
    guard node.powerState == .off else {
      throw APIError.badRequest(
        "The requested action \"\(action)\" can not be performed on node \"\(node.uuid)\" while it is in state \"\(node.powerState?.rawValue ?? "None")\"."
      )
    }
  }

  private static let connectorFields = [
    ResourceField("uuid"), ResourceField("node_uuid"), ResourceField("type"), ResourceField("connector_id"),
    ResourceField("extra"), ResourceField("created_at"), ResourceField("updated_at"),
  ]
  private static let connectorMembers: Set<String> = ["connector_id", "extra", "node_uuid", "type", "uuid"]

  private func connectorView(_ request: APIRequest, asked: [String]?, defaults: Set<String>? = nil) throws
    -> ResourceView
  {
    try ResourceView(request, "volume/connectors", Self.connectorFields, asked: asked, defaults: defaults)
  }
  private func shown(_ connector: VolumeConnector, _ view: ResourceView) -> JSON {
    view.json(
      connector.uuid,
      [
        "uuid": .string(connector.uuid), "node_uuid": .string(connector.nodeUUID), "type": .string(connector.type),
        "connector_id": .string(connector.connectorID), "extra": .object(connector.extra),
        "created_at": .string(connector.createdAt.iso8601WithOffset),
        "updated_at": JSON(connector.updatedAt?.iso8601WithOffset),
      ])
  }
  /// - Throws: 404 for the connector of a foreign node as for none.
  private func connector(_ request: APIRequest, in session: any Session) throws -> (VolumeConnector, Node) {
    let uuid = try uuid(request, "connector")
    guard let connector = try VolumeConnectorStore.get(uuid.lowercased(), in: session),
      let node = try NodeStore.get(connector.nodeUUID, in: session), NodePolicy.sees(node, try request.actor())
    else { throw APIError.notFound("Volume connector \(uuid) could not be found.") }
    return (connector, node)
  }

  /// GET /v1/volume/connectors → 200 `{"connectors": […], "next"?}`.
  /// - Parameter node: the UUID of the path's node.
  private func listConnectors(_ request: APIRequest, node: String? = nil) async throws -> APIResponse {
    let query = try ListQuery(request, filters: ["node"], detailSince: 32)
    let view = try connectorView(
      request, asked: query.fields,
      defaults: query.isDetailed ? nil : ["uuid", "node_uuid", "type", "connector_id"])
    let actor = try request.actor()
    var filter = VolumePartFilter(
      scope: NodePolicy.scope(actor), paging: try query.paging(VolumeConnectorStore.Key.createdAt))
    filter.node = node
    return try await database.read { [filter] session in
      var filter = filter
      if let ident = request.query["node"] {
        let named = try self.node(named: ident, actor, in: session).uuid
        guard node == nil || node == named else { return query.nothing(request, "connectors") }
        filter.node = named
      }
      if let marker = filter.paging.marker {
        var one = VolumePartFilter(scope: filter.scope, paging: Paging(by: VolumeConnectorStore.Key.uuid))
        one.uuid = marker
        guard try !VolumeConnectorStore.list(one, in: session).isEmpty else {
          throw APIError.notFound("Volume connector \(marker) could not be found.")
        }
      }
      let connectors = try VolumeConnectorStore.list(filter, in: session)
      return query.answer(request, "connectors", connectors, id: \.uuid) { $1.value(shown($0, view)) }
    }
  }

  // MARK: Changes

  private func set(_ document: JSON, on connector: inout VolumeConnector) throws {
    connector.type = try FieldReading.word(document["type"], "type")
    connector.connectorID = try FieldReading.word(document["connector_id"], "connector_id")
    connector.extra = try FieldReading.document(document["extra"], "extra")
  }
  private func taken(_ connector: VolumeConnector) -> String {
    "A volume connector with type \(connector.type) and connector ID \(connector.connectorID), or with UUID \(connector.uuid), already exists."
  }

  /// POST /v1/volume/connectors `{"node_uuid", "type", "connector_id", "extra"?, "uuid"?}` → 201.
  private func createConnector(_ request: APIRequest) async throws -> APIResponse {
    let body = try await request.object()
    try FieldReading.refuseOthers(body, than: Self.connectorMembers, "volume connector")
    let view = try connectorView(request, asked: nil)
    return try await database.write { session in
      let actor = try request.actor()
      let node = try node(inBody: body["node_uuid"], actor, to: .use, in: session)
      var connector = VolumeConnector(
        uuid: try FieldReading.uuid(body["uuid"], "uuid") ?? Identifier.uuid(), nodeUUID: node.uuid,
        createdAt: request.now)
      connector.projectID = actor.projectID
      try set(.object(body), on: &connector)
      try unlessTaken(taken(connector)) { try VolumeConnectorStore.insert(connector, in: session) }
      return APIResponse(
        .created, json: shown(connector, view),
        headers: [.location: "\(request.serviceURL)/v1/volume/connectors/\(connector.uuid)"])
    }
  }
  private func patchConnector(_ request: APIRequest) async throws -> APIResponse {
    let patch = try PatchOperation.parse(try await request.json())
    let members = try patch.members(of: Self.connectorMembers.subtracting(["uuid"]))
    let view = try connectorView(request, asked: nil)
    return try await database.write { session in
      let actor = try request.actor()
      var (connector, node) = try connector(request, in: session)
      try require(.use, node, actor)
      let document = try patch.applied(to: [
        "connector_id": .string(connector.connectorID), "extra": .object(connector.extra),
        "node_uuid": .string(connector.nodeUUID), "type": .string(connector.type),
      ])
      try set(document, on: &connector)
      if members.contains("node_uuid") {
        let other = try self.node(inBody: document["node_uuid"], actor, to: .use, in: session)
        try requireRest(other, to: "volume connector update", isRemoval: false)
        connector.nodeUUID = other.uuid
      }
      try requireRest(node, to: "volume connector update", isRemoval: false)
      connector.updatedAt = request.now
      try unlessTaken(taken(connector)) { try VolumeConnectorStore.update(connector, in: session) }
      return APIResponse(json: shown(connector, view))
    }
  }
}
