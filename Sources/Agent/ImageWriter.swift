/// Puts the raw form of an image on a disk, in order: data as it comes, holes as zeros, and the digest of both.
///
/// Data is gathered in a window of 1 MiB, so that the disk sees large aligned writes however small the extents are.
/// A hole shorter than 128 KiB is written as data: one large write is cheaper than two and a zero command.
final class ImageWriter {
  static let windowSize = 1 << 20
  private static let shortHole = 128 << 10

  private let device: BlockDevice
  /// Size of the raw form in bytes.
  let imageSize: Int
  /// Everything before it has been taken in.
  private(set) var position = 0
  private(set) var bytesWritten = 0
  private(set) var bytesZeroed = 0

  private let window = AlignedBuffer(byteCount: ImageWriter.windowSize)
  /// Where on the disk the window begins; always aligned.
  private var windowStart = 0
  private var hash = SHA256()

  init(device: BlockDevice, imageSize: Int) {
    self.device = device
    self.imageSize = imageSize
  }

  /// Room for the next bytes at ``position``: fill some of it and say how much with ``commit(_:)``.
  func room() -> UnsafeMutableRawBufferPointer {
    UnsafeMutableRawBufferPointer(rebasing: window.bytes[(position - windowStart)...])
  }

  /// Takes in the first `count` bytes of ``room()``. The caller keeps within the image's size.
  func commit(_ count: Int) throws {
    let from = position - windowStart
    hash.update(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(window.bytes)[from..<(from + count)]))
    position += count
    if position - windowStart == Self.windowSize { try flush() }
  }

  /// Everything from ``position`` to `offset` is zero.
  func skip(to offset: Int) throws {
    let hole = offset - position
    guard hole > 0 else { return }
    hash.updateZeros(hole)
    let from = position - windowStart
    if hole < Self.shortHole, from + hole < Self.windowSize {
      clear(from..<(from + hole))
      position = offset
      return
    }
    try flush()
    // flush() has moved the window to the first aligned byte that is not written yet.
    let begin = offset / BlockDevice.alignment * BlockDevice.alignment
    if begin > windowStart {
      try device.zero(windowStart..<begin)
      bytesZeroed += begin - windowStart
      windowStart = begin
    }
    position = offset
    if offset > windowStart { clear(0..<(offset - windowStart)) }
  }

  /// Writes what is left and answers the SHA-256 of the raw form.
  func finish() throws -> String {
    try skip(to: imageSize)
    try flush()
    return hash.hexDigest()
  }

  /// Writes the window, made longer with zeros to the next aligned byte: what follows there is either a hole or
  /// behind the end of the image.
  private func flush() throws {
    let used = position - windowStart
    guard used > 0 else { return }
    let padded = (used + BlockDevice.alignment - 1) / BlockDevice.alignment * BlockDevice.alignment
    clear(used..<padded)
    try device.writeBulk(UnsafeRawBufferPointer(rebasing: window.bytes[..<padded]), at: windowStart)
    bytesWritten += used
    windowStart += padded
  }

  private func clear(_ range: Range<Int>) {
    guard !range.isEmpty else { return }
    UnsafeMutableRawBufferPointer(rebasing: window.bytes[range]).initializeMemory(as: UInt8.self, repeating: 0)
  }
}
