import APISupport
import Conductor
import Domain
import HTTPTypes
import Store
import Wire

/// `/v3/volumes/{volume}/action`. Source: Block Storage API reference v3, "Volume actions".
struct VolumeActionRoutes: Sendable {
  let cinder: CinderAPI

  var endpoints: [Endpoint] {
    [
      Endpoint(.post, "/v3/volumes/{volume}/action", .member("action"), "Does something to a volume", handler: act)
    ]
  }

  private func act(_ request: APIRequest) async throws -> APIResponse {
    let body = try await request.object()
    guard body.count == 1, let action = body.members.first else {
      throw APIError.badRequest("The body must have one action.")
    }
    let value = action.value.object ?? [:]
    switch action.key {
    case "os-extend": return try await extend(request, value)
    case "revert": return try await revert(request, value)
    case "os-reset_status": return try await reset(request, value)
    case "os-force_delete": return try await forceDelete(request)
    case "os-set_bootable":
      guard let flag = try Reading.bool(value["bootable"], "bootable") else {
        throw APIError.badRequest("Must specify bootable in request.")
      }
      return try await change(request, .ok) { $0.isBootable = flag }
    case "os-update_readonly_flag":
      guard let flag = try Reading.bool(value["readonly"], "readonly") else {
        throw APIError.badRequest("Must specify readonly in request.")
      }
      return try await change(request) { volume in
        try Self.require([.available], volume, to: "change its readonly flag")
        volume.isReadOnly = flag
        volume.metadata["readonly"] = flag ? "True" : "False"
      }
    case "os-set_image_metadata":
      let given = try Reading.metadata(.object(try Reading.object(value, "metadata")))
      return try await change(
        request, .ok, { volume in for pair in given { volume.imageMetadata[pair.key] = pair.value } },
        answer: { ["metadata": .object($0.imageMetadata)] })
    case "os-unset_image_metadata":
      guard let key = value["key"]?.string else { throw APIError.badRequest("key is missing.") }
      return try await change(request, .ok) { volume in
        guard volume.imageMetadata[key] != nil else {
          throw APIError.notFound("Metadata does not have the key \(key.prefix(255)).")
        }
        volume.imageMetadata[key] = nil
      }
    case "os-show_image_metadata":
      let (actor, id) = (try request.actor(), try request.parameter("volume"))
      let volume = try await cinder.database.read { try Lookup.volume(id, actor, $0) }
      return APIResponse(json: ["metadata": .object(volume.imageMetadata)])
    case "os-retype": return try await retype(request, value)
    case "os-reserve":
      return try await change(request) { volume in
        try Self.require([.available], volume, to: "reserve it")
        volume.status = .reserved
      }
    case "os-unreserve":
      let (actor, id) = (try request.actor(), try request.parameter("volume"))
      try await cinder.database.read { session in
        try AttachmentRoutes.requireNoShelvedServer(try Lookup.ownVolume(id, actor, session), in: session)
      }
      return try await change(request) { volume in if volume.status == .reserved { volume.status = .available } }
    case "os-begin_detaching":
      return try await change(request) { volume in
        try Self.require([.inUse], volume, to: "detach it")
        volume.status = .detaching
      }
    case "os-roll_detaching":
      return try await change(request) { volume in if volume.status == .detaching { volume.status = .inUse } }
    case "os-attach": return try await attach(request, value)
    case "os-detach", "os-force_detach": return try await detach(request, value, isForced: action.key != "os-detach")
    case "os-initialize_connection": return try await connect(request, value)
    case "os-terminate_connection": return try await disconnect(request)
    case "os-volume_upload_image": return try await upload(request, value)
    case "os-migrate_volume", "os-migrate_volume_completion", "os-unmanage", "os-reimage",
      "os-extend_volume_completion":
      throw APIError.badRequest(
        "The action \(action.key) is not offered here: make a new volume from this one instead.")
    default:
      throw APIError.badRequest("There is no such action: \(action.key.prefix(80))")
    }
  }

  private static func require(_ statuses: [Volume.Status], _ volume: Volume, to verb: String) throws {
    guard statuses.contains(volume.status) else {
      let words = statuses.map(\.rawValue).joined(separator: " or ")
      throw APIError.badRequest(
        "Invalid volume: Volume \(volume.id) status must be \(words) to \(verb), but current status is: \(volume.status.rawValue)."
      )
    }
  }
  private func change(
    _ request: APIRequest, _ status: HTTPResponse.Status = .accepted,
    _ body: @escaping @Sendable (inout Volume) throws -> Void,
    answer: (@Sendable (Volume) -> JSON)? = nil
  ) async throws -> APIResponse {
    let (actor, id, now) = (try request.actor(), try request.parameter("volume"), request.now)
    return try await cinder.database.write { session in
      var volume = try Lookup.ownVolume(id, actor, session)
      try body(&volume)
      volume.updatedAt = now
      try VolumeStore.update(volume, in: session)
      if let answer { return APIResponse(status, json: answer(volume)) }
      return APIResponse(status)
    }
  }

  private func extend(_ request: APIRequest, _ value: JSONObject) async throws -> APIResponse {
    guard let size = try Reading.size(value["new_size"]) else { throw APIError.badRequest("new_size is missing.") }
    let (actor, id) = (try request.actor(), try request.parameter("volume"))
    let mayBeInUse = try VolumeMicroversion(request).minor >= 42
    try await cinder.database.write { session in
      var volume = try Lookup.ownVolume(id, actor, session)
      try Self.require(mayBeInUse ? [.available, .inUse] : [.available], volume, to: "extend it")
      guard size > volume.size else {
        throw APIError.badRequest(
          "Invalid input received: New size for extend must be greater than current size. (current: \(volume.size), extended: \(size))."
        )
      }
      try cinder.requireRoom(
        volumes: 0, gigabytes: size - volume.size, size: size, project: volume.projectID, in: session)
      try cinder.conductor.extendVolume(
        &volume, to: size, by: Requester(actor, requestID: request.requestID), in: session)
    }
    return .accepted
  }

  private func revert(_ request: APIRequest, _ value: JSONObject) async throws -> APIResponse {
    try VolumeMicroversion.require(40, request)
    guard let snapshotID = try Reading.id(value["snapshot_id"], "snapshot_id") else {
      throw APIError.badRequest("snapshot_id is missing.")
    }
    let (actor, id) = (try request.actor(), try request.parameter("volume"))
    try await cinder.database.write { session in
      var volume = try Lookup.ownVolume(id, actor, session)
      let snapshot = try Lookup.ownSnapshot(snapshotID, actor, session)
      guard snapshot.volumeID == volume.id else {
        throw APIError.badRequest("Invalid snapshot: Snapshot \(snapshot.id) doesn't belong to volume \(volume.id).")
      }
      guard snapshot.status == .available else {
        throw APIError.badRequest("Invalid snapshot: it is \(snapshot.status.rawValue).")
      }
      try Self.require([.available], volume, to: "revert it")
      guard snapshot.size == volume.size else {
        throw APIError.badRequest(
          "Invalid volume: the volume was extended after the snapshot was made: make a volume from the snapshot instead."
        )
      }
      try cinder.conductor.revertVolume(
        &volume, to: snapshot, by: Requester(actor, requestID: request.requestID), in: session)
    }
    return .accepted
  }

  private func reset(_ request: APIRequest, _ value: JSONObject) async throws -> APIResponse {
    guard try request.actor().isSiteAdmin else {
      throw APIError.forbidden(
        "Policy doesn't allow volume_extension:volume_admin_actions:reset_status:Volume to be performed.")
    }
    let word = value["status"]?.string
    guard word != nil || value["attach_status"] != nil || value["migration_status"] != nil else {
      throw APIError.badRequest("status, attach_status or migration_status is expected.")
    }
    return try await change(request) { volume in
      guard let word else { return }
      guard let status = Volume.Status(rawValue: word) else {
        throw APIError.badRequest("Must specify a valid status: '\(word.prefix(80))' is none.")
      }
      volume.status = status
      if !word.hasPrefix("error") { volume.fault = nil }
    }
  }

  private func forceDelete(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id) = (try request.actor(), try request.parameter("volume"))
    guard actor.isSiteAdmin else {
      throw APIError.forbidden(
        "Policy doesn't allow volume_extension:volume_admin_actions:force_delete:Volume to be performed.")
    }
    let routes = VolumeRoutes(cinder: cinder)
    try await cinder.database.write { session in
      var volume = try Lookup.ownVolume(id, actor, session)
      try routes.requireDeletable(volume, isForced: true, in: session)
      try cinder.conductor.deleteVolume(
        &volume, cascade: false, by: Requester(actor, requestID: request.requestID), in: session)
    }
    return .accepted
  }

  /// Only a change of words: to a backend of another name the content would have to move.
  private func retype(_ request: APIRequest, _ value: JSONObject) async throws -> APIResponse {
    guard let ident = value["new_type"]?.string, !ident.isEmpty else {
      throw APIError.badRequest("new_type is missing.")
    }
    let (actor, id, now) = (try request.actor(), try request.parameter("volume"), request.now)
    try await cinder.database.write { session in
      var volume = try Lookup.ownVolume(id, actor, session)
      try Self.require([.available, .inUse], volume, to: "retype it")
      let type = try Lookup.type(ident, actor, session)
      guard try cinder.conductor.backend(of: type) == volume.backend else {
        throw APIError.badRequest(
          "Retype to \(type.name) would move the volume to another backend, which is not offered: make a new volume from it."
        )
      }
      volume.typeID = type.id
      volume.updatedAt = now
      try VolumeStore.update(volume, in: session)
    }
    return .accepted
  }

  // MARK: Attachments in the words of before 3.27

  private func attach(_ request: APIRequest, _ value: JSONObject) async throws -> APIResponse {
    let (actor, id, now) = (try request.actor(), try request.parameter("volume"), request.now)
    let mode = value["mode"]?.string ?? "rw"
    guard ["rw", "ro"].contains(mode) else { throw APIError.badRequest("mode must be rw or ro.") }
    let instance = try Reading.id(value["instance_uuid"], "instance_uuid")
    let host = try Reading.text(value["host_name"], "host_name")
    guard instance != nil || host != nil else {
      throw APIError.badRequest(
        "Invalid request to attach volume to an invalid target: name instance_uuid or host_name.")
    }
    try await cinder.database.write { session in
      var volume = try Lookup.ownVolume(id, actor, session)
      try Self.require([.available, .reserved, .attaching], volume, to: "attach it")
      try AttachmentRoutes.requireNoShelvedServer(volume, in: session)
      let open = try VolumeAttachmentStore.list(ofVolumes: [volume.id], box: cinder.database.secrets, in: session)[
        volume.id]
      // What os-initialize_connection made, if that came before.
      var attachment = try open?.first ?? cinder.conductor.reserve(&volume, in: session)
      attachment.instanceID = instance
      attachment.mountpoint = try Reading.text(value["mountpoint"], "mountpoint")
      attachment.isReadOnly = mode == "ro"
      if let host { attachment.connector["host"] = .string(host) }
      attachment.status = .attached
      attachment.attachedAt = now
      try VolumeAttachmentStore.update(attachment, in: session)
      volume.status = .inUse
      volume.updatedAt = now
      try VolumeStore.update(volume, in: session)
    }
    return .accepted
  }

  private func detach(_ request: APIRequest, _ value: JSONObject, isForced: Bool) async throws -> APIResponse {
    let (actor, id) = (try request.actor(), try request.parameter("volume"))
    guard !isForced || actor.isSiteAdmin else {
      throw APIError.forbidden(
        "Policy doesn't allow volume_extension:volume_admin_actions:force_detach to be performed.")
    }
    let named = try Reading.id(value["attachment_id"], "attachment_id")
    try await cinder.database.write { session in
      var volume = try Lookup.ownVolume(id, actor, session)
      let attachments =
        try VolumeAttachmentStore.list(
          ofVolumes: [volume.id], box: cinder.database.secrets, in: session)[volume.id] ?? []
      guard var attachment = attachments.first(where: { named == nil || $0.id == named }) else {
        if isForced || volume.status == .inUse || volume.status == .detaching {
          throw APIError.notFound("Volume attachment \(named ?? "") could not be found.")
        }
        throw APIError.badRequest(
          "Invalid volume: Unable to detach volume. Volume status must be 'in-use' and attach_status must be 'attached' to detach."
        )
      }
      try AttachmentRoutes.requireNoServer(attachment, in: session)
      try cinder.conductor.detachVolume(&attachment, by: Requester(actor, requestID: request.requestID), in: session)
      // Whatever it was said to be, it is free when its target is gone.
      if isForced {
        volume.status = .detaching
        volume.fault = nil
        try VolumeStore.update(volume, in: session)
      }
    }
    return .accepted
  }

  private func connect(_ request: APIRequest, _ value: JSONObject) async throws -> APIResponse {
    let (actor, id) = (try request.actor(), try request.parameter("volume"))
    let connector = try AttachmentRoutes.connector(value["connector"])
    let attachment = try await cinder.database.write { session in
      var volume = try Lookup.ownVolume(id, actor, session)
      try Self.require([.available, .reserved, .attaching, .inUse], volume, to: "connect it")
      try AttachmentRoutes.requireNoShelvedServer(volume, in: session)
      let open = try VolumeAttachmentStore.list(ofVolumes: [volume.id], box: cinder.database.secrets, in: session)[
        volume.id]
      var attachment = try open?.first ?? cinder.conductor.reserve(&volume, in: session)
      attachment.connector = connector
      try cinder.conductor.attachVolume(
        &attachment, of: &volume, by: Requester(actor, requestID: request.requestID), in: session)
      return attachment
    }
    let routes = AttachmentRoutes(cinder: cinder)
    return APIResponse(json: ["connection_info": try await routes.connection(attachment.id)])
  }
  private func disconnect(_ request: APIRequest) async throws -> APIResponse {
    try await detach(request, [:], isForced: false)
  }
}
