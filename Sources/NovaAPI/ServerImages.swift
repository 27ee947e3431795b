import APISupport
import Conductor
import Domain
import Store
import Wire

/// The action `createImage`. Source: Nova API reference, "Create Image".
///
/// Of a server on its own disk the agent reads the disk. Of one that boots from a volume, at once: snapshots of its volumes, and an image
/// without content that says to make volumes from them, as upstream. It stays as long as the snapshots do.
struct ServerImages: Sendable {
  let nova: NovaAPI

  func create(_ request: APIRequest, _ value: JSON) async throws -> APIResponse {
    let (actor, id, version) = (
      try request.actor(), try request.parameter("server"), try nova.microversion(request)
    )
    guard let object = value.object else {
      throw APIError.badRequest("Invalid input for field/attribute createImage: an object is expected.")
    }
    let input = ComputeInput(object)
    try input.allow(["name", "metadata"])
    guard let name = try input.name(isStrict: version.minor >= 1) else {
      throw APIError.badRequest("'name' is a required property")
    }
    let metadata = try input.value("metadata").map {
      try ComputeInput.metadata($0, most: nova.quotas.metadataItems)
    }
    let image = try await nova.database.write { session in
      let row = try Lookup.changeable(id, actor, session)
      if let task = row.condition.taskState {
        throw APIError.conflict("Cannot 'createImage' instance \(id) while it is in task_state \(task)")
      }
      guard [.active, .shutoff].contains(row.condition.status) else {
        throw APIError.conflict("Cannot 'createImage' instance \(id) while it is in vm_state \(row.condition.vmState)")
      }
      var node = try nova.conductor.machine(of: row.server, in: session)
      if nova.conductor.imageSource(of: node) == .localDisk {
        return try capture(&node, of: row.server, name, metadata ?? [:], request, in: session)
      }
      return try make(name, metadata ?? [:], of: row.server, request, in: session)
    }
    if version.minor >= 45 { return APIResponse(.accepted, json: ["image_id": .string(image.id)]) }
    return APIResponse(.accepted, headers: [.location: "\(request.origin)/image/v2/images/\(image.id)"])
  }

  private func capture(
    _ node: inout Node, of server: Server, _ name: String, _ metadata: JSONObject, _ request: APIRequest,
    in session: any Session
  ) throws -> Image {
    let actor = try request.actor()
    let requester = Requester(actor, requestID: request.requestID)
    var image = Image(name: name, owner: server.projectID, visibility: .private, createdAt: request.now)
    image.properties = metadata
    image.properties["user_id"] = .string(actor.userID)
    do { try nova.conductor.capture(&node, as: image, by: requester, in: session) } catch let error as ConductorError {
      throw APIError.conflict(error.description)
    }
    try nova.conductor.record("createImage", server.id, node.reservation, by: requester, in: session)
    return image
  }

  private func make(
    _ name: String, _ metadata: JSONObject, of server: Server, _ request: APIRequest, in session: any Session
  ) throws -> Image {
    let (actor, now) = (try request.actor(), request.now)
    guard let images = nova.images else {
      throw APIError.conflict("This site makes no images of servers: ask the administrator.")
    }
    var mappings: [JSON] = []
    var members: JSONObject = [:]
    for item in try ServerVolumeStore.list(of: server.id, in: session) {
      let snapshot = try translating {
        try nova.requireVolumes().snapshot(
          item.volumeID, name: "snapshot for \(name)", for: actor, requestID: request.requestID, at: now, in: session)
      }
      mappings.append([
        "source_type": "snapshot", "destination_type": "volume", "snapshot_id": .string(snapshot.id),
        "boot_index": JSON(item.bootIndex), "device_name": JSON(item.device), "tag": JSON(item.tag),
        "delete_on_termination": .bool(item.deletesOnTermination), "volume_size": .int(snapshot.size),
        "volume_id": .null, "image_id": .null, "no_device": .null, "disk_bus": .null, "device_type": .null,
        "guest_format": .null, "volume_type": .null,
      ])
      guard item.isBoot, let volume = try VolumeStore.get(item.volumeID, in: session) else { continue }
      members["min_disk"] = .int(volume.size)
      if let base = volume.imageMetadata["image_id"] { members["base_image_ref"] = base }
    }
    for pair in metadata { members[pair.key] = pair.value }
    members["name"] = .string(name)
    members["visibility"] = "private"
    members["bdm_v2"] = "True"
    members["block_device_mapping"] = .string(JSON.array(mappings).description)
    members["instance_uuid"] = .string(server.id)
    var image = try translating { try images.makeImage(members, for: actor, at: now, in: session) }
    // There is nothing to send: the content is the snapshots'.
    image.status = .active
    try ImageStore.update(image, in: session)
    try nova.conductor.record(
      "createImage", server.id, nil, by: Requester(actor, requestID: request.requestID), in: session)
    return image
  }

  /// The volumes that such an image says to make; nil for one with content of its own.
  /// - Throws: 400 when what it says cannot be read: properties are their owner's words.
  static func volumes(of image: Image, _ version: Microversion) throws -> [ServerVolumeOrder]? {
    guard let text = image.properties["block_device_mapping"]?.string, !text.isEmpty, image.size == nil else {
      return nil
    }
    guard let items = try? JSON(parsing: text).array, items.count <= 26 else {
      throw APIError.badRequest("Invalid image metadata: block_device_mapping is no list of mappings.")
    }
    return try items.map { item in
      guard let id = item["snapshot_id"]?.string.flatMap({ ComputeInput.uuid($0) }) else {
        throw APIError.badRequest("Invalid image metadata: a mapping of the image names no snapshot_id.")
      }
      var order = ServerVolumeOrder(.snapshot(id))
      let input = ComputeInput(item.object ?? [:])
      order.bootIndex = try input.int("boot_index", -1...1000).flatMap { $0 < 0 ? nil : $0 }
      order.size = try input.int("volume_size", 1...Volume.largestSize)
      order.deletesOnTermination = try input.bool("delete_on_termination") ?? false
      order.tag = try input.value("tag").map { try ServerDraft.tag($0.string) }
      order.device = try BlockDevices.deviceName(input, "device_name")
      return order
    }
  }
}
