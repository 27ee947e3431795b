import APISupport
import Domain
import Store
import Wire

extension IronicAPI {
  var chassisEndpoints: [Endpoint] {
    [
      Endpoint(.get, "/v1/chassis", Self.siteReader, "List chassis") { try await listChassis($0, isDetailed: false) },
      Endpoint(.get, "/v1/chassis/detail", Self.siteReader, "List chassis with all fields") {
        try await listChassis($0, isDetailed: true)
      },
      Endpoint(.post, "/v1/chassis", Self.siteAdmin, "Make a chassis") { try await createChassis($0) },
      Endpoint(.get, "/v1/chassis/{chassis}", Self.siteReader, "Show a chassis") { request in
        let view = try ResourceView(request, "chassis", Self.chassisFields, asked: askedFields(request))
        return try await database.read { session in
          APIResponse(json: shown(try chassis(request, in: session), view))
        }
      },
      Endpoint(.patch, "/v1/chassis/{chassis}", Self.siteAdmin, "Change a chassis (JSON patch)") {
        try await patchChassis($0)
      },
      Endpoint(.delete, "/v1/chassis/{chassis}", Self.siteAdmin, "Remove an empty chassis") { request in
        try await database.write { session in
          let chassis = try chassis(request, in: session)
          guard try !ChassisStore.hasNodes(chassis.uuid, in: session) else {
            throw APIError.badRequest(
              "Cannot complete the requested action because chassis \(chassis.uuid) contains nodes.")
          }
          try ChassisStore.delete(chassis.uuid, in: session)
          return .noContent
        }
      },
      Endpoint(.get, "/v1/chassis/{chassis}/nodes", Self.siteReader, "List the nodes of a chassis") { request in
        let uuid = try await database.read { try chassis(request, in: $0).uuid }
        return try await listNodes(request, isDetailed: false, chassis: uuid)
      },
      Endpoint(.get, "/v1/chassis/{chassis}/nodes/detail", Self.siteReader, "List the nodes of a chassis, whole") {
        request in
        let uuid = try await database.read { try chassis(request, in: $0).uuid }
        return try await listNodes(request, isDetailed: true, chassis: uuid)
      },
    ]
  }

  private static let chassisFields = [
    ResourceField("uuid"), ResourceField("description"), ResourceField("extra"), ResourceField("created_at"),
    ResourceField("updated_at"), ResourceField("nodes"),
  ]
  private static let chassisMembers: Set<String> = ["uuid", "description", "extra"]

  private func shown(_ chassis: Chassis, _ view: ResourceView) -> JSON {
    view.json(
      chassis.uuid,
      [
        "uuid": .string(chassis.uuid), "description": JSON(chassis.description), "extra": .object(chassis.extra),
        "created_at": .string(chassis.createdAt.iso8601WithOffset),
        "updated_at": JSON(chassis.updatedAt?.iso8601WithOffset), "nodes": view.links("\(chassis.uuid)/nodes"),
      ])
  }
  private func chassis(_ request: APIRequest, in session: any Session) throws -> Chassis {
    let uuid = try request.parameter("chassis")
    guard let chassis = try ChassisStore.get(uuid.lowercased(), in: session) else {
      throw APIError.notFound("Chassis \(uuid) could not be found.")
    }
    return chassis
  }

  /// GET /v1/chassis → 200 `{"chassis": […], "next"?}`.
  private func listChassis(_ request: APIRequest, isDetailed: Bool) async throws -> APIResponse {
    let query = try ListQuery(request, filters: [], isDetailed: isDetailed)
    let view = try ResourceView(
      request, "chassis", Self.chassisFields, asked: query.fields,
      defaults: query.isDetailed ? nil : ["uuid", "description"])
    let paging = try query.paging(ChassisSortKey.createdAt)
    return try await database.read { session in
      if let marker = paging.marker, try ChassisStore.get(marker, in: session) == nil {
        throw APIError.notFound("Chassis \(marker) could not be found.")
      }
      let chassis = try ChassisStore.list(paging, in: session)
      return query.answer(request, "chassis", chassis, id: \.uuid) { $1.value(shown($0, view)) }
    }
  }

  private func set(_ document: JSON, on chassis: inout Chassis) throws {
    chassis.description = try FieldReading.text(document["description"], "description")
    chassis.extra = try FieldReading.document(document["extra"], "extra")
  }
  /// POST /v1/chassis `{"uuid"?, "description"?, "extra"?}` → 201.
  private func createChassis(_ request: APIRequest) async throws -> APIResponse {
    let body = try await request.object()
    try FieldReading.refuseOthers(body, than: Self.chassisMembers, "chassis")
    let view = try ResourceView(request, "chassis", Self.chassisFields, asked: nil)
    var made = Chassis(uuid: try FieldReading.uuid(body["uuid"], "uuid") ?? Identifier.uuid(), createdAt: request.now)
    try set(.object(body), on: &made)
    return try await database.write { [made] session in
      try unlessTaken("A chassis with UUID \(made.uuid) already exists.") {
        try ChassisStore.insert(made, in: session)
      }
      return APIResponse(
        .created, json: shown(made, view),
        headers: [.location: "\(request.serviceURL)/v1/chassis/\(made.uuid)"])
    }
  }
  private func patchChassis(_ request: APIRequest) async throws -> APIResponse {
    let patch = try PatchOperation.parse(try await request.json())
    _ = try patch.members(of: Self.chassisMembers.subtracting(["uuid"]))
    let view = try ResourceView(request, "chassis", Self.chassisFields, asked: nil)
    return try await database.write { session in
      var chassis = try chassis(request, in: session)
      try set(
        try patch.applied(to: ["description": JSON(chassis.description), "extra": .object(chassis.extra)]),
        on: &chassis)
      chassis.updatedAt = request.now
      try ChassisStore.update(chassis, in: session)
      return APIResponse(json: shown(chassis, view))
    }
  }
}
