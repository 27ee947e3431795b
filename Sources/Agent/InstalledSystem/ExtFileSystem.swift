/// ext2, ext3 and ext4, read as they were left by a system that unmounted them.
///
/// Source: Linux, Documentation/filesystems/ext4. Checksums are not looked at: what is wrong leads to a kernel that does not start, and
/// so to the firmware's way the next time.
struct ExtFileSystem: DiskFileSystem {
  let partition: DiskPartition
  let uuid: String
  let label: String
  private(set) var root: FileNode
  /// In bytes.
  private let blockSize: Int
  private let firstDataBlock: Int
  private let inodesPerGroup: Int
  private let inodeSize: Int
  private let inodeCount: Int
  private let descriptorSize: Int

  /// Those of `s_feature_incompat` that reading files can do with: file types, extents, 64 bits, MMP, flexible groups, large values of
  /// attributes, seeded checksums, large folders, data in inodes, encryption and folded names (the last three refused where a
  /// file has them).
  private static let known: UInt32 =
    0x2 | 0x40 | 0x80 | 0x100 | 0x200 | 0x400 | 0x2000 | 0x4000 | 0x8000 | 0x10000 | 0x20000
  /// What a hostile tree of extents may make us read.
  private static let mostTreeBlocks = 4096

  /// Nil when the partition has none.
  /// - Throws: ``AgentError`` for one that cannot be read as it is.
  init?(_ partition: DiskPartition) throws {
    guard partition.range.count >= 4096 else { return nil }
    let block = try partition.read(1024, at: 1024)
    guard block[56] == 0x53, block[57] == 0xef else { return nil }
    self.partition = partition
    let features = block.little32(96)
    func refuse(_ why: String) -> AgentError { AgentError(.refused, "the file system of \(partition.name) \(why)") }
    guard features & 0x4 == 0 else { throw refuse("was not unmounted, and has a journal to be replayed") }
    guard features & ~Self.known == 0 else {
      throw refuse("has features that are not known: 0x\(String(features & ~Self.known, radix: 16))")
    }
    let shift = Int(block.little32(24)), is64 = features & 0x80 != 0
    let size = block.little32(76) == 0 ? 128 : Int(block.little16(88))
    let descriptors = is64 ? Int(block.little16(254)) : 32
    (firstDataBlock, inodesPerGroup, inodeCount) = (
      Int(block.little32(20)), Int(block.little32(40)), Int(block.little32(0))
    )
    guard shift <= 6, (128...4096).contains(size), (32...1024).contains(descriptors), inodesPerGroup > 0,
      firstDataBlock <= 1
    else { throw refuse("is damaged") }
    (blockSize, inodeSize, descriptorSize) = (1024 << shift, size, descriptors)
    uuid = Self.uuid(block[104..<120])
    label = String(decoding: block[120..<136].prefix { $0 != 0 }, as: UTF8.self)
    root = FileNode(kind: .folder, size: 0, number: 2)
    root = try node(2)
    guard root.kind == .folder else { throw refuse("has no root folder") }
  }
  private static func uuid(_ bytes: ArraySlice<UInt8>) -> String {
    let digits = bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }
    return [0..<4, 4..<6, 6..<8, 8..<10, 10..<16].map { digits[$0].joined() }.joined(separator: "-")
  }
  private func damaged(_ what: String) -> AgentError {
    AgentError(.refused, "the file system of \(partition.name) is damaged: \(what)")
  }

  private func node(_ number: Int) throws -> FileNode {
    guard number >= 1, number <= inodeCount else { throw damaged("there is no inode \(number)") }
    let (group, index) = (number - 1).quotientAndRemainder(dividingBy: inodesPerGroup)
    let place = (firstDataBlock + 1) * blockSize + group * descriptorSize
    let descriptor = try partition.read(descriptorSize, at: place)
    let table = Int(descriptor.little32(8)) | (descriptorSize >= 64 ? Int(descriptor.little32(40)) << 32 : 0)
    let inode = try partition.read(inodeSize, at: try offset(ofBlock: table) + index * inodeSize)
    let size = Int(inode.little32(4)) | Int(inode.little32(108)) << 32
    let flags = inode.little32(32)
    let kind: FileNode.Kind =
      switch inode.little16(0) & 0xf000 {
      case 0x8000: .file
      case 0x4000: .folder
      case 0xa000: .link
      default: .other
      }
    // Data in the inode, encryption.
    guard flags & (0x1000_0000 | 0x800) == 0 else { return FileNode(kind: .other, size: 0, number: number) }
    guard size < 1 << 40 else { throw damaged("inode \(number) has \(size) bytes") }
    // The flag of extents goes before their tree.
    return FileNode(
      kind: kind, size: size, number: number, own: Array(inode[40..<100]) + [flags & 0x80000 != 0 ? 1 : 0])
  }
  private func offset(ofBlock block: Int) throws -> Int {
    guard block >= 0, block < 1 << 40 else { throw damaged("a block number is too large") }
    return block * blockSize
  }

  // MARK: Folders

  /// Names and inodes of a folder. An indexed one reads as a list as well.
  private func entries(of folder: FileNode) throws -> [(name: ArraySlice<UInt8>, number: Int)] {
    let bytes = try content(of: folder, limit: Self.folderLimit)
    var found: [(name: ArraySlice<UInt8>, number: Int)] = []
    var at = 0
    while at + 8 <= bytes.count {
      let length = Int(bytes.little16(at + 4)), name = Int(bytes[at + 6])
      guard length >= 8, length % 4 == 0, at + length <= bytes.count, name + 8 <= length else {
        throw damaged("a folder's entry is too long")
      }
      let number = Int(bytes.little32(at))
      if number != 0 { found.append((bytes[(at + 8)..<(at + 8 + name)], number)) }
      at += length
    }
    return found
  }
  func names(in folder: FileNode) throws -> [String] {
    try entries(of: folder).map { String(decoding: $0.name, as: UTF8.self) }.filter { $0 != "." && $0 != ".." }
  }
  func find(_ name: String, in folder: FileNode) throws -> FileNode? {
    try entries(of: folder).first { $0.name.elementsEqual(name.utf8) }.map { try node($0.number) }
  }

  // MARK: Blocks

  func runs(of file: FileNode) throws -> [FileRun] {
    guard file.own.count == 61, file.size > 0 else { return [] }
    let places = Array(file.own[..<60])
    let blocks = (file.size + blockSize - 1) / blockSize
    var builder = RunBuilder(blockSize: blockSize, blocks: blocks)
    var budget = Self.mostTreeBlocks
    if file.own[60] == 1 {
      try extents(places, depth: nil, &builder, &budget)
    } else {
      for index in 0..<12 { try builder.add(Int(places.little32(index * 4))) }
      for depth in 1...3 where !builder.isFull {
        try indirect(Int(places.little32((11 + depth) * 4)), depth, &builder, &budget)
      }
    }
    return builder.finished
  }

  private func extents(_ tree: [UInt8], depth expected: Int?, _ builder: inout RunBuilder, _ budget: inout Int) throws {
    let count = Int(tree.little16(2)), depth = Int(tree.little16(6))
    guard tree.little16(0) == 0xf30a, 12 + count * 12 <= tree.count, depth <= 5, expected.map({ $0 == depth }) ?? true
    else { throw damaged("a tree of extents is none") }
    for index in 0..<count {
      let at = 12 + index * 12
      if depth == 0 {
        let length = Int(tree.little16(at + 4))
        let place = Int(tree.little32(at + 8)) | Int(tree.little16(at + 6)) << 32
        let isWritten = length <= 32768
        try builder.add(
          first: Int(tree.little32(at)), count: isWritten ? length : length - 32768, place: isWritten ? place : nil)
      } else {
        budget -= 1
        guard budget > 0 else { throw damaged("a tree of extents has no end") }
        let place = Int(tree.little32(at + 4)) | Int(tree.little16(at + 8)) << 32
        let block = try partition.read(blockSize, at: try offset(ofBlock: place))
        try extents(block, depth: depth - 1, &builder, &budget)
      }
    }
  }

  private func indirect(_ block: Int, _ depth: Int, _ builder: inout RunBuilder, _ budget: inout Int) throws {
    let perBlock = blockSize / 4
    guard block != 0 else {
      var count = 1
      for _ in 0..<depth { count *= perBlock }
      return try builder.skip(count)
    }
    budget -= 1
    guard budget > 0 else { throw damaged("a file's blocks have no end") }
    let bytes = try partition.read(blockSize, at: try offset(ofBlock: block))
    for index in 0..<perBlock where !builder.isFull {
      let next = Int(bytes.little32(index * 4))
      if depth == 1 { try builder.add(next) } else { try indirect(next, depth - 1, &builder, &budget) }
    }
  }
}

/// Gathers the blocks of a file into runs.
private struct RunBuilder {
  let blockSize: Int
  /// Of the whole file.
  let blocks: Int
  private var next = 0
  private var runs: [FileRun] = []

  init(blockSize: Int, blocks: Int) { (self.blockSize, self.blocks) = (blockSize, blocks) }

  var isFull: Bool { next >= blocks }
  /// With the zeros behind the last block.
  var finished: [FileRun] {
    var copy = self
    copy.append(blocks - next, nil)
    return copy.runs
  }

  /// One block; 0 is a hole.
  mutating func add(_ place: Int) throws { try add(first: next, count: 1, place: place == 0 ? nil : place) }
  mutating func skip(_ count: Int) throws { try add(first: next, count: count, place: nil) }
  mutating func add(first: Int, count: Int, place: Int?) throws {
    guard first >= next, place ?? 0 < 1 << 40 else { throw AgentError(.refused, "a file's blocks overlap") }
    // Blocks behind the end are kept for later growth.
    append(min(first, blocks) - min(next, blocks), nil)
    append(min(first + count, blocks) - min(first, blocks), place.map { $0 * blockSize })
    next = min(max(next, first + count), max(blocks, next))
  }
  private mutating func append(_ count: Int, _ place: Int?) {
    guard count > 0 else { return }
    if let last = runs.last, last.place == nil ? place == nil : last.place.map({ $0 + last.length }) == place {
      runs[runs.count - 1].length += count * blockSize
    } else {
      runs.append(FileRun(length: count * blockSize, place: place))
    }
  }
}
