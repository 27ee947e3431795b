import APISupport
import Domain
import HTTPTypes
import Store
import Wire

extension IronicAPI {
  var portEndpoints: [Endpoint] {
    [
      Endpoint(.get, "/v1/ports", Self.read, "List ports") { try await listPorts($0, isDetailed: false) },
      Endpoint(.get, "/v1/ports/detail", Self.read, "List ports with all fields") {
        try await listPorts($0, isDetailed: true)
      },
      Endpoint(.post, "/v1/ports", Self.act, "Add a port to a node") { try await createPort($0) },
      Endpoint(.get, "/v1/ports/{port}", Self.read, "Show a port") { request in
        let view = try portView(request, asked: askedFields(request))
        return try await database.read { session in
          APIResponse(json: shown(try port(request, in: session).0, view))
        }
      },
      Endpoint(.patch, "/v1/ports/{port}", Self.act, "Change a port (JSON patch)") { try await patchPort($0) },
      Endpoint(.delete, "/v1/ports/{port}", Self.act, "Remove a port") { try await deletePort($0) },
      Endpoint(.get, "/v1/nodes/{node}/ports", Self.read, "List a node's ports") {
        try await listPorts($0, node: try await seen($0).uuid, isDetailed: false)
      },
      Endpoint(.get, "/v1/nodes/{node}/ports/detail", Self.read, "List a node's ports with all fields") {
        try await listPorts($0, node: try await seen($0).uuid, isDetailed: true)
      },
    ]
  }

  /// Source: Ironic, "REST API Version History".
  private static let portFields = [
    ResourceField("uuid"), ResourceField("address"), ResourceField("node_uuid"), ResourceField("extra"),
    ResourceField("created_at"), ResourceField("updated_at"), ResourceField("internal_info", 18),
    ResourceField("local_link_connection", 19), ResourceField("pxe_enabled", 19), ResourceField("portgroup_uuid", 24),
    ResourceField("physical_network", 34), ResourceField("is_smartnic", 53), ResourceField("name", 88),
  ]

  /// - Throws: 404 for the port of a foreign node as for none.
  private func port(_ request: APIRequest, in session: any Session) throws -> (Port, Node) {
    let ident = try ident(request, "port")
    guard let port = try found(ident, { try PortStore.find($0, in: session) }),
      let node = try NodeStore.get(port.nodeUUID, in: session),
      NodePolicy.sees(node, try request.actor())
    else { throw APIError.notFound("Port \(ident) could not be found.") }
    return (port, node)
  }

  /// GET /v1/ports → 200 `{"ports": […], "next"?}`.
  /// - Parameters:
  ///   - node: the UUID of the path's node.
  ///   - group: the UUID of the path's port group.
  func listPorts(_ request: APIRequest, node: String? = nil, group: String? = nil, isDetailed: Bool) async throws
    -> APIResponse
  {
    let query = try ListQuery(
      request, filters: ["node", "node_uuid", "address", "portgroup", "shard", "physical_network"],
      isDetailed: isDetailed)
    let version = try Microversion(request.headers)
    let view = try portView(request, asked: query.fields, defaults: query.isDetailed ? nil : ["uuid", "address"])
    let actor = try request.actor()
    var filter = PortFilter(scope: NodePolicy.scope(actor))
    filter.paging = try query.paging(PortFilter.Key.createdAt)
    if let field = Self.portFields.first(where: { $0.name == query.sortKey }) {
      try version.require(field.since, "sorting by \(field.name)")
    }
    filter.node = node
    filter.group = group
    filter.physicalNetwork = request.query["physical_network"]
    if let text = request.query["address"] {
      guard let mac = MACAddress(text) else {
        throw APIError.badRequest("Expected a MAC address but received \(text.prefix(40)).")
      }
      filter.address = mac.description
    }
    if let shards = request.query["shard"] {
      try version.require(82, "the filter shard")
      filter.shards = shards.split(separator: ",").map { String($0) }
    }
    if request.query["portgroup"] != nil { try version.require(24, "the filter portgroup") }
    return try await database.read { [filter] session in
      var filter = filter
      if let ident = request.query["node"] ?? request.query["node_uuid"] {
        let named = try self.node(named: ident, actor, in: session).uuid
        guard node == nil || node == named else { return query.nothing(request, "ports") }
        filter.node = named
      }
      if let ident = request.query["portgroup"] {
        let named = try portGroup(named: ident, actor, in: session).0.uuid
        guard group == nil || group == named else { return query.nothing(request, "ports") }
        filter.group = named
      }
      if let marker = filter.paging.marker {
        var one = PortFilter(scope: filter.scope)
        one.uuid = marker
        guard try !PortStore.list(one, in: session).isEmpty else {
          throw APIError.notFound("Port \(marker) could not be found.")
        }
      }
      let ports = try PortStore.list(filter, in: session)
      return query.answer(request, "ports", ports, id: \.uuid) { $1.value(shown($0, view)) }
    }
  }

  private func portView(_ request: APIRequest, asked: [String]?, defaults: Set<String>? = nil) throws -> ResourceView {
    try ResourceView(request, "ports", Self.portFields, asked: asked, defaults: defaults)
  }
  private func shown(_ port: Port, _ view: ResourceView) -> JSON {
    view.json(
      port.uuid,
      [
        "uuid": .string(port.uuid), "address": .string(port.address), "node_uuid": .string(port.nodeUUID),
        "extra": .object(port.extra), "created_at": .string(port.createdAt.iso8601WithOffset),
        "updated_at": JSON(port.updatedAt?.iso8601WithOffset),
        // That of the group too, so that ESI's lists, which know no groups, tell what each NIC and switch port carries.
        "internal_info": port.carriedVIF.map { ["tenant_vif_port_id": .string($0)] } ?? .emptyObject,
        "local_link_connection": .object(port.localLinkConnection), "pxe_enabled": .bool(port.isPXEEnabled),
        "portgroup_uuid": JSON(port.portGroupUUID), "physical_network": JSON(port.physicalNetwork),
        "is_smartnic": false, "name": JSON(port.name),
      ])
  }

  // MARK: Changes

  private static let portMembers: Set<String> = [
    "address", "extra", "is_smartnic", "local_link_connection", "node_uuid", "physical_network", "portgroup_uuid",
    "pxe_enabled", "uuid", "name",
  ]
  /// Members that say where the port is wired to or how it is used; changing one is the administrator's.
  private static let wiring: Set<String> = ["address", "local_link_connection", "physical_network", "portgroup_uuid"]

  /// Sets one member of a port.
  private func set(_ field: String, _ value: JSON?, on port: inout Port) throws {
    switch field {
    case "address":
      guard let text = value?.string, let mac = MACAddress(text) else {
        throw APIError.badRequest("Expected a MAC address but received \(value?.description.prefix(40) ?? "none").")
      }
      port.address = mac.description
    case "extra": port.extra = try FieldReading.document(value, field)
    case "local_link_connection": port.localLinkConnection = try localLink(value)
    case "name": port.name = try FieldReading.name(value, of: "port")
    case "physical_network":
      port.physicalNetwork = try FieldReading.text(value, field, max: 64)
      guard port.physicalNetwork != "" else {
        throw APIError.badRequest("A non-empty value is required when setting physical_network")
      }
    case "pxe_enabled": port.isPXEEnabled = try FieldReading.flag(value, field) ?? true
    case "is_smartnic":
      if try FieldReading.flag(value, field) == true { throw APIError.badRequest("Smart NICs are not supported.") }
    case "portgroup_uuid": port.portGroupUUID = try FieldReading.uuid(value, field)
    default: throw APIError.badRequest("Cannot patch /\(field)")
    }
  }
  /// Which switch port it is wired to: text without control characters, because it names things on switches.
  private func localLink(_ value: JSON?) throws -> JSONObject {
    let link = try FieldReading.document(value, "local_link_connection")
    try FieldReading.refuseOthers(
      link, than: ["switch_id", "port_id", "switch_info", "network_type", "hostname"], "local_link_connection")
    for member in link {
      guard let text = member.value.string, text.utf8.count <= 255,
        text.unicodeScalars.allSatisfy({ $0.value >= 32 && $0.value != 127 })
      else {
        throw APIError.badRequest(
          "local_link_connection/\(member.key) must be a string of at most 255 printable characters.")
      }
    }
    if !link.isEmpty, link["network_type"]?.string != "unmanaged",
      link["port_id"] == nil || (link["switch_id"] ?? link["switch_info"]) == nil
    {
      throw APIError.badRequest("local_link_connection needs port_id, and switch_info or switch_id.")
    }
    return link
  }

  private func taken(_ port: Port) -> String {
    let place = port.switchPort.map { ", or another port is wired to \($0)" } ?? ""
    return "A port with MAC address \(port.address) (or this name or UUID) already exists\(place)."
  }

  /// What membership in a port group asks of a port.
  /// - Parameter before: the port as it was; nil for a new one.
  /// - Throws: 400 for a group that is not the node's; 409 when it takes no port that is used on its own, or one of another
  ///   physical network, or no new one because machines' networks are on it.
  private func checkGroup(_ port: Port, before: Port? = nil, in session: any Session) throws {
    guard let uuid = port.portGroupUUID else { return }
    guard let group = try PortGroupStore.get(uuid, in: session), group.nodeUUID == port.nodeUUID else {
      throw APIError.badRequest("Portgroup \(uuid) could not be found on node \(port.nodeUUID).")
    }
    if before?.portGroupUUID != uuid, let vif = group.vifPortID {
      throw APIError.conflict(
        "Port \(port.uuid) cannot become a member of port group \(uuid), which has VIF \(vif) attached: detach it first."
      )
    }
    if !group.supportsStandalonePorts, let reason = standaloneUse(of: port) {
      throw APIError.conflict(
        "Port group \(group.uuid) doesn't support standalone ports. This port \(port.uuid) cannot be a member of that port group because of: \(reason)"
      )
    }
    let others = try PortStore.list(group: group.uuid, in: session).filter { $0.uuid != port.uuid }
    if let other = others.first(where: { $0.physicalNetwork != port.physicalNetwork }) {
      throw APIError.conflict(
        "Port with physical network \(port.physicalNetwork ?? "None") cannot become a member of port group \(group.uuid) which has ports in physical network \(other.physicalNetwork ?? "None")."
      )
    }
  }
  /// The port, or its port group where that has the VIF.
  private func carrier(of port: Port) -> String {
    port.vifPortID == nil ? "Port group \(port.portGroupUUID ?? "") of port \(port.uuid)" : "Port \(port.uuid)"
  }
  private func requireVersion(_ body: JSONObject, _ members: some Sequence<String>, _ version: Microversion) throws {
    for member in members {
      guard let field = Self.portFields.first(where: { $0.name == member }) else { continue }
      try version.require(field.since, "the field \(member)")
    }
    if body["local_link_connection"]?["network_type"] != nil {
      try version.require(64, "local_link_connection/network_type")
    }
  }

  /// POST /v1/ports → 201. The wiring decides which switch port a tenant's network comes out of: the administrator's alone.
  private func createPort(_ request: APIRequest) async throws -> APIResponse {
    let body = try await request.object()
    let version = try Microversion(request.headers)
    try FieldReading.refuseOthers(body, than: Self.portMembers, "port")
    try requireVersion(body, body.filter { !$0.value.isNull }.map(\.key), version)
    let view = try portView(request, asked: nil)
    return try await database.write { session in
      let node = try node(inBody: body["node_uuid"], try request.actor(), to: .wire, in: session)
      var port = Port(
        uuid: try FieldReading.uuid(body["uuid"], "uuid") ?? Identifier.uuid(), nodeUUID: node.uuid, address: "",
        createdAt: request.now)
      for field in Self.portMembers.sorted()
      where !["uuid", "node_uuid"].contains(field) && (body[field] != nil || field == "address") {
        try set(field, body[field], on: &port)
      }
      // A member of a bond that does not work port by port boots from no network unless somebody insists.
      if body["pxe_enabled"] == nil, let uuid = port.portGroupUUID,
        try PortGroupStore.get(uuid, in: session)?.supportsStandalonePorts == false
      {
        port.isPXEEnabled = false
      }
      try checkGroup(port, in: session)
      try unlessTaken(taken(port)) { try PortStore.insert(port, in: session) }
      return APIResponse(
        .created, json: shown(port, view),
        headers: [.location: "\(request.serviceURL)/v1/ports/\(port.uuid)"])
    }
  }

  private func patchPort(_ request: APIRequest) async throws -> APIResponse {
    let patch = try PatchOperation.parse(try await request.json())
    let version = try Microversion(request.headers)
    let fields = try patch.members(of: Self.portMembers.subtracting(["uuid"]))
    let view = try portView(request, asked: nil)
    return try await database.write { session in
      var (port, node) = try port(request, in: session)
      let before = port
      try require(fields.isSubset(of: ["extra"]) ? .annotatePorts : .wire, node, try request.actor())
      let document = try patch.applied(to: [
        "address": .string(port.address), "extra": .object(port.extra), "is_smartnic": false,
        "local_link_connection": .object(port.localLinkConnection), "node_uuid": .string(port.nodeUUID),
        "physical_network": JSON(port.physicalNetwork), "portgroup_uuid": JSON(port.portGroupUUID),
        "pxe_enabled": .bool(port.isPXEEnabled), "name": JSON(port.name),
      ])
      try requireVersion(document.object ?? [:], fields, version)
      guard document["node_uuid"]?.string?.lowercased() == before.nodeUUID else {
        throw APIError.badRequest("A port cannot move to another node: delete it and create it there.")
      }
      for field in fields.sorted() where field != "node_uuid" { try set(field, document[field], on: &port) }
      if !fields.isDisjoint(with: Self.wiring) && !isWiredAlike(port, before) {
        try requireFree(node)
        if let vif = before.carriedVIF {
          throw APIError.conflict(
            "\(carrier(of: before)) has VIF \(vif) attached: detach it before the port is rewired.")
        }
      }
      // Whoever records the wiring, the same one too, has looked since.
      if !fields.isDisjoint(with: ["local_link_connection", "address"]) { port.wiringProblem = nil }
      try checkGroup(port, before: before, in: session)
      port.updatedAt = request.now
      try unlessTaken(taken(port)) { try PortStore.update(port, in: session) }
      if let old = before.switchPort, old != port.switchPort { try SwitchPortStore.forget(old, in: session) }
      return APIResponse(json: shown(port, view))
    }
  }
  private func isWiredAlike(_ port: Port, _ other: Port) -> Bool {
    port.address == other.address && port.localLinkConnection == other.localLinkConnection
      && port.physicalNetwork == other.physicalNetwork && port.portGroupUUID == other.portGroupUUID
  }

  private func deletePort(_ request: APIRequest) async throws -> APIResponse {
    try await database.write { session in
      let (port, node) = try port(request, in: session)
      try require(.wire, node, try request.actor())
      try requireFree(node)
      if let vif = port.carriedVIF {
        throw APIError.conflict(
          "Cannot delete the port \(port.uuid) as VIF \(vif) is attached to \(port.vifPortID == nil ? "its port group" : "it")."
        )
      }
      if let place = port.switchPort { try SwitchPortStore.forget(place, in: session) }
      try PortStore.delete(port.uuid, in: session)
      return .noContent
    }
  }
}
