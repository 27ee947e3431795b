import APISupport
import Domain
import Store
import Wire

extension IronicAPI {
  var volumeTargetEndpoints: [Endpoint] {
    [
      Endpoint(.get, "/v1/volume/targets", since: 32, Self.read, "List volume targets") { try await listTargets($0) },
      Endpoint(.get, "/v1/nodes/{node}/volume/targets", since: 32, Self.read, "List a node's targets") {
        try await listTargets($0, node: try await seen($0).uuid)
      },
      Endpoint(.post, "/v1/volume/targets", since: 32, Self.act, "Name a volume that a node is to boot from") {
        try await createTarget($0)
      },
      Endpoint(.get, "/v1/volume/targets/{target}", since: 32, Self.read, "Show a target") { request in
        let view = try targetView(request, asked: askedFields(request))
        return try await database.read { session in
          APIResponse(json: shown(try target(request, in: session).0, view))
        }
      },
      Endpoint(.patch, "/v1/volume/targets/{target}", since: 32, Self.act, "Change a target (JSON patch)") {
        try await patchTarget($0)
      },
      Endpoint(.delete, "/v1/volume/targets/{target}", since: 32, Self.act, "Remove a target") { request in
        try await database.write { session in
          let (target, node) = try target(request, in: session)
          try require(.use, node, try request.actor())
          try requireRest(node, to: "volume target deletion", isRemoval: true)
          try VolumeTargetStore.delete(target.uuid, in: session)
          return .noContent
        }
      },
    ]
  }

  private static let targetFields = [
    ResourceField("uuid"), ResourceField("node_uuid"), ResourceField("volume_type"), ResourceField("properties"),
    ResourceField("boot_index"), ResourceField("volume_id"), ResourceField("extra"), ResourceField("created_at"),
    ResourceField("updated_at"),
  ]
  private static let targetMembers: Set<String> = [
    "boot_index", "extra", "node_uuid", "properties", "volume_id", "volume_type", "uuid",
  ]

  private func targetView(_ request: APIRequest, asked: [String]?, defaults: Set<String>? = nil) throws -> ResourceView
  {
    try ResourceView(request, "volume/targets", Self.targetFields, asked: asked, defaults: defaults)
  }
  private func shown(_ target: VolumeTarget, _ view: ResourceView) -> JSON {
    view.json(
      target.uuid,
      [
        "uuid": .string(target.uuid), "node_uuid": .string(target.nodeUUID),
        "volume_type": .string(target.volumeType), "properties": SecretMask.masked(.object(target.properties)),
        "boot_index": .int(target.bootIndex), "volume_id": .string(target.volumeID), "extra": .object(target.extra),
        "created_at": .string(target.createdAt.iso8601WithOffset),
        "updated_at": JSON(target.updatedAt?.iso8601WithOffset),
      ])
  }
  /// - Throws: 404 for the target of a foreign node as for none.
  private func target(_ request: APIRequest, in session: any Session) throws -> (VolumeTarget, Node) {
    let uuid = try uuid(request, "target")
    guard let target = try VolumeTargetStore.get(uuid.lowercased(), box: database.secrets, in: session),
      let node = try NodeStore.get(target.nodeUUID, in: session), NodePolicy.sees(node, try request.actor())
    else { throw APIError.notFound("Volume target \(uuid) could not be found.") }
    return (target, node)
  }

  /// GET /v1/volume/targets → 200 `{"targets": […], "next"?}`.
  /// - Parameter node: the UUID of the path's node.
  private func listTargets(_ request: APIRequest, node: String? = nil) async throws -> APIResponse {
    let query = try ListQuery(request, filters: ["node"], detailSince: 32)
    let view = try targetView(
      request, asked: query.fields,
      defaults: query.isDetailed ? nil : ["uuid", "node_uuid", "volume_type", "boot_index", "volume_id"])
    let actor = try request.actor()
    var filter = VolumePartFilter(
      scope: NodePolicy.scope(actor), paging: try query.paging(VolumeTargetStore.Key.createdAt))
    filter.node = node
    return try await database.read { [filter] session in
      var filter = filter
      if let ident = request.query["node"] {
        let named = try self.node(named: ident, actor, in: session).uuid
        guard node == nil || node == named else { return query.nothing(request, "targets") }
        filter.node = named
      }
      if let marker = filter.paging.marker {
        var one = VolumePartFilter(scope: filter.scope, paging: Paging(by: VolumeTargetStore.Key.uuid))
        one.uuid = marker
        guard try !VolumeTargetStore.list(one, box: database.secrets, in: session).isEmpty else {
          throw APIError.notFound("Volume target \(marker) could not be found.")
        }
      }
      let targets = try VolumeTargetStore.list(filter, box: database.secrets, in: session)
      return query.answer(request, "targets", targets, id: \.uuid) { $1.value(shown($0, view)) }
    }
  }

  // MARK: Changes

  private func set(_ document: JSON, on target: inout VolumeTarget) throws {
    target.volumeType = try FieldReading.word(document["volume_type"], "volume_type")
    target.volumeID = try FieldReading.word(document["volume_id"], "volume_id")
    guard let index = document["boot_index"]?.lenientInt, (0...65_535).contains(index) else {
      throw APIError.badRequest("boot_index must be a number from 0 to 65535; 0 is the volume that boots.")
    }
    target.bootIndex = index
    target.properties = SecretMask.keeping(
      target.properties, in: try FieldReading.document(document["properties"], "properties"))
    target.extra = try FieldReading.document(document["extra"], "extra")
  }
  private func taken(_ target: VolumeTarget) -> String {
    "A volume target with boot index '\(target.bootIndex)' for the same node, or with UUID \(target.uuid), already exists."
  }

  /// POST /v1/volume/targets `{"node_uuid", "volume_type", "volume_id", "boot_index", "properties"?, "extra"?, "uuid"?}` → 201.
  private func createTarget(_ request: APIRequest) async throws -> APIResponse {
    let body = try await request.object()
    try FieldReading.refuseOthers(body, than: Self.targetMembers, "volume target")
    let view = try targetView(request, asked: nil)
    return try await database.write { session in
      let actor = try request.actor()
      let node = try node(inBody: body["node_uuid"], actor, to: .use, in: session)
      var target = VolumeTarget(
        uuid: try FieldReading.uuid(body["uuid"], "uuid") ?? Identifier.uuid(), nodeUUID: node.uuid,
        createdAt: request.now)
      target.projectID = actor.projectID
      try set(.object(body), on: &target)
      try unlessTaken(taken(target)) { try VolumeTargetStore.insert(target, box: database.secrets, in: session) }
      return APIResponse(
        .created, json: shown(target, view),
        headers: [.location: "\(request.serviceURL)/v1/volume/targets/\(target.uuid)"])
    }
  }
  private func patchTarget(_ request: APIRequest) async throws -> APIResponse {
    let patch = try PatchOperation.parse(try await request.json())
    let members = try patch.members(of: Self.targetMembers.subtracting(["uuid"]))
    let view = try targetView(request, asked: nil)
    return try await database.write { session in
      let actor = try request.actor()
      var (target, node) = try target(request, in: session)
      try require(.use, node, actor)
      let document = try patch.applied(to: [
        "boot_index": .int(target.bootIndex), "extra": .object(target.extra), "node_uuid": .string(target.nodeUUID),
        "properties": SecretMask.masked(.object(target.properties)), "volume_id": .string(target.volumeID),
        "volume_type": .string(target.volumeType),
      ])
      try set(document, on: &target)
      if members.contains("node_uuid") {
        let other = try self.node(inBody: document["node_uuid"], actor, to: .use, in: session)
        try requireRest(other, to: "volume target update", isRemoval: false)
        target.nodeUUID = other.uuid
      }
      try requireRest(node, to: "volume target update", isRemoval: false)
      target.updatedAt = request.now
      try unlessTaken(taken(target)) { try VolumeTargetStore.update(target, box: database.secrets, in: session) }
      return APIResponse(json: shown(target, view))
    }
  }
}
