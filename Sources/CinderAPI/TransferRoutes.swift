import APISupport
import Cryptography
import Domain
import Store
import Wire

/// `/v3/volume-transfers` and `/v3/os-volume-transfer`. Source: Block Storage API reference v3, "Volume transfers".
struct TransferRoutes: Sendable {
  let cinder: CinderAPI

  var endpoints: [Endpoint] { ["/v3/volume-transfers", "/v3/os-volume-transfer"].flatMap { endpoints(at: $0) } }

  private func endpoints(at path: String) -> [Endpoint] {
    [
      Endpoint(.get, path, .authenticated, "Lists offers of volumes") { try await list($0, isDetailed: false) },
      Endpoint(.get, path + "/detail", .authenticated, "Lists offers of volumes with details") {
        try await list($0, isDetailed: true)
      },
      Endpoint(.post, path, .member("transfer:create"), "Offers a volume to another project", handler: create),
      Endpoint(.get, path + "/{transfer}", .authenticated, "Shows an offer", handler: show),
      Endpoint(
        .post, path + "/{transfer}/accept", .member("transfer:accept"), "Takes an offered volume", handler: accept),
      Endpoint(.delete, path + "/{transfer}", .member("transfer:delete"), "Takes an offer back", handler: delete),
    ]
  }

  private func shown(_ transfer: VolumeTransfer, _ request: APIRequest, isDetailed: Bool = true, key: String? = nil)
    throws -> JSON
  {
    var out: JSONObject = [
      "id": .string(transfer.id), "name": JSON(transfer.name), "volume_id": .string(transfer.volumeID),
      "links": [
        ["rel": "self", "href": .string("\(request.serviceURL)/v3/volume-transfers/\(transfer.id)")],
        ["rel": "bookmark", "href": .string("\(request.serviceURL)/volume-transfers/\(transfer.id)")],
      ],
    ]
    if isDetailed { out["created_at"] = .string(transfer.createdAt.iso8601) }
    if let key { out["auth_key"] = .string(key) }
    let version = try VolumeMicroversion(request).minor
    if version >= 57, isDetailed {
      out["source_project_id"] = .string(transfer.sourceProjectID)
      out["destination_project_id"] = JSON(transfer.destinationProjectID)
      out["accepted"] = .bool(transfer.isAccepted)
    }
    if version >= 55, isDetailed { out["no_snapshots"] = .bool(!transfer.includesSnapshots) }
    return .object(out)
  }
  private func missing(_ id: String) -> APIError { .notFound("Transfer \(id) could not be found.") }

  private func list(_ request: APIRequest, isDetailed: Bool) async throws -> APIResponse {
    let actor = try request.actor()
    let isForAll = try request.query.bool("all_tenants") ?? false
    let scope: VolumePolicy.Scope =
      isForAll && actor.isSiteReader ? .everything : actor.projectID.map { .project($0) } ?? VolumePolicy.scope(actor)
    let transfers = try await cinder.database.read { try VolumeTransferStore.list(scope, in: $0) }
    let name = request.query["name"]
    return APIResponse(json: [
      "transfers": .array(
        try transfers.filter { name == nil || $0.name == name }.map { try shown($0, request, isDetailed: isDetailed) })
    ])
  }
  private func found(_ id: String, _ actor: Actor, _ session: any Session) throws -> VolumeTransfer {
    guard let transfer = try VolumeTransferStore.get(id, in: session), !transfer.isAccepted,
      VolumePolicy.sees(project: transfer.sourceProjectID, actor)
    else { throw missing(id) }
    return transfer
  }
  private func show(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id) = (try request.actor(), try request.parameter("transfer"))
    let transfer = try await cinder.database.read { try found(id, actor, $0) }
    return APIResponse(json: ["transfer": try shown(transfer, request)])
  }

  private func create(_ request: APIRequest) async throws -> APIResponse {
    let (actor, now) = (try request.actor(), request.now)
    let body = try Reading.object(try await request.object(), "transfer")
    guard let id = try Reading.id(body["volume_id"], "volume_id") else {
      throw APIError.badRequest("volume_id is missing.")
    }
    let key = Digest.hex(randomBytes(8))
    let transfer = try await cinder.database.write { session in
      var volume = try Lookup.ownVolume(id, actor, session)
      guard volume.status == .available else {
        throw APIError.badRequest("Invalid volume: status must be available; it is \(volume.status.rawValue).")
      }
      var transfer = VolumeTransfer(
        volumeID: volume.id, sourceProjectID: volume.projectID, keyHash: Digest.sha256Hex(key), createdAt: now)
      transfer.name = try Reading.text(body["name"], "name")
      transfer.includesSnapshots = try !(Reading.bool(body["no_snapshots"], "no_snapshots") ?? false)
      if !transfer.includesSnapshots, try !VolumeSnapshotStore.list(of: volume.id, in: session).isEmpty {
        throw APIError.badRequest(
          "A volume goes with its snapshots here: delete them first, or leave no_snapshots out.")
      }
      try VolumeTransferStore.insert(transfer, in: session)
      volume.status = .awaitingTransfer
      volume.updatedAt = now
      try VolumeStore.update(volume, in: session)
      return transfer
    }
    return APIResponse(.accepted, json: ["transfer": try shown(transfer, request, key: key)])
  }

  /// Who has the id and the key may take it, whatever project they are of.
  private func accept(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id, now) = (try request.actor(), try request.parameter("transfer"), request.now)
    let body = try Reading.object(try await request.object(), "accept")
    guard let project = actor.projectID else { throw APIError.badRequest("The token has no project.") }
    guard let key = body["auth_key"]?.string, key.utf8.count <= 255 else {
      throw APIError.badRequest("auth_key is missing.")
    }
    let transfer = try await cinder.database.write { session in
      guard let transfer = try VolumeTransferStore.get(id, in: session), !transfer.isAccepted,
        var volume = try VolumeStore.get(transfer.volumeID, in: session)
      else { throw missing(id) }
      // Without the key an offer of a stranger is not there.
      guard Digest.sha256Hex(key) == transfer.keyHash else {
        if VolumePolicy.sees(project: transfer.sourceProjectID, actor) {
          throw APIError.badRequest("Invalid auth key: Attempt to transfer \(id) with invalid auth key.")
        }
        throw missing(id)
      }
      let snapshots = try VolumeSnapshotStore.list(of: volume.id, in: session)
      if project != volume.projectID {
        let size = volume.size + snapshots.reduce(0) { $0 + $1.size }
        try cinder.requireRoom(volumes: 1, gigabytes: size, size: volume.size, project: project, in: session)
        if !snapshots.isEmpty {
          try cinder.requireQuota(.snapshots, adding: snapshots.count, project: project, in: session)
        }
      }
      // A kind of volume that the new project may not see stays a word of the old one's.
      for var snapshot in snapshots {
        snapshot.projectID = project
        try VolumeSnapshotStore.update(snapshot, in: session)
      }
      volume.projectID = project
      volume.userID = actor.userID
      volume.status = .available
      volume.updatedAt = now
      try VolumeStore.update(volume, in: session)
      try VolumeTransferStore.delete(transfer.id, in: session)
      var taken = transfer
      taken.destinationProjectID = project
      taken.isAccepted = true
      return taken
    }
    return APIResponse(.accepted, json: ["transfer": try shown(transfer, request, isDetailed: false)])
  }

  private func delete(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id, now) = (try request.actor(), try request.parameter("transfer"), request.now)
    try await cinder.database.write { session in
      let transfer = try found(id, actor, session)
      var volume = try Lookup.ownVolume(transfer.volumeID, actor, session)
      if volume.status == .awaitingTransfer {
        volume.status = .available
        volume.updatedAt = now
        try VolumeStore.update(volume, in: session)
      }
      try VolumeTransferStore.delete(transfer.id, in: session)
    }
    return .accepted
  }
}
