import APISupport
import Domain
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

  /// GET /v1/nodes → 200 `{"nodes": […], "next"?}`: one statement, rows written straight into the answer.
  func listNodes(_ request: APIRequest, isDetailed: Bool) async throws -> APIResponse {
    let query = try ListQuery(request, filters: Self.filters, isDetailed: isDetailed)
    let version = try Microversion(request.headers)
    var filter = try nodeFilter(request, query, version)
    if query.fields != nil { try version.require(8, "a subset of fields") }
    if query.isDetailed && !isDetailed { try version.require(43, "detail") }
    let view = try NodeView(
      request, hostname: hostname, types: conductor.hardwareTypes, fields: query.fields,
      defaults: query.isDetailed ? nil : NodeField.listed)
    filter.limit = query.limit + 1
    filter.marker = query.marker?.lowercased()
    let actor = try request.actor()
    return try await database.read { [filter] session in
      if let marker = filter.marker { _ = try node(named: marker, actor, in: session) }
      var writer = JSONWriter(capacity: 64 << 10)
      var count = 0
      var last = ""
      writer.beginObject()
      writer.key("nodes")
      writer.beginArray()
      try NodeStore.rows(view.columns, filter, in: session) { row in
        count += 1
        guard count <= query.limit else { return }
        if count == query.limit { last = row.text(0) }
        view.write(row, &writer)
      }
      writer.endArray()
      if count > query.limit { writer.member("next", query.next(request, after: last)) }
      writer.endObject()
      return APIResponse(.ok, writer)
    }
  }

  private func nodeFilter(_ request: APIRequest, _ query: ListQuery, _ version: Microversion) throws -> NodeFilter {
    let actor = try request.actor()
    let parameters = request.query
    var filter = NodeFilter(scope: NodePolicy.scope(actor))
    filter.sortKey = try query.key(NodeSortKey.createdAt)
    filter.isDescending = query.isDescending
    if let state = parameters["provision_state"] {
      try version.require(9, "the filter provision_state")
      guard ProvisionState(rawValue: state) != nil || state == "deleted" || state == "rescue" else {
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
    if let fault = filter.fault, fault.lowercased() == "none" { filter.fault = nil }
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
    // No node here has a chassis, a shard or a parent.
    if parameters["chassis_uuid"] != nil { filter.matchesNothing = true }
    if try text("shard", since: 82) != nil { filter.matchesNothing = true }
    if try text("sharded", since: 82) != nil, try parameters.bool("sharded") == true { filter.matchesNothing = true }
    if try text("parent_node", since: 83) != nil { filter.matchesNothing = true }
    _ = try text("include_children", since: 83)
    return filter
  }

  /// One node as the caller may see it.
  /// - Parameter fields: nil shows all.
  func show(
    _ uuid: String, _ request: APIRequest, fields: [String]? = nil, in session: any Session
  ) throws -> JSONWriter {
    let view = try NodeView(request, hostname: hostname, types: conductor.hardwareTypes, fields: fields)
    var filter = NodeFilter(scope: .everything)
    filter.uuid = uuid
    var writer = JSONWriter(capacity: 4096)
    try NodeStore.rows(view.columns, filter, in: session) { view.write($0, &writer) }
    return writer
  }
}
