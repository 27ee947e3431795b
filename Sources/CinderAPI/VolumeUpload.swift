import APISupport
import Conductor
import Domain
import Store
import Wire

/// `os-volume_upload_image`: an image with the content of a volume. Source: Block Storage API reference v3, "Upload volume to image".
extension VolumeActionRoutes {
  func upload(_ request: APIRequest, _ value: JSONObject) async throws -> APIResponse {
    let (actor, id, now) = (try request.actor(), try request.parameter("volume"), request.now)
    let version = try VolumeMicroversion(request)
    let view = try VolumeView(request, zone: cinder.settings.availabilityZone)
    guard let images = cinder.images else {
      throw APIError.conflict("This site makes no images of volumes: ask the administrator.")
    }
    guard let name = try Reading.text(value["image_name"], "image_name"), !name.isEmpty else {
      throw APIError.badRequest("image_name is missing.")
    }
    let isForced = try Reading.bool(value["force"], "force") ?? false
    let disk = try Reading.text(value["disk_format"], "disk_format") ?? "raw"
    let container = try Reading.text(value["container_format"], "container_format") ?? "bare"
    guard disk == "raw", container == "bare" else {
      throw APIError.badRequest("A volume becomes an image of disk_format raw and container_format bare.")
    }
    var members: JSONObject = [
      "name": .string(name), "disk_format": .string(disk), "container_format": .string(container),
    ]
    var answer: JSONObject = [:]
    if version.minor >= 1 {
      let visibility = try Reading.text(value["visibility"], "visibility") ?? "private"
      let isProtected = try Reading.bool(value["protected"], "protected") ?? false
      members["visibility"] = .string(visibility)
      members["protected"] = .bool(isProtected)
      answer["visibility"] = .string(visibility)
      answer["protected"] = .bool(isProtected)
    } else {
      members["visibility"] = "private"
      answer["is_public"] = false
    }
    return try await cinder.database.write { [members, answer] session in
      var (members, answer) = (members, answer)
      var volume = try Lookup.ownVolume(id, actor, session)
      guard volume.projectID == actor.projectID || actor.isSiteAdmin else {
        throw APIError.notFound("Volume \(id) could not be found.")
      }
      guard volume.status == .available else {
        throw APIError.badRequest(
          isForced
            ? "Invalid volume: Volume \(volume.id) is \(volume.status.rawValue): make a volume from a snapshot of it, and an image of that."
            : "Invalid volume: Volume \(volume.id) status must be available, but current status is: \(volume.status.rawValue)."
        )
      }
      members["min_disk"] = .int(volume.size)
      let own: Set<String> = [
        "image_id", "image_name", "checksum", "container_format", "disk_format", "min_disk", "size", "min_ram",
        DiskBackupSchedule.imageProperty,
      ]
      for pair in volume.imageMetadata where !own.contains(pair.key) && members[pair.key] == nil {
        members[pair.key] = pair.value
      }
      if let memory = volume.imageMetadata["min_ram"]?.lenientInt { members["min_ram"] = .int(memory) }
      let image = try images.makeImage(members, for: actor, at: now, in: session)
      let type = try VolumeTypeStore.get(volume.typeID, in: session)
      try cinder.conductor.uploadVolume(
        &volume, as: image, by: Requester(actor, requestID: request.requestID), in: session)
      answer["id"] = .string(volume.id)
      answer["updated_at"] = JSON(volume.updatedAt?.iso8601)
      answer["status"] = .string(volume.status.rawValue)
      answer["display_description"] = JSON(volume.description)
      answer["size"] = .int(volume.size)
      answer["volume_type"] = type.map { view.inUpload($0) } ?? .null
      answer["image_id"] = .string(image.id)
      answer["container_format"] = .string(container)
      answer["disk_format"] = .string(disk)
      answer["image_name"] = .string(name)
      return APIResponse(.accepted, json: ["os-volume_upload_image": .object(answer)])
    }
  }
}

extension VolumeView {
  /// A volume's type as the answer to an upload has it, with what only the database of upstream knows.
  fileprivate func inUpload(_ type: VolumeType) -> JSON {
    [
      "id": .string(type.id), "name": .string(type.name), "description": JSON(type.description),
      "is_public": .bool(type.isPublic), "extra_specs": [:], "qos_specs_id": .null,
      "created_at": .string(type.createdAt.iso8601), "updated_at": .null, "deleted": false, "deleted_at": .null,
    ]
  }
}
