import APISupport
import Conductor
import Domain
import HTTPTypes
import Store
import Wire

/// Limits, quotas and usage. Source: Nova API reference, "Limits", "Quota sets", "Quota class sets", "Usage reports".
struct LimitRoutes: Sendable {
  let nova: NovaAPI

  var endpoints: [Endpoint] {
    let project = "/v2.1/os-quota-sets/{project}"
    return [
      Endpoint(.get, "/v2.1/limits", .reader("limits"), "Shows a project's limits", handler: limits),
      Endpoint(.get, project, .reader("quota_sets:show"), "Shows a project's quotas") { request in
        try await quotas(request, isDetailed: false)
      },
      Endpoint(.get, project + "/detail", .reader("quota_sets:detail"), "Shows a project's quotas and use") { request in
        try await quotas(request, isDetailed: true)
      },
      Endpoint(.get, project + "/defaults", .reader("quota_sets:defaults"), "Shows the site's quotas") { request in
        let id = try request.parameter("project")
        try requireSeen(id, request)
        let version = try nova.microversion(request)
        let limits = try await nova.database.read {
          try ComputeQuotaStore.limits(project: ComputeQuotaStore.everyone, in: $0)
        }
        return APIResponse(json: ["quota_set": .object(shown(limits, id: id, version))])
      },
      Endpoint(.put, project, .siteAdmin, "Sets a project's quotas", handler: update),
      Endpoint(.delete, project, .siteAdmin, "Resets a project's quotas") { request in
        let id = try request.parameter("project")
        try await nova.database.write { session in
          try requireProject(id, session)
          try ComputeQuotaStore.reset(project: id, in: session)
        }
        return .accepted
      },
      Endpoint(
        .get, "/v2.1/os-quota-class-sets/{class}", .siteReader, "Shows the site's quotas", handler: showClass),
      Endpoint(
        .put, "/v2.1/os-quota-class-sets/{class}", .siteAdmin,
        "Sets the quotas of projects that have none of their own",
        handler: updateClass),
      Endpoint(.get, "/v2.1/os-simple-tenant-usage", .siteReader, "Lists what projects used", handler: listUsage),
      Endpoint(
        .get, "/v2.1/os-simple-tenant-usage/{project}", .reader("usage:show"), "Shows what a project used",
        handler: showUsage),
    ]
  }

  // MARK: Quotas

  /// What can be limited, with the site's limit. Those from before 2.36 and 2.57 are not counted.
  /// - Parameter isClass: of the quota class, which lost them later.
  private func defaults(_ version: Microversion, isClass: Bool = false) -> [(String, Int)] {
    let quotas = nova.quotas
    var all = [
      ("instances", quotas.instances), ("cores", quotas.cores), ("ram", quotas.ram),
      ("metadata_items", quotas.metadataItems), ("key_pairs", quotas.keypairs),
      ("server_groups", quotas.serverGroups), ("server_group_members", quotas.serverGroupMembers),
    ]
    if version.minor < 57 {
      all += [("injected_files", 0), ("injected_file_content_bytes", 0), ("injected_file_path_bytes", 0)]
    }
    if version.minor < (isClass ? 50 : 36) {
      all += [("fixed_ips", -1), ("floating_ips", -1), ("security_groups", -1), ("security_group_rules", -1)]
    }
    return all
  }
  private func shown(
    _ limits: [String: Int], id: String, _ version: Microversion, isClass: Bool = false
  ) -> JSONObject {
    var out: JSONObject = ["id": .string(id)]
    for (name, limit) in defaults(version, isClass: isClass) { out[name] = .int(limits[name] ?? limit) }
    return out
  }
  private func requireSeen(_ id: String, _ request: APIRequest) throws {
    let actor = try request.actor()
    guard actor.isSiteReader || actor.projectID == id else {
      throw APIError.forbidden("Policy doesn't allow os_compute_api:os-quota-sets:show to be performed.")
    }
  }
  private func requireProject(_ id: String, _ session: any Session) throws {
    guard try ProjectStore.get(id, in: session) != nil else {
      throw APIError.badRequest("Project ID \(id.prefix(80)) is not a valid project.")
    }
  }

  private func quotas(_ request: APIRequest, isDetailed: Bool) async throws -> APIResponse {
    let (id, version) = (try request.parameter("project"), try nova.microversion(request))
    try requireSeen(id, request)
    return try await nova.database.read { session in
      try requireProject(id, session)
      let limits = try ComputeQuotaStore.limits(project: id, in: session)
      guard isDetailed else { return APIResponse(json: ["quota_set": .object(shown(limits, id: id, version))]) }
      let used = try ServerStore.usage(project: id, in: session)
      let counts = [
        "instances": used.servers, "cores": used.vcpus, "ram": used.memory,
        "server_groups": try ServerGroupStore.count(project: id, in: session),
      ]
      var out: JSONObject = ["id": .string(id)]
      for (name, limit) in defaults(version) {
        out[name] = ["limit": .int(limits[name] ?? limit), "in_use": .int(counts[name] ?? 0), "reserved": 0]
      }
      return APIResponse(json: ["quota_set": .object(out)])
    }
  }
  private func update(_ request: APIRequest) async throws -> APIResponse {
    let (id, version) = (try request.parameter("project"), try nova.microversion(request))
    let input = try await ComputeInput(request, "quota_set")
    let names = Set(defaults(version).map(\.0))
    try input.allow(names.union(["force", "tenant_id"]))
    let isForced = try input.bool("force") ?? false
    var wanted: [(String, Int)] = []
    for name in names.sorted() {
      if let limit = try input.int(name, -1...Int(Int32.max)) { wanted.append((name, limit)) }
    }
    return try await nova.database.write { [wanted] session in
      try requireProject(id, session)
      let used = try ServerStore.usage(project: id, in: session)
      for (name, limit) in wanted {
        let has = name == "instances" ? used.servers : name == "cores" ? used.vcpus : name == "ram" ? used.memory : 0
        guard isForced || limit < 0 || limit >= has else {
          throw APIError.badRequest(
            "Quota limit \(limit) for \(name) must be greater than or equal to already used and reserved \(has).")
        }
        try ComputeQuotaStore.set(name, limit, project: id, in: session)
      }
      var out = shown(try ComputeQuotaStore.limits(project: id, in: session), id: id, version)
      out["id"] = nil
      return APIResponse(json: ["quota_set": .object(out)])
    }
  }

  private func showClass(_ request: APIRequest) async throws -> APIResponse {
    let (name, version) = (try request.parameter("class"), try nova.microversion(request))
    let limits = try await nova.database.read {
      try ComputeQuotaStore.limits(project: ComputeQuotaStore.everyone, in: $0)
    }
    return APIResponse(json: ["quota_class_set": .object(shown(limits, id: name, version, isClass: true))])
  }
  /// There is one class, `default`.
  private func updateClass(_ request: APIRequest) async throws -> APIResponse {
    let (name, version) = (try request.parameter("class"), try nova.microversion(request))
    guard name == "default" else { throw APIError.badRequest("There is one quota class: default.") }
    let input = try await ComputeInput(request, "quota_class_set")
    let names = defaults(version, isClass: true).map(\.0)
    try input.allow(Set(names))
    var wanted: [(String, Int)] = []
    for name in names { if let limit = try input.int(name, -1...Int(Int32.max)) { wanted.append((name, limit)) } }
    return try await nova.database.write { [wanted] session in
      let everyone = ComputeQuotaStore.everyone
      for (name, limit) in wanted { try ComputeQuotaStore.set(name, limit, project: everyone, in: session) }
      var out = shown(
        try ComputeQuotaStore.limits(project: everyone, in: session), id: name, version, isClass: true)
      out["id"] = nil
      return APIResponse(json: ["quota_class_set": .object(out)])
    }
  }

  // MARK: Limits

  private func limits(_ request: APIRequest) async throws -> APIResponse {
    let (actor, version) = (try request.actor(), try nova.microversion(request))
    let asked = request.query["tenant_id"]
    guard asked == nil || asked == actor.projectID || actor.isSiteReader else {
      throw APIError.forbidden("Policy doesn't allow os_compute_api:limits:other_project to be performed.")
    }
    let id = asked ?? actor.projectID ?? ""
    return try await nova.database.read { session in
      let own = try ComputeQuotaStore.limits(project: id, in: session)
      let used = try ServerStore.usage(project: id, in: session)
      let limit = Dictionary(defaults(version)) { first, _ in first }.merging(own) { $1 }
      var absolute: JSONObject = [
        "maxTotalInstances": .int(limit["instances"] ?? -1), "maxTotalCores": .int(limit["cores"] ?? -1),
        "maxTotalRAMSize": .int(limit["ram"] ?? -1), "maxServerMeta": .int(limit["metadata_items"] ?? -1),
        "maxTotalKeypairs": .int(limit["key_pairs"] ?? -1), "maxServerGroups": .int(limit["server_groups"] ?? -1),
        "maxServerGroupMembers": .int(limit["server_group_members"] ?? -1),
        "totalInstancesUsed": .int(used.servers), "totalCoresUsed": .int(used.vcpus),
        "totalRAMUsed": .int(used.memory),
        "totalServerGroupsUsed": .int(try ServerGroupStore.count(project: id, in: session)),
      ]
      if version.minor < 57 {
        absolute["maxPersonality"] = 0
        absolute["maxPersonalitySize"] = 0
      }
      if version.minor < 39 { absolute["maxImageMeta"] = .int(limit["metadata_items"] ?? -1) }
      if version.minor < 36 {
        absolute["maxTotalFloatingIps"] = -1
        absolute["maxSecurityGroups"] = -1
        absolute["maxSecurityGroupRules"] = -1
        absolute["totalFloatingIpsUsed"] = 0
        absolute["totalSecurityGroupsUsed"] = 0
      }
      return APIResponse(json: ["limits": ["rate": [], "absolute": .object(absolute)]])
    }
  }

  // MARK: Usage

  private struct Span: Sendable {
    let start: Timestamp
    let end: Timestamp
    init(_ request: APIRequest) throws {
      func time(_ name: String) throws -> Timestamp? {
        guard let text = request.query[name] else { return nil }
        guard let time = Timestamp(parsing: text) else {
          throw APIError.badRequest("Invalid input for query parameters \(name): a time is expected.")
        }
        return time
      }
      start = try time("start") ?? request.now - .seconds(30 * 86_400)
      end = min(try time("end") ?? request.now, request.now)
      guard start <= end else {
        throw APIError.badRequest("Invalid start time. The start time cannot occur after the end time.")
      }
    }
  }
  /// Of one project's servers within the span.
  private func usage(_ rows: [ServerRow], project: String, _ span: Span, isDetailed: Bool) -> JSONObject {
    var (hours, memory, cpu, disk) = (0.0, 0.0, 0.0, 0.0)
    var details: [JSON] = []
    for row in rows {
      let server = row.server
      guard let launched = server.launchedAt else { continue }
      let (from, to) = (max(launched, span.start), min(server.deletedAt ?? span.end, span.end))
      guard from < to else { continue }
      let time = (to - from).inSeconds / 3600
      func amount(_ name: String) -> Int { server.flavor[name]?.int ?? 0 }
      hours += time
      memory += time * Double(amount("ram"))
      cpu += time * Double(amount("vcpus"))
      disk += time * Double(amount("disk"))
      details.append([
        "instance_id": .string(server.id), "name": .string(server.name), "hours": .double(time),
        "flavor": .string(server.flavor["original_name"]?.string ?? ""), "tenant_id": .string(project),
        "memory_mb": .int(amount("ram")), "vcpus": .int(amount("vcpus")), "local_gb": .int(amount("disk")),
        "started_at": .string(launched.iso8601Fraction), "ended_at": JSON(server.deletedAt?.iso8601Fraction),
        "state": server.deletedAt == nil ? .string(row.condition.vmState) : "terminated",
        "uptime": .int(Int(((server.deletedAt ?? span.end) - launched).inSeconds)),
      ])
    }
    var out: JSONObject = [
      "tenant_id": .string(project), "start": .string(span.start.iso8601Fraction),
      "stop": .string(span.end.iso8601Fraction), "total_hours": .double(hours),
      "total_memory_mb_usage": .double(memory), "total_vcpus_usage": .double(cpu),
      "total_local_gb_usage": .double(disk),
    ]
    if isDetailed { out["server_usages"] = .array(details) }
    return out
  }
  private func servers(_ project: String?, _ span: Span, _ session: any Session) throws -> [ServerRow] {
    try ServerStore.list(in: session) { sql in
      sql.append(
        "WHERE s.launched_at IS NOT NULL AND s.launched_at < ? AND (s.deleted_at IS NULL OR s.deleted_at > ?)",
        Value(span.end), Value(span.start))
      if let project { sql.append("AND s.project_id = ?", .text(project)) }
      sql.append("ORDER BY s.created_at, s.id")
    }
  }
  private func listUsage(_ request: APIRequest) async throws -> APIResponse {
    let span = try Span(request)
    let isDetailed = request.query["detailed"] == "1"
    let rows = try await nova.database.read { session in try self.servers(nil, span, session) }
    let byProject = Dictionary(grouping: rows, by: \.server.projectID).sorted { $0.key < $1.key }
    return APIResponse(
      json: [
        "tenant_usages": .array(
          byProject.map { .object(usage($0.value, project: $0.key, span, isDetailed: isDetailed)) })
      ])
  }
  private func showUsage(_ request: APIRequest) async throws -> APIResponse {
    let id = try request.parameter("project")
    let actor = try request.actor()
    guard actor.isSiteReader || actor.projectID == id else {
      throw APIError.forbidden("Policy doesn't allow os_compute_api:os-simple-tenant-usage:show to be performed.")
    }
    let span = try Span(request)
    let rows = try await nova.database.read { session in try self.servers(id, span, session) }
    // Upstream answers an empty object for a project that used nothing.
    if rows.isEmpty { return APIResponse(json: ["tenant_usage": [:]]) }
    return APIResponse(json: ["tenant_usage": .object(usage(rows, project: id, span, isDetailed: true))])
  }
}
