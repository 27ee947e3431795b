import APISupport
import Conductor
import Domain
import Store
import Wire

/// `/v3/snapshots`. Source: Block Storage API reference v3, "Volume snapshots".
struct SnapshotRoutes: Sendable {
  let cinder: CinderAPI

  var endpoints: [Endpoint] {
    [
      Endpoint(.get, "/v3/snapshots", .authenticated, "Lists snapshots") { try await list($0, isDetailed: false) },
      Endpoint(.get, "/v3/snapshots/detail", .authenticated, "Lists snapshots with details") {
        try await list($0, isDetailed: true)
      },
      Endpoint(.post, "/v3/snapshots", .member("snapshot:create"), "Makes a snapshot of a volume", handler: create),
      Endpoint(.get, "/v3/snapshots/{snapshot}", .authenticated, "Shows a snapshot", handler: show),
      Endpoint(
        .put, "/v3/snapshots/{snapshot}", .member("snapshot:update"), "Renames or describes a snapshot", handler: update
      ),
      Endpoint(.delete, "/v3/snapshots/{snapshot}", .member("snapshot:delete"), "Deletes a snapshot", handler: delete),
      Endpoint(
        .post, "/v3/snapshots/{snapshot}/action", .member("snapshot:action"),
        "Resets a snapshot's status, or deletes it by force", handler: act),
    ]
  }
  private func view(_ request: APIRequest) throws -> VolumeView {
    try VolumeView(request, zone: cinder.settings.availabilityZone)
  }

  private func list(_ request: APIRequest, isDetailed: Bool) async throws -> APIResponse {
    let (view, actor) = (try view(request), try request.actor())
    let query = try VolumeQuery(
      request, .snapshots, isDetailed: isDetailed, zone: view.zone, longestPage: cinder.settings.longestPage)
    return try await cinder.database.read { session in
      if let marker = query.listing.marker { _ = try Lookup.snapshot(marker, actor, session) }
      let snapshots = try VolumeSnapshotStore.list(query.listing, in: session)
      let count = query.wantsCount ? try VolumeSnapshotStore.count(query.listing, in: session) : nil
      return query.answer(request, snapshots, count: count, id: \.id) { view.full($0, isDetailed: isDetailed) }
    }
  }

  private func show(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id, view) = (try request.actor(), try request.parameter("snapshot"), try view(request))
    let snapshot = try await cinder.database.read { try Lookup.snapshot(id, actor, $0) }
    return APIResponse(json: ["snapshot": view.full(snapshot)])
  }

  /// POST `{"snapshot": {"volume_id", "name"?, "description"?, "metadata"?, "force"?}}` → 202.
  private func create(_ request: APIRequest) async throws -> APIResponse {
    let (actor, now, view) = (try request.actor(), request.now, try view(request))
    let body = try Reading.object(try await request.object(), "snapshot")
    // Upstream looks for the volume "None" there.
    guard let id = body["volume_id"]?.string else { throw APIError.notFound("Volume None could not be found.") }
    // Of a volume in use always, as since 3.66: clients drop the flag where the server speaks that.
    _ = try Reading.bool(body["force"], "force")
    return try await cinder.database.write { session in
      let volume = try Lookup.ownVolume(id, actor, session)
      let snapshot = try make(
        body, of: volume, for: actor, by: Requester(actor, requestID: request.requestID), at: now, in: session)
      return APIResponse(.accepted, json: ["snapshot": view.full(snapshot, isDetailed: false)])
    }
  }
  /// Makes a snapshot of a volume that is available or in use.
  func make(
    _ body: JSONObject, of volume: Volume, for actor: Actor, by requester: Requester, at now: Timestamp,
    in session: any Session
  ) throws -> VolumeSnapshot {
    guard [.available, .inUse].contains(volume.status) else {
      throw APIError.badRequest(
        "Invalid volume: Volume \(volume.id) status must be available, but current status is: \(volume.status.rawValue)."
      )
    }
    try cinder.requireQuota(.snapshots, adding: 1, project: volume.projectID, in: session)
    try cinder.requireQuota(.gigabytes, adding: volume.size, project: volume.projectID, in: session)
    var snapshot = VolumeSnapshot(of: volume, userID: actor.userID, createdAt: now)
    snapshot.name = try Reading.text(body["name"] ?? body["display_name"], "name")
    snapshot.description = try Reading.text(body["description"] ?? body["display_description"], "description")
    snapshot.metadata = try Reading.metadata(body["metadata"])
    try cinder.conductor.createSnapshot(snapshot, by: requester, in: session)
    return snapshot
  }

  private func update(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id, now, view) = (
      try request.actor(), try request.parameter("snapshot"), request.now, try view(request)
    )
    let body = try Reading.object(try await request.object(), "snapshot")
    return try await cinder.database.write { session in
      var snapshot = try Lookup.ownSnapshot(id, actor, session)
      for member in body {
        switch member.key {
        case "name", "display_name": snapshot.name = try Reading.text(member.value, member.key)
        case "description", "display_description": snapshot.description = try Reading.text(member.value, member.key)
        case "metadata": snapshot.metadata = try Reading.metadata(member.value)
        default:
          throw APIError.badRequest(
            "Additional properties are not allowed ('\(member.key.prefix(80))' was unexpected).")
        }
      }
      snapshot.updatedAt = now
      try VolumeSnapshotStore.update(snapshot, in: session)
      return APIResponse(json: ["snapshot": view.full(snapshot, isDetailed: false)])
    }
  }

  private func delete(_ request: APIRequest) async throws -> APIResponse {
    try await remove(request, isForced: false)
    return .accepted
  }
  private func remove(_ request: APIRequest, isForced: Bool) async throws {
    let (actor, id) = (try request.actor(), try request.parameter("snapshot"))
    try await cinder.database.write { session in
      var snapshot = try Lookup.ownSnapshot(id, actor, session)
      guard isForced || [.available, .error, .errorDeleting].contains(snapshot.status) else {
        throw APIError.badRequest(
          "Invalid snapshot: Snapshot status must be available or error; it is \(snapshot.status.rawValue).")
      }
      try cinder.conductor.deleteSnapshot(&snapshot, by: Requester(actor, requestID: request.requestID), in: session)
    }
  }

  private func act(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id, now) = (try request.actor(), try request.parameter("snapshot"), request.now)
    let body = try await request.object()
    guard actor.isSiteAdmin else {
      throw APIError.forbidden("Policy doesn't allow volume_extension:snapshot_admin_actions to be performed.")
    }
    switch body.members.first?.key {
    case "os-force_delete": try await remove(request, isForced: true)
    case "os-reset_status":
      guard let word = body["os-reset_status"]?["status"]?.string, let status = VolumeSnapshot.Status(rawValue: word)
      else {
        throw APIError.badRequest("Must specify a valid status.")
      }
      try await cinder.database.write { session in
        var snapshot = try Lookup.ownSnapshot(id, actor, session)
        snapshot.status = status
        snapshot.updatedAt = now
        try VolumeSnapshotStore.update(snapshot, in: session)
      }
    case "os-update_snapshot_status": throw APIError.badRequest("Snapshots are made by the service alone.")
    default: throw APIError.badRequest("There is no such action.")
    }
    return .accepted
  }
}
