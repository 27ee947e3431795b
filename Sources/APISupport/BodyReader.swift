import HTTPTypes
import Hummingbird
import NIOCore

/// Reads the body of a request into memory of the caller's.
///
/// A large body of known length on a connection that is not encrypted comes there from the kernel at once (``SocketBodyReader``); any other
/// is copied from the pieces that the HTTP stack makes. One task uses it.
public struct BodyReader {
  private var pieces: RequestBody.AsyncIterator
  /// What did not fit into the memory of the last call.
  private var rest = ByteBuffer()
  /// Bytes of the body that are still to come; nil where the sender did not say.
  private var left: Int?
  private let channel: (any Channel)?
  private(set) var socket: SocketBodyReader?

  /// From this many bytes to come on the kernel fills the caller's memory: many times what the HTTP stack holds of a body, so that its end is not
  /// there yet, unless the sender has closed its side. Then the stack may have all, and takes nothing more, the reader's mark included: all is copied.
  static let leastDirect = 8 << 20

  init(_ request: APIRequest) {
    pieces = request.bodyStream.makeAsyncIterator()
    left = request.headers[.contentLength].flatMap { Int($0) }
    channel = left.map { $0 >= Self.leastDirect } == true ? request.socket : nil
  }

  /// Waits for more of the body.
  /// - Parameter memory: not empty; not to be touched before this returns.
  /// - Returns: how many bytes of it are filled; 0 at the end of the body, and of a task that was cancelled.
  public mutating func read(into memory: UnsafeMutableRawBufferPointer) async throws -> Int {
    if socket == nil, let channel, let left, left >= Self.leastDirect, rest.readableBytes == 0 {
      socket = try await SocketBodyReader.begin(on: channel)
    }
    var count = 0
    while count == 0 {
      if rest.readableBytes > 0 {
        count = rest.readWithUnsafeReadableBytes { bytes in
          let count = min(bytes.count, memory.count)
          memory.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[..<count]))
          return count
        }
      } else if let socket, socket.isBegun, let left {
        count = try await socket.read(into: memory, left: left) { try await pieces.next()?.readableBytes }
        if count == 0 { return 0 }
      } else if let piece = try await pieces.next() {
        // The mark is empty.
        if piece.readableBytes == 0 { socket?.isBegun = true }
        rest = piece
      } else {
        return 0
      }
    }
    left = left.map { $0 - count }
    return count
  }

  /// Leaves what is left of the body, if any, to the HTTP stack.
  mutating func end() {
    socket?.end()
    socket = nil
  }
}
