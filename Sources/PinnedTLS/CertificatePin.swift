import AsyncHTTPClient
import Cryptography
import NIOCore
import NIOSSL
import Synchronization

/// A certificate that is not the pinned one.
public struct CertificateChanged: Error {
  /// "sha256:…", both.
  public var expected: String
  public var observed: String
}

/// The one certificate that a device may show.
///
/// A pin is stronger than a chain: most controllers and switches have certificates that nobody known has signed, or that have run
/// out, and replacing those is not this program's business. So the chain is not asked for; the connection is given to
/// requests only after the SHA-256 of the certificate in the handshake is the pinned one, and nothing has been sent
/// before that. Trusting the certificate as a root of its own would not do: BoringSSL wants the chain to end in a
/// self-signed certificate, and factory certificates of some vendors are signed by a key that is never shown.
public final class CertificatePin: Sendable {
  private let state: Mutex<(expected: String?, observed: String?)>

  /// - Parameter expected: "sha256:…"; nil takes the first certificate seen.
  public init(expected: String?) { state = Mutex((expected, nil)) }

  public var expected: String? { state.withLock { $0.expected } }
  public var observed: String? { state.withLock { $0.observed } }

  private func check(_ certificate: NIOSSLCertificate) throws {
    let observed = "sha256:" + Digest.hex(Digest.sha256(try certificate.toDERBytes()))
    try state.withLock { state in
      state.observed = observed
      let expected = state.expected ?? observed
      state.expected = expected
      if expected != observed { throw CertificateChanged(expected: expected, observed: observed) }
    }
  }

  /// A client all of whose connections are held to the pin. HTTPClient has no place for a pin in a request's TLS
  /// configuration, hence a client for each pinned device; the threads are shared.
  /// - Parameter configuration: everything but TLS.
  public func makeClient(_ configuration: HTTPClient.Configuration) -> HTTPClient {
    var configuration = configuration
    var tls = TLSConfiguration.makeClientConfiguration()
    tls.minimumTLSVersion = .tlsv12
    tls.certificateVerification = .none
    configuration.tlsConfiguration = tls
    // Called after the handshake and before the connection is given to a request.
    configuration.http1_1ConnectionDebugInitializer = { [self] channel in
      let checked: EventLoopFuture<Void> = channel.eventLoop.makeCompletedFuture {
        guard let certificate = try channel.pipeline.syncOperations.nioSSL_peerCertificate() else {
          throw CertificateChanged(expected: self.expected ?? "any", observed: "none")
        }
        try self.check(certificate)
      }
      checked.whenFailure { _ in
        // Not at once: the pool must hear that the connection failed before it hears that it closed.
        channel.eventLoop.scheduleTask(in: .milliseconds(20)) { channel.close(promise: nil) }
      }
      return checked
    }
    return HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
  }
}
