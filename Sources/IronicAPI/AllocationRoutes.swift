import APISupport
import Domain
import HTTPTypes
import Store
import Wire

extension IronicAPI {
  var allocationEndpoints: [Endpoint] {
    [
      Endpoint(.get, "/v1/allocations", since: 52, Self.read, "List allocations") { try await listAllocations($0) },
      Endpoint(
        .post, "/v1/allocations", since: 52, missing: .methodNotAllowed, Self.act,
        "Take a node by class, candidates and traits"
      ) { try await createAllocation($0) },
      Endpoint(.get, "/v1/allocations/{allocation}", since: 52, Self.read, "Show an allocation") { request in
        let view = try allocationView(request, asked: askedFields(request))
        return try await database.read { session in
          APIResponse(json: shown(try allocation(request, in: session), view))
        }
      },
      Endpoint(
        .patch, "/v1/allocations/{allocation}", since: 57, missing: .methodNotAllowed, Self.act,
        "Change the name or extra"
      ) { try await patchAllocation($0) },
      Endpoint(
        .delete, "/v1/allocations/{allocation}", since: 52, missing: .methodNotAllowed, Self.act, "Give the node back"
      ) { request in
        try await database.write { session in
          try release(try allocation(request, toChange: true, in: session), request, in: session)
        }
      },
      Endpoint(.get, "/v1/nodes/{node}/allocation", since: 52, Self.read, "Show a node's allocation") { request in
        let view = try allocationView(request, asked: askedFields(request))
        return try await database.read { session in
          APIResponse(json: shown(try allocation(ofNode: request, in: session), view))
        }
      },
      Endpoint(.delete, "/v1/nodes/{node}/allocation", since: 52, Self.act, "Give the node back") { request in
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
    let ident = try ident(request, "allocation")
    let actor = try request.actor()
    guard let allocation = try found(ident, { try AllocationStore.find($0, in: session) }),
      NodePolicy.sees(allocation, actor)
    else { throw APIError.notFound("Allocation \(ident) could not be found.") }
    guard !toChange || NodePolicy.mayChange(allocation, actor) else { throw refusal }
    return allocation
  }
  private func allocation(ofNode request: APIRequest, in session: any Session) throws -> Allocation {
    let node = try node(request, in: session)
    guard let allocation = try AllocationStore.holding(node: node.uuid, in: session),
      NodePolicy.sees(allocation, try request.actor())
    else { throw APIError.notFound("Allocation for node \(node.uuid) was not found.") }
    return allocation
  }

  private static let allocationFields = [
    ResourceField("uuid"), ResourceField("name"), ResourceField("node_uuid"), ResourceField("state"),
    ResourceField("resource_class"), ResourceField("candidate_nodes"), ResourceField("traits"),
    ResourceField("owner", 60), ResourceField("last_error"), ResourceField("extra"), ResourceField("created_at"),
    ResourceField("updated_at"),
  ]
  private func allocationView(_ request: APIRequest, asked: [String]?) throws -> ResourceView {
    try ResourceView(request, "allocations", Self.allocationFields, asked: asked)
  }
  private func shown(_ allocation: Allocation, _ view: ResourceView) -> JSON {
    view.json(
      allocation.uuid,
      [
        "uuid": .string(allocation.uuid), "name": JSON(allocation.name), "node_uuid": JSON(allocation.nodeUUID),
        "state": .string(allocation.state.rawValue), "resource_class": JSON(allocation.resourceClass),
        "candidate_nodes": JSON(allocation.candidateNodes), "traits": JSON(allocation.traits),
        "owner": JSON(allocation.owner), "last_error": JSON(allocation.lastError), "extra": .object(allocation.extra),
        "created_at": .string(allocation.createdAt.iso8601WithOffset),
        "updated_at": JSON(allocation.updatedAt?.iso8601WithOffset),
      ])
  }

  /// GET /v1/allocations → 200 `{"allocations": […], "next"?}`.
  private func listAllocations(_ request: APIRequest) async throws -> APIResponse {
    let query = try ListQuery(request, filters: ["node", "resource_class", "state", "owner"])
    let view = try allocationView(request, asked: query.fields)
    let actor = try request.actor()
    guard actor.isSiteReader || actor.projectID != nil else { return query.nothing(request, "allocations") }
    if request.query["owner"] != nil { try Microversion(request.headers).require(60, "the filter owner") }
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
      let allocations = try AllocationStore.list(filter, in: session)
      return query.answer(request, "allocations", allocations, id: \.uuid) { $1.value(shown($0, view)) }
    }
  }

  /// POST /v1/allocations → 201 in the state `allocating`, as it begins; clients look again until it is `active` or `error`
  /// with the reason in `last_error`, which it is when this transaction is in force. With `node` (1.58), for a node that is
  /// active already, it is `active` at once.
  private func createAllocation(_ request: APIRequest) async throws -> APIResponse {
    let version = try Microversion(request.headers)
    let body = try await request.object()
    let actor = try request.actor()
    try FieldReading.refuseOthers(
      body, than: ["candidate_nodes", "extra", "name", "node", "owner", "resource_class", "traits", "uuid"],
      "allocation")
    if body["owner"]?.isNull == false { try version.require(60, "the field owner") }
    let asked = try FieldReading.uuid(body["uuid"], "uuid")
    var draft = Allocation(uuid: asked ?? Identifier.uuid(), createdAt: request.now)
    draft.name = try FieldReading.name(body["name"], of: "allocation")
    draft.extra = try FieldReading.document(body["extra"], "extra")
    draft.resourceClass = try FieldReading.text(body["resource_class"], "resource_class", max: 80)
    draft.traits = try strings(body["traits"], "traits")
    for trait in draft.traits { try Self.requireTrait(trait) }
    let owner = try FieldReading.text(body["owner"], "owner")
    draft.owner = owner ?? actor.projectID
    guard actor.isSiteAdmin || draft.owner == actor.projectID else {
      throw APIError.forbidden("Cannot create an allocation for another project.")
    }
    let view = try allocationView(request, asked: nil)
    let candidates = try strings(body["candidate_nodes"], "candidate_nodes")
    let target = try FieldReading.text(body["node"], "node")
    if target != nil && version.minor < 58 {
      throw APIError.badRequest("Cannot set node when creating an allocation in this API version")
    }
    guard draft.resourceClass != nil || target != nil else {
      throw APIError.badRequest("The resource_class field is mandatory when not backfilling")
    }
    return try await database.write { [draft] session in
      var allocation = draft
      allocation.candidateNodes = try candidates.map { try candidate($0, actor, in: session).uuid }
      if let target {
        let node = try candidate(target, actor, in: session)
        try backfill(&allocation, named: asked != nil, node, request, in: session)
        return made(allocation, view, request)
      }
      try insert(allocation, in: session)
      let answer = made(allocation, view, request)
      try decide(&allocation, for: owner, actor, at: request.now, in: session)
      return answer
    }
  }
  private func made(_ allocation: Allocation, _ view: ResourceView, _ request: APIRequest) -> APIResponse {
    APIResponse(
      .created, json: shown(allocation, view),
      headers: [.location: "\(request.serviceURL)/v1/allocations/\(allocation.uuid)"])
  }
  private func insert(_ allocation: Allocation, in session: any Session) throws {
    try unlessTaken("An allocation with this name or UUID already exists.") {
      try AllocationStore.insert(allocation, in: session)
    }
  }
  /// A node that the caller names. One that they may not see does not exist, in the same words.
  private func candidate(_ ident: String, _ actor: Actor, in session: any Session) throws -> Node {
    guard let node = try NodeStore.find(ident, in: session), NodePolicy.sees(node, actor) else {
      throw APIError.badRequest("Node \(ident) could not be found.")
    }
    return node
  }

  /// Takes a node, or says why there is none.
  /// - Parameter owner: the project that an administrator named; its nodes only.
  private func decide(
    _ allocation: inout Allocation, for owner: String?, _ actor: Actor, at now: Timestamp, in session: any Session
  ) throws {
    let resourceClass = allocation.resourceClass ?? ""
    let free = try NodeStore.allocatable(
      resourceClass: resourceClass, candidates: allocation.candidateNodes, in: session
    )
    .filter { node in
      guard NodePolicy.mayAllocate(node, actor) else { return false }
      if let owner { return node.lessee == owner || (node.owner == owner && node.lessee == nil) }
      // The administrator takes what somebody leases only when they name it.
      return node.lessee == nil || node.lessee == actor.projectID || !allocation.candidateNodes.isEmpty
    }
    let suitable = free.filter { Set($0.traits).isSuperset(of: allocation.traits) }
    // Upstream 1.79: a node of the allocation's name first. Then one whose agent waits (decision 0027).
    let ready = suitable.count > 1 ? try StandByStore.ready(at: now, in: session) : []
    let chosen =
      suitable.first { $0.name != nil && $0.name == allocation.name } ?? suitable.first { ready.contains($0.uuid) }
      ?? suitable.first
    if let chosen {
      try hold(chosen, by: &allocation, at: now, in: session)
    } else {
      allocation.state = .error
      allocation.lastError = failure(allocation, resourceClass, anyFree: !free.isEmpty)
    }
    allocation.updatedAt = now
    try AllocationStore.update(allocation, in: session)
  }
  private func hold(_ node: Node, by allocation: inout Allocation, at now: Timestamp, in session: any Session) throws {
    var node = node
    node.instanceUUID = allocation.uuid
    node.allocationUUID = allocation.uuid
    node.updatedAt = now
    try NodeStore.update(node, in: session)
    allocation.state = .active
    allocation.nodeUUID = node.uuid
  }

  /// Makes the allocation of a node that is deployed already, by other means than an allocation.
  /// - Parameter isNamed: the caller chose the allocation's UUID; otherwise it is the instance's.
  private func backfill(
    _ allocation: inout Allocation, named isNamed: Bool, _ node: Node, _ request: APIRequest, in session: any Session
  ) throws {
    let actor = try request.actor()
    guard NodePolicy.mayAllocate(node, actor) else { throw refusal }
    try requireFree(node)
    var problems: [String] = []
    if let wanted = allocation.resourceClass, wanted != node.resourceClass {
      problems.append(
        "Resource class \(node.resourceClass ?? "None") does not match the requested resource class \(wanted)")
    }
    if !Set(node.traits).isSuperset(of: allocation.traits) {
      problems.append("List of traits \(node.traits) does not match the requested traits \(allocation.traits)")
    }
    if !allocation.candidateNodes.isEmpty, !allocation.candidateNodes.contains(node.uuid) {
      problems.append("Candidate nodes must be empty or contain the target node, but got \(allocation.candidateNodes)")
    }
    guard problems.isEmpty else {
      throw APIError.badRequest(
        "Cannot backfill an allocation for node \(node.uuid): \(problems.joined(separator: "; "))")
    }
    guard node.provisionState == .active else {
      throw APIError.conflict(
        "Cannot backfill an allocation for node \(node.uuid): Node must be in the \"active\" state, but the current state is \"\(node.provisionState.rawValue)\""
      )
    }
    if let instance = node.instanceUUID {
      if !isNamed { allocation.uuid = instance }
      guard node.allocationUUID == nil, allocation.uuid == instance else {
        throw APIError.conflict("Node \(node.uuid) is associated with instance \(instance).")
      }
    }
    allocation.resourceClass = allocation.resourceClass ?? node.resourceClass
    allocation.state = .active
    allocation.nodeUUID = node.uuid
    try insert(allocation, in: session)
    do { try hold(node, by: &allocation, at: request.now, in: session) } catch let error as StoreError
      where error.kind == .conflict
    {
      throw APIError.conflict("Instance \(allocation.uuid) is already associated with a node.")
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
    let patch = try PatchOperation.parse(try await request.json())
    _ = try patch.members(of: ["name", "extra"])
    let view = try allocationView(request, asked: nil)
    return try await database.write { session in
      var allocation = try allocation(request, toChange: true, in: session)
      let document = try patch.applied(to: ["name": JSON(allocation.name), "extra": .object(allocation.extra)])
      allocation.name = try FieldReading.name(document["name"], of: "allocation")
      allocation.extra = try FieldReading.document(document["extra"], "extra")
      allocation.updatedAt = request.now
      try unlessTaken("An allocation with this name already exists.") {
        try AllocationStore.update(allocation, in: session)
      }
      return APIResponse(json: shown(allocation, view))
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
