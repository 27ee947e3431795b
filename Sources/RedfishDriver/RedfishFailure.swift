import AsyncHTTPClient
import DriverInterfaces
import NIOCore
import NIOPosix
import NIOSSL
import PinnedTLS

/// Why there was no answer, in words for an operator.
extension RedfishConnection {
  nonisolated func translated(_ error: any Error, _ limit: Duration) throws -> any Error {
    func failed(_ code: DriverError.Code, _ detail: String) -> DriverError {
      DriverError(code, device: settings.device, detail: detail)
    }
    switch error {
    case is DriverError, is CancellationError: return error
    case let changed as CertificateChanged:
      return failed(
        .refused,
        "its certificate changed: pinned is \(changed.expected), it shows \(changed.observed). Nothing was sent."
          + " If the certificate was replaced on purpose, set redfish_fingerprint to the new one; otherwise someone"
          + " stands between it and us.")
    case let error as HTTPClientError:
      switch error {
      case .connectTimeout, .getConnectionFromPoolTimeout:
        return failed(.unreachable, "no connection within 5 s; check redfish_address and the network to it.")
      case .readTimeout, .deadlineExceeded:
        return failed(.unreachable, "no answer within \(Int(limit.inSeconds)) s; is the controller overloaded?")
      case .remoteConnectionClosed: return failed(.unreachable, "it closed the connection without an answer.")
      case .cancelled where Task.isCancelled: return CancellationError()
      case .alreadyShutdown, .cancelled: return failed(.unreachable, "the connection to it was closed here.")
      case .tlsHandshakeTimeout: return failed(.unreachable, "no TLS handshake within 5 s.")
      default: return failed(.unreachable, "the request failed: \(error.shortDescription).")
      }
    case let error as NIOSSLError:
      if case .handshakeFailed(let reason) = error {
        let isTrust = "\(reason)".contains("CERTIFICATE_VERIFY_FAILED")
        return isTrust
          ? failed(
            .refused,
            "its certificate is not signed by a trusted authority for this address; set redfish_verify_ca to the"
              + " authority's file, or redfish_fingerprint to the certificate's sha256:…, or redfish_verify_ca to False"
              + " to pin the certificate that it shows first.")
          : failed(.unreachable, "the TLS handshake failed; is there an https service at redfish_address?")
      }
      return failed(.unreachable, "the TLS connection broke.")
    case is NIOSSLExtraError:
      return failed(
        .refused,
        "its certificate is for another name; set redfish_address to that name, or redfish_fingerprint to the"
          + " certificate's sha256:….")
    case let error as NIOConnectionError:
      // Without an attempt to connect there was no address to try.
      let reason = error.connectionErrors.first.map { "\($0.error)" } ?? "the name \(settings.host) is unknown"
      return failed(.unreachable, "no connection: \(reason); check redfish_address and the network to it.")
    case let error as IOError:
      return failed(.unreachable, "no connection: \(error); check redfish_address and the network to it.")
    default:
      return failed(.unreachable, "the connection failed: \(error)")
    }
  }
}
