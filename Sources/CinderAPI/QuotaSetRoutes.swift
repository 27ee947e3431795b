import APISupport
import Domain
import Store
import Wire

/// `/v3/os-quota-sets`, `/v3/limits`. Source: Block Storage API reference v3, "Quota sets extension", "Limits".
struct QuotaSetRoutes: Sendable {
  let cinder: CinderAPI

  var endpoints: [Endpoint] {
    [
      Endpoint(.get, "/v3/os-quota-sets/{project}", .authenticated, "Shows a project's limits", handler: show),
      Endpoint(
        .get, "/v3/os-quota-sets/{project}/defaults", .authenticated, "Shows the site's limits", handler: defaults),
      Endpoint(.put, "/v3/os-quota-sets/{project}", .siteAdmin, "Sets a project's limits", handler: update),
      Endpoint(.delete, "/v3/os-quota-sets/{project}", .siteAdmin, "Resets a project's limits") { request in
        let project = try request.parameter("project")
        try await cinder.database.write { try VolumeStore.resetLimits(project: project, in: $0) }
        return APIResponse(.ok)
      },
      Endpoint(.get, "/v3/os-quota-class-sets/{class}", .siteReader, "Shows the site's limits") { request in
        let name = try request.parameter("class")
        var out = Self.usual
        out["id"] = .string(name)
        return APIResponse(json: ["quota_class_set": .object(out)])
      },
      Endpoint(.get, "/v3/limits", .authenticated, "Shows the project's limits and what is used", handler: limits),
    ]
  }

  private static var usual: JSONObject {
    VolumeResource.allCases.reduce(into: JSONObject()) { $0[$1.rawValue] = .int($1.usualLimit) }
  }
  private func project(_ request: APIRequest) throws -> String {
    let (actor, project) = (try request.actor(), try request.parameter("project"))
    guard actor.isSiteReader || actor.projectID == project else {
      throw APIError.forbidden("Policy doesn't allow volume_extension:quotas:show to be performed.")
    }
    return project
  }

  private func show(_ request: APIRequest) async throws -> APIResponse {
    let project = try project(request)
    let showsUse = try request.query.bool("usage") ?? false
    let set = try await cinder.database.read { session -> JSONObject in
      let own = try VolumeStore.limits(project: project, in: session)
      var out: JSONObject = ["id": .string(project)]
      for resource in VolumeResource.allCases {
        let limit = own[resource.rawValue] ?? resource.usualLimit
        out[resource.rawValue] =
          showsUse
          ? [
            "limit": .int(limit), "in_use": .int(try VolumeStore.used(resource, project: project, in: session)),
            "reserved": 0,
          ]
          : .int(limit)
      }
      return out
    }
    return APIResponse(json: ["quota_set": .object(set)])
  }

  private func defaults(_ request: APIRequest) async throws -> APIResponse {
    var out = Self.usual
    out["id"] = .string(try project(request))
    return APIResponse(json: ["quota_set": .object(out)])
  }

  private func update(_ request: APIRequest) async throws -> APIResponse {
    let project = try request.parameter("project")
    let body = try Reading.object(try await request.object(), "quota_set")
    var limits: [(VolumeResource, Int)] = []
    for member in body where !["tenant_id", "id", "force", "skip_validation"].contains(member.key) {
      // "volumes_TYPE" and the like: limits per type are not counted here.
      guard let resource = VolumeResource(rawValue: member.key) else {
        throw APIError.badRequest("Bad key(s) in quota set: \(member.key.prefix(80)).")
      }
      guard let limit = member.value.lenientInt, limit >= -1, limit <= Int(Int32.max) else {
        throw APIError.badRequest("Quota limit for \(member.key) must be a whole number from -1 to \(Int32.max).")
      }
      limits.append((resource, limit))
    }
    return try await cinder.database.write { [limits] session in
      for (resource, limit) in limits {
        try VolumeStore.setLimit(resource.rawValue, limit, project: project, in: session)
      }
      let own = try VolumeStore.limits(project: project, in: session)
      var out = JSONObject()
      for resource in VolumeResource.allCases {
        out[resource.rawValue] = .int(own[resource.rawValue] ?? resource.usualLimit)
      }
      return APIResponse(json: ["quota_set": .object(out)])
    }
  }

  private func limits(_ request: APIRequest) async throws -> APIResponse {
    let actor = try request.actor()
    let named = request.query["project_id"] ?? request.query["tenant_id"]
    let project = actor.isSiteReader ? named ?? actor.projectID : actor.projectID
    let absolute = try await cinder.database.read { session -> JSON in
      let own = try project.map { try VolumeStore.limits(project: $0, in: session) } ?? [:]
      func limit(_ resource: VolumeResource) -> JSON { .int(own[resource.rawValue] ?? resource.usualLimit) }
      func used(_ resource: VolumeResource) throws -> JSON {
        .int(try project.map { try VolumeStore.used(resource, project: $0, in: session) } ?? 0)
      }
      return [
        "maxTotalVolumes": limit(.volumes), "maxTotalSnapshots": limit(.snapshots), "maxTotalBackups": limit(.backups),
        "maxTotalVolumeGigabytes": limit(.gigabytes), "maxTotalBackupGigabytes": limit(.backupGigabytes),
        "totalVolumesUsed": try used(.volumes), "totalSnapshotsUsed": try used(.snapshots),
        "totalBackupsUsed": try used(.backups), "totalGigabytesUsed": try used(.gigabytes),
        "totalBackupGigabytesUsed": try used(.backupGigabytes),
      ]
    }
    return APIResponse(json: ["limits": ["rate": [], "absolute": absolute]])
  }
}
