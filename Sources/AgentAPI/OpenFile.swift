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

  func read(_ range: Range<Int>) async throws -> ByteBuffer {
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
}
