import APISupport
import Conductor
import Domain
import Store
import Wire

/// `/v3/attachments`. Source: Block Storage API reference v3, "Attachments".
///
/// An attachment has an initiator's name and a secret of its own. Only who may change the volume sees the secret, in
/// `connection_info`, as upstream.
struct AttachmentRoutes: Sendable {
  let cinder: CinderAPI

  var endpoints: [Endpoint] {
    [
      Endpoint(.get, "/v3/attachments", .authenticated, "Lists attachments") { try await list($0, isDetailed: false) },
      Endpoint(.get, "/v3/attachments/detail", .authenticated, "Lists attachments with details") {
        try await list($0, isDetailed: true)
      },
      Endpoint(.get, "/v3/attachments/summary", .authenticated, "Lists attachments") {
        try await list($0, isDetailed: false)
      },
      Endpoint(
        .post, "/v3/attachments", .member("attachment:create"), "Reserves a volume for a machine", handler: create),
      Endpoint(.get, "/v3/attachments/{attachment}", .authenticated, "Shows an attachment", handler: show),
      Endpoint(
        .put, "/v3/attachments/{attachment}", .member("attachment:update"), "Lets an initiator log in", handler: update),
      Endpoint(
        .post, "/v3/attachments/{attachment}/action", .member("attachment:complete"),
        "Says that the machine has the volume", handler: complete),
      Endpoint(
        .delete, "/v3/attachments/{attachment}", .member("attachment:delete"), "Ends an attachment", handler: delete),
    ]
  }

  private func found(_ id: String, _ actor: Actor, _ session: any Session) throws -> VolumeAttachment {
    guard let attachment = try VolumeAttachmentStore.get(id.lowercased(), box: cinder.database.secrets, in: session),
      VolumePolicy.sees(project: attachment.projectID, actor)
    else { throw APIError.notFound("Volume attachment could not be found with filter: attachment_id = \(id).") }
    return attachment
  }
  private func own(_ id: String, _ actor: Actor, _ session: any Session) throws -> VolumeAttachment {
    let attachment = try found(id, actor, session)
    guard VolumePolicy.mayChange(project: attachment.projectID, actor) else {
      throw APIError.forbidden("Policy doesn't allow you to change attachment \(id).")
    }
    return attachment
  }

  private func brief(_ attachment: VolumeAttachment) -> JSONObject {
    [
      "id": .string(attachment.id), "volume_id": .string(attachment.volumeID),
      "instance": JSON(attachment.instanceID ?? attachment.nodeID), "status": .string(attachment.status.rawValue),
    ]
  }
  private func full(_ attachment: VolumeAttachment, maySeeSecret: Bool) -> JSON {
    var out = brief(attachment)
    out["attach_mode"] = attachment.isReadOnly ? "ro" : "rw"
    out["attached_at"] = JSON(attachment.attachedAt?.iso8601)
    out["detached_at"] = JSON(attachment.detachedAt?.iso8601)
    out["connection_info"] = maySeeSecret ? Self.connection(attachment) : .emptyObject
    return .object(out)
  }
  /// How an initiator reaches the volume. Source: os-brick, connector `iscsi`.
  static func connection(_ attachment: VolumeAttachment) -> JSON {
    guard let target = attachment.access["target_iqn"]?.string else { return .emptyObject }
    let portals = attachment.access["target_portals"]?.array?.compactMap(\.string) ?? []
    let lun = attachment.access["target_lun"]?.int ?? 1
    var out: JSONObject = [
      "driver_volume_type": "iscsi", "target_discovered": false, "target_iqn": .string(target),
      "target_portal": .string(portals.first ?? ""), "target_lun": .int(lun),
      "volume_id": .string(attachment.volumeID), "attachment_id": .string(attachment.id),
      "auth_method": "CHAP", "auth_username": .string(attachment.userName),
      "auth_password": .string(attachment.password),
      "access_mode": attachment.isReadOnly ? "ro" : "rw", "encrypted": false, "qos_specs": nil, "discard": true,
    ]
    // What os-brick knows already: the name by which the machine must log in.
    if let initiator = attachment.initiators.first { out["initiator"] = .string(initiator) }
    if portals.count > 1 {
      out["target_portals"] = JSON(portals)
      out["target_iqns"] = JSON(portals.map { _ in target })
      out["target_luns"] = .array(portals.map { _ in .int(lun) })
    }
    return .object(out)
  }

  /// What an initiator says of itself.
  static func connector(_ value: JSON?) throws -> JSONObject {
    guard let object = value?.object, !object.isEmpty, object.count <= 32 else {
      throw APIError.badRequest("connector is missing: an object with initiator, the machine's iSCSI name.")
    }
    guard let initiator = object["initiator"]?.string, VolumeAttachment.isInitiatorName(initiator) else {
      throw APIError.badRequest("connector.initiator must be an iSCSI name: iqn.YYYY-MM.domain:name.")
    }
    var kept: JSONObject = ["initiator": .string(initiator)]
    for name in ["host", "ip", "platform", "os_type"] {
      if let text = try Reading.text(object[name], name) { kept[name] = .string(text) }
    }
    if let flag = try Reading.bool(object["multipath"], "multipath") { kept["multipath"] = .bool(flag) }
    return kept
  }
  private func list(_ request: APIRequest, isDetailed: Bool) async throws -> APIResponse {
    try VolumeMicroversion.require(27, request)
    let actor = try request.actor()
    let isForAll = try request.query.bool("all_tenants") ?? false
    let scope: VolumePolicy.Scope =
      isForAll && actor.isSiteReader ? .everything : actor.projectID.map { .project($0) } ?? VolumePolicy.scope(actor)
    let all = try await cinder.database.read { session in
      try VolumeAttachmentStore.list(scope, box: cinder.database.secrets, in: session)
    }
    let query = request.query
    let shown = all.filter { attachment in
      (query["volume_id"] ?? attachment.volumeID) == attachment.volumeID
        && (query["instance_id"] ?? attachment.instanceID) == attachment.instanceID
        && (query["status"] ?? attachment.status.rawValue) == attachment.status.rawValue
        && (query["attach_status"] ?? attachment.status.rawValue) == attachment.status.rawValue
    }
    return APIResponse(
      json: ["attachments": .array(shown.map { isDetailed ? full($0, maySeeSecret: false) : .object(brief($0)) })])
  }

  private func show(_ request: APIRequest) async throws -> APIResponse {
    try VolumeMicroversion.require(27, request)
    let (actor, id) = (try request.actor(), try request.parameter("attachment"))
    let attachment = try await cinder.database.read { try found(id, actor, $0) }
    return APIResponse(json: [
      "attachment": full(attachment, maySeeSecret: VolumePolicy.mayChange(project: attachment.projectID, actor))
    ])
  }

  /// POST `{"attachment": {"volume_uuid", "instance_uuid"?, "connector"?, "mode"?}}` → 200.
  private func create(_ request: APIRequest) async throws -> APIResponse {
    try VolumeMicroversion.require(27, request)
    let actor = try request.actor()
    let body = try Reading.object(try await request.object(), "attachment")
    guard let volumeID = try Reading.id(body["volume_uuid"], "volume_uuid") else {
      throw APIError.badRequest("volume_uuid is missing.")
    }
    let instance = try Reading.id(body["instance_uuid"], "instance_uuid")
    let connector = try body["connector"].flatMap {
      $0.isNull || $0.object?.isEmpty == true ? nil : try Self.connector($0)
    }
    let mode = body["mode"]?.string ?? "rw"
    guard ["rw", "ro"].contains(mode) else { throw APIError.badRequest("mode must be rw or ro.") }
    let attachment = try await cinder.database.write { session in
      var volume = try Lookup.ownVolume(volumeID, actor, session)
      try Self.requireNoShelvedServer(volume, in: session)
      guard [.available, .reserved].contains(volume.status) else {
        throw APIError.badRequest(
          "Invalid volume: Volume \(volume.id) status must be available or downloading to reserve, but the current status is \(volume.status.rawValue)."
        )
      }
      var attachment = try cinder.conductor.reserve(&volume, in: session)
      attachment.instanceID = instance
      attachment.isReadOnly = mode == "ro"
      attachment.mountpoint = try Reading.text(body["connector"]?["mountpoint"], "mountpoint")
      if let connector { attachment.connector = connector }
      try VolumeAttachmentStore.update(attachment, in: session)
      if connector != nil {
        try cinder.conductor.attachVolume(
          &attachment, of: &volume, by: Requester(actor, requestID: request.requestID), in: session)
      }
      return attachment
    }
    if connector != nil { _ = try await connection(attachment.id) }
    let now = try await cinder.database.read { try found(attachment.id, actor, $0) }
    return APIResponse(json: ["attachment": full(now, maySeeSecret: true)])
  }

  /// Waits for the target.
  /// - Throws: 409 when there is none in time, or it failed.
  func connection(_ id: String) async throws -> JSON {
    let settled = try await cinder.conductor.settled(attachment: id, within: cinder.settings.attachPatience)
    guard let settled, settled.status == .attached else {
      throw APIError.conflict(
        "The volume's target is not there: try again, and if it stays so ask the administrator, who sees why.")
    }
    return Self.connection(settled)
  }

  private func update(_ request: APIRequest) async throws -> APIResponse {
    try VolumeMicroversion.require(27, request)
    let (actor, id) = (try request.actor(), try request.parameter("attachment"))
    let body = try Reading.object(try await request.object(), "attachment")
    let connector = try Self.connector(body["connector"])
    try await cinder.database.write { session in
      var attachment = try own(id, actor, session)
      guard [.reserved, .error].contains(attachment.status),
        var volume = try VolumeStore.get(attachment.volumeID, in: session)
      else {
        throw APIError.badRequest(
          "Invalid volume: an attachment that is \(attachment.status.rawValue) has its initiator already.")
      }
      try Self.requireNoShelvedServer(volume, in: session)
      attachment.connector = connector
      attachment.mountpoint = try Reading.text(body["connector"]?["mountpoint"], "mountpoint") ?? attachment.mountpoint
      try cinder.conductor.attachVolume(
        &attachment, of: &volume, by: Requester(actor, requestID: request.requestID), in: session)
    }
    _ = try await connection(id.lowercased())
    let now = try await cinder.database.read { try found(id, actor, $0) }
    return APIResponse(json: ["attachment": full(now, maySeeSecret: true)])
  }

  private func complete(_ request: APIRequest) async throws -> APIResponse {
    try VolumeMicroversion.require(44, request)
    let (actor, id) = (try request.actor(), try request.parameter("attachment"))
    guard try await request.object()["os-complete"] != nil else {
      throw APIError.badRequest("The action is os-complete.")
    }
    try await cinder.database.write { session in
      let attachment = try own(id, actor, session)
      guard attachment.status == .attached else {
        throw APIError.badRequest(
          "Invalid volume: the attachment is \(attachment.status.rawValue): give it a connector first.")
      }
    }
    return .noContent
  }

  /// A volume is not cut off behind the back of the server that has it. Source: Cinder, `attachment_deletion_allowed`.
  static func requireNoServer(_ attachment: VolumeAttachment, in session: any Session) throws {
    guard let server = attachment.instanceID,
      try ServerVolumeStore.get(server: server, volume: attachment.volumeID, in: session) != nil
    else { return }
    throw APIError.conflict(
      "Detach volume from instance \(server) using the Compute API (openstack server remove volume).")
  }

  /// What a shelved server has kept is nobody else's.
  static func requireNoShelvedServer(_ volume: Volume, in session: any Session) throws {
    guard volume.status == .reserved, try ServerVolumeStore.isInUse(volume: volume.id, in: session) else { return }
    throw APIError.conflict(
      "Volume \(volume.id) is kept for a server that is shelved: unshelve the server, or take the volume off it (openstack server remove volume)."
    )
  }

  private func delete(_ request: APIRequest) async throws -> APIResponse {
    try VolumeMicroversion.require(27, request)
    let (actor, id) = (try request.actor(), try request.parameter("attachment"))
    let remaining = try await cinder.database.write { session in
      var attachment = try own(id, actor, session)
      try Self.requireNoServer(attachment, in: session)
      guard attachment.status != .attaching else {
        throw APIError.conflict("The attachment is being made: wait until it is.")
      }
      try cinder.conductor.detachVolume(&attachment, by: Requester(actor, requestID: request.requestID), in: session)
      return try VolumeAttachmentStore.list(
        ofVolumes: [attachment.volumeID], box: cinder.database.secrets, in: session)[attachment.volumeID] ?? []
    }
    _ = try await cinder.conductor.settled(attachment: id.lowercased(), within: cinder.settings.attachPatience)
    return APIResponse(json: [
      "attachments": .array(remaining.filter { $0.id != id.lowercased() }.map { .object(brief($0)) })
    ])
  }
}
