import Cryptography
import Domain
import Store
import Wire

/// Volumes and what belongs to them, and what is asked of them.
extension Fixtures {
  static func volumes(_ box: SecretBox, _ now: Timestamp, in session: any Session) throws {
    var type = VolumeType(id: MatrixSite.uuid("type"), name: "fast", isPublic: false, createdAt: now)
    type.extraSpecs = ["blue": "1"]
    try VolumeTypeStore.insert(type, in: session)
    try VolumeTypeStore.allow(MatrixSite.id("project-friend"), to: type.id, in: session)
    let usual = try VolumeTypeStore.ensureDefault(at: now, in: session)
    for side in ["tenant", "elsewhere"] {
      let project = MatrixSite.id("project-\(side)"), user = MatrixSite.id("user-\(side)")
      var volume = Volume(
        id: MatrixSite.uuid("volume-\(side)"), projectID: project, userID: user, size: 1, typeID: usual.id,
        createdAt: now)
      volume.name = "v-\(side)"
      volume.status = .available
      volume.metadata = ["blue": "1"]
      volume.imageMetadata = ["blue": "1"]
      try VolumeStore.insert(volume, in: session)
      var snapshot = VolumeSnapshot(
        id: MatrixSite.uuid("snapshot-\(side)"), volumeID: volume.id, projectID: project, userID: user, size: 1,
        createdAt: now)
      snapshot.status = .available
      snapshot.metadata = ["blue": "1"]
      try VolumeSnapshotStore.insert(snapshot, in: session)
      // Another one, which is attached and offered.
      var other = Volume(
        id: MatrixSite.uuid("attached-\(side)"), projectID: project, userID: user, size: 1, typeID: usual.id,
        createdAt: now)
      other.status = .inUse
      try VolumeStore.insert(other, in: session)
      var attachment = VolumeAttachment(
        id: MatrixSite.uuid("attachment-\(side)"), volumeID: other.id, projectID: project, password: "hunter2",
        createdAt: now)
      attachment.status = .attached
      attachment.connector = ["initiator": .string("iqn.2026-11.test:\(side)")]
      try VolumeAttachmentStore.insert(attachment, box: box, in: session)
      var transfer = VolumeTransfer(
        volumeID: other.id, sourceProjectID: project, keyHash: Digest.sha256Hex("key"), createdAt: now)
      transfer.id = MatrixSite.uuid("transfer-\(side)")
      try VolumeTransferStore.insert(transfer, in: session)
      var backup = VolumeBackup(volumeID: volume.id, projectID: project, userID: user, size: 1, createdAt: now)
      backup.id = MatrixSite.uuid("backup-\(side)")
      backup.name = "b-\(side)"
      backup.status = .available
      try VolumeBackupStore.insert(backup, in: session)
    }
  }

  /// Names of things that belong to nobody.
  static func volumeFixed(_ name: String) -> String? {
    switch name {
    case "type": MatrixSite.uuid("type")
    case "key": "blue"
    case "alias": "os-quota-sets"
    case "class": "default"
    default: nil
    }
  }
  static let volumeKinds: Set<String> = ["volume", "snapshot", "attachment", "transfer", "backup", "project"]

  static let volumeBodies: [String: JSON] = {
    let volume = "/v3/volumes/{volume}", snapshot = "/v3/snapshots/{snapshot}", type = "/v3/types/{type}"
    let bodies: [String: JSON] = [
      "POST /v3/volumes": ["volume": ["size": 1]], "PUT \(volume)": ["volume": ["name": "x"]],
      "POST \(volume)/metadata": ["metadata": ["a": "b"]], "PUT \(volume)/metadata": ["metadata": ["a": "b"]],
      "PUT \(volume)/metadata/{key}": ["meta": ["blue": "b"]],
      "POST \(volume)/action": ["os-extend": ["new_size": 2]],
      "POST /v3/snapshots": ["snapshot": ["volume_id": .string(MatrixSite.uuid("volume-tenant"))]],
      "PUT \(snapshot)": ["snapshot": ["name": "x"]],
      "POST \(snapshot)/metadata": ["metadata": ["a": "b"]], "PUT \(snapshot)/metadata": ["metadata": ["a": "b"]],
      "PUT \(snapshot)/metadata/{key}": ["meta": ["blue": "b"]],
      "POST \(snapshot)/action": ["os-reset_status": ["status": "available"]],
      "POST /v3/types": ["volume_type": ["name": "new"]], "PUT \(type)": ["volume_type": ["description": "x"]],
      "POST \(type)/extra_specs": ["extra_specs": ["a": "b"]], "PUT \(type)/extra_specs/{key}": ["blue": "2"],
      "POST \(type)/action": ["addProjectAccess": ["project": .string(MatrixSite.tenant)]],
      "POST /v3/attachments": ["attachment": ["volume_uuid": .string(MatrixSite.uuid("volume-tenant"))]],
      "PUT /v3/attachments/{attachment}": ["attachment": ["connector": ["initiator": "iqn.2026-11.test:new"]]],
      "POST /v3/attachments/{attachment}/action": ["os-complete": [:]],
      "POST /v3/volume-transfers": ["transfer": ["volume_id": .string(MatrixSite.uuid("volume-tenant"))]],
      "POST /v3/os-volume-transfer": ["transfer": ["volume_id": .string(MatrixSite.uuid("volume-tenant"))]],
      // With the right key it is anybody's, as upstream.
      "POST /v3/volume-transfers/{transfer}/accept": ["accept": ["auth_key": "wrong"]],
      "POST /v3/os-volume-transfer/{transfer}/accept": ["accept": ["auth_key": "wrong"]],
      "POST /v3/backups": ["backup": ["volume_id": .string(MatrixSite.uuid("volume-tenant"))]],
      "PUT /v3/backups/{backup}": ["backup": ["name": "x"]], "POST /v3/backups/{backup}/restore": ["restore": [:]],
      "POST /v3/backups/{backup}/action": ["os-reset_status": ["status": "available"]],
      "PUT /v3/os-quota-sets/{project}": ["quota_set": ["volumes": 5]],
    ]
    return bodies.reduce(into: [:]) { $0["cinder \($1.key)"] = $1.value }
  }()
}
