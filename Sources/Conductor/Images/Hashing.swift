import BlockMaps
import Cryptography
import Glibc

/// lseek(2): SEEK_DATA and SEEK_HOLE, which Glibc's module does not have.
private let (seekData, seekHole): (Int32, Int32) = (3, 4)

/// A file's digest, with holes skipped instead of read, and how far it is.
final class Hashing: Sendable {
  private let done = Atomic64()
  private let total = Atomic64()

  var fraction: Double { total.value == 0 ? 0 : Double(done.value) / Double(total.value) }

  /// - Returns: lower-case hex.
  func digest(_ algorithm: Digest.Algorithm, of path: String) throws -> String {
    let descriptor = try Files.open(path, O_RDONLY)
    defer { close(descriptor) }
    let size = try Files.size(descriptor)
    total.value = size
    var digest = DigestStream(algorithm)
    let length = 1 << 20
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: length, alignment: 4096)
    let zeros = UnsafeMutableRawBufferPointer.allocate(byteCount: length, alignment: 4096)
    defer {
      buffer.deallocate()
      zeros.deallocate()
    }
    zeros.initializeMemory(as: UInt8.self, repeating: 0)
    var offset = 0
    while offset < size {
      let data = lseek(descriptor, off_t(offset), seekData)
      // ENXIO: nothing but a hole up to the end.
      let dataStart = data < 0 ? (errno == ENXIO ? size : offset) : Int(data)
      while offset < dataStart {
        let count = min(length, dataStart - offset)
        digest.update(UnsafeRawBufferPointer(rebasing: zeros[..<count]))
        offset += count
        done.value = offset
      }
      if offset >= size { break }
      let hole = lseek(descriptor, off_t(offset), seekHole)
      let end = hole < 0 ? size : min(size, Int(hole))
      while offset < end {
        let got = pread(descriptor, buffer.baseAddress, min(length, end - offset), off_t(offset))
        if got < 0, errno == EINTR { continue }
        guard got > 0 else { throw FileError("read \(path)", got == 0 ? EIO : errno) }
        digest.update(UnsafeRawBufferPointer(rebasing: buffer[..<got]))
        offset += got
        done.value = offset
      }
    }
    return Digest.hex(digest.finish())
  }

  /// The digest of a disk's written blocks (``DiskDigest``): holes cost nothing.
  /// - Parameter path: the raw form.
  func writtenBlocks(of path: String) throws -> String {
    let descriptor = try Files.open(path, O_RDONLY)
    defer { close(descriptor) }
    let size = try Files.size(descriptor)
    total.value = size
    var digest = DiskDigest(.writtenBlocks)
    let blockSize = BlockMap.blockSize(forDiskOf: size)
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: blockSize, alignment: 4096)
    defer { buffer.deallocate() }
    var offset = 0
    while offset < size {
      let data = lseek(descriptor, off_t(offset), seekData)
      // ENXIO: nothing but a hole up to the end.
      if data < 0, errno == ENXIO { break }
      offset = max(offset, Int(data) / blockSize * blockSize)
      let block = UnsafeMutableRawBufferPointer(rebasing: buffer[..<min(blockSize, size - offset)])
      guard try Files.read(descriptor, at: offset, into: block) == block.count else {
        throw FileError("read \(path)", EIO)
      }
      digest.add(UnsafeRawBufferPointer(block), number: offset / blockSize)
      offset += block.count
      done.value = offset
    }
    return digest.finish(size: size)
  }
}
