import APISupport
import Domain
import Store
import Wire

/// `/v3/types`. Source: Block Storage API reference v3, "Volume types", "Volume type access".
struct VolumeTypeRoutes: Sendable {
  let cinder: CinderAPI

  var endpoints: [Endpoint] {
    [
      Endpoint(.get, "/v3/types", .authenticated, "Lists volume types", handler: list),
      Endpoint(.post, "/v3/types", .siteAdmin, "Makes a volume type", handler: create),
      Endpoint(.get, "/v3/types/{type}", .authenticated, "Shows a volume type", handler: show),
      Endpoint(.put, "/v3/types/{type}", .siteAdmin, "Changes a volume type", handler: update),
      Endpoint(.delete, "/v3/types/{type}", .siteAdmin, "Deletes a volume type", handler: delete),
      Endpoint(.get, "/v3/types/{type}/extra_specs", .authenticated, "Lists a type's extra specs") { request in
        APIResponse(json: ["extra_specs": try await specs(request)])
      },
      Endpoint(.post, "/v3/types/{type}/extra_specs", .siteAdmin, "Adds extra specs to a type") { request in
        let given = try Self.specs(try await request.object()["extra_specs"])
        try await change(request) { type in for pair in given { type.extraSpecs[pair.key] = pair.value } }
        return APIResponse(json: ["extra_specs": .object(given)])
      },
      Endpoint(.get, "/v3/types/{type}/extra_specs/{key}", .authenticated, "Shows an extra spec") { request in
        let key = try request.parameter("key")
        guard let value = try await specs(request)[key] else { throw Self.missing(key) }
        return APIResponse(json: .object([key: value]))
      },
      Endpoint(.put, "/v3/types/{type}/extra_specs/{key}", .siteAdmin, "Sets an extra spec") { request in
        let key = try request.parameter("key")
        let given = try Self.specs(.object(try await request.object()))
        guard given.count == 1, let value = given[key] else {
          throw APIError.badRequest("The request body is expected to have one item, \(key.prefix(80)).")
        }
        try await change(request) { $0.extraSpecs[key] = value }
        return APIResponse(json: .object(given))
      },
      Endpoint(.delete, "/v3/types/{type}/extra_specs/{key}", .siteAdmin, "Removes an extra spec") { request in
        let key = try request.parameter("key")
        try await change(request) { type in
          guard type.extraSpecs[key] != nil else { throw Self.missing(key) }
          type.extraSpecs[key] = nil
        }
        return .accepted
      },
      Endpoint(
        .get, "/v3/types/{type}/os-volume-type-access", .siteAdmin, "Lists the projects that may use a type",
        handler: access),
      Endpoint(.post, "/v3/types/{type}/action", .siteAdmin, "Lets a project use a type, or no more", handler: act),
      Endpoint(
        .get, "/v3/types/{type}/encryption", .siteAdmin, "Shows how volumes of a type are encrypted: they are not"
      ) { request in
        _ = try await found(request)
        return APIResponse(json: .emptyObject)
      },
      Endpoint(.get, "/v3/qos-specs", .siteAdmin, "Lists QoS specs: there are none") { _ in
        APIResponse(json: ["qos_specs": []])
      },
    ]
  }

  private func list(_ request: APIRequest) async throws -> APIResponse {
    let (actor, query) = (try request.actor(), request.query)
    let view = try VolumeView(request, zone: cinder.settings.availabilityZone)
    _ = try await usualType(at: request.now)
    let types = try await cinder.database.read { session in
      try VolumeTypeStore.list(visibleTo: actor.isSiteReader ? nil : actor.projectID ?? "", in: session)
    }
    // "none": both kinds, for administrators; without the word they see what is public.
    let word = query["is_public"]?.lowercased()
    var shown = types
    if actor.isSiteReader, word != "none" {
      let wanted = try query.bool("is_public") ?? true
      shown = types.filter { $0.isPublic == wanted }
    }
    if let name = query["name"] { shown = shown.filter { $0.name == name } }
    return APIResponse(json: ["volume_types": .array(shown.map { view.full($0) })])
  }

  /// The type of those who name none; only the first look writes.
  private func usualType(at now: Timestamp) async throws -> VolumeType {
    let known = try await cinder.database.read { try VolumeTypeStore.named(VolumeType.defaultName, in: $0) }
    if let known { return known }
    return try await cinder.database.write { try VolumeTypeStore.ensureDefault(at: now, in: $0) }
  }
  private func found(_ request: APIRequest) async throws -> VolumeType {
    let (actor, ident) = (try request.actor(), try request.parameter("type"))
    if ident == "default" { return try await usualType(at: request.now) }
    return try await cinder.database.read { session in
      // By id only: clients look names up in the list.
      let type = try Lookup.type(ident, actor, session)
      guard type.id == ident else { throw APIError.notFound("Volume type \(ident) could not be found.") }
      return type
    }
  }
  private func specs(_ request: APIRequest) async throws -> JSON {
    let view = try VolumeView(request, zone: cinder.settings.availabilityZone)
    return view.full(try await found(request))["extra_specs"] ?? .emptyObject
  }
  private static func missing(_ key: String) -> APIError {
    .notFound("Volume Type has no extra specs with key \(key.prefix(255)).")
  }
  private static func specs(_ value: JSON?) throws -> JSONObject {
    guard let value, value.object != nil else {
      throw APIError.badRequest("extra_specs must be an object of texts.")
    }
    let specs = try Reading.metadata(value, "extra_specs")
    guard specs.keys.allSatisfy({ $0.allSatisfy { $0.isLetter || $0.isNumber || "_-:. ".contains($0) } }) else {
      throw APIError.badRequest(
        "Key names can only contain alphanumeric characters, underscores, periods, colons and hyphens.")
    }
    return specs
  }

  private func show(_ request: APIRequest) async throws -> APIResponse {
    let view = try VolumeView(request, zone: cinder.settings.availabilityZone)
    return APIResponse(json: ["volume_type": view.full(try await found(request))])
  }

  private static func name(_ value: JSON?) throws -> String {
    guard let name = try Reading.text(value, "name"), !name.isEmpty else {
      throw APIError.badRequest("Volume type name can not be empty.")
    }
    return name
  }

  private func create(_ request: APIRequest) async throws -> APIResponse {
    let view = try VolumeView(request, zone: cinder.settings.availabilityZone)
    let body = try Reading.object(try await request.object(), "volume_type")
    var type = VolumeType(name: try Self.name(body["name"]), createdAt: request.now)
    type.description = try Reading.text(body["description"], "description")
    type.isPublic = try Reading.bool(body["os-volume-type-access:is_public"] ?? body["is_public"], "is_public") ?? true
    if let specs = body["extra_specs"], !specs.isNull { type.extraSpecs = try Self.specs(specs) }
    return try await cinder.database.write { [type] session in
      guard try VolumeTypeStore.named(type.name, in: session) == nil else {
        throw APIError.conflict("Volume Type \(type.name) already exists.")
      }
      try VolumeTypeStore.insert(type, in: session)
      return APIResponse(json: ["volume_type": view.full(type, isBrief: true)])
    }
  }

  @discardableResult private func change(
    _ request: APIRequest, _ body: @escaping @Sendable (inout VolumeType) throws -> Void
  ) async throws -> VolumeType {
    let id = try await found(request).id
    return try await cinder.database.write { session in
      guard var now = try VolumeTypeStore.get(id, in: session) else {
        throw APIError.notFound("Volume type \(id) could not be found.")
      }
      try body(&now)
      if let other = try VolumeTypeStore.named(now.name, in: session), other.id != id {
        throw APIError.conflict("Volume Type \(now.name) already exists.")
      }
      try VolumeTypeStore.update(now, in: session)
      return now
    }
  }

  private func update(_ request: APIRequest) async throws -> APIResponse {
    let view = try VolumeView(request, zone: cinder.settings.availabilityZone)
    let body = try Reading.object(try await request.object(), "volume_type")
    guard ["name", "description", "is_public"].contains(where: { body[$0].map { !$0.isNull } ?? false }) else {
      throw APIError.badRequest("Specify volume type name, description, is_public or a combination thereof.")
    }
    let type = try await change(request) { type in
      if let name = body["name"], !name.isNull {
        guard type.name != VolumeType.defaultName else {
          throw APIError.badRequest("The default volume type keeps its name.")
        }
        type.name = try Self.name(name)
      }
      if let text = body["description"], !text.isNull { type.description = try Reading.text(text, "description") }
      if let flag = try Reading.bool(body["is_public"], "is_public") { type.isPublic = flag }
    }
    return APIResponse(json: ["volume_type": view.full(type, isBrief: true)])
  }

  private func delete(_ request: APIRequest) async throws -> APIResponse {
    let type = try await found(request)
    guard type.name != VolumeType.defaultName else {
      throw APIError.badRequest("The default volume type cannot be deleted.")
    }
    try await cinder.database.write { session in
      do { try VolumeTypeStore.delete(type.id, in: session) } catch let error as StoreError
        where error.kind == .conflict
      {
        throw APIError.badRequest("Target volume type is still in use: delete its volumes first.")
      }
    }
    return .accepted
  }

  private func access(_ request: APIRequest) async throws -> APIResponse {
    let type = try await found(request)
    guard !type.isPublic else { throw APIError.notFound("Access list not available for public volume types.") }
    let projects = try await cinder.database.read { try VolumeTypeStore.projects(of: type.id, in: $0) }
    return APIResponse(json: [
      "volume_type_access": .array(
        projects.map { ["volume_type_id": .string(type.id), "project_id": .string($0)] })
    ])
  }

  private func act(_ request: APIRequest) async throws -> APIResponse {
    let type = try await found(request)
    let body = try await request.object()
    guard let action = body.members.first, let project = try Reading.text(action.value["project"], "project"),
      !project.isEmpty
    else { throw APIError.badRequest("addProjectAccess or removeProjectAccess with a project is expected.") }
    try await cinder.database.write { session in
      switch action.key {
      case "addProjectAccess":
        guard !type.isPublic else {
          throw APIError.conflict("Type access modification is not applicable to public volume type.")
        }
        do { try VolumeTypeStore.allow(project, to: type.id, in: session) } catch let error as StoreError
          where error.kind == .conflict
        {
          throw APIError.conflict("Volume type access for \(type.id) / \(project) combination already exists.")
        }
      case "removeProjectAccess":
        guard !type.isPublic else {
          throw APIError.conflict("Type access modification is not applicable to public volume type.")
        }
        guard try VolumeTypeStore.deny(project, to: type.id, in: session) else {
          throw APIError.notFound("Volume type access not found for \(type.id) / \(project) combination.")
        }
      default: throw APIError.badRequest("There is no such action: \(action.key.prefix(80))")
      }
    }
    return .accepted
  }
}
