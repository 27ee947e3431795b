import APISupport
import Domain
import Store
import Wire

/// `/v2.0/trunks`. Source: Neutron API reference, "Trunk networking"; neutron, `services/trunk/exceptions.py` for the words.
struct TrunkRoutes: Sendable {
  let neutron: NeutronAPI

  var endpoints: [Endpoint] {
    let path = "/v2.0/trunks"
    return [
      Endpoint(.get, path, .authenticated, "Lists trunks", handler: list),
      Endpoint(.post, path, .member("trunk:create"), "Makes trunks", handler: create),
      Endpoint(.get, path + "/{trunk}", .authenticated, "Shows a trunk", handler: show),
      Endpoint(.put, path + "/{trunk}", .member("trunk:update"), "Changes a trunk", handler: update),
      Endpoint(.delete, path + "/{trunk}", .member("trunk:delete"), "Deletes a trunk", handler: delete),
      Endpoint(
        .get, path + "/{trunk}/get_subports", .authenticated, "Lists the subports of a trunk", handler: subports),
      Endpoint(
        .put, path + "/{trunk}/add_subports", .member("trunk:add_subports"), "Adds subports to a trunk",
        handler: addSubports),
      Endpoint(
        .put, path + "/{trunk}/remove_subports", .member("trunk:remove_subports"), "Takes subports out of a trunk",
        handler: removeSubports),
    ]
  }

  private static let view = ResourceView<Trunk>(
    singular: "trunk", plural: "trunks", path: "/v2.0/trunks", id: { $0.id },
    attributes: [
      .text("id") { $0.id }, .text("name") { $0.name }, .text("description") { $0.description },
      .text("tenant_id") { $0.projectID }, .text("project_id") { $0.projectID },
      .bool("admin_state_up") { $0.isAdminStateUp }, .text("status") { $0.status.rawValue },
      .text("port_id") { $0.portID }, .json("sub_ports") { json($0.subports) }, .strings("tags") { $0.tags },
      .int("revision_number") { $0.revision }, .time("created_at") { $0.createdAt },
      .time("updated_at") { $0.updatedAt },
    ], ownFilters: TagFilter.names)

  private static func object(_ subport: Trunk.Subport) -> JSONObject {
    [
      "port_id": .string(subport.portID), "segmentation_type": .string(Trunk.Subport.segmentationType),
      "segmentation_id": .int(subport.segmentationID),
    ]
  }
  private static func json(_ subports: [Trunk.Subport]) -> JSON { .array(subports.map { .object(object($0)) }) }

  /// `trunk_details` of a port.
  static func details(_ details: TrunkDetails) -> JSON {
    let subports = details.subports.map { item -> JSON in
      var subport = object(item.subport)
      subport["mac_address"] = .string(item.macAddress)
      return .object(subport)
    }
    return ["trunk_id": .string(details.trunkID), "sub_ports": .array(subports)]
  }

  /// A port that a trunk is made of cannot be deleted.
  /// - Throws: 409 `PortInUseAsTrunkParent` or `PortInUseAsSubPort`.
  static func requireNoTrunk(_ port: NetworkPort, in session: any Session) throws {
    if let trunk = port.trunk {
      throw APIError.conflict(
        "Port \(port.id) is currently a parent port for trunk \(trunk.trunkID).", type: "PortInUseAsTrunkParent")
    }
    if port.deviceOwner == Trunk.subportOwner, let trunk = try TrunkStore.ofSubport(port.id, in: session) {
      throw APIError.conflict(
        "Port \(port.id) is currently a subport for trunk \(trunk.id).", type: "PortInUseAsSubPort")
    }
  }

  private func list(_ request: APIRequest) async throws -> APIResponse {
    let (actor, query) = (try request.actor(), request.query)
    let trunks = try await neutron.database.read { session in
      try TrunkStore.list(in: session) { sql in
        sql.append("WHERE 1 = 1")
        if !actor.isSiteReader { sql.append("AND t.project_id = ?", Value(actor.projectID)) }
        sql.appendFilter("AND t.id IN", query.all("id"))
        sql.appendFilter("AND t.name IN", query.all("name"))
        sql.appendFilter("AND t.port_id IN", query.all("port_id"))
        sql.append("ORDER BY t.created_at, t.id")
      }
    }
    let tags = TagFilter(query)
    return try Self.view.list(trunks.filter { tags.matches($0.tags) }, request)
  }
  private func show(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id) = (try request.actor(), try request.parameter("trunk"))
    let trunk = try await neutron.database.read { session in try Lookup.trunk(id, actor, session) }
    return Self.view.show(trunk, request)
  }
  private func subports(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id) = (try request.actor(), try request.parameter("trunk"))
    let trunk = try await neutron.database.read { session in try Lookup.trunk(id, actor, session) }
    return APIResponse(json: ["sub_ports": Self.json(trunk.subports)])
  }

  private static let settable: Set<String> = ["name", "description", "admin_state_up"]
  private static let onlyAtFirst: Set<String> = ["port_id", "sub_ports", "project_id", "tenant_id", "tags"]
  private static let known = settable.union(onlyAtFirst).union(view.attributes.map { "\($0.name)" })

  private func create(_ request: APIRequest) async throws -> APIResponse {
    let (actor, now) = (try request.actor(), request.now)
    let (bodies, isBulk) = try await AttributeReader.bodies(request, "trunk", "trunks")
    let made = try await neutron.database.write { session in
      try bodies.map { body in
        try body.check(allowed: Self.settable.union(Self.onlyAtFirst), known: Self.known, verb: "POST")
        guard let portID = try body.text("port_id") else {
          throw APIError.badRequest("Failed to parse request. Required attribute 'port_id' not specified")
        }
        let project = try body.project(actor, rule: "create_trunk")
        let parent = try self.port(portID, actor, rule: "create_trunk", session)
        try self.requireUnused(parent, in: session)
        try neutron.requireQuota(.trunks, project: project, in: session)
        var trunk = Trunk(projectID: project, portID: portID, createdAt: now)
        try apply(body, to: &trunk)
        trunk.tags = Set(try body.tags() ?? []).sorted()
        try TrunkStore.insert(trunk, in: session)
        if let items = try body.objects("sub_ports", most: 4000), !items.isEmpty {
          try add(items, to: trunk, actor, rule: "create_trunk", at: now, in: session)
        }
        return try Lookup.trunk(trunk.id, actor, session)
      }
    }
    return isBulk ? Self.view.made(made) : Self.view.show(made[0], request, status: .created)
  }

  private func apply(_ body: AttributeReader, to trunk: inout Trunk) throws {
    if let name = try body.text("name") { trunk.name = name }
    if let text = try body.text("description") { trunk.description = text }
    if let flag = try body.bool("admin_state_up") { trunk.isAdminStateUp = flag }
  }

  private func update(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id, now) = (try request.actor(), try request.parameter("trunk"), request.now)
    let body = try await AttributeReader.body(request, "trunk")
    let changed = try await neutron.database.write { session in
      var trunk = try changeable(id, actor, rule: "update_trunk", session)
      try body.check(allowed: Self.settable, known: Self.known, verb: "PUT")
      try request.requireRevision(trunk.revision)
      try apply(body, to: &trunk)
      try TrunkStore.update(&trunk, at: now, in: session)
      return trunk
    }
    return Self.view.show(changed, request)
  }

  private func delete(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id, now) = (try request.actor(), try request.parameter("trunk"), request.now)
    try await neutron.database.write { session in
      let trunk = try changeable(id, actor, rule: "delete_trunk", session)
      try request.requireRevision(trunk.revision)
      guard try NetworkPortStore.get(trunk.portID, in: session)?.isBound != true else {
        throw APIError.conflict(
          "Trunk \(id) is currently in use: a machine has its port \(trunk.portID); detach that first.",
          type: "TrunkInUse")
      }
      try TrunkStore.delete(trunk, at: now, in: session)
    }
    return .noContent
  }

  private func addSubports(_ request: APIRequest) async throws -> APIResponse {
    try await changeSubports(request, rule: "add_subports") { items, trunk, actor, now, session in
      try add(items, to: trunk, actor, rule: "add_subports", at: now, in: session)
    }
  }
  private func removeSubports(_ request: APIRequest) async throws -> APIResponse {
    try await changeSubports(request, rule: "remove_subports") { items, trunk, _, now, session in
      for item in items {
        let id = item["port_id"]?.string ?? ""
        guard trunk.subports.contains(where: { $0.portID == id }) else {
          throw APIError.notFound(
            "SubPort on trunk \(trunk.id) with parent port \(trunk.portID) and port \(id) could not be found.",
            type: "SubPortNotFound")
        }
        try TrunkStore.remove(id, at: now, in: session)
      }
      try neutron.retag(trunk, [], session)
    }
  }
  private func changeSubports(
    _ request: APIRequest, rule: String,
    _ change: @escaping @Sendable ([JSONObject], Trunk, Actor, Timestamp, any Session) throws -> Void
  ) async throws -> APIResponse {
    let (actor, id, now) = (try request.actor(), try request.parameter("trunk"), request.now)
    let body = AttributeReader(object: try await request.object())
    let changed = try await neutron.database.write { session in
      var trunk = try changeable(id, actor, rule: rule, session)
      try body.check(allowed: ["sub_ports"], known: [], verb: "PUT")
      guard let items = try body.objects("sub_ports", most: 4000) else {
        throw APIError.badRequest("Invalid input for operation: 'sub_ports' is missing.")
      }
      guard trunk.isAdminStateUp else {
        throw APIError.conflict("Trunk \(id) is currently disabled.", type: "TrunkDisabled")
      }
      try change(items, trunk, actor, now, session)
      try TrunkStore.update(&trunk, at: now, in: session)
      return try Lookup.trunk(id, actor, session)
    }
    return Self.view.plain(changed, request)
  }

  private func add(
    _ items: [JSONObject], to trunk: Trunk, _ actor: Actor, rule: String, at now: Timestamp, in session: any Session
  ) throws {
    var used = Dictionary(trunk.subports.map { ($0.segmentationID, $0.portID) }) { first, _ in first }
    var added: [String] = []
    for item in items {
      let body = AttributeReader(object: item)
      try body.check(allowed: ["port_id", "segmentation_type", "segmentation_id"], known: [], verb: "PUT")
      guard let id = try body.text("port_id") else {
        throw APIError.invalid("a subport needs a 'port_id'.")
      }
      let port = try self.port(id, actor, rule: rule, session)
      guard id != trunk.portID else {
        throw APIError.conflict("Port \(id) is currently a parent port for trunk \(trunk.id).", type: "ParentPortInUse")
      }
      try requireUnused(port, in: session)
      guard !port.isBound else {
        throw APIError.conflict("Port \(id) is in use: a machine has it; detach it first.", type: "PortInUse")
      }
      let subport = Trunk.Subport(portID: id, segmentationID: try segmentation(body, of: port, in: session))
      if let other = used.updateValue(id, forKey: subport.segmentationID) {
        throw APIError.conflict(
          "segmentation_type vlan and segmentation_id \(subport.segmentationID) already in use on trunk \(trunk.id) by port \(other).",
          type: "DuplicateSubPort")
      }
      try TrunkStore.add(subport, to: trunk.id, at: now, in: session)
      added.append(id)
    }
    if !added.isEmpty { try neutron.retag(trunk, added, session) }
  }

  private func segmentation(_ body: AttributeReader, of port: NetworkPort, in session: any Session) throws -> Int {
    let type = try body.text("segmentation_type")
    switch type {
    case "inherit":
      guard let network = try NetworkStore.get(port.networkID, in: session) else {
        throw APIError.networkNotFound(port.networkID)
      }
      return network.vlan
    case "vlan":
      guard let id = try body.int("segmentation_id", 1...4094) else {
        throw APIError.invalid(
          "Invalid subport details '\(port.id)': missing segmentation information. Must specify both segmentation_id and segmentation_type."
        )
      }
      return id
    case nil:
      throw APIError.invalid(
        "Invalid subport details '\(port.id)': missing segmentation information. Must specify both segmentation_id and segmentation_type."
      )
    case let type?:
      throw APIError.invalid("Segmentation type '\(type)' is not supported: 'vlan' and 'inherit' are.")
    }
  }

  /// A port that the caller may use in a trunk.
  private func port(_ id: String, _ actor: Actor, rule: String, _ session: any Session) throws -> NetworkPort {
    let (port, _) = try Lookup.port(id, actor, session)
    guard NetworkPolicy.mayChange(port, actor) else {
      throw APIError.disallowed(rule, "port \(id) belongs to another project.")
    }
    return port
  }
  private func requireUnused(_ port: NetworkPort, in session: any Session) throws {
    if let trunk = port.trunk {
      throw APIError.conflict(
        "Port \(port.id) is currently in use and is not eligible for use as a parent port: it is the parent of trunk \(trunk.trunkID).",
        type: "ParentPortInUse")
    }
    if let trunk = try TrunkStore.ofSubport(port.id, in: session) {
      throw APIError.conflict("Port \(port.id) is in use by another trunk: \(trunk.id).", type: "TrunkPortInUse")
    }
  }
  private func changeable(_ id: String, _ actor: Actor, rule: String, _ session: any Session) throws -> Trunk {
    let trunk = try Lookup.trunk(id, actor, session)
    guard NetworkPolicy.mayChange(trunk, actor) else {
      throw APIError.disallowed(rule, "the trunk belongs to another project.")
    }
    return trunk
  }
}
