import Wire

/// The content of a machine's disk, and what it must be.
public struct CapturedDisk: Sendable, Equatable {
  /// A sparse file, as long as the disk.
  public var path: String
  /// The binary form of its block map (`BlockMaps`).
  public var map: [UInt8]
  public init(path: String, map: [UInt8]) {
    self.path = path
    self.map = map
  }
}

/// A store that takes images from their owners only.
extension ImageStoreInterface {
  public var largestCapture: Int { 0 }
  public var projectLimits: (count: Int, bytes: Int) { (.max, .max) }
  public func take(_ disk: CapturedDisk, as imageID: String, clock: @escaping @Sendable () -> Timestamp) async throws {
    throw DriverError(.unsupported, device: .image(imageID), detail: "no images are made of machines here")
  }
  public func discard(imageID: String) async throws {}
}
