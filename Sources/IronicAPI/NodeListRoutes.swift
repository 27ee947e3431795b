import APISupport
import Domain
import NIOCore
import Store
import Wire

extension IronicAPI {
  private static let filters: Set<String> = [
    "owner", "lessee", "project", "provision_state", "resource_class", "driver", "fault", "retired", "maintenance",
    "associated",
    "instance_uuid", "conductor_group", "conductor", "description_contains", "chassis_uuid", "shard", "sharded",
    "parent_node",
    "include_children",
  ]
  /// Words for what can be wrong with a node. Source: Ironic, `common/faults.py`.
  private static let faults: Set<String> = [
    "power failure", "clean failure", "rescue abort failure", "service failure",
  ]
  /// States that upstream's machine has and no node here comes into.
  private static let otherStates: Set<String> = [
    "deleted", "rescue", "rescue failed", "rescue wait", "rescuing", "unrescue failed", "unrescuing", "clean hold",
    "deploy hold", "service", "service failed", "service hold", "service wait", "servicing",
  ]

  var shardEndpoints: [Endpoint] {
    [
      Endpoint(.get, "/v1/shards", since: 82, Self.siteReader, "List shards and how many nodes are in each") { _ in
        try await database.read { session in
          let shards = try NodeStore.shards(in: session).map { shard -> JSON in
            ["name": .string(shard.name), "count": .int(shard.count)]
          }
          return APIResponse(json: ["shards": .array(shards)])
        }
      },
      Endpoint(.get, "/v1/nodes/{node}/children", since: 83, Self.read, "List the parts of a node") { request in
        try await database.read { session in
          let node = try node(request, in: session), actor = try request.actor()
          let children = try NodeStore.children(of: node.uuid, in: session).filter { NodePolicy.sees($0, actor) }
          return APIResponse(
            json: [
              "children": JSON(children.map(\.uuid)),
              "links": [
                "href": .string("\(request.serviceURL)/v1/nodes/?parent_node=\(node.uuid)"), "rel": "children",
              ],
            ])
        }
      },
    ]
  }

  /// So many nodes are read and written at a time; of a longer list the client gets the beginning while the rest is read.
  private static let part = 500

  /// GET /v1/nodes → 200 `{"nodes": […], "next"?}`: one statement for each ``part``, rows written straight into the answer.
  /// - Parameter chassis: the UUID of the path's chassis.
  func listNodes(_ request: APIRequest, isDetailed: Bool, chassis: String? = nil) async throws -> APIResponse {
    let query = try ListQuery(request, filters: Self.filters, isDetailed: isDetailed, maximum: longestPage)
    let version = try Microversion(request.headers)
    var filter = try nodeFilter(request, query, version)
    if let chassis {
      guard filter.chassisUUID ?? chassis == chassis else { return query.nothing(request, "nodes") }
      filter.chassisUUID = chassis
    }
    let view = try NodeView(
      request, hostname: hostname, implementations: implementations, fields: query.fields,
      defaults: query.isDetailed ? nil : NodeField.listed)
    let actor = try request.actor()
    let first = try await database.read { [filter] session in
      if let marker = filter.paging.marker {
        guard Identifier.isUUID(marker) else {
          throw APIError.badRequest("Expected a UUID for marker but received \(marker.prefix(80)).")
        }
        _ = try node(named: marker, actor, in: session)
      }
      // To whoever sees all chassis an unknown one is a mistake; to others every chassis is one that they know nothing of.
      if let chassis = filter.chassisUUID, actor.isSiteReader, try ChassisStore.get(chassis, in: session) == nil {
        throw APIError.notFound("Chassis \(chassis) could not be found.")
      }
      return try ListPart(request, query, view, filter, from: 0, in: session)
    }
    guard first.end != nil else { return APIResponse(.ok, json: first.text) }
    let start = filter
    return APIResponse(.ok, contentType: "application/json", length: nil) { writer in
      var part = first, filter = start, count = 0
      while true {
        try await writer.write(part.text)
        guard let end = part.end else { return }
        filter.paging.end = end
        count += Self.part
        part = try await database.read { [filter, count] session in
          try ListPart(request, query, view, filter, from: count, in: session)
        }
      }
    }
  }

  /// Some of the nodes of a list, as text.
  private struct ListPart: Sendable {
    let text: ByteBuffer
    /// Nil when the list ends with it.
    let end: PageEnd?

    /// - Parameter count: how many nodes of the list were written before.
    init(
      _ request: APIRequest, _ query: ListQuery, _ view: NodeView, _ filter: NodeFilter, from count: Int,
      in session: any Session
    ) throws {
      let left = query.limit - count
      var filter = filter
      // The last part looks one further, to know whether there is a page after this one.
      let isLast = left <= IronicAPI.part
      filter.paging.limit = isLast ? left + 1 : IronicAPI.part
      var writer = JSONWriter(capacity: 64 << 10, isContinued: count > 0)
      if count == 0 {
        writer.beginObject()
        writer.key("nodes")
        writer.beginArray()
      }
      var written = 0
      var last = ""
      let end = try NodeStore.rows(view.selection, partOf: filter, in: session) { row in
        written += 1
        guard written <= left else { return }
        if written == left { last = row.text(0) }
        view.write(row, &writer)
      }
      let isEnd = isLast || written < IronicAPI.part
      if isEnd {
        writer.endArray()
        if written > left { writer.member("next", query.next(request, after: last)) }
        writer.endObject()
      }
      text = ByteBuffer(writer)
      self.end = isEnd ? nil : end
    }
  }

  private func nodeFilter(_ request: APIRequest, _ query: ListQuery, _ version: Microversion) throws -> NodeFilter {
    let actor = try request.actor()
    let parameters = request.query
    var filter = NodeFilter(scope: NodePolicy.scope(actor))
    filter.paging = try query.paging(NodeSortKey.createdAt)
    if let key = query.sortKey, let field = NodeField.byName[key] {
      try version.require(field.since, "sorting by \(key)")
    }
    if let state = parameters["provision_state"] {
      try version.require(9, "the filter provision_state")
      guard ProvisionState(rawValue: state) != nil || Self.otherStates.contains(state) else {
        throw APIError.badRequest("Provision state \"\(state)\" is not valid")
      }
      filter.provisionState = state
    }
    func text(_ name: String, since: Int) throws -> String? {
      guard let value = parameters[name] else { return nil }
      try version.require(since, "the filter \(name)")
      return value
    }
    filter.driver = try text("driver", since: 16)
    filter.resourceClass = try text("resource_class", since: 21)
    filter.fault = try text("fault", since: 42)
    filter.conductorGroup = try text("conductor_group", since: 46)
    filter.owner = try text("owner", since: 50)
    filter.lessee = try text("lessee", since: 65)
    filter.project = try text("project", since: 65)
    filter.descriptionContains = try text("description_contains", since: 51)
    if let fault = filter.fault, !Self.faults.contains(fault) {
      throw APIError.badRequest(
        "Unrecognized fault \"\(fault.prefix(80))\" is specified, allowed faults are \(Self.faults.sorted().joined(separator: ", "))"
      )
    }
    if let instance = parameters["instance_uuid"] {
      guard Identifier.isUUID(instance) else {
        throw APIError.badRequest("Expected UUID for instance_uuid: \(instance).")
      }
      filter.instanceUUID = instance.lowercased()
    }
    if try text("retired", since: 61) != nil { filter.isRetired = try parameters.bool("retired") }
    filter.isMaintenance = try parameters.bool("maintenance")
    filter.isAssociated = try parameters.bool("associated")
    if let conductor = try text("conductor", since: 49), conductor != hostname { filter.matchesNothing = true }
    if let chassis = parameters["chassis_uuid"] {
      guard Identifier.isUUID(chassis) else {
        throw APIError.badRequest("Expected UUID for chassis_uuid: \(chassis.prefix(80)).")
      }
      filter.chassisUUID = chassis.lowercased()
    }
    filter.shards = try text("shard", since: 82).map { $0.split(separator: ",").map { String($0) } }
    if try text("sharded", since: 82) != nil { filter.isSharded = try parameters.bool("sharded") }
    filter.parentNode = try text("parent_node", since: 83)?.lowercased()
    filter.includesChildren =
      try text("include_children", since: 83) != nil && parameters.bool("include_children") == true
    return filter
  }

  /// GET /v1/nodes/{node} → 200 the node: one statement, its row written straight into the answer.
  func showNode(_ request: APIRequest) async throws -> APIResponse {
    let view = try NodeView(
      request, hostname: hostname, implementations: implementations, fields: askedFields(request))
    let ident = try nodeIdent(request)
    return try await database.read { session in
      var writer = JSONWriter(capacity: 4096)
      let seen: Void? = try found(ident) { name in
        var seen: Void?
        try NodeStore.row(view.selection, of: name, in: session) { row in
          guard view.relation(row) != .stranger else { return }
          seen = view.write(row, &writer)
        }
        return seen
      }
      guard seen != nil else { throw APIError.notFound("Node \(ident) could not be found.") }
      return APIResponse(.ok, writer)
    }
  }

  /// A node that the caller has just made or changed, whole.
  func show(_ uuid: String, _ request: APIRequest, in session: any Session) throws -> JSONWriter {
    let view = try NodeView(request, hostname: hostname, implementations: implementations, fields: nil)
    var writer = JSONWriter(capacity: 4096)
    try NodeStore.row(view.selection, of: uuid, in: session) { view.write($0, &writer) }
    return writer
  }
}
