import APISupport
import Conductor
import Cryptography
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import NIOWebSocket
import ServiceLifecycle
import Store
import Synchronization
import Wire

/// Serial consoles for browsers: `ws://host:port/?token=…` carries what the machine has printed since power-on and goes on
/// live, as binary frames. What the client sends is thrown away.
///
/// A token (``LeapAPI``, `console_auth_tokens`) is used up when it is shown, and the connection ends when the lease does. No
/// address with a token is written to a log. Source: design notes, compat-esi §1.7; RFC 6455.
public final class ConsoleProxy: ServiceLifecycle.Service {
  private let socket: ListeningSocket
  private let database: Database
  private let consoles: any NodeConsoles
  private let tls: NIOSSLContext?
  private let logger: Logger
  private let clock: @Sendable () -> Timestamp
  /// How many more readers there may be.
  private let places = Mutex(ConsoleProxy.connectionLimit)

  /// Readers at the same time.
  private static let connectionLimit = 256
  /// From the connection to the end of the handshake.
  private static let patience: TimeAmount = .seconds(10)
  private static let frameLimit = 16 << 10

  public init(
    socket: ListeningSocket, database: Database, consoles: any NodeConsoles, tls: TLSConfiguration? = nil,
    logger: Logger, clock: @escaping @Sendable () -> Timestamp
  ) throws {
    self.socket = socket
    self.database = database
    self.consoles = consoles
    self.tls = try tls.map { try NIOSSLContext(configuration: $0) }
    self.logger = logger
    self.clock = clock
  }

  private enum Connection: Sendable {
    /// - Parameter node: nil when the token was none.
    case reader(NIOAsyncChannel<WebSocketFrame, WebSocketFrame>, node: String?)
    case refused
  }

  public func run() async throws {
    let server = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .serverChannelOption(.backlog, value: 128)
      .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
      .bind(socket.descriptor) { channel in self.prepare(channel) }
    await cancelWhenGracefulShutdown {
      await withDiscardingTaskGroup { group in
        do {
          try await server.executeThenClose { connections in
            for try await connection in connections {
              group.addTask {
                guard let result = try? await connection.get(), case .reader(let channel, let node) = result else {
                  return
                }
                await self.serve(channel, node)
              }
            }
          }
        } catch is CancellationError {
        } catch {
          self.logger.error("the console proxy on \(self.socket.host):\(self.socket.port) stopped: \(error)")
        }
        group.cancelAll()
      }
    }
  }

  // MARK: The handshake

  private func prepare(_ channel: any Channel) -> EventLoopFuture<EventLoopFuture<Connection>> {
    channel.eventLoop.makeCompletedFuture {
      let pipeline = channel.pipeline.syncOperations
      if let tls { try pipeline.addHandler(NIOSSLServerHandler(context: tls)) }
      let deadline = channel.eventLoop.scheduleTask(in: Self.patience) { channel.close(promise: nil) }
      // The node whose token was shown, between the two halves of the handshake.
      let shown = NIOLoopBound<Box>(Box(), eventLoop: channel.eventLoop)
      let upgrader = NIOTypedWebSocketServerUpgrader<Connection>(
        maxFrameSize: 4096,
        shouldUpgrade: { channel, head in
          let promise = channel.eventLoop.makePromise(of: HTTPHeaders?.self)
          let uri = head.uri
          let protocols = head.headers[canonicalForm: "Sec-WebSocket-Protocol"]
          promise.completeWithTask {
            // Who shows no good token is told so in a frame: a browser's program sees nothing of an HTTP answer.
            let node = try await self.node(shownIn: uri)
            return try await channel.eventLoop.submit {
              shown.value.node = node
              // What websockify and its clients agree on.
              return protocols.contains("binary") ? ["Sec-WebSocket-Protocol": "binary"] : HTTPHeaders()
            }.get()
          }
          return promise.futureResult
        },
        upgradePipelineHandler: { channel, _ in
          channel.eventLoop.makeCompletedFuture {
            deadline.cancel()
            return .reader(try NIOAsyncChannel(wrappingChannelSynchronously: channel), node: shown.value.node)
          }
        })
      let configuration = NIOTypedHTTPServerUpgradeConfiguration<Connection>(
        upgraders: [upgrader],
        notUpgradingCompletionHandler: { channel in
          channel.eventLoop.makeCompletedFuture {
            deadline.cancel()
            try channel.pipeline.syncOperations.addHandler(Refusal403())
            return .refused
          }
        })
      return try pipeline.configureUpgradableHTTPServerPipeline(
        configuration: .init(upgradeConfiguration: configuration))
    }
  }
  private final class Box { var node: String? }

  /// The node of the token in `/?token=…`, which is used up by this.
  private func node(shownIn uri: String) async throws -> String? {
    guard let question = uri.firstIndex(of: "?") else { return nil }
    let query = QueryParameters(uri[uri.index(after: question)...])
    guard let token = query["token"], !token.isEmpty, token.utf8.count <= 256 else { return nil }
    let digest = Digest.sha256Hex(token), now = clock()
    return try await database.write { try ConsoleTokenStore.take(digest: digest, at: now, in: $0) }
  }

  /// Answers whatever is no handshake.
  private final class Refusal403: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart
    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      guard case .head = unwrapInboundIn(data) else { return }
      let text =
        "A console is opened with a WebSocket and an unused token: `openstack esi console auth token create`.\n"
      let headers: HTTPHeaders = [
        "Content-Type": "text/plain; charset=utf-8", "Content-Length": "\(text.utf8.count)", "Connection": "close",
      ]
      context.write(
        wrapOutboundOut(.head(HTTPResponseHead(version: .http1_1, status: .forbidden, headers: headers))), promise: nil)
      context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(string: text)))), promise: nil)
      let channel = context.channel
      context.writeAndFlush(wrapOutboundOut(.end(nil))).whenComplete { _ in channel.close(promise: nil) }
    }
  }

  // MARK: Reading

  private func serve(_ channel: NIOAsyncChannel<WebSocketFrame, WebSocketFrame>, _ node: String?) async {
    let hasPlace = places.withLock { left in
      guard left > 0, node != nil else { return false }
      left -= 1
      return true
    }
    defer { if hasPlace { places.withLock { $0 += 1 } } }
    // 1000: the console was closed, or the client went; 1008: policy; 1013: try again later (IANA, "WebSocket Close Code").
    let end: WebSocketErrorCode = hasPlace ? .normalClosure : node == nil ? .policyViolation : .unknown(1013)
    try? await channel.executeThenClose { inbound, outbound in
      await withTaskGroup(of: Void.self) { group in
        if hasPlace, let node {
          group.addTask {
            for await bytes in self.consoles.follow(node: node, since: .powerOn) {
              var rest = bytes[...]
              while !rest.isEmpty {
                let piece = rest.prefix(Self.frameLimit)
                rest = rest.dropFirst(piece.count)
                let frame = WebSocketFrame(fin: true, opcode: .binary, data: ByteBuffer(bytes: piece))
                guard (try? await outbound.write(frame)) != nil else { return }
              }
            }
          }
        }
        group.addTask {
          do {
            for try await frame in inbound {
              switch frame.opcode {
              case .ping:
                try await outbound.write(WebSocketFrame(fin: true, opcode: .pong, data: frame.unmaskedData))
              case .connectionClose: return
              default: continue
              }
            }
          } catch {}
        }
        if hasPlace { await group.next() }
        var reason = ByteBuffer()
        reason.write(webSocketErrorCode: end)
        try? await outbound.write(WebSocketFrame(fin: true, opcode: .connectionClose, data: reason))
        group.cancelAll()
      }
    }
  }
}
