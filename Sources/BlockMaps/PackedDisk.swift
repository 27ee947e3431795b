/// Where things are in a file of packed blocks, so that any run of blocks can be sent as it lies there.
///
/// | bytes | what |
/// |---|---|
/// | 8 | `SYBLKPK1` |
/// | 4 + 4 | block size, zero |
/// | 8 | the disk's size in bytes |
/// | 8 | where the table begins |
/// | | frames (``BlockCoder``) of the data blocks in their order |
/// | 8 for each block, and one more | the table: where the frame of each block begins; a zero block's is empty |
///
/// The file is the server's own, made from blocks that it has checked; it is read with limits all the same.
public struct PackedDisk: Sendable, Equatable {
  public static let headerLength = 32
  private static let magic = Array("SYBLKPK1".utf8)

  public let blockSize: Int
  /// The disk's, in bytes.
  public let size: Int
  /// Number of blocks.
  public let count: Int
  /// Where the table begins in the file.
  public let table: Int

  /// - Throws: ``BlockFormatError`` for sizes that no map can describe.
  public init(size: Int, blockSize: Int, table: Int) throws(BlockFormatError) {
    guard let count = BlockMap.count(size: size, blockSize: blockSize), table >= Self.headerLength else {
      throw BlockFormatError("A disk of \(size) bytes cannot be packed in blocks of \(blockSize).")
    }
    (self.size, self.blockSize, self.table, self.count) = (size, blockSize, table, count)
  }

  /// Reads the header of a file.
  /// - Parameter fileSize: in bytes; it must be what the header says.
  public init(header: [UInt8], fileSize: Int) throws(BlockFormatError) {
    guard header.count == Self.headerLength, header.starts(with: Self.magic), header.little32(at: 12) == 0,
      let size = Int(exactly: header.little64(at: 16)), let table = Int(exactly: header.little64(at: 24))
    else { throw BlockFormatError("This is no file of packed blocks.") }
    try self.init(size: size, blockSize: Int(header.little32(at: 8)), table: table)
    guard table <= fileSize, fileSize - table == (count + 1) * 8 else {
      throw BlockFormatError("The file of packed blocks has \(fileSize) bytes, which is not what its header says.")
    }
  }
  public var header: [UInt8] {
    var bytes = Self.magic
    bytes.append(little: UInt32(blockSize))
    bytes.append(little: UInt32(0))
    bytes.append(little: UInt64(size))
    bytes.append(little: UInt64(table))
    return bytes
  }
  /// Where the table's entry of a block is in the file; 8 bytes.
  /// - Parameter index: 0 to ``count``, which is the end of the last frame.
  public func entry(of index: Int) -> Int { table + index * 8 }
  /// A table's entry.
  /// - Returns: nil when it is outside of the frames.
  public func position(_ entry: [UInt8]) -> Int? {
    guard entry.count == 8, let position = Int(exactly: entry.little64(at: 0)),
      (Self.headerLength...table).contains(position)
    else { return nil }
    return position
  }
}

/// Which blocks somebody asks for: ranges that ascend and do not touch each other, each as first block and number of blocks
/// (UInt32, little endian).
public enum BlockRanges {
  /// In one request.
  public static let most = 16384

  /// - Parameter ranges: ascending; what is behind the first ``most`` is left for another request.
  public static func bytes(_ ranges: some Sequence<Range<Int>>) -> [UInt8] {
    var bytes: [UInt8] = []
    for range in ranges.prefix(most) {
      bytes.append(little: UInt32(range.lowerBound))
      bytes.append(little: UInt32(range.count))
    }
    return bytes
  }

  /// - Parameter count: blocks that there are.
  /// - Throws: ``BlockFormatError`` for ranges that are empty, go back, overlap or go beyond.
  public static func parse(_ bytes: [UInt8], count: Int) throws(BlockFormatError) -> [Range<Int>] {
    guard !bytes.isEmpty, bytes.count % 8 == 0, bytes.count / 8 <= most else {
      throw BlockFormatError("The body is not a list of 1 to \(most) ranges of blocks (8 bytes each).")
    }
    var ranges: [Range<Int>] = []
    var end = 0
    for at in stride(from: 0, to: bytes.count, by: 8) {
      let first = Int(bytes.little32(at: at)), length = Int(bytes.little32(at: at + 4))
      guard length > 0, first >= end, first + length <= count else {
        throw BlockFormatError(
          "Ranges must ascend and stay within the \(count) blocks: \(length) blocks from \(first) do not.")
      }
      end = first + length
      ranges.append(first..<end)
    }
    return ranges
  }
}
