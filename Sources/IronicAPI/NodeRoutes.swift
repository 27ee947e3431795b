import APISupport
import Conductor
import Domain
import HTTPTypes
import Store
import Wire

extension IronicAPI {
  var nodeEndpoints: [Endpoint] {
    [
      Endpoint(.get, "/v1/nodes", Self.read, "List nodes") { try await listNodes($0, isDetailed: false) },
      Endpoint(.get, "/v1/nodes/detail", Self.read, "List nodes with all fields") {
        try await listNodes($0, isDetailed: true)
      },
      Endpoint(.post, "/v1/nodes", Self.siteAdmin, "Enrol a node") { try await createNode($0) },
      Endpoint(.get, "/v1/nodes/{node}", Self.read, "Show a node") { try await showNode($0) },
      Endpoint(.patch, "/v1/nodes/{node}", Self.act, "Change a node (JSON patch)") { try await patchNode($0) },
      Endpoint(.delete, "/v1/nodes/{node}", Self.act, "Forget a node") { try await deleteNode($0) },
      Endpoint(.get, "/v1/nodes/{node}/validate", Self.act, "Check what each interface needs") {
        try await validateNode($0)
      },
    ]
  }

  /// POST /v1/nodes → 201 the node, in `enroll`.
  ///
  /// Before 1.11 a new node was `available` at once. Here that holds for make-believe hardware only: a machine that was not
  /// erased is not given to anybody.
  ///
  /// Answers: 400 for an unknown driver or member, 409 for a name or UUID that is taken.
  private func createNode(_ request: APIRequest) async throws -> APIResponse {
    let body = try await request.object()
    let version = try Microversion(request.headers)
    try FieldReading.refuseOthers(body, than: NodeBody.creatable, "node")
    for member in body where !member.value.isNull {
      if let field = NodeField.byName[member.key] { try version.require(field.since, "the field \(member.key)") }
    }
    guard let driver = body["driver"]?.string else {
      throw APIError.badRequest("driver is a required property of a node.")
    }
    let type = try conductor.checkDriver(driver)
    var draft = Node(
      uuid: try FieldReading.uuid(body["uuid"], "uuid") ?? Identifier.uuid(), driver: driver, createdAt: request.now)
    for member in body where member.key != "uuid" { try NodeBody.set(member.key, member.value, on: &draft, type) }
    draft.provisionUpdatedAt = nil
    if version.minor < 11 && !type.needsAgent { draft.provisionState = .available }
    try checkReasons(from: nil, to: &draft)
    return try await database.write { [draft] session in
      var draft = draft
      if let name = draft.name, try NodeStore.find(name, in: session) != nil {
        throw APIError.conflict("A node with name \(name) already exists.")
      }
      if try NodeStore.get(draft.uuid, in: session) != nil {
        throw APIError.conflict("A node with UUID \(draft.uuid) already exists.")
      }
      try checkPlace(&draft, in: session)
      try NodeStore.insert(draft, secrets: conductor.secretNames(driver: driver), box: database.secrets, in: session)
      try NodeStore.addEvent(
        "Enrolled.", type: "provision", user: try request.actor().userID, of: draft.uuid, at: request.now, in: session)
      return APIResponse(
        .created, try show(draft.uuid, request, in: session),
        headers: [.location: "\(request.serviceURL)/v1/nodes/\(draft.uuid)"])
    }
  }

  /// PATCH /v1/nodes/{node}?reset_interfaces=true → 200 the node. With a new driver, interfaces that the patch does not name
  /// become the driver's defaults.
  ///
  /// `?force=true`, an addition, with another owner: the node's leases and offers end now, and it is the new owner's when
  /// they are over. The answer still shows the old one where a machine has to be taken back first.
  ///
  /// Answers: 403 for a field that the caller's relation to the node does not include, 409 while a workflow works with it, and
  /// for another owner while there are leases or offers.
  private func patchNode(_ request: APIRequest) async throws -> APIResponse {
    let patch = try PatchOperation.parse(try await request.json())
    let version = try Microversion(request.headers)
    let resets = try request.query.bool("reset_interfaces") ?? false
    if resets { try version.require(45, "reset_interfaces") }
    let isForced = try request.query.bool("force") ?? false
    // A machine that stands by is switched off by the driver that knows it.
    let changed = try await database.read { session in
      let node = try node(request, in: session)
      let fields = try patchedFields(patch, node, request.actor(), version)
      let isOther = fields.contains { ["driver", "driver_info"].contains($0) || NodeBody.interfaces.contains($0) }
      return isOther ? node.uuid : nil
    }
    if let changed { try await conductor.endFastTrack(of: changed, by: try requester(request)) }
    return try await database.write { session in
      let actor = try request.actor()
      var node = try node(request, in: session)
      let before = node
      let fields = try patchedFields(patch, node, actor, version)
      guard !resets || fields.contains("driver") else {
        throw APIError.badRequest("The reset_interfaces parameter can only be used when changing the node's driver.")
      }
      guard !isForced || fields.contains("owner") else {
        throw APIError.badRequest("The force parameter can only be used when changing the node's owner.")
      }
      if resets { node.interfaces = [:] }
      try apply(patch, fields, to: &node)
      try checkInterfaces(from: before, to: node, actor, in: session)
      if node.chassisUUID != before.chassisUUID || node.parentNode != before.parentNode {
        try checkPlace(&node, in: session)
        if node.chassisUUID == nil && before.chassisUUID != nil {
          try version.require(25, "taking a node out of a chassis")
        }
      }
      try checkReasons(from: before, to: &node)
      // Ending a lease stops what is under way for its lessee, so an owner that is forced need not wait for it.
      try checkChange(from: before, to: node, isForced ? fields.subtracting(["owner"]) : fields, in: session)
      let owner = node.owner
      node.owner = before.owner
      if let allocation = before.allocationUUID, node.instanceUUID == nil, before.instanceUUID != nil {
        try AllocationStore.delete(allocation, in: session)
        node.allocationUUID = nil
      }
      node.updatedAt = request.now
      if let lessee = before.lessee, lessee != node.lessee, lessee != before.owner {
        try conductor.lesseeChanged(of: before, in: session)
      }
      do {
        try NodeStore.update(node, in: session)
      } catch let error as StoreError where error.kind == .conflict {
        throw APIError.conflict("A node with this name or instance already exists.")
      }
      if fields.contains("driver_info") || fields.contains("driver") {
        try NodeStore.setDriverInfo(
          node.driverInfo, of: node.uuid, secrets: conductor.secretNames(driver: node.driver), box: database.secrets,
          in: session)
        conductor.controllersChanged(in: session)
      }
      if fields.contains("owner") {
        if owner != before.owner { try requireUnallocated(node, isForced: isForced) }
        try conductor.setOwner(owner, of: node, isForced: isForced, in: session)
      }
      return APIResponse(.ok, try show(node.uuid, request, in: session))
    }
  }
  /// - Throws: 409 for a node with an allocation, unless that ends with a lease.
  private func requireUnallocated(_ node: Node, isForced: Bool) throws {
    guard node.allocationUUID != nil, !isForced || node.leaseUUID == nil else { return }
    throw APIError.conflict("Node \(node.uuid) is allocated: its owner cannot change now.")
  }

  /// The top-level fields that a patch touches, each allowed to the caller.
  private func patchedFields(
    _ patch: [PatchOperation], _ node: Node, _ actor: Actor, _ version: Microversion
  ) throws -> Set<String> {
    var fields: Set<String> = []
    for operation in patch {
      guard let field = operation.path.first else { continue }
      guard NodeBody.patchable.contains(field) else {
        throw APIError.badRequest("Cannot patch \(operation.pointer.prefix(200))")
      }
      if let known = NodeField.byName[field] { try version.require(known.since, "the field \(field)") }
      // Naming the implementation that there is changes nothing, so whoever may deploy may do it (checkInterfaces).
      if fields.insert(field).inserted, !NodeBody.interfaces.contains(field) {
        try require(.update(field: field), node, actor)
      }
    }
    if fields.contains(where: { NodeBody.interfaces.contains($0) }) { try require(.use, node, actor) }
    return fields
  }

  private func apply(_ patch: [PatchOperation], _ fields: Set<String>, to node: inout Node) throws {
    var members = NodeBody.document(node)
    for field in fields where members[field] == nil { members[field] = .null }
    var document = JSON.object(members)
    for operation in patch {
      // Removing a top-level member sets its default; the document keeps it, so that it can be removed again.
      if operation.path.count == 1, operation.kind == .remove, let field = operation.path.first {
        guard case .object(var object) = document else { continue }
        object[field] = .null
        document = .object(object)
      } else {
        try operation.apply(to: &document)
      }
    }
    // The driver first: it decides which interfaces there are.
    for field in fields.sorted(by: { a, b in a == "driver" || (b != "driver" && a < b) }) {
      try NodeBody.set(field, document[field], on: &node, conductor.hardwareType(named: node.driver))
    }
  }

  /// What was chosen must be of the driver that the node has then, and whoever makes a difference needs the right to.
  private func checkInterfaces(from before: Node, to node: Node, _ actor: Actor, in session: any Session) throws {
    guard node.interfaces != before.interfaces || node.driver != before.driver else { return }
    let type = try conductor.checkDriver(node.driver)
    for (kind, name) in node.interfaces where type.interfaces[kind]?.contains(name) != true {
      throw APIError.badRequest(
        "The \(kind.field) \(name) is not of driver \(type.name): name another, or use reset_interfaces to have its defaults."
      )
    }
    for kind in InterfaceKind.allCases
    where type.implementation(of: kind, for: node) != type.implementation(of: kind, for: before) {
      try require(.update(field: kind.field), before, actor)
    }
    try conductor.interfacesChanged(from: before, to: node, in: session)
  }

  /// Where the node stands and what it is a part of are there; a parent's name becomes its UUID.
  private func checkPlace(_ node: inout Node, in session: any Session) throws {
    if let chassis = node.chassisUUID, try ChassisStore.get(chassis, in: session) == nil {
      throw APIError.badRequest("Chassis \(chassis) could not be found.")
    }
    guard let ident = node.parentNode else { return }
    guard let parent = try NodeStore.find(ident, in: session), parent.uuid != node.uuid else {
      throw APIError.badRequest("Unable to apply the requested parent_node '\(ident)'. Requested value was invalid.")
    }
    node.parentNode = parent.uuid
    guard parent.parentNode == nil, try NodeStore.children(of: node.uuid, in: session).isEmpty else {
      throw APIError.badRequest(
        "parent_node '\(ident)' would make parts of parts: a node is a part of one that is whole.")
    }
  }

  /// What a patch must leave true.
  private func checkChange(from before: Node, to node: Node, _ fields: Set<String>, in session: any Session) throws {
    if let workflow = before.reservation, let field = fields.first(where: { NodeBody.lockedByWorkflow.contains($0) }) {
      throw APIError.conflict(
        "Node \(node.uuid) is locked by workflow \(workflow), please retry after the current operation is completed (\(field))."
      )
    }
    if node.driver != before.driver {
      _ = try conductor.checkDriver(node.driver)
      guard [.enroll, .manageable, .inspectFailed, .cleanFailed].contains(before.provisionState) || before.maintenance
      else {
        throw APIError.conflict(
          "The driver of node \(node.uuid) cannot be changed while it is in state \"\(before.provisionState.rawValue)\": manage it, or set maintenance."
        )
      }
    }
    if let name = node.name, name != before.name, try NodeStore.find(name, in: session) != nil {
      throw APIError.conflict("A node with name \(name) already exists.")
    }
    if node.lessee != before.lessee {
      guard before.leaseUUID == nil else {
        throw APIError.conflict("Node \(node.uuid) is leased: delete the lease to take it back.")
      }
      // What one tenant left on the disk or on the switch must not reach the next.
      let isUsed = before.provisionState.isInUse
      let hasVIFs = try !conductor.vifs(before, in: session).isEmpty
      if before.lessee != nil && (isUsed || hasVIFs) {
        throw APIError.conflict("Node \(node.uuid) is in use by its lessee: undeploy it and detach its networks first.")
      }
    }
    if node.instanceUUID != before.instanceUUID {
      if let instance = before.instanceUUID, node.instanceUUID != nil {
        throw APIError.conflict("Node \(node.uuid) is associated with instance \(instance).")
      }
      // Its allocation goes with the instance.
      if before.allocationUUID != nil { try requireIdle(before, "instance_uuid removed while it has an allocation") }
    }
    if let resourceClass = before.resourceClass, node.resourceClass != resourceClass {
      try requireIdle(before, "resource_class updated")
    }
  }
  /// - Throws: 409 for a node that is in use, unless it is in maintenance.
  private func requireIdle(_ node: Node, _ what: String) throws {
    let idle: [ProvisionState] = [.enroll, .inspecting, .inspectWait, .manageable, .available]
    guard idle.contains(node.provisionState) || node.maintenance else {
      throw APIError.conflict(
        "Node \(node.uuid) can not have \(what) unless it is in one of allowed (\(idle.map(\.rawValue).joined(separator: ", "))) states or in maintenance mode. Current state is '\(node.provisionState.rawValue)'."
      )
    }
  }

  /// Protection, retirement and maintenance, each with its reason: a reason without its fact is refused, and goes with it.
  private func checkReasons(from before: Node?, to node: inout Node) throws {
    if before?.isProtected != node.isProtected {
      if !node.isProtected {
        node.protectedReason = nil
      } else if ![.active, .rescue].contains(node.provisionState) {
        throw APIError.conflict(
          "Node \(node.uuid) can only be made protected in provision states 'active' or 'rescue', the current state is '\(node.provisionState.rawValue)'"
        )
      }
    }
    if node.protectedReason != nil && !node.isProtected {
      throw APIError.badRequest("The protected_reason field can only be set when protected is True")
    }
    if before?.isRetired != node.isRetired {
      if !node.isRetired {
        if before != nil { node.retiredReason = nil }
      } else if node.provisionState == .available {
        throw APIError.conflict(
          "Node \(node.uuid) can not have 'retired' set in provision state 'available', the current state is 'available': manage it first."
        )
      }
    }
    if node.retiredReason != nil && !node.isRetired {
      throw APIError.badRequest("The retired_reason field can only be set when retired is True")
    }
    if let before, before.maintenance, !node.maintenance {
      node.maintenanceReason = nil
      node.fault = nil
    }
  }

  /// DELETE /v1/nodes/{node} → 204.
  private func deleteNode(_ request: APIRequest) async throws -> APIResponse {
    let uuid = try await database.read { try node(request, to: .delete, in: $0).uuid }
    try await conductor.endFastTrack(of: uuid, by: try requester(request))
    return try await database.write { session in
      let node = try node(request, to: .delete, in: session)
      if let instance = node.instanceUUID, !node.maintenance {
        throw APIError.conflict("Node \(node.uuid) is associated with instance \(instance).")
      }
      guard !node.isProtected else {
        throw APIError.forbidden("Node \(node.uuid) is protected and cannot be undeployed, rebuilt or deleted.")
      }
      if let vif = try conductor.vifs(node, in: session).first {
        throw APIError.conflict("Node \(node.uuid) has VIF \(vif) attached: detach it first.")
      }
      if let child = try NodeStore.children(of: node.uuid, in: session).first {
        throw APIError.conflict("Node \(child.uuid) is a part of node \(node.uuid): remove it first.")
      }
      try conductor.nodeDeleted(node, in: session)
      if let allocation = try AllocationStore.holding(node: node.uuid, in: session) {
        try AllocationStore.delete(allocation.uuid, in: session)
      }
      try NodeStore.delete(node.uuid, in: session)
      return .noContent
    }
  }

  /// GET /v1/nodes/{node}/validate → 200 `{"power": {"result": true, "reason": null}, …}`.
  private func validateNode(_ request: APIRequest) async throws -> APIResponse {
    let version = try Microversion(request.headers)
    return try await database.read { session in
      let node = try node(request, to: .use, in: session)
      let hidden: Set<String> = version.minor < 86 ? ["firmware", "vendor"] : ["vendor"]
      var answer: JSONObject = [:]
      for check in try conductor.validate(node, in: session) where !hidden.contains(check.interface) {
        answer[check.interface] = ["result": check.result.map { .bool($0) } ?? .null, "reason": JSON(check.reason)]
      }
      return APIResponse(json: .object(answer))
    }
  }
}
