import APISupport
import Conductor
import Domain
import HTTPTypes
import Store
import Wire

/// `/servers/{server}/os-volume_attachments`. Source: Nova API reference, "Servers with volume attachments".
struct VolumeAttachmentRoutes: Sendable {
  let nova: NovaAPI

  var endpoints: [Endpoint] {
    let path = "/v2.1/servers/{server}/os-volume_attachments"
    return [
      Endpoint(.get, path, .authenticated, "Lists a server's volumes", handler: list),
      Endpoint(
        .post, path, .member("volumes_attachments:create"), "Attaches a volume to a running server", handler: attach),
      Endpoint(.get, path + "/{volume}", .authenticated, "Shows a volume of a server", handler: show),
      Endpoint(
        .put, path + "/{volume}", .member("volumes_attachments:update"),
        "Says whether a volume goes with its server", handler: update),
      Endpoint(
        .delete, path + "/{volume}", .member("volumes_attachments:delete"), "Takes a volume off a server",
        handler: detach),
    ]
  }

  // MARK: Looking

  private func list(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id, version) = (
      try request.actor(), try request.parameter("server"), try nova.microversion(request)
    )
    let limit = try Page(request.query).limit
    guard let offset = try request.query.int("offset") ?? 0 as Int?, offset >= 0 else {
      throw APIError.badRequest("Invalid input for query parameters offset: a number from 0 on is expected.")
    }
    return try await nova.database.read { session in
      let server = try Lookup.server(id, actor, session).server
      let all = try views(of: server, version, in: session)
      return APIResponse(json: ["volumeAttachments": .array(Array(all.dropFirst(offset).prefix(limit ?? Page.most)))])
    }
  }
  private func show(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id, volume, version) = (
      try request.actor(), try request.parameter("server"), try request.parameter("volume"),
      try nova.microversion(request)
    )
    return try await nova.database.read { session in
      let server = try Lookup.server(id, actor, session).server
      let found = try item(volume, of: server, in: session)
      return APIResponse(json: [
        "volumeAttachment": try views(of: server, version, only: found.volumeID, in: session).first ?? .null
      ])
    }
  }
  private func views(
    of server: Server, _ version: Microversion, only volume: String? = nil, in session: any Session
  ) throws -> [JSON] {
    let attachments = Dictionary(
      try VolumeAttachmentStore.list(ofInstance: server.id, box: nova.database.secrets, in: session).map {
        ($0.volumeID, $0.id)
      }, uniquingKeysWith: { first, _ in first })
    return try ServerVolumeStore.list(of: server.id, in: session).filter { (volume ?? $0.volumeID) == $0.volumeID }.map
    {
      item in
      var out = view(item, version)
      if version.minor >= 89 {
        out["id"] = nil
        out["attachment_id"] = JSON(attachments[item.volumeID])
        out["bdm_uuid"] = .string(item.id)
      }
      return .object(out)
    }
  }
  private func view(_ item: ServerVolume, _ version: Microversion) -> JSONObject {
    var out: JSONObject = [
      "id": .string(item.volumeID), "serverId": .string(item.serverID), "volumeId": .string(item.volumeID),
      "device": JSON(item.device),
    ]
    if version.minor >= 70 { out["tag"] = JSON(item.tag) }
    if version.minor >= 79 { out["delete_on_termination"] = .bool(item.deletesOnTermination) }
    return out
  }
  private func item(_ volume: String, of server: Server, in session: any Session) throws -> ServerVolume {
    guard let id = ComputeInput.uuid(volume),
      let found = try ServerVolumeStore.get(server: server.id, volume: id, in: session)
    else { throw APIError.notFound("Instance \(server.id) is not attached to volume \(volume.prefix(80)).") }
    return found
  }

  // MARK: Changing

  /// POST `{"volumeAttachment": {"volumeId", "device"?, "tag"?, "delete_on_termination"?}}` → 200.
  private func attach(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id, version) = (
      try request.actor(), try request.parameter("server"), try nova.microversion(request)
    )
    let input = try await ComputeInput(request, "volumeAttachment")
    var known: Set<String> = ["volumeId", "device"]
    if version.minor >= 49 { known.insert("tag") }
    if version.minor >= 79 { known.insert("delete_on_termination") }
    try input.allow(known)
    guard input.value("volumeId") != nil else { throw APIError.badRequest("'volumeId' is a required property") }
    guard let volumeID = try input.uuid("volumeId") else {
      throw APIError.badRequest("'volumeId' is a required property")
    }
    let device = try BlockDevices.deviceName(input, "device")
    let tag = try input.value("tag").map { try ServerDraft.tag($0.string) }
    let deletes = try input.bool("delete_on_termination") ?? false
    return try await nova.database.write { session in
      let row = try Lookup.changeable(id, actor, session)
      let known = try ServerVolumeStore.list(of: row.server.id, in: session)
      guard !known.contains(where: { $0.volumeID == volumeID }) else {
        throw APIError.badRequest("Invalid volume: volume \(volumeID) is already attached to instance \(id).")
      }
      let volume = try nova.requireVolumes().freeVolume(volumeID, for: actor, in: session)
      guard volume.projectID == row.server.projectID else {
        throw APIError.notFound("Volume \(volumeID) could not be found.")
      }
      try requireAttachable(row, "attach_volume")
      guard known.count < Self.mostVolumes else {
        throw APIError.forbidden("A server has at most \(Self.mostVolumes) volumes.")
      }
      guard !known.contains(where: { device != nil && $0.device == device }) else {
        throw APIError.conflict("The supplied device path (\(device ?? "")) is in use.")
      }
      var item = ServerVolume(
        serverID: row.server.id, volumeID: volume.id, deletesOnTermination: deletes, createdAt: request.now)
      item.tag = tag
      item.device = device
      let attached = try nova.conductor.attach(
        item, to: row.server, by: Requester(actor, requestID: request.requestID), in: session)
      return APIResponse(json: ["volumeAttachment": .object(view(attached, version))])
    }
  }
  /// As many as there are names of disks. Source: Nova's `max_disk_devices_to_attach` has none.
  private static let mostVolumes = 25

  private func requireAttachable(_ row: ServerRow, _ action: String) throws {
    if let task = row.condition.taskState {
      throw APIError.conflict("Cannot '\(action)' instance \(row.server.id) while it is in task_state \(task)")
    }
    guard [.active, .shutoff].contains(row.condition.status) else {
      throw APIError.conflict(
        "Cannot '\(action)' instance \(row.server.id) while it is in vm_state \(row.condition.vmState)")
    }
  }

  /// PUT `{"volumeAttachment": {"volumeId", "delete_on_termination"}}` → 202; another volume in its place is refused.
  private func update(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id, path, version) = (
      try request.actor(), try request.parameter("server"), try request.parameter("volume"),
      try nova.microversion(request)
    )
    let input = try await ComputeInput(request, "volumeAttachment")
    try input.allow(
      version.minor >= 85
        ? ["volumeId", "device", "tag", "delete_on_termination", "id", "serverId", "attachment_id", "bdm_uuid"]
        : ["volumeId"])
    guard let wanted = try input.uuid("volumeId") else {
      throw APIError.badRequest("'volumeId' is a required property")
    }
    let deletes = version.minor >= 85 ? try input.bool("delete_on_termination") : nil
    try await nova.database.write { session in
      let row = try Lookup.changeable(id, actor, session)
      let found = try item(path, of: row.server, in: session)
      guard wanted == found.volumeID else {
        throw APIError.conflict(
          "A machine cannot be given another volume under its running system: detach this one, and attach the other.")
      }
      for (name, value) in [("id", found.volumeID), ("serverId", row.server.id), ("bdm_uuid", found.id)] {
        guard let text = try input.text(name), text.lowercased() != value else { continue }
        throw APIError.badRequest("The \(name) of an attachment cannot be changed.")
      }
      for (name, value) in [("device", found.device), ("tag", found.tag)] where input.has(name) {
        guard try input.text(name) == value else {
          throw APIError.badRequest("The \(name) of an attachment cannot be changed.")
        }
      }
      if let deletes { try ServerVolumeStore.setDeletesOnTermination(deletes, of: found.id, in: session) }
    }
    return .accepted
  }

  private func detach(_ request: APIRequest) async throws -> APIResponse {
    let (actor, id, path) = (
      try request.actor(), try request.parameter("server"), try request.parameter("volume")
    )
    try await nova.database.write { session in
      let row = try Lookup.changeable(id, actor, session)
      let found = try item(path, of: row.server, in: session)
      guard !found.isBoot else { throw APIError.badRequest("Cannot detach a root device volume") }
      if let task = row.condition.taskState {
        throw APIError.conflict("Cannot 'detach_volume' instance \(id) while it is in task_state \(task)")
      }
      try nova.conductor.detach(
        found, from: row.server, by: Requester(actor, requestID: request.requestID), in: session)
    }
    return .accepted
  }
}
