import NIOCore
import NIOPosix
import Wire

/// One connection to an OVSDB server or to a daemon's control socket; both speak JSON-RPC 1.0 on a stream.
final class JSONRPCConnection: Sendable {
  private let channel: any Channel
  private let handler: NIOLoopBound<JSONRPCHandler>

  private init(channel: any Channel, handler: NIOLoopBound<JSONRPCHandler>) {
    self.channel = channel
    self.handler = handler
  }

  /// - Throws: ``OVSDBError`` `.notConnected`.
  static func open(_ endpoint: OVSDBEndpoint, limit: Duration, messageLimit: Int) async throws(OVSDBError)
    -> JSONRPCConnection
  {
    let bootstrap = ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .connectTimeout(TimeAmount(limit))
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(JSONRPCHandler(messageLimit: messageLimit))
        }
      }
    do {
      let channel =
        switch endpoint {
        case .unix(let path): try await bootstrap.connect(unixDomainSocketPath: path).get()
        case .tcp(let host, let port):
          try await bootstrap.channelOption(.tcpOption(.tcp_nodelay), value: 1).connect(host: host, port: port).get()
        }
      let handler = try await channel.eventLoop.submit {
        NIOLoopBound(
          try channel.pipeline.syncOperations.handler(type: JSONRPCHandler.self), eventLoop: channel.eventLoop)
      }.get()
      return JSONRPCConnection(channel: channel, handler: handler)
    } catch {
      throw .notConnected(Self.reason(of: error))
    }
  }

  var isOpen: Bool { channel.isActive }

  /// Sends a request and waits for its answer.
  func call(_ method: String, _ parameters: JSON, limit: Duration) async throws(OVSDBError) -> JSON {
    let handler = handler
    let loop = channel.eventLoop
    do {
      return try await loop.flatSubmit { handler.value.call(method, parameters, limit: limit, on: loop) }.get()
    } catch let error as OVSDBError {
      throw error
    } catch {
      throw .connectionLost
    }
  }

  /// Hands the updates of a monitor to `sink`, on the event loop. Call it before the monitor is asked for: its first
  /// update can follow its answer at once.
  func subscribe(_ id: String, _ sink: @escaping @Sendable (Result<JSON, OVSDBError>) -> Void) {
    let handler = handler
    channel.eventLoop.execute { handler.value.subscribe(id, sink) }
  }
  func unsubscribe(_ id: String) {
    let handler = handler
    channel.eventLoop.execute { handler.value.unsubscribe(id) }
  }

  func close() { channel.close(promise: nil) }

  private static func reason(of error: any Error) -> String {
    switch error {
    case let error as IOError: error.description
    case let error as NIOConnectionError:
      error.connectionErrors.first.map { "\($0.error)" } ?? error.dnsAError.map { "\($0)" }
        ?? "\(error.host) has no address"
    case ChannelError.connectTimeout: "the connection timed out"
    default: "\(error)"
    }
  }
}
