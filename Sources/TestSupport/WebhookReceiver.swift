import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import ServiceLifecycle
import Synchronization

/// Somebody who is told by webhooks, over a real socket.
public final class WebhookReceiver: Sendable {
  public struct Message: Sendable {
    public var headers: HTTPFields
    public var body: String
    /// The value of a header; nil when it is not there.
    public func header(_ name: String) -> String? { HTTPField.Name(name).flatMap { headers[$0] } }
  }
  private let got = Mutex<[Message]>([])
  /// What it answers, first to last; 200 when there is no more.
  private let answers: Mutex<[Int]>
  public var messages: [Message] { got.withLock { $0 } }

  public init(answers: [Int] = []) { self.answers = Mutex(answers) }

  /// Listens on a free port of this machine while `body` runs.
  public func serve(_ body: @escaping @Sendable (_ url: String) async throws -> Void) async throws {
    let router = Router()
    router.post("/**") { request, _ -> Response in
      let text = String(buffer: try await request.body.collect(upTo: 1 << 20))
      self.got.withLock { $0.append(Message(headers: request.headers, body: text)) }
      let code = self.answers.withLock { $0.isEmpty ? 200 : $0.removeFirst() }
      var headers: HTTPFields = [:]
      if code / 100 == 3 { headers[.location] = "http://127.0.0.1:1/elsewhere" }
      return Response(status: .init(code: code), headers: headers)
    }
    let (ports, told) = AsyncStream<Int>.makeStream()
    var logger = Logger(label: "receiver")
    logger.logLevel = .critical
    let application = Application(
      router: router, configuration: .init(address: .hostname("127.0.0.1", port: 0)),
      onServerRunning: { channel in told.yield(channel.localAddress?.port ?? 0) }, logger: logger)
    let services = ServiceGroup(configuration: .init(services: [application], logger: logger))
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await services.run() }
      var result: Result<Void, any Error> = .success(())
      for await port in ports {
        do { try await body("http://localhost:\(port)/hook") } catch { result = .failure(error) }
        break
      }
      await services.triggerGracefulShutdown()
      try await group.waitForAll()
      try result.get()
    }
  }
}
