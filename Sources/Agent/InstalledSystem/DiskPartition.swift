/// A partition of a disk, read within its bounds.
struct DiskPartition {
  let device: BlockDevice
  /// In bytes.
  let range: Range<Int>
  /// What GRUB calls it: "hd0,gpt1", "hd0,msdos1".
  let name: String

  /// - Throws: ``AgentError`` when the bytes are not all inside.
  func read(_ count: Int, at offset: Int) throws -> [UInt8] {
    guard offset >= 0, count >= 0, offset <= range.count - count else {
      throw AgentError(.refused, "the file system of \(name) leads out of its partition")
    }
    return try device.read(count, at: range.lowerBound + offset)
  }

  /// The partitions of a disk, in the order of its table.
  /// - Throws: ``AgentError`` when the table is damaged, or there is none.
  static func all(of device: BlockDevice) throws -> [DiskPartition] {
    if let table = try GUIDPartitionTable(of: device) {
      return try table.places().map { place in
        DiskPartition(device: device, range: place.range.clamped(to: 0..<device.size), name: "hd0,gpt\(place.slot + 1)")
      }
    }
    guard let record = try MasterBootRecord(of: device) else {
      throw AgentError(.refused, "the disk has no partition table")
    }
    return record.places.map { place in
      DiskPartition(device: device, range: place.range.clamped(to: 0..<device.size), name: "hd0,msdos\(place.slot + 1)")
    }
  }
}
