import Domain
import Wire

/// DHCP on the provisioning network: which machines may have an address there.
///
/// The boot script itself is not written anywhere: it is computed from the node's state when the machine asks
/// (`AgentAPI`), and a machine with nothing to do boots its local disk.
public protocol BootInterface: Sendable {
  /// Lets these NICs have an address on the provisioning network. Safe to repeat.
  /// - Parameter label: the effect key, kept with the reservation.
  func ensureAdmitted(_ macs: [MACAddress], label: String) async throws
  /// Lets a NIC have this one address, and boot from the volume that the boot server for volumes names. Safe to repeat.
  func ensureVolumeBoot(_ mac: MACAddress, address: String, label: String) async throws
  /// Denies them again: DHCP is silent to them. Safe to repeat, also for NICs never admitted.
  func ensureDenied(_ macs: [MACAddress]) async throws
  /// The NICs admitted now, with their labels: for `doctor` and the sweeper.
  func admitted() async throws -> [MACAddress: String]
}

/// Images on disk, ready to be streamed to an agent.
public protocol ImageStoreInterface: Sendable {
  /// The raw form of an image in the cache, made on first use.
  ///
  /// Safe to call again and from two workflows at once. The source's checksum is verified before anything reads it,
  /// and what it claims to be is checked against its content.
  /// - Parameter progress: told how far it is; those who ask at the same time share one conversion and all hear of it. Not
  ///   called when the raw form is there already.
  /// - Throws: ``DriverError`` `.refused` with a sentence when the content is not what it claims.
  func ensureRaw(imageID: String, progress: @escaping @Sendable (ImageProgress) -> Void) async throws -> RawImage

  /// Takes the raw bytes of a file as the content of an image that has none yet; done before: nothing happens.
  /// - Throws: in words for the image's owner; nothing is left of it then.
  func take(file path: String, as imageID: String, clock: @escaping @Sendable () -> Timestamp) async throws

  /// The form of an image that is deployed: a map of its blocks, and the blocks packed. Made on first use, with the same
  /// promises as ``ensureRaw(imageID:progress:)``.
  func ensurePacked(imageID: String, progress: @escaping @Sendable (ImageProgress) -> Void) async throws -> PackedImage

  /// Reads an image's content as it was uploaded and compares: SHA-256 is not known of it.
  /// - Parameter wanted: SHA-256, lower-case hex.
  /// - Throws: ``DriverError`` `.refused` with a sentence when it is another.
  func requireSHA256(_ wanted: String, imageID: String) async throws

  /// Gives the bytes of an image another name, which stays when the image goes; safe to repeat.
  ///
  /// They are compared with the image's checksum.
  /// - Throws: ``DriverError`` `.refused` with a sentence when there is no such image, it is no plain file, or it has changed.
  func share(imageID: String, as path: String) async throws

  /// Files that belong to no image and that no deployment uses, by what is stored: full paths. Nothing is changed.
  func orphans() async throws -> [String]
  /// Forgets uploads that nobody sends any more, so that their images can be uploaded again and their files are orphans.
  func forgetUploads() async throws

  /// Bytes of the largest disk that an image may be made of.
  var largestCapture: Int { get }
  /// Images that a project may have, and the bytes of all of them.
  var projectLimits: (count: Int, bytes: Int) { get }
  /// Makes the content of a machine's disk the content of an image that is `queued`; safe to repeat.
  ///
  /// Every block is compared with the map, the project's quota is kept; what ends in any other way leaves nothing.
  func take(_ disk: CapturedDisk, as imageID: String, clock: @escaping @Sendable () -> Timestamp) async throws
  /// Removes the content of an image that is about to be deleted; safe to repeat.
  func discard(imageID: String) async throws
}

/// How far the raw form of an image is.
public struct ImageProgress: Sendable, Equatable {
  public enum Phase: String, Sendable {
    case waiting = "waiting for other images to be unpacked"
    case checking = "checking the image"
    case unpacking = "unpacking the image"
    case hashing = "computing the checksum of the unpacked image"
    case packing = "packing the image's blocks"
  }
  public var phase: Phase
  /// Of the whole work: 0 to 1.
  public var fraction: Double
  public init(_ phase: Phase, _ fraction: Double) {
    self.phase = phase
    self.fraction = fraction
  }
}

/// A raw disk image ready to be streamed.
public struct RawImage: Sendable, Equatable {
  public var path: String
  /// Bytes of the disk that it describes.
  public var size: Int
  /// What stands for the bytes, lower-case hex: their SHA-512 where they are what was uploaded, their SHA-256 where they were made
  /// for one machine, a SHA-256 of the blocks that are not zero where they were converted.
  public var digest: String
  public init(path: String, size: Int, digest: String) {
    self.path = path
    self.size = size
    self.digest = digest
  }
}

/// A disk image in the form that is deployed (`BlockMaps`): blocks that are not zero, each with its digest, packed.
public struct PackedImage: Sendable, Equatable {
  /// The file with the map.
  public var map: String
  /// Bytes of the map.
  public var mapSize: Int
  /// SHA-256 of the map, lower-case hex: it stands for the whole disk.
  public var mapSHA256: String
  /// The file with the packed blocks.
  public var blocks: String
  /// Bytes of the disk that it describes.
  public var size: Int
  public init(map: String, mapSize: Int, mapSHA256: String, blocks: String, size: Int) {
    (self.map, self.mapSize, self.mapSHA256, self.blocks, self.size) = (map, mapSize, mapSHA256, blocks, size)
  }
}
