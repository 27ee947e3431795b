import NIOCore
import Wire

/// The JSON-RPC side of one connection. Everything runs on its channel's event loop.
///
/// At most ``window`` requests are on their way; the rest wait here. The server stops reading while its answers are not
/// read, so a pipeline without a window and with nobody reading deadlocks; here the event loop always reads.
final class JSONRPCHandler: ChannelInboundHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  /// Requests on their way to the server.
  static let window = 32
  /// Requests that may wait for the window.
  static let waitingLimit = 10_000
  /// Without a byte from the server for so long it is asked for an echo; one that does not answer is gone.
  static let idleLimit = TimeAmount.seconds(10)

  private struct Request {
    let id: Int
    let method: String
    let parameters: JSON
    let promise: EventLoopPromise<JSON>
    let timer: Scheduled<Void>
  }
  private var framing: MessageFraming
  private var onTheirWay: [Int: Request] = [:]
  private var waiting: [Int: Request] = [:]
  /// Order of `waiting`; ids that have timed out are passed over.
  private var waitingOrder: ArraySlice<Int> = []
  private var lastID = 0
  private var notifications: [String: @Sendable (Result<JSON, OVSDBError>) -> Void] = [:]
  private var context: ChannelHandlerContext?
  private var hasHeard = false
  private var keepAlive: Scheduled<Void>?
  private var failure: OVSDBError?

  init(messageLimit: Int) { framing = MessageFraming(limit: messageLimit) }

  // MARK: Requests

  func call(_ method: String, _ parameters: JSON, limit: Duration, on loop: any EventLoop) -> EventLoopFuture<JSON> {
    guard context != nil, failure == nil else {
      return loop.makeFailedFuture(failure ?? OVSDBError.connectionLost)
    }
    guard waiting.count < Self.waitingLimit else { return loop.makeFailedFuture(OVSDBError.tooManyWaiting) }
    lastID += 1
    let id = lastID
    let timer = loop.assumeIsolated().scheduleTask(in: TimeAmount(limit)) { self.expire(id, limit) }
    let request = Request(
      id: id, method: method, parameters: parameters, promise: loop.makePromise(), timer: timer)
    if onTheirWay.count < Self.window {
      send(request)
    } else {
      waiting[id] = request
      waitingOrder.append(id)
    }
    return request.promise.futureResult
  }

  /// Hands every `update` of the monitor `id` to `sink`, and at the end why there are no more.
  func subscribe(_ id: String, _ sink: @escaping @Sendable (Result<JSON, OVSDBError>) -> Void) {
    if let failure { return sink(.failure(failure)) }
    notifications[id] = sink
  }
  func unsubscribe(_ id: String) { notifications[id] = nil }

  private func send(_ request: Request) {
    onTheirWay[request.id] = request
    write { writer in
      writer.beginObject()
      writer.member("method", request.method)
      writer.member("params", request.parameters)
      writer.member("id", request.id)
      writer.endObject()
    }
  }

  private func write(_ body: (inout JSONWriter) -> Void) {
    guard let context else { return }
    var writer = JSONWriter(capacity: 4096)
    body(&writer)
    let buffer = writer.withBytes { context.channel.allocator.buffer(bytes: $0) }
    context.writeAndFlush(wrapOutboundOut(buffer), promise: nil)
  }

  private func sendWaiting() {
    while onTheirWay.count < Self.window, let id = waitingOrder.popFirst() {
      if let request = waiting.removeValue(forKey: id) { send(request) }
    }
  }

  /// A request that is late is forgotten, its answer too; the others go on.
  private func expire(_ id: Int, _ limit: Duration) {
    let request = onTheirWay.removeValue(forKey: id) ?? waiting.removeValue(forKey: id)
    request?.promise.fail(OVSDBError.timeout(limit))
    sendWaiting()
  }

  // MARK: Channel

  func handlerAdded(context: ChannelHandlerContext) {
    self.context = context
    scheduleCheck(on: context.eventLoop)
  }
  func handlerRemoved(context: ChannelHandlerContext) { end(.connectionLost) }
  func channelInactive(context: ChannelHandlerContext) {
    end(.connectionLost)
    context.fireChannelInactive()
  }
  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    end(.connectionLost)
    context.close(promise: nil)
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    hasHeard = true
    do {
      let messages = try unwrapInboundIn(data).withUnsafeReadableBytes { try framing.take($0) }
      for bytes in messages { try handle(try JSON.parse(bytes)) }
    } catch {
      end(.badMessage("\(error)"))
      context.close(promise: nil)
    }
  }

  private func handle(_ message: JSON) throws {
    if let method = message["method"]?.string {
      switch method {
      case "echo":
        // RFC 7047 section 4.1.11: both sides answer; a server closes a connection that does not.
        write { writer in
          writer.beginObject()
          writer.member("result", message["params"] ?? .array([]))
          writer.member("error", JSON.null)
          writer.member("id", message["id"] ?? .null)
          writer.endObject()
        }
      case "update":
        if let parameters = message["params"]?.array, parameters.count == 2, let id = parameters[0].string {
          notifications[id]?(.success(parameters[1]))
        }
      default: break
      }
      return
    }
    guard let id = message["id"]?.int, let request = onTheirWay.removeValue(forKey: id) else { return }
    request.timer.cancel()
    switch message["error"] ?? .null {
    case .null: request.promise.succeed(message["result"] ?? .null)
    case .string(let text): request.promise.fail(OVSDBError.refused(text, details: ""))
    case let error:
      request.promise.fail(
        OVSDBError.refused(error["error"]?.string ?? "error", details: error["details"]?.string ?? ""))
    }
    sendWaiting()
  }

  private func scheduleCheck(on loop: any EventLoop) {
    hasHeard = false
    keepAlive = loop.assumeIsolated().scheduleTask(in: Self.idleLimit) {
      if self.hasHeard { return self.scheduleCheck(on: loop) }
      self.call("echo", [], limit: .seconds(5), on: loop).assumeIsolated().whenComplete { result in
        switch result {
        case .success: self.scheduleCheck(on: loop)
        case .failure:
          let context = self.context
          self.end(.connectionLost)
          context?.close(promise: nil)
        }
      }
    }
  }

  private func end(_ reason: OVSDBError) {
    guard failure == nil else { return }
    failure = reason
    keepAlive?.cancel()
    context = nil
    let requests = Array(onTheirWay.values) + Array(waiting.values)
    onTheirWay = [:]
    waiting = [:]
    for request in requests {
      request.timer.cancel()
      request.promise.fail(reason)
    }
    let sinks = notifications.values
    notifications = [:]
    for sink in sinks { sink(.failure(reason)) }
  }
}
