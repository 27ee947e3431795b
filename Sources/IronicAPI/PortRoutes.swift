import APISupport
import Domain
import HTTPTypes
import Store
import Wire

extension IronicAPI {
  var portEndpoints: [Endpoint] {
    [
      Endpoint(.get, "/v1/ports", Self.read, "List ports") { try await listPorts($0, node: nil, isDetailed: false) },
      Endpoint(.get, "/v1/ports/detail", Self.read, "List ports with all fields") {
        try await listPorts($0, node: nil, isDetailed: true)
      },
      Endpoint(.post, "/v1/ports", Self.act, "Add a port to a node") { try await createPort($0) },
      Endpoint(.get, "/v1/ports/{port}", Self.read, "Show a port") { request in
        let fields = request.query["fields"].map { $0.split(separator: ",").map { String($0) } }
        return try await database.read { session in
          let (port, _) = try port(request, in: session)
          return APIResponse(json: try shown(port, request, fields: fields))
        }
      },
      Endpoint(.patch, "/v1/ports/{port}", Self.act, "Change a port (JSON patch)") { try await patchPort($0) },
      Endpoint(.delete, "/v1/ports/{port}", Self.act, "Remove a port") { try await deletePort($0) },
    ]
  }

  /// Members of a port and the version that brought each. Source: Ironic, "REST API Version History".
  private static let fields: [(name: String, since: Int)] = [
    ("uuid", 1), ("address", 1), ("node_uuid", 1), ("extra", 1), ("created_at", 1), ("updated_at", 1),
    ("internal_info", 18),
    ("local_link_connection", 19), ("pxe_enabled", 19), ("portgroup_uuid", 24), ("physical_network", 34),
    ("is_smartnic", 53),
    ("name", 88),
  ]

  /// - Throws: 404 for the port of a foreign node as for none.
  private func port(_ request: APIRequest, in session: any Session) throws -> (Port, Node) {
    let ident = try request.parameter("port")
    guard let port = try PortStore.find(ident, in: session), let node = try NodeStore.get(port.nodeUUID, in: session),
      NodePolicy.sees(node, try request.actor())
    else { throw APIError.notFound("Port \(ident) could not be found.") }
    return (port, node)
  }

  /// GET /v1/ports → 200 `{"ports": […], "next"?}`.
  /// - Parameter node: the UUID of the path's node.
  func listPorts(_ request: APIRequest, node: String?, isDetailed: Bool) async throws -> APIResponse {
    let query = try ListQuery(
      request, filters: ["node", "node_uuid", "address", "portgroup", "shard", "physical_network", "conductor_groups"],
      isDetailed: isDetailed)
    let actor = try request.actor()
    var filter = PortFilter(scope: NodePolicy.scope(actor))
    filter.sortKey = try query.key(PortFilter.SortKey.createdAt)
    filter.isDescending = query.isDescending
    filter.limit = query.limit + 1
    filter.marker = query.marker?.lowercased()
    filter.node = node
    filter.physicalNetwork = request.query["physical_network"]
    if let text = request.query["address"] {
      guard let mac = MACAddress(text) else {
        throw APIError.badRequest("Expected a MAC address but received \(text.prefix(40)).")
      }
      filter.address = mac.description
    }
    if request.query["portgroup"] != nil || request.query["shard"] != nil { filter.matchesNothing = true }
    let fields = query.fields ?? (query.isDetailed ? nil : ["uuid", "address"])
    return try await database.read { [filter] session in
      var filter = filter
      if let ident = request.query["node"] ?? request.query["node_uuid"] {
        filter.node = try self.node(named: ident, actor, in: session).uuid
      }
      if let marker = filter.marker {
        var one = PortFilter(scope: filter.scope)
        one.uuid = marker
        guard try !PortStore.list(one, in: session).isEmpty else {
          throw APIError.notFound("Port \(marker) could not be found.")
        }
      }
      let ports = try PortStore.list(filter, in: session)
      return try answer(query, request, ports, fields)
    }
  }
  private func answer(_ query: ListQuery, _ request: APIRequest, _ ports: [Port], _ fields: [String]?) throws
    -> APIResponse
  {
    let documents = try ports.map { (uuid: $0.uuid, json: try shown($0, request, fields: fields)) }
    return query.answer(request, "ports", documents, id: \.uuid) { $1.value($0.json) }
  }

  private func shown(_ port: Port, _ request: APIRequest, fields: [String]?) throws -> JSON {
    let version = try Microversion(request.headers)
    if let fields {
      for name in fields where name != "links" {
        guard let field = Self.fields.first(where: { $0.name == name }) else {
          throw APIError.badRequest("Field(s) \"\(name)\" are not valid")
        }
        try version.require(field.since, "the field \(name)")
      }
    }
    let all: JSONObject = [
      "uuid": .string(port.uuid), "address": .string(port.address), "node_uuid": .string(port.nodeUUID),
      "extra": .object(port.extra), "created_at": .string(port.createdAt.iso8601WithOffset),
      "updated_at": JSON(port.updatedAt?.iso8601WithOffset),
      "internal_info": port.vifPortID.map { ["tenant_vif_port_id": .string($0)] } ?? .emptyObject,
      "local_link_connection": .object(port.localLinkConnection), "pxe_enabled": .bool(port.isPXEEnabled),
      "portgroup_uuid": nil,
      "physical_network": JSON(port.physicalNetwork), "is_smartnic": false, "name": JSON(port.name),
    ]
    var out: JSONObject = [:]
    for (name, since) in Self.fields where since <= version.minor && (fields?.contains(name) ?? true) {
      out[name] = all[name]
    }
    out["links"] = links(request, "ports/\(port.uuid)")
    return .object(out)
  }

  // MARK: Changes

  private static let creatable: Set<String> = [
    "address", "extra", "is_smartnic", "local_link_connection", "node_uuid", "physical_network", "portgroup_uuid",
    "pxe_enabled", "uuid",
    "name",
  ]

  /// Sets one member of a port.
  private func set(_ field: String, _ value: JSON?, on port: inout Port) throws {
    switch field {
    case "address":
      guard let text = value?.string, let mac = MACAddress(text) else {
        throw APIError.badRequest("Expected a MAC address but received \(value?.string?.prefix(40) ?? "none").")
      }
      port.address = mac.description
    case "extra": port.extra = try FieldReading.document(value, field)
    case "local_link_connection": port.localLinkConnection = try localLink(value)
    case "name": port.name = try FieldReading.name(value, of: "port")
    case "physical_network": port.physicalNetwork = try FieldReading.text(value, field, max: 64)
    case "pxe_enabled": port.isPXEEnabled = try FieldReading.flag(value, field) ?? true
    case "is_smartnic":
      if try FieldReading.flag(value, field) == true { throw APIError.badRequest("Smart NICs are not supported.") }
    case "portgroup_uuid":
      if value?.isNull == false { throw APIError.badRequest("There are no portgroups.") }
    case "node_uuid": break
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

  private func taken(_ port: Port, _ error: StoreError) -> any Error {
    guard error.kind == .conflict else { return error }
    let place = port.switchPort.map { ", or another port is wired to \($0)" } ?? ""
    return APIError.conflict("A port with MAC address \(port.address) (or this name or UUID) already exists\(place).")
  }

  /// POST /v1/ports → 201. The wiring decides which switch port a tenant's network comes out of: the administrator's alone.
  private func createPort(_ request: APIRequest) async throws -> APIResponse {
    let body = try await request.object()
    let version = try Microversion(request.headers)
    try FieldReading.refuseOthers(body, than: Self.creatable, "port")
    for member in body where !member.value.isNull {
      if let field = Self.fields.first(where: { $0.name == member.key }) {
        try version.require(field.since, "the field \(member.key)")
      }
    }
    guard let ident = body["node_uuid"]?.string else {
      throw APIError.badRequest("node_uuid is a required property of a port.")
    }
    return try await database.write { session in
      let actor = try request.actor()
      let node = try node(named: ident, actor, to: .wire, in: session)
      var port = Port(
        uuid: try FieldReading.uuid(body["uuid"], "uuid") ?? Identifier.uuid(), nodeUUID: node.uuid, address: "",
        createdAt: request.now)
      for field in Self.creatable.sorted() where field != "uuid" && (body[field] != nil || field == "address") {
        try set(field, body[field], on: &port)
      }
      do { try PortStore.insert(port, in: session) } catch let error as StoreError { throw taken(port, error) }
      return APIResponse(
        .created, json: try shown(port, request, fields: nil),
        headers: [.location: "\(request.serviceURL)/v1/ports/\(port.uuid)"])
    }
  }

  private func patchPort(_ request: APIRequest) async throws -> APIResponse {
    let patch = try PatchOperation.parse(try await request.json())
    return try await database.write { session in
      let actor = try request.actor()
      var (port, node) = try port(request, in: session)
      let before = port
      let fields = Set(patch.compactMap(\.path.first))
      guard fields.isSubset(of: Self.creatable.subtracting(["uuid"])) else {
        throw APIError.badRequest(
          "Cannot patch /\(fields.subtracting(Self.creatable.subtracting(["uuid"])).sorted().first ?? "")")
      }
      try require(fields.isSubset(of: ["extra"]) ? .annotatePorts : .wire, node, actor)
      var document = JSON.object([
        "address": .string(port.address), "extra": .object(port.extra), "is_smartnic": false,
        "local_link_connection": .object(port.localLinkConnection), "node_uuid": .string(port.nodeUUID),
        "physical_network": JSON(port.physicalNetwork), "portgroup_uuid": nil, "pxe_enabled": .bool(port.isPXEEnabled),
        "name": JSON(port.name),
      ])
      for operation in patch {
        if operation.path.count == 1, operation.kind == .remove, let field = operation.path.first {
          guard case .object(var object) = document else { continue }
          object[field] = .null
          document = .object(object)
        } else {
          try operation.apply(to: &document)
        }
      }
      guard document["node_uuid"]?.string?.lowercased() == before.nodeUUID else {
        throw APIError.badRequest("A port cannot move to another node: delete it and create it there.")
      }
      for field in fields.sorted() { try set(field, document[field], on: &port) }
      if port.address != before.address || port.localLinkConnection != before.localLinkConnection
        || port.physicalNetwork != before.physicalNetwork
      {
        if let workflow = node.reservation { throw locked(node, workflow) }
        if let vif = before.vifPortID {
          throw APIError.conflict("Port \(port.uuid) has VIF \(vif) attached: detach it before the port is rewired.")
        }
      }
      port.updatedAt = request.now
      do { try PortStore.update(port, in: session) } catch let error as StoreError { throw taken(port, error) }
      if let old = before.switchPort, old != port.switchPort { try SwitchPortStore.forget(old, in: session) }
      return APIResponse(json: try shown(port, request, fields: nil))
    }
  }

  private func deletePort(_ request: APIRequest) async throws -> APIResponse {
    try await database.write { session in
      let (port, node) = try port(request, in: session)
      try require(.wire, node, try request.actor())
      if let workflow = node.reservation { throw locked(node, workflow) }
      if let vif = port.vifPortID {
        throw APIError.conflict("Cannot delete the port \(port.uuid) as VIF \(vif) is attached to it.")
      }
      if let place = port.switchPort { try SwitchPortStore.forget(place, in: session) }
      try PortStore.delete(port.uuid, in: session)
      return .noContent
    }
  }
  private func locked(_ node: Node, _ workflow: String) -> APIError {
    .conflict(
      "Node \(node.uuid) is locked by workflow \(workflow), please retry after the current operation is completed.")
  }
}
