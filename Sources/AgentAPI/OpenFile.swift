import APISupport
import Glibc
import HTTPTypes
import Hummingbird
import NIOCore
import NIOPosix

/// A file that is being sent: read in blocks on a thread of its own, closed when nobody needs it any more.
final class OpenFile: Sendable {
  let size: Int
  private let descriptor: Int32
  private let threads: NIOThreadPool
  /// Bytes per read. Large enough that a hop to a thread costs nothing beside it.
  static let block = 1 << 20
  /// Zeros are looked for in pieces of this size.
  static let grain = 64 << 10

  // Linux's `SEEK_DATA` and `SEEK_HOLE`: behind _GNU_SOURCE, which the Glibc module does not define. Source: lseek(2).
  private static let seekData: Int32 = 3
  private static let seekHole: Int32 = 4

  private init(descriptor: Int32, size: Int, threads: NIOThreadPool) {
    self.descriptor = descriptor
    self.size = size
    self.threads = threads
  }
  deinit { close(descriptor) }

  /// - Returns: nil when there is no such regular file.
  static func open(_ path: String, on threads: NIOThreadPool) async throws -> OpenFile? {
    try await threads.runIfActive {
      let descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC)
      guard descriptor >= 0 else { return nil }
      var status = stat()
      guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
        close(descriptor)
        return nil
      }
      return OpenFile(descriptor: descriptor, size: Int(status.st_size), threads: threads)
    }
  }

  struct ReadFailure: Error, CustomStringConvertible { let description: String }

  private func read(_ range: Range<Int>) async throws -> ByteBuffer {
    try await threads.runIfActive { [self] in
      var buffer = ByteBufferAllocator().buffer(capacity: range.count)
      var at = range.lowerBound
      while at < range.upperBound {
        let wanted = range.upperBound - at
        let count = buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: wanted) { memory in
          max(pread(descriptor, memory.baseAddress, wanted, at), 0)
        }
        guard count > 0 else { throw ReadFailure(description: "the file ended at byte \(at) of \(size)") }
        at += count
      }
      return buffer
    }
  }

  /// The bytes that a request wants. Source: RFC 9110, section 14: one range; anything else is the whole.
  /// - Throws: 416 for a range beyond the end.
  private func range(_ request: APIRequest) throws -> (range: Range<Int>, isPartial: Bool) {
    guard let header = request.headers[.range], header.hasPrefix("bytes="), !header.contains(","),
      request.headers[.ifRange] == nil
    else { return (0..<size, false) }
    let parts = header.dropFirst("bytes=".count).split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
    guard parts.count == 2 else { return (0..<size, false) }
    func number(_ text: Substring) -> Int? { text.utf8.allSatisfy { $0 >= 48 && $0 <= 57 } ? Int(text) : nil }
    if parts[0].isEmpty {
      guard let tail = number(parts[1]) else { return (0..<size, false) }
      return (max(size - tail, 0)..<size, true)
    }
    guard let first = number(parts[0]), parts[1].isEmpty || number(parts[1]) != nil else { return (0..<size, false) }
    let last = min(number(parts[1]) ?? size - 1, size - 1)
    guard first <= last else {
      var error = APIError(.rangeNotSatisfiable, "The file has \(size) bytes.")
      error.headers[.contentRange] = "bytes */\(size)"
      throw error
    }
    return (first..<last + 1, true)
  }

  private func headers(_ range: Range<Int>, _ isPartial: Bool) -> HTTPFields {
    var headers: HTTPFields = [.acceptRanges: "bytes"]
    if isPartial { headers[.contentRange] = "bytes \(range.lowerBound)-\(range.upperBound - 1)/\(size)" }
    return headers
  }

  /// The file, or the range asked for, as it is.
  func answer(_ request: APIRequest) throws -> APIResponse {
    let (range, isPartial) = try range(request)
    return APIResponse(
      isPartial ? .partialContent : .ok, contentType: "application/octet-stream", length: range.count,
      headers: headers(range, isPartial)
    ) { [self] writer in
      for start in stride(from: range.lowerBound, to: range.upperBound, by: Self.block) {
        try await writer.write(try await read(start..<min(start + Self.block, range.upperBound)))
      }
    }
  }

  /// The file as extents: a header of offset and length (UInt64, little endian), then the bytes; what lies between reads as
  /// zero; (size, 0) ends it (docs/agent-protocol.md).
  ///
  /// A range is one of this body, for an agent that takes a broken transfer up again: the body is made once more and
  /// its beginning left out. It is honoured only with the `If-Range` of the same version.
  /// - Parameter version: of the file's content: its SHA-256.
  func extents(_ request: APIRequest, version: String) -> APIResponse {
    let tag = "\"\(version)\""
    var headers: HTTPFields = [.eTag: tag]
    var skipped = 0
    if request.headers[.ifRange] == tag, let header = request.headers[.range], header.hasPrefix("bytes="),
      header.hasSuffix("-"),
      let first = Int(header.dropFirst("bytes=".count).dropLast()), first > 0
    {
      skipped = first
      headers[.contentRange] = "bytes \(first)-*/*"
    }
    return APIResponse(
      skipped > 0 ? .partialContent : .ok, contentType: "application/x-steelyard-extents", length: nil, headers: headers
    ) { [self, skipped] writer in
      var left = skipped
      var at = 0
      while at < size, let data = try await data(from: at, to: size) {
        for start in stride(from: data.lowerBound, to: data.upperBound, by: Self.block) {
          let part = start..<min(start + Self.block, data.upperBound)
          var framed = framed(try await read(part), at: part.lowerBound)
          let drop = min(left, framed.readableBytes)
          framed.moveReaderIndex(forwardBy: drop)
          left -= drop
          if framed.readableBytes > 0 { try await writer.write(framed) }
        }
        at = data.upperBound
      }
      var end = Self.header(size, 0)
      end.moveReaderIndex(forwardBy: min(left, end.readableBytes))
      try await writer.write(end)
    }
  }

  /// The next run that the file system says is not a hole; nil when there is none before `end`.
  private func data(from start: Int, to end: Int) async throws -> Range<Int>? {
    try await threads.runIfActive { [self] in
      let data = lseek(descriptor, start, Self.seekData)
      if data < 0 {
        // ENXIO: only a hole follows. Any other answer: this file system does not tell, so it is all data.
        return errno == ENXIO ? nil : start..<end
      }
      guard data < end else { return nil }
      let hole = lseek(descriptor, data, Self.seekHole)
      return data..<(hole < 0 ? end : min(hole, end))
    }
  }

  /// The block without its zeros, each run that is left behind its header.
  private func framed(_ block: ByteBuffer, at offset: Int) -> ByteBuffer {
    block.withUnsafeReadableBytes { bytes in
      var out = ByteBufferAllocator().buffer(capacity: bytes.count + 64)
      var runStart: Int?
      func end(_ at: Int) {
        guard let start = runStart else { return }
        out.writeImmutableBuffer(Self.header(offset + start, at - start))
        out.writeBytes(UnsafeRawBufferPointer(rebasing: bytes[start..<at]))
        runStart = nil
      }
      for start in stride(from: 0, to: bytes.count, by: Self.grain) {
        let piece = UnsafeRawBufferPointer(rebasing: bytes[start..<min(start + Self.grain, bytes.count)])
        if Self.isZero(piece) { end(start) } else if runStart == nil { runStart = start }
      }
      end(bytes.count)
      return out
    }
  }
  private static func header(_ offset: Int, _ length: Int) -> ByteBuffer {
    var buffer = ByteBufferAllocator().buffer(capacity: 16)
    buffer.writeInteger(UInt64(offset), endianness: .little)
    buffer.writeInteger(UInt64(length), endianness: .little)
    return buffer
  }
  private static func isZero(_ bytes: UnsafeRawBufferPointer) -> Bool {
    guard let start = bytes.baseAddress, bytes[0] == 0 else { return bytes.isEmpty }
    // Equal to itself one byte on, and the first is zero: all are.
    return memcmp(start, start + 1, bytes.count - 1) == 0
  }
}
