import Cryptography
import HTTPTypes
import Hummingbird
import HummingbirdCore
import HummingbirdTLS
import Logging
import NIOCore
import NIOSSL
import ServiceLifecycle
import Wire

/// What a vendor's interface over HTTPS answers.
public protocol SimulatedSwitchAPI: Sendable {
  var device: SimulatedSwitch { get }
  /// - Parameters:
  ///   - path: with its query.
  /// - Returns: status and body.
  func answer(_ method: String, _ path: String, _ body: JSON?) async -> (Int, JSON)
}

/// One switch's HTTPS interface at an address of its own, with a certificate that nobody has signed.
public struct SwitchHTTPSimulator: Service {
  public let api: any SimulatedSwitchAPI
  private let password: String
  private let identity: SelfSignedCertificate
  /// "sha256:…" of the certificate.
  public let fingerprint: String
  /// The certificate as a file may hold it.
  public let certificatePEM: String
  private let port: Int
  private let listening = AsyncStream.makeStream(of: Int.self)

  /// - Parameter port: 0 takes a free one.
  public init(_ api: any SimulatedSwitchAPI, password: String, port: Int = 0) async throws {
    self.api = api
    self.password = password
    self.port = port
    identity = try await SelfSignedCertificate.make(host: "127.0.0.1")
    let bytes = try identity.certificate.toDERBytes()
    fingerprint = "sha256:" + Digest.hex(Digest.sha256(bytes))
    certificatePEM = "-----BEGIN CERTIFICATE-----\n\(Base64.text(bytes))\n-----END CERTIFICATE-----\n"
  }

  /// Waits until it listens; for one caller.
  public func listeningPort() async -> Int {
    for await port in listening.stream { return port }
    return 0
  }

  public func run() async throws {
    var logger = Logger(label: "switch-simulator")
    logger.logLevel = .critical
    let server = try HTTPServerBuilder.tls(
      tlsConfiguration: .makeServerConfiguration(
        certificateChain: [.certificate(identity.certificate)], privateKey: .privateKey(identity.key)))
    let application = Application(
      responder: Responder(api: api, authorization: "Basic " + Base64.text(Array("admin:\(password)".utf8))),
      server: server, configuration: .init(address: .hostname("127.0.0.1", port: port)),
      onServerRunning: { channel in
        listening.continuation.yield(channel.localAddress?.port ?? 0)
        listening.continuation.finish()
      }, logger: logger)
    try await ServiceGroup(configuration: .init(services: [application], logger: logger)).run()
  }
}

private struct Responder: HTTPResponder {
  let api: any SimulatedSwitchAPI
  let authorization: String

  func respond(to request: Request, context: SimulatorContext) async throws -> Response {
    let device = api.device
    let faults = await device.faults
    if faults.stallSeconds > 0 { try await Task.sleep(for: .seconds(faults.stallSeconds)) }
    guard await device.takesSession() else { return Response(status: .serviceUnavailable) }
    guard !faults.refusesCredentials, request.headers[.authorization] == authorization else {
      device.log.write("refused", device: device.name, [:])
      return Response(status: .unauthorized)
    }
    let bytes = Array(try await request.body.collect(upTo: 4 << 20).readableBytesView)
    let body = bytes.isEmpty ? nil : try? JSON.parse(bytes)
    let path = request.uri.string
    device.log.write(
      "request", device: device.name,
      ["method": .string(request.method.rawValue), "path": .string(path), "body": body ?? .null])
    let before = await device.running
    let (status, answer) = await api.answer(request.method.rawValue, path, body)
    if await device.running != before, await device.dropsNow() {
      try? await context.channel.close()
      return Response(status: .noContent)
    }
    if answer.isNull { return Response(status: .init(code: status)) }
    return Response(
      status: .init(code: status), headers: [.contentType: "application/json"],
      body: .init(byteBuffer: ByteBuffer(string: answer.description)))
  }
}
