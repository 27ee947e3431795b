import Glibc
import NIOCore
import NIOHTTP1

/// Has the kernel fill memory with the body of a request, past the HTTP stack, which costs as much as receiving.
///
/// It stands between the socket and the HTTP stack. What comes is not handed on; the stack gets as many bytes of nothing instead, so that it
/// knows where the body ends, who is idle and whether there is room. All of it happens on the connection's event loop, but where it says
/// otherwise: the unchecked part.
final class SocketBodyReader: ChannelDuplexHandler, RemovableChannelHandler, @unchecked Sendable {
  typealias InboundIn = ByteBuffer
  typealias InboundOut = ByteBuffer
  typealias OutboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  /// Of the reader's task: the mark is through, so that nothing of the body is in the stack any more.
  var isBegun = false

  private let channel: any Channel
  private var context: ChannelHandlerContext?
  /// Where bytes go; nil while nobody asks.
  private var memory: UnsafeMutableRawBufferPointer?
  /// How much of it was filled, once the stack has the first piece of that.
  private var filled = -1
  /// Bytes of the body that did not come yet; those after them are the next request.
  private var left = Int.max
  /// What came while nobody asked.
  private var early = ByteBuffer()
  /// The stack wants more, and waits until somebody asks.
  private var isReadHeld = false
  /// The sender says no more; what it said before comes first.
  private var isCloseHeld = false
  private var isEnded = false

  /// What the stack gets.
  private static let nothing = ByteBuffer(repeating: 0, count: 1 << 20)

  private init(_ channel: any Channel) { self.channel = channel }

  /// Begins in the middle of a body whose end is not there yet. The stack's next piece that is empty marks where it took over.
  /// - Returns: nil on a connection that is something else than HTTP/1 on a socket.
  static func begin(on channel: any Channel) async throws -> SocketBodyReader? {
    try await channel.eventLoop.submit {
      let pipeline = channel.pipeline.syncOperations
      guard channel.isActive, try pipeline.withUnsafeTransportIfAvailable({ (_: NIOBSDSocket.Handle) in true }) == true,
        let decoder = try? pipeline.context(handlerType: ByteToMessageHandler<HTTPRequestDecoder>.self)
      else { return nil }
      let reader = SocketBodyReader(channel)
      try pipeline.addHandler(reader, position: .first)
      decoder.fireChannelRead(NIOAny(HTTPServerRequestPart.body(ByteBuffer())))
      decoder.fireChannelReadComplete()
      return reader
    }.get()
  }

  /// - Parameters:
  ///   - left: of the body, not more than are to come.
  ///   - next: waits for the stack's next piece and tells its length; nil at the end.
  func read(
    into memory: UnsafeMutableRawBufferPointer, left: Int, next: () async throws -> Int?
  ) async throws -> Int {
    nonisolated(unsafe) let lent = memory
    try await channel.eventLoop.submit { self.ask(for: lent, left: left) }.get()
    do {
      // The stack gets what came in several pieces.
      var told = 0
      while let count = try await next() {
        told += count
        if told == filled { return told }
      }
    } catch {
      try? await withdraw()
      throw error
    }
    try await withdraw()
    return 0
  }
  /// Whoever asked may take the memory away again.
  private func withdraw() async throws { try await channel.eventLoop.submit { self.memory = nil }.get() }

  private func ask(for memory: UnsafeMutableRawBufferPointer, left: Int) {
    guard let context, !isEnded else { return }
    (self.memory, self.left, filled) = (memory, left, -1)
    if early.readableBytes > 0 {
      take(context)
      context.fireChannelReadComplete()
    } else if isReadHeld {
      isReadHeld = false
      context.read()
    }
  }

  /// Moves what there is, in `early` and then in the kernel, to the memory.
  private func take(_ context: ChannelHandlerContext) {
    guard let memory else { return }
    self.memory = nil
    let most = min(memory.count, left)
    var count = early.readWithUnsafeReadableBytes { bytes in
      let count = min(bytes.count, most)
      memory.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[..<count]))
      return count
    }
    // (Its memory goes back to the channel.)
    if early.readableBytes == 0 { early = ByteBuffer() }
    if early.readableBytes == 0, count < most {
      count += receive(UnsafeMutableRawBufferPointer(rebasing: memory[count..<most]))
    }
    left -= count
    filled = count
    var told = 0
    while told < count {
      let length = min(count - told, Self.nothing.readableBytes)
      guard let slice = Self.nothing.getSlice(at: 0, length: length) else { return }
      context.fireChannelRead(wrapInboundOut(slice))
      told += length
    }
    if left == 0 { handOn(context) } else { tellOfClose(context) }
  }
  private func tellOfClose(_ context: ChannelHandlerContext) {
    guard isCloseHeld, early.readableBytes == 0 else { return }
    isCloseHeld = false
    context.fireChannelReadComplete()
    context.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
  }
  /// As much as the kernel has now. Of an end, or an error, the channel hears itself when it reads the next time.
  private func receive(_ memory: UnsafeMutableRawBufferPointer) -> Int {
    let count = try? channel.pipeline.syncOperations.withUnsafeTransportIfAvailable { (socket: NIOBSDSocket.Handle) in
      recv(socket, memory.baseAddress, memory.count, Int32(MSG_DONTWAIT))
    }
    return max(count ?? 0, 0)
  }
  /// From here on the stack gets all as it is.
  private func handOn(_ context: ChannelHandlerContext) {
    isEnded = true
    if early.readableBytes > 0 { context.fireChannelRead(wrapInboundOut(early)) }
    early = ByteBuffer()
    tellOfClose(context)
    if isReadHeld {
      isReadHeld = false
      context.read()
    }
  }

  func end() {
    channel.eventLoop.execute {
      guard let context = self.context else { return }
      if !self.isEnded {
        let hasEarly = self.early.readableBytes > 0
        self.handOn(context)
        if hasEarly { context.fireChannelReadComplete() }
      }
      context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
    }
  }

  func handlerAdded(context: ChannelHandlerContext) { self.context = context }
  func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    guard !isEnded else { return context.fireChannelRead(data) }
    var buffer = unwrapInboundIn(data)
    if early.readableBytes == 0 { early = buffer } else { early.writeBuffer(&buffer) }
    take(context)
  }
  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if !isEnded, early.readableBytes > 0, case .inputClosed = event as? ChannelEvent {
      isCloseHeld = true
    } else {
      context.fireUserInboundEventTriggered(event)
    }
  }
  func read(context: ChannelHandlerContext) {
    if isEnded || memory != nil { context.read() } else { isReadHeld = true }
  }
}
