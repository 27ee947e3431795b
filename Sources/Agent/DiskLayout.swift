/// What is done to a disk's partition table after an image was written.
enum DiskLayout {
  /// What an image may leave free behind its last partition and still be meant to end with it: its last whole MiB, the backup
  /// table, and the config drive of the deployment that it was captured from.
  static let slack = 66 << 20

  /// Repairs a GUID table for the disk's size, puts the config drive into a new last partition, and lets the image's own last
  /// partition grow up to that. A file system in it is its system's to grow.
  /// - Parameters:
  ///   - imageSize: bytes of the image that was written.
  ///   - growsLast: whether the image's last partition is to grow, if it is one of Linux that ended where the image did.
  /// - Returns: a line for the log.
  /// - Throws: ``AgentError`` when there is a config drive and no table to put it in.
  static func finish(_ device: BlockDevice, configDrive: [UInt8]?, imageSize: Int, growsLast: Bool) throws -> String {
    let table: GUIDPartitionTable?
    do { table = try GUIDPartitionTable(of: device) } catch {
      // Nothing asks for a change: the image's owner gets what he sent.
      guard configDrive == nil else { throw error }
      return "\(error); it is left as it is"
    }
    if var table {
      try table.stretch(toSectors: device.size / device.sectorSize)
      let place = try configDrive.map { try table.append(bytes: $0.count, name: "config-2") }
      let hasGrown = try growsLast && table.growLast(before: place?.lowerBound)
      if let configDrive, let place { try put(configDrive, at: place, on: device) }
      try table.write(to: device)
      return "the GUID partition table fits the disk now" + told(place, hasGrown)
    }
    guard var record = try MasterBootRecord(of: device) else {
      guard configDrive == nil else {
        throw AgentError(
          .refused, "The image has no partition table, so the config drive has no place on \(device.path).")
      }
      return "the image has no partition table: nothing to repair"
    }
    let place = try configDrive.map { try record.append(bytes: $0.count) }
    let hasGrown = growsLast && record.growLast(before: place?.lowerBound, imageSize: imageSize)
    if let configDrive, let place { try put(configDrive, at: place, on: device) }
    if place != nil || hasGrown { try record.write(to: device) }
    return "the image has a classic partition table" + told(place, hasGrown)
  }
  private static func told(_ place: Range<Int>?, _ hasGrown: Bool) -> String {
    (place.map { "; the config drive is at byte \($0.lowerBound)" } ?? "")
      + (hasGrown ? "; the image's last partition reaches up to there" : "")
  }

  /// The bytes, and zeros to the partition's end: nothing of an earlier tenant is left inside.
  private static func put(_ bytes: [UInt8], at place: Range<Int>, on device: BlockDevice) throws {
    try device.zero(place)
    try device.write(bytes, at: place.lowerBound)
  }

  /// Makes a disk whose image was refused unbootable: tables and boot code at both ends become zero.
  static func spoil(_ device: BlockDevice) {
    let edge = min(device.size, 1 << 20)
    _ = try? device.zero(0..<edge)
    _ = try? device.zero((device.size - edge)..<device.size)
    _ = try? device.sync()
  }
}
