import APISupport
import Domain
import HTTPTypes
import Store
import Wire

extension IronicAPI {
  var allocationEndpoints: [Endpoint] {
    [
      Endpoint(.get, "/v1/allocations", Self.read, "List allocations") { try await listAllocations($0) },
      Endpoint(.post, "/v1/allocations", Self.act, "Take a node by class, candidates and traits") {
        try await createAllocation($0)
      },
      Endpoint(.get, "/v1/allocations/{allocation}", Self.read, "Show an allocation") { request in
        let fields = request.query["fields"].map { $0.split(separator: ",").map { String($0) } }
        return try await database.read { session in
          APIResponse(json: try shown(try allocation(request, in: session), request, fields: fields))
        }
      },
      Endpoint(.patch, "/v1/allocations/{allocation}", Self.act, "Change the name or extra") {
        try await patchAllocation($0)
      },
      Endpoint(.delete, "/v1/allocations/{allocation}", Self.act, "Give the node back") { request in
        try await database.write { session in
          try release(try allocation(request, toChange: true, in: session), request, in: session)
        }
      },
      Endpoint(.get, "/v1/nodes/{node}/allocation", Self.read, "Show a node's allocation") { request in
        try await database.read { session in
          APIResponse(json: try shown(try allocation(ofNode: request, in: session), request, fields: nil))
        }
      },
      Endpoint(.delete, "/v1/nodes/{node}/allocation", Self.act, "Give the node back") { request in
        try await database.write { session in
          let allocation = try allocation(ofNode: request, in: session)
          guard NodePolicy.mayChange(allocation, try request.actor()) else { throw refusal }
          return try release(allocation, request, in: session)
        }
      },
    ]
  }
  private var refusal: APIError {
    .forbidden("You are not authorized to perform the requested action: baremetal:allocation:update.")
  }

  private func allocation(_ request: APIRequest, toChange: Bool = false, in session: any Session) throws -> Allocation {
    try Microversion(request.headers).require(52, "allocations")
    let ident = try request.parameter("allocation")
    let actor = try request.actor()
    guard let allocation = try AllocationStore.find(ident, in: session), NodePolicy.sees(allocation, actor) else {
      throw APIError.notFound("Allocation \(ident) could not be found.")
    }
    guard !toChange || NodePolicy.mayChange(allocation, actor) else { throw refusal }
    return allocation
  }
  private func allocation(ofNode request: APIRequest, in session: any Session) throws -> Allocation {
    try Microversion(request.headers).require(52, "allocations")
    let node = try node(request, in: session)
    guard let allocation = try AllocationStore.holding(node: node.uuid, in: session),
      NodePolicy.sees(allocation, try request.actor())
    else { throw APIError.notFound("Allocation for node \(node.uuid) was not found.") }
    return allocation
  }

  private static let fields = [
    "uuid", "name", "node_uuid", "state", "resource_class", "candidate_nodes", "traits", "owner", "last_error", "extra",
    "created_at",
    "updated_at",
  ]
  private func shown(_ allocation: Allocation, _ request: APIRequest, fields: [String]?) throws -> JSON {
    if let wrong = fields?.first(where: { !Self.fields.contains($0) && $0 != "links" }) {
      throw APIError.badRequest("Field(s) \"\(wrong)\" are not valid")
    }
    var out: JSONObject = [
      "uuid": .string(allocation.uuid), "name": JSON(allocation.name), "node_uuid": JSON(allocation.nodeUUID),
      "state": .string(allocation.state.rawValue), "resource_class": JSON(allocation.resourceClass),
      "candidate_nodes": JSON(allocation.candidateNodes), "traits": JSON(allocation.traits),
      "owner": JSON(allocation.owner),
      "last_error": JSON(allocation.lastError), "extra": .object(allocation.extra),
      "created_at": .string(allocation.createdAt.iso8601WithOffset),
      "updated_at": JSON(allocation.updatedAt?.iso8601WithOffset),
    ]
    if try Microversion(request.headers).minor < 60 { out["owner"] = nil }
    if let fields { for key in out.keys where !fields.contains(key) { out[key] = nil } }
    out["links"] = links(request, "allocations/\(allocation.uuid)")
    return .object(out)
  }

  /// GET /v1/allocations → 200 `{"allocations": […], "next"?}`.
  private func listAllocations(_ request: APIRequest) async throws -> APIResponse {
    try Microversion(request.headers).require(52, "allocations")
    let query = try ListQuery(request, filters: ["node", "resource_class", "state", "owner"])
    let actor = try request.actor()
    guard actor.isSiteReader || actor.projectID != nil else {
      return query.answer(request, "allocations", [String](), id: { $0 }) { _, _ in }
    }
    var filter = AllocationFilter(owner: actor.isSiteReader ? request.query["owner"] : actor.projectID)
    if let owner = request.query["owner"], let own = filter.owner, owner != own { filter.matchesNothing = true }
    filter.resourceClass = request.query["resource_class"]
    filter.state = request.query["state"]
    filter.paging = try query.paging(AllocationFilter.Key.createdAt)
    return try await database.read { [filter] session in
      var filter = filter
      if let ident = request.query["node"] { filter.node = try node(named: ident, actor, in: session).uuid }
      if let marker = filter.paging.marker {
        guard let found = try AllocationStore.find(marker, in: session), NodePolicy.sees(found, actor) else {
          throw APIError.notFound("Allocation \(marker) could not be found.")
        }
      }
      let documents = try AllocationStore.list(filter, in: session).map {
        (uuid: $0.uuid, json: try shown($0, request, fields: query.fields))
      }
      return query.answer(request, "allocations", documents, id: \.uuid) { $1.value($0.json) }
    }
  }

  /// POST /v1/allocations → 201, `active` with its node, or `error` with the reason in `last_error`; there is nothing to wait for.
  private func createAllocation(_ request: APIRequest) async throws -> APIResponse {
    let version = try Microversion(request.headers)
    try version.require(52, "allocations")
    let body = try await request.object()
    let actor = try request.actor()
    try FieldReading.refuseOthers(
      body, than: ["candidate_nodes", "extra", "name", "node", "owner", "resource_class", "traits", "uuid"],
      "allocation")
    var draft = Allocation(
      uuid: try FieldReading.uuid(body["uuid"], "uuid") ?? Identifier.uuid(), createdAt: request.now)
    draft.name = try FieldReading.name(body["name"], of: "allocation")
    draft.extra = try FieldReading.document(body["extra"], "extra")
    draft.resourceClass = try FieldReading.text(body["resource_class"], "resource_class", max: 80)
    draft.traits = try strings(body["traits"], "traits")
    for trait in draft.traits { try Self.requireTrait(trait) }
    draft.owner = try FieldReading.text(body["owner"], "owner") ?? actor.projectID
    guard actor.isSiteAdmin || draft.owner == actor.projectID else {
      throw APIError.forbidden("Cannot create an allocation for another project.")
    }
    guard body["node"]?.isNull != false else {
      throw APIError.badRequest("Backfilling an allocation (node) is not supported: name the node in candidate_nodes.")
    }
    guard let resourceClass = draft.resourceClass else {
      throw APIError.badRequest("The resource_class field is mandatory.")
    }
    let candidates = try strings(body["candidate_nodes"], "candidate_nodes")
    return try await database.write { [draft] session in
      var allocation = draft
      // A candidate that the caller may not see does not exist, in the same words.
      allocation.candidateNodes = try candidates.map { ident in
        guard let node = try NodeStore.find(ident, in: session), NodePolicy.sees(node, actor) else {
          throw APIError.badRequest("Node \(ident) could not be found.")
        }
        return node.uuid
      }
      let free = try NodeStore.allocatable(
        resourceClass: resourceClass, candidates: allocation.candidateNodes, in: session
      )
      .filter { NodePolicy.mayAllocate($0, actor) }
      let suitable = free.filter { Set($0.traits).isSuperset(of: allocation.traits) }
      // Upstream 1.79: a node of the allocation's name first.
      var chosen = suitable.first { $0.name != nil && $0.name == allocation.name } ?? suitable.first
      if chosen != nil {
        allocation.state = .active
        allocation.nodeUUID = chosen?.uuid
      } else {
        allocation.state = .error
        allocation.lastError = failure(allocation, resourceClass, anyFree: !free.isEmpty)
      }
      do {
        try AllocationStore.insert(allocation, in: session)
      } catch let error as StoreError where error.kind == .conflict {
        throw APIError.conflict("An allocation with this name or UUID already exists.")
      }
      if chosen != nil {
        chosen?.instanceUUID = allocation.uuid
        chosen?.allocationUUID = allocation.uuid
        chosen?.updatedAt = request.now
        if let node = chosen { try NodeStore.update(node, in: session) }
      }
      return APIResponse(
        .created, json: try shown(allocation, request, fields: nil),
        headers: [.location: "\(request.serviceURL)/v1/allocations/\(allocation.uuid)"])
    }
  }
  private func strings(_ json: JSON?, _ name: String) throws -> [String] {
    guard let json, !json.isNull else { return [] }
    guard let items = json.array, items.count <= 1000 else {
      throw APIError.badRequest("\(name) must be an array of strings.")
    }
    return try items.map { item in
      guard let text = item.string, text.utf8.count <= 255 else {
        throw APIError.badRequest("\(name) must be an array of strings.")
      }
      return text
    }
  }
  /// Upstream's words: metalsmith shows them to its user.
  private func failure(_ allocation: Allocation, _ resourceClass: String, anyFree: Bool) -> String {
    let reason =
      if anyFree {
        "no suitable nodes have the requested traits \(allocation.traits.joined(separator: ", "))"
      } else if allocation.candidateNodes.isEmpty {
        "no available nodes match the resource class \(resourceClass)"
      } else {
        "none of the requested nodes are available and match the resource class \(resourceClass)"
      }
    return "Failed to process allocation \(allocation.uuid): \(reason)."
  }

  private func patchAllocation(_ request: APIRequest) async throws -> APIResponse {
    try Microversion(request.headers).require(57, "changing an allocation")
    let patch = try PatchOperation.parse(try await request.json())
    return try await database.write { session in
      var allocation = try allocation(request, toChange: true, in: session)
      for operation in patch where operation.path.first != "name" && operation.path.first != "extra" {
        throw APIError.badRequest("Cannot patch \(operation.pointer.prefix(200))")
      }
      var document = JSON.object(["name": JSON(allocation.name), "extra": .object(allocation.extra)])
      for operation in patch {
        if operation.path == ["name"], operation.kind == .remove {
          try PatchOperation(kind: .add, path: ["name"], value: .null).apply(to: &document)
        } else {
          try operation.apply(to: &document)
        }
      }
      allocation.name = try FieldReading.name(document["name"], of: "allocation")
      allocation.extra = try FieldReading.document(document["extra"], "extra")
      allocation.updatedAt = request.now
      do {
        try AllocationStore.update(allocation, in: session)
      } catch let error as StoreError where error.kind == .conflict {
        throw APIError.conflict("An allocation with this name already exists.")
      }
      return APIResponse(json: try shown(allocation, request, fields: nil))
    }
  }

  /// DELETE → 204. Not while the node runs the instance, unless it is in maintenance.
  private func release(_ allocation: Allocation, _ request: APIRequest, in session: any Session) throws -> APIResponse {
    if let uuid = allocation.nodeUUID, var node = try NodeStore.get(uuid, in: session) {
      let isHeld = node.provisionState == .active || node.provisionState.isTransient
      guard !isHeld || node.maintenance else {
        throw APIError.conflict(
          "Cannot remove allocation \(allocation.uuid) for node \(node.uuid), because the node is in state \(node.provisionState.rawValue) (and maintenance mode is off): undeploy it."
        )
      }
      if node.allocationUUID == allocation.uuid {
        node.allocationUUID = nil
        node.instanceUUID = nil
        node.updatedAt = request.now
        try NodeStore.update(node, in: session)
      }
    }
    try AllocationStore.delete(allocation.uuid, in: session)
    return .noContent
  }
}
