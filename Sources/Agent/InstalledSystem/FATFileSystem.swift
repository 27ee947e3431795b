/// FAT12, FAT16 and FAT32, as EFI system partitions have them.
///
/// Source: Microsoft, "FAT: General Overview of On-Disk Format", version 1.03.
struct FATFileSystem: DiskFileSystem {
  let partition: DiskPartition
  let uuid: String
  let label: String
  let root: FileNode
  private enum Width: Int { case twelve = 12, sixteen = 16, thirtyTwo = 32 }
  private let width: Width
  /// In bytes, like all that follow.
  private let clusterSize: Int
  private let tableStart: Int
  private let tableSize: Int
  private let rootRange: Range<Int>
  private let dataStart: Int
  private let clusters: Int

  /// Nil when the partition has none.
  init?(_ partition: DiskPartition) throws {
    guard partition.range.count >= 8192 else { return nil }
    let block = try partition.read(512, at: 0)
    let sector = Int(block.little16(11)), perCluster = Int(block[13]), reserved = Int(block.little16(14))
    let tables = Int(block[16]), rootEntries = Int(block.little16(17))
    let short = Int(block.little16(19)), tableShort = Int(block.little16(22))
    let sectors = short != 0 ? short : Int(block.little32(32))
    let tableSectors = tableShort != 0 ? tableShort : Int(block.little32(36))
    guard block[510] == 0x55, block[511] == 0xaa, [512, 1024, 2048, 4096].contains(sector),
      perCluster.nonzeroBitCount == 1, reserved > 0, (1...2).contains(tables), tableSectors > 0,
      sectors * sector <= partition.range.count
    else { return nil }
    let rootStart = (reserved + tables * tableSectors) * sector
    let rootBytes = (rootEntries * 32 + sector - 1) / sector * sector
    guard rootStart + rootBytes < sectors * sector else { return nil }
    self.partition = partition
    clusterSize = sector * perCluster
    (tableStart, tableSize) = (reserved * sector, tableSectors * sector)
    rootRange = rootStart..<(rootStart + rootBytes)
    dataStart = rootStart + rootBytes
    clusters = (sectors * sector - dataStart) / clusterSize
    width = clusters < 4085 ? .twelve : clusters < 65525 ? .sixteen : .thirtyTwo
    let about = width == .thirtyTwo ? 67 : 39
    let serial = String(UInt64(block.little32(about)) | 1 << 32, radix: 16).dropFirst()
    uuid = "\(serial.prefix(4))-\(serial.suffix(4))".uppercased()
    label = trimmed(String(decoding: block[(about + 4)..<(about + 15)], as: UTF8.self))
    // Its size is not written anywhere.
    root = FileNode(
      kind: .folder, size: 0, number: width == .thirtyTwo ? Int(block.little32(44)) : 0)
  }
  private func damaged(_ what: String) -> AgentError {
    AgentError(.refused, "the file system of \(partition.name) is damaged: \(what)")
  }

  // MARK: Clusters

  private func following(_ cluster: Int) throws -> Int? {
    func entry(_ at: Int, _ count: Int) throws -> [UInt8] {
      guard at + count <= tableSize else { throw damaged("a cluster is not in its table") }
      return try partition.read(count, at: tableStart + at)
    }
    let next: Int, end: Int
    switch width {
    case .twelve:
      let pair = Int(try entry(cluster * 3 / 2, 2).little16(0))
      (next, end) = (cluster % 2 == 0 ? pair & 0xfff : pair >> 4, 0xff8)
    case .sixteen: (next, end) = (Int(try entry(cluster * 2, 2).little16(0)), 0xfff8)
    case .thirtyTwo: (next, end) = (Int(try entry(cluster * 4, 4).little32(0) & 0x0fff_ffff), 0x0fff_fff8)
    }
    return next >= end ? nil : next
  }
  /// The clusters from `first` on, `most` bytes of them at most.
  private func chain(from first: Int, most: Int) throws -> [FileRun] {
    var runs: [FileRun] = []
    var length = 0
    var cluster: Int? = first
    while let at = cluster, length < most {
      guard at >= 2, at < clusters + 2 else { throw damaged("there is no cluster \(at)") }
      let place = dataStart + (at - 2) * clusterSize
      if let last = runs.last, last.place.map({ $0 + last.length }) == place {
        runs[runs.count - 1].length += clusterSize
      } else {
        runs.append(FileRun(length: clusterSize, place: place))
      }
      length += clusterSize
      cluster = try following(at)
    }
    return runs
  }
  func runs(of file: FileNode) throws -> [FileRun] {
    file.size == 0 ? [] : try chain(from: file.number, most: file.size)
  }

  // MARK: Folders

  private func bytes(of folder: FileNode) throws -> [UInt8] {
    guard folder.number != 0 else { return try partition.read(rootRange.count, at: rootRange.lowerBound) }
    // (a chain that leads in circles ends here)
    return try chain(from: folder.number, most: Self.folderLimit).reduce(into: []) { bytes, run in
      if let place = run.place { bytes += try partition.read(run.length, at: place) }
    }
  }
  private func entries(of folder: FileNode) throws -> [(name: String, node: FileNode)] {
    let bytes = try bytes(of: folder)
    var found: [(name: String, node: FileNode)] = []
    var long: [UInt16] = []
    for at in stride(from: 0, to: bytes.count - 31, by: 32) {
      let entry = Array(bytes[at..<(at + 32)])
      if entry[0] == 0 { break }
      if entry[0] == 0xe5 {
        long = []
      } else if entry[11] & 0x3f == 0x0f {
        // A long name comes in pieces of 13, the last first.
        let units = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30].map { entry.little16($0) }
        long = units.prefix { $0 != 0 && $0 != 0xffff } + long
        if long.count > 255 { long = [] }
      } else {
        let name = long.isEmpty ? Self.shortName(entry) : String(decoding: long, as: UTF16.self)
        long = []
        // A volume label is no file.
        guard entry[11] & 0x08 == 0, name != ".", name != ".." else { continue }
        let high = width == .thirtyTwo ? Int(entry.little16(20)) << 16 : 0
        found.append(
          (
            name,
            FileNode(
              kind: entry[11] & 0x10 != 0 ? .folder : .file, size: Int(entry.little32(28)),
              number: Int(entry.little16(26)) | high)
          ))
      }
    }
    return found
  }
  private static func shortName(_ entry: [UInt8]) -> String {
    let base = trimmed(String(decoding: entry[0..<8], as: UTF8.self))
    let suffix = trimmed(String(decoding: entry[8..<11], as: UTF8.self))
    // Two bits say which part is written in small letters (Windows NT and Linux).
    let shown = entry[12] & 0x08 != 0 ? base.lowercased() : base
    let end = entry[12] & 0x10 != 0 ? suffix.lowercased() : suffix
    return end.isEmpty ? shown : "\(shown).\(end)"
  }
  func names(in folder: FileNode) throws -> [String] { try entries(of: folder).map(\.name) }
  func find(_ name: String, in folder: FileNode) throws -> FileNode? {
    let wanted = name.lowercased()
    return try entries(of: folder).first { $0.name.lowercased() == wanted }?.node
  }
}
