import Wire

/// A disk that outlives the machines it is attached to. Source: Block Storage API reference v3, "Volumes".
public struct Volume: Sendable, Equatable {
  /// While a word ends in "-ing" a workflow holds the volume; nothing else may begin. Source: Cinder, "Volume statuses".
  public enum Status: String, Sendable, CaseIterable {
    case creating, available, reserved, attaching, detaching, maintenance, deleting, error
    case inUse = "in-use"
    case awaitingTransfer = "awaiting-transfer"
    case extending, reverting, downloading, uploading, retyping
    case backingUp = "backing-up"
    case restoringBackup = "restoring-backup"
    case errorDeleting = "error_deleting"
    case errorExtending = "error_extending"
    case errorRestoring = "error_restoring"
    case errorBackingUp = "error_backing-up"
  }

  public var id: String
  public var projectID: String
  public var userID: String
  public var name: String?
  public var description: String?
  /// GiB.
  public var size: Int
  public var status: Status
  /// What it was before a backup or an upload; it is that again afterwards.
  public var previousStatus: Status?
  public var typeID: String
  /// Which driver keeps it: "local", "rbd".
  public var backend: String
  public var isBootable: Bool
  public var isReadOnly: Bool
  public var metadata: JSONObject
  /// What is known of the image that it was made from: `image_id`, `image_name`, `disk_format`, `hw_*`.
  public var imageMetadata: JSONObject
  public var snapshotID: String?
  public var sourceVolumeID: String?
  public var backupID: String?
  /// Why it is in an error state, in words.
  public var fault: Reason?
  public var createdAt: Timestamp
  public var updatedAt: Timestamp?

  public init(
    id: String = Identifier.uuid(), projectID: String, userID: String, size: Int, typeID: String, createdAt: Timestamp
  ) {
    self.id = id
    self.projectID = projectID
    self.userID = userID
    self.size = size
    self.typeID = typeID
    self.createdAt = createdAt
    status = .creating
    backend = "local"
    isBootable = false
    isReadOnly = false
    metadata = [:]
    imageMetadata = [:]
  }

  /// Bytes.
  public var length: Int { size << 30 }
  /// 16 TiB: beyond it a qcow2 file's tables and an iSCSI initiator's patience end.
  public static let largestSize = 16_384

  /// The words that a volume may have when it is deleted. Source: Cinder, `volume/api.py`, `delete`.
  public static let deletable: Set<Status> = [
    .available, .error, .errorRestoring, .errorExtending, .errorDeleting, .errorBackingUp, .maintenance,
  ]
}

/// The content of a volume at one time. Source: Block Storage API reference v3, "Volume snapshots".
public struct VolumeSnapshot: Sendable, Equatable {
  public enum Status: String, Sendable, CaseIterable {
    case creating, available, deleting, error, restoring
    case backingUp = "backing-up"
    case errorDeleting = "error_deleting"
  }
  public var id: String
  public var volumeID: String
  public var projectID: String
  public var userID: String
  public var name: String?
  public var description: String?
  /// GiB: the volume's when it was made.
  public var size: Int
  public var status: Status
  public var metadata: JSONObject
  public var createdAt: Timestamp
  public var updatedAt: Timestamp?

  public init(of volume: Volume, userID: String, createdAt: Timestamp) {
    self.init(
      id: Identifier.uuid(), volumeID: volume.id, projectID: volume.projectID, userID: userID, size: volume.size,
      createdAt: createdAt)
  }
  public init(id: String, volumeID: String, projectID: String, userID: String, size: Int, createdAt: Timestamp) {
    self.id = id
    self.volumeID = volumeID
    self.projectID = projectID
    self.userID = userID
    self.size = size
    self.createdAt = createdAt
    status = .creating
    metadata = [:]
  }
}

/// A kind of volume that the site offers. Source: Block Storage API reference v3, "Volume types".
public struct VolumeType: Sendable, Equatable {
  public var id: String
  public var name: String
  public var description: String?
  public var isPublic: Bool
  /// `volume_backend_name` chooses the backend; the other words are the site's own.
  public var extraSpecs: JSONObject
  public var createdAt: Timestamp

  public init(id: String = Identifier.uuid(), name: String, isPublic: Bool = true, createdAt: Timestamp) {
    self.id = id
    self.name = name
    self.isPublic = isPublic
    self.createdAt = createdAt
    extraSpecs = [:]
  }
  /// The type of volumes for which none is named. Source: Cinder, `default_volume_type`.
  public static let defaultName = "__DEFAULT__"
}

/// A volume and the machine that may use it. Source: Block Storage API reference v3, "Attachments".
public struct VolumeAttachment: Sendable, Equatable {
  public enum Status: String, Sendable {
    /// For an instance, with nobody who may log in yet.
    case reserved
    case attaching, attached, detaching
    case error = "error_attaching"
  }
  public var id: String
  public var volumeID: String
  public var projectID: String
  /// The server or, by Ironic's volume targets, the node.
  public var instanceID: String?
  public var nodeID: String?
  /// What the initiator says of itself: `initiator`, `host`, `ip`, `multipath`.
  public var connector: JSONObject
  public var mountpoint: String?
  public var isReadOnly: Bool
  public var status: Status
  /// CHAP, made by the server; the password is sealed in the store.
  public var userName: String
  public var password: String
  /// The target and its portals, once there are any: `target_iqn`, `target_portals`, `target_lun`.
  public var access: JSONObject
  public var createdAt: Timestamp
  public var attachedAt: Timestamp?
  public var detachedAt: Timestamp?

  public init(
    id: String = Identifier.uuid(), volumeID: String, projectID: String, password: String, createdAt: Timestamp
  ) {
    self.id = id
    self.volumeID = volumeID
    self.projectID = projectID
    self.password = password
    self.createdAt = createdAt
    userName = "steelyard-\(id.prefix(8))"
    connector = [:]
    isReadOnly = false
    status = .reserved
    access = [:]
  }

  /// Source: RFC 3720, 3.2.6. What goes into boot scripts and access lists must be of this form.
  public static func isInitiatorName(_ text: String) -> Bool {
    (5...223).contains(text.utf8.count) && ["iqn.", "eui.", "naa."].contains { text.hasPrefix($0) }
      && text.utf8.allSatisfy {
        ($0 >= 48 && $0 <= 58) || ($0 >= 65 && $0 <= 90) || ($0 >= 97 && $0 <= 122) || $0 == 0x2d || $0 == 0x2e
      }
  }
  /// Names of the initiators that may log in.
  public var initiators: [String] { connector["initiator"]?.string.map { [$0] } ?? [] }
}

/// An offer of a volume to another project, taken up with a key. Source: Block Storage API reference v3, "Volume transfers".
public struct VolumeTransfer: Sendable, Equatable {
  public var id: String
  public var volumeID: String
  public var name: String?
  public var sourceProjectID: String
  public var destinationProjectID: String?
  /// SHA-256 of the key, lower-case hex: the key itself is shown once.
  public var keyHash: String
  public var includesSnapshots: Bool
  public var isAccepted: Bool
  public var createdAt: Timestamp

  public init(volumeID: String, sourceProjectID: String, keyHash: String, createdAt: Timestamp) {
    id = Identifier.uuid()
    self.volumeID = volumeID
    self.sourceProjectID = sourceProjectID
    self.keyHash = keyHash
    self.createdAt = createdAt
    includesSnapshots = true
    isAccepted = false
  }
}

/// A copy of a volume's content in the backup store. Source: Block Storage API reference v3, "Backups".
public struct VolumeBackup: Sendable, Equatable {
  public enum Status: String, Sendable, CaseIterable {
    case creating, available, deleting, error, restoring
    case errorDeleting = "error_deleting"
  }
  public var id: String
  /// The volume that it was made of; it may be gone.
  public var volumeID: String
  public var snapshotID: String?
  public var projectID: String
  public var userID: String
  public var name: String?
  public var description: String?
  public var container: String
  /// GiB of the volume.
  public var size: Int
  /// Pieces that this backup brought into the store, beside those that it shares.
  public var objectCount: Int
  public var isIncremental: Bool
  public var status: Status
  public var fault: Reason?
  public var metadata: JSONObject
  /// When the content was as it is in the backup.
  public var dataTimestamp: Timestamp
  public var parentID: String?
  public var createdAt: Timestamp
  public var updatedAt: Timestamp?

  public init(volumeID: String, projectID: String, userID: String, size: Int, createdAt: Timestamp) {
    id = Identifier.uuid()
    self.volumeID = volumeID
    self.projectID = projectID
    self.userID = userID
    self.size = size
    self.createdAt = createdAt
    dataTimestamp = createdAt
    container = "volumebackups"
    objectCount = 0
    isIncremental = false
    status = .creating
    metadata = [:]
  }
}
