import BlockMaps
import CLinux
import Cryptography
import Domain
import Glibc
import Processes

/// Why an upload ended without an image; in words for its owner.
public enum UploadError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The project's share of uploads, or the site's of downloads, is taken.
  case tooMany(String)
  case tooLarge(limit: Int)
  case diskFull
  case refused(String)
  /// The sender left, or stood still for too long.
  case cutOff
  /// The disk failed in another way; for the log.
  case storage(String)
  /// The content that should be there is not.
  case missing
  /// The image was deleted meanwhile.
  case deleted

  init(_ error: FileError) { self = error.isDiskFull ? .diskFull : .storage(error.description) }

  public var description: String {
    switch self {
    case .tooMany(let sentence), .refused(let sentence): sentence
    case .tooLarge(let limit):
      "The image is larger than the \(limit) bytes that are left for it (the site's limit, or the project's)."
    case .diskFull: "Image storage media is full: the administrator must free space. Nothing was kept."
    case .cutOff: "The upload was cut off before its end, or stood still for too long; nothing of it was kept."
    case .storage: "The server's disk failed; nothing was kept. The administrator finds the reason in the log."
    case .missing: "The image's content is gone from the server's disk."
    case .deleted: "The image was deleted during the upload."
    }
  }
}

/// What came in.
public struct ImageFacts: Sendable, Equatable {
  public var size: Int
  public var virtualSize: Int?
  public var md5: String
  public var sha512: String
}

/// An image's content on its way in: hashed as it comes, on a thread of its own, with back-pressure.
///
/// One task at a time. Whatever way it ends but ``publish(declared:length:largestDisk:)``, ``discard()`` leaves nothing of it.
public final class ImageUpload: Sendable {
  /// Touched by the one task, or by the thread while that task waits for it: the unchecked part.
  private final class State: @unchecked Sendable {
    let descriptor: Int32
    /// The same file past the page cache, for whole pieces: -1 where its disk has no such way. Copies in the cache would cost half as
    /// much as both digests, and push out what others use.
    let direct: Int32
    /// Pieces are gathered here to this many bytes before they go to the disk's thread: always the same memory. (Pieces of a quarter cost a
    /// tenth more: a thread is woken for each.)
    let piece = UnsafeMutableRawBufferPointer.allocate(byteCount: 4 << 20, alignment: 4096)
    /// Zeros are looked for in parts of this length.
    private static let part = 1 << 20
    var filled = 0
    var size = 0
    var head: [UInt8] = []
    var md5 = DigestStream(.md5)
    var sha512 = DigestStream(.sha512)
    init(_ descriptor: Int32, direct: Int32) { (self.descriptor, self.direct) = (descriptor, direct) }
    /// Parts of a whole piece that are zeros take no room on the disk.
    func write(_ bytes: UnsafeRawBufferPointer) throws {
      guard bytes.count == piece.count else { return try Files.write(bytes, to: descriptor, at: size) }
      var start = 0
      for end in stride(from: Self.part, through: bytes.count, by: Self.part)
      where BlockCoder.isZero(UnsafeRawBufferPointer(rebasing: bytes[(end - Self.part)..<end])) {
        try writeParts(bytes[start..<(end - Self.part)])
        start = end
      }
      try writeParts(bytes[start...])
      if start == bytes.count, ftruncate(descriptor, off_t(size + bytes.count)) != 0 { throw FileError("write") }
    }
    private func writeParts(_ parts: Slice<UnsafeRawBufferPointer>) throws {
      if parts.isEmpty { return }
      let (bytes, offset) = (UnsafeRawBufferPointer(rebasing: parts), size + parts.startIndex)
      if direct >= 0 {
        do { return try Files.write(bytes, to: direct, at: offset) } catch let error as FileError
          where error.number == EINVAL
        {
          // A disk of larger sectors than a page: the other way takes all.
        }
      }
      try Files.write(bytes, to: descriptor, at: offset)
    }
    deinit {
      close(descriptor)
      if direct >= 0 { close(direct) }
      piece.deallocate()
    }
  }
  private let thread = FileThread.shared
  private let state: State
  private let path: String
  private let target: String
  private let limit: Int
  private let confined: ConfinedProgram

  init(path: String, target: String, limit: Int, confined: ConfinedProgram) async throws {
    self.confined = confined
    self.path = path
    self.target = target
    self.limit = limit
    state = try await thread.run {
      do {
        let descriptor = try Files.open(path, O_RDWR | O_CREAT | O_EXCL)
        return State(descriptor, direct: (try? Files.open(path, O_WRONLY | clinux_open_direct_flag())) ?? -1)
      } catch let error as FileError { throw UploadError(error) }
    }
  }

  /// Takes the next bytes; returns when there is room for more, so that a sender is never faster than the disk.
  public func append(_ bytes: [UInt8]) async throws {
    var offset = 0
    while offset < bytes.count {
      let room = room
      let count = min(bytes.count - offset, room.count)
      bytes.withUnsafeBytes { room.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[offset..<(offset + count)])) }
      took(count)
      offset += count
      if isFull { try await flush() }
    }
  }

  /// Where the next bytes go, for those who can put them there; never empty after ``flush()``. It is there as long as the upload is.
  public var room: UnsafeMutableRawBufferPointer {
    UnsafeMutableRawBufferPointer(rebasing: state.piece[state.filled...])
  }
  /// So many bytes were put into ``room``; when ``isFull`` then, ``flush()`` makes room.
  public func took(_ count: Int) { state.filled += count }
  /// Also where there is more than the limit already: ``flush()`` says so.
  public var isFull: Bool { state.filled == state.piece.count || state.size + state.filled > limit }

  /// Writes and hashes what was taken.
  public func flush() async throws {
    let (state, limit) = (state, limit)
    guard state.filled > 0 else { return }
    try await thread.run {
      let bytes = UnsafeRawBufferPointer(rebasing: state.piece[..<state.filled])
      guard state.size + bytes.count <= limit else { throw UploadError.tooLarge(limit: limit) }
      do { try state.write(bytes) } catch let error as FileError { throw UploadError(error) }
      state.md5.update(bytes)
      state.sha512.update(bytes)
      if state.head.count < ImageContent.headLength {
        state.head += bytes.prefix(ImageContent.headLength - state.head.count)
      }
      state.size += bytes.count
      state.filled = 0
    }
  }

  /// Checks the content against what it is declared to be, and gives it its name.
  /// - Parameter length: bytes that the sender announced; nil when it did not.
  /// - Throws: ``UploadError`` `.refused` with the reason, `.cutOff` when there is less than announced.
  public func publish(declared: ImageContent.Declared, length: Int?, largestDisk: Int) async throws -> ImageFacts {
    try await flush()
    let (state, path, target) = (state, path, target)
    if let length, state.size != length { throw UploadError.cutOff }
    // Bringing gigabytes to the disk takes its time: not on a thread that others wait for.
    let publishing = FileThread("image publish")
    let tail = try await publishing.run {
      let start = max(0, state.size - ImageContent.tailLength)
      return try Files.read(state.descriptor, at: start, count: state.size - start)
    }
    let virtualSize = try await virtualSize(declared, tail: tail)
    if let virtualSize, virtualSize > largestDisk {
      throw UploadError.refused(
        "The image describes a disk of \(virtualSize) bytes; this site takes at most \(largestDisk).")
    }
    return try await publishing.run {
      let facts = ImageFacts(
        size: state.size, virtualSize: virtualSize, md5: Digest.hex(state.md5.finish()),
        sha512: Digest.hex(state.sha512.finish()))
      do { try Files.publish(path, as: target) } catch let error as FileError { throw UploadError(error) }
      return facts
    }
  }

  /// Bytes of the disk that the content describes; nil where that cannot be told.
  /// - Throws: ``UploadError`` `.refused` for content that is not what it is declared to be.
  private func virtualSize(_ declared: ImageContent.Declared, tail: [UInt8]) async throws -> Int? {
    let image = ConfinedImage(program: confined, source: path)
    do {
      if declared.isCompressed, state.size > 0 {
        let compression = try ImageContent.compression(head: state.head, tail: tail)
        let head = try await image.unpackedHead(compression, count: ImageContent.headLength)
        return try ImageContent.inspectUnpacked(declared: declared.format, head: head)
      }
      let content = try ImageContent.inspect(
        declared: declared.format, head: state.head, tail: tail, size: state.size)
      // The header of a qcow2 says all; of the others the converter knows more.
      guard content.isConverted, declared.format != "qcow2", let word = ImageContent.converted[declared.format] else {
        return content.virtualSize
      }
      return try await image.diskSize(word)
    } catch let error as ImageContent.Refusal {
      throw UploadError.refused(error.description)
    } catch is ConfinedImage.Failure {
      throw UploadError.refused(
        "The \(declared.format) image cannot be read: it is damaged, refers to another file, or is of a kind that is not known here. "
          + "Convert it: qemu-img convert -O qcow2.")
    } catch let error as CommandError {
      throw UploadError.storage(error.description)
    }
  }

  /// Removes what came in.
  public func discard() { unlink(path) }
}

/// Content that is there already, on its way into another image.
final class ImageReader: Sendable {
  private let thread = FileThread.shared
  private let file: Descriptor
  let size: Int

  /// Closed with the reader.
  private final class Descriptor: Sendable {
    let number: Int32
    init(_ number: Int32) { self.number = number }
    deinit { close(number) }
  }
  init(path: String) async throws {
    (file, size) = try await thread.run {
      do {
        let file = Descriptor(try Files.open(path, O_RDONLY))
        return (file, try Files.size(file.number))
      } catch let error as FileError where error.number == ENOENT { throw UploadError.missing }
    }
  }
  /// Up to `count` bytes from `offset`; fewer only at the end.
  func read(at offset: Int, count: Int) async throws -> [UInt8] {
    let file = file
    return try await thread.run { try Files.read(file.number, at: offset, count: count) }
  }
}
