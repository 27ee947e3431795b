import BlockMaps
import Cryptography

/// A digest over a disk that comes block by block (``BlockMap/blockSize(forDiskOf:)``), lower-case hex.
struct DiskDigest: ~Copyable {
  enum Kind: Sendable {
    /// SHA-512 of every byte: what was taken when the disk was uploaded.
    case everyByte
    /// SHA-256 of the blocks that are not zero, each after its number, and of the size: the same however holes lie in the file, and
    /// no work for what was never written. A disk of 100 GiB with little on it would cost a minute and a half otherwise.
    case writtenBlocks
  }
  private let kind: Kind
  private var stream: DigestStream

  init(_ kind: Kind) {
    self.kind = kind
    stream = DigestStream(kind == .everyByte ? .sha512 : .sha256)
  }

  /// Takes the next block.
  mutating func add(_ block: UnsafeRawBufferPointer, number: Int) {
    if kind == .writtenBlocks {
      if BlockCoder.isZero(block) { return }
      add(number)
    }
    stream.update(block)
  }
  /// Takes a block that is a hole.
  /// - Parameter zeros: as long as the block.
  mutating func addHole(_ zeros: UnsafeRawBufferPointer) { if kind == .everyByte { stream.update(zeros) } }
  /// - Parameter size: bytes of the disk.
  mutating func finish(size: Int) -> String {
    if kind == .writtenBlocks { add(size) }
    return Digest.hex(stream.finish())
  }

  private mutating func add(_ number: Int) {
    withUnsafeBytes(of: UInt64(number).littleEndian) { stream.update($0) }
  }
}
