import APISupport
import Domain
import Wire

/// How volumes and what belongs to them are shown. Source: Block Storage API reference v3, "Show a volume's details".
struct VolumeView: Sendable {
  let request: APIRequest
  let version: VolumeMicroversion
  let isAdministrator: Bool
  let zone: String

  init(_ request: APIRequest, zone: String) throws {
    self.request = request
    version = try VolumeMicroversion(request)
    isAdministrator = try request.actor().isSiteReader
    self.zone = zone
  }

  func links(_ path: String) -> JSON {
    [
      ["rel": "self", "href": .string("\(request.serviceURL)/v3/\(path)")],
      ["rel": "bookmark", "href": .string("\(request.serviceURL)/\(path)")],
    ]
  }

  func brief(_ volume: Volume) -> JSON {
    ["id": .string(volume.id), "name": .string(volume.name ?? ""), "links": links("volumes/\(volume.id)")]
  }

  /// - Parameters:
  ///   - type: the name of its type.
  ///   - isBrief: as the answer to a change, which leaves out what only a look shows.
  func full(_ volume: Volume, type: String?, attachments: [VolumeAttachment], isBrief: Bool = false) -> JSON {
    var out: JSONObject = [
      "id": .string(volume.id), "status": .string(volume.status.rawValue), "size": .int(volume.size),
      "availability_zone": .string(zone), "created_at": .string(volume.createdAt.iso8601),
      "updated_at": JSON(volume.updatedAt?.iso8601),
      "attachments": .array(attachments.filter { $0.status != .reserved }.map { place($0) }),
      "name": JSON(volume.name), "description": JSON(volume.description), "volume_type": JSON(type),
      "snapshot_id": JSON(volume.snapshotID), "source_volid": JSON(volume.sourceVolumeID),
      "metadata": .object(volume.metadata), "links": links("volumes/\(volume.id)"),
      "user_id": .string(volume.userID), "bootable": .string(volume.isBootable ? "true" : "false"),
      "encrypted": false, "replication_status": nil, "consistencygroup_id": nil, "multiattach": false,
      "migration_status": nil,
    ]
    if !isBrief {
      out["os-vol-tenant-attr:tenant_id"] = .string(volume.projectID)
      if !volume.imageMetadata.isEmpty { out["volume_image_metadata"] = .object(volume.imageMetadata) }
    }
    if isAdministrator, !isBrief {
      out["os-vol-host-attr:host"] = .string("steelyard@\(volume.backend)#\(volume.backend)")
      out["os-vol-mig-status-attr:name_id"] = .null
      out["os-vol-mig-status-attr:migstat"] = .null
    }
    if version.minor >= 13 { out["group_id"] = .null }
    if version.minor >= 21, isAdministrator { out["provider_id"] = .null }
    if version.minor >= 47, let backup = volume.backupID { out["backup_id"] = .string(backup) }
    if version.minor >= 48 {
      out["service_uuid"] = .null
      out["shared_targets"] = version.minor >= 69 ? .null : false
    }
    if version.minor >= 61, isAdministrator { out["cluster_name"] = .null }
    if version.minor >= 63 { out["volume_type_id"] = .string(volume.typeID) }
    if version.minor >= 65 { out["consumes_quota"] = true }
    // What no client of upstream's reads: why it is in error, in words.
    if let fault = volume.fault, volume.status.rawValue.hasPrefix("error") {
      out["fault"] = .string(isAdministrator ? fault.whole : fault.sentence)
    }
    return .object(out)
  }
  /// An attachment as a part of its volume.
  private func place(_ attachment: VolumeAttachment) -> JSON {
    [
      "id": .string(attachment.volumeID), "attachment_id": .string(attachment.id),
      "volume_id": .string(attachment.volumeID), "server_id": JSON(attachment.instanceID ?? attachment.nodeID),
      "host_name": isAdministrator ? JSON(attachment.connector["host"]?.string) : .null,
      "device": JSON(attachment.mountpoint), "attached_at": JSON(attachment.attachedAt?.iso8601),
    ]
  }

  func full(_ snapshot: VolumeSnapshot, isDetailed: Bool = true) -> JSON {
    var out: JSONObject = [
      "id": .string(snapshot.id), "name": JSON(snapshot.name), "description": JSON(snapshot.description),
      "volume_id": .string(snapshot.volumeID), "status": .string(snapshot.status.rawValue),
      "size": .int(snapshot.size), "metadata": .object(snapshot.metadata),
      "created_at": .string(snapshot.createdAt.iso8601), "updated_at": JSON(snapshot.updatedAt?.iso8601),
    ]
    if isDetailed {
      out["os-extended-snapshot-attributes:progress"] = snapshot.status == .available ? "100%" : "0%"
      out["os-extended-snapshot-attributes:project_id"] = .string(snapshot.projectID)
    }
    if version.minor >= 14 { out["group_snapshot_id"] = .null }
    if version.minor >= 41 { out["user_id"] = .string(snapshot.userID) }
    if version.minor >= 65 { out["consumes_quota"] = true }
    return .object(out)
  }

  /// - Parameter isBrief: as the answer to a change.
  func full(_ type: VolumeType, isBrief: Bool = false) -> JSON {
    let specs = type.extraSpecs.filter { isAdministrator || $0.key != "volume_backend_name" }
    var out: JSONObject = [
      "id": .string(type.id), "name": .string(type.name), "description": JSON(type.description),
      "is_public": .bool(type.isPublic), "os-volume-type-access:is_public": .bool(type.isPublic),
      "extra_specs": .object(specs.reduce(into: JSONObject()) { $0[$1.key] = $1.value }),
    ]
    if isAdministrator, !isBrief { out["qos_specs_id"] = .null }
    return .object(out)
  }
}
