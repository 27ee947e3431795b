/// A disk's classic partition table: four primary partitions in the first sector.
struct MasterBootRecord {
  private var sector: [UInt8]
  private let sectorSize: Int
  private let sectors: Int

  /// Reads it; nil when the first sector is something else (a file system's boot sector has the same signature, but
  /// no plausible partitions) or only protects a GUID table.
  init?(of device: BlockDevice) throws {
    sector = try device.read(512, at: 0)
    sectorSize = device.sectorSize
    sectors = device.size / device.sectorSize
    guard sector[510] == 0x55, sector[511] == 0xaa else { return nil }
    let used = (0..<4).filter { type($0) != 0 }
    guard !used.isEmpty, !used.contains(where: { type($0) == 0xee }) else { return nil }
    let plausible = (0..<4).allSatisfy { slot in
      let status = sector[446 + slot * 16]
      return (status == 0 || status == 0x80) && (type(slot) == 0 || (first(slot) > 0 && count(slot) > 0))
    }
    guard plausible, used.allSatisfy({ first($0) + count($0) <= sectors }) else { return nil }
  }

  private func type(_ slot: Int) -> UInt8 { sector[446 + slot * 16 + 4] }
  private func first(_ slot: Int) -> Int { Int(sector.little32(446 + slot * 16 + 8)) }
  private func count(_ slot: Int) -> Int { Int(sector.little32(446 + slot * 16 + 12)) }

  /// Adds a Linux partition of at least `bytes` at the end of the disk, or of the 2 TiB that 32 bits reach.
  /// - Returns: its place on the disk in bytes.
  mutating func append(bytes: Int) throws -> Range<Int> {
    let lastUsed = (0..<4).last { type($0) != 0 } ?? -1
    guard let slot = (0..<4).first(where: { $0 > lastUsed }) ?? (0..<4).first(where: { type($0) == 0 }) else {
      throw AgentError(.refused, "The image has four primary partitions: there is none left for the config drive.")
    }
    let mebibyte = (1 << 20) / sectorSize
    let wanted = max(1, (bytes + (1 << 20) - 1) >> 20) * mebibyte
    let start = (min(sectors, 0xffff_ffff) - wanted) / mebibyte * mebibyte
    let end = (0..<4).filter { type($0) != 0 }.map { first($0) + count($0) }.max() ?? 1
    guard start >= max(end, 1) else {
      throw AgentError(.refused, "Behind the image's partitions is no room for a config drive of \(bytes) bytes.")
    }
    let at = 446 + slot * 16
    // Cylinder, head and sector of 1023/254/63: "see the block numbers".
    sector.replaceSubrange(at..<(at + 8), with: [0, 0xfe, 0xff, 0xff, 0x83, 0xfe, 0xff, 0xff])
    sector.set32(at + 8, UInt32(start))
    sector.set32(at + 12, UInt32(wanted))
    return (start * sectorSize)..<((start + wanted) * sectorSize)
  }

  /// Lets the last partition end before `end` (a byte; as far as 32 bits reach with nil), if it is one of Linux that ended where the
  /// image did.
  /// - Parameter imageSize: bytes of the image.
  /// - Returns: whether it has grown.
  mutating func growLast(before end: Int?, imageSize: Int) -> Bool {
    let limit = end.map { $0 / sectorSize } ?? min(sectors, 0xffff_ffff)
    let used = (0..<4).filter { type($0) != 0 && first($0) + count($0) <= limit }
    guard let last = used.max(by: { first($0) + count($0) < first($1) + count($1) }), type(last) == 0x83,
      first(last) + count(last) < limit, (first(last) + count(last)) * sectorSize + DiskLayout.slack >= imageSize
    else { return false }
    sector.set32(446 + last * 16 + 12, UInt32(limit - first(last)))
    return true
  }

  /// The first sector.
  var bytes: [UInt8] { sector }
  /// The primary partitions, in bytes.
  var places: [(slot: Int, range: Range<Int>)] {
    (0..<4).filter { type($0) != 0 }.map { slot in
      (slot, (first(slot) * sectorSize)..<((first(slot) + count(slot)) * sectorSize))
    }
  }
  mutating func remove(_ slot: Int) {
    let at = 446 + slot * 16
    sector.replaceSubrange(at..<(at + 16), with: repeatElement(0, count: 16))
  }

  func write(to device: BlockDevice) throws {
    try device.write(sector, at: 0)
    try device.sync()
  }
}
