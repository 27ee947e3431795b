import Wire

/// A volume of a server, from the moment on in which it is asked for. Source: Nova API v2.1, "Servers with volume attachments".
///
/// How the machine reaches it is its ``VolumeAttachment``; this is what the server knows of it, and what becomes of it when the
/// server goes. It stays while the server has no machine.
public struct ServerVolume: Sendable, Equatable {
  /// `bdm_uuid`.
  public var id: String
  public var serverID: String
  public var volumeID: String
  /// 0 for the volume that the machine boots from; nil for one that it does not boot from.
  public var bootIndex: Int?
  /// Whether the volume goes with the server.
  public var deletesOnTermination: Bool
  /// The volume's role, for the system.
  public var tag: String?
  /// "/dev/sdb": what the server calls it. The system may call it otherwise.
  public var device: String?
  public var createdAt: Timestamp

  public init(
    id: String = Identifier.uuid(), serverID: String, volumeID: String, bootIndex: Int? = nil,
    deletesOnTermination: Bool = false, createdAt: Timestamp
  ) {
    self.id = id
    self.serverID = serverID
    self.volumeID = volumeID
    self.bootIndex = bootIndex
    self.deletesOnTermination = deletesOnTermination
    self.createdAt = createdAt
  }
  public var isBoot: Bool { bootIndex == 0 }

  /// The first name of a SCSI disk that is not among `taken`; nil when all are.
  public static func freeDevice(besides taken: Set<String>, isBoot: Bool) -> String? {
    let letters = "abcdefghijklmnopqrstuvwxyz"
    return letters.dropFirst(isBoot ? 0 : 1).map { "/dev/sd\($0)" }.first { !taken.contains($0) }
  }
}

/// A volume that a server is to have: one that is there, or one that is made for it. Source: Nova API v2.1, "Create Server",
/// `block_device_mapping_v2`.
public struct ServerVolumeOrder: Sendable, Equatable {
  public enum Source: Sendable, Equatable {
    case volume(String)
    case image(String)
    case snapshot(String)
    case blank
  }
  public var source: Source
  /// GiB, for one that is made; nil for the size of a snapshot.
  public var size: Int?
  /// Name or id of the type of one that is made.
  public var type: String?
  public var bootIndex: Int?
  public var deletesOnTermination: Bool
  public var tag: String?
  public var device: String?

  public init(_ source: Source) {
    self.source = source
    deletesOnTermination = false
  }
  public var isBoot: Bool { bootIndex == 0 }
}
