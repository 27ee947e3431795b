import Wire

/// Volumes of one backend, and the iSCSI targets that lead to them.
///
/// Everything bears the UUID of the row it belongs to, so that each verb can be repeated after it was cut short, and the
/// sweeper can find what nobody knows. Verbs of different volumes may run at the same time; the backend makes those of
/// one volume go one after another. Source of the nouns: Block Storage API reference v3.
public protocol VolumeInterface: Sendable {
  /// Makes the volume in constant time, whatever its size. There already with at least this size: nothing is done.
  /// - Parameter size: bytes, a multiple of 512; not smaller than the source.
  /// - Throws: ``DriverError`` `.refused` when the source is not there.
  func ensureVolume(_ volume: String, size: Int, from source: VolumeSource) async throws
  /// Grows the volume, also while it is exported (the target tells initiators its new size where it can).
  func ensureSize(_ volume: String, _ size: Int) async throws
  /// Removes the volume; content that others were made from stays for them. Not there: nothing is done.
  /// - Throws: ``DriverError`` `.busy` while it is exported or read.
  func removeVolume(_ volume: String) async throws

  /// The volume's content now, in constant time, also while it is exported. There already: nothing is done.
  func ensureSnapshot(_ snapshot: String, of volume: String) async throws
  func removeSnapshot(_ snapshot: String, of volume: String) async throws
  /// The volume's content becomes that of its snapshot; other snapshots, newer ones too, stay.
  /// - Throws: ``DriverError`` `.busy` while it is exported or read.
  func revert(_ volume: String, to snapshot: String) async throws

  /// Lets these initiators log in, and nobody else: a target of its own, an access list and a secret.
  ///
  /// Also heals what is there in part: after a crash of a daemon or of the whole machine it brings the target back.
  func ensureExport(_ export: VolumeExport) async throws -> VolumeAccess
  /// Ends sessions and removes the target at once. Not there: nothing is done.
  func removeExport(_ attachment: String) async throws

  /// A file that holds the content as raw bytes, to be read by one who sees holes (`SEEK_HOLE`), until ``removeReading(_:)``.
  ///
  /// Of a volume that is exported: as it is now; make a snapshot for what stands still.
  /// - Parameter reader: names the reading.
  func ensureReading(_ content: VolumeContent, reader: String) async throws -> String
  func removeReading(_ reader: String) async throws

  /// What is there, for the sweeper and `doctor`.
  func inventory() async throws -> VolumeInventory
  /// Ends the daemons and removes all targets; the volumes stay. For the end of a site: a server that ends leaves them
  /// running while machines run from them.
  func stop() async throws
  /// How much room there is. - Returns: bytes, all and free.
  func capacity() async throws -> (total: Int, free: Int)
}

/// What a new volume holds.
public enum VolumeSource: Sendable, Equatable {
  case blank
  /// An image's raw form (``ImageStoreInterface/ensureRaw(imageID:progress:)``). The backend keeps one base for each image
  /// and checksum, which the first volume makes and later ones share.
  case image(RawImage, id: String)
  case snapshot(String, of: String)
  /// Another volume as it is now, also while it is exported.
  case volume(String)
  /// Raw bytes in a file, copied: a restored backup.
  case file(String)
}

public enum VolumeContent: Sendable, Equatable {
  case volume(String)
  case snapshot(String, of: String)
}

/// A volume for one machine.
public struct VolumeExport: Sendable, Equatable {
  /// The attachment's UUID.
  public var attachment: String
  public var volume: String
  /// Names of the initiators that may log in: "iqn.2026-11.org.steelyard:node-…". Empty: nobody may.
  public var initiators: [String]
  /// CHAP: what the initiator says of itself.
  public var userName: String
  public var password: String
  public var isReadOnly: Bool

  public init(
    attachment: String, volume: String, initiators: [String], userName: String, password: String,
    isReadOnly: Bool = false
  ) {
    self.attachment = attachment
    self.volume = volume
    self.initiators = initiators
    self.userName = userName
    self.password = password
    self.isReadOnly = isReadOnly
  }
}

/// Where an exported volume is. Source: RFC 7143.
public struct VolumeAccess: Sendable, Equatable {
  /// The target's name: "iqn.2026-11.org.steelyard:ATTACHMENT".
  public var target: String
  /// "10.79.0.1:3260"; two where two paths lead there.
  public var portals: [String]
  public var lun: Int

  public init(target: String, portals: [String], lun: Int) {
    self.target = target
    self.portals = portals
    self.lun = lun
  }
}

/// UUIDs of what a backend holds.
public struct VolumeInventory: Sendable, Equatable {
  public var volumes: Set<String>
  /// Snapshot to volume.
  public var snapshots: [String: String]
  /// Attachments with a target.
  public var exports: Set<String>
  public var readings: Set<String>

  public init(
    volumes: Set<String> = [], snapshots: [String: String] = [:], exports: Set<String> = [], readings: Set<String> = []
  ) {
    self.volumes = volumes
    self.snapshots = snapshots
    self.exports = exports
    self.readings = readings
  }
}
