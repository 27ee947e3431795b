import Domain
import Logging
import NIOCore
import NIOPosix
import Testing
import Wire

@testable import APISupport

private struct NoTokens: Authenticator {
  struct Refused: Error {}
  func actor(forToken token: String, now: Timestamp) throws -> Actor { throw Refused() }
}

/// Runs `body` with a port on which one service is served.
func withListener(_ service: Service, _ body: (_ port: Int) async throws -> Void) async throws {
  let socket = try ListeningSocket.open(host: "127.0.0.1", port: 0)
  let listener = Listener(
    socket: socket,
    responder: APIResponder(
      services: [service], authenticator: NoTokens(), clock: { Timestamp(seconds: 1_800_000_000) }),
    logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }))
  let serving = Task { try await listener.run() }
  do { try await body(socket.port) } catch {
    serving.cancel()
    throw error
  }
  serving.cancel()
  _ = try? await serving.value
}

/// All that the server says on one connection until it closes.
/// - Parameter say: what is said to it.
func converse(
  _ port: Int, _ say: @escaping @Sendable (NIOAsyncChannelOutboundWriter<ByteBuffer>) async throws -> Void
) async throws -> [UInt8] {
  let connection = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
    .connect(host: "127.0.0.1", port: port) { channel in
      channel.eventLoop.makeCompletedFuture {
        try NIOAsyncChannel<ByteBuffer, ByteBuffer>(
          wrappingChannelSynchronously: channel, configuration: .init(isOutboundHalfClosureEnabled: true))
      }
    }
  return try await connection.executeThenClose { inbound, outbound in
    async let said: Void = say(outbound)
    var all: [UInt8] = []
    for try await piece in inbound { all += piece.readableBytesView }
    try await said
    return all
  }
}

/// The answers in what a server said: head and body.
func answers(_ bytes: [UInt8]) throws -> [(head: String, body: ArraySlice<UInt8>)] {
  var rest = bytes[...], found: [(String, ArraySlice<UInt8>)] = []
  let end = Array("\r\n\r\n".utf8)
  while !rest.isEmpty {
    let at = try #require(rest.indices.first { rest[$0...].starts(with: end) })
    let head = String(decoding: rest[..<at], as: UTF8.self)
    let length = head.split(separator: "\r\n").first { $0.lowercased().hasPrefix("content-length:") }
    let count = Int(length?.split(separator: " ").last ?? "") ?? 0
    found.append((head, rest[(at + 4)...].prefix(count)))
    rest = rest[(at + 4)...].dropFirst(count)
  }
  return found
}
