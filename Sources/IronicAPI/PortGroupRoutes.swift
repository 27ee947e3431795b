import APISupport
import Domain
import Store
import Wire

extension IronicAPI {
  var portGroupEndpoints: [Endpoint] {
    [
      Endpoint(.get, "/v1/portgroups", since: 23, Self.read, "List port groups") {
        try await listPortGroups($0, isDetailed: false)
      },
      Endpoint(.get, "/v1/portgroups/detail", since: 23, Self.read, "List port groups with all fields") {
        try await listPortGroups($0, isDetailed: true)
      },
      Endpoint(.post, "/v1/portgroups", since: 23, Self.act, "Bond ports of a node") { try await createPortGroup($0) },
      Endpoint(.get, "/v1/portgroups/{portgroup}", since: 23, Self.read, "Show a port group") { request in
        let view = try portGroupView(request, asked: askedFields(request))
        return try await database.read { session in
          APIResponse(json: shown(try portGroup(request, in: session).0, view))
        }
      },
      Endpoint(.patch, "/v1/portgroups/{portgroup}", since: 23, Self.act, "Change a port group (JSON patch)") {
        try await patchPortGroup($0)
      },
      Endpoint(.delete, "/v1/portgroups/{portgroup}", since: 23, Self.act, "Remove an empty port group") {
        try await deletePortGroup($0)
      },
      Endpoint(.get, "/v1/portgroups/{portgroup}/ports", since: 24, Self.read, "List the ports of a port group") {
        let uuid = try await seenPortGroup($0)
        return try await listPorts($0, group: uuid, isDetailed: false)
      },
      Endpoint(
        .get, "/v1/portgroups/{portgroup}/ports/detail", since: 24, Self.read, "List the ports of a port group, whole"
      ) {
        let uuid = try await seenPortGroup($0)
        return try await listPorts($0, group: uuid, isDetailed: true)
      },
      Endpoint(.get, "/v1/nodes/{node}/portgroups", since: 24, Self.read, "List a node's port groups") {
        try await listPortGroups($0, node: try await seen($0).uuid, isDetailed: false)
      },
      Endpoint(.get, "/v1/nodes/{node}/portgroups/detail", since: 24, Self.read, "List a node's port groups, whole") {
        try await listPortGroups($0, node: try await seen($0).uuid, isDetailed: true)
      },
    ]
  }

  private static let portGroupFields = [
    ResourceField("uuid"), ResourceField("address"), ResourceField("name"), ResourceField("node_uuid"),
    ResourceField("standalone_ports_supported"), ResourceField("mode", 26), ResourceField("properties", 26),
    ResourceField("extra"), ResourceField("internal_info"), ResourceField("created_at"), ResourceField("updated_at"),
    ResourceField("ports"),
  ]
  private static let portGroupMembers: Set<String> = [
    "address", "extra", "mode", "name", "node_uuid", "properties", "standalone_ports_supported", "uuid",
  ]

  private func portGroupView(_ request: APIRequest, asked: [String]?, defaults: Set<String>? = nil) throws
    -> ResourceView
  {
    try ResourceView(request, "portgroups", Self.portGroupFields, asked: asked, defaults: defaults)
  }
  private func shown(_ group: PortGroup, _ view: ResourceView) -> JSON {
    view.json(
      group.uuid,
      [
        "uuid": .string(group.uuid), "address": JSON(group.address), "name": JSON(group.name),
        "node_uuid": .string(group.nodeUUID), "standalone_ports_supported": .bool(group.supportsStandalonePorts),
        "mode": .string(group.mode), "properties": .object(group.properties), "extra": .object(group.extra),
        "internal_info": group.vifPortID.map { ["tenant_vif_port_id": .string($0)] } ?? .emptyObject,
        "created_at": .string(group.createdAt.iso8601WithOffset),
        "updated_at": JSON(group.updatedAt?.iso8601WithOffset), "ports": view.links("\(group.uuid)/ports"),
      ])
  }

  /// - Throws: 404 for the port group of a foreign node as for none.
  private func portGroup(_ request: APIRequest, in session: any Session) throws -> (PortGroup, Node) {
    try portGroup(named: try ident(request, "portgroup"), try request.actor(), in: session)
  }
  func portGroup(named ident: String, _ actor: Actor, in session: any Session) throws -> (PortGroup, Node) {
    guard let group = try found(ident, { try PortGroupStore.find($0, in: session) }),
      let node = try NodeStore.get(group.nodeUUID, in: session), NodePolicy.sees(node, actor)
    else { throw APIError.notFound("Portgroup \(ident) could not be found.") }
    return (group, node)
  }
  private func seenPortGroup(_ request: APIRequest) async throws -> String {
    try await database.read { try portGroup(request, in: $0).0.uuid }
  }

  /// GET /v1/portgroups → 200 `{"portgroups": […], "next"?}`.
  /// - Parameter node: the UUID of the path's node.
  private func listPortGroups(_ request: APIRequest, node: String? = nil, isDetailed: Bool) async throws
    -> APIResponse
  {
    let query = try ListQuery(request, filters: ["node", "address"], isDetailed: isDetailed)
    let view = try portGroupView(
      request, asked: query.fields, defaults: query.isDetailed ? nil : ["uuid", "address", "name"])
    let actor = try request.actor()
    var filter = PortGroupFilter(scope: NodePolicy.scope(actor))
    filter.paging = try query.paging(PortGroupFilter.Key.createdAt)
    filter.node = node
    if let text = request.query["address"] {
      guard let mac = MACAddress(text) else {
        throw APIError.badRequest("Expected a MAC address but received \(text.prefix(40)).")
      }
      filter.address = mac.description
    }
    return try await database.read { [filter] session in
      var filter = filter
      if let ident = request.query["node"] {
        let named = try self.node(named: ident, actor, in: session).uuid
        guard node == nil || node == named else { return query.nothing(request, "portgroups") }
        filter.node = named
      }
      if let marker = filter.paging.marker {
        var one = PortGroupFilter(scope: filter.scope)
        one.uuid = marker
        guard try !PortGroupStore.list(one, in: session).isEmpty else {
          throw APIError.notFound("Portgroup \(marker) could not be found.")
        }
      }
      let groups = try PortGroupStore.list(filter, in: session)
      return query.answer(request, "portgroups", groups, id: \.uuid) { $1.value(shown($0, view)) }
    }
  }

  // MARK: Changes

  private func set(_ member: String, _ value: JSON?, on group: inout PortGroup) throws {
    switch member {
    case "address":
      guard let value, !value.isNull else {
        group.address = nil
        return
      }
      guard let mac = value.string.flatMap({ MACAddress($0) }) else {
        throw APIError.badRequest("Expected a MAC address but received \(value.description.prefix(40)).")
      }
      group.address = mac.description
    case "extra": group.extra = try FieldReading.document(value, member)
    case "mode":
      guard let mode = try FieldReading.text(value, member), !mode.isEmpty else {
        throw APIError.badRequest("'mode' is a mandatory attribute and can not be removed")
      }
      group.mode = mode
    case "name": group.name = try FieldReading.name(value, of: "portgroup")
    case "properties": group.properties = try FieldReading.document(value, member)
    case "standalone_ports_supported": group.supportsStandalonePorts = try FieldReading.flag(value, member) ?? true
    default: throw APIError.badRequest("Cannot patch /\(member)")
    }
  }
  private func taken(_ group: PortGroup) -> String {
    "A portgroup with UUID \(group.uuid)\(group.address.map { " or MAC address \($0)" } ?? "")\(group.name.map { " or name \($0)" } ?? "") already exists."
  }

  /// POST /v1/portgroups `{"node_uuid", "address"?, "name"?, "mode"?, "properties"?, "standalone_ports_supported"?, "extra"?}` → 201.
  private func createPortGroup(_ request: APIRequest) async throws -> APIResponse {
    let body = try await request.object()
    let version = try Microversion(request.headers)
    try FieldReading.refuseOthers(body, than: Self.portGroupMembers, "portgroup")
    for member in ["mode", "properties"] where body[member]?.isNull == false { try version.require(26, member) }
    let view = try portGroupView(request, asked: nil)
    return try await database.write { session in
      let node = try node(inBody: body["node_uuid"], try request.actor(), to: .wire, in: session)
      var group = PortGroup(
        uuid: try FieldReading.uuid(body["uuid"], "uuid") ?? Identifier.uuid(), nodeUUID: node.uuid,
        createdAt: request.now)
      for member in body where member.key != "uuid" && member.key != "node_uuid" && !member.value.isNull {
        try set(member.key, member.value, on: &group)
      }
      try unlessTaken(taken(group)) { try PortGroupStore.insert(group, in: session) }
      return APIResponse(
        .created, json: shown(group, view),
        headers: [.location: "\(request.serviceURL)/v1/portgroups/\(group.uuid)"])
    }
  }

  private func patchPortGroup(_ request: APIRequest) async throws -> APIResponse {
    let patch = try PatchOperation.parse(try await request.json())
    let version = try Microversion(request.headers)
    let view = try portGroupView(request, asked: nil)
    let members = try patch.members(of: Self.portGroupMembers.subtracting(["uuid"]))
    for member in ["mode", "properties"] where members.contains(member) { try version.require(26, member) }
    return try await database.write { session in
      let actor = try request.actor()
      var (group, node) = try portGroup(request, in: session)
      try require(members.isSubset(of: ["extra"]) ? .annotatePorts : .wire, node, actor)
      let before = group
      let document = try patch.applied(to: [
        "address": JSON(group.address), "extra": .object(group.extra), "mode": .string(group.mode),
        "name": JSON(group.name), "node_uuid": .string(group.nodeUUID), "properties": .object(group.properties),
        "standalone_ports_supported": .bool(group.supportsStandalonePorts),
      ])
      for member in members.sorted() where member != "node_uuid" {
        try set(member, document[member], on: &group)
      }
      if members.contains("node_uuid") {
        group.nodeUUID = try self.node(inBody: document["node_uuid"], actor, to: .wire, in: session).uuid
      }
      let ports = try PortStore.list(group: group.uuid, in: session)
      if group.nodeUUID != before.nodeUUID {
        try requireFree(node)
        guard ports.isEmpty else {
          throw APIError.badRequest(
            "Portgroup \(group.uuid) can not be associated with node \(group.nodeUUID) because there are ports associated with this portgroup."
          )
        }
      }
      if before.supportsStandalonePorts && !group.supportsStandalonePorts {
        for port in ports { if let reason = standaloneUse(of: port) { throw noStandalone(group, reason) } }
      }
      if let vif = group.vifPortID, !isBondedAlike(group, before) {
        throw APIError.conflict(
          "Portgroup \(group.uuid) has VIF \(vif) attached: detach it before the address, mode or properties change.")
      }
      group.updatedAt = request.now
      try unlessTaken(taken(group)) { try PortGroupStore.update(group, in: session) }
      return APIResponse(json: shown(group, view))
    }
  }
  private func isBondedAlike(_ group: PortGroup, _ other: PortGroup) -> Bool {
    group.address == other.address && group.mode == other.mode && group.properties == other.properties
  }
  private func noStandalone(_ group: PortGroup, _ reason: String) -> APIError {
    .conflict(
      "standalone_ports_supported can not be set to False, because the port group \(group.uuid) contains port with \(reason)"
    )
  }
  /// Why a port is used on its own; nil when it is not.
  func standaloneUse(of port: Port) -> String? {
    var reasons: [String] = []
    if port.isPXEEnabled { reasons.append("'pxe_enabled' was set to True") }
    if let vif = port.vifPortID { reasons.append("VIF \(vif) is attached to the port") }
    return reasons.isEmpty ? nil : reasons.joined(separator: ", ")
  }

  private func deletePortGroup(_ request: APIRequest) async throws -> APIResponse {
    try await database.write { session in
      let (group, node) = try portGroup(request, in: session)
      try require(.wire, node, try request.actor())
      try requireFree(node)
      guard try PortStore.list(group: group.uuid, in: session).isEmpty else {
        throw APIError.badRequest(
          "Cannot complete the requested action because portgroup \(group.uuid) contains ports.")
      }
      try PortGroupStore.delete(group.uuid, in: session)
      return .noContent
    }
  }
}
