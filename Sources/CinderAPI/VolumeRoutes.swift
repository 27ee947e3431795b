import APISupport
import Conductor
import Domain
import HTTPTypes
import Store
import Wire

/// `/v3/volumes`. Source: Block Storage API reference v3, "Volumes".
struct VolumeRoutes: Sendable {
  let cinder: CinderAPI

  var endpoints: [Endpoint] {
    [
      Endpoint(.get, "/v3/volumes", .authenticated, "Lists volumes") { try await list($0, isDetailed: false) },
      Endpoint(.get, "/v3/volumes/detail", .authenticated, "Lists volumes with details") {
        try await list($0, isDetailed: true)
      },
      Endpoint(.get, "/v3/volumes/summary", .authenticated, "Counts volumes and GiB", handler: summary),
      Endpoint(.post, "/v3/volumes", .member("create"), "Makes a volume", handler: create),
      Endpoint(.get, "/v3/volumes/{volume}", .authenticated, "Shows a volume", handler: show),
      Endpoint(.put, "/v3/volumes/{volume}", .member("update"), "Renames or describes a volume", handler: update),
      Endpoint(.delete, "/v3/volumes/{volume}", .member("delete"), "Deletes a volume", handler: delete),
    ]
  }

  /// Everything that the views of these volumes need, in two statements.
  private func shown(
    _ volumes: [Volume], _ view: VolumeView, isBrief: Bool = false, in session: any Session
  ) throws -> (Volume) -> JSON {
    let types = Dictionary(
      try VolumeTypeStore.list(visibleTo: nil, in: session).map { ($0.id, $0.name) },
      uniquingKeysWith: { first, _ in first })
    let attachments = try VolumeAttachmentStore.list(
      ofVolumes: volumes.filter { ![.available, .creating].contains($0.status) }.map(\.id),
      box: cinder.database.secrets, in: session)
    return { view.full($0, type: types[$0.typeID], attachments: attachments[$0.id] ?? [], isBrief: isBrief) }
  }

  private func list(_ request: APIRequest, isDetailed: Bool) async throws -> APIResponse {
    let view = try VolumeView(request, zone: cinder.settings.availabilityZone)
    let query = try VolumeQuery(
      request, .volumes, isDetailed: isDetailed, zone: view.zone, longestPage: cinder.settings.longestPage)
    let actor = try request.actor()
    return try await cinder.database.read { session in
      if let marker = query.listing.marker { _ = try Lookup.volume(marker, actor, session) }
      let volumes = try VolumeStore.list(query.listing, in: session)
      let count = query.wantsCount ? try VolumeStore.count(query.listing, in: session) : nil
      let full = isDetailed ? try shown(volumes, view, in: session) : nil
      return query.answer(request, volumes, count: count, id: \.id) { full?($0) ?? view.brief($0) }
    }
  }

  private func summary(_ request: APIRequest) async throws -> APIResponse {
    try VolumeMicroversion.require(12, request)
    var query = try VolumeQuery(
      request, .volumes, isDetailed: false, zone: cinder.settings.availabilityZone,
      longestPage: cinder.settings.longestPage)
    query.listing.limit = nil
    query.listing.marker = nil
    let hasMetadata = try VolumeMicroversion(request).minor >= 36
    let volumes = try await cinder.database.read { [query] session in try VolumeStore.list(query.listing, in: session) }
    var out: JSONObject = [
      "total_count": .int(volumes.count), "total_size": .int(volumes.reduce(0) { $0 + $1.size }),
    ]
    if hasMetadata {
      var values: [String: Set<String>] = [:]
      for volume in volumes {
        for pair in volume.metadata { values[pair.key, default: []].insert(pair.value.string ?? "") }
      }
      out["metadata"] = .object(
        values.sorted { $0.key < $1.key }.reduce(into: JSONObject()) { $0[$1.key] = JSON($1.value.sorted()) })
    }
    return APIResponse(json: ["volume-summary": .object(out)])
  }

  private func show(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id) = (try request.actor(), try request.parameter("volume"))
    let view = try VolumeView(request, zone: cinder.settings.availabilityZone)
    return try await cinder.database.read { session in
      let volume = try Lookup.volume(id, actor, session)
      return APIResponse(json: ["volume": try shown([volume], view, in: session)(volume)])
    }
  }

  private func update(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id, now) = (try request.actor(), try request.parameter("volume"), request.now)
    let view = try VolumeView(request, zone: cinder.settings.availabilityZone)
    let body = try Reading.object(try await request.object(), "volume")
    guard
      body.keys.contains(where: {
        ["name", "description", "display_name", "display_description", "metadata"].contains($0)
      })
    else { throw APIError.badRequest("volume: name, description or metadata is expected.") }
    return try await cinder.database.write { session in
      var volume = try Lookup.ownVolume(id, actor, session)
      for member in body {
        switch member.key {
        case "name", "display_name": volume.name = try Reading.text(member.value, member.key)
        case "description", "display_description": volume.description = try Reading.text(member.value, member.key)
        case "metadata": volume.metadata = try Reading.metadata(member.value)
        default:
          throw APIError.badRequest(
            "Additional properties are not allowed ('\(member.key.prefix(80))' was unexpected).")
        }
      }
      volume.updatedAt = now
      try VolumeStore.update(volume, in: session)
      return APIResponse(json: ["volume": try shown([volume], view, isBrief: true, in: session)(volume)])
    }
  }

  private func delete(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id) = (try request.actor(), try request.parameter("volume"))
    let isCascade = try request.query.bool("cascade") ?? false
    let isForced = try request.query.bool("force") ?? false
    try await cinder.database.write { session in
      var volume = try Lookup.ownVolume(id, actor, session)
      if isForced, !actor.isSiteAdmin {
        throw APIError.forbidden("Policy doesn't allow volume:force_delete to be performed.")
      }
      try requireDeletable(volume, isForced: isForced, in: session)
      try cinder.conductor.deleteVolume(
        &volume, cascade: isCascade, by: Requester(actor, requestID: request.requestID), in: session)
    }
    return .accepted
  }
  /// - Throws: 400 in the words of upstream.
  func requireDeletable(_ volume: Volume, isForced: Bool, in session: any Session) throws {
    let attachments =
      try VolumeAttachmentStore.list(
        ofVolumes: [volume.id], box: cinder.database.secrets, in: session)[volume.id] ?? []
    guard attachments.isEmpty else {
      throw APIError.badRequest("Invalid volume: Volume \(volume.id) is still attached, detach volume first.")
    }
    guard isForced || Volume.deletable.contains(volume.status) else {
      throw APIError.badRequest(
        "Invalid volume: Volume status must be available or error or error_restoring or error_extending or error_managing and must not be migrating, attached, belong to a group, have snapshots, awaiting a transfer, or be disassociated from snapshots after volume transfer; it is \(volume.status.rawValue)."
      )
    }
  }

  // MARK: Making one

  private static let members: Set<String> = [
    "size", "name", "description", "availability_zone", "volume_type", "metadata", "imageRef", "image_id",
    "snapshot_id", "source_volid", "consistencygroup_id", "backup_id", "multiattach", "group_id", "display_name",
    "display_description", "user_id", "project_id", "status", "attach_status", "source_replica", "scheduler_hints",
  ]

  /// POST /v3/volumes `{"volume": {"size", …}}` → 202.
  private func create(_ request: APIRequest) async throws -> APIResponse {
    let (actor, now) = (try request.actor(), request.now)
    let view = try VolumeView(request, zone: cinder.settings.availabilityZone)
    let body = try Reading.object(try await request.object(), "volume")
    if let other = body.keys.first(where: { !Self.members.contains($0) }) {
      throw APIError.badRequest("Additional properties are not allowed ('\(other.prefix(80))' was unexpected).")
    }
    if try Reading.bool(body["multiattach"], "multiattach") == true {
      throw APIError.badRequest("A volume of several machines at once (multiattach) is not offered here.")
    }
    if let zone = body["availability_zone"]?.string, zone != view.zone {
      throw APIError.badRequest("Availability zone '\(zone.prefix(80))' is invalid: there is \(view.zone).")
    }
    for name in ["consistencygroup_id", "group_id"] where body[name].map({ !$0.isNull }) ?? false {
      throw APIError.badRequest("Groups of volumes are not offered here: leave \(name) out.")
    }
    return try await cinder.database.write { session in
      let (volume, type) = try make(
        body, for: actor, by: Requester(actor, requestID: request.requestID), at: now, in: session)
      return APIResponse(
        .accepted, json: ["volume": view.full(volume, type: type.name, attachments: [], isBrief: true)],
        headers: [.location: "\(request.serviceURL)/v3/volumes/\(volume.id)"])
    }
  }

  /// Makes a volume of the caller's project; its content comes by a workflow.
  func make(
    _ body: JSONObject, for actor: Actor, by requester: Requester, at now: Timestamp, in session: any Session
  ) throws -> (volume: Volume, type: VolumeType) {
    guard let project = actor.projectID else {
      throw APIError.badRequest("The token has no project: a volume belongs to one.")
    }
    let source = try Source(body, actor, session)
    let type = try type(body["volume_type"], source, actor, at: now, session)
    let size = try size(body["size"], source)
    try cinder.requireRoom(volumes: 1, gigabytes: size, size: size, project: project, in: session)
    var volume = Volume(projectID: project, userID: actor.userID, size: size, typeID: type.id, createdAt: now)
    volume.name = try Reading.text(body["name"] ?? body["display_name"], "name")
    volume.description = try Reading.text(body["description"] ?? body["display_description"], "description")
    volume.metadata = try Reading.metadata(body["metadata"])
    volume.snapshotID = source.snapshot?.id
    volume.sourceVolumeID = source.volume?.id
    if let image = source.image {
      volume.isBootable = true
      volume.imageMetadata = Self.metadata(of: image)
    } else if let parent = source.parent {
      volume.isBootable = parent.isBootable
      volume.imageMetadata = parent.imageMetadata
    }
    try cinder.conductor.createVolume(&volume, type: type, image: source.image?.id, by: requester, in: session)
    return (volume, type)
  }

  /// What a new volume is made from: one thing at most.
  private struct Source {
    var snapshot: VolumeSnapshot?
    var volume: Volume?
    var image: Image?
    /// The volume whose properties it inherits.
    var parent: Volume?

    init(_ body: JSONObject, _ actor: Actor, _ session: any Session) throws {
      let named = ["snapshot_id", "source_volid", "imageRef", "image_id", "backup_id"].filter {
        body[$0].map { !$0.isNull && $0.string != "" } ?? false
      }
      guard named.count <= 1 else {
        throw APIError.badRequest("A volume has one source: choose one of \(named.joined(separator: ", ")).")
      }
      if body["backup_id"].map({ !$0.isNull }) ?? false {
        throw APIError.badRequest("Restore a backup with POST /backups/ID/restore; a volume is made by it.")
      }
      if let id = try Reading.id(body["snapshot_id"], "snapshot_id") {
        let found = try Lookup.snapshot(id, actor, session)
        guard found.status == .available else {
          throw APIError.badRequest(
            "Invalid snapshot: Originating snapshot status must be one of 'available' values; it is \(found.status.rawValue)."
          )
        }
        snapshot = found
        parent = try VolumeStore.get(found.volumeID, in: session)
      }
      if let id = try Reading.id(body["source_volid"], "source_volid") {
        let found = try Lookup.volume(id, actor, session)
        guard [.available, .inUse].contains(found.status) else {
          throw APIError.badRequest(
            "Invalid volume: the source volume must be available or in-use; it is \(found.status.rawValue).")
        }
        volume = found
        parent = found
      }
      if let id = try Reading.id(body["imageRef"] ?? body["image_id"], "imageRef") {
        guard let found = try ImageStore.get(id, seenBy: actor, in: session) else {
          throw APIError.badRequest("Invalid image identifier or unable to access requested image.")
        }
        guard found.status == .active else {
          throw APIError.badRequest("Image \(id) is not active: its status is \(found.status.rawValue).")
        }
        image = found
      }
    }
  }

  private func type(_ value: JSON?, _ source: Source, _ actor: Actor, at now: Timestamp, _ session: any Session) throws
    -> VolumeType
  {
    if let ident = value?.string, !ident.isEmpty { return try Lookup.type(ident, actor, session) }
    if let parent = source.parent, let type = try VolumeTypeStore.get(parent.typeID, in: session) { return type }
    return try VolumeTypeStore.ensureDefault(at: now, in: session)
  }

  private func size(_ value: JSON?, _ source: Source) throws -> Int {
    let asked = try Reading.size(value)
    let least = source.snapshot?.size ?? source.volume?.size
    guard let size = asked ?? least else {
      throw APIError.badRequest("Invalid input received: size is missing: name it in GiB.")
    }
    if let least, size < least {
      throw APIError.badRequest(
        "Invalid input received: Volume size '\(size)'GB cannot be smaller than original volume size \(least)GB. They must be >= original volume size."
      )
    }
    if let image = source.image {
      let bytes = max(image.virtualSize ?? 0, image.diskFormat == "raw" ? image.size ?? 0 : 0)
      let needed = max(image.minDisk, (bytes + (1 << 30) - 1) >> 30)
      guard size >= needed else {
        throw APIError.badRequest(
          "Invalid input received: Size of specified image \(needed)GB is larger than volume size \(size)GB.")
      }
    }
    return size
  }

  /// What a volume remembers of its image.
  static func metadata(of image: Image) -> JSONObject {
    var out: JSONObject = [
      "image_id": .string(image.id), "image_name": .string(image.name ?? ""),
      "checksum": .string(image.md5 ?? ""), "container_format": .string(image.containerFormat ?? ""),
      "disk_format": .string(image.diskFormat ?? ""), "min_disk": .string("\(image.minDisk)"),
      "min_ram": .string("\(image.minRAM)"), "size": .string("\(image.size ?? 0)"),
    ]
    // What came of a schedule's image is not the schedule's to delete.
    for pair in image.properties where pair.key != DiskBackupSchedule.imageProperty {
      out[pair.key] = .string(pair.value.string ?? pair.value.description)
    }
    return out
  }
}
