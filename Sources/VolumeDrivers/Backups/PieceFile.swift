import Cryptography
import DriverInterfaces
import Glibc
import Processes

/// A raw file, seen as pieces of ``BackupPieces/pieceLength`` bytes, the last one shorter. Every call blocks.
final class PieceFile: Sendable {
  private let descriptor: Int32
  private let path: String
  /// In bytes.
  let size: Int

  init(reading path: String) throws {
    self.path = path
    descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw Self.failure("read \(path)") }
    size = Int(lseek(descriptor, 0, SEEK_END))
    guard size >= 0 else { throw Self.failure("read \(path)") }
  }
  /// A new file that is nothing but a hole.
  init(writing path: String, size: Int) throws {
    self.path = path
    self.size = size
    descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    guard descriptor >= 0, ftruncate(descriptor, off_t(size)) == 0 else { throw Self.failure("write \(path)") }
  }
  deinit { if descriptor >= 0 { close(descriptor) } }

  private static func failure(_ what: String) -> DriverError {
    let number = errno
    return DriverError(
      number == ENOSPC || number == EDQUOT ? .busy : .refused, device: BackupPieces.device,
      detail: "cannot \(what): \(errorText(number))")
  }

  var pieces: Int { (size + BackupPieces.pieceLength - 1) / BackupPieces.pieceLength }
  func length(_ index: Int) -> Int { min(BackupPieces.pieceLength, size - index * BackupPieces.pieceLength) }

  /// A piece and its SHA-256; nil for one that is nothing but zeros, read or not.
  func piece(_ index: Int) throws -> (hash: String, bytes: [UInt8])? {
    let (offset, length) = (index * BackupPieces.pieceLength, length(index))
    // SEEK_DATA: where the next bytes are that are not a hole; beyond the end there are none.
    let data = lseek(descriptor, off_t(offset), 3)
    if (data < 0 && errno == ENXIO) || Int(data) >= offset + length { return nil }
    let bytes = try [UInt8](unsafeUninitializedCapacity: length) { buffer, count in
      while count < length {
        let got = pread(descriptor, buffer.baseAddress?.advanced(by: count), length - count, off_t(offset + count))
        if got < 0, errno == EINTR { continue }
        guard got > 0 else { throw Self.failure("read \(path)") }
        count += got
      }
    }
    let isZero = bytes.withUnsafeBytes { raw in
      guard let base = raw.baseAddress else { return true }
      return raw[0] == 0 && memcmp(base, base + 1, raw.count - 1) == 0
    }
    return isZero ? nil : (Digest.hex(Digest.sha256(bytes)), bytes)
  }

  func write(_ bytes: [UInt8], _ index: Int) throws {
    let offset = index * BackupPieces.pieceLength
    try bytes.withUnsafeBytes { raw in
      var done = 0
      while done < raw.count {
        let count = pwrite(descriptor, raw.baseAddress?.advanced(by: done), raw.count - done, off_t(offset + done))
        if count < 0, errno == EINTR { continue }
        guard count > 0 else { throw Self.failure("write \(path)") }
        done += count
      }
    }
  }
  func sync() throws { guard fsync(descriptor) == 0 else { throw Self.failure("write \(path)") } }
}
