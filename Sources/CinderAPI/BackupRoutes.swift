import APISupport
import Conductor
import Domain
import Store
import Wire

/// `/v3/backups`. Source: Block Storage API reference v3, "Backups".
struct BackupRoutes: Sendable {
  let cinder: CinderAPI

  var endpoints: [Endpoint] {
    [
      Endpoint(.get, "/v3/backups", .authenticated, "Lists backups") { try await list($0, isDetailed: false) },
      Endpoint(.get, "/v3/backups/detail", .authenticated, "Lists backups with details") {
        try await list($0, isDetailed: true)
      },
      Endpoint(.post, "/v3/backups", .member("backup:create"), "Backs a volume up", handler: create),
      Endpoint(.get, "/v3/backups/{backup}", .authenticated, "Shows a backup", handler: show),
      Endpoint(
        .put, "/v3/backups/{backup}", .member("backup:update"), "Renames or describes a backup", handler: update),
      Endpoint(.delete, "/v3/backups/{backup}", .member("backup:delete"), "Deletes a backup") { request in
        try await remove(request, isForced: false)
        return .accepted
      },
      Endpoint(
        .post, "/v3/backups/{backup}/restore", .member("backup:restore"), "Restores a backup to a volume",
        handler: restore),
      Endpoint(
        .post, "/v3/backups/{backup}/action", .member("backup:action"),
        "Resets a backup's status, or deletes it by force", handler: act),
    ]
  }

  private func found(_ id: String, _ actor: Actor, _ session: any Session) throws -> VolumeBackup {
    guard let backup = try VolumeBackupStore.get(id.lowercased(), in: session),
      VolumePolicy.sees(project: backup.projectID, actor)
    else { throw APIError.notFound("Backup \(id) could not be found.") }
    return backup
  }
  private func own(_ id: String, _ actor: Actor, _ session: any Session) throws -> VolumeBackup {
    let backup = try found(id, actor, session)
    guard VolumePolicy.mayChange(project: backup.projectID, actor) else {
      throw APIError.forbidden("Policy doesn't allow you to change backup \(id).")
    }
    return backup
  }

  private func brief(_ backup: VolumeBackup, _ view: VolumeView) -> JSONObject {
    ["id": .string(backup.id), "name": JSON(backup.name), "links": view.links("backups/\(backup.id)")]
  }
  private func full(_ backup: VolumeBackup, hasChildren: Bool, _ view: VolumeView) -> JSON {
    var out = brief(backup, view)
    let members: JSONObject = [
      "status": .string(backup.status.rawValue), "volume_id": .string(backup.volumeID),
      "snapshot_id": JSON(backup.snapshotID), "description": JSON(backup.description),
      "container": .string(backup.container), "size": .int(backup.size), "object_count": .int(backup.objectCount),
      "is_incremental": .bool(backup.isIncremental), "has_dependent_backups": .bool(hasChildren),
      "availability_zone": .string(view.zone), "created_at": .string(backup.createdAt.iso8601),
      "updated_at": JSON(backup.updatedAt?.iso8601), "data_timestamp": .string(backup.dataTimestamp.iso8601),
      "fail_reason": JSON(backup.fault.map { view.isAdministrator ? $0.whole : $0.sentence }),
    ]
    for member in members { out[member.key] = member.value }
    if view.version.minor >= 18, view.isAdministrator {
      out["os-backup-project-attr:project_id"] = .string(backup.projectID)
    }
    if view.version.minor >= 43 { out["metadata"] = .object(backup.metadata) }
    if view.version.minor >= 56 { out["user_id"] = .string(backup.userID) }
    if view.version.minor >= 64 { out["encryption_key_id"] = .null }
    return .object(out)
  }

  private func view(_ request: APIRequest) throws -> VolumeView {
    try VolumeView(request, zone: cinder.settings.availabilityZone)
  }

  private func list(_ request: APIRequest, isDetailed: Bool) async throws -> APIResponse {
    let (view, actor) = (try view(request), try request.actor())
    let query = try VolumeQuery(
      request, .backups, isDetailed: isDetailed, zone: view.zone, longestPage: cinder.settings.longestPage)
    return try await cinder.database.read { session in
      if let marker = query.listing.marker { _ = try found(marker, actor, session) }
      let backups = try VolumeBackupStore.list(query.listing, in: session)
      let parents = isDetailed ? try VolumeBackupStore.parents(among: backups.map(\.id), in: session) : []
      let count = query.wantsCount ? try VolumeBackupStore.count(query.listing, in: session) : nil
      return query.answer(request, backups, count: count, id: \.id) {
        isDetailed ? full($0, hasChildren: parents.contains($0.id), view) : .object(brief($0, view))
      }
    }
  }

  private func show(_ request: APIRequest) async throws -> APIResponse {
    let (view, actor, id) = (try view(request), try request.actor(), try request.parameter("backup"))
    return try await cinder.database.read { session in
      let backup = try found(id, actor, session)
      let parents = try VolumeBackupStore.parents(among: [backup.id], in: session)
      return APIResponse(json: ["backup": full(backup, hasChildren: !parents.isEmpty, view)])
    }
  }

  /// POST `{"backup": {"volume_id", "name"?, "description"?, "container"?, "force"?, "incremental"?, "snapshot_id"?}}` → 202.
  private func create(_ request: APIRequest) async throws -> APIResponse {
    let (view, actor, now) = (try view(request), try request.actor(), request.now)
    let body = try Reading.object(try await request.object(), "backup")
    guard let volumeID = try Reading.id(body["volume_id"], "volume_id") else {
      throw APIError.badRequest("volume_id is missing.")
    }
    let snapshotID = try Reading.id(body["snapshot_id"], "snapshot_id")
    let isForced = try Reading.bool(body["force"], "force") ?? false
    let isIncremental = try Reading.bool(body["incremental"], "incremental") ?? false
    let backup = try await cinder.database.write { session in
      var volume = try Lookup.ownVolume(volumeID, actor, session)
      var backup = VolumeBackup(
        volumeID: volume.id, projectID: volume.projectID, userID: actor.userID, size: volume.size, createdAt: now)
      if let snapshotID {
        let snapshot = try Lookup.ownSnapshot(snapshotID, actor, session)
        guard snapshot.volumeID == volume.id, snapshot.status == .available else {
          throw APIError.badRequest("Invalid snapshot: it must be an available one of the volume.")
        }
        backup.snapshotID = snapshot.id
        backup.size = snapshot.size
        backup.dataTimestamp = snapshot.createdAt
      } else {
        guard volume.status == .available || (isForced && volume.status == .inUse) else {
          throw APIError.badRequest(
            "Invalid volume: Volume to be backed up must be available or in-use with --force, but the current status is \"\(volume.status.rawValue)\"."
          )
        }
      }
      backup.name = try Reading.text(body["name"], "name")
      backup.description = try Reading.text(body["description"], "description")
      backup.container =
        try Reading.text(body["container"], "container").flatMap { $0.isEmpty ? nil : $0 } ?? backup.container
      backup.metadata = try Reading.metadata(body["metadata"])
      if isIncremental {
        var earlier = VolumeListing(.project(volume.projectID))
        earlier.tests = [.equals(.volumeID, [.text(volume.id)]), .equals(.status, ["available"])]
        earlier.limit = 1
        guard let parent = try VolumeBackupStore.list(earlier, in: session).first else {
          throw APIError.badRequest(
            "Invalid backup: No backups available to do an incremental backup: make a full one first.")
        }
        backup.isIncremental = true
        backup.parentID = parent.id
      }
      try cinder.requireQuota(.backups, adding: 1, project: volume.projectID, in: session)
      try cinder.requireQuota(.backupGigabytes, adding: backup.size, project: volume.projectID, in: session)
      try cinder.conductor.backUp(&volume, as: backup, by: Requester(actor, requestID: request.requestID), in: session)
      return backup
    }
    var out = brief(backup, view)
    if view.version.minor >= 43 { out["metadata"] = .object(backup.metadata) }
    return APIResponse(.accepted, json: ["backup": .object(out)])
  }

  private func update(_ request: APIRequest) async throws -> APIResponse {
    try VolumeMicroversion.require(9, request)
    let (view, actor, id) = (try view(request), try request.actor(), try request.parameter("backup"))
    let body = try Reading.object(try await request.object(), "backup")
    let now = request.now
    return try await cinder.database.write { session in
      var backup = try own(id, actor, session)
      for member in body {
        switch member.key {
        case "name": backup.name = try Reading.text(member.value, member.key)
        case "description": backup.description = try Reading.text(member.value, member.key)
        case "metadata": backup.metadata = try Reading.metadata(member.value)
        default:
          throw APIError.badRequest(
            "Additional properties are not allowed ('\(member.key.prefix(80))' was unexpected).")
        }
      }
      backup.updatedAt = now
      try VolumeBackupStore.update(backup, in: session)
      var out = brief(backup, view)
      if view.version.minor >= 43 { out["metadata"] = .object(backup.metadata) }
      return APIResponse(json: ["backup": .object(out)])
    }
  }

  /// POST `{"restore": {"volume_id"?, "name"?}}` → 202.
  private func restore(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id, now) = (try request.actor(), try request.parameter("backup"), request.now)
    let body = try Reading.object(try await request.object(), "restore")
    let volumeID = try Reading.id(body["volume_id"], "volume_id")
    let name = try Reading.text(body["name"], "name")
    return try await cinder.database.write { session in
      var backup = try own(id, actor, session)
      guard backup.status == .available else {
        throw APIError.badRequest("Invalid backup: Backup status must be available; it is \(backup.status.rawValue).")
      }
      var volume: Volume
      if let volumeID {
        volume = try Lookup.ownVolume(volumeID, actor, session)
        guard volume.status == .available else {
          throw APIError.badRequest(
            "Invalid volume: Volume to be restored to must be available; it is \(volume.status.rawValue).")
        }
        guard volume.size >= backup.size else {
          throw APIError.badRequest(
            "Invalid volume: volume size \(volume.size) is too small to restore backup of size \(backup.size).")
        }
        guard try VolumeSnapshotStore.list(of: volume.id, in: session).isEmpty else {
          throw APIError.badRequest(
            "Invalid volume: it has snapshots, which a restored content would not belong to: restore to a new volume.")
        }
      } else {
        try cinder.requireRoom(
          volumes: 1, gigabytes: backup.size, size: backup.size, project: backup.projectID, in: session)
        let type = try VolumeTypeStore.ensureDefault(at: now, in: session)
        volume = Volume(
          projectID: backup.projectID, userID: actor.userID, size: backup.size, typeID: type.id, createdAt: now)
        volume.name = name ?? "restore_backup_\(backup.id)"
        volume.backend = try cinder.conductor.backend(of: type)
        if let source = try VolumeStore.get(backup.volumeID, in: session) {
          volume.isBootable = source.isBootable
          volume.imageMetadata = source.imageMetadata
        }
      }
      try cinder.conductor.restore(
        &backup, to: &volume, isNew: volumeID == nil, by: Requester(actor, requestID: request.requestID), in: session)
      return APIResponse(
        .accepted,
        json: [
          "restore": [
            "backup_id": .string(backup.id), "volume_id": .string(volume.id), "volume_name": .string(volume.name ?? ""),
          ]
        ])
    }
  }

  private func remove(_ request: APIRequest, isForced: Bool) async throws {
    let (actor, id) = (try request.actor(), try request.parameter("backup"))
    try await cinder.database.write { session in
      var backup = try own(id, actor, session)
      guard isForced || [.available, .error, .errorDeleting].contains(backup.status) else {
        throw APIError.badRequest(
          "Invalid backup: Backup status must be available or error; it is \(backup.status.rawValue).")
      }
      guard try VolumeBackupStore.parents(among: [backup.id], in: session).isEmpty else {
        throw APIError.badRequest("Invalid backup: Incremental backups exist for this backup: delete them first.")
      }
      try cinder.conductor.deleteBackup(&backup, by: Requester(actor, requestID: request.requestID), in: session)
    }
  }

  private func act(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id, now) = (try request.actor(), try request.parameter("backup"), request.now)
    guard actor.isSiteAdmin else {
      throw APIError.forbidden("Policy doesn't allow volume_extension:backup_admin_actions to be performed.")
    }
    let body = try await request.object()
    switch body.members.first?.key {
    case "os-force_delete": try await remove(request, isForced: true)
    case "os-reset_status":
      guard let word = body["os-reset_status"]?["status"]?.string, let status = VolumeBackup.Status(rawValue: word)
      else {
        throw APIError.badRequest("Must specify a valid status.")
      }
      try await cinder.database.write { session in
        var backup = try own(id, actor, session)
        backup.status = status
        backup.updatedAt = now
        try VolumeBackupStore.update(backup, in: session)
      }
    default: throw APIError.badRequest("There is no such action.")
    }
    return .accepted
  }
}
