import CLinux
import Glibc

/// A disk, or a regular file standing in for one in tests.
///
/// Bulk data goes past the page cache (O_DIRECT) where that works: the ramdisk has little memory, and what is read
/// back must come from the disk.
///
/// Unchecked: whole pieces are read and written in several threads at once; ``zero(_:forced:)`` and all else belong to one.
public final class BlockDevice: @unchecked Sendable {
  /// How a range was made zero.
  public enum ZeroMethod: String, Sendable { case zeroout, write }

  /// Buffers, offsets and lengths of bulk transfers are multiples of this.
  static let alignment = 4096
  /// The next multiple of ``alignment``.
  static func aligned(_ count: Int) -> Int { (count + alignment - 1) / alignment * alignment }

  public let path: String
  /// In bytes.
  public let size: Int
  /// Logical sector size in bytes: what partition tables count in.
  public let sectorSize: Int
  private let isBlockSpecial: Bool
  private let bulk: Int32
  private let plain: Int32
  private var zeroMethod = ZeroMethod.zeroout
  private lazy var zeros = AlignedBuffer(byteCount: 1 << 20)

  /// Opens for reading and writing.
  /// - Throws: ``AgentError`` when it cannot be opened, or is in use (O_EXCL on a block device).
  public init(path: String) throws {
    self.path = path
    var about = stat()
    guard stat(path, &about) == 0 else { throw Self.failure("find", path) }
    isBlockSpecial = about.st_mode & S_IFMT == S_IFBLK
    let flags = O_RDWR | O_CLOEXEC | (isBlockSpecial ? O_EXCL : 0)
    let plain = open(path, flags)
    guard plain >= 0 else { throw Self.failure("open", path) }
    self.plain = plain
    // Not every file system has O_DIRECT (tmpfs); every disk has. O_EXCL would meet our own first descriptor.
    let direct = open(path, O_RDWR | O_CLOEXEC | clinux_open_direct_flag())
    bulk = direct >= 0 ? direct : plain
    if isBlockSpecial {
      size = Int(clinux_block_size_bytes(plain))
      sectorSize = Int(clinux_block_sector_bytes(plain))
    } else {
      size = Int(about.st_size)
      sectorSize = 512
    }
    guard size > 0, sectorSize >= 512, sectorSize <= Self.alignment else {
      throw AgentError(.refused, "\(path) has no usable size.")
    }
  }

  deinit {
    if bulk != plain { close(bulk) }
    close(plain)
  }

  /// Writes whole aligned pieces: offset, count and address are multiples of ``alignment``, but for the disk's end.
  func writeBulk(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws {
    let count = min(bytes.count, size - offset)
    let aligned = count % sectorSize == 0
    try writeAll(aligned ? bulk : plain, UnsafeRawBufferPointer(rebasing: bytes[..<count]), at: offset)
  }

  /// Reads whole aligned pieces.
  func readBulk(into bytes: UnsafeMutableRawBufferPointer, at offset: Int) throws {
    let aligned = bytes.count % sectorSize == 0 && offset % sectorSize == 0
    try readAll(aligned ? bulk : plain, bytes, at: offset)
  }

  /// Writes a few bytes anywhere.
  public func write(_ bytes: [UInt8], at offset: Int) throws {
    guard offset >= 0, offset + bytes.count <= size else {
      throw AgentError(.refused, "A write behind the end of \(path) was refused.")
    }
    try bytes.withUnsafeBytes { try writeAll(plain, $0, at: offset) }
  }

  /// Reads a few bytes anywhere.
  public func read(_ count: Int, at offset: Int) throws -> [UInt8] {
    guard offset >= 0, count >= 0, offset <= size - count else {
      throw AgentError(.refused, "A read behind the end of \(path) was refused.")
    }
    var bytes = [UInt8](repeating: 0, count: count)
    try bytes.withUnsafeMutableBytes { try readAll(plain, $0, at: offset) }
    return bytes
  }

  /// Makes a range read zero: by the device's own command (`BLKZEROOUT`; a hole in a file), else by writing zeros.
  /// - Parameter forced: writes zeros whatever the device offers, for a device whose command did not do it.
  /// - Returns: how it was done.
  @discardableResult
  public func zero(_ range: Range<Int>, forced: Bool = false) throws -> ZeroMethod {
    guard !range.isEmpty else { return zeroMethod }
    guard range.lowerBound >= 0, range.upperBound <= size else {
      throw AgentError(.refused, "Zeroing behind the end of \(path) was refused.")
    }
    if !forced, zeroMethod == .zeroout {
      let (offset, length) = (UInt64(range.lowerBound), UInt64(range.count))
      let aligned = !isBlockSpecial || (range.lowerBound % sectorSize == 0 && range.count % sectorSize == 0)
      if aligned {
        let result =
          isBlockSpecial ? clinux_block_zero(plain, offset, length) : clinux_file_punch(plain, offset, length)
        if result == 0 { return .zeroout }
        guard [EOPNOTSUPP, EINVAL, ENOTTY, ENOSYS].contains(errno) else { throw Self.failure("zero", path) }
        zeroMethod = .write
      }
    }
    var offset = range.lowerBound
    while offset < range.upperBound {
      // The first piece ends where the alignment begins.
      let room = zeros.bytes.count - offset % Self.alignment
      let count = min(room, range.upperBound - offset)
      let aligned = offset % sectorSize == 0 && count % sectorSize == 0
      let piece = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(zeros.bytes)[..<count])
      try writeAll(aligned ? bulk : plain, piece, at: offset)
      offset += count
    }
    return .write
  }

  /// Waits until all is on the disk, forgets what the memory holds of it, and lets the kernel see the new partitions.
  public func sync() throws {
    guard fsync(bulk) == 0, fsync(plain) == 0 else { throw Self.failure("flush", path) }
    _ = posix_fadvise(plain, 0, 0, POSIX_FADV_DONTNEED)
    // Refused while a partition is in use, and for regular files: neither matters here.
    if isBlockSpecial { _ = clinux_block_reread_partitions(plain) }
  }

  private func writeAll(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer, at offset: Int) throws {
    var done = 0
    while done < bytes.count {
      let count = pwrite(descriptor, bytes.baseAddress?.advanced(by: done), bytes.count - done, offset + done)
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { throw Self.failure("write to", path) }
      done += count
    }
  }

  private func readAll(_ descriptor: Int32, _ bytes: UnsafeMutableRawBufferPointer, at offset: Int) throws {
    var done = 0
    while done < bytes.count {
      let count = pread(descriptor, bytes.baseAddress?.advanced(by: done), bytes.count - done, offset + done)
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { throw Self.failure("read", path) }
      done += count
    }
  }

  private static func failure(_ what: String, _ path: String) -> AgentError {
    AgentError(.refused, "Cannot \(what) \(path): \(errorText(errno)).")
  }
}

/// Memory that direct I/O accepts, zero at first.
final class AlignedBuffer {
  let bytes: UnsafeMutableRawBufferPointer
  init(byteCount: Int) {
    bytes = .allocate(byteCount: byteCount, alignment: BlockDevice.alignment)
    bytes.initializeMemory(as: UInt8.self, repeating: 0)
  }
  deinit { bytes.deallocate() }
}
