/// What is done to a disk's partition table after an image was written.
enum DiskLayout {
  /// Repairs a GUID table for the disk's size and puts the config drive into a new last partition.
  /// - Returns: a line for the log.
  /// - Throws: ``AgentError`` when there is a config drive and no table to put it in.
  static func finish(_ device: BlockDevice, configDrive: [UInt8]?) throws -> String {
    let table: GUIDPartitionTable?
    do { table = try GUIDPartitionTable(of: device) } catch {
      // Nothing asks for a change: the image's owner gets what he sent.
      guard configDrive == nil else { throw error }
      return "\(error); it is left as it is"
    }
    if var table {
      try table.stretch(toSectors: device.size / device.sectorSize)
      guard let configDrive else {
        try table.write(to: device)
        return "the GUID partition table fits the disk now"
      }
      let place = try table.append(bytes: configDrive.count, name: "config-2")
      try put(configDrive, at: place, on: device)
      try table.write(to: device)
      return "the GUID partition table fits the disk now; the config drive is at byte \(place.lowerBound)"
    }
    guard let configDrive else { return "the image has no GUID partition table: nothing to repair" }
    guard var record = try MasterBootRecord(of: device) else {
      throw AgentError(
        .refused, "The image has no partition table, so the config drive has no place on \(device.path).")
    }
    let place = try record.append(bytes: configDrive.count)
    try put(configDrive, at: place, on: device)
    try record.write(to: device)
    return "the config drive is a primary partition at byte \(place.lowerBound)"
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
