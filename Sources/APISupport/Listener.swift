import HTTPTypes
import Hummingbird
import HummingbirdCore
import HummingbirdTLS
import Logging
import NIOCore
import NIOPosix
import NIOSSL
import ServiceLifecycle

/// Serves one responder on one listening socket until graceful shutdown: running requests finish, idle connections are cut.
public struct Listener: ServiceLifecycle.Service {
  private let socket: ListeningSocket
  private let responder: APIResponder
  private let tls: TLSConfiguration?
  private let logger: Logger
  private let serverName = "steelyard"

  /// - Parameter tls: certificate chain and key; nil serves plain HTTP.
  public init(socket: ListeningSocket, responder: APIResponder, tls: TLSConfiguration? = nil, logger: Logger) {
    self.socket = socket
    self.responder = responder
    self.tls = tls
    self.logger = logger
  }

  public func run() async throws {
    let http = HTTP1Channel(responder: respond, configuration: .init(idleTimeout: .seconds(75)))
    if let tls {
      try await serve(TLSChannel(http, tlsConfiguration: tls))
    } else {
      try await serve(http)
    }
  }

  @Sendable private func respond(
    _ request: Request, _ writer: consuming ResponseWriter, _ channel: any Channel
  ) async throws {
    var context = APIResponder.Context(source: ApplicationRequestContextSource(channel: channel, logger: logger))
    if tls == nil { context.socket = channel }
    // Who asks first would wait for it; a body that is refused is read to its end all the same.
    if request.headers[.expect]?.lowercased() == "100-continue" {
      try await writer.writeInformationalHead(HTTPResponse(status: .continue))
    }
    var response = try await responder.respond(to: request, context: context)
    response.headers[.server] = serverName
    try await writer.write(response: response.head, body: response.body)
  }

  private func serve<Child: ServerChildChannel>(_ child: Child) async throws {
    let logger = logger
    let server = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .serverChannelOption(.backlog, value: 1024)
      .childChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
      .childChannelOption(.maxMessagesPerRead, value: 1)
      // Grows with what a connection sends: an image comes in fewer pieces, and a connection that says little costs little.
      .childChannelOption(
        .recvAllocator, value: AdaptiveRecvByteBufferAllocator(minimum: 64, initial: 2048, maximum: 64 << 10)
      )
      .childChannelOption(.allowRemoteHalfClosure, value: true)
      .bind(socket.descriptor) { channel in child.setup(channel: channel, logger: logger) }
    await cancelWhenGracefulShutdown {
      await withDiscardingTaskGroup { group in
        do {
          try await server.executeThenClose { connections in
            for try await connection in connections {
              let executor = EventLoopExecutor(connection.channel.eventLoop)
              group.addTask(executorPreference: executor) { await child.handle(value: connection, logger: logger) }
            }
          }
        } catch is CancellationError {
        } catch {
          logger.error("the listener on \(socket.host):\(socket.port) stopped: \(error)")
        }
        group.cancelAll()
      }
    }
  }
}

/// Runs the tasks of a connection on the connection's own event loop: a request is read, answered and written on one
/// thread. Between two pools of threads each request would change threads twice more, which costs as much processor time
/// as routing and answering it. Nothing that blocks may run here, nor on the cooperative pool that this stands in for.
private final class EventLoopExecutor: TaskExecutor {
  private let eventLoop: any EventLoop
  init(_ eventLoop: any EventLoop) { self.eventLoop = eventLoop }

  func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    eventLoop.execute { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
  }
}
