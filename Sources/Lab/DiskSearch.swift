import CLinux
import Glibc
import Processes

/// Counts how often a text stands in bytes that come in pieces: each place where it begins, overlapping ones too.
struct TextCount {
  private let text: [UInt8]
  /// The last bytes of what came before, one fewer than the text has: a text may begin there and end in the next piece.
  private var tail: ArraySlice<UInt8> = []
  private(set) var count = 0

  /// - Precondition: `text` is not empty.
  init(_ text: [UInt8]) { self.text = text }

  /// The bytes that follow those of the last call.
  mutating func take(_ piece: UnsafeRawBufferPointer) {
    let overlap = text.count - 1
    // What begins before the piece and ends in it; then what is in the piece whole. Nothing is both.
    if !tail.isEmpty { (tail + piece.prefix(overlap)).withUnsafeBytes { search($0) } }
    search(piece)
    tail = (piece.count < overlap ? tail + piece : Array(piece.suffix(overlap))[...]).suffix(overlap)
  }

  /// The bytes of the next call do not follow those of the last one.
  mutating func skip() { tail = [] }

  private mutating func search(_ bytes: UnsafeRawBufferPointer) {
    guard let start = bytes.baseAddress else { return }
    var place = 0
    while true {
      let found = clinux_find(start + place, bytes.count - place, text, text.count)
      if found < 0 { return }
      count += 1
      place += found + 1
    }
  }
}

/// Looks for a text in everything that a machine could read from its disk, byte for byte, whatever the file system says.
///
/// What `qemu-img map` does not list was never written or was erased, and reads as zero bytes. What it lists is read
/// from where it is in the file; nothing is unpacked or copied, so a disk with little on it takes little time.
/// A machine that is on may write meanwhile: then it is what the disk held at some moment of the search.
enum DiskSearch {
  /// Bytes of the disk at `start`, and where the file has them.
  struct Extent: Equatable {
    var start: Int
    var length: Int
    var place: Int
  }

  /// - Parameter text: without zero bytes, which is what everything else on the disk reads as.
  /// - Throws: ``Laboratory/Failure`` when the file cannot be read, or holds data that is not in it as it is
  ///   (compressed, encrypted, in a backing file).
  static func count(of text: String, inDisk path: String) async throws -> Int {
    guard !text.isEmpty, !text.utf8.contains(0) else {
      throw Laboratory.Failure("the text to look for must have at least one byte, and no zero bytes")
    }
    let map = try await run(
      "qemu-img", ["map", "-U", "-f", "qcow2", path], timeout: .seconds(60), outputLimit: 64 << 20)
    guard map.status == 0 else {
      throw Laboratory.Failure("cannot search \(path): \(map.lastErrorLine)")
    }
    let extents = try extents(map.text)
    return try await withCheckedThrowingContinuation { continuation in
      startThread("disk-search") {
        continuation.resume(with: Result { try count(of: Array(text.utf8), in: extents, ofFile: path) })
      }
    }
  }

  /// The lines of `qemu-img map`: place and length on the disk, place in the file, in hexadecimal; then the file.
  static func extents(_ map: String) throws -> [Extent] {
    try map.split(separator: "\n").dropFirst().map { line in
      let words = line.split(separator: " ")
      let numbers = words.prefix(3).compactMap { $0.hasPrefix("0") ? Int($0.trimmingPrefix("0x"), radix: 16) : nil }
      // (zero is written without "0x")
      guard words.count >= 4, numbers.count == 3 else {
        throw Laboratory.Failure("qemu-img map said what cannot be read: \(line)")
      }
      return Extent(start: numbers[0], length: numbers[1], place: numbers[2])
    }
  }

  private static func count(of text: [UInt8], in extents: [Extent], ofFile path: String) throws -> Int {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw failure("open", path) }
    defer { close(descriptor) }
    var count = TextCount(text)
    let piece = UnsafeMutableRawBufferPointer.allocate(byteCount: 4 << 20, alignment: 4096)
    defer { piece.deallocate() }
    var end = 0
    for extent in extents {
      if extent.start != end { count.skip() }
      end = extent.start + extent.length
      var done = 0
      while done < extent.length {
        let size = pread(
          descriptor, piece.baseAddress, min(piece.count, extent.length - done), off_t(extent.place + done))
        if size < 0, errno == EINTR { continue }
        guard size >= 0 else { throw failure("read", path) }
        // A file may end before the last cluster does: the rest reads as zero bytes.
        if size == 0 {
          count.skip()
          break
        }
        count.take(UnsafeRawBufferPointer(rebasing: piece[..<size]))
        done += size
      }
    }
    return count.count
  }

  private static func failure(_ what: String, _ path: String) -> Laboratory.Failure {
    Laboratory.Failure("cannot \(what) \(path): \(String(cString: strerror(errno)))")
  }
}
