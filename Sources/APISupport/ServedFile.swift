import Glibc
import HTTPTypes
import Hummingbird
import NIOCore
import NIOPosix

/// A file that is being sent, closed when nobody needs it any more. Who else writes to it while it is sent gets what they made: it is for
/// files that are complete.
public final class ServedFile: Sendable {
  public let size: Int
  /// Owns the descriptor.
  let handle: NIOFileHandle
  private let descriptor: Int32
  private let threads: NIOThreadPool
  /// Bytes per read: large enough that a hop to a thread costs nothing beside it.
  private static let piece = 1 << 20
  /// Bytes that the kernel is handed at once; they take no memory of ours.
  private static let region = 4 << 20

  private init(descriptor: Int32, size: Int, threads: NIOThreadPool) {
    self.descriptor = descriptor
    handle = NIOFileHandle(_deprecatedTakingOwnershipOfDescriptor: descriptor)
    self.size = size
    self.threads = threads
  }
  deinit { try? handle.close() }

  /// - Parameter isSites: what the site has put there, which may be a symbolic link; what this server keeps is none, and is not
  ///   followed if somebody made it one.
  /// - Returns: nil when there is no such regular file.
  public static func open(_ path: String, isSites: Bool = false, on threads: NIOThreadPool = .singleton) async throws
    -> ServedFile?
  {
    try await threads.runIfActive {
      // (Opening a pipe waits for its other end, unless it is asked not to.)
      let descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | (isSites ? 0 : O_NOFOLLOW))
      guard descriptor >= 0 else { return nil }
      var status = stat()
      guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
        close(descriptor)
        return nil
      }
      return ServedFile(descriptor: descriptor, size: Int(status.st_size), threads: threads)
    }
  }

  struct ReadFailure: Error, CustomStringConvertible { let description: String }

  /// - Throws: when the file has become shorter.
  public func read(_ range: Range<Int>) async throws -> ByteBuffer {
    try await threads.runIfActive { [self] in
      var buffer = ByteBufferAllocator().buffer(capacity: range.count)
      var at = range.lowerBound
      while at < range.upperBound {
        let wanted = range.upperBound - at
        let count = buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: wanted) { memory in
          max(pread(descriptor, memory.baseAddress, wanted, at), 0)
        }
        guard count > 0 else { throw endedEarly(at) }
        at += count
      }
      return buffer
    }
  }
  private func endedEarly(_ at: Int) -> ReadFailure {
    ReadFailure(description: "the file ended at byte \(at) of \(size)")
  }

  /// Writes a part of it: by the kernel where the connection lets it (``SocketBodyWriter``), else through memory.
  public func send(_ range: Range<Int>, to writer: inout any ResponseBodyWriter) async throws {
    guard let socket = writer as? SocketBodyWriter else {
      for piece in Self.parts(of: range, each: Self.piece) { try await writer.write(try await read(piece)) }
      return
    }
    for region in Self.parts(of: range, each: Self.region) {
      if try !isInMemory(region) { try await bringIn(region) }
      try await socket.send(handle, region)
    }
  }
  private static func parts(of range: Range<Int>, each length: Int) -> some Sequence<Range<Int>> {
    stride(from: range.lowerBound, to: range.upperBound, by: length).lazy.map {
      $0..<min($0 + length, range.upperBound)
    }
  }

  /// Has the kernel read from the disk what it does not have in memory, on a thread that may wait for it: the one that sends would hold up
  /// every other connection of its event loop.
  private func bringIn(_ range: Range<Int>) async throws {
    try await threads.runIfActive { [self] in
      posix_fadvise(descriptor, range.upperBound, Self.region, POSIX_FADV_WILLNEED)
      try withUnsafeTemporaryAllocation(byteCount: 64 << 10, alignment: 16) { scratch in
        var at = range.lowerBound
        while at < range.upperBound {
          let count = pread(descriptor, scratch.baseAddress, min(scratch.count, range.upperBound - at), at)
          guard count > 0 else { throw endedEarly(at) }
          at += count
        }
      }
    }
  }
  /// Whether all pages are in the page cache; nothing is read or mapped in for the question (mincore(2)), which takes microseconds.
  private func isInMemory(_ range: Range<Int>) throws -> Bool {
    var status = stat()
    guard fstat(descriptor, &status) == 0, Int(status.st_size) >= range.upperBound else {
      throw endedEarly(Int(status.st_size))
    }
    let page = max(Int(sysconf(Int32(_SC_PAGESIZE))), 1)
    let start = range.lowerBound / page * page
    let length = range.upperBound - start
    guard let map = mmap(nil, length, PROT_READ, MAP_SHARED, descriptor, start), map != MAP_FAILED else { return false }
    defer { munmap(map, length) }
    let pages = (length + page - 1) / page
    return withUnsafeTemporaryAllocation(of: UInt8.self, capacity: pages) { flags in
      guard let first = flags.baseAddress, mincore(map, length, first) == 0 else { return false }
      return flags.allSatisfy { $0 & 1 == 1 }
    }
  }

  /// The file, or the range asked for, as it is.
  /// - Parameters:
  ///   - wholeOnly: headers that would be wrong with a part.
  ///   - noun: what the sentence of an error calls it.
  /// - Throws: 416 for a range beyond the end.
  public func answer(
    _ request: APIRequest, wholeOnly: HTTPFields = [:], noun: String = "file"
  ) throws -> APIResponse {
    var headers: HTTPFields = [.acceptRanges: "bytes"]
    var range = 0..<size
    var status: HTTPResponse.Status = .ok
    switch request.headers[.ifRange] == nil ? AskedRange(request.headers[.range], size: size) : .whole {
    case .whole: headers.append(contentsOf: wholeOnly)
    case .part(let part):
      range = part
      status = .partialContent
      headers[.contentRange] = "bytes \(part.lowerBound)-\(part.upperBound - 1)/\(size)"
    case .impossible:
      var error = APIError(
        .rangeNotSatisfiable, "The \(noun) has \(size) bytes; the range is outside of them.")
      error.headers[.contentRange] = "bytes */\(size)"
      throw error
    }
    return APIResponse(status, contentType: "application/octet-stream", length: range.count, headers: headers) {
      [self, range] writer in try await send(range, to: &writer)
    }
  }
}

/// One range of bytes. Source: RFC 9110, 14.1.2; several, and other units, are answered with the whole.
enum AskedRange: Equatable {
  case whole
  case part(Range<Int>)
  case impossible

  /// - Parameter header: "bytes=0-99", "bytes=100-", "bytes=-5" (the last five).
  init(_ header: String?, size: Int) {
    self = .whole
    guard let header, header.hasPrefix("bytes="), !header.contains(",") else { return }
    let halves = header.dropFirst(6).split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
    guard halves.count == 2 else { return }
    func number(_ text: Substring) -> Int? { text.utf8.allSatisfy { $0 >= 48 && $0 <= 57 } ? Int(text) : nil }
    if halves[0].isEmpty {
      guard let count = number(halves[1]) else { return }
      self = count == 0 || size == 0 ? .impossible : .part(max(0, size - count)..<size)
      return
    }
    guard let first = number(halves[0]), let last = halves[1].isEmpty ? Int.max : number(halves[1]), last >= first
    else { return }
    self = first >= size ? .impossible : .part(first..<(min(size - 1, last) + 1))
  }
}
