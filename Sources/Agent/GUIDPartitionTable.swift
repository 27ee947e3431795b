import Wire

/// A GUID partition table as it is on a disk (UEFI specification 2.10, section 5.3).
///
/// An image carries a table made for its own size. On a larger disk the backup copy is not at the end, where firmware
/// and tools look for it, and the space behind the image cannot be used. ``stretch(toSectors:)`` repairs that.
struct GUIDPartitionTable {
  static let linuxFilesystem = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
  /// What a Linux root file system may be in: "Linux filesystem", and the roots of x86-64 and AArch64.
  /// Source: UAPI Group, "Discoverable Partitions Specification".
  private static let growing = [
    linuxFilesystem, "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709", "B921B045-1DF0-41C3-AF44-4C6F280D3FAE",
  ].map(mixedEndian)

  private var header: [UInt8]
  private var entries: [UInt8]
  private let sectorSize: Int
  private let entrySize: Int
  private let entryCount: Int
  private let entriesBlock: Int
  private let oldBackup: Int
  private(set) var firstUsable: Int
  private(set) var lastUsable: Int
  /// ``lastUsable`` of the image.
  private let imageEnd: Int

  /// Reads the primary table; nil when there is none.
  /// - Throws: ``AgentError`` when there is one that is damaged: a table is not changed on a guess.
  init?(of device: BlockDevice) throws {
    sectorSize = device.sectorSize
    guard device.size >= sectorSize * 6 else { return nil }
    header = try device.read(sectorSize, at: sectorSize)
    guard header.starts(with: Array("EFI PART".utf8)) else { return nil }
    let headerSize = Int(header.little32(12))
    guard (92...sectorSize).contains(headerSize) else { throw Self.damaged("its header's size is wrong") }
    var unsigned = Array(header[..<headerSize])
    unsigned.set32(16, 0)
    guard crc32(unsigned) == header.little32(16) else { throw Self.damaged("its header's checksum is wrong") }
    let sectors = device.size / sectorSize
    guard let first = header.block(40), let last = header.block(48), let backup = header.block(32),
      let place = header.block(72), first <= last, header.block(24) == 1
    else { throw Self.damaged("its block numbers are wrong") }
    (firstUsable, lastUsable, oldBackup, entriesBlock) = (first, last, backup, place)
    imageEnd = last
    entryCount = Int(header.little32(80))
    entrySize = Int(header.little32(84))
    guard (128...4096).contains(entrySize), entrySize % 128 == 0, (1...1024).contains(entryCount) else {
      throw Self.damaged("it has \(entryCount) entries of \(entrySize) bytes")
    }
    let blocks = (entryCount * entrySize + sectorSize - 1) / sectorSize
    guard entriesBlock >= 2, entriesBlock + blocks <= firstUsable, firstUsable < sectors else {
      throw Self.damaged("its entries overlap what they describe")
    }
    entries = try device.read(blocks * sectorSize, at: entriesBlock * sectorSize)
    guard crc32(entries[..<(entryCount * entrySize)]) == header.little32(88) else {
      throw Self.damaged("its entries' checksum is wrong")
    }
  }

  private static func damaged(_ why: String) -> AgentError {
    AgentError(.refused, "The image's GUID partition table is damaged: \(why).")
  }

  private var entryBlocks: Int { entries.count / sectorSize }

  /// First and last block of every partition.
  private func partitions() throws -> [(slot: Int, first: Int, last: Int)] {
    try (0..<entryCount).compactMap { slot in
      let at = slot * entrySize
      guard entries[at..<(at + 16)].contains(where: { $0 != 0 }) else { return nil }
      guard let first = entries.block(at + 32), let last = entries.block(at + 40), first <= last else {
        throw Self.damaged("partition \(slot + 1) ends before it begins")
      }
      return (slot, first, last)
    }
  }

  /// The partitions, in bytes.
  func places() throws -> [(slot: Int, range: Range<Int>)] {
    try partitions().map { ($0.slot, ($0.first * sectorSize)..<(($0.last + 1) * sectorSize)) }
  }

  /// Makes the table fit a disk of `sectors` sectors: the backup goes to its end, the space in between becomes usable.
  mutating func stretch(toSectors sectors: Int) throws {
    let last = sectors - 2 - entryBlocks
    let end = try partitions().map(\.last).max() ?? firstUsable
    guard last >= end else {
      throw AgentError(
        .refused,
        "The image's last partition ends at sector \(end), and the disk's last usable sector is \(last).")
    }
    lastUsable = last
    header.set64(32, UInt64(sectors - 1))
    header.set64(48, UInt64(last))
  }

  /// Lets the last partition end before `end` (a byte; the end of the usable space with nil), if it is one of Linux that ended where
  /// the image's usable space did.
  /// - Returns: whether it has grown.
  mutating func growLast(before end: Int?) throws -> Bool {
    let limit = end.map { $0 / sectorSize - 1 } ?? lastUsable
    guard let last = try partitions().filter({ $0.last <= limit }).max(by: { $0.last < $1.last }), last.last < limit,
      last.last + DiskLayout.slack / sectorSize >= imageEnd
    else { return false }
    let at = last.slot * entrySize
    guard Self.growing.contains(Array(entries[at..<(at + 16)])) else { return false }
    entries.set64(at + 40, UInt64(limit))
    return true
  }

  /// Adds a Linux partition of at least `bytes` at the end of the usable space, in a slot behind all others.
  /// - Returns: its place on the disk in bytes.
  mutating func append(bytes: Int, name: String) throws -> Range<Int> {
    let used = try partitions()
    let slot = (used.map(\.slot).max() ?? -1) + 1
    guard slot < entryCount else {
      throw AgentError(.refused, "The image's partition table has no free slot for the config drive.")
    }
    let mebibyte = (1 << 20) / sectorSize
    let wanted = max(1, (bytes + (1 << 20) - 1) >> 20) * mebibyte
    let start = (lastUsable + 1 - wanted) / mebibyte * mebibyte
    let end = (used.map(\.last).max() ?? (firstUsable - 1)) + 1
    guard start >= max(end, firstUsable) else {
      throw AgentError(.refused, "Behind the image's partitions is no room for a config drive of \(bytes) bytes.")
    }
    let at = slot * entrySize
    entries.replaceSubrange(at..<(at + entrySize), with: repeatElement(0, count: entrySize))
    entries.replaceSubrange(at..<(at + 16), with: Self.mixedEndian(Self.linuxFilesystem))
    entries.replaceSubrange((at + 16)..<(at + 32), with: Self.mixedEndian(Identifier.uuid()))
    entries.set64(at + 32, UInt64(start))
    entries.set64(at + 40, UInt64(start + wanted - 1))
    for (index, unit) in name.utf16.prefix(36).enumerated() {
      entries[at + 56 + index * 2] = UInt8(truncatingIfNeeded: unit)
      entries[at + 57 + index * 2] = UInt8(truncatingIfNeeded: unit >> 8)
    }
    return (start * sectorSize)..<((start + wanted) * sectorSize)
  }

  /// Takes out the last partition of a name.
  /// - Returns: its place on the disk in bytes; nil when there is none.
  mutating func remove(named name: String) throws -> Range<Int>? {
    var wanted: [UInt8] = []
    for unit in name.utf16 { wanted += [UInt8(truncatingIfNeeded: unit), UInt8(truncatingIfNeeded: unit >> 8)] }
    wanted += [0, 0]
    let found = try partitions().last { partition in
      let at = partition.slot * entrySize + 56
      return entries[at..<(at + min(wanted.count, 72))].elementsEqual(wanted.prefix(72))
    }
    guard let found else { return nil }
    let at = found.slot * entrySize
    entries.replaceSubrange(at..<(at + entrySize), with: repeatElement(0, count: entrySize))
    return (found.first * sectorSize)..<((found.last + 1) * sectorSize)
  }

  /// Both copies as ``write(to:)`` would write them, and where.
  func pieces(sectors: Int) -> [(offset: Int, bytes: [UInt8])] {
    let checksum = crc32(entries[..<(entryCount * entrySize)])
    let backup = sectors - 1 - entryBlocks
    return [
      (backup * sectorSize, entries),
      ((sectors - 1) * sectorSize, signed(own: sectors - 1, other: 1, entriesAt: backup, checksum)),
      (entriesBlock * sectorSize, entries),
      (sectorSize, signed(own: 1, other: sectors - 1, entriesAt: entriesBlock, checksum)),
    ]
  }

  /// Writes both copies and the protective boot record's size; the backup first, so that one good copy is there at
  /// any moment.
  func write(to device: BlockDevice) throws {
    let sectors = device.size / sectorSize
    let checksum = crc32(entries[..<(entryCount * entrySize)])
    let backup = signed(own: sectors - 1, other: 1, entriesAt: sectors - 1 - entryBlocks, checksum)
    try device.write(entries, at: (sectors - 1 - entryBlocks) * sectorSize)
    try device.write(backup, at: (sectors - 1) * sectorSize)
    try device.sync()
    try device.write(entries, at: entriesBlock * sectorSize)
    try device.write(signed(own: 1, other: sectors - 1, entriesAt: entriesBlock, checksum), at: sectorSize)
    try eraseOldBackup(on: device)
    var record = try device.read(512, at: 0)
    if record[450] == 0xee, record.little32(454) == 1 {
      record.set32(458, UInt32(min(sectors - 1, 0xffff_ffff)))
      try device.write(record, at: 0)
    }
    try device.sync()
  }

  private func signed(own: Int, other: Int, entriesAt: Int, _ checksum: UInt32) -> [UInt8] {
    var copy = header
    copy.set64(24, UInt64(own))
    copy.set64(32, UInt64(other))
    copy.set64(72, UInt64(entriesAt))
    copy.set32(88, checksum)
    copy.set32(16, 0)
    copy.set32(16, crc32(copy[..<Int(copy.little32(12))]))
    return copy
  }

  /// The image's own backup header would now lie in the middle of free space and confuse tools that search for one.
  private func eraseOldBackup(on device: BlockDevice) throws {
    guard oldBackup > 1, oldBackup < lastUsable,
      try !partitions().contains(where: { ($0.first...$0.last).contains(oldBackup) })
    else { return }
    let found = try device.read(8, at: oldBackup * sectorSize)
    guard found == Array("EFI PART".utf8) else { return }
    try device.write([UInt8](repeating: 0, count: sectorSize), at: oldBackup * sectorSize)
  }

  /// A GUID's 16 bytes: the first three groups little endian (appendix A of the specification).
  static func mixedEndian(_ uuid: String) -> [UInt8] {
    let digits = Array(uuid.utf8.filter { $0 != UInt8(ascii: "-") })
    let bytes = stride(from: 0, to: digits.count - 1, by: 2).map { at in
      UInt8(String(decoding: digits[at..<(at + 2)], as: UTF8.self), radix: 16) ?? 0
    }
    guard bytes.count == 16 else { return [UInt8](repeating: 0, count: 16) }
    return [3, 2, 1, 0, 5, 4, 7, 6].map { bytes[$0] } + bytes[8...]
  }
}

/// CRC-32 as GPT, zlib and Ethernet use it (polynomial 0xEDB88320).
func crc32(_ bytes: some Sequence<UInt8>) -> UInt32 {
  var crc: UInt32 = 0xffff_ffff
  for byte in bytes { crc = (crc >> 8) ^ crcTable[Int(UInt8(truncatingIfNeeded: crc) ^ byte)] }
  return ~crc
}

private let crcTable: [UInt32] = (0..<256).map { byte in
  (0..<8).reduce(UInt32(byte)) { value, _ in (value >> 1) ^ (value & 1 == 1 ? 0xedb8_8320 : 0) }
}

extension Array<UInt8> {
  /// Little-endian numbers at a byte offset; the caller knows that they are inside.
  func little16(_ at: Int) -> UInt16 { UInt16(self[at]) | UInt16(self[at + 1]) << 8 }
  func little32(_ at: Int) -> UInt32 { (0..<4).reduce(0) { $0 | UInt32(self[at + $1]) << UInt32($1 * 8) } }
  func little64(_ at: Int) -> UInt64 { (0..<8).reduce(0) { $0 | UInt64(self[at + $1]) << UInt64($1 * 8) } }
  /// A block number that arithmetic cannot overflow with (2^48 blocks is more than any disk); else nil.
  func block(_ at: Int) -> Int? {
    let value = little64(at)
    return value < 1 << 48 ? Int(value) : nil
  }
  mutating func set32(_ at: Int, _ value: UInt32) {
    for byte in 0..<4 { self[at + byte] = UInt8(truncatingIfNeeded: value >> UInt32(byte * 8)) }
  }
  mutating func set64(_ at: Int, _ value: UInt64) {
    for byte in 0..<8 { self[at + byte] = UInt8(truncatingIfNeeded: value >> UInt64(byte * 8)) }
  }
}
