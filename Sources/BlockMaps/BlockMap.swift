/// A disk as blocks of one size, each either zero or known by the SHA-256 of its bytes.
///
/// Deployment, capture and backup speak of disks in this form. The map's own SHA-256 stands for the whole content: who has a
/// map that he trusts can check every block alone, in any order.
///
/// The binary form (all numbers little endian):
///
/// | bytes | what |
/// |---|---|
/// | 8 | `SYBLKMP1` |
/// | 4 | block size in bytes: a power of two, 64 KiB to 16 MiB |
/// | 4 | zero |
/// | 8 | the disk's size in bytes: 1 and more |
/// | 8 | number of blocks that are not zero (data blocks) |
/// | ceil(blocks / 8) | one bit per block, lowest first: 1 for a data block; bits behind the last block are 0 |
/// | 32 for each data block | its SHA-256, in the order of the blocks |
///
/// The last block ends with the disk and may be shorter; its digest is that of its own bytes.
public struct BlockMap: Sendable, Equatable {
  /// Digest of one block: SHA-256, whole. Whoever can choose what is in an image must not find two blocks with one
  /// name, and half of it would leave only 2^64 tries between him and that.
  public static let digestLength = 32
  public static let headerLength = 32
  /// Blocks that a disk may have, so that a map stays within 132 MiB.
  public static let mostBlocks = 1 << 22
  private static let magic = Array("SYBLKMP1".utf8)

  /// In bytes.
  public let blockSize: Int
  /// The disk's size in bytes.
  public let size: Int
  /// Number of blocks, zero or not.
  public let count: Int
  /// Number of blocks that are not zero.
  public let dataCount: Int
  private var bits: [UInt8]
  private var digests: [UInt8]
  /// Data blocks before each group of 64 blocks.
  private var ranks: [UInt32]

  /// The block size for a disk: 512 KiB (256 KiB and 1 MiB pack a Debian disk as well, within 1 %), more where there would be too many.
  /// - Parameter size: the disk's, in bytes.
  public static func blockSize(forDiskOf size: Int) -> Int {
    var blockSize = 512 << 10
    while blockSize < largestBlock, size / blockSize >= mostBlocks { blockSize *= 2 }
    return blockSize
  }
  /// In bytes; what a reader of somebody else's blocks must have room for.
  public static let largestBlock = 16 << 20
  static let smallestBlock = 64 << 10

  /// Blocks of a disk, or nil when the sizes are outside of what a map can describe.
  /// - Parameters: in bytes.
  public static func count(size: Int, blockSize: Int) -> Int? {
    guard (smallestBlock...largestBlock).contains(blockSize), blockSize & (blockSize - 1) == 0, size > 0,
      size <= mostBlocks * blockSize
    else { return nil }
    return (size + blockSize - 1) / blockSize
  }

  /// Most bytes that the binary form of a disk of `size` bytes can have; nil when no map can describe it.
  public static func mostBytes(forDiskOf size: Int, blockSize: Int) -> Int? {
    count(size: size, blockSize: blockSize).map { headerLength + ($0 + 7) / 8 + $0 * digestLength }
  }

  /// Where a block is on the disk, in bytes.
  /// - Parameter index: 0 to ``count`` - 1, as everywhere below.
  public func range(of index: Int) -> Range<Int> { index * blockSize..<min((index + 1) * blockSize, size) }

  public func isZero(_ index: Int) -> Bool { bits[index / 8] & (1 << UInt8(index % 8)) == 0 }

  /// The SHA-256 of a block; nil for a zero block.
  public func digest(of index: Int) -> ArraySlice<UInt8>? {
    guard !isZero(index) else { return nil }
    var rank = Int(ranks[index / 64])
    for byte in (index / 64 * 8)..<(index / 8) { rank += bits[byte].nonzeroBitCount }
    rank += (bits[index / 8] & ((1 << UInt8(index % 8)) - 1)).nonzeroBitCount
    return digests[(rank * Self.digestLength)..<((rank + 1) * Self.digestLength)]
  }

  /// Bytes of the disk that are in data blocks.
  public var dataBytes: Int {
    guard count > 0, !isZero(count - 1) else { return dataCount * blockSize }
    return (dataCount - 1) * blockSize + range(of: count - 1).count
  }

  /// Runs of blocks for which `isWanted` is true.
  public func runs(where isWanted: (Int) -> Bool) -> [Range<Int>] {
    var runs: [Range<Int>] = []
    for index in 0..<count where isWanted(index) {
      if let last = runs.last, last.upperBound == index {
        runs[runs.count - 1] = last.lowerBound..<(index + 1)
      } else {
        runs.append(index..<(index + 1))
      }
    }
    return runs
  }

  /// The binary form.
  public var bytes: [UInt8] {
    var bytes = Self.magic
    bytes.reserveCapacity(Self.headerLength + bits.count + digests.count)
    bytes.append(little: UInt32(blockSize))
    bytes.append(little: UInt32(0))
    bytes.append(little: UInt64(size))
    bytes.append(little: UInt64(dataCount))
    return bytes + bits + digests
  }

  /// Reads the binary form. Nothing in it is believed before it was checked; room is taken only for what is there.
  /// - Throws: ``BlockFormatError`` with what is wrong.
  public init(parsing bytes: [UInt8]) throws(BlockFormatError) {
    guard bytes.count >= Self.headerLength, bytes.starts(with: Self.magic) else {
      throw BlockFormatError("This is no block map.")
    }
    let blockSize = Int(bytes.little32(at: 8))
    guard bytes.little32(at: 12) == 0, let size = Int(exactly: bytes.little64(at: 16)),
      let dataCount = Int(exactly: bytes.little64(at: 24)), let count = Self.count(size: size, blockSize: blockSize)
    else { throw BlockFormatError("The block map's header describes no disk.") }
    let bitsLength = (count + 7) / 8
    guard dataCount <= count, bytes.count == Self.headerLength + bitsLength + dataCount * Self.digestLength else {
      throw BlockFormatError("The block map has \(bytes.count) bytes, which is not what its header says.")
    }
    let bits = Array(bytes[Self.headerLength..<(Self.headerLength + bitsLength)])
    guard count % 8 == 0 || bits[bitsLength - 1] >> UInt8(count % 8) == 0,
      bits.reduce(0, { $0 + $1.nonzeroBitCount }) == dataCount
    else { throw BlockFormatError("The block map counts other blocks than it marks.") }
    self.init(
      blockSize: blockSize, size: size, bits: bits, digests: Array(bytes[(Self.headerLength + bitsLength)...]))
  }

  fileprivate init(blockSize: Int, size: Int, bits: [UInt8], digests: [UInt8]) {
    self.blockSize = blockSize
    self.size = size
    self.bits = bits
    self.digests = digests
    count = (size + blockSize - 1) / blockSize
    dataCount = digests.count / Self.digestLength
    var sofar: UInt32 = 0
    ranks = stride(from: 0, to: bits.count, by: 8).map { start in
      defer { for byte in bits[start..<min(start + 8, bits.count)] { sofar += UInt32(byte.nonzeroBitCount) } }
      return sofar
    }
  }
}

extension BlockMap {
  /// Makes a map block by block, from the first to the last.
  public struct Builder: Sendable {
    public let blockSize: Int
    public let size: Int
    /// The block that is added next.
    public private(set) var next = 0
    private let count: Int
    private var bits: [UInt8]
    private var digests: [UInt8] = []

    /// - Parameters: in bytes.
    /// - Throws: ``BlockFormatError`` for sizes that no map can describe.
    public init(size: Int, blockSize: Int) throws(BlockFormatError) {
      guard let count = BlockMap.count(size: size, blockSize: blockSize) else {
        throw BlockFormatError("A disk of \(size) bytes cannot be described in blocks of \(blockSize).")
      }
      (self.size, self.blockSize, self.count) = (size, blockSize, count)
      bits = [UInt8](repeating: 0, count: (count + 7) / 8)
    }
    public var isComplete: Bool { next == count }
    /// The next `blocks` blocks are zero.
    public mutating func addZeros(_ blocks: Int = 1) { next = min(count, next + blocks) }
    /// The next block has this SHA-256 (32 bytes).
    public mutating func add(digest: some Collection<UInt8>) {
      guard next < count, digest.count == BlockMap.digestLength else { return }
      bits[next / 8] |= 1 << UInt8(next % 8)
      digests.append(contentsOf: digest)
      next += 1
    }
    /// The map; blocks that were not added are zero.
    public var map: BlockMap { BlockMap(blockSize: blockSize, size: size, bits: bits, digests: digests) }
  }
}

/// Bytes that are not what they should be.
public struct BlockFormatError: Error, Sendable, Equatable, CustomStringConvertible {
  /// A sentence.
  public let description: String
  init(_ description: String) { self.description = description }
}

extension Array<UInt8> {
  mutating func append(little number: some FixedWidthInteger & UnsignedInteger) {
    Swift.withUnsafeBytes(of: number.littleEndian) { append(contentsOf: $0) }
  }
  func little32(at: Int) -> UInt32 {
    withUnsafeBytes { $0.loadUnaligned(fromByteOffset: at, as: UInt32.self) }.littleEndian
  }
  func little64(at: Int) -> UInt64 {
    withUnsafeBytes { $0.loadUnaligned(fromByteOffset: at, as: UInt64.self) }.littleEndian
  }
}
