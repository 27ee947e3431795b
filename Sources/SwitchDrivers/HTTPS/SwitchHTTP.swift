import AsyncHTTPClient
import Cryptography
import DriverInterfaces
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import PinnedTLS
import Wire

/// JSON over HTTPS to one switch and back.
final class SwitchHTTP: Sendable {
  struct Reply: Sendable {
    var status: Int
    var body: JSON
    var isSuccess: Bool { (200..<300).contains(status) }
  }
  /// Most bytes of one answer.
  private static let bodyLimit = 32 << 20

  let switchName: String
  private let address: SwitchAddress
  private let credentials: SwitchCredentials
  private let client: HTTPClient
  private let limit: Duration

  /// - Parameters:
  ///   - authorities: a file with the certificates that the switch's must be signed by; nil trusts the system's.
  ///   - fingerprint: "sha256:…" of the one certificate that is taken, in the place of a chain.
  ///   - limit: how long one answer may take.
  init(
    _ address: SwitchAddress, credentials: SwitchCredentials, authorities: String?, fingerprint: String?,
    limit: Duration
  ) throws(DriverError) {
    switchName = credentials.switchName
    self.address = address
    self.credentials = credentials
    self.limit = limit
    var configuration = HTTPClient.Configuration(
      redirectConfiguration: .disallow, timeout: .init(connect: .seconds(5), read: .seconds(60)))
    configuration.httpVersion = .http1Only
    configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = 1
    configuration.connectionPool.retryConnectionEstablishment = false
    if let fingerprint {
      client = CertificatePin(expected: fingerprint).makeClient(configuration)
      return
    }
    var tls = TLSConfiguration.makeClientConfiguration()
    tls.minimumTLSVersion = .tlsv12
    if let authorities {
      tls.trustRoots = .file(authorities)
      do { _ = try NIOSSLContext(configuration: tls) } catch {
        throw DriverError(
          .misconfigured, device: .networkSwitch(switchName),
          detail: "ca_file: there are no certificates of authorities to read in \(authorities)")
      }
    }
    configuration.tlsConfiguration = tls
    client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
  }
  deinit {
    let client = client
    Task { try? await client.shutdown() }
  }

  /// One request and its answer, whatever its status but 401 and 403.
  func send(_ method: String, _ path: String, _ body: JSON? = nil, type: String = "application/json") async throws
    -> Reply
  {
    var request = HTTPClientRequest(url: "https://\(address.authority)\(path)")
    request.method = HTTPMethod(rawValue: method)
    request.headers.add(name: "Accept", value: type)
    request.headers.add(name: "User-Agent", value: "steelyard")
    if let username = credentials.username {
      let pair = "\(username):\(try credentials.password() ?? "")"
      request.headers.add(name: "Authorization", value: "Basic " + Base64.text(Array(pair.utf8)))
    }
    if let body {
      request.headers.add(name: "Content-Type", value: type)
      request.body = .bytes(ByteBuffer(string: body.description))
    }
    let reply: Reply
    do {
      do { reply = try await attempt(request) } catch let error as HTTPClientError
        where error == .remoteConnectionClosed && method == "GET"
      {
        // It closed an idle connection as we took it up.
        reply = try await attempt(request)
      }
    } catch { throw translated(error) }
    if reply.status == 401 || reply.status == 403 {
      throw failed(
        .refused,
        "it rejected the user name or password (HTTP status \(reply.status)); check username and password_file")
    }
    if reply.status == 503 || reply.status == 429 {
      throw failed(.busy, "it asks to come back later (HTTP status \(reply.status))")
    }
    return reply
  }

  func failed(_ code: DriverError.Code, _ detail: String) -> DriverError {
    DriverError(code, device: .networkSwitch(switchName), detail: "https://\(address.authority): \(detail)")
  }

  private func attempt(_ request: HTTPClientRequest) async throws -> Reply {
    try await withThrowingTaskGroup(of: Reply.self) { group in
      group.addTask { [client, limit] in
        let nanoseconds = limit.components.seconds * 1_000_000_000 + limit.components.attoseconds / 1_000_000_000
        let response = try await client.execute(request, deadline: .now() + .nanoseconds(nanoseconds))
        var bytes: [UInt8] = []
        for try await chunk in response.body {
          bytes.append(contentsOf: chunk.readableBytesView)
          if bytes.count > Self.bodyLimit {
            throw self.failed(.badReply, "its answer is larger than \(Self.bodyLimit >> 20) MiB")
          }
        }
        var reply = Reply(status: Int(response.status.code), body: .null)
        if !bytes.isEmpty {
          do { reply.body = try JSON.parse(bytes) } catch {
            // The body of a failure is only for people.
            if reply.isSuccess { throw self.failed(.badReply, "its answer is not JSON: \(error)") }
            reply.body = .string(String(decoding: bytes.prefix(400), as: UTF8.self))
          }
        }
        return reply
      }
      group.addTask { [limit] in
        try await Task.sleep(for: limit)
        throw HTTPClientError.readTimeout
      }
      defer { group.cancelAll() }
      guard let reply = try await group.next() else { throw CancellationError() }
      return reply
    }
  }

  private func translated(_ error: any Error) -> any Error {
    switch error {
    case is CancellationError, is DriverError: return error
    case let changed as CertificateChanged:
      return failed(
        .refused,
        "its certificate has changed: \(changed.expected) is pinned and it shows \(changed.observed); "
          + "if that is meant, change fingerprint in the configuration")
    case let error as HTTPClientError where error == .readTimeout || error == .deadlineExceeded:
      return failed(.unreachable, "no answer in \(limit)")
    case let error as HTTPClientError where error == .connectTimeout:
      return failed(.unreachable, "no connection in 5 s")
    case let error as HTTPClientError where error == .remoteConnectionClosed:
      return failed(.unreachable, "it closed the connection before it answered")
    case let error as NIOSSLError:
      return failed(.refused, "TLS: \(SwitchText.quoted("\(error)")); set ca_file or fingerprint to what it shows")
    case let error as NIOConnectionError:
      let first = error.connectionErrors.first.map { "\($0.error)" } ?? "\(error)"
      return failed(.unreachable, SwitchText.quoted(first))
    default:
      let text = SwitchText.quoted("\(error)")
      if text.contains("CERTIFICATE") || text.contains("handshake") {
        return failed(.refused, "TLS: \(text); set ca_file or fingerprint to what it shows")
      }
      return failed(.unreachable, text)
    }
  }
}
