import Cryptography
import Glibc
import HTTPTypes
import Hummingbird
import HummingbirdCore
import HummingbirdTLS
import Logging
import NIOCore
import NIOSSL
import ServiceLifecycle
import Wire

/// Simulated controllers, each listening at its own address, and the endpoint that makes them misbehave.
///
/// The faults endpoint: `GET /bmcs` lists the names with their faults and addresses; `PUT /bmcs/NAME/faults` takes the members of
/// ``RedfishFaults`` (what is left out is off), `DELETE` ends them; `POST /bmcs/NAME/expire-sessions` and
/// `POST /bmcs/NAME/lose-power`. `*` is every controller.
public struct RedfishSimulator: Service {
  public enum FaultsAddress: Sendable {
    case socket(path: String)
    case loopback(host: String, port: Int)

    /// "unix:/path" or "127.0.0.1:9000".
    public init(_ text: String) throws {
      if text.hasPrefix("unix:") {
        self = .socket(path: String(text.dropFirst(5)))
      } else {
        let (host, port) = try splitAddress(text)
        self = .loopback(host: host, port: port)
      }
    }
  }

  public let bmcs: [SimulatedBMC]
  private let faultsAddress: FaultsAddress?
  private let listening = Listening()
  private let logger: Logger

  public init(
    _ configurations: [BMCConfiguration], faults: FaultsAddress? = nil, log: EffectLog,
    logger: Logger = Logger(label: "redfish-simulator")
  ) throws {
    bmcs = try configurations.map { configuration in
      let machine: any SimulatedMachine =
        if let control = configuration.control {
          try CommandMachine(control)
        } else {
          FakeMachine(firmware: configuration.firmware)
        }
      return SimulatedBMC(configuration, machine: machine, log: log)
    }
    faultsAddress = faults
    var logger = logger
    // Being cancelled in the middle of a request is an everyday thing here.
    logger.logLevel = .critical
    self.logger = logger
  }

  /// Serves until cancelled or shut down.
  public func run() async throws {
    var services: [any Service] = []
    for bmc in bmcs {
      let configuration = bmc.configuration
      var server = HTTPServerBuilder.http1()
      if configuration.isTLS {
        let own = try await SelfSignedCertificate.make(
          host: configuration.host, keptIn: configuration.identityFolder)
        let fingerprint = Digest.hex(Digest.sha256(try own.certificate.toDERBytes()))
        await listening.setFingerprint("sha256:" + fingerprint, of: configuration.name)
        server = try .tls(
          tlsConfiguration: .makeServerConfiguration(
            certificateChain: [.certificate(own.certificate)], privateKey: .privateKey(own.key)))
      }
      services.append(
        Application(
          responder: BMCResponder(bmc: bmc), server: server,
          configuration: .init(address: .hostname(configuration.host, port: configuration.port)),
          onServerRunning: { channel in
            await listening.report(configuration.name, port: channel.localAddress?.port ?? 0)
          }, logger: logger))
    }
    if let faultsAddress {
      let address: BindAddress =
        switch faultsAddress {
        case .socket(let path): .unixDomainSocket(path: Self.withoutLeftover(path))
        case .loopback(let host, let port): .hostname(host, port: port)
        }
      services.append(
        Application(
          responder: FaultsResponder(simulator: self), configuration: .init(address: address),
          onServerRunning: { channel in await listening.report("/faults", port: channel.localAddress?.port ?? 0) },
          logger: logger))
    }
    defer { Task { [bmcs] in for bmc in bmcs { await bmc.shutDown() } } }
    try await ServiceGroup(configuration: .init(services: services, logger: logger)).run()
  }

  /// Removes the socket of a simulator that was killed; nothing that is not a socket.
  private static func withoutLeftover(_ path: String) -> String {
    var information = stat()
    if stat(path, &information) == 0 && information.st_mode & S_IFMT == S_IFSOCK { unlink(path) }
    return path
  }

  /// Serves until SIGINT or SIGTERM.
  public func runUntilSignalled() async throws {
    var configuration = ServiceGroupConfiguration(
      services: [self], gracefulShutdownSignals: [.sigterm, .sigint], logger: logger)
    // A stalled answer must not keep the program alive.
    configuration.maximumGracefulShutdownDuration = .seconds(2)
    do { try await ServiceGroup(configuration: configuration).run() } catch is CancellationError {}
  }

  /// Waits until every controller listens, and gives their ports by name ("/faults" is the faults endpoint).
  public func ports() async -> [String: Int] {
    await listening.ports(count: bmcs.count + (faultsAddress == nil ? 0 : 1))
  }
  /// "sha256:…" of a controller's certificate; nil without TLS.
  public func fingerprint(of name: String) async -> String? { await listening.fingerprints[name] }
}

/// Who listens where.
private actor Listening {
  private var ports: [String: Int] = [:]
  private(set) var fingerprints: [String: String] = [:]
  private var waiting: [(Int, CheckedContinuation<[String: Int], Never>)] = []

  func setFingerprint(_ text: String, of name: String) { fingerprints[name] = text }
  func report(_ name: String, port: Int) {
    ports[name] = port
    for (count, continuation) in waiting where ports.count >= count { continuation.resume(returning: ports) }
    waiting.removeAll { ports.count >= $0.0 }
  }
  func ports(count: Int) async -> [String: Int] {
    if ports.count >= count { return ports }
    return await withCheckedContinuation { waiting.append((count, $0)) }
  }
}

/// Gives a responder the connection, so that it can cut it.
struct SimulatorContext: InitializableFromSource {
  let channel: any Channel
  init(source: ApplicationRequestContextSource) { channel = source.channel }
}

/// HTTP to and from one controller.
private struct BMCResponder: HTTPResponder {
  let bmc: SimulatedBMC

  func respond(to request: Request, context: SimulatorContext) async throws -> Response {
    let body = try await request.body.collect(upTo: 1 << 20)
    var path = request.uri.path
    while path.count > 1 && path.hasSuffix("/") { path.removeLast() }
    let answer = await bmc.answer(
      RedfishRequest(
        method: request.method.rawValue, path: path, authorization: request.headers[.authorization],
        token: HTTPField.Name("X-Auth-Token").flatMap { request.headers[$0] }, ifMatch: request.headers[.ifMatch],
        body: Array(body.readableBytesView)))
    if answer.isDropped {
      try? await context.channel.close()
      return Response(status: .noContent)
    }
    var headers = HTTPFields()
    if let name = HTTPField.Name("OData-Version") { headers[name] = "4.0" }
    headers[.cacheControl] = "no-cache"
    // The server closes then, and the client must know (RFC 9112, 9.6): else it may take up a closing connection.
    if request.headers[.connection]?.lowercased() == "close" { headers[.connection] = "close" }
    for (key, value) in answer.headers { if let name = HTTPField.Name(key) { headers[name] = value } }
    guard let document = answer.body else { return Response(status: .init(code: answer.status), headers: headers) }
    headers[.contentType] = "application/json"
    let text = await bmc.faults.garbage ? "<html>not what was asked for" : document.description
    return Response(
      status: .init(code: answer.status), headers: headers, body: .init(byteBuffer: ByteBuffer(string: text)))
  }
}

private struct FaultsResponder: HTTPResponder {
  let simulator: RedfishSimulator

  func respond(to request: Request, context: SimulatorContext) async throws -> Response {
    let body = Array(try await request.body.collect(upTo: 1 << 16).readableBytesView)
    do {
      let (status, answer) = try await act(request.method.rawValue, request.uri.path, body)
      return Response(
        status: .init(code: status), headers: [.contentType: "application/json"],
        body: .init(byteBuffer: ByteBuffer(string: answer.description + "\n")))
    } catch {
      let answer: JSON = ["error": .string("\(error)")]
      return Response(
        status: .badRequest, headers: [.contentType: "application/json"],
        body: .init(byteBuffer: ByteBuffer(string: answer.description + "\n")))
    }
  }

  private func act(_ method: String, _ path: String, _ body: [UInt8]) async throws -> (Int, JSON) {
    let words = path.split(separator: "/").map { String($0) }
    let ports = await simulator.ports()
    if method == "GET" && words == ["bmcs"] {
      var all = JSONObject()
      for bmc in simulator.bmcs {
        let name = bmc.configuration.name
        var one: JSONObject = ["port": JSON(ports[name]), "faults": await bmc.faults.json]
        one["fingerprint"] = JSON(await simulator.fingerprint(of: name))
        all[name] = .object(one)
      }
      return (200, .object(all))
    }
    guard words.count == 3, words[0] == "bmcs" else { return (404, ["error": "see /bmcs"]) }
    let chosen = simulator.bmcs.filter { words[1] == "*" || $0.configuration.name == words[1] }
    guard !chosen.isEmpty else { return (404, ["error": .string("no BMC is called \(words[1])")]) }
    for bmc in chosen {
      switch (method, words[2]) {
      case ("PUT", "faults"): await bmc.setFaults(try RedfishFaults(try JSON.parse(body)))
      case ("DELETE", "faults"): await bmc.setFaults(RedfishFaults())
      case ("POST", "expire-sessions"): await bmc.expireSessions()
      case ("POST", "lose-power"): try await bmc.losePower()
      default: return (404, ["error": "faults, expire-sessions or lose-power"])
      }
    }
    return (200, ["done": true])
  }
}
