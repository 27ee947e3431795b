import HTTPTypes
import Hummingbird
import NIOCore
import NIOHTTP1
import NIOHTTPTypesHTTP1

/// Writes the body of an answer to a connection that is not encrypted, where the kernel can send the bytes of a file by itself
/// (sendfile(2)): they are never in this process.
struct SocketBodyWriter: ResponseBodyWriter {
  private var body: any ResponseBodyWriter
  private let channel: any Channel

  init(_ body: any ResponseBodyWriter, _ channel: any Channel) {
    self.body = body
    self.channel = channel
  }

  mutating func write(_ buffer: ByteBuffer) async throws { try await body.write(buffer) }
  mutating func write(contentsOf buffers: some Sequence<ByteBuffer>) async throws {
    try await body.write(contentsOf: buffers)
  }
  consuming func finish(_ trailingHeaders: HTTPFields?) async throws { try await body.finish(trailingHeaders) }

  /// Sends a part of a file, and returns when the kernel has it. The parts of an answer that the HTTP stack writes know of bytes in memory
  /// alone, so that this goes past it, to the encoder of HTTP/1 just below; what was written before is below already.
  func send(_ file: NIOFileHandle, _ range: Range<Int>) async throws {
    try Task.checkCancellation()
    let channel = channel
    try await withTaskCancellationHandler {
      try await channel.eventLoop.flatSubmit { () -> EventLoopFuture<Void> in
        let sent = channel.eventLoop.makePromise(of: Void.self)
        do {
          let below = try channel.pipeline.syncOperations.context(handlerType: HTTP1ToHTTPServerCodec.self)
          let region = FileRegion(fileHandle: file, readerIndex: range.lowerBound, endIndex: range.upperBound)
          below.writeAndFlush(NIOAny(HTTPServerResponsePart.body(.fileRegion(region))), promise: sent)
        } catch { sent.fail(error) }
        return sent.futureResult
      }.get()
    } onCancel: {
      // Of a client that takes nothing nobody would ever hear again.
      channel.close(promise: nil)
    }
  }
}
